//! Computes a slice: check the order, judge the aggregator, consume the budget, and only then let the enclave see
//! records (R057, R065, R087, R105, R110, R111).
//!
//! Every step can be repeated: the budget is consumed once, a finished slice is answered from its transcript, and
//! whatever a crash interrupted is computed again over the same committed people. When another master takes over, the
//! slice is computed once more for its aggregator, from the very same records (R196).

use std::collections::BTreeMap;
use std::sync::Arc;

use symphony_compute::material::{MaterialBuilder, MaterialError};
use symphony_consensus::orderer::Orderer as _;
use symphony_protocol::artifact::challenge::{ReplayRefusal, SignedReplayRefusal};
use symphony_protocol::artifact::{Bucket, EndorsedAssignment, Plan, SliceHeader, TaskEnvelope};
use symphony_protocol::vault::authorize;
use symphony_protocol::vault::dividend::Usage;
use symphony_protocol::vault::ledger::{EntryState, LedgerEntry};
use symphony_protocol::vault::machine::Command;
use symphony_protocol::vault::record::CanonicalRecord;
use symphony_segments::catalogue::Snapshot;
use symphony_tee::appraise::AppraisalPolicy;
use symphony_tee::governed::{self, Admitted};
use symphony_tee::report::{BootReport, EnclaveRole};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{Commitment, TaskId};
use symphony_types::key::Document as _;
use symphony_types::merkle;
use symphony_types::subjects::{SubjectIndex, SubjectSet};
use symphony_types::time::OrderedMillis;
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, Call, ModuleCode, purpose};
use symphony_wire::sealed;
use zeroize::Zeroizing;

use crate::agent::{Agent, wrong_answer};
use crate::enterprise::Enterprise;
use crate::problem::Problem;
use crate::serving::Serving;
use crate::store::{self, Transcript};

impl Enterprise {
    /// Computes the slice of an assignment, or gives the one that was computed.
    ///
    /// **Errors**: the order is not the masters' or not complete, it is not the latest attempt, the aggregator's enclave
    /// is not to be believed, nothing is reserved, or the enclave refuses.
    pub async fn assign(
        self: Arc<Self>,
        agent: Arc<Agent>,
        assignment: EndorsedAssignment,
    ) -> Result<Transcript, Problem> {
        authorize::endorsed(&assignment, &self.governance.registry.masters)?;
        authorize::addressed(&assignment.body.vault, &self.vault)?;
        if assignment.body.review {
            return Err(Problem::refused(Code::EnvelopeInvalid, "an order for a review is computed as one"));
        }
        let _one_at_a_time = self.computing.lock().await;
        self.serves()?;
        let earlier = self.store.read()?.transcript(&assignment.body.envelope.task)?;
        if let Some(transcript) = earlier.as_ref().filter(|t| t.assignment == assignment.body.digest()) {
            return Ok(transcript.clone());
        }
        self.check_receipt(&assignment.body.envelope)?;
        if let (Some(_), Plan::Audience(_) | Plan::Statistic(_)) = (&earlier, &assignment.body.envelope.plan)
        {
            self.unreleased(&assignment.body.envelope.task)?;
        }
        if let (Some(_), Plan::Compute(_)) = (&earlier, &assignment.body.envelope.plan) {
            self.unended(&assignment.body.envelope.task)?;
        }
        let policy = self.appraise(&assignment.body.envelope, &assignment.body.aggregator_boot)?;
        self.check_own(&agent, Admitted::of(&assignment.body.envelope))?;
        let module = self.module(&assignment.body.envelope)?;
        self.check_people(&assignment.body.envelope)?;
        if let Plan::Audience(_) | Plan::Statistic(_) = &assignment.body.envelope.plan {
            self.analysis.answers().await?;
        }
        self.commit(&assignment).await?;
        let this = Arc::clone(&self);
        let task = Slice { assignment, module, policy, earlier };
        let work = tokio::task::spawn_blocking(move || this.compute(&agent, task));
        work.await.map_err(|error| Problem::fault("a slice panicked", error))?
    }

    /// Runs a slice again that this Vault has computed, a module on both engines, over the same records of the same people, so that
    /// nobody loses anything by it (D10, R135, R140). When that cannot be, because somebody has withdrawn consent or the
    /// module is approved no more, the Vault says so under its own name.
    ///
    /// **Errors**: as [`Enterprise::assign`]; `ADM-0003` for a slice that this Vault has not computed.
    pub(crate) async fn replay_slice(
        self: Arc<Self>,
        agent: Arc<Agent>,
        assignment: EndorsedAssignment,
    ) -> Result<Result<Transcript, SignedReplayRefusal>, Problem> {
        authorize::endorsed(&assignment, &self.governance.registry.masters)?;
        let order = &assignment.body;
        authorize::assignment(order, &self.vault)?;
        let (task, adds_up) = (order.envelope.task, order.envelope.plan.adds_up());
        if !(order.review && adds_up) {
            return Err(Problem::refused(Code::EnvelopeInvalid, "no order for a review of a run"));
        }
        let _one_at_a_time = self.computing.lock().await;
        self.check_receipt(&order.envelope)?;
        let policy = self.appraise(&order.envelope, &order.aggregator_boot)?;
        self.check_own(&agent, Admitted::of(&order.envelope))?;
        let earlier = self.store.read()?.transcript(&task)?.ok_or(Code::Forbidden)?;
        let module = self.module(&order.envelope);
        let approved = !matches!(&module, Err(problem) if problem.code() == Code::ModuleUnknown);
        let served = approved && self.serves().is_ok() && self.unended(&task).is_ok();
        if !served || !self.all_consent(&task)? {
            let refusal = ReplayRefusal { task, round: RUN, vault: self.vault.clone() };
            return Ok(Err(self.keys.signing.sign(refusal)));
        }
        let slice = Slice { assignment, module: module?, policy, earlier: Some(earlier) };
        let this = Arc::clone(&self);
        let work = tokio::task::spawn_blocking(move || this.compute(&agent, slice));
        work.await.map_err(|error| Problem::fault("a slice panicked", error))?.map(Ok)
    }

    /// Whether all records are there that a module read. **Errors**: `EXE-0007` when some may have ended since.
    fn unended(&self, task: &TaskId) -> Result<(), Problem> {
        let state = self.state();
        let entry = state.ledger.entry(task).ok_or(Code::ReservationUnknown)?;
        if self.ended_since(began(entry)) {
            let ended = "records have ended since, because they were kept for their time";
            return Err(Problem::refused(Code::IllegalTransition, ended));
        }
        Ok(())
    }

    /// Whether a computation may have so many people, before anybody loses anything by it. **Errors**: `EXE-0012`.
    fn check_people(&self, envelope: &TaskEnvelope) -> Result<(), Problem> {
        let Some(plan) = envelope.plan.compute() else { return Ok(()) };
        let state = self.state();
        let entry = state.ledger.entry(&envelope.task).ok_or(Code::ReservationUnknown)?;
        if entry.reserved.set().len() > u64::from(plan.people_max) {
            return Err(Problem::refused(
                Code::ModuleStopped,
                "the vault has more people than the quote covers",
            ));
        }
        Ok(())
    }

    /// Whether everybody whose data a task was given still consents.
    fn all_consent(&self, task: &TaskId) -> Result<bool, Problem> {
        let (state, at) = (self.state(), self.now());
        let entry = state.ledger.entry(task).ok_or(Code::ReservationUnknown)?;
        let consents = |subject| state.consents.standing(&entry.scope, subject).allows(at);
        Ok(committed(entry)?.iter().all(consents))
    }

    /// Consumes the budget of everybody whose consent still holds, before anything is computed (R057, R065). For a later
    /// attempt at a committed order nothing more is consumed.
    pub async fn commit(&self, assignment: &EndorsedAssignment) -> Result<(), Problem> {
        let state = self.state();
        let entry = state.ledger.entry(&assignment.body.envelope.task).ok_or(Code::ReservationUnknown)?;
        let digest = assignment.body.digest();
        match &entry.state {
            EntryState::Committed { order, .. } if order.assignment == digest => Ok(()),
            EntryState::Committed { .. }
            | EntryState::Reserved
            | EntryState::Drawing(_)
            | EntryState::Drawn { .. }
            | EntryState::Released { .. }
            | EntryState::Expired { .. } => {
                let assignment = Box::new(assignment.clone());
                self.journal.order(Command::CommitTask { assignment }).await?;
                Ok(())
            }
        }
    }

    /// The envelope must rest on the very receipt that this Vault gave.
    pub(crate) fn check_receipt(&self, envelope: &TaskEnvelope) -> Result<(), Problem> {
        let vaults = &envelope.coordination.participating_vault_ids;
        let place = vaults.binary_search(&self.vault).map_err(|_| Code::EnvelopeInvalid)?;
        let receipt = self.store.read()?.receipt(&envelope.task)?.ok_or(Code::ReservationUnknown)?;
        if envelope.reservations.get(place) != Some(&receipt.body.digest()) {
            return Err(Problem::refused(Code::EnvelopeInvalid, "the envelope rests on another receipt"));
        }
        Ok(())
    }

    /// Judges the aggregator's boot report by what governance and the task admit (R121, R128, R130).
    pub(crate) fn appraise(
        &self,
        envelope: &TaskEnvelope,
        aggregator_boot: &[u8],
    ) -> Result<AppraisalPolicy, Problem> {
        let (followed, admitted) = (self.followed(), Admitted::of(envelope));
        let (governance, role) = (followed.governance(), EnclaveRole::Aggregator);
        let policy = governed::dispatch(&self.network, governance, admitted, role);
        let boot = governed::admitted(aggregator_boot, &policy, role).map_err(|(code, detail)| {
            Problem::refused(code, format!("the aggregator's enclave: {detail}"))
        })?;
        if boot.actor != envelope.coordination.aggregator {
            return Err(Problem::refused(Code::AttestationFailed, "the enclave is another aggregator's"));
        }
        Ok(policy)
    }

    /// Judges this Vault's own enclaves: records are sealed to active code alone, that of the order (R120, R129).
    pub(crate) fn check_own(&self, agent: &Agent, admitted: Admitted<'_>) -> Result<(), Problem> {
        let policy = self.own_policy(admitted);
        agent.executors().into_iter().try_for_each(|executor| judged(&executor.boot(), &policy).map(drop))
    }

    /// What this Vault's own enclaves are judged by for an order.
    pub(crate) fn own_policy(&self, admitted: Admitted<'_>) -> AppraisalPolicy {
        let followed = self.followed();
        governed::dispatch(&self.network, followed.governance(), admitted, EnclaveRole::Slice)
    }

    /// Everything after the commit; with an earlier attempt's transcript, over the records of that one. Blocks.
    fn compute(
        &self,
        agent: &Agent,
        Slice { assignment, module, policy, earlier }: Slice,
    ) -> Result<Transcript, Problem> {
        let (body, digest) = (&assignment.body, assignment.body.digest());
        let state = self.state();
        let entry = state.ledger.entry(&body.envelope.task).ok_or(Code::ReservationUnknown)?;
        let people = &self.readable(committed(entry)?);
        let used = if earlier.is_some() { self.store.read()?.usage(&body.envelope.task)? } else { None };
        let inputs = match &body.envelope.plan {
            Plan::Audience(_) | Plan::Statistic(_) => {
                Some(self.inputs(&body.envelope, earlier.is_some(), people)?)
            }
            Plan::Training(_) | Plan::Compute(_) => None,
        };
        let (mark, beside, snapshot, _pin) = match inputs {
            Some(inputs) => (Some(inputs.mark), Some(inputs.beside), inputs.snapshot, Some(inputs.pin)),
            None => (None, None, None, None),
        };
        // Over segments the enclave asks for handles, also of those whom records beside them select; a statistic
        // needs none.
        let handles = snapshot.is_none() && body.envelope.plan.statistic().is_none();
        // What is counted already has what was used of segments in it.
        let counted = mark.as_ref().filter(|mark| mark.counted).and(used.clone());
        let wanted = Wanted { used, beside, handles };
        let gathered = self.gather(&body.envelope, entry, people, wanted)?;
        let key = agent.report().body.hpke_key;
        let serving = match &snapshot {
            Some(snapshot) => Some(Serving::new(self, snapshot, people, (&key, &digest))?),
            None => None,
        };
        let input_root = serving.as_ref().map_or(gathered.root, |serving| serving.input_root(gathered.root));
        // Who was erased since is missing, and what has ended since, and nothing else.
        let fewer = *people != *committed(entry)? || self.ended_since(began(entry));
        if !fewer && earlier.is_some_and(|earlier| earlier.header.body.input_root != input_root) {
            return Err(Problem::refused(Code::Internal, "the records of the earlier attempt are not there"));
        }
        let portions = match &serving {
            Some(serving) => serving.deal(agent, &assignment).map_err(|problem| serving.failed(problem))?,
            None => vec![],
        };
        let material = sealed::seal(&key, purpose::MATERIAL, &digest.0, &gathered.material);
        let material = material.map_err(|error| Problem::fault("material cannot be sealed", error))?;
        let call = Call::Evaluate {
            assignment: assignment.clone(),
            material,
            segments: serving.as_ref().map(Serving::sealed).transpose()?,
            dealt: self.dealt(&body.envelope, &portions),
            policy: documents::encode(&policy),
            masters: self.governance.registry.masters.values().copied().collect(),
        };
        let answer = match (&module, &serving) {
            (Some(module), _) => agent.run(&call, module)?,
            (None, Some(serving)) => {
                let answer =
                    agent.call_serving(&call, &mut |question: &[u8]| serving.reply(question, &portions));
                answer.map_err(|problem| serving.failed(problem))?
            }
            (None, None) => agent.call(&call)?,
        };
        let Answer::Evaluated { bundle, derived, input_root: computed_on, report } = answer else {
            return Err(wrong_answer());
        };
        if computed_on != input_root {
            return Err(Problem::refused(Code::AttestationFailed, "the enclave computed on other inputs"));
        }
        let header = SliceHeader {
            task: body.envelope.task,
            vault: self.vault.clone(),
            nonce: body.nonce,
            attempt: body.attempt,
            epsilon: entry.epsilon,
            coverage: Bucket::of(people.len()),
            records: gathered.records(snapshot.as_ref()),
            input_root,
            bundle: Digest::of_bytes(&bundle),
            report: Digest::of_bytes(&report),
            ledger_head: self.head(),
        };
        let header = self.keys.signing.sign(header);
        let boot = agent.boot();
        let transcript = Transcript { assignment: digest, header, bundle, boot, report };
        if body.review {
            return Ok(transcript);
        }
        let derived = self.derived(&body.envelope, &derived)?;
        self.store.write(|transaction| {
            let usage = counted.as_ref().unwrap_or(&gathered.usage);
            store::put_transcript(transaction, &transcript, (usage, mark.as_ref()), &derived)
        })?;
        Ok(transcript)
    }

    /// Opens the records of these people, or of them those `beside` segments, with the attributes of the plan, and nothing else
    /// (R087): for an audience those that have every attribute, for a training those that say when they happened, else those that
    /// have any.
    pub(crate) fn gather(
        &self,
        envelope: &TaskEnvelope,
        entry: &LedgerEntry,
        people: &SubjectSet,
        Wanted { used, beside, handles }: Wanted,
    ) -> Result<Gathered, Problem> {
        let (mut attributes, followed) = (BTreeMap::new(), self.followed());
        // Later versions have every attribute of those before, of the same type.
        let (_, meaning) = followed.governance().meanings.last();
        for attribute in envelope.plan.attributes() {
            let governed = meaning.attributes.get(&attribute);
            let value = governed.ok_or(Code::AttributeUnknown)?.value;
            attributes.insert(attribute, value);
        }
        let failed = |error: MaterialError| Problem::fault("material cannot be built", error);
        let used: Option<BTreeMap<_, _>> = used.map(|used| used.records.into_iter().collect());
        let most = |subject| used.as_ref().map_or(u32::MAX, |used| used.get(&subject).copied().unwrap_or(0));
        let mut builder = MaterialBuilder::new(&attributes).map_err(failed)?;
        let mut leaves = Vec::new();
        let mut counts: Vec<(SubjectIndex, u32)> = Vec::new();
        let view = self.store.read()?;
        let mut visit = |subject: SubjectIndex, commitment: &Commitment, record: &CanonicalRecord| {
            let whole = match envelope.plan.training() {
                Some(plan) => record.values.contains_key(&plan.training.time),
                None if envelope.plan.adds_up() => {
                    attributes.keys().any(|name| record.values.contains_key(name))
                }
                None => attributes.keys().all(|name| record.values.contains_key(name)),
            };
            if !whole {
                return Ok(());
            }
            let so_far = counts.last().filter(|(last, _)| *last == subject).map_or(0, |(_, count)| *count);
            if so_far >= most(subject) {
                return Ok(());
            }
            builder.push(subject, commitment, &record.values).map_err(failed)?;
            leaves.push(merkle::leaf(&commitment.0.0));
            match counts.last_mut() {
                Some((last, count)) if *last == subject => *count += 1,
                _ => counts.push((subject, 1)),
            }
            Ok(())
        };
        match beside {
            None => view.each_record(&self.keys, &self.slots, people, visit)?,
            Some(places) => {
                let visit = |(subject, _), commitment: &_, record: &_| visit(subject, commitment, record);
                view.records_at(&self.keys, &self.slots, &places, visit)?;
            }
        }
        if handles {
            let people: Vec<SubjectIndex> = counts.iter().map(|(subject, _)| *subject).collect();
            for (subject, handle) in people.iter().zip(self.contacts(&view, &people)?.iter()) {
                builder.person(*subject, handle).map_err(failed)?;
            }
        }
        let material = builder.finish().map_err(failed)?;
        let usage = Usage { epsilon: entry.epsilon, records: counts };
        Ok(Gathered { material, root: merkle::root(&leaves), usage })
    }
}

/// Judges the start of one of this Vault's own enclaves.
pub(crate) fn judged(boot: &[u8], policy: &AppraisalPolicy) -> Result<BootReport, Problem> {
    governed::admitted(boot, policy, EnclaveRole::Slice)
        .map_err(|(code, detail)| Problem::refused(code, format!("this vault's enclave: {detail}")))
}

/// The only run of a computation, as a challenge names it.
const RUN: u32 = 1;

/// A slice on its way.
struct Slice {
    assignment: EndorsedAssignment,
    module: Option<ModuleCode>,
    policy: AppraisalPolicy,
    earlier: Option<Transcript>,
}

/// What is opened for a task.
pub(crate) struct Wanted {
    /// What was used before: then no more. A person's records only grow until some end, so the first ones are those of the earlier attempt.
    pub(crate) used: Option<Usage>,
    /// Where the records are; `None` for all of the task's people.
    pub(crate) beside: Option<Vec<(u32, u32)>>,
    /// Whether handles go with the records.
    pub(crate) handles: bool,
}

/// Records of a task, ready for the enclave.
pub(crate) struct Gathered {
    /// See `compute::material`.
    pub(crate) material: Zeroizing<Vec<u8>>,
    /// Merkle root over their commitments, in order.
    pub(crate) root: Digest,
    /// How many of each person.
    pub(crate) usage: Usage,
}

impl Gathered {
    /// How many records, as a bucket; of segments all that lie in them.
    pub(crate) fn records(&self, snapshot: Option<&Snapshot>) -> Bucket {
        let segments = snapshot.map_or(&[][..], |snapshot| &snapshot.segments);
        let in_segments: u64 = segments.iter().map(|entry| entry.rows).sum();
        let beside: u64 = self.usage.records.iter().map(|(_, count)| u64::from(*count)).sum();
        Bucket::of(in_segments + beside)
    }
}

/// When a task's budget was consumed, or held: it read nothing before.
pub(crate) fn began(entry: &LedgerEntry) -> OrderedMillis {
    match &entry.state {
        EntryState::Committed { at, .. } => *at,
        EntryState::Reserved
        | EntryState::Drawing(_)
        | EntryState::Drawn { .. }
        | EntryState::Released { .. }
        | EntryState::Expired { .. } => entry.reserved_at,
    }
}

pub(crate) fn committed(entry: &LedgerEntry) -> Result<&SubjectSet, Problem> {
    match &entry.state {
        EntryState::Committed { members, .. } => Ok(members.set()),
        EntryState::Reserved
        | EntryState::Drawing(_)
        | EntryState::Drawn { .. }
        | EntryState::Released { .. }
        | EntryState::Expired { .. } => Err(Code::ReservationUnknown.into()),
    }
}
