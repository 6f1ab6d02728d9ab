//! Parses: the ticket that a person's request becomes, and the masters' order to read the document (R080, R082-R086, R234).
//!
//! The reading process sees the document and nothing else, the slice enclave its words; what came out is appended to the
//! journal together with its rows. Every step can be repeated: the same order has the same outcome, and a crash leaves
//! either all of a reading or nothing of it.

use std::sync::Arc;

use symphony_compute::parse::record::{self, Sheet};
use symphony_protocol::artifact::parse::{
    EndorsedParse, ParseOrder, ParseOutcome, ParseStatement, ParseTicket, SignedParse,
};
use symphony_protocol::vault::authorize;
use symphony_protocol::vault::dividend::Usage;
use symphony_protocol::vault::document::Media;
use symphony_protocol::vault::machine::Command;
use symphony_protocol::vault::record::CanonicalRecord;
use symphony_reader::host::ReadError;
use symphony_tee::governed::Admitted;
use symphony_types::canonical;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{ActorId, RequestId, SchemaVersion, SubjectId};
use symphony_types::merkle;
use symphony_types::subjects::SubjectIndex;
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, Call, purpose};
use symphony_wire::sealed;
use symphony_wire::v1::{DrawReceipt, ParseReceipt, VaultAnswer};
use zeroize::Zeroizing;

use crate::agent::{Agent, wrong_answer};
use crate::documents::{commitment, sealing};
use crate::enterprise::Enterprise;
use crate::keys::{self, DataKey};
use crate::problem::Problem;
use crate::store::View;
use crate::store::reading::{self, NewReading, Read, Reading};
use crate::store::record::{RecordRow, seal_record};

pub(crate) use shown::shown;

mod correct;
mod shown;

/// What a Vault answers to an order.
pub struct Parsed {
    /// Its word.
    pub statement: SignedParse,
    /// Signed boot report of the slice enclave; empty for a refusal.
    pub boot: Vec<u8>,
    /// Signed attestation report; empty for a refusal.
    pub report: Vec<u8>,
}

/// A document that an order names, opened.
struct Opened {
    subject: SubjectIndex,
    own: SubjectId,
    key: DataKey,
    content: Zeroizing<Vec<u8>>,
    digest: Digest,
}

impl Enterprise {
    /// A ticket for one of the person's documents: the same for the same request.
    ///
    /// **Errors**: not the person's, erased, read already, or a request id of another document; the programs that read are not
    /// installed.
    pub(crate) async fn ticket(
        &self,
        own: &SubjectId,
        (owner, request): (&ActorId, &RequestId),
        parse: ParseReceipt,
    ) -> Result<VaultAnswer, Problem> {
        let subject = self.enrolled(own.as_str())?;
        let document = commitment(&parse.receipt_id)?;
        let _one_at_a_time = self.filing.lock().await;
        let view = self.store.read()?;
        let (key, header) = self.held(&view, subject, &document)?;
        let name = self.request_of(owner, request);
        let expires = match view.ticket(name)? {
            Some((known, expires)) if known == document => expires,
            Some(_) => return Err(Code::IdempotencyConflict.into()),
            None => {
                if view.reading(&key, &document)?.is_some_and(|reading| reading.read.is_some()) {
                    return Err(Code::ReceiptKnown.into());
                }
                // A parse that nobody can carry out would only run out of time; the log says what is missing.
                if !self.reader.reads(header.media == Media::Pdf) {
                    let detail = "this vault lacks the programs that read such a document";
                    return Err(Problem::refused(Code::Unavailable, detail));
                }
                let expires = self.now().plus(TICKET_MS);
                self.store.write(|transaction| reading::put_ticket(transaction, name, document, expires))?;
                expires
            }
        };
        let (owner, request) = (owner.clone(), request.clone());
        let ticket = ParseTicket { vault: self.vault.clone(), document, owner, request, expires };
        let ticket = documents::encode(&self.keys.signing.sign(ticket));
        let receipts = vec![self.entry(&view, subject, &document)?];
        Ok(VaultAnswer { ticket, receipts, ..VaultAnswer::default() })
    }

    /// The picture of a page of a document that was read, with what was read in boxes.
    ///
    /// **Errors**: not the person's, erased, not read, or no such page.
    pub(crate) async fn draw(&self, own: &SubjectId, draw: DrawReceipt) -> Result<VaultAnswer, Problem> {
        let subject = self.enrolled(own.as_str())?;
        let document = commitment(&draw.receipt_id)?;
        let filing = self.filing.lock().await;
        let view = self.store.read()?;
        let (key, header) = self.held(&view, subject, &document)?;
        let read = view.reading(&key, &document)?.and_then(|reading| reading.read);
        let read = read.ok_or_else(|| Problem::refused(Code::NotFound, "the receipt was not read"))?;
        let content = view.document_content(&key, &header.record)?;
        drop(filing);
        let page = u16::try_from(draw.page).map_err(|_| Code::Malformed)?;
        let _place = self.desks.acquire().await.map_err(closing)?;
        let drawn = self.reader.annotate(&content, page, &read.expense.places());
        let content = drawn.map_err(|error| match refusal(&error) {
            Some(code) => Problem::refused(code, error.to_string()),
            None => Problem::fault("a receipt cannot be drawn", error),
        })?;
        Ok(VaultAnswer { content, ..VaultAnswer::default() })
    }

    /// Reads the document of an order, or says what was read. **Errors**: the order is not the masters', not for this
    /// Vault, late, or rests on no ticket of it; or the node cannot read now.
    pub async fn parse(self: Arc<Self>, agent: Arc<Agent>, order: EndorsedParse) -> Result<Parsed, Problem> {
        let ticket = &order.body.ticket;
        authorize::endorsed(&order, &self.governance.registry.masters)?;
        authorize::addressed(&ticket.vault, &self.vault)?;
        let noted = self.store.read()?.ticket(self.request_of(&ticket.owner, &ticket.request))?;
        if noted != Some((ticket.document, ticket.expires)) {
            return Err(Problem::refused(Code::Forbidden, "the order rests on no ticket of this vault"));
        }
        self.stays()?;
        self.serves()?;
        let place = self.desks.acquire().await.map_err(closing)?;
        let opened = match self.take_out(&order.body).await? {
            Ok(opened) => opened,
            Err(parsed) => return Ok(parsed),
        };
        let (this, asked) = (Arc::clone(&self), order.clone());
        let work = tokio::task::spawn_blocking(move || {
            this.extract(&agent, asked, &opened).map(|read| (read, opened))
        });
        let (read, opened) = work.await.map_err(|error| Problem::fault("a parse panicked", error))??;
        drop(place);
        self.note(&order.body, &opened, read).await
    }

    /// The document of an order; or the answer that needs no reading.
    async fn take_out(&self, order: &ParseOrder) -> Result<Result<Opened, Parsed>, Problem> {
        let ticket = &order.ticket;
        let own = SubjectId::new(ticket.owner.as_str()).map_err(|_| Code::Malformed)?;
        let _one_at_a_time = self.filing.lock().await;
        // A document goes with its person, who may be another by now.
        let Ok(subject) = self.enrolled(own.as_str()) else {
            return Ok(Err(self.refused(order, Code::DocumentErased)));
        };
        let view = self.store.read()?;
        let (key, header) = match self.held(&view, subject, &ticket.document) {
            Err(Problem::Refused { code: Code::DocumentErased | Code::NotFound, .. }) => {
                return Ok(Err(self.refused(order, Code::DocumentErased)));
            }
            held => held?,
        };
        if let Some(known) = self.read_before(&view, &key, order)? {
            return Ok(Err(known));
        }
        if order.execute_by <= self.now() {
            return Err(Code::StageTimeout.into());
        }
        let content = view.document_content(&key, &header.record)?;
        Ok(Ok(Opened { subject, own, key, content, digest: header.record.content }))
    }

    /// The answer to an order whose document was read before, by this order or by another.
    fn read_before(&self, view: &View, key: &DataKey, order: &ParseOrder) -> Result<Option<Parsed>, Problem> {
        let Some(reading) = view.reading(key, &order.ticket.document)? else { return Ok(None) };
        Ok(match (reading.task == order.task, reading.read.is_some()) {
            (true, _) => Some(self.stated(order, &reading)),
            (false, true) => Some(self.refused(order, Code::ReceiptKnown)),
            (false, false) => None,
        })
    }

    /// Reads the picture and has the enclave extract from the words. Blocks. A refusal is an outcome.
    fn extract(&self, agent: &Agent, order: EndorsedParse, opened: &Opened) -> Result<Outcome, Problem> {
        let ticket = &order.body.ticket;
        let ParseOrder { measurements, versions, software_admitted, admitted_at, .. } = &order.body;
        self.check_own(
            agent,
            Admitted { measurements, versions, software: *software_admitted, at: *admitted_at },
        )?;
        if self.store.read()?.recognised(&[self.image(&opened.digest)], &ticket.document)? {
            return Ok(Err(Code::ReceiptKnown));
        }
        let scans = match self.reader.read(&opened.content) {
            Ok(reading) => reading.scans,
            Err(error) => match refusal(&error) {
                Some(code) => return Ok(Err(code)),
                None => return Err(Problem::fault("a document cannot be read here", error)),
            },
        };
        let sheet = Sheet {
            salt: *keys::random().map_err(sealing)?,
            schema: SCHEMA,
            subject: opened.own.clone(),
            request: ticket.request.clone(),
            attributes: record::known(self.followed().governance().semantics_at(self.now())),
            scans,
        };
        let words = sheet.root();
        let aad = documents::encode(&(order.body.task, &ticket.vault, order.body.execute_by));
        let plain = Zeroizing::new(documents::encode(&sheet));
        let sealed = sealed::seal(&agent.report().body.hpke_key, purpose::SHEET, &aad, &plain);
        let sheet = sealed.map_err(|error| Problem::fault("a sheet cannot be sealed", error))?;
        let masters = self.governance.registry.masters.values().copied().collect();
        match agent.call(&Call::Extract { order, sheet, masters }) {
            Ok(Answer::Extracted { expense, record, quality, report }) => {
                let expense = bcs::from_bytes(&expense)
                    .map_err(|error| Problem::fault("an expense is damaged", error))?;
                let outcome = ParseOutcome::Parsed { record: record.commitment(), quality };
                let boot = agent.boot();
                let read = Read { expense, reader: self.reader.measurement(), words, boot, report };
                Ok(Ok((outcome, Box::new(read), record)))
            }
            Ok(_) => Err(wrong_answer()),
            Err(Problem::Refused { code: Code::NotAReceipt, .. }) => Ok(Err(Code::NotAReceipt)),
            Err(problem) => Err(problem),
        }
    }

    /// Notes what came out, unless another order was faster. **Errors**: the journal or the disk.
    async fn note(&self, order: &ParseOrder, opened: &Opened, read: Outcome) -> Result<Parsed, Problem> {
        let document = order.ticket.document;
        let _no_other_file = self.filing.lock().await;
        let _no_other_record = self.ingesting.lock().await;
        self.state().moves.grows()?;
        let view = self.store.read()?;
        if self.find(&view, opened.subject, &document)?.1.held.is_none() {
            return Ok(self.refused(order, Code::DocumentErased));
        }
        if let Some(known) = self.read_before(&view, &opened.key, order)? {
            return Ok(known);
        }
        let full = self.quota.records_max <= self.state().holdings.kept();
        let read = read.and_then(|read| if full { Err(Code::VaultFull) } else { Ok(read) });
        let marks = read
            .as_ref()
            .map(|(_, read, _)| self.marks((&opened.own, &opened.digest), read))
            .unwrap_or_default();
        let read = if view.recognised(&marks, &document)? { Err(Code::ReceiptKnown) } else { read };
        let (outcome, read, record) = match read {
            Ok((outcome, read, record)) => (outcome, Some(*read), Some(record)),
            Err(code) => (ParseOutcome::Refused(code), None, None),
        };
        let reading = Reading { task: order.task, outcome, read, corrected: None };
        let sealed = reading.seal(&opened.key, &document).map_err(sealing)?;
        let Some(record) = record else {
            self.store.write(|transaction| reading::put_reading(transaction, document, &sealed))?;
            return Ok(self.stated(order, &reading));
        };
        let subject = opened.subject;
        let (commitment, bytes) = seal_record(&opened.key, &record).map_err(sealing)?;
        let sequence = view.next_sequence(subject)?;
        let record = RecordRow { subject, sequence, commitment, sealed: bytes };
        let usage = Usage { epsilon: WHOLE, records: vec![(subject, 1)] };
        let new = NewReading { document, task: order.task, sealed, record, marks, usage };
        let root = merkle::root(&[merkle::leaf(&commitment.0.0)]);
        let command = Command::AppendRecords { count: 1, root, subjects: vec![subject] };
        let hook = move |transaction: &redb::WriteTransaction| reading::put_read(transaction, &new);
        self.journal.order_with(command, hook).await?;
        Ok(self.stated(order, &reading))
    }

    /// What recognises a receipt again: its picture, and what is printed on it.
    pub(crate) fn marks(&self, (own, content): (&SubjectId, &Digest), read: &Read) -> Vec<Digest> {
        let printed = read.expense.identities().into_iter().map(|identity| {
            let person = (!identity.anybody).then_some(own);
            self.keys.keyed("symphony/receipt-printed/v1", &canonical::to_bytes(&(person, identity.digest)))
        });
        printed.chain([self.image(content)]).collect()
    }

    fn image(&self, content: &Digest) -> Digest {
        self.keys.keyed("symphony/receipt-image/v1", &content.0)
    }

    fn stated(&self, order: &ParseOrder, reading: &Reading) -> Parsed {
        let Some(read) = &reading.read else {
            return self.signed(order, reading.outcome, (Digest::ZERO, Digest::ZERO), (vec![], vec![]));
        };
        let proof = (read.boot.clone(), read.report.clone());
        self.signed(order, reading.outcome, (read.reader, read.words), proof)
    }

    fn refused(&self, order: &ParseOrder, code: Code) -> Parsed {
        let outcome = ParseOutcome::Refused(code);
        self.signed(order, outcome, (Digest::ZERO, Digest::ZERO), (vec![], vec![]))
    }

    fn signed(
        &self,
        order: &ParseOrder,
        outcome: ParseOutcome,
        (reader, words): (Digest, Digest),
        (boot, report): (Vec<u8>, Vec<u8>),
    ) -> Parsed {
        let statement = ParseStatement {
            task: order.task,
            vault: self.vault.clone(),
            document: order.ticket.document,
            outcome,
            reader,
            words,
            report: Digest::of_bytes(&report),
            ledger_head: self.head(),
        };
        Parsed { statement: self.keys.signing.sign(statement), boot, report }
    }

    fn request_of(&self, owner: &ActorId, request: &RequestId) -> Digest {
        self.keys.keyed("symphony/parse-request/v1", &canonical::to_bytes(&(owner, request)))
    }
}

/// What was read with its record, or why there is none.
type Outcome = Result<(ParseOutcome, Box<Read>, CanonicalRecord), Code>;

/// The document's own fault, as a code; `None` for a fault of the installation.
fn refusal(error: &ReadError) -> Option<Code> {
    use symphony_reader::protocol::Refusal;
    match error {
        ReadError::Refused(Refusal::NotAReceipt(_)) => Some(Code::NotAReceipt),
        ReadError::Refused(Refusal::EngineMissing(_)) => None,
        ReadError::Refused(
            Refusal::TooLarge(_)
            | Refusal::TooManyPages(_)
            | Refusal::TooManyPixels(_)
            | Refusal::NotADocument
            | Refusal::Unreadable
            | Refusal::TimedOut(_)
            | Refusal::GaveUp(_),
        ) => Some(Code::DocumentUnreadable),
        ReadError::Start(_) | ReadError::Fault(_) | ReadError::Malformed => None,
    }
}

fn closing(_: tokio::sync::AcquireError) -> Problem {
    Problem::of(Code::Unavailable)
}

/// How long masters may admit a parse on a ticket.
const TICKET_MS: u64 = 10 * 60 * 1_000;
/// A parse uses one record of one person, whose the whole share is whatever its weight.
const WHOLE: Epsilon = Epsilon(1);
/// The shape of records that a parse makes.
const SCHEMA: SchemaVersion = SchemaVersion(1);
