//! The Vault's rules under the Vault's own journal: a cluster of one (R064, R217).

use symphony_consensus::machine::Machine;
use symphony_protocol::vault::machine::{self, Command, Event, State};
use symphony_types::catalogue::Code;
use symphony_types::time::OrderedMillis;

/// The machine that a Vault's journal drives.
#[derive(Clone, Copy, Debug)]
pub enum VaultMachine {}

impl Machine for VaultMachine {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Refusal = Code;

    fn decide(state: &State, at: OrderedMillis, command: &Command) -> Result<Vec<Event>, Code> {
        machine::decide(state, at, command)
    }

    fn evolve(state: &mut State, at: OrderedMillis, event: &Event) {
        machine::evolve(state, at, event);
    }
}
