//! The conformance files of `vectors/`: what another implementation must compute from the same values (R032, R077,
//! R149, R158, D15).
//!
//! Each test recomputes its file and compares it whole. A file changes only on purpose: run the tests with
//! `SYMPHONY_WRITE_VECTORS=1`, then read the difference.

mod proofs;

use std::path::Path;

use serde_json::{Value, json};
use symphony_protocol::admission::request::terms;
use symphony_protocol::artifact::challenge::Filing;
use symphony_protocol::artifact::penalty::Penalty;
use symphony_protocol::artifact::statistic::Measure;
use symphony_protocol::artifact::training::{Extra, Round, RoundOrder};
use symphony_protocol::artifact::*;
use symphony_protocol::execution::training::{
    aggregate_nonce as round_aggregate_nonce, slice_nonce as round_nonce,
};
use symphony_protocol::execution::{aggregate::aggregate_nonce, coordinate::slice_nonce};
use symphony_protocol::governance::approval::Machine;
use symphony_protocol::governance::candidate::{LocalKind, SignedReport, charge, pool};
use symphony_protocol::governance::change::Change;
use symphony_protocol::governance::membership::Enterprise;
use symphony_protocol::governance::pricing::fee;
use symphony_protocol::governance::stake::{NodeTier, StakeEntry, StakeSheet};
use symphony_protocol::lifecycle::training::Position;
use symphony_protocol::settlement::bootstrap::NodePay;
use symphony_protocol::settlement::finalize::settlement_root;
use symphony_protocol::vault::backup::{Backup, BackupFile};
use symphony_protocol::vault::document::{DocumentRecord, Erasure, PersonErasure, SignedErasure};
use symphony_protocol::vault::moving::{Invitation, Item, Offer, Person, SignedStanding, Tally, load};
use symphony_protocol::vault::record::{CanonicalRecord, LocalValue, Value as Field};
use symphony_types::amount::{Sym, split};
use symphony_types::canonical::to_bytes;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{ActorId, EpochId, NodeId, RequestId, SchemaVersion, SubjectId, VaultId};
use symphony_types::key::{Document, SoftwarePlatform, Vault, Wallet};
use symphony_types::merkle;
use symphony_types::subjects::SubjectIndex;
use symphony_types::time::{OrderedMillis, RecordMillis};

use crate::candidates::report;
use crate::compute::computation;
use crate::rounds::propensity;
use crate::settlement::settled;
use crate::stage::{PLENTY, START, attribute, campaign, governance, key, policy};
use crate::world::{Script, World};

/// Compares a file with what this implementation computes.
fn conforms(file: &str, computed: &Value) {
    let path = Path::new("../../vectors").join(file);
    let computed = &readable(computed);
    let text = format!("{}\n", serde_json::to_string_pretty(computed).unwrap());
    if std::env::var_os("SYMPHONY_WRITE_VECTORS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let stored: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(&stored, computed, "{file}");
}

/// Byte strings as hexadecimal, and numbers that other languages would round as text.
fn readable(value: &Value) -> Value {
    let byte = |value: &Value| value.as_u64().and_then(|number| u8::try_from(number).ok());
    match value {
        Value::Array(items) => match items.iter().map(byte).collect::<Option<Vec<u8>>>() {
            Some(bytes) if bytes.len() >= 32 => Value::String(hex::encode(bytes)),
            _ => Value::Array(items.iter().map(readable).collect()),
        },
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), readable(value))).collect())
        }
        Value::Number(number) if number.as_u64().is_some_and(|number| number >> 53 != 0) => {
            Value::String(number.to_string())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// The hexadecimal bytes of a field of a stored vector.
fn bytes_of(file: &str, pointer: &str) -> Vec<u8> {
    let path = Path::new("../../vectors").join(file);
    let stored: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    hex::decode(stored.pointer(pointer).and_then(Value::as_str).unwrap()).unwrap()
}

fn document<T: Document>(value: &T) -> Value {
    json!({
        "tag": T::TAG,
        "canonical": hex::encode(to_bytes(value)),
        "digest": value.digest().to_hex(),
    })
}

/// R032, D15: `vectors/encodings.json`.
#[test]
fn encodings_conform() {
    let (state, context, _) = settled(Script::default());
    let task = &state.tasks[&context.task];
    let receipt = &task.receipts[0];
    let request = campaign("c1");
    let file = "encodings.json";
    conforms(
        file,
        &json!({
            "about": "BCS bytes of a document, and SHA-256 over the tag's length as u64 little endian, the tag, the bytes",
            "request": { "value": request, "document": document(&request) },
            "envelope": { "value": task.envelope, "document": document(&task.envelope) },
            "receipt": {
                "value": receipt.body,
                "document": document(&receipt.body),
                "seed": hex::encode(Digest::of_bytes(b"vault-a").0),
                "key": hex::encode(key::<Vault>("vault-a").public().as_bytes()),
                "signed": hex::encode(to_bytes(receipt)),
            },
            "slice_nonce": slice_nonce(&task.envelope, &receipt.body.vault).to_hex(),
            "aggregate_nonce": aggregate_nonce(&task.envelope).to_hex(),
        }),
    );
    let read: TaskEnvelope = bcs::from_bytes(&bytes_of(file, "/envelope/document/canonical")).unwrap();
    assert_eq!(read, task.envelope);
}

/// R140, R143: `vectors/challenge.json`.
#[test]
fn challenges_conform() {
    let (filing, penalty) = crate::challenges::confirmed();
    let slashes = penalty
        .slashes()
        .map(|slash| json!({ "amount": slash.amount, "reference": slash.reference.to_hex() }));
    let file = "challenge.json";
    conforms(
        file,
        &json!({
            "about": "the documents of a challenge, as in encodings.json; what the lock of its bond names, the name that the chain resolves it by, and what the staking contract is told",
            "filing": { "value": filing, "document": document(&filing) },
            "lock_purpose": filing.lock_purpose().to_hex(),
            "bond": filing.bond().0.to_hex(),
            "penalty": { "value": penalty, "document": document(&penalty) },
            "slashes": slashes.collect::<Vec<_>>(),
        }),
    );
    let read: Filing = bcs::from_bytes(&bytes_of(file, "/filing/document/canonical")).unwrap();
    assert_eq!(read, filing);
    let read: Penalty = bcs::from_bytes(&bytes_of(file, "/penalty/document/canonical")).unwrap();
    assert_eq!(read, penalty);
}

/// R077, D12: `vectors/commitment.json`.
#[test]
fn commitments_conform() {
    let record = CanonicalRecord {
        salt: [0x5a; 32],
        schema: SchemaVersion(1),
        subject: SubjectId::new("person-1").unwrap(),
        request: RequestId::new("receipt-1").unwrap(),
        values: [
            (attribute("commerce.amount"), Field::Cents(3_250)),
            (attribute("commerce.brand"), Field::Text("Luckin Coffee".into())),
            (attribute("commerce.purchase_date"), Field::Time(RecordMillis(1_799_000_000_000))),
            (attribute("geography.city"), Field::Text("上海".into())),
        ]
        .into(),
        local: [(attribute("till"), LocalValue::Number(7))].into(),
    };
    let file = "commitment.json";
    conforms(
        file,
        &json!({
            "about": "commitment = SHA-256 of the record's BCS bytes, without a tag",
            "record": record,
            "canonical": hex::encode(to_bytes(&record)),
            "commitment": record.commitment().to_string(),
        }),
    );
    let bytes = bytes_of(file, "/canonical");
    assert_eq!(bcs::from_bytes::<CanonicalRecord>(&bytes).unwrap(), record);
    assert_eq!(Digest::of_bytes(&bytes), record.commitment().0);
}

/// R077, R081: `vectors/move.json`.
#[test]
fn moves_conform() {
    let record = CanonicalRecord {
        salt: [0x31; 32],
        schema: SchemaVersion(1),
        subject: SubjectId::new("person-1").unwrap(),
        request: RequestId::new("coffee-1").unwrap(),
        values: [(attribute("commerce.merchant"), Field::Text("Luckin Coffee".to_owned()))].into(),
        local: [(attribute("till"), LocalValue::Text("two".into()))].into(),
    };
    let person = Person {
        subject: record.subject.clone(),
        contact: "person-1@example.org".to_owned(),
        wallet: None,
        spent: vec![(crate::stage::scope("marketing"), Epsilon(7))],
        values: vec![],
    };
    let items = vec![Item::Person(person), Item::Record(record)];
    let (from, to) = (VaultId::new("vault-a").unwrap(), VaultId::new("vault-b").unwrap());
    let invitation = Invitation {
        proposal: Digest([0x32; 32]),
        from: from.clone(),
        to: to.clone(),
        batches: 0,
        challenge: Digest([0x33; 32]),
        boot: Digest([0x34; 32]),
    };
    let after = Tally::default().with(&load(&items)).standing(invitation.proposal, (&from, &to), false);
    let offer = Offer {
        invitation: invitation.digest(),
        sealed: Digest([0x35; 32]),
        report: Digest([0x36; 32]),
        after: after.clone(),
    };
    let change = Change::MoveVault { from, to };
    conforms(
        "move.json",
        &json!({
            "about": "a move of everything from one Vault to another: the council's change, what travels, and what the Vaults sign",
            "change": {"value": change, "subject": change.subject(), "bytes": hex::encode(to_bytes(&change))},
            "items": {"value": items, "root": load(&items).root, "bytes": hex::encode(to_bytes(&items))},
            "invitation": {"value": invitation, "document": document(&invitation)},
            "offer": {"value": offer, "document": document(&offer)},
            "standing": {"value": after, "document": document(&after)},
            "signed": hex::encode(to_bytes(&key::<Vault>("vault-b").sign(after.clone()))),
        }),
    );
    let stored: SignedStanding = bcs::from_bytes(&bytes_of("move.json", "/signed")).unwrap();
    assert!(stored.verify(&key::<Vault>("vault-b").public()));
    assert_eq!(stored.body, after);
    let moved: Vec<Item> = bcs::from_bytes(&bytes_of("move.json", "/items/bytes")).unwrap();
    assert_eq!(moved, items);
}

/// R164, R184: `vectors/stake.json`.
#[test]
fn stakes_conform() {
    let account = |name: &str| key::<Wallet>(name).public().account();
    let entry = |tier, name, deposit, cooling, matures| {
        let (deposit, cooling, matures) = (Sym(deposit), Sym(cooling), OrderedMillis(matures));
        StakeEntry { tier, account: account(name), deposit, cooling, matures }
    };
    let entries = vec![
        entry(NodeTier::Master, "verifier", 300, 0, 0),
        entry(NodeTier::Enterprise, "operator", 80, 20, START.0),
    ];
    let sheet = StakeSheet { number: 1, entries };
    let pay = NodePay { epoch: 3, nodes: vec![(account("operator"), Sym(7))] };
    conforms(
        "stake.json",
        &json!({
            "about": "what nodes have staked, as masters endorse it, and whom they have paid for an epoch of inflation",
            "sheet": {"bytes": hex::encode(to_bytes(&sheet)), "digest": sheet.digest(), "value": sheet},
            "node_pay": {"bytes": hex::encode(to_bytes(&pay)), "digest": pay.digest(), "value": pay},
        }),
    );
}

/// R008, R184, R187: `vectors/enterprise.json`.
#[test]
fn enterprises_conform() {
    let account = |name: &str| key::<Wallet>(name).public().account();
    let name = |text: &str| ActorId::new(text).unwrap();
    let vault = VaultId::new("vault-d").unwrap();
    let enterprise = Enterprise {
        vault: vault.clone(),
        node: NodeId::new("enterprise-vault-d").unwrap(),
        address: "192.0.2.7:4000".into(),
        operator: name("operator:vault-d"),
        operator_account: account("operator"),
        executor: name("executor:vault-d"),
        executor_account: account("executor"),
        key: key::<Vault>("vault-d").public(),
        sealing_key: vec![7; 32],
        machine: Machine::Software { key: key::<SoftwarePlatform>("machine").public() },
    };
    let said = |change: &Change| json!({"subject": change.subject(), "bytes": hex::encode(to_bytes(change))});
    let admit = Change::AdmitEnterprise { enterprise: Box::new(enterprise.clone()) };
    conforms(
        "enterprise.json",
        &json!({
            "about": "an enterprise as the council admits it, and what else the council decides of one",
            "enterprise": {"digest": enterprise.digest(), "value": enterprise},
            "admit_enterprise": said(&admit),
            "suspend_node": said(&Change::SuspendNode { vault: vault.clone() }),
            "reinstate_node": said(&Change::ReinstateNode { vault: vault.clone() }),
            "release_enterprise": said(&Change::ReleaseEnterprise { vault }),
        }),
    );
    let stored: Change = bcs::from_bytes(&bytes_of("enterprise.json", "/admit_enterprise/bytes")).unwrap();
    assert_eq!(stored, admit);
}

/// R050, R051: `vectors/candidate.json`. What a Vault reports of an epoch, and the pool of what three say.
#[test]
fn candidates_conform() {
    let found = [("loyalty.tier", LocalKind::Text, 400), ("till.number", LocalKind::Number, 250)];
    let number = [("loyalty.tier", LocalKind::Text, 350), ("till.number", LocalKind::Text, 300)];
    let vault = |name: &str| VaultId::new(name).unwrap();
    let (a, b) = (vault("vault-a"), vault("vault-b"));
    let reports =
        [report(&a, 6, &found[..1]), report(&a, 7, &found), report(&b, 7, &number), report(&b, 6, &number)];
    let bodies = reports.iter().map(|report| &report.body);
    conforms(
        "candidate.json",
        &json!({
            "about": "reports of candidates for attributes, the pool of epoch 7 over them from two Vaults on, and the name of a report's charge",
            "charge": charge(&a, EpochId(7)),
            "reports": reports.iter().map(|report| json!({
                "document": document(&report.body), "signed": hex::encode(to_bytes(report)), "value": report.body,
            })).collect::<Vec<_>>(),
            "pool": pool(bodies, EpochId(7), 2),
        }),
    );
    let stored: SignedReport = bcs::from_bytes(&bytes_of("candidate.json", "/reports/1/signed")).unwrap();
    assert_eq!(stored, reports[1]);
}

/// R062, R078: `vectors/backup.json`.
#[test]
fn backups_conform() {
    let file = |name: &str, bytes: u64| BackupFile {
        name: name.to_owned(),
        bytes,
        digest: Digest::of_bytes(name.as_bytes()),
    };
    let backup = Backup {
        vault: VaultId::new("vault-a").unwrap(),
        number: 3,
        at: OrderedMillis(1_799_000_000_000),
        height: 42,
        head: Digest([0x21; 32]),
        frame: 77,
        chain: Digest([0x23; 32]),
        files: vec![
            file("segments/00000000000000000000000000000000.parquet", 9_000),
            file("vault.redb", 1 << 20),
        ],
    };
    conforms(
        "backup.json",
        &json!({
            "about": "the manifest of a Vault's backup: a signed document; each file by its SHA-256",
            "value": backup,
            "document": document(&backup),
            "signed": hex::encode(to_bytes(&key::<Vault>("vault-a").sign(backup.clone()))),
        }),
    );
    let stored: symphony_protocol::vault::backup::SignedBackup =
        bcs::from_bytes(&bytes_of("backup.json", "/signed")).unwrap();
    assert!(stored.verify(&key::<Vault>("vault-a").public()));
    assert_eq!(stored.body, backup);
}

/// R077, D12: `vectors/document.json`.
#[test]
fn document_commitments_and_erasures_conform() {
    let record = DocumentRecord {
        salt: [0x5a; 32],
        subject: SubjectId::new("person-1").unwrap(),
        content: Digest::of_bytes(b"%PDF-1.7"),
    };
    let erasure = Erasure {
        vault: VaultId::new("vault-a").unwrap(),
        commitment: record.commitment(),
        at: OrderedMillis(1_799_000_000_000),
        height: 42,
        head: Digest([0x21; 32]),
    };
    let person = PersonErasure {
        vault: VaultId::new("vault-a").unwrap(),
        subject: SubjectIndex(7),
        at: OrderedMillis(1_799_000_000_000),
        height: 43,
        head: Digest([0x22; 32]),
    };
    let file = "document.json";
    conforms(
        file,
        &json!({
            "about": "commitment = SHA-256 of the record's BCS bytes, without a tag; an erasure is a signed document",
            "record": record,
            "canonical": hex::encode(to_bytes(&record)),
            "commitment": record.commitment().to_string(),
            "erasure": {
                "value": erasure,
                "document": document(&erasure),
                "seed": hex::encode(Digest::of_bytes(b"vault-a").0),
                "signed": hex::encode(to_bytes(&key::<Vault>("vault-a").sign(erasure.clone()))),
            },
            "person_erasure": {
                "value": person,
                "document": document(&person),
                "signed": hex::encode(to_bytes(&key::<Vault>("vault-a").sign(person.clone()))),
            },
        }),
    );
    let bytes = bytes_of(file, "/canonical");
    assert_eq!(bcs::from_bytes::<DocumentRecord>(&bytes).unwrap(), record);
    assert_eq!(Digest::of_bytes(&bytes), record.commitment().0);
    let signed: SignedErasure = bcs::from_bytes(&bytes_of(file, "/erasure/signed")).unwrap();
    assert!(signed.verify(&key::<Vault>("vault-a").public()));
}

/// R149: `vectors/settlement_root.json`.
#[test]
fn settlement_roots_conform() {
    let (_, context, root) = settled(Script::default());
    let file = "settlement_root.json";
    conforms(
        file,
        &json!({
            "about": "RFC 9162 root over tagged parts of the context, in this order: task, envelope, slices, aggregate, rounds, verdict, fee, shares, software, finalized_at",
            "context": context,
            "canonical": hex::encode(to_bytes(&context)),
            "root": root.to_hex(),
        }),
    );
    let read: SettlementContext = bcs::from_bytes(&bytes_of(file, "/canonical")).unwrap();
    assert_eq!(settlement_root(&read), root);
}

/// R152, R155, R158, D16: `vectors/fee_split.json`.
#[test]
fn fees_and_splits_conform() {
    let prices = policy().fees;
    let fees: Vec<_> = [(3, 5_000, 110_000), (3, 4_321, 110_000), (1, 0, 1), (64, 1, 3_333_333)]
        .into_iter()
        .map(|(vaults, records, micro)| {
            let charge = PrivacyCharge { exposure: Epsilon(micro), noised: Epsilon(0) };
            let fee = fee(&prices, vaults, records, charge).unwrap();
            json!({ "vaults": vaults, "records": records, "micro_epsilon": micro, "fee": fee })
        })
        .collect();
    let cases: [(u64, &[(&str, u64)]); 6] = [
        (100, &[("a", 1), ("b", 1), ("c", 1)]),
        (101, &[("c", 1), ("b", 1), ("a", 1)]),
        (7, &[("a", 0), ("b", 2), ("c", 3)]),
        (5_954_000_003, &[("a", 4_500), ("b", 2_000), ("c", 1_400), ("d", 600), ("e", 750), ("f", 750)]),
        (u64::MAX, &[("a", u64::MAX), ("b", u64::MAX - 1), ("c", 1)]),
        (0, &[("a", 1)]),
    ];
    let splits: Vec<_> = cases
        .into_iter()
        .map(|(total, weights)| {
            json!({ "total": total, "weights": weights, "shares": split(Sym(total), weights).unwrap() })
        })
        .collect();
    conforms(
        "fee_split.json",
        &json!({
            "about": "amounts in base units; largest remainder, ties to the smaller recipient; epsilon rounds up",
            "prices": prices,
            "fees": fees,
            "splits": splits,
        }),
    );
}

/// R098, R104, D15, D20: `vectors/training.json`. The digest of the learner after a round, and what lies beside the journal,
/// are stand-ins; everything else is what a training of this request has.
#[test]
fn trainings_conform() {
    let request = propensity("t1");
    let mut world = World::new(Script::default());
    world.submit(&request, PLENTY).unwrap();
    let task = request.task();
    let position = world.train_until(&task, 2);
    let envelope = world.task(&task).envelope.clone();
    let order = RoundOrder {
        envelope: envelope.clone(),
        round: position.round,
        last: position.last,
        attempt: 1,
        state: position.state,
        vaults: envelope.coordination.participating_vault_ids.clone(),
        subjects: vec![65_536; 3],
        aggregator_boot: b"boot".to_vec(),
        helper_boot: None,
    };
    let nonces = |position: &Position| {
        let nonce = |vault| round_nonce(&envelope.digest(), vault, position).to_hex();
        let slices: Vec<_> =
            order.vaults.iter().map(|vault| json!({ "vault": vault, "nonce": nonce(vault) })).collect();
        json!({
            "round": position.round,
            "state": position.state.to_hex(),
            "slices": slices,
            "aggregate": round_aggregate_nonce(&envelope.digest(), position).to_hex(),
        })
    };
    world.train_until(&task, 5);
    while world.step(false) {}
    let plan = envelope.plan.training().unwrap();
    let losses: Vec<_> = (1..=5)
        .map(|round| {
            let last = round > plan.training.rounds;
            let (steps, evaluations) = plan.training.done(round, last);
            let spent = plan.training.spent(round, last, Extra::NONE).unwrap();
            json!({ "round": round, "last": last, "steps": steps, "evaluations": evaluations, "micro_epsilon": spent })
        })
        .collect();
    let round = world.state.rounds_of(&task).nth(1).unwrap().clone();
    let file = "training.json";
    conforms(
        file,
        &json!({
            "about": "the documents of a training, as in encodings.json; nonces of round one, from the initial learner, and of round two; what each person has lost after each round",
            "request": { "value": request, "document": document(&request) },
            "plan": { "value": plan, "canonical": hex::encode(to_bytes(plan)) },
            "envelope": document(&envelope),
            "order": { "value": without_envelope(&order), "document": document(&order) },
            "round": { "value": round, "document": document(&round) },
            "nonces": [nonces(&Position::FIRST), nonces(&position)],
            "prices": policy().train,
            "worst_case": terms(&governance(), &request, START).unwrap().worst_case,
            "losses": losses,
        }),
    );
    let read: TaskRequest = bcs::from_bytes(&bytes_of(file, "/request/document/canonical")).unwrap();
    assert_eq!(read, request);
    let read: RoundOrder = bcs::from_bytes(&bytes_of(file, "/order/document/canonical")).unwrap();
    assert_eq!((read.envelope.digest(), &read), (envelope.digest(), &order));
    let read: Round = bcs::from_bytes(&bytes_of(file, "/round/document/canonical")).unwrap();
    assert_eq!(read, round);
}

/// R094, R095, R096: `vectors/compute.json`.
#[test]
fn computations_conform() {
    let request = computation("c1");
    let terms = crate::compute::judged(&request).unwrap();
    let plan = terms.plan.compute().unwrap();
    let scales: Vec<_> = plan
        .groups()
        .iter()
        .map(|group| {
            let scale = plan.noise(group, 3);
            json!({ "group": group.name, "numerator": scale.numerator.to_string(), "denominator": scale.denominator.to_string() })
        })
        .collect();
    let file = "compute.json";
    conforms(
        file,
        &json!({
            "about": "the documents of a computation, as in encodings.json; the scale of each group's discrete Laplace noise over three Vaults; what is set aside and what it costs at most",
            "request": { "value": request, "document": document(&request) },
            "declaration": { "value": plan.declaration, "canonical": hex::encode(to_bytes(&plan.declaration)), "digest": plan.declaration.digest().to_hex() },
            "plan": { "value": plan, "canonical": hex::encode(to_bytes(plan)) },
            "noise": scales,
            "fuel_max": plan.fuel_max(),
            "prices": policy().compute,
            "worst_case": terms.worst_case,
        }),
    );
    let read: TaskRequest = bcs::from_bytes(&bytes_of(file, "/request/document/canonical")).unwrap();
    assert_eq!(read, request);
}

/// R018, R088: `vectors/statistic.json`.
#[test]
fn statistics_conform() {
    use crate::statistic::{groups, measuring, statistic, sum};
    let request = statistic("s1");
    let plans = [Measure::People, sum(), groups()].map(|measure| {
        let terms = measuring(measure).unwrap();
        let plan = terms.plan.statistic().unwrap();
        let scale = plan.noise(3);
        json!({
            "plan": { "value": plan, "canonical": hex::encode(to_bytes(plan)) },
            "cells": plan.cells(),
            "noise": { "numerator": scale.numerator.to_string(), "denominator": scale.denominator.to_string() },
            "worst_case": terms.worst_case,
        })
    });
    let file = "statistic.json";
    conforms(
        file,
        &json!({
            "about": "the documents of statistics, as in encodings.json: the request of a count, and what a count, a sum and a histogram over the same selection become; the scale of each cell's discrete Laplace noise over three Vaults; what it costs at most",
            "request": { "value": request, "document": document(&request) },
            "plans": plans,
        }),
    );
    let read: TaskRequest = bcs::from_bytes(&bytes_of(file, "/request/document/canonical")).unwrap();
    assert_eq!(read, request);
}

/// The fields of an order beside its envelope.
fn without_envelope(order: &RoundOrder) -> Value {
    let mut value = serde_json::to_value(order).unwrap();
    value.as_object_mut().unwrap().remove("envelope");
    value
}

/// R032, R209: `vectors/task_id.json`.
#[test]
fn task_ids_conform() {
    let ids: Vec<_> = ["c1", "c2", "2026:spring_campaign-7.b"]
        .into_iter()
        .map(|request| {
            let request = campaign(request);
            json!({
                "submitter": request.submitter,
                "request": request.request,
                "canonical": hex::encode(to_bytes(&(&request.submitter, &request.request))),
                "task_id": request.task().to_string(),
            })
        })
        .collect();
    conforms("task_id.json", &json!({ "tag": "symphony/task-id/v1", "tasks": ids }));
}

/// R020: `vectors/lock_purpose.json`.
#[test]
fn lock_purposes_conform() {
    let purposes: Vec<_> = ["c1", "c2", "2026:spring_campaign-7.b"]
        .into_iter()
        .map(|request| {
            let request = campaign(request);
            json!({
                "submitter": request.submitter,
                "request": request.request,
                "canonical": hex::encode(to_bytes(&request)),
                "purpose": request.lock_purpose().to_hex(),
            })
        })
        .collect();
    conforms("lock_purpose.json", &json!({ "tag": TaskRequest::TAG, "locks": purposes }));
}

/// D15: `vectors/merkle.json`.
#[test]
fn merkle_trees_conform() {
    let trees: Vec<_> = [0usize, 1, 2, 3, 5, 8, 13]
        .into_iter()
        .map(|count| {
            let inputs: Vec<_> = (0..count).map(|at| vec![at as u8; at]).collect();
            let leaves: Vec<_> = inputs.iter().map(|input| merkle::leaf(input)).collect();
            let proofs: Vec<Vec<_>> = (0..count)
                .map(|at| {
                    let path = merkle::inclusion_proof(&leaves, at).unwrap();
                    path.iter().map(Digest::to_hex).collect()
                })
                .collect();
            json!({
                "inputs": inputs.iter().map(hex::encode).collect::<Vec<_>>(),
                "root": merkle::root(&leaves).to_hex(),
                "proofs": proofs,
            })
        })
        .collect();
    conforms("merkle.json", &json!({ "about": "RFC 9162 section 2.1, SHA-256", "trees": trees }));
}

/// Every file of the folder is named by a test of some crate.
#[test]
fn every_vector_file_is_read() {
    let crates = Path::new("..").to_owned();
    let mut sources = String::new();
    let mut folders = vec![crates.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    for entry in std::fs::read_dir(crates.join("../vectors")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(sources.contains(&format!("\"{name}\"")), "{name} is read by no test");
    }
}
