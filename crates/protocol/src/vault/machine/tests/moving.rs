//! Both sides of a move: which step follows which, whose word counts, what people bring, and that nothing is added at the source.

use symphony_types::key::Vault;

use super::*;
use crate::vault::machine::moving::{Admission, Command as MoveCommand, Cursor};
use crate::vault::moving::{Load, SignedStanding, Standing};

/// The key of a Vault by its name.
pub(super) fn key(name: &str) -> PrivateKey<Vault> {
    PrivateKey::from_seed(&Digest::of_bytes(name.as_bytes()).0)
}

fn named(name: &str) -> VaultId {
    VaultId::new(name).unwrap()
}

const PROPOSAL: Digest = Digest([5; 32]);

fn load(people: u32) -> Load {
    Load { people, records: people, documents: 0, root: Digest([6; 32]) }
}

fn at(subject: u32, part: u32) -> Cursor {
    Cursor { subject: SubjectIndex(subject), part }
}

fn step(command: MoveCommand) -> Command {
    Command::Move(Box::new(command))
}

/// The batch with this many before it.
fn offer(batches: u64, until: Cursor) -> Command {
    step(MoveCommand::Offer { proposal: PROPOSAL, to: named("south"), batches, until, load: load(1) })
}

fn end() -> Command {
    step(MoveCommand::End { proposal: PROPOSAL, to: named("south") })
}

/// What the destination has after the batch on its way.
fn received(state: &State) -> Standing {
    let out = state.moves.out.as_ref().unwrap();
    let (_, tally) = out.pending.as_ref().unwrap();
    tally.standing(PROPOSAL, (&vault(), &named("south")), false)
}

fn confirm(by: &str, body: Standing) -> Command {
    step(MoveCommand::Confirm { receipt: key(by).sign(body) })
}

fn admission(batches: u64, people: core::ops::Range<u8>, spent: &[(u32, &str, u64)]) -> Admission {
    let Command::EnrolSubjects { keys } = keys(people.clone()) else { panic!("not an enrolment") };
    Admission {
        proposal: PROPOSAL,
        from: named("south"),
        batches,
        load: load(keys.len() as u32),
        keys,
        records: u32::from(people.end - people.start),
        root: Digest([6; 32]),
        subjects: people.map(|subject| SubjectIndex(u32::from(subject))).collect(),
        documents: vec![],
        spent: spent
            .iter()
            .map(|(who, name, spent)| (SubjectIndex(*who), scope(name), Epsilon(*spent)))
            .collect(),
    }
}

fn admit(admission: Admission) -> Command {
    step(MoveCommand::Admit(admission))
}

/// R081: a batch follows another, offered again it is the same, and only the destination's word on this very batch erases anybody.
#[test]
fn the_source_erases_on_the_destinations_word_alone() {
    let mut state = start();
    apply(&mut state, 1, &keys(0..3)).unwrap();
    apply(&mut state, 1, &records(0..3)).unwrap();
    for wrong in [offer(1, at(1, 0)), offer(0, at(0, 0)), offer(0, at(4, 0)), end()] {
        assert_eq!(apply(&mut state, 2, &wrong), Err(Code::MoveConflict));
    }
    apply(&mut state, 2, &offer(0, at(1, 1))).unwrap();
    assert_eq!(apply(&mut state, 3, &offer(0, at(1, 1))), Ok(vec![]), "again it is the same");
    assert_eq!(apply(&mut state, 3, &offer(0, at(2, 0))), Err(Code::MoveConflict), "and no other");
    assert_eq!(apply(&mut state, 3, &end()), Err(Code::MoveConflict));
    let good = received(&state);
    assert_eq!(apply(&mut state, 3, &confirm("north", good.clone())), Err(Code::Forbidden));
    let wrong = [
        Standing { batches: 2, ..good.clone() },
        Standing { root: Digest::ZERO, ..good.clone() },
        Standing { proposal: Digest::ZERO, ..good.clone() },
        Standing { closed: true, ..good.clone() },
        Standing { from: named("south"), ..good.clone() },
    ];
    for body in wrong {
        assert_eq!(apply(&mut state, 3, &confirm("south", body)), Err(Code::MoveConflict));
    }
    assert_eq!(state.subjects.erased().len(), 0);
    for who in [0, 1] {
        let erase = Command::ErasePerson { subject: SubjectIndex(who) };
        assert_eq!(apply(&mut state, 3, &erase), Err(Code::MoveWaits), "it is on its way");
    }
    apply(&mut state, 4, &confirm("south", good.clone())).unwrap();
    assert_eq!(
        state.subjects.erased().iter().collect::<Vec<_>>(),
        [SubjectIndex(0)],
        "the next has something left"
    );
    assert_eq!(apply(&mut state, 4, &confirm("south", good)), Ok(vec![]), "again it changes nothing");
    let erase = |who| Command::ErasePerson { subject: SubjectIndex(who) };
    assert_eq!(apply(&mut state, 5, &erase(1)), Err(Code::MoveWaits), "half of it is away");
    apply(&mut state, 5, &erase(2)).unwrap();
    apply(&mut state, 5, &offer(1, at(3, 0))).unwrap();
    let rest = received(&state);
    apply(&mut state, 6, &confirm("south", rest)).unwrap();
    apply(&mut state, 7, &end()).unwrap();
    assert_eq!(apply(&mut state, 7, &end()), Ok(vec![]));
    assert_eq!(apply(&mut state, 7, &offer(2, at(3, 1))), Err(Code::MoveConflict));
    assert!(state.outbound().unwrap().closed);
}

/// R081: once people are on their way nothing is added at the source, consent can still be withdrawn, and no move begins while a task
/// holds budget.
#[test]
fn nothing_is_added_where_everything_leaves() {
    let mut state = populated();
    apply(&mut state, 2, &prepare_of(1, "marketing", 10, 20)).unwrap();
    assert_eq!(apply(&mut state, 3, &offer(0, at(1, 0))), Err(Code::MoveWaits));
    apply(&mut state, 4, &release_of(1)).unwrap();
    apply(&mut state, 5, &offer(0, at(1, 0))).unwrap();
    let document =
        Command::KeepDocument { subject: SubjectIndex(1), commitment: Commitment(Digest([1; 32])) };
    for growth in [keys(90..91), records(1..2), document, prepare_of(2, "marketing", 10, 20)] {
        assert_eq!(apply(&mut state, 6, &growth), Err(Code::VaultMoving));
    }
    assert_eq!(apply(&mut state, 6, &admit(admission(0, 0..1, &[]))), Err(Code::VaultMoving));
    assert!(!apply(&mut state, 6, &say(1, "marketing", Statement::Withdrawn)).unwrap().is_empty());
}

/// R061, R066, R067, R068, R073: what people bring is added to what they have spent here, and ends where a limit is; a batch counts once,
/// and brings no consent.
#[test]
fn a_budget_is_not_filled_again_by_a_move() {
    let mut state = start();
    apply(&mut state, 1, &keys(0..1)).unwrap();
    apply(&mut state, 1, &records(0..1)).unwrap();
    apply(&mut state, 1, &say(0, "marketing", YES)).unwrap();
    apply(&mut state, 2, &prepare_of(1, "marketing", 25, 20)).unwrap();
    apply(&mut state, 3, &commit_of(1, "marketing", 25)).unwrap();
    let spent = [
        (0, "marketing", 25),
        (0, "training", 20),
        (1, "marketing", 25),
        (2, "marketing", 25),
        (2, "training", 9),
    ];
    let first = admission(0, 0..3, &spent);
    apply(&mut state, 4, &admit(first.clone())).unwrap();
    assert_eq!(apply(&mut state, 5, &admit(first.clone())), Ok(vec![]), "delivered twice it counts once");
    let of = |state: &State, who, name| state.ledger.in_scope(&scope(name), SubjectIndex(who)).committed.0;
    let told = |state: &State, who| (of(state, who, "marketing"), of(state, who, "training"));
    assert_eq!(told(&state, 0), (30, 10), "25 and 25 up to the limit of 30, and 20 up to the cap of 40");
    assert_eq!((told(&state, 1), told(&state, 2)), ((25, 0), (25, 9)));
    assert_eq!(state.ledger.unexplained(), []);
    for (task, entry) in state.ledger.entries().filter(|(name, _)| **name != task(1)) {
        assert_eq!(entry.preparation, PROPOSAL, "{task:?} is linked to the proposal");
        assert!(matches!(entry.state, EntryState::Committed { .. }));
    }
    assert_eq!(state.consents.covered(&scope("marketing"), OrderedMillis(6)).len(), 1, "of who was here");
    assert_eq!(
        apply(&mut state, 6, &admit(admission(2, 3..4, &[]))),
        Err(Code::MoveConflict),
        "one is missing"
    );
    let other = Admission { proposal: Digest::ZERO, ..admission(1, 3..4, &[]) };
    assert_eq!(apply(&mut state, 6, &admit(other)), Err(Code::MoveConflict));
    let strangers = Admission { keys: vec![], ..admission(1, 3..4, &[]) };
    assert_eq!(apply(&mut state, 6, &admit(strangers)), Err(Code::SubjectUnknown));
}

/// R081: the destination closes on the source's word that says what it has itself.
#[test]
fn both_say_the_same_at_the_end() {
    let mut state = start();
    apply(&mut state, 1, &admit(admission(0, 0..2, &[]))).unwrap();
    let here = state.inbound(&named("south"), PROPOSAL);
    let close = |by: &str, body: Standing| {
        let last: SignedStanding = key(by).sign(body);
        step(MoveCommand::Close { last })
    };
    let last = Standing { closed: true, ..here.clone() };
    assert_eq!(apply(&mut state, 2, &close("north", last.clone())), Err(Code::Forbidden));
    assert_eq!(apply(&mut state, 2, &close("south", here)), Err(Code::MoveConflict), "it goes on");
    let less = Standing { batches: 0, ..last.clone() };
    assert_eq!(apply(&mut state, 2, &close("south", less)), Err(Code::MoveConflict));
    apply(&mut state, 2, &close("south", last.clone())).unwrap();
    assert_eq!(apply(&mut state, 3, &close("south", last.clone())), Ok(vec![]));
    assert_eq!(state.inbound(&named("south"), PROPOSAL), last);
    assert_eq!(apply(&mut state, 4, &admit(admission(1, 2..3, &[]))), Err(Code::MoveConflict));
}
