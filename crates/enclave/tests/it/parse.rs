//! The extraction of a parse: bound to its order, its Vault and its person (R082-R084, R110, R116).

use std::collections::BTreeMap;

use symphony_compute::parse::Scan;
use symphony_compute::parse::layout::{Region, Word};
use symphony_compute::parse::record::Sheet;
use symphony_protocol::artifact::Versions;
use symphony_protocol::artifact::parse::{EndorsedParse, ParseOrder, ParseOutcome, ParseTicket};
use symphony_protocol::execution::parse::parse_nonce;
use symphony_protocol::governance::semantics::ValueType;
use symphony_tee::appraise::{Expected, appraise};
use symphony_tee::report::{EnclaveRole, SignedReport};
use symphony_types::digest::Digest;
use symphony_types::id::{
    ActorId, Commitment, EpochId, GovernanceSequence, PolicyVersion, RequestId, SchemaVersion,
    SemanticVersion, SubjectId,
};
use symphony_types::time::OrderedMillis;
use symphony_wire::documents::{decode, encode};
use symphony_wire::enclave::{Answer, Call, purpose};
use symphony_wire::sealed::seal;

use crate::stage::{Stage, attribute, measurement, name_of, vault};

const RECEIPT: [&str; 6] = [
    "Northern Lamp Pte Ltd",
    "Singapore 238801",
    "Receipt No: 10045",
    "Date: 25/03/2018 19:04:00",
    "Total SGD 12.50",
    "Cash 20.00",
];

fn order(stage: &Stage, owner: &str) -> EndorsedParse {
    let ticket = ParseTicket {
        vault: vault(1),
        document: Commitment(Digest([4; 32])),
        owner: ActorId::new(owner).unwrap(),
        request: RequestId::new("parse").unwrap(),
        expires: OrderedMillis(9_000),
    };
    stage.master.endorsed(ParseOrder {
        task: ticket.task(),
        ticket,
        versions: Versions {
            schema: SchemaVersion(1),
            semantic: SemanticVersion(1),
            policy: PolicyVersion(1),
            governance: GovernanceSequence(0),
        },
        epoch: EpochId(0),
        admitted_at: OrderedMillis(1_000),
        execute_by: OrderedMillis(5_000),
        measurements: vec![measurement()],
        software_admitted: true,
    })
}

fn sheet(rows: &[&str]) -> Sheet {
    let mut words = Vec::new();
    for (row, text) in (0_u32..).zip(rows) {
        for (column, word) in (0_u32..).zip(text.split(' ')) {
            let (left, top) = (20 + 90 * column, 40 * row);
            let at = Region { page: 0, left, top, right: left + 80, bottom: top + 24 };
            words.push(Word { text: word.to_owned(), bps: 9_500, at });
        }
    }
    let attributes = [("commerce.merchant", ValueType::Text), ("commerce.amount", ValueType::Cents)];
    let attributes: BTreeMap<_, _> = attributes.map(|(name, value)| (attribute(name), value)).into();
    Sheet {
        salt: [7; 32],
        schema: SchemaVersion(1),
        subject: SubjectId::new("alice").unwrap(),
        request: RequestId::new("parse").unwrap(),
        attributes,
        scans: vec![Scan { words }],
    }
}

fn call(stage: &Stage, order: &EndorsedParse, sheet: &Sheet) -> Call {
    let key = &stage.slices[&vault(1)].boot.body.hpke_key;
    let aad = encode(&(order.body.task, &order.body.ticket.vault, order.body.execute_by));
    let sheet = seal(key, purpose::SHEET, &aad, &encode(sheet)).unwrap();
    Call::Extract { order: order.clone(), sheet, masters: vec![stage.master.public()] }
}

/// R082, R083, R084, R110, R116: the record of the words, and a report that binds them to the order and the document.
#[test]
fn words_become_an_attested_record() {
    let stage = Stage::new();
    let (order, sheet) = (order(&stage, "alice"), sheet(&RECEIPT));
    let slice = &stage.slices[&vault(1)];
    let answer = slice.call(&call(&stage, &order, &sheet));
    let Answer::Extracted { expense, record, quality, report } = answer else {
        panic!("{}", name_of(&answer))
    };
    let read = sheet.read().unwrap();
    assert_eq!((&record, &expense, quality), (&read.record, &read.expense.canonical(), read.quality));
    let outcome = ParseOutcome::Parsed { record: record.commitment(), quality };
    let report: SignedReport = decode(&report).unwrap();
    let expected = Expected {
        task: order.body.task,
        step: "slice:vault-1".into(),
        nonce: parse_nonce(&order.body),
        input_root: Some(sheet.root()),
        output: outcome.digest(&order.body.ticket.document),
        actor: ActorId::new("operator-1").unwrap(),
        role: EnclaveRole::Slice,
        module: None,
        purged: true,
    };
    assert_eq!(appraise(&slice.boot, &report, &stage.policy, &expected), Ok(()));
    let other = Expected { output: outcome.digest(&Commitment(Digest([5; 32]))), ..expected };
    assert!(appraise(&slice.boot, &report, &stage.policy, &other).is_err());
}

/// R082, R110, R126, R195: no order, another person's or another Vault's words, or no receipt: refused by code.
#[test]
fn what_does_not_belong_to_the_order_is_refused() {
    let stage = Stage::new();
    let (own, words) = (order(&stage, "alice"), sheet(&RECEIPT));
    let slice = &stage.slices[&vault(1)];
    let refused = |call: &Call| match slice.call(call) {
        Answer::Refused { code, .. } => code.as_str(),
        other => panic!("{}", name_of(&other)),
    };
    let unsigned = EndorsedParse { body: own.body.clone(), endorsements: vec![] };
    assert_eq!(refused(&call(&stage, &unsigned, &words)), "EXE-0006");
    assert_eq!(refused(&call(&stage, &order(&stage, "bob"), &words)), "VLT-0001");
    assert_eq!(refused(&call(&stage, &own, &sheet(&["we meet on sunday in the hall"]))), "VLT-0013");
    let Call::Extract { sheet, .. } = call(&stage, &own, &words) else { unreachable!() };
    let masters = vec![stage.master.public()];
    let moved = Call::Extract { order: order(&stage, "bob"), sheet: sheet.clone(), masters: masters.clone() };
    assert_eq!(refused(&moved), "VLT-0007");
    let cut = sheet[..sheet.len() - 1].to_vec();
    assert_eq!(refused(&Call::Extract { order: own.clone(), sheet: cut, masters }), "VLT-0007");
    let aggregator = stage.aggregator.call(&call(&stage, &own, &words));
    assert!(matches!(aggregator, Answer::Refused { code, .. } if code.as_str() == "ADM-0003"));
}
