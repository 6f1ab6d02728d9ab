//! The protocol's machine in the shape that the journal drives.

use symphony_consensus::machine::{Machine, Restore, restored};
use symphony_protocol::machine::{self, Event, Order, Refusal, State};
use symphony_types::digest::Digest;
use symphony_types::time::OrderedMillis;

/// The rules of the whole protocol.
#[derive(Clone, Copy, Debug)]
pub struct Protocol;

impl Machine for Protocol {
    type State = State;
    type Command = Order;
    type Event = Event;
    type Refusal = Refusal;

    const RESTORE: Option<Restore<State>> = Some(restored);
    const PROVABLE: bool = true;

    fn decide(state: &State, at: OrderedMillis, order: &Order) -> Result<Vec<Event>, Refusal> {
        machine::decide(state, at, order)
    }

    fn evolve(state: &mut State, at: OrderedMillis, event: &Event) {
        machine::evolve(state, at, event);
    }

    fn digest(state: &mut State) -> Digest {
        state.digest()
    }
}
