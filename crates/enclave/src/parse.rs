//! The extraction of a parse: words of one document in, the record's commitment and quality out, attested (R082-R084).
//!
//! Expense and record go back to the Vault that gave the words, and nowhere else.

use symphony_compute::parse::record::Sheet;
use symphony_protocol::artifact::parse::{EndorsedParse, ParseOutcome};
use symphony_protocol::execution::parse::parse_nonce;
use symphony_tee::report::slice_step;
use symphony_tee::session::Work;
use symphony_types::catalogue::Code;
use symphony_types::key::{Master, PublicKey};
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, purpose};
use zeroize::Zeroizing;

use crate::handler::Handler;
use crate::refusal::{Refusal, verify_order};
use crate::station::Station;

pub(crate) fn extract<S: Station>(
    handler: &Handler<S>,
    order: &EndorsedParse,
    sheet: &[u8],
    masters: &[PublicKey<Master>],
) -> Result<Answer, Refusal> {
    verify_order(order, masters)?;
    let order = &order.body;
    let ticket = &order.ticket;
    let refuse = |detail| Refusal::new(Code::SealInvalid, detail);
    let aad = documents::encode(&(order.task, &ticket.vault, order.execute_by));
    let opened = handler.sealing.open(purpose::SHEET, &aad, sheet);
    let opened = Zeroizing::new(opened.map_err(|_| refuse("the sheet does not open"))?);
    let sheet: Sheet = documents::decode(&opened).map_err(|_| refuse("the sheet is malformed"))?;
    if sheet.subject.as_str() != ticket.owner.as_str() {
        return Err(Refusal::new(Code::RecordInvalid, "the sheet is another person's"));
    }
    let read = sheet.read().map_err(|code| Refusal::new(code, code.title()))?;
    let outcome = ParseOutcome::Parsed { record: read.record.commitment(), quality: read.quality };
    let report = handler.station.report(Work {
        task: order.task,
        step: slice_step(&ticket.vault),
        nonce: parse_nonce(order),
        module: None,
        input_root: sheet.root(),
        output: outcome.digest(&ticket.document),
        schema: order.versions.schema,
        semantic: order.versions.semantic,
        policy: order.versions.policy,
        purged: true,
    });
    Ok(Answer::Extracted {
        expense: read.expense.canonical(),
        record: read.record,
        quality: read.quality,
        report: documents::encode(&report),
    })
}
