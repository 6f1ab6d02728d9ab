//! A master starts although its guard is being restarted just then.

use redb::{Builder, backends::InMemoryBackend};
use symphony_consensus::orderer::Orderer;
use symphony_consensus::quorum::committee::Committee;
use symphony_consensus::quorum::guard::{Ask, Identity, Kept, LocalGuard, Memory, Refusal, VoteGuard};
use symphony_types::key::Signature;

use super::counter::add;
use super::quorum::{Wires, guard, start_with};

/// A guard that does not answer its first calls.
struct Late {
    silent: u32,
    guard: LocalGuard,
}

impl Late {
    fn answers(&mut self) -> Result<&mut LocalGuard, Refusal> {
        if self.silent == 0 {
            return Ok(&mut self.guard);
        }
        self.silent -= 1;
        Err(Refusal::Unreachable)
    }
}

impl VoteGuard for Late {
    fn sign(&mut self, ask: &Ask) -> Result<Signature, Refusal> {
        self.answers()?.sign(ask)
    }

    fn install(&mut self, committee: &Committee) -> Result<(), Refusal> {
        self.answers()?.install(committee)
    }

    fn identity(&mut self) -> Result<Identity, Refusal> {
        self.answers()?.identity()
    }

    fn memory(&mut self) -> Result<Memory, Refusal> {
        self.answers()?.memory()
    }

    fn keep(&mut self, kept: &Kept) -> Result<(), Refusal> {
        self.answers()?.keep(kept)
    }

    fn kept(&mut self) -> Result<Vec<Kept>, Refusal> {
        self.answers()?.kept()
    }
}

/// R196: reading the journal takes a while; a guard that was killed meanwhile is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_is_being_restarted_is_waited_for() {
    let wires = Wires::default();
    let start = |seat, silent| {
        let database = Builder::new().create_with_backend(InMemoryBackend::new()).unwrap();
        let late = Late { silent, guard: guard(seat, Memory::default()) };
        start_with(database, seat, Box::new(late), wires.clone()).unwrap()
    };
    let first = start(0, 0);
    let _second = start(1, 3);
    first.order(add(1, 1)).await.unwrap();
    assert_eq!(first.state().of[&1], 1, "the second master votes");
}
