//! Parses in a Vault, with the real reading process and the real enclave: read, repeated, recognised, refused, erased.

use std::sync::Arc;

use symphony_protocol::artifact::parse::{EndorsedParse, ParseOrder, ParseOutcome, SignedTicket};
use symphony_protocol::artifact::{Attestation, Versions};
use symphony_protocol::execution::parse::{genuine, parse_nonce};
use symphony_protocol::verification::Expectation;
use symphony_reader::protocol::Programs;
use symphony_reader::render::{self, Day, page};
use symphony_tee::report::EnclaveRole;
use symphony_tee::{governed, measure};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{EpochId, GovernanceSequence, PolicyVersion, SchemaVersion, SemanticVersion};
use symphony_types::time::OrderedMillis;
use symphony_vault::agent::Agent;
use symphony_vault::parse::Parsed;
use symphony_wire::documents::decode;
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{
    CorrectReceipt, Correction, DrawReceipt, EraseReceipt, ListReceipts, ParseReceipt, PutReceipt,
    ReadReceipt, ReceiptEntry, VaultAnswer,
};

use crate::world::*;

const P0: (&str, &str) = ("p0", "producer");
const P1: (&str, &str) = ("p1", "producer");
const DAY: Day = Day { year: 2026, month: 3, day: 4 };

/// A Vault that can read, with its enclave.
struct Desk {
    world: World,
    agent: Arc<Agent>,
}

impl Desk {
    async fn new() -> Self {
        let enclave = program("symphony-enclave");
        let mut world = World::with(&[measure::program(&enclave).unwrap()]);
        world.reader.reader = program("symphony-reader");
        world.reopen();
        world.populate(2).await;
        let agent = Arc::new(agent(&world, &enclave, world.path(), "acme-executor", EnclaveRole::Slice));
        Self { world, agent }
    }

    async fn kept(&self, who: (&str, &str), name: &str, content: Vec<u8>) -> Vec<u8> {
        let answer = self.world.ask(who, name, Operation::PutReceipt(PutReceipt { content })).await;
        assert_eq!(answer.code, "", "{}", answer.detail);
        answer.receipts[0].receipt_id.clone()
    }

    async fn ask(&self, who: (&str, &str), request: &str, id: &[u8]) -> VaultAnswer {
        let parse = ParseReceipt { receipt_id: id.to_vec() };
        self.world.ask(who, request, Operation::ParseReceipt(parse)).await
    }

    /// The order that masters make of a ticket.
    async fn order(&self, who: (&str, &str), request: &str, id: &[u8]) -> ParseOrder {
        let answer = self.ask(who, request, id).await;
        assert_eq!(answer.code, "", "{}", answer.detail);
        let ticket: SignedTicket = decode(&answer.ticket).unwrap();
        assert!(ticket.verify(&self.world.governance.registry.vaults[&vault_id()].key));
        ParseOrder {
            task: ticket.body.task(),
            ticket: ticket.body,
            versions: Versions {
                schema: SchemaVersion(1),
                semantic: SemanticVersion(1),
                policy: PolicyVersion(1),
                governance: GovernanceSequence(0),
            },
            epoch: EpochId(0),
            admitted_at: OrderedMillis(1_000),
            execute_by: OrderedMillis(60_000),
            measurements: self.world.governance.registry.active_code(),
            software_admitted: true,
        }
    }

    async fn obey(&self, order: EndorsedParse) -> Result<Parsed, Code> {
        let parsed = Arc::clone(self.world.vault()).parse(Arc::clone(&self.agent), order).await;
        parsed.map_err(|problem| problem.code())
    }

    async fn parsed(&self, order: &ParseOrder) -> Parsed {
        let parsed = self.obey(self.world.master.endorsed(order.clone())).await.unwrap();
        assert!(genuine(&self.world.governance, order, &parsed.statement));
        parsed
    }

    async fn outcome(&self, order: &ParseOrder) -> ParseOutcome {
        self.parsed(order).await.statement.body.outcome
    }

    async fn corrected(&self, who: (&str, &str), id: &[u8], corrections: &[(&str, &str)]) -> VaultAnswer {
        let corrections = corrections
            .iter()
            .map(|(field, value)| Correction { field: (*field).into(), value: (*value).into() });
        let correct = CorrectReceipt { receipt_id: id.to_vec(), corrections: corrections.collect() };
        self.world.ask(who, "correct", Operation::CorrectReceipt(correct)).await
    }

    async fn entry(&self, who: (&str, &str), id: &[u8]) -> ReceiptEntry {
        let read = ReadReceipt { receipt_id: id.to_vec(), content: false };
        let answer = self.world.ask(who, "read", Operation::ReadReceipt(read)).await;
        assert_eq!(answer.code, "", "{}", answer.detail);
        answer.receipts[0].clone()
    }

    async fn records(&self, person: &str) -> Vec<String> {
        let answer = self.world.ask((person, "producer"), "records", read_records(person)).await;
        assert_eq!(answer.code, "", "{}", answer.detail);
        answer.records.into_iter().map(|record| record.json).collect()
    }
}

fn receipt(seed: u64) -> render::Receipt {
    render::invent_of(seed, "Northern Lamp", "SG", DAY)
}

fn picture(seed: u64) -> Vec<u8> {
    page::png(&page::picture(&receipt(seed))).unwrap()
}

/// A letter: there is much to read, and nothing was sold.
fn letter() -> Vec<u8> {
    let mut letter = receipt(9);
    for (_, row) in &mut letter.rows {
        *row = "we meet on sunday in the hall".to_owned();
    }
    page::png(&page::picture(&letter)).unwrap()
}

fn refused(code: Code) -> ParseOutcome {
    ParseOutcome::Refused(code)
}

/// R077, R082, R083, R084, R234: a picture becomes one record, attested and signed; the same order again says the same, also
/// after the node died; its owner sees what was read and where; erasing takes it all away.
#[tokio::test]
async fn a_picture_becomes_a_record_once() {
    let mut desk = Desk::new().await;
    let id = desk.kept(P0, "photo", picture(1)).await;
    assert_eq!(desk.entry(P0, &id).await.reading, None);
    let order = desk.order(P0, "parse", &id).await;
    assert_eq!(desk.order(P0, "parse", &id).await, order, "the same request has the same ticket");
    let parsed = desk.parsed(&order).await;
    let body = &parsed.statement.body;
    let ParseOutcome::Parsed { record, .. } = body.outcome else { panic!("{:?}", body.outcome) };
    let expectation = Expectation {
        task: order.task,
        vault: Some(vault_id()),
        actor: actor("acme-executor"),
        nonce: parse_nonce(&order),
        input_root: body.words,
        output: body.output(),
        measurements: order.measurements.clone(),
        governance: order.versions.governance,
        module: None,
        admitted_at: order.admitted_at,
        purged: true,
    };
    let attestation = Attestation { boot: parsed.boot.clone(), report: parsed.report.clone() };
    let appraised = governed::judge(NETWORK, &desk.world.governance, &attestation, &expectation).unwrap();
    assert_eq!(appraised.report, body.report);
    let other = Expectation { input_root: Digest([9; 32]), ..expectation };
    assert!(governed::judge(NETWORK, &desk.world.governance, &attestation, &other).is_err());

    desk.world.reopen();
    let again = desk.parsed(&order).await;
    assert_eq!((again.statement.body.outcome, &again.report), (body.outcome, &parsed.report));
    let records = desk.records("p0").await;
    assert_eq!(records.iter().filter(|record| record.to_lowercase().contains("northern lamp")).count(), 1);
    let reading = desk.entry(P0, &id).await.reading.unwrap();
    assert_eq!((reading.code.as_str(), reading.record_commitment), ("", record.0.0.to_vec()));
    let total = reading.fields.iter().find(|field| field.name == "total").unwrap();
    let truth = receipt(1).truth.total;
    assert_eq!(total.value, format!("{}.{:02}", truth / 100, truth % 100));
    assert_eq!(total.attribute, "commerce.amount");
    let date = reading.fields.iter().find(|field| field.name == "date").unwrap();
    assert_eq!((date.value.as_str(), date.attribute.as_str()), ("2026-03-04", "commerce.purchase_date"));
    let drawn = desk.world.ask(P0, "draw", draw(&id, 0)).await;
    assert!(drawn.content.starts_with(b"\x89PNG"), "{} {}", drawn.code, drawn.detail);
    assert_ne!(drawn.content, picture(1));
    assert_eq!(desk.world.ask(P1, "draw", draw(&id, 0)).await.code, Code::NotFound.as_str());
    assert_eq!(desk.ask(P0, "parse-again", &id).await.code, Code::ReceiptKnown.as_str());

    let erase = Operation::EraseReceipt(EraseReceipt { receipt_id: id.clone() });
    assert_eq!(desk.world.ask(P0, "erase", erase).await.code, "");
    assert!(!desk.records("p0").await.iter().any(|record| record.to_lowercase().contains("northern lamp")));
    assert_eq!(desk.records("p0").await.len(), 1, "what was uploaded as a record stays");
    assert_eq!(desk.entry(P0, &id).await.reading, None);
    assert_eq!(desk.outcome(&order).await, refused(Code::DocumentErased));
    assert_eq!(desk.ask(P0, "parse-erased", &id).await.code, Code::DocumentErased.as_str());
}

/// R080, R086: one receipt makes one record, whoever brings it, however it was photographed, and also after its erasure.
#[tokio::test]
async fn a_receipt_is_recognised_from_another_picture() {
    let desk = Desk::new().await;
    let first = desk.kept(P0, "photo", picture(2)).await;
    let order = desk.order(P0, "parse", &first).await;
    assert!(matches!(desk.outcome(&order).await, ParseOutcome::Parsed { .. }));
    let same = desk.kept(P1, "stolen", picture(2)).await;
    let other = page::jpeg(&page::picture(&receipt(2))).unwrap();
    let other = desk.kept(P1, "another", other).await;
    for (name, id) in [("parse-stolen", &same), ("parse-another", &other)] {
        let order = desk.order(P1, name, id).await;
        assert_eq!(desk.outcome(&order).await, refused(Code::ReceiptKnown), "{name}");
        assert_eq!(desk.entry(P1, id).await.reading.unwrap().code, Code::ReceiptKnown.as_str());
    }
    let erase = Operation::EraseReceipt(EraseReceipt { receipt_id: first });
    assert_eq!(desk.world.ask(P0, "erase", erase).await.code, "");
    let anew = desk.kept(P0, "photo-anew", picture(2)).await;
    let order = desk.order(P0, "parse-anew", &anew).await;
    assert_eq!(desk.outcome(&order).await, refused(Code::ReceiptKnown));
    let different = desk.kept(P1, "different", picture(3)).await;
    let order = desk.order(P1, "parse-different", &different).await;
    assert!(matches!(desk.outcome(&order).await, ParseOutcome::Parsed { .. }));
    assert_eq!((desk.records("p0").await.len(), desk.records("p1").await.len()), (1, 2));
}

/// R077, R083: the owner's word supersedes what was read; the same again changes nothing, and what is not the owner's or has
/// another form is refused and changes nothing.
#[tokio::test]
async fn a_correction_supersedes_the_record() {
    let mut desk = Desk::new().await;
    let id = desk.kept(P0, "photo", picture(5)).await;
    assert_eq!(desk.corrected(P0, &id, &[("total", "1.00")]).await.code, Code::NotFound.as_str());
    let order = desk.order(P0, "parse", &id).await;
    let ParseOutcome::Parsed { record, .. } = desk.outcome(&order).await else { panic!("not parsed") };
    let answer = desk.corrected(P0, &id, &[("merchant", "Southern Lamp"), ("total", "1.00")]).await;
    assert_eq!(answer.code, "", "{}", answer.detail);
    let reading = answer.receipts[0].reading.clone().unwrap();
    assert_ne!(reading.record_commitment, record.0.0.to_vec());
    let fields = reading.fields.iter().filter(|field| field.corrected);
    let fields: Vec<_> = fields.map(|field| (field.name.as_str(), field.value.as_str())).collect();
    assert_eq!(fields, [("merchant", "Southern Lamp"), ("total", "1.00")]);
    let records = desk.records("p0").await;
    assert_eq!(records.len(), 2);
    assert!(records.iter().any(|record| record.contains("Southern Lamp")), "{records:?}");
    assert!(!records.iter().any(|record| record.to_lowercase().contains("northern")), "{records:?}");

    let head = desk.world.vault().head();
    for (who, corrections, code) in [
        (P0, [("total", "1.00")].as_slice(), None),
        (P0, &[], None),
        (P0, &[("total", "2.00"), ("total", "a lot")], Some(Code::Malformed)),
        (P0, &[("tax", "1.00")], Some(Code::Malformed)),
        (P0, &[("merchant", ""), ("date", ""), ("total", ""), ("city", "")], Some(Code::RecordInvalid)),
        (P1, &[("total", "2.00")], Some(Code::NotFound)),
    ] {
        let answer = desk.corrected(who, &id, corrections).await;
        assert_eq!(answer.code, code.map_or("", Code::as_str), "{corrections:?}");
    }
    assert_eq!(desk.world.vault().head(), head, "nothing was appended");
    desk.world.reopen();
    assert_eq!(desk.entry(P0, &id).await.reading.unwrap(), reading);
    assert!(
        matches!(desk.outcome(&order).await, ParseOutcome::Parsed { record: same, .. } if same == record)
    );
    let erase = Operation::EraseReceipt(EraseReceipt { receipt_id: id.clone() });
    assert_eq!(desk.world.ask(P0, "erase", erase).await.code, "");
    assert_eq!(desk.records("p0").await.len(), 1);
    assert_eq!(desk.corrected(P0, &id, &[("total", "1.00")]).await.code, Code::DocumentErased.as_str());
}

/// R080, R105, R195: nothing is read without the masters' order on a ticket of this Vault, in time; and what is no receipt
/// makes no record, says why, and remains its owner's to erase.
#[tokio::test]
async fn what_is_not_ordered_or_no_receipt_is_not_read() {
    let desk = Desk::new().await;
    let id = desk.kept(P0, "letter", letter()).await;
    let order = desk.order(P0, "parse", &id).await;
    let unsigned = EndorsedParse { body: order.clone(), endorsements: vec![] };
    assert_eq!(desk.obey(unsigned).await.err(), Some(Code::Forbidden));
    let endorsed = |change: &dyn Fn(&mut ParseOrder)| {
        let mut changed = order.clone();
        change(&mut changed);
        desk.world.master.endorsed(changed)
    };
    let without_ticket = endorsed(&|order| order.ticket.owner = actor("p1"));
    assert_eq!(desk.obey(without_ticket).await.err(), Some(Code::Forbidden));
    let later = endorsed(&|order| order.ticket.expires = OrderedMillis(u64::MAX));
    assert_eq!(desk.obey(later).await.err(), Some(Code::Forbidden));
    let elsewhere =
        endorsed(&|order| order.ticket.vault = symphony_types::id::VaultId::new("south").unwrap());
    assert_eq!(desk.obey(elsewhere).await.err(), Some(Code::EnvelopeInvalid));
    let late = endorsed(&|order| order.execute_by = OrderedMillis(500));
    assert_eq!(desk.obey(late).await.err(), Some(Code::StageTimeout));
    assert_eq!(desk.ask(P1, "parse", &id).await.code, Code::NotFound.as_str());
    let other = desk.kept(P0, "other", picture(4)).await;
    assert_eq!(desk.ask(P0, "parse", &other).await.code, Code::IdempotencyConflict.as_str());

    assert_eq!(desk.outcome(&order).await, refused(Code::NotAReceipt));
    assert_eq!(desk.entry(P0, &id).await.reading.unwrap().code, Code::NotAReceipt.as_str());
    let drawn = desk.world.ask(P0, "draw", draw(&id, 0)).await;
    assert_eq!(drawn.code, Code::NotFound.as_str());
    let broken = desk.kept(P0, "broken", b"\xff\xd8\xff\xe0 no picture".to_vec()).await;
    let of_broken = desk.order(P0, "parse-broken", &broken).await;
    assert_eq!(desk.outcome(&of_broken).await, refused(Code::DocumentUnreadable));
    assert_eq!(desk.records("p0").await.len(), 1, "only what was uploaded as a record");
    let again = desk.order(P0, "parse-again", &id).await;
    assert_eq!(desk.outcome(&again).await, refused(Code::NotAReceipt), "it may be tried again");
    let list = Operation::ListReceipts(ListReceipts { after: vec![], limit: 10 });
    assert_eq!(desk.world.ask(P0, "list", list).await.receipts.len(), 3);
    let erase = Operation::EraseReceipt(EraseReceipt { receipt_id: id });
    assert_eq!(desk.world.ask(P0, "erase", erase).await.code, "");
}

fn draw(id: &[u8], page: u32) -> Operation {
    Operation::DrawReceipt(DrawReceipt { receipt_id: id.to_vec(), page })
}

/// R083, R210: a Vault without the programs that read gives no ticket, says so at once, and keeps the document.
#[tokio::test]
async fn a_vault_that_cannot_read_gives_no_ticket() {
    let mut world = World::new();
    world.populate(1).await;
    let put = Operation::PutReceipt(PutReceipt { content: picture(1) });
    let id = world.ask(P0, "photo", put).await.receipts[0].receipt_id.clone();
    let parse = || Operation::ParseReceipt(ParseReceipt { receipt_id: id.clone() });
    let installed = world.reader.programs.clone();
    world.reader.programs.tesseract = world.path().join("absent");
    world.reopen();
    let refused = world.ask(P0, "parse", parse()).await;
    assert_eq!((refused.code.as_str(), refused.ticket.len()), ("GOV-0003", 0), "{}", refused.detail);
    world.reader.programs = Programs { pdftotext: world.path().join("absent"), ..installed.clone() };
    world.reopen();
    let given = world.ask(P0, "parse", parse()).await;
    assert_eq!(
        given.code, "",
        "a picture needs no poppler, and the same request has its ticket: {}",
        given.detail
    );
    world.reader.programs = Programs { tesseract: world.path().join("absent"), ..installed };
    world.reopen();
    assert_eq!(
        world.ask(P0, "parse", parse()).await.ticket,
        given.ticket,
        "a ticket that was given stays given"
    );
    world.close();
}
