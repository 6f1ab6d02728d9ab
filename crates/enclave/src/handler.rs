//! One request in, one answer out: decodes the call, holds it against the enclave's role, and turns every fault
//! into a refusal. What works on a call may ask the host in between, and may use the enclave's workers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use symphony_compute::train::sharing::Role;
use symphony_tee::asking::Host;
use symphony_tee::frame::SPOKEN_BYTES_MAX;
use symphony_tee::report::EnclaveRole;
use symphony_types::canonical;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::TaskId;
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, Call};
use symphony_wire::sealed::SealingKey;
use zeroize::Zeroizing;

use crate::modules::Modules;
use crate::refusal::Refusal;
use crate::segments::Given;
use crate::station::Station;
use crate::training::Contribution;
use crate::training::combine::Round;
use crate::training::datasets::Datasets;
use crate::training::pieces::{Open, Piece};
use crate::workers::Workers;
use crate::{aggregate, moving, parse, portions, slice, training};

/// Answers a host's calls.
pub struct Handler<S> {
    pub(crate) station: S,
    pub(crate) sealing: SealingKey,
    /// Code that was made ready before the enclave was locked down.
    pub(crate) modules: Modules,
    /// Threads beside the one that answers.
    workers: Workers,
    /// What stays in memory between the rounds of a training.
    datasets: Mutex<Datasets>,
    /// What has been added of rounds that are not combined yet.
    open: Mutex<Open>,
}

impl<S: Station> Handler<S> {
    /// A handler in this enclave.
    pub fn new(station: S, modules: Modules, workers: Workers) -> Self {
        let sealing = SealingKey::from_seed(station.hpke_secret());
        Self { station, sealing, modules, workers, datasets: Mutex::default(), open: Mutex::default() }
    }

    /// The threads that were started for this handler before the enclave was locked down.
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// The canonical [`Answer`] to a canonical [`Call`]. Any bytes have an answer. The host may be asked until then; what it
    /// replies is as little believed as what it requests.
    pub fn answer(&self, request: &[u8], host: &mut dyn Host) -> Vec<u8> {
        // The readers of columns index what hostile bytes describe. A fault there refuses the call; what the
        // handler keeps between calls is never half done.
        let answer = catch_unwind(AssertUnwindSafe(|| self.decide(request, host)))
            .unwrap_or_else(|_| Err(Refusal::new(Code::Internal, "the enclave stumbled over the call")));
        within_a_frame(documents::encode(&answer.unwrap_or_else(refused)))
    }

    fn decide(&self, request: &[u8], host: &mut dyn Host) -> Result<Answer, Refusal> {
        let call = documents::decode(request).map_err(|_| Refusal::new(Code::Malformed, "not a call"))?;
        match call {
            Call::OpenTask { envelope, slices, policy, masters } => {
                self.require(EnclaveRole::Aggregator)?;
                aggregate::open_task(self, &envelope, &slices, &policy, &masters)
            }
            Call::Aggregate { envelope, nonce, bundles, masters } => {
                self.require(EnclaveRole::Aggregator)?;
                aggregate::aggregate(self, &envelope, nonce, &bundles, &masters)
            }
            Call::Piece { order, vault, boot, bundle, piece, policy, masters } => {
                self.require(EnclaveRole::Aggregator)?;
                let round = Round::check(self, &order, &policy, &masters, Role::Leader)?;
                let piece = Piece { vault: &vault, boot: &boot, bundle: &bundle, sealed: &piece };
                training::pieces::add(self, &round, &piece)
            }
            Call::Contribute { order, vault, learner, input_root, material, policy, masters } => {
                self.require(EnclaveRole::Slice)?;
                let (order, vault, learner) = (&order, &vault, learner.as_ref());
                let (policy, masters) = (&policy[..], &masters[..]);
                let asked = Contribution { order, vault, learner, input_root, material, policy, masters };
                training::contribute(self, asked)
            }
            Call::Combine { round, helped } => {
                self.require(EnclaveRole::Aggregator)?;
                training::combine::combine(self, &round, helped.as_ref())
            }
            Call::Ask { round } => {
                self.require(EnclaveRole::Aggregator)?;
                training::shares::ask(self, &round)
            }
            Call::Help { round, asked } => {
                self.require(EnclaveRole::Aggregator)?;
                training::shares::help(self, &round, &asked)
            }
            Call::Extract { order, sheet, masters } => {
                self.require(EnclaveRole::Slice)?;
                parse::extract(self, &order, &sheet, &masters)
            }
            Call::MoveOut(asked) => {
                self.require(EnclaveRole::Slice)?;
                moving::out(self, &asked)
            }
            Call::MoveIn { invitation, executor, boot, report, batch, policy, vault } => {
                self.require(EnclaveRole::Slice)?;
                moving::arrive(self, &invitation, &executor, (&boot, &report), &batch, &policy, &vault)
            }
            Call::Evaluate { assignment, material, segments, dealt, policy, masters } => {
                self.require(EnclaveRole::Slice)?;
                let segments = segments.as_deref().map(|sealed| Given { sealed, dealt: dealt.as_ref() });
                slice::evaluate(self, host, &assignment, (&material, segments), &policy, &masters)
            }
            Call::Scan { assignment, portion, finisher, policy, masters } => {
                self.require(EnclaveRole::Slice)?;
                portions::scan(self, host, &assignment, &portion, (&finisher, &policy), &masters)
            }
        }
    }

    /// The datasets of trainings. A call that stumbled has not touched them half.
    pub(crate) fn datasets(&self) -> MutexGuard<'_, Datasets> {
        self.datasets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rounds that are being added up. A call that stumbled has let its round go.
    pub(crate) fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A secret of one task: the same on every call, unknown outside this enclave.
    pub(crate) fn secret(&self, tag: &str, task: TaskId, step: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut input = Zeroizing::new(Vec::with_capacity(SECRET_INPUT_BYTES));
        input.extend_from_slice(self.station.task_secret());
        input.extend_from_slice(&canonical::to_bytes(&task));
        input.extend_from_slice(step);
        Zeroizing::new(Digest::tagged(tag, &input).0)
    }

    fn require(&self, role: EnclaveRole) -> Result<(), Refusal> {
        if self.station.boot().role == role {
            return Ok(());
        }
        Err(Refusal::new(Code::Forbidden, "this enclave was started for another role"))
    }
}

fn refused(Refusal { code, detail }: Refusal) -> Answer {
    Answer::Refused { code, detail }
}

/// An answer that no frame can carry would end the enclave; it is refused instead. Admission allows of none.
fn within_a_frame(answer: Vec<u8>) -> Vec<u8> {
    if answer.len() <= SPOKEN_BYTES_MAX {
        return answer;
    }
    documents::encode(&refused(Refusal::new(Code::AggregationFailed, "the answer is longer than a frame")))
}

/// More than secret, task and step, so that the buffer never moves.
const SECRET_INPUT_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    /// What is too long to be told is refused, and the enclave lives on.
    #[test]
    fn an_answer_over_the_limit_of_a_frame_becomes_a_refusal() {
        assert_eq!(within_a_frame(vec![7; SPOKEN_BYTES_MAX]).len(), SPOKEN_BYTES_MAX);
        let answer = within_a_frame(vec![7; SPOKEN_BYTES_MAX + 1]);
        let answer = documents::decode::<Answer>(&answer).unwrap();
        assert!(matches!(answer, Answer::Refused { code: Code::AggregationFailed, .. }));
    }
}
