//! Computes a round of a training: check the order, judge the aggregator, draw what the round costs, and only then let the
//! enclave see the learner and the records (R057, R065, R087, R097, D20).
//!
//! A round that is ordered twice draws once and is computed twice: it has the same content, sealed anew. What it is
//! computed on stays the same through all rounds, but for people whose consent ends: they are left out from the next round
//! on. The enclave keeps the records between rounds; when it has been started again, it asks for them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use symphony_consensus::orderer::Orderer as _;
use symphony_protocol::artifact::challenge::{ReplayRefusal, SignedReplayRefusal};
use symphony_protocol::artifact::training::{EndorsedRoundOrder, RoundOrder};
use symphony_protocol::artifact::{Bucket, SliceHeader};
use symphony_protocol::execution::training::slice_nonce;
use symphony_protocol::lifecycle::training::Position;
use symphony_protocol::vault::authorize;
use symphony_protocol::vault::ledger::{Draw, LedgerEntry};
use symphony_protocol::vault::machine::Command;
use symphony_tee::appraise::AppraisalPolicy;
use symphony_tee::governed::Admitted;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::TaskId;
use symphony_types::key::Document as _;
use symphony_types::time::OrderedMillis;
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, Call, SealedLearner, purpose};
use symphony_wire::sealed;
use symphony_wire::v1::SliceResult;

use crate::agent::{Agent, wrong_answer};
use crate::enterprise::Enterprise;
use crate::problem::Problem;
use crate::runtime::{Gathered, Wanted, began};
use crate::store;

/// What the trainings under way are computed on. Lost with the process, and made again.
#[derive(Default)]
pub(crate) struct Bases(Mutex<BTreeMap<TaskId, Basis>>);

/// Which records a round is computed on.
#[derive(Clone, Copy)]
struct Basis {
    /// Digest of the people.
    members: Digest,
    /// Root over the records.
    root: Digest,
    /// How many records, as a bucket.
    records: Bucket,
}

impl Bases {
    /// Forgets all of them: somebody is gone.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn of(&self, task: &TaskId, members: Digest) -> Option<Basis> {
        let bases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bases.get(task).copied().filter(|basis| basis.members == members)
    }

    fn keep(&self, task: TaskId, basis: Basis) {
        let mut bases = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bases.len() >= BASES_MAX {
            bases.clear();
        }
        bases.insert(task, basis);
    }
}

impl Enterprise {
    /// Computes this Vault's part of a round; `learner` is for its enclave, and none in the first round.
    ///
    /// **Errors**: the order is not the masters' or not complete, or older than one that is known; the aggregator's enclave
    /// is not to be believed; nothing is reserved; or the enclave refuses.
    pub(crate) async fn compute_round(
        self: Arc<Self>,
        agent: Arc<Agent>,
        order: EndorsedRoundOrder,
        learner: Option<SealedLearner>,
    ) -> Result<SliceResult, Problem> {
        authorize::endorsed(&order, &self.governance.registry.masters)?;
        authorize::round(&order.body, &self.vault)?;
        let _one_at_a_time = self.computing.lock().await;
        self.serves()?;
        let envelope = &order.body.envelope;
        self.check_receipt(envelope)?;
        let policy = self.appraise(envelope, &order.body.aggregator_boot)?;
        self.check_own(&agent, Admitted::of(envelope))?;
        if let Some(helper) = &order.body.helper_boot {
            self.appraise(envelope, helper)?;
        }
        self.journal.order(Command::CommitRound { order: Box::new(order.clone()) }).await?;
        self.remember(&order)?;
        let this = Arc::clone(&self);
        let work = tokio::task::spawn_blocking(move || this.contribute(&agent, order, learner, &policy));
        work.await.map_err(|error| Problem::fault("a round panicked", error))?
    }

    /// Computes a round again that this Vault has computed, whatever became of the task since: with the same people, on the
    /// same records, for the same release, so that nobody loses anything by it (D10, R135). When that cannot be, the Vault
    /// says so under its own name.
    ///
    /// **Errors**: as [`Enterprise::compute_round`]; `ADM-0003` for a round that this Vault has not computed.
    pub(crate) async fn replay_round(
        self: Arc<Self>,
        agent: Arc<Agent>,
        order: EndorsedRoundOrder,
        learner: Option<SealedLearner>,
    ) -> Result<Result<SliceResult, SignedReplayRefusal>, Problem> {
        authorize::endorsed(&order, &self.governance.registry.masters)?;
        authorize::round(&order.body, &self.vault)?;
        let _one_at_a_time = self.computing.lock().await;
        let envelope = &order.body.envelope;
        self.check_receipt(envelope)?;
        let policy = self.appraise(envelope, &order.body.aggregator_boot)?;
        if let Some(helper) = &order.body.helper_boot {
            self.appraise(envelope, helper)?;
        }
        let members = self.store.read()?.round(released(&order.body))?.ok_or(Code::Forbidden)?;
        if self.serves().is_err() || !self.same_people(&order.body, members)? {
            let (task, round, vault) = (envelope.task, order.body.round, self.vault.clone());
            return Ok(Err(self.keys.signing.sign(ReplayRefusal { task, round, vault })));
        }
        let this = Arc::clone(&self);
        let work = tokio::task::spawn_blocking(move || this.contribute(&agent, order, learner, &policy));
        work.await.map_err(|error| Problem::fault("a round panicked", error))?.map(Ok)
    }

    /// Notes whose data a round is computed on, so that it can be computed again.
    fn remember(&self, order: &EndorsedRoundOrder) -> Result<(), Problem> {
        let state = self.state();
        let entry = state.ledger.entry(&order.body.envelope.task).ok_or(Code::ReservationUnknown)?;
        let members = entry.state.draw().ok_or(Code::ReservationExpired)?.members.digest();
        self.store.note(|transaction| store::put_round(transaction, released(&order.body), members))
    }

    /// Whether a task still has the people that a round was computed on, all of them still consent, and no record has ended since.
    fn same_people(&self, order: &RoundOrder, members: Digest) -> Result<bool, Problem> {
        let state = self.state();
        let entry = state.ledger.entry(&order.envelope.task).ok_or(Code::ReservationUnknown)?;
        let draw = entry.state.draw().ok_or(Code::ReservationExpired)?;
        let at = self.now();
        let consents = |subject| state.consents.standing(&entry.scope, subject).allows(at);
        let there = !self.ended_since(began(entry));
        Ok(there && draw.members.digest() == members && draw.members.set().iter().all(consents))
    }

    /// Everything after the draw. Blocks.
    fn contribute(
        &self,
        agent: &Agent,
        order: EndorsedRoundOrder,
        learner: Option<SealedLearner>,
        policy: &AppraisalPolicy,
    ) -> Result<SliceResult, Problem> {
        let state = self.state();
        let (task, until) = (order.body.envelope.task, order.body.envelope.execute_by);
        let entry = state.ledger.entry(&task).ok_or(Code::ReservationUnknown)?;
        let draw = entry.state.draw().ok_or(Code::ReservationExpired)?;
        let mut gathered = None;
        let basis = match self.bases.of(&task, draw.members.digest()) {
            Some(basis) => basis,
            None => self.base(task, draw, gathered.insert(self.collect(&order, entry, draw)?)),
        };
        let call = |material| Call::Contribute {
            order: order.clone(),
            vault: self.vault.clone(),
            learner: learner.clone(),
            input_root: basis.root,
            material,
            policy: documents::encode(policy),
            masters: self.governance.registry.masters.values().copied().collect(),
        };
        let answer = match agent.call(&call(None))? {
            Answer::RecordsWanted => {
                let gathered = match gathered {
                    Some(gathered) => gathered,
                    None => self.collect(&order, entry, draw)?,
                };
                if gathered.root != basis.root {
                    return Err(Problem::refused(
                        Code::Internal,
                        "the records of the training are not there",
                    ));
                }
                agent.call(&call(Some(self.seal_records(agent, (task, until), &gathered)?)))?
            }
            answer => answer,
        };
        let Answer::Contributed { bundle, pieces, report } = answer else { return Err(wrong_answer()) };
        let body = &order.body;
        let position = Position::of(body.round, body.last, body.state);
        let header = SliceHeader {
            task,
            vault: self.vault.clone(),
            nonce: slice_nonce(&body.envelope.digest(), &self.vault, &position),
            attempt: body.attempt,
            epsilon: draw.spent,
            coverage: Bucket::of(draw.members.set().len()),
            records: basis.records,
            input_root: basis.root,
            bundle: Digest::of_bytes(&bundle),
            report: Digest::of_bytes(&report),
            ledger_head: self.head(),
        };
        let header = documents::encode(&self.keys.signing.sign(header));
        Ok(SliceResult { header, bundle, boot: agent.boot(), report, pieces })
    }

    /// The records of a training: those that its first round was computed on, without people who have left.
    fn collect(
        &self,
        order: &EndorsedRoundOrder,
        entry: &LedgerEntry,
        draw: &Draw,
    ) -> Result<Gathered, Problem> {
        let envelope = &order.body.envelope;
        let used = self.store.read()?.usage(&envelope.task)?;
        let first = used.is_none();
        let wanted = Wanted { used, beside: None, handles: true };
        let people = self.readable(draw.members.set());
        let gathered = self.gather(envelope, entry, &people, wanted)?;
        if first {
            let put = |transaction: &_| store::put_usage(transaction, &envelope.task, &gathered.usage);
            self.store.write(put)?;
        }
        Ok(gathered)
    }

    fn base(&self, task: TaskId, draw: &Draw, gathered: &Gathered) -> Basis {
        let (members, root, records) = (draw.members.digest(), gathered.root, gathered.records(None));
        let basis = Basis { members, root, records };
        self.bases.keep(task, basis);
        basis
    }

    /// Seals records to this Vault's enclave, for a task and until its end.
    fn seal_records(
        &self,
        agent: &Agent,
        (task, until): (TaskId, OrderedMillis),
        gathered: &Gathered,
    ) -> Result<Vec<u8>, Problem> {
        let place = documents::encode(&(task, &self.vault, until, gathered.root));
        let key = agent.report().body.hpke_key;
        sealed::seal(&key, purpose::TRAINING, &place, &gathered.material)
            .map_err(|error| Problem::fault("records cannot be sealed", error))
    }
}

/// What a round of a task releases.
fn released(order: &RoundOrder) -> Digest {
    Digest::of("symphony/vault-round/v1", &(order.envelope.task, order.round, order.release()))
}

/// Trainings that are known at once; more are looked up again.
const BASES_MAX: usize = 64;
