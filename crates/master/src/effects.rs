//! Performs what is leased to this master: one runner per effect, tried again until it is done or the lease has gone
//! to another master (R196). The state alone says what this master holds, so after a restart it goes on with that.
//!
//! When a lease moves, the attempt under way ends by itself and no other follows. It is not aborted: its report is
//! judged by what it says, and may be the first.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use symphony_protocol::machine::{Effect, effect_for};
use symphony_types::catalogue::Code;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;

use crate::node::Node;
use crate::{admission, execution, moving, parse, review, settlement, training};

/// First pause after a failure; doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The pause after a refusal for good. It may have been this master alone that was refused, or only now.
const PAUSE_REFUSED: Duration = Duration::from_secs(10);

/// What a runner reports when it could not finish.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Somebody does not answer; try again.
    #[error("{0}")]
    Again(String),
    /// The machine or a node refused, and asking again at once cannot help.
    #[error("{0}: {1}")]
    Refused(Code, String),
}

impl From<symphony_protocol::machine::Refusal> for Fault {
    fn from(refusal: symphony_protocol::machine::Refusal) -> Self {
        if refusal.code.retry() {
            Self::Again(refusal.to_string())
        } else {
            Self::Refused(refusal.code, refusal.detail)
        }
    }
}

impl From<anyhow::Error> for Fault {
    fn from(error: anyhow::Error) -> Self {
        Self::Again(format!("{error:#}"))
    }
}

impl From<tonic::Status> for Fault {
    fn from(status: tonic::Status) -> Self {
        let (code, detail) = symphony_wire::status::problem_of(&status);
        if code.retry() || code == Code::Internal { Self::Again(detail) } else { Self::Refused(code, detail) }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Again(error.to_string())
    }
}

/// Effects that are being performed here.
#[derive(Default)]
pub(crate) struct Runners(Mutex<BTreeSet<Effect>>);

impl Runners {
    /// Whether an effect was not being performed yet; marks it.
    fn begin(&self, effect: &Effect) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(effect.clone())
    }

    /// An effect is done.
    fn end(&self, effect: &Effect) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(effect);
    }

    /// Whether a runner goes on; if not, its effect is no longer being performed. Both in one step: a lease that comes
    /// back meanwhile finds either the old runner going on or room for a new one.
    fn goes_on(&self, effect: &Effect, held: impl FnOnce() -> bool) -> bool {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = held();
        if !held {
            running.remove(effect);
        }
        held
    }
}

/// Follows the journal and starts a runner for everything that this master is given to do.
pub async fn run(node: Arc<Node>) {
    let mut ordered = node.orderer.subscribe();
    let mut height = node.orderer.head().height;
    launch_held(&node);
    loop {
        match ordered.recv().await {
            Ok(ordered) => {
                if ordered.height > height + 1 {
                    // This master was far behind and took a state of the others.
                    launch_held(&node);
                }
                height = ordered.height;
                for effect in ordered.events.iter().filter_map(|event| effect_for(&node.id, event)) {
                    launch(&node, effect);
                }
            }
            Err(RecvError::Lagged(_)) => launch_held(&node),
            Err(RecvError::Closed) => return,
        }
    }
}

fn launch_held(node: &Arc<Node>) {
    for effect in node.state().held_by(&node.id) {
        launch(node, effect);
    }
}

fn launch(node: &Arc<Node>, effect: &Effect) {
    if node.runners.begin(effect) {
        tokio::spawn(perform(Arc::clone(node), effect.clone()));
    }
}

async fn perform(node: Arc<Node>, effect: Effect) {
    let mut pause = PAUSE;
    while node.runners.goes_on(&effect, || node.state().holds(&node.id, &effect)) {
        match attempt(&node, &effect).await {
            Ok(()) => return node.runners.end(&effect),
            Err(Fault::Refused(code, detail)) => {
                tracing::error!(?effect, %code, detail, "an effect was refused");
                sleep(PAUSE_REFUSED).await;
            }
            Err(Fault::Again(detail)) => {
                tracing::warn!(?effect, detail, "an effect is tried again");
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

async fn attempt(node: &Arc<Node>, effect: &Effect) -> Result<(), Fault> {
    match effect {
        Effect::PrepareTask(task) => admission::prepare(node, task).await,
        Effect::ReleaseBudget(task, vaults) => admission::release(node, task, vaults).await,
        Effect::AssignSlices(task) => execution::assign(node, task).await,
        Effect::Aggregate(task) => execution::aggregate(node, task).await,
        Effect::Train(task) => training::train(node, task).await,
        Effect::Parse(task) => parse::run(node, task).await,
        Effect::Verify(task) => settlement::verify(node, task).await,
        Effect::Review(task) => review::review(node, task).await,
        Effect::CloseDividends(epoch) => settlement::close_dividends(node, *epoch).await,
        Effect::Pay(epoch) => settlement::pay(node, *epoch).await,
        Effect::Move(from) => moving::carry(node, from).await,
    }
}

#[cfg(test)]
mod tests {
    use symphony_types::id::EpochId;

    use super::*;

    /// R196: an effect has one runner here, however often it is leased to this master.
    #[test]
    fn an_effect_has_one_runner() {
        let (runners, effect) = (Runners::default(), Effect::Pay(EpochId(1)));
        assert!(runners.begin(&effect));
        assert!(!runners.begin(&effect));
        assert!(runners.begin(&Effect::Pay(EpochId(2))));
        runners.end(&effect);
        assert!(runners.begin(&effect));
    }

    /// R196: a lease that comes back while its old runner stops is performed: by the old runner if that has seen it,
    /// and otherwise there is room for a new one.
    #[test]
    fn a_lease_that_comes_back_is_not_lost() {
        let (runners, effect) = (Runners::default(), Effect::Pay(EpochId(1)));
        assert!(runners.begin(&effect));
        assert!(runners.goes_on(&effect, || true));
        assert!(!runners.begin(&effect), "the old runner goes on");
        assert!(!runners.goes_on(&effect, || false));
        assert!(runners.begin(&effect), "the old runner has stopped");
    }
}
