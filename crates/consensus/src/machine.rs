//! What the engine asks of the rules it drives, and the genesis they start from (R216).
//!
//! `decide` checks everything and changes nothing; `evolve` cannot fail. So the journal needs to keep only what
//! was decided, and replaying the events gives the same state everywhere.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::time::OrderedMillis;

/// How a state is read back from its canonical bytes.
pub type Restore<S> = fn(&[u8]) -> Option<S>;

/// The pure rules that a journal drives.
pub trait Machine: Send + 'static {
    /// Everything the rules know. The first one is data: see [`Genesis`].
    type State: Clone + Serialize + Send + Sync + 'static;
    /// What somebody wants.
    type Command: Serialize + DeserializeOwned + Clone + Send + Sync + 'static;
    /// What has happened.
    type Event: Serialize + DeserializeOwned + Clone + Send + Sync + 'static;
    /// Why a command was turned down.
    type Refusal: fmt::Display + Clone + Send + Sync + 'static;

    /// How a state is read back from its canonical bytes ([`restored`]), if starts go on from checkpoints and others may
    /// be given a state.
    const RESTORE: Option<Restore<Self::State>> = None;

    /// Whether the journal keeps a tree over its entries, so that it can prove them ([`crate::tree`]).
    const PROVABLE: bool = false;

    /// Makes every check and changes nothing.
    ///
    /// **Errors**: the refusal, which leaves no trace in the journal.
    fn decide(
        state: &Self::State,
        at: OrderedMillis,
        command: &Self::Command,
    ) -> Result<Vec<Self::Event>, Self::Refusal>;

    /// Takes one event into the state.
    fn evolve(state: &mut Self::State, at: OrderedMillis, event: &Self::Event);

    /// The digest of a state, which all nodes of a height agree on (R217). Without a word of the machine it is that of the
    /// canonical bytes and costs as much as the whole state; a state that keeps its digest may note it as it is asked.
    fn digest(state: &mut Self::State) -> Digest {
        state_digest(state)
    }
}

/// Reads a state from its canonical bytes. **Errors**: `None` for anything else.
pub fn restored<S: DeserializeOwned>(bytes: &[u8]) -> Option<S> {
    bcs::from_bytes(bytes).ok()
}

/// The state of height zero and the name of the chain that starts there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis<S> {
    /// The name of the cluster or Vault; two chains of one genesis state differ by it.
    pub name: String,
    /// The state before the first command.
    pub state: S,
}

impl<S: Serialize> Genesis<S> {
    /// The digest that the first entry of the chain names as its predecessor.
    pub fn root(&self) -> Digest {
        root(&self.name, &canonical::to_bytes(&self.state))
    }
}

/// The digest of a state's canonical bytes.
pub fn state_digest<S: Serialize>(state: &S) -> Digest {
    state_digest_of_bytes(&canonical::to_bytes(state))
}

/// [`state_digest`] of a state that is already in canonical bytes.
pub fn state_digest_of_bytes(state: &[u8]) -> Digest {
    Digest::tagged(STATE_TAG, state)
}

/// The root of a chain out of its name and the canonical bytes of its genesis state.
pub(crate) fn root(name: &str, state: &[u8]) -> Digest {
    Digest::of(GENESIS_TAG, &(name, state_digest_of_bytes(state)))
}

const STATE_TAG: &str = "symphony/journal-state/v1";
const GENESIS_TAG: &str = "symphony/journal-genesis/v1";
