//! Every refusal of the coupon campaign on a running network: its catalogue code, and afterwards nothing that is
//! still reserved or locked (R015-R025, R017, R048-R050, R057-R067, R088-R090, R107, R108, R125, R128, R130, R132, R209,
//! R210).

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use symphony_chain::ledger::escrow::LockState;
use symphony_chain::ledger::query::{Answer, Query};
use symphony_protocol::artifact::Outcome;
use symphony_sdk::campaign::{CampaignSpec, Delivered, Submitter};
use symphony_sdk::client::{Client, ClientError, Upload};
use symphony_sdk::shape::{Fee, Operand, Quote, SubmitTaskRequest, Task};
use symphony_types::amount::{SYM_UNIT, Sym};
use symphony_types::digest::Digest;
use symphony_types::id::{LockRef, RequestId, TaskId};

use crate::network::{
    Network, Person, TURN, VAULTS, code, contact, crowd, eventually, now_ms, spec, subject,
};

/// What one campaign charges a person. **Units**: millionths of epsilon.
const CHARGE: u64 = 600_000;

struct Stage {
    network: Network,
    luckin: Submitter,
    people: Vec<Person>,
}

/// R015-R025, R048-R050, R057-R067, R088-R090, R107, R108, R128, R209, R210
#[tokio::test]
async fn a_refusal_has_its_code_and_leaves_nothing_behind() {
    let _turn = TURN.lock().await;
    // The limit of marketing is six charges.
    let policy = "prepare=2000,execute=6000,challenge=200,epoch=1500,marketing=3600000";
    let network = Network::start(&["--policy", policy]);
    network.ready().await;
    // Sixty a Vault who bought it, and ten who bought elsewhere.
    let mut people = crowd(60);
    people.extend(crowd(70).into_iter().skip(180).map(|person| Person { eligible: false, ..person }));
    network.upload("crowd", &people).await;
    let stage = Stage { luckin: network.submitter("luckin"), network, people };
    stage.nobody_is_heard_without_its_own_token().await;
    stage.escrow_is_required().await;
    stage.a_query_without_an_allowed_meaning_is_refused_and_refunded().await;
    stage.too_few_prepared_vaults_refuse_and_refund().await;
    stage.an_unapproved_enclave_rejects_the_task().await;
    stage.everybody_is_charged(0).await;
    stage.the_same_request_twice_is_one_task().await;
    stage.a_lost_attestation_rejects_the_task().await;
    stage.a_silent_vault_is_left_out_when_the_quorum_holds().await;
    stage.withdrawn_consent_excludes().await;
    stage.too_few_people_are_suppressed().await;
    stage.a_quorum_that_breaks_after_admission_rejects_and_refunds().await;
    stage.exhausted_budget_excludes_everybody().await;
}

/// R130
#[tokio::test]
async fn a_production_policy_refuses_software_enclaves() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--masters", "1", "--profile", "production", "--policy", "epoch=1500"]);
    network.ready().await;
    let stage = Stage { luckin: network.submitter("luckin"), network, people: vec![] };
    let client = &stage.luckin.client;
    assert_eq!(code(client.quote(&spec().task()).await), "ADM-0019");
    // Locked all the same, by somebody who did not ask for a quote.
    let none = Sym::ZERO;
    let fee = |base| Fee {
        base,
        vaults: none,
        records: none,
        aggregation: none,
        fuel: none,
        epsilon: none,
        total: base,
    };
    let quote = Quote {
        rounds_possible: 0,
        fuel_max: 0,
        policy_version: 1,
        semantic_version: 1,
        worst_case: Some(fee(Sym(1_000 * SYM_UNIT))),
        exposure_micro_epsilon: 0,
        noised_micro_epsilon: 0,
        minimum_result_cardinality: 50,
        coverage: vec![],
        lock_until_ms: now_ms() + 600_000,
    };
    let request = request("production");
    let asked =
        spec().task().request(&stage.luckin.actor, &request, stage.luckin.recipient.public()).unwrap();
    let lock = stage.luckin.wallet.lock(client, &asked, &quote).await.unwrap();
    assert_eq!(code(stage.submit(&spec(), &request, lock).await), "ADM-0019");
    stage.refunded(&request, lock, "admission_refused", "ADM-0019").await;
}

impl Stage {
    /// R015, R016, R203
    async fn nobody_is_heard_without_its_own_token(&self) {
        let other = tempfile::tempdir().unwrap();
        let made = Command::new(env!("CARGO_BIN_EXE_symphonyd"))
            .args(["dev", "--create-only", "--dir"])
            .arg(other.path().join("network"))
            .status()
            .unwrap();
        assert!(made.success());
        let foreign = fs::read_to_string(other.path().join("network/clients/luckin/token")).unwrap();
        let valid = fs::read_to_string(self.network.dir.join("clients/luckin/token")).unwrap();
        let spec = spec().task();
        for token in [
            None,
            Some(foreign),
            Some(self.expired_token()),
            Some(valid.replace('.', "..")),
            Some("x".into()),
        ] {
            let client =
                Client::new(&self.network.gateway(), Some(&self.network.ca()), token.as_deref()).unwrap();
            assert_eq!(code(client.quote(&spec).await), "ADM-0002", "{token:?}");
            assert_eq!(code(client.status().await), "ADM-0002");
        }
        // Proven, but nobody who may submit, or not for this use.
        let stranger = self.network.client_as("stranger", "submitter");
        assert_eq!(code(stranger.quote(&spec).await), "ADM-0003");
        let operator = self.network.client("operator-vault-a");
        assert_eq!(code(operator.quote(&spec).await), "ADM-0003");
        let research = CampaignSpec { usage_scope: "research".to_owned(), ..crate::network::spec() };
        assert_eq!(code(self.luckin.client.quote(&research.task()).await), "ADM-0003");
        self.refused_after_locking("research", &research, "ADM-0003").await;
        let unknown = CampaignSpec { usage_scope: "astrology".to_owned(), ..crate::network::spec() };
        assert_eq!(code(self.luckin.client.quote(&unknown.task()).await), "ADM-0011");
    }

    fn expired_token(&self) -> String {
        let claims = json!({
            "sub": "luckin", "roles": ["submitter"], "iss": "https://issuer.symphony.internal",
            "aud": "symphony", "iat": now_ms() / 1000 - 7_200, "exp": now_ms() / 1000 - 3_600,
        });
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some("development".to_owned());
        let key = fs::read(self.network.dir.join("issuer/issuer.key")).unwrap();
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_pem(&key).unwrap()).unwrap()
    }

    /// R020, R025, R156
    async fn escrow_is_required(&self) {
        let (client, wallet, actor) = (&self.luckin.client, &self.luckin.wallet, &self.luckin.actor);
        let none = LockRef(Digest::of_bytes(b"no lock"));
        assert_eq!(code(self.submit(&spec(), &request("unpaid"), none).await), "ADM-0006");
        assert_eq!(code(client.task(self.task_id(&request("unpaid"))).await), "ADM-0004", "R026: no trace");
        let quote = client.quote(&spec().task()).await.unwrap();
        let mut low = quote.clone();
        low.worst_case.as_mut().unwrap().total.0 -= 1;
        let small = request("one-unit-short");
        let asked = spec().task().request(actor, &small, self.luckin.recipient.public()).unwrap();
        let lock = wallet.lock(client, &asked, &low).await.unwrap();
        // Nor does it pay for something else under the same name: the wallet signed for all that is asked (R195).
        let mut wider = spec();
        wider.cap += 1;
        assert_eq!(code(self.submit(&wider, &small, lock).await), "ADM-0022");
        assert_eq!(code(self.submit(&spec(), &small, lock).await), "ADM-0007");
        // The lock of one request does not pay for another.
        assert_eq!(code(self.submit(&spec(), &request("thief"), lock).await), "ADM-0022");
        self.refunded(&small, lock, "admission_refused", "ADM-0007").await;
    }

    /// R018, R022, R023, R048, R049, R050
    async fn a_query_without_an_allowed_meaning_is_refused_and_refunded(&self) {
        let rule = |rule: &str| Operand { rule: rule.to_owned(), ..Operand::default() };
        let with = |operand: Operand| {
            let mut changed = spec();
            changed.operands.push(operand);
            changed
        };
        let text = |name: &str| Operand { text: Some("x".to_owned()), ..rule(name) };
        let cases = [
            ("unknown", "ADM-0008", with(text("commerce.star_sign"))),
            ("cross", "ADM-0009", with(Operand { at_least: Some(100), ..rule("commerce.amount_at_least") })),
            ("card", "ADM-0010", with(text("commerce.card_match"))),
            ("output", "ADM-0010", CampaignSpec { output: "commerce.amount".to_owned(), ..spec() }),
            ("vault", "ADM-0012", CampaignSpec { vaults: vec!["vault-z".to_owned()], quorum: 1, ..spec() }),
            ("quorum", "ADM-0013", CampaignSpec { quorum: 4, ..spec() }),
            ("cap", "ADM-0014", CampaignSpec { cap: 5_001, ..spec() }),
        ];
        for (name, expected, wrong) in cases {
            assert_eq!(code(self.luckin.client.quote(&wrong.task()).await), expected);
            self.refused_after_locking(name, &wrong, expected).await;
        }
    }

    /// R019, R025, R107
    async fn too_few_prepared_vaults_refuse_and_refund(&self) {
        let (silent, request) = (self.network.pid("enterprise-vault-c"), request("silent-vault"));
        let lock = self.luckin.lock(&spec(), &request, |_| {}).await.unwrap();
        self.network.pause(silent, true);
        let refused = self.submit(&spec(), &request, lock).await;
        self.network.pause(silent, false);
        assert_eq!(code(refused), "ADM-0015");
        self.refunded(&request, lock, "admission_refused", "ADM-0015").await;
    }

    /// R095, R128, R132
    async fn an_unapproved_enclave_rejects_the_task(&self) {
        let config = self.network.dir.join("enterprise-vault-c/node.toml");
        let approved = fs::read_to_string(&config).unwrap();
        let program = self.network.dir.join("other-enclave");
        fs::copy(PathBuf::from(env!("CARGO_BIN_EXE_symphonyd")).with_file_name("symphony-enclave"), &program)
            .unwrap();
        fs::OpenOptions::new().append(true).open(&program).unwrap().write_all(&[0]).unwrap();
        fs::write(&config, format!("{approved}enclave = {:?}\n", program)).unwrap();
        self.restart("vault-c").await;
        let request = request("other-enclave");
        let ended = self.luckin.run(&spec(), &request, |_| {}).await.unwrap();
        assert_eq!((ended.task.state.as_str(), ended.task.code.as_str()), ("rejected", "EXE-0004"));
        assert!(ended.audience.is_none());
        self.refunded(&request, self.lock_of(&request).await, "rejected", "EXE-0004").await;
        assert_eq!(code(self.luckin.client.result(ended.task.task_id).await), "EXE-0008");
        fs::write(&config, approved).unwrap();
        self.restart("vault-c").await;
    }

    /// R089, R209
    async fn the_same_request_twice_is_one_task(&self) {
        let (client, request) = (&self.luckin.client, request("twice"));
        let spec = CampaignSpec { cap: 60, ..spec() };
        let before = self.luckin.wallet.holding(client).await.unwrap();
        let lock = self.luckin.lock(&spec, &request, |_| {}).await.unwrap();
        assert_eq!(self.luckin.lock(&spec, &request, |_| {}).await.unwrap(), lock);
        let (first, second) =
            tokio::join!(self.submit(&spec, &request, lock), self.submit(&spec, &request, lock));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!(first.task_id, second.task_id);
        let other = CampaignSpec { cap: 61, ..spec.clone() };
        assert_eq!(code(self.submit(&other, &request, lock).await), "ADM-0005");
        let ended = self.luckin.run(&spec, &request, |_| {}).await.unwrap();
        assert_eq!(ended.task.task_id, first.task_id);
        // More are eligible than were asked for: exactly the cap, of those who are.
        let audience = handles(&ended);
        assert_eq!((ended.task.returned, audience.len()), (60, 60));
        assert!(audience.is_subset(&self.eligible()));
        let paid = self.network.settled(client, first.task_id).await;
        let after = self.luckin.wallet.holding(client).await.unwrap();
        assert_eq!(after.sequence, before.sequence + 1, "one transaction, one lock");
        assert_eq!(before.balance.0 - after.balance.0, paid.charged.unwrap().total.0, "paid once");
        self.nothing_is_reserved().await;
        self.everybody_is_charged(CHARGE).await;
        let brand = self.network.client("brand-b");
        assert_eq!(code(brand.task(first.task_id).await), "ADM-0004");
        assert_eq!(code(brand.result(first.task_id).await), "ADM-0004");
        assert_eq!(code(brand.evidence(first.task_id).await), "ADM-0004");
        // The same data under another task is another draw.
        let again = self.luckin.run(&spec, &crate::refusals::request("another-draw"), |_| {}).await.unwrap();
        assert_eq!(again.task.returned, 60);
        assert_ne!(handles(&again), audience);
    }

    /// R125, R132
    async fn a_lost_attestation_rejects_the_task(&self) {
        let request = request("lost-report");
        let lock = self.luckin.lock(&spec(), &request, |_| {}).await.unwrap();
        // Nothing is aggregated or verified before the last slice is there.
        let last = self.network.enclave_pid("enterprise-vault-c").unwrap();
        self.network.pause(last, true);
        let task = self.submit(&spec(), &request, lock).await.unwrap().task_id;
        // A majority of the masters keeps a report before the slice counts; it is lost on all of them.
        let masters = self.network.masters();
        let reports = || -> Vec<PathBuf> {
            let folders =
                masters.iter().map(|master| self.network.dir.join(format!("{master}/data/blobs/{task}")));
            let files = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten();
            let paths = files.map(|file| file.unwrap().path());
            paths.filter(|path| path.to_string_lossy().contains("/slice-report-vault-a.")).collect()
        };
        let whole = |path: &PathBuf| path.extension().is_none_or(|extension| extension != "part");
        let majority = masters.len() / 2 + 1;
        eventually("a slice is reported", async || {
            (reports().iter().filter(|path| whole(path)).count() >= majority).then_some(())
        })
        .await;
        for report in reports() {
            fs::remove_file(report).unwrap();
        }
        self.network.pause(last, false);
        self.luckin.client.watch(task, |_| {}).await.unwrap();
        assert!(reports().is_empty(), "nobody made it again");
        assert_eq!(code(self.luckin.client.result(task).await), "EXE-0008");
        self.refunded(&request, lock, "rejected", "EXE-0003").await;
        // What people's data gave is charged to them, though nobody was paid.
        self.everybody_is_charged(3 * CHARGE).await;
    }

    /// R108, R199
    async fn a_silent_vault_is_left_out_when_the_quorum_holds(&self) {
        let enclave = self.network.enclave_pid("enterprise-vault-c").unwrap();
        self.network.pause(enclave, true);
        let two = CampaignSpec { quorum: 2, ..spec() };
        let ended = self.luckin.run(&two, &request("two-of-three"), |_| {}).await;
        self.network.pause(enclave, false);
        let ended = ended.unwrap();
        assert_eq!(
            (ended.task.state.as_str(), ended.task.returned),
            ("completed", 120),
            "{}",
            ended.task.code
        );
        let missing = ended.task.slices.iter().find(|slice| slice.vault_id == "vault-c").unwrap();
        assert_eq!(missing.state, "missing");
        self.network.settled(&self.luckin.client, ended.task.task_id).await;
        self.nothing_is_reserved().await;
    }

    /// R057, R059
    async fn withdrawn_consent_excludes(&self) {
        let mut gone = BTreeSet::new();
        for (index, vault) in VAULTS.iter().enumerate() {
            let leaving: Vec<_> = self.people.iter().filter(|person| person.vault == index).take(5).collect();
            let lines: Vec<_> = leaving
                .iter()
                .map(|person| json!({"subject": subject(person), "scope": "marketing", "state": "withdrawn"}))
                .collect();
            assert_eq!(self.network.put(vault, Upload::Consents, "withdraw", &lines).await.accepted, 5);
            gone.extend(leaving.into_iter().map(contact));
        }
        let ended = self.luckin.run(&spec(), &request("after-withdrawal"), |_| {}).await.unwrap();
        assert_eq!(handles(&ended), &self.eligible() - &gone);
    }

    /// R088
    async fn too_few_people_are_suppressed(&self) {
        let mut rare = spec();
        rare.operands[0].text = Some("FairPrice".to_owned());
        let ended = self.luckin.run(&rare, &request("rare"), |_| {}).await.unwrap();
        suppressed(&ended);
        self.network.settled(&self.luckin.client, ended.task.task_id).await;
        self.nothing_is_reserved().await;
    }

    /// R025, R107, R176
    async fn a_quorum_that_breaks_after_admission_rejects_and_refunds(&self) {
        let enclave = self.network.enclave_pid("enterprise-vault-b").unwrap();
        let request = request("broken-quorum");
        self.network.pause(enclave, true);
        let ended = self.luckin.run(&spec(), &request, |_| {}).await;
        self.network.pause(enclave, false);
        let ended = ended.unwrap();
        assert_eq!((ended.task.state.as_str(), ended.task.code.as_str()), ("rejected", "EXE-0001"));
        assert!(ended.audience.is_none());
        self.refunded(&request, self.lock_of(&request).await, "rejected", "EXE-0001").await;
    }

    /// R067, R068
    async fn exhausted_budget_excludes_everybody(&self) {
        // The limit of the scope is six charges; those that a Vault missed are made up for here.
        let mut ended = None;
        for round in 0..4 {
            let run = self.luckin.run(&spec(), &request(&format!("last-{round}")), |_| {}).await.unwrap();
            assert_eq!(run.task.state, "completed");
            let over = run.task.returned == 0;
            ended = Some(run);
            if over {
                break;
            }
        }
        suppressed(&ended.unwrap());
        self.nothing_is_reserved().await;
        for (index, vault) in VAULTS.iter().enumerate() {
            let operator = self.network.client(&format!("operator-{vault}"));
            let person = self.people.iter().filter(|person| person.vault == index).nth(30).unwrap();
            let budget = operator.budget(vault, &subject(person)).await.unwrap();
            let marketing = budget.iter().find(|entry| entry.usage_scope == "marketing").unwrap();
            assert_eq!(
                marketing.committed_micro_epsilon, marketing.limit_micro_epsilon,
                "used up, not exceeded"
            );
        }
    }

    /// Locks what the plain campaign costs, then asks for something that is refused.
    async fn refused_after_locking(&self, name: &str, wrong: &CampaignSpec, expected: &str) {
        let request = request(name);
        let (client, wallet) = (&self.luckin.client, &self.luckin.wallet);
        // What is refused has no quote; the lock is as large as that of a right one, and for the wrong one.
        let quote = client.quote(&spec().task()).await.unwrap();
        let asked =
            wrong.task().request(&self.luckin.actor, &request, self.luckin.recipient.public()).unwrap();
        let lock = wallet.lock(client, &asked, &quote).await.unwrap();
        assert_eq!(code(self.submit(wrong, &request, lock).await), expected);
        // Told again, not decided again.
        assert_eq!(code(self.submit(wrong, &request, lock).await), expected);
        self.refunded(&request, lock, "admission_refused", expected).await;
    }

    /// R025, R176: the money is back and no budget is held.
    async fn refunded(&self, request: &RequestId, lock: LockRef, state: &str, code: &str) {
        let id = self.task_id(request);
        let task = self.network.settled(&self.luckin.client, id).await;
        assert_eq!((task.state.as_str(), task.code.as_str()), (state, code));
        assert_eq!(task.charged, None);
        let Answer::Lock(Some(lock)) = self.luckin.client.query(Query::Lock(lock)).await.unwrap() else {
            panic!("the lock is gone")
        };
        assert_eq!(lock.held, Sym::ZERO);
        assert_eq!(lock.state, LockState::Settled { task: id, charged: Sym::ZERO, refunded: lock.amount });
        self.nothing_is_reserved().await;
    }

    async fn nothing_is_reserved(&self) {
        for (index, vault) in VAULTS.iter().enumerate() {
            let operator = self.network.client(&format!("operator-{vault}"));
            let here: Vec<_> = self.people.iter().filter(|person| person.vault == index).collect();
            for person in [here.first(), here.get(30), here.last()].into_iter().flatten() {
                eventually("nothing is reserved", async || {
                    let budget = operator.budget(vault, &subject(person)).await.ok()?;
                    budget.iter().all(|entry| entry.reserved_micro_epsilon == 0).then_some(())
                })
                .await;
            }
        }
    }

    /// What the campaigns so far have charged a person of every Vault.
    async fn everybody_is_charged(&self, beyond: u64) {
        for (index, vault) in VAULTS.iter().enumerate() {
            let operator = self.network.client(&format!("operator-{vault}"));
            let person = self.people.iter().find(|person| person.vault == index).unwrap();
            let budget = operator.budget(vault, &subject(person)).await.unwrap();
            assert!(!budget.is_empty());
            let charged = |scope: &str| matches!(scope, "" | "marketing");
            for entry in budget.iter().filter(|entry| charged(&entry.usage_scope)) {
                assert_eq!(entry.committed_micro_epsilon, beyond, "{vault} {}", entry.usage_scope);
            }
        }
    }

    async fn submit(
        &self,
        spec: &CampaignSpec,
        request: &RequestId,
        lock: LockRef,
    ) -> Result<Task, ClientError> {
        let request = SubmitTaskRequest {
            request_id: request.to_string(),
            spec: spec.task(),
            budget_lock_ref: lock.to_string(),
            recipient_key: hex::encode(self.luckin.recipient.public()),
        };
        self.luckin.client.submit(&request).await
    }

    /// The lock that was made for a request: asking for it again does not make another.
    async fn lock_of(&self, request: &RequestId) -> LockRef {
        self.luckin.lock(&spec(), request, |_| {}).await.unwrap()
    }

    fn task_id(&self, request: &RequestId) -> TaskId {
        TaskId(Digest::of("symphony/task-id/v1", &(&self.luckin.actor, request)))
    }

    fn eligible(&self) -> BTreeSet<String> {
        self.people.iter().filter(|person| person.eligible).map(contact).collect()
    }

    /// Kills a Vault's node and waits until the master has heard of its successor.
    async fn restart(&self, vault: &str) {
        self.network.kill(self.network.pid(&format!("enterprise-{vault}")));
        let killed = now_ms();
        eventually("the vault is back", async || {
            let status = self.luckin.client.status().await.ok()?;
            status.nodes.iter().any(|node| node.node == vault && node.seen_ms > killed).then_some(())
        })
        .await;
    }
}

fn handles(delivered: &Delivered) -> BTreeSet<String> {
    delivered.audience.as_ref().unwrap().handles.iter().cloned().collect()
}

fn suppressed(ended: &Delivered) {
    assert_eq!((ended.task.state.as_str(), ended.task.code.as_str()), ("completed", "EXE-0002"));
    let audience = ended.audience.as_ref().unwrap();
    assert_eq!((ended.task.returned, audience.outcome), (0, Outcome::Suppressed));
    assert!(audience.handles.is_empty() && audience.eligible_noised.is_none());
}

fn request(name: &str) -> RequestId {
    RequestId::new(name).unwrap()
}
