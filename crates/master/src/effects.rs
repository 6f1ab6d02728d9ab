//! Performs what the state owes: one runner per effect, retried until the machine has moved on. The state alone
//! says what is owed, so a restarted master continues where the last one fell.

use std::sync::Arc;
use std::time::Duration;

use symphony_consensus::orderer::Orderer;
use symphony_protocol::machine::{Effect, effects, outstanding};
use symphony_types::catalogue::Code;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;

use crate::node::{Node, begin, end};
use crate::{admission, execution, settlement};

/// First pause after a failure; doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What a runner reports when it could not finish.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Somebody does not answer; try again.
    #[error("{0}")]
    Again(String),
    /// The machine or a node refused for good; nothing is left to do here.
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

/// Follows the journal and starts a runner for everything that becomes owed.
pub async fn run(node: Arc<Node>) {
    let mut ordered = node.orderer.subscribe();
    launch_all(&node, outstanding(&node.state()));
    loop {
        match ordered.recv().await {
            Ok(ordered) => {
                let state = node.state();
                for event in &ordered.events {
                    launch_all(&node, effects(&state, event));
                }
            }
            Err(RecvError::Lagged(_)) => launch_all(&node, outstanding(&node.state())),
            Err(RecvError::Closed) => return,
        }
    }
}

fn launch_all(node: &Arc<Node>, owed: Vec<Effect>) {
    for effect in owed {
        if begin(node, &effect) {
            tokio::spawn(perform(Arc::clone(node), effect));
        }
    }
}

async fn perform(node: Arc<Node>, effect: Effect) {
    let mut pause = PAUSE;
    loop {
        let outcome = match &effect {
            Effect::PrepareTask(task) => admission::prepare(&node, task).await,
            Effect::ReleaseBudget(task, vaults) => admission::release(&node, task, vaults).await,
            Effect::AssignSlices(task) => execution::assign(&node, task).await,
            Effect::Aggregate(task) => execution::aggregate(&node, task).await,
            Effect::Verify(task) => settlement::verify(&node, task).await,
            Effect::CloseDividends(epoch) => settlement::close_dividends(&node, *epoch).await,
            Effect::Pay(epoch) => settlement::pay(&node, *epoch).await,
        };
        match outcome {
            Ok(()) => break,
            Err(Fault::Refused(code, detail)) => {
                tracing::error!(?effect, %code, detail, "an effect was refused");
                break;
            }
            Err(Fault::Again(detail)) => {
                tracing::warn!(?effect, detail, "an effect is tried again");
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
    end(&node, &effect);
}
