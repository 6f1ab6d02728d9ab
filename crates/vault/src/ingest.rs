//! What the Vault's own people and its operator ask of it, sealed to it by the gateway (R055, R074-R080, R209).
//!
//! An operation is believed when the gateway signed its exact bytes, it is for this Vault and in time. A person
//! acts on itself alone; the Vault's operator may upload for anybody. The answer is sealed to the caller, so that
//! neither gateway nor master reads it. The same request again is answered from the store; the same record again
//! is the record that is there. Work is done in batches, each one command of the journal with its rows.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use prost::Message as _;
use rayon::prelude::*;
use symphony_compute::upload::{
    self, ConsentState, Format, LineError, Lines, ParsedConsent, ParsedRecord, ParsedSubject,
};
use symphony_consensus::orderer::{OrderError, Orderer as _};
use symphony_protocol::governance::semantics::Semantics;
use symphony_protocol::vault::consent::{ConsentChange, Statement};
use symphony_protocol::vault::machine::{Command, Event, State};
use symphony_protocol::vault::record::CanonicalRecord;
use symphony_protocol::vault::subjects::SubjectKey;
use symphony_types::canonical;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, AttributeName, Commitment, RequestId, SchemaVersion, SubjectId};
use symphony_types::merkle;
use symphony_types::subjects::SubjectIndex;
use symphony_wire::enclave::{between, purpose};
use symphony_wire::sealed;
use symphony_wire::signing::{CONTEXT_OPERATION, verify_bytes};
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{
    LineRefusal, SealedOperation, SignedOperation, UploadFormat, VaultAnswer, VaultOperation,
};
use tokio::sync::Mutex;

use crate::enterprise::Enterprise;
use crate::keys::{self, DataKey, KeyError, VaultKeys};
use crate::problem::Problem;
use crate::store::reading::Derived;
use crate::store::record::{Log, RecordRow, Today, Upload, fingerprint, name, put_uploaded, seal_record};
use crate::store::{self, Answered, Profile, SubjectRow, View};

/// On whose behalf a caller may act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Authority {
    /// On its own alone.
    Own(SubjectId),
    /// Uploads for anybody.
    Operator,
}

impl Authority {
    /// Whether the caller may upload for this person.
    pub(crate) fn covers(&self, subject: &SubjectId) -> bool {
        match self {
            Self::Own(own) => own == subject,
            Self::Operator => true,
        }
    }
}

/// An outcome as the caller gets it.
fn told(outcome: Result<VaultAnswer, Problem>) -> VaultAnswer {
    outcome.unwrap_or_else(|problem| {
        let (code, detail) = (problem.code().as_str().to_owned(), problem.detail().to_owned());
        if let Problem::Fault(..) = problem {
            // Logs the cause; the status itself is not needed here.
            let _ = problem.into_status();
        }
        VaultAnswer { code, detail, ..VaultAnswer::default() }
    })
}

impl Enterprise {
    /// Performs a sealed operation and seals the answer to its caller.
    ///
    /// **Errors**: only what happens before the caller is known: the message does not open (`VLT-0007`) or the
    /// gateway did not sign it (`ADM-0003`). Every other refusal is in the answer.
    pub async fn operate(self: Arc<Self>, message: Vec<u8>) -> Result<Vec<u8>, Problem> {
        let runtime = tokio::runtime::Handle::current();
        // Parsing and sealing take long; the node's other calls go on meanwhile.
        let work = tokio::task::spawn_blocking(move || runtime.block_on(self.answer(&message)));
        work.await.map_err(|error| Problem::fault("an operation panicked", error))?
    }

    async fn answer(&self, message: &[u8]) -> Result<Vec<u8>, Problem> {
        let place = self.vault.as_str().as_bytes();
        let opened = self.keys.sealing.open(purpose::OPERATION, place, message);
        let opened = opened.map_err(|_| Code::SealInvalid)?;
        let signed = SignedOperation::decode(opened.as_slice()).map_err(|_| Code::Malformed)?;
        let gateway = &self.governance.registry.gateway;
        if !verify_bytes(gateway, CONTEXT_OPERATION, &signed.operation, &signed.signature) {
            return Err(Problem::refused(Code::Forbidden, "the gateway did not sign this operation"));
        }
        let operation = VaultOperation::decode(signed.operation.as_slice()).map_err(|_| Code::Malformed)?;
        let reply_key = operation.reply_key.clone();
        let answer = match self.timely(&operation) {
            Err(problem) => told(Err(problem)),
            Ok(()) => match operation.operation {
                Some(Operation::ByCaller(SealedOperation { ref sealed })) => {
                    told(self.by_caller(&operation, sealed).await)
                }
                _ => told(self.perform(operation).await),
            },
        };
        let sealed = sealed::seal(&reply_key, purpose::ANSWER, place, &answer.encode_to_vec());
        sealed.map_err(|_| Problem::refused(Code::Malformed, "the reply key is not valid"))
    }

    /// An operation that its caller sealed: the gateway proves who that is, and can read neither it nor its answer (R082,
    /// R234).
    async fn by_caller(&self, outer: &VaultOperation, sealed: &[u8]) -> Result<VaultAnswer, Problem> {
        let actor = ActorId::new(&outer.actor).map_err(|_| Code::Malformed)?;
        let place = between(&self.vault, &actor);
        let opened = self.keys.sealing.open(purpose::OWN_OPERATION, &place, sealed);
        let opened = opened.map_err(|_| Code::SealInvalid)?;
        let mut inner = VaultOperation::decode(opened.as_slice()).map_err(|_| Code::Malformed)?;
        if inner.actor != outer.actor || !inner.roles.is_empty() {
            return Err(Problem::refused(
                Code::Malformed,
                "the operation is another caller's, or claims roles",
            ));
        }
        self.timely(&inner)?;
        if inner.expires_ms > self.now().plus(OWN_LIFETIME_MAX_MS).0 {
            return Err(Problem::refused(Code::Malformed, "the operation is good for too long"));
        }
        inner.roles.clone_from(&outer.roles);
        let reply_key = std::mem::take(&mut inner.reply_key);
        let seal = |answer: &[u8]| {
            sealed::seal(&reply_key, purpose::OWN_ANSWER, &place, answer)
                .map_err(|_| Problem::refused(Code::Malformed, "the reply key is not valid"))
        };
        // Nothing is done whose answer could not be given.
        seal(&[])?;
        let content = seal(&told(self.perform(inner).await).encode_to_vec())?;
        Ok(VaultAnswer { content, ..VaultAnswer::default() })
    }

    fn timely(&self, message: &VaultOperation) -> Result<(), Problem> {
        if message.vault_id != self.vault.as_str() || message.expires_ms <= self.now().0 {
            let detail = "the operation is for another vault or out of time";
            return Err(Problem::refused(Code::Malformed, detail));
        }
        Ok(())
    }

    async fn perform(&self, message: VaultOperation) -> Result<VaultAnswer, Problem> {
        let actor = ActorId::new(&message.actor).map_err(|_| Code::Malformed)?;
        let request = RequestId::new(&message.request_id).map_err(|_| Code::Malformed)?;
        let authority = self.authority(&actor, &message.roles)?;
        let own = || person(&actor, &message.roles);
        let operation = message.operation.ok_or(Code::Malformed)?;
        if grows(&operation) {
            self.joins()?;
            self.stays()?;
            self.ready()?;
        }
        let upload = match operation {
            Operation::PutSubjects(put) => (Kind::Subjects, format(put.format)?, put.content),
            Operation::PutConsents(put) => (Kind::Consents, format(put.format)?, put.content),
            Operation::PutRecords(put) => (Kind::Records, format(put.format)?, put.content),
            Operation::ReadBudget(read) if read.proven => {
                return self.prove_budget(&authority, &read.subject, &read.after);
            }
            Operation::ReadBudget(read) => return self.read_budget(&authority, &read.subject),
            Operation::ReadConsents(read) => return self.read_consents(&authority, &read.subject),
            Operation::ReadRecords(read) => return self.read_records(&authority, &read.subject, read.limit),
            Operation::ReadAttributes(read) => return self.read_attributes(&authority, &read.subject),
            Operation::ReadDividends(read) => return self.read_dividends(&authority, &read.subject),
            Operation::PutReceipt(put) => {
                return self.put_document(&own()?, (&actor, &request), put.content).await;
            }
            Operation::ListReceipts(list) => return self.list_documents(&own()?, list).await,
            Operation::ReadReceipt(read) => return self.read_document(&own()?, read).await,
            Operation::ReadCandidates(_) => return self.read_candidates(&authority),
            Operation::ReadRetention(_) => return self.read_retention(&authority),
            Operation::ReadLeaves(read) => return self.read_leaves(&authority, &read),
            Operation::ErasePerson(erase) => return self.erase_person(&authority, &erase.subject).await,
            Operation::TakeBackup(_) => return self.take_backup(&authority, (&actor, &request)).await,
            Operation::RotateKey(_) => return self.rotate_key(&authority, (&actor, &request)).await,
            Operation::EraseReceipt(erase) => return self.erase_document(&own()?, erase).await,
            Operation::ParseReceipt(parse) => return self.ticket(&own()?, (&actor, &request), parse).await,
            Operation::CorrectReceipt(correct) => return self.correct(&own()?, correct).await,
            Operation::DrawReceipt(draw) => return self.draw(&own()?, draw).await,
            Operation::ByCaller(_) => {
                return Err(Problem::refused(Code::Malformed, "a sealed operation holds another"));
            }
        };
        self.put(&authority, (&actor, &request), upload).await
    }

    /// What the caller's roles allow here. **Errors**: `ADM-0003`.
    fn authority(&self, actor: &ActorId, roles: &[String]) -> Result<Authority, Problem> {
        let followed = self.followed();
        let registry = &followed.governance().registry;
        let operator = registry.vaults.get(&self.vault).map(|vault| &vault.operator);
        let has = |role: &str| roles.iter().any(|held| held == role);
        if has("operator") && operator == Some(actor) {
            return Ok(Authority::Operator);
        }
        person(actor, roles).map(Authority::Own)
    }

    async fn put(
        &self,
        authority: &Authority,
        name: (&ActorId, &RequestId),
        (kind, format, content): (Kind, Format, Vec<u8>),
    ) -> Result<VaultAnswer, Problem> {
        let key = self.keys.keyed("symphony/operation-key/v1", &canonical::to_bytes(&name));
        let digest = (kind as u8, format as u8, Digest::of_bytes(&content));
        let asked = Digest::of("symphony/operation-content/v1", &digest);
        let name = (key, asked);
        match kind {
            Kind::Subjects => {
                let lines = upload_of(upload::subjects(format, &content))?;
                self.answer_once(name, &self.ingesting, self.put_subjects(authority, lines)).await
            }
            Kind::Consents => {
                let lines = upload_of(upload::consents(format, &content))?;
                self.answer_once(name, &self.ingesting, self.put_consents(authority, lines)).await
            }
            Kind::Records => {
                let followed = self.followed();
                let meaning = followed.governance().semantics_at(self.now());
                let lines = upload_of(upload::records(format, &content, meaning))?;
                let records = Parsed::new(authority, lines);
                let answer = self.answer_once(name, &self.ingesting, self.put_records(records)).await?;
                // The records are kept whatever becomes of their segment, which the next upload tries again.
                if let Err(problem) = self.segment().await {
                    tracing::error!(error = &problem as &dyn std::error::Error, "records wait for a segment");
                }
                Ok(answer)
            }
        }
    }

    /// Does under a name what is asked, one at a time; the same content again has the same answer and does nothing.
    ///
    /// **Errors**: `ADM-0005` for another content, or those of the work, which may be asked for again.
    pub(crate) async fn answer_once(
        &self,
        (name, content): (Digest, Digest),
        turn: &Mutex<()>,
        work: impl Future<Output = Result<VaultAnswer, Problem>>,
    ) -> Result<VaultAnswer, Problem> {
        let _one_at_a_time = turn.lock().await;
        if let Some(known) = self.store.read()?.answered(name)? {
            if known.content != content {
                return Err(Code::IdempotencyConflict.into());
            }
            return VaultAnswer::decode(known.answer.as_slice())
                .map_err(|error| Problem::fault("a stored answer is damaged", error));
        }
        let answer = work.await?;
        let answered = Answered { content, answer: answer.encode_to_vec() };
        self.store.write(|transaction| store::put_answered(transaction, name, &answered))?;
        Ok(answer)
    }

    async fn put_subjects(
        &self,
        authority: &Authority,
        mut lines: Lines<'_, ParsedSubject>,
    ) -> Result<VaultAnswer, Problem> {
        let mut tally = Tally::default();
        while let Some(batch) = tally.batch(&mut lines, BATCH_LEN_MAX, |line| authority.covers(&line.subject))
        {
            self.put_subject_batch(batch, &mut tally).await?;
        }
        Ok(tally.into_answer())
    }

    async fn put_subject_batch(
        &self,
        batch: Vec<(u64, ParsedSubject)>,
        tally: &mut Tally,
    ) -> Result<(), Problem> {
        let (state, view) = (self.state(), self.store.read()?);
        let mut places: BTreeMap<SubjectKey, usize> = BTreeMap::new();
        let mut fresh: Vec<(SubjectKey, Profile)> = Vec::new();
        let mut changed: BTreeMap<SubjectIndex, Profile> = BTreeMap::new();
        for (_, ParsedSubject { subject, contact, wallet }) in batch {
            let key = self.keys.subject_key(&subject);
            let profile = Profile { subject, contact, wallet };
            let same = match (state.subjects.find(&key), places.get(&key).copied()) {
                (Some(index), _) => {
                    let known = match changed.remove(&index) {
                        Some(pending) => pending,
                        None => view.profile(self.keys.data_key(index), index)?,
                    };
                    let same = known == profile;
                    changed.insert(index, profile);
                    same
                }
                (None, Some(place)) => std::mem::replace(&mut fresh[place].1, profile.clone()) == profile,
                (None, None) => {
                    places.insert(key, fresh.len());
                    fresh.push((key, profile));
                    false
                }
            };
            tally.count(same);
        }
        let mut rows = Vec::with_capacity(fresh.len() + changed.len());
        let mut reader = self.keys.reader();
        for (index, profile) in &changed {
            let row = reader.key(*index).and_then(|key| SubjectRow::new(&key, *index, profile));
            rows.push((*index, row.map_err(unsealed)?));
        }
        // What is on its way to another Vault is not changed here any more.
        self.state().moves.grows()?;
        if fresh.is_empty() {
            return self.store.write(|transaction| store::put_subjects(transaction, &rows));
        }
        // Their keys are on disk before the journal knows them; what a crash leaves is overwritten at the start.
        let next = state.subjects.len();
        let keys = self.keys.new_people(SubjectIndex(next), fresh.len()).map_err(unsealed)?;
        for ((place, (_, profile)), key) in (next..).zip(&fresh).zip(&keys) {
            let index = SubjectIndex(place);
            rows.push((index, SubjectRow::new(key, index, profile).map_err(unsealed)?));
        }
        let keys = fresh.iter().map(|(key, _)| *key).collect();
        let hook = move |transaction: &redb::WriteTransaction| store::put_subjects(transaction, &rows);
        let ordered = self.journal.order_with(Command::EnrolSubjects { keys }, hook).await;
        if let Err(OrderError::Refused(_)) = &ordered {
            self.keys.people.trim(next).map_err(|error| unsealed(error.into()))?;
        }
        ordered?;
        Ok(())
    }

    async fn put_consents(
        &self,
        authority: &Authority,
        mut lines: Lines<'_, ParsedConsent>,
    ) -> Result<VaultAnswer, Problem> {
        let mut tally = Tally::default();
        while let Some(batch) = tally.batch(&mut lines, BATCH_LEN_MAX, |line| authority.covers(&line.subject))
        {
            let state = self.state();
            let scopes = &state.charter.policy_at(self.now())?.privacy.scope_limits;
            let closed = self.joins().err().map(|problem| problem.code());
            let mut changes = Vec::with_capacity(batch.len());
            let mut news = false;
            for (line, consent) in batch {
                let Some(subject) = state.subjects.find(&self.keys.subject_key(&consent.subject)) else {
                    tally.refuse(line, Code::SubjectUnknown, None);
                    continue;
                };
                if !scopes.contains_key(&consent.scope) {
                    tally.refuse(line, Code::ScopeUnknown, None);
                    continue;
                }
                if let Some(code) = closed.filter(|_| consent.state == ConsentState::Granted) {
                    tally.refuse(line, code, None);
                    continue;
                }
                let statement = match consent.state {
                    ConsentState::Granted => Statement::Granted { expires: consent.expires_at },
                    ConsentState::Withdrawn => Statement::Withdrawn,
                };
                news |= !state.consents.standing(&consent.scope, subject).says(statement);
                changes.push(ConsentChange { subject, scope: consent.scope, statement });
            }
            let count = changes.len() as u64;
            let mut accepted = 0;
            if news {
                let ordered = self.journal.order(Command::RecordConsents { changes }).await?;
                for event in &ordered.events {
                    if let Event::ConsentsRecorded { changes } = event {
                        accepted += changes.len() as u64;
                    }
                }
            }
            tally.accepted += accepted;
            tally.duplicates += count - accepted;
        }
        Ok(tally.into_answer())
    }

    async fn put_records(&self, mut parsed: Parsed<'_>) -> Result<VaultAnswer, Problem> {
        while let Some(batch) = parsed.batch.take() {
            let (rows, today) = self.record_rows(batch, &mut parsed.tally)?;
            // The next lines are parsed while these become durable.
            let (appended, ()) = tokio::join!(self.append(rows, today), async { parsed.read() });
            appended?;
        }
        Ok(parsed.tally.into_answer())
    }

    async fn append(&self, rows: Vec<Upload>, today: Today) -> Result<(), Problem> {
        if rows.is_empty() {
            return Ok(());
        }
        let leaves: Vec<_> = rows.par_iter().map(|new| merkle::leaf(&new.row.commitment.0.0)).collect();
        let mut subjects: Vec<_> = rows.iter().map(|new| new.row.subject).collect();
        subjects.dedup();
        let command =
            Command::AppendRecords { count: rows.len() as u32, root: merkle::root(&leaves), subjects };
        let hook = move |transaction: &redb::WriteTransaction| put_uploaded(transaction, &rows, &today);
        self.journal.order_with(command, hook).await?;
        Ok(())
    }

    /// The records of a batch that are new, sealed for a period, by person and sequence. All cores work at it.
    fn record_rows(
        &self,
        batch: Vec<(u64, ParsedRecord)>,
        tally: &mut Tally,
    ) -> Result<(Vec<Upload>, Today), Problem> {
        let (state, view) = (self.state(), self.store.read()?);
        let (log, today) = (view.log()?, self.today(&view)?);
        let mut room = self.quota.records_max.saturating_sub(state.holdings.kept());
        let followed = self.followed();
        let meaning = followed.governance().semantics_at(self.now());
        let drafts = batch.into_par_iter().map(|line| self.draft((&state, meaning), line));
        let drafts: Vec<Draft> = drafts.collect::<Result<_, _>>().map_err(unsealed)?;
        let mut writers = self.writers(&view, (&log, &today), &drafts)?;
        let known = drafts.par_iter().map(|draft| known((&log, &self.keys), &writers, draft));
        let known: Vec<Option<Commitment>> = known.collect::<Result<_, _>>()?;
        let mut named = HashSet::with_capacity(drafts.len());
        let mut fresh: Vec<(SubjectIndex, u32, Draft)> = Vec::with_capacity(drafts.len());
        for (draft, known) in drafts.into_iter().zip(known) {
            let Some((subject, writer)) =
                draft.subject.and_then(|subject| Some((subject, writers.get_mut(&subject)?)))
            else {
                tally.refuse(draft.line, Code::SubjectUnknown, None);
                continue;
            };
            if named.contains(&draft.name) {
                tally.count(true);
            } else if let Some(commitment) = known {
                tally.count(true);
                tally.note(commitment);
            } else if room == 0 {
                tally.refuse(draft.line, Code::VaultFull, None);
            } else if let Err(code) = draft.valid {
                tally.refuse(draft.line, code, None);
            } else {
                named.insert(draft.name);
                tally.local.extend(draft.record.local.keys().cloned());
                fresh.push((subject, writer.next, draft));
                writer.next += 1;
                room -= 1;
            }
        }
        let pooled = state.charter.policy_at(self.now())?.candidates.is_some();
        let seal = |(subject, sequence, draft): (SubjectIndex, u32, Draft)| {
            let (commitment, sealed) = seal_record(&writers[&subject].today, &draft.record)?;
            let row = RecordRow { subject, sequence, commitment, sealed };
            let waits = pooled && !draft.record.local.is_empty();
            Ok(Upload { row, fingerprint: fingerprint(&draft.name), waits })
        };
        let mut rows: Vec<Upload> =
            fresh.into_par_iter().map(seal).collect::<Result<_, _>>().map_err(unsealed)?;
        for new in &rows {
            tally.count(false);
            tally.note(new.row.commitment);
        }
        rows.par_sort_unstable_by_key(|new| (new.row.subject, new.row.sequence));
        Ok((rows, today))
    }

    fn draft(
        &self,
        (state, meaning): (&State, &Semantics),
        (line, record): (u64, ParsedRecord),
    ) -> Result<Draft, KeyError> {
        let name = name(&self.keys, &record.subject, &record.request);
        let subject = state.subjects.find(&self.keys.subject_key(&record.subject));
        let record = CanonicalRecord {
            salt: *keys::random()?,
            schema: SCHEMA,
            subject: record.subject,
            request: record.request,
            values: record.values,
            local: record.local,
        };
        let valid = record.check(meaning);
        Ok(Draft { line, name, subject, record, valid })
    }

    fn writers(
        &self,
        view: &View,
        (log, today): (&Log, &Today),
        drafts: &[Draft],
    ) -> Result<BTreeMap<SubjectIndex, Writer>, Problem> {
        let people: BTreeSet<SubjectIndex> = drafts.iter().filter_map(|draft| draft.subject).collect();
        let (people, derived) = (people.into_iter().collect::<Vec<_>>(), Derived::open(view)?);
        let writers = people.par_chunks(PEOPLE_OF_A_CORE).map(|people| {
            let mut reader = self.keys.reader();
            let writer = |subject: &SubjectIndex| {
                let key = reader.key(*subject).map_err(unsealed)?;
                let next = log.next_sequence(&derived, *subject)?;
                Ok((*subject, Writer { today: key.within(&today.key), key, next }))
            };
            people.iter().map(writer).collect::<Result<Vec<_>, Problem>>()
        });
        Ok(writers.collect::<Result<Vec<_>, Problem>>()?.into_iter().flatten().collect())
    }
}

/// The record that is there already by the draft's name. **Errors**: storage, or a changed byte.
fn known(
    (log, keys): (&Log, &VaultKeys),
    writers: &BTreeMap<SubjectIndex, Writer>,
    draft: &Draft,
) -> Result<Option<Commitment>, Problem> {
    let Some(subject) = draft.subject else { return Ok(None) };
    for entry in log.of(subject).filter(|entry| entry.fingerprint == fingerprint(&draft.name)) {
        let (commitment, record) = log.open(keys, &writers[&subject].key, &entry)?;
        if record.request == draft.record.request {
            return Ok(Some(commitment));
        }
    }
    Ok(None)
}

/// A record before it is known whether the Vault has it already.
struct Draft {
    line: u64,
    /// Keyed digest of person and request id.
    name: Digest,
    subject: Option<SubjectIndex>,
    record: CanonicalRecord,
    valid: Result<(), Code>,
}

/// A person who gets records.
struct Writer {
    key: DataKey,
    /// What its records of today are under.
    today: DataKey,
    /// The position of the next one.
    next: u32,
}

/// Whether an operation brings in much. The last of a standby's room is for withdrawals and erasures.
fn grows(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::PutSubjects(_)
            | Operation::PutRecords(_)
            | Operation::PutReceipt(_)
            | Operation::ParseReceipt(_)
            | Operation::CorrectReceipt(_)
    )
}

/// The caller as a person with data of its own. **Errors**: `ADM-0003`.
fn person(actor: &ActorId, roles: &[String]) -> Result<SubjectId, Problem> {
    match SubjectId::new(actor.as_str()) {
        Ok(own) if roles.iter().any(|held| held == "producer") => Ok(own),
        _ => Err(Problem::refused(Code::Forbidden, "the caller is no producer at this vault")),
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Subjects,
    Consents,
    Records,
}

/// Lines of records, some of them parsed: the first before it is the upload's turn.
struct Parsed<'a> {
    authority: &'a Authority,
    lines: Lines<'a, ParsedRecord>,
    tally: Tally,
    batch: Option<Vec<(u64, ParsedRecord)>>,
}

impl<'a> Parsed<'a> {
    fn new(authority: &'a Authority, lines: Lines<'a, ParsedRecord>) -> Self {
        let mut parsed = Self { authority, lines, tally: Tally::default(), batch: None };
        parsed.read();
        parsed
    }

    /// Parses the next batch.
    fn read(&mut self) {
        let covers = |line: &ParsedRecord| self.authority.covers(&line.subject);
        self.batch = self.tally.batch(&mut self.lines, RECORDS_LEN_MAX, covers);
    }
}

/// What became of the lines of an upload.
#[derive(Default)]
struct Tally {
    accepted: u64,
    duplicates: u64,
    refused: Vec<LineRefusal>,
    refused_total: u64,
    first: Option<Commitment>,
    /// Columns of records that were taken, which no governed attribute is for.
    local: BTreeSet<AttributeName>,
}

impl Tally {
    /// The next lines that are well-formed and the caller's to send; `None` when there are no more lines.
    fn batch<T>(
        &mut self,
        lines: &mut Lines<'_, T>,
        most: usize,
        covers: impl Fn(&T) -> bool,
    ) -> Option<Vec<(u64, T)>> {
        let mut batch = Vec::new();
        let mut ended = true;
        for (line, parsed) in lines.by_ref() {
            match parsed {
                Ok(value) if covers(&value) => batch.push((line, value)),
                Ok(_) => self.refuse(line, Code::Forbidden, None),
                Err(LineError { code, detail }) => self.refuse(line, code, Some(detail)),
            }
            if batch.len() == most {
                ended = false;
                break;
            }
        }
        (!ended || !batch.is_empty()).then_some(batch)
    }

    fn count(&mut self, known: bool) {
        if known {
            self.duplicates += 1;
        } else {
            self.accepted += 1;
        }
    }

    fn note(&mut self, commitment: Commitment) {
        self.first.get_or_insert(commitment);
    }

    fn refuse(&mut self, line: u64, code: Code, detail: Option<String>) {
        self.refused_total += 1;
        if self.refused.len() < REFUSALS_MAX {
            let detail = detail.unwrap_or_else(|| code.title().to_owned());
            self.refused.push(LineRefusal { line, code: code.as_str().to_owned(), detail });
        }
    }

    fn into_answer(self) -> VaultAnswer {
        let single = self.accepted + self.duplicates == 1;
        VaultAnswer {
            accepted: self.accepted,
            duplicates: self.duplicates,
            refused: self.refused,
            refused_total: self.refused_total,
            commitments: self.first.filter(|_| single).map(|one| one.0.0.to_vec()).into_iter().collect(),
            local: self.local.iter().take(LOCAL_SHOWN_MAX).map(ToString::to_string).collect(),
            ..VaultAnswer::default()
        }
    }
}

fn format(number: i32) -> Result<Format, Problem> {
    match UploadFormat::try_from(number) {
        Ok(UploadFormat::JsonLines) => Ok(Format::JsonLines),
        Ok(UploadFormat::Parquet) => Ok(Format::Parquet),
        Ok(UploadFormat::ArrowStream) => Ok(Format::ArrowStream),
        Ok(UploadFormat::Unspecified) | Err(_) => Err(Code::UnsupportedMedia.into()),
    }
}

fn upload_of<T>(lines: Result<T, upload::UploadError>) -> Result<T, Problem> {
    lines.map_err(|error| Problem::refused(error.code, error.detail))
}

fn unsealed(error: keys::KeyError) -> Problem {
    Problem::fault("a person's row cannot be sealed or opened", error)
}

/// Names of local columns in one answer.
const LOCAL_SHOWN_MAX: usize = 100;
/// An operation that its caller sealed, and that somebody sends again, is refused after this. **Units**: milliseconds.
const OWN_LIFETIME_MAX_MS: u64 = 900_000;
/// Lines that become durable together: a command of this many consents stays below the limit of a command.
const BATCH_LEN_MAX: usize = 10_000;
/// The same of records, which are in the command by person: each batch costs a sync of the drive and a key a person.
const RECORDS_LEN_MAX: usize = 50_000;
/// People whose keys one core reads in a row.
const PEOPLE_OF_A_CORE: usize = 512;
/// Refused lines that an answer names.
const REFUSALS_MAX: usize = 100;
/// The shape of records that this node writes.
const SCHEMA: SchemaVersion = SchemaVersion(1);
