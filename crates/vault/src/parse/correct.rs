//! Corrections (R077, R083): the owner's word makes another record of a receipt, which supersedes the one before.
//!
//! A correction is a local event, like any record that a person uploads: it changes what campaigns see and earns nothing.
//! What was read stays beside it as the evidence of the parse.

use std::collections::{BTreeMap, BTreeSet};

use symphony_compute::parse::record;
use symphony_protocol::vault::machine::Command;
use symphony_protocol::vault::record::CanonicalRecord;
use symphony_types::catalogue::Code;
use symphony_types::id::{RequestId, SubjectId};
use symphony_types::merkle;
use symphony_wire::v1::{CorrectReceipt, VaultAnswer};

use super::SCHEMA;
use crate::documents::{commitment, sealing};
use crate::enterprise::Enterprise;
use crate::keys;
use crate::problem::Problem;
use crate::store::reading::{self, Corrected};
use crate::store::record::{RecordRow, seal_record};

impl Enterprise {
    /// Puts the owner's word in place of what was read of one of its documents.
    ///
    /// **Errors**: not the person's, erased, without a record, no field that is corrected, or a value of another form.
    pub(crate) async fn correct(
        &self,
        own: &SubjectId,
        correct: CorrectReceipt,
    ) -> Result<VaultAnswer, Problem> {
        let subject = self.enrolled(own.as_str())?;
        let document = commitment(&correct.receipt_id)?;
        let _no_other_file = self.filing.lock().await;
        let _no_other_record = self.ingesting.lock().await;
        let view = self.store.read()?;
        let (key, _) = self.held(&view, subject, &document)?;
        let mut reading = view.reading(&key, &document)?.ok_or_else(unread)?;
        let former = reading.record().ok_or_else(unread)?;
        let read = reading.read.as_ref().ok_or_else(unread)?;
        let (mut expense, mut fields) = match &reading.corrected {
            Some(corrected) => (corrected.expense.clone(), corrected.fields.clone()),
            None => (read.expense.clone(), BTreeSet::new()),
        };
        let before = expense.clone();
        for correction in correct.corrections {
            let refused = |code| {
                let form = "merchant or city, date as 2018-03-25, time as 19:04:00, or total as 12.30";
                Problem::refused(code, format!("a correction is of {form}"))
            };
            expense = expense.corrected(&correction.field, &correction.value).map_err(refused)?;
            fields.insert(correction.field);
        }
        if expense != before {
            if self.quota.records_max <= self.state().holdings.kept() {
                return Err(Code::VaultFull.into());
            }
            let followed = self.followed();
            let meaning = followed.governance().semantics_at(self.now());
            let known = record::known(meaning);
            let record = CanonicalRecord {
                salt: *keys::random().map_err(sealing)?,
                schema: SCHEMA,
                subject: own.clone(),
                request: RequestId::new(&format!("corrected-{:.32}", document.0.to_string()))
                    .map_err(|_| Code::Internal)?,
                values: expense.values(|name| known.get(name).copied()),
                local: BTreeMap::new(),
            };
            record.check(meaning)?;
            let (commitment, sealed) = seal_record(&key, &record).map_err(sealing)?;
            let sequence = view.next_sequence(subject)?;
            let row = RecordRow { subject, sequence, commitment, sealed };
            reading.corrected = Some(Corrected { expense, fields, record: commitment });
            let sealed = reading.seal(&key, &document).map_err(sealing)?;
            let root = merkle::root(&[merkle::leaf(&commitment.0.0)]);
            let command = Command::AppendRecords { count: 1, root, subjects: vec![subject] };
            let hook = move |transaction: &redb::WriteTransaction| {
                reading::put_corrected(transaction, (document, &sealed), &row, former)
            };
            self.journal.order_with(command, hook).await?;
        }
        let receipts = vec![self.entry(&self.store.read()?, subject, &document)?];
        Ok(VaultAnswer { receipts, ..VaultAnswer::default() })
    }
}

fn unread() -> Problem {
    Problem::refused(Code::NotFound, "the receipt has no record that could be corrected")
}
