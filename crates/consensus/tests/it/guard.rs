//! The rules of the guard: every answer by its situation, every refusal, and that hosts which ask for anything cannot
//! split the chain, while weaker guards let them.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use symphony_consensus::quorum::committee::{
    Ballot, Certificate, Committee, GuardBoot, Member, Rotation, Seat, Step,
};
use symphony_consensus::quorum::guard::{Ask, LocalGuard, Memory, Refusal, Rules, Strictness, VoteGuard};
use symphony_types::digest::Digest;
use symphony_types::id::NodeId;
use symphony_types::key::{Consensus, Document as _, PrivateKey, Signature, Signed, SoftwarePlatform};

pub(crate) const A: Option<Digest> = Some(Digest([0xa; 32]));
pub(crate) const B: Option<Digest> = Some(Digest([0xb; 32]));

pub(crate) fn key(seat: u8) -> PrivateKey<Consensus> {
    PrivateKey::from_seed(&[seat + 1; 32])
}

fn platform(seat: u8) -> PrivateKey<SoftwarePlatform> {
    PrivateKey::from_seed(&[seat + 101; 32])
}

fn node(seat: u8) -> NodeId {
    NodeId::new(&format!("master-{}", seat + 1)).unwrap()
}

/// Three seats whose keys may vote from height 1 on.
pub(crate) fn founding() -> Committee {
    let member = |seat| Member {
        node: node(seat),
        key: key(seat).public(),
        platform: platform(seat).public(),
        since: 1,
        boot: None,
    };
    Committee::founding(Digest([7; 32]), (0..3).map(member).collect())
}

pub(crate) fn guard(seat: u8, strictness: Strictness) -> LocalGuard {
    LocalGuard::new(key(seat), None, Rules::new(Seat(seat), founding(), strictness, Memory::default()))
}

fn boot(seat: u8, new: &PrivateKey<Consensus>) -> Signed<GuardBoot, SoftwarePlatform> {
    let body = GuardBoot {
        cluster: founding().cluster,
        node: node(seat),
        key: new.public(),
        nonce: Digest([3; 32]),
    };
    platform(seat).sign(body)
}

pub(crate) fn ask(height: u64, round: u32, step: Step, block: Option<Digest>) -> Ask {
    Ask { height, round, step, block, polka: None }
}

fn signature(seat: u8, height: u64, round: u32, step: Step, block: Option<Digest>) -> Signature {
    key(seat).sign(Ballot { cluster: founding().cluster, height, round, step, block }).signature
}

/// Prevotes of these seats for one block.
pub(crate) fn polka(seats: &[u8], height: u64, round: u32, block: Option<Digest>) -> Certificate {
    let step = Step::Prevote;
    let signed = |seat: &u8| (Seat(*seat), signature(*seat, height, round, step, block));
    Certificate { height, round, step, block: block.unwrap(), signatures: seats.iter().map(signed).collect() }
}

pub(crate) fn with(polka: Certificate, ask: Ask) -> Ask {
    Ask { polka: Some(polka), ..ask }
}

/// A guard of seat 0 that precommitted `A` in round 1 of height 5.
fn locked(strictness: Strictness) -> LocalGuard {
    let mut guard = guard(0, strictness);
    for ask in [ask(5, 1, Step::Prevote, A), with(polka(&[0, 1], 5, 1, A), ask(5, 1, Step::Precommit, A))] {
        guard.sign(&ask).unwrap();
    }
    guard
}

/// The situations of a guard that is locked on `A` since round 1 of height 5.
fn situations() -> Vec<(&'static str, Ask)> {
    use Step::{Precommit, Prevote, Propose};
    let other = Certificate { step: Precommit, ..polka(&[1, 2], 5, 1, B) };
    vec![
        ("the same prevote again", ask(5, 1, Prevote, A)),
        ("another prevote in the slot", ask(5, 1, Prevote, B)),
        ("no block after a block in the slot", ask(5, 1, Prevote, None)),
        ("the same precommit again", with(polka(&[0, 1], 5, 1, A), ask(5, 1, Precommit, A))),
        ("another precommit in the slot", with(polka(&[1, 2], 5, 1, B), ask(5, 1, Precommit, B))),
        ("a step of the round before", ask(5, 0, Precommit, None)),
        ("a step of the round that was skipped", ask(5, 1, Propose, A)),
        ("a height before", ask(4, 9, Precommit, None)),
        ("a proposal of another block", ask(5, 2, Propose, B)),
        ("a proposal of nothing", ask(5, 2, Propose, None)),
        ("a prevote for the lock", ask(5, 2, Prevote, A)),
        ("a prevote for nothing", ask(5, 2, Prevote, None)),
        ("a prevote against the lock", ask(5, 2, Prevote, B)),
        ("the same with a polka of the lock's round", with(polka(&[1, 2], 5, 1, B), ask(5, 2, Prevote, B))),
        ("the same with a polka since the lock", with(polka(&[1, 2], 5, 2, B), ask(5, 3, Prevote, B))),
        ("the same with a polka before the lock", with(polka(&[1, 2], 5, 0, B), ask(5, 2, Prevote, B))),
        ("the same with a polka of its own round", with(polka(&[1, 2], 5, 2, B), ask(5, 2, Prevote, B))),
        ("the same with a polka of one", with(polka(&[1], 5, 1, B), ask(5, 2, Prevote, B))),
        ("the same with a polka of one, twice", with(polka(&[1, 1], 5, 1, B), ask(5, 2, Prevote, B))),
        ("the same with a polka out of order", with(polka(&[2, 1], 5, 1, B), ask(5, 2, Prevote, B))),
        ("the same with a polka for the lock", with(polka(&[0, 1], 5, 1, A), ask(5, 2, Prevote, B))),
        ("the same with a polka of another height", with(polka(&[1, 2], 4, 1, B), ask(5, 2, Prevote, B))),
        ("the same with a forged signature", with(forged(5, 1, B), ask(5, 2, Prevote, B))),
        ("the same with precommits", with(other, ask(5, 2, Prevote, B))),
        ("a precommit of nothing", ask(5, 2, Precommit, None)),
        ("a precommit without a polka", ask(5, 2, Precommit, A)),
        (
            "a precommit with the polka of a round before",
            with(polka(&[0, 1], 5, 1, A), ask(5, 2, Precommit, A)),
        ),
        ("a precommit with its polka", with(polka(&[1, 2], 5, 2, B), ask(5, 2, Precommit, B))),
        ("a precommit with a forged polka", with(forged(5, 2, B), ask(5, 2, Precommit, B))),
        ("a prevote at the next height", ask(6, 0, Prevote, B)),
        ("a precommit at the next height without a polka", ask(6, 0, Precommit, B)),
        ("a far height", ask(u64::MAX, u32::MAX, Precommit, None)),
    ]
}

fn forged(height: u64, round: u32, block: Option<Digest>) -> Certificate {
    let mut forged = polka(&[1, 2], height, round, block);
    forged.signatures[1].1 = forged.signatures[0].1;
    forged
}

/// R198, R205: the whole behaviour on one page, beside what the weakened guards answer.
#[test]
fn the_answer_to_every_situation_is_pinned() {
    let mut table =
        format!("{:<48} {:<14} {:<16} blind\n", "locked on A since round 1", "full", "no double signing");
    for (what, ask) in situations() {
        let answers =
            [Strictness::Full, Strictness::NoDoubleSigning, Strictness::Blind].map(
                |strictness| match locked(strictness).sign(&ask) {
                    Ok(given) => {
                        assert!(founding().signed(Seat(0), &ballot(&ask), &given), "{what}");
                        "signs".to_owned()
                    }
                    Err(refusal) => format!("{refusal:?}"),
                },
            );
        let [full, slots, blind] = answers;
        table.push_str(&format!("{what:<48} {full:<14} {slots:<17} {blind}\n"));
    }
    insta::assert_snapshot!(table);
}

fn ballot(ask: &Ask) -> Ballot {
    let cluster = founding().cluster;
    Ballot { cluster, height: ask.height, round: ask.round, step: ask.step, block: ask.block }
}

/// R198
#[test]
fn a_repeated_ask_gives_the_same_signature_and_changes_nothing() {
    let mut guard = guard(0, Strictness::Full);
    let first = guard.sign(&ask(1, 0, Step::Prevote, A)).unwrap();
    let memory = guard.memory().unwrap();
    assert_eq!(guard.sign(&ask(1, 0, Step::Prevote, A)).unwrap(), first);
    assert_eq!(guard.memory().unwrap(), memory);
    assert_eq!(memory.signed, [(0, Step::Prevote, A, first)]);
}

/// R198: what is forgotten of a long height cannot be signed again.
#[test]
fn a_slot_that_left_the_memory_is_backwards() {
    let mut guard = guard(0, Strictness::Full);
    for round in 0..300 {
        guard.sign(&ask(1, round, Step::Prevote, None)).unwrap();
    }
    assert!(guard.memory().unwrap().signed.len() < 300);
    for round in 0..299 {
        let refusal = guard.sign(&ask(1, round, Step::Prevote, A)).unwrap_err();
        assert!(matches!(refusal, Refusal::Backwards | Refusal::Equivocation), "round {round}: {refusal}");
    }
}

/// R205: a key votes in its own seat, from its own height on.
#[test]
fn a_key_that_is_not_the_seats_has_no_vote() {
    let rules = |seat| Rules::new(Seat(seat), founding(), Strictness::Full, Memory::default());
    let vote = ask(1, 0, Step::Prevote, A);
    for mut guard in [
        LocalGuard::new(key(1), None, rules(0)),
        LocalGuard::new(key(9), Some(boot(0, &key(9))), rules(0)),
        LocalGuard::new(key(0), None, rules(3)),
    ] {
        assert_eq!(guard.sign(&vote), Err(Refusal::NoVote));
    }
    assert_eq!(guard(0, Strictness::Full).sign(&ask(0, 0, Step::Prevote, A)), Err(Refusal::NoVote));
}

/// R198: the guard of a new key votes once the key is in force, and not before.
#[test]
fn a_rotated_key_votes_from_the_next_height_on_and_the_old_one_no_more() {
    let new = key(20);
    let rotation = Rotation { seat: Seat(0), boot: boot(0, &new) };
    let rotated = founding().rotated(8, &[rotation]).unwrap();
    let rules = Rules::new(Seat(0), founding(), Strictness::Full, Memory::default());
    let mut fresh = LocalGuard::new(new, Some(boot(0, &key(20))), rules);
    assert_eq!(fresh.sign(&ask(9, 0, Step::Prevote, A)), Err(Refusal::NoVote));
    fresh.install(&rotated).unwrap();
    assert_eq!(fresh.sign(&ask(8, 0, Step::Prevote, A)), Err(Refusal::NoVote));
    fresh.sign(&ask(9, 0, Step::Prevote, A)).unwrap();

    let mut old = guard(0, Strictness::Full);
    old.sign(&ask(8, 0, Step::Prevote, A)).unwrap();
    old.install(&rotated).unwrap();
    assert_eq!(old.sign(&ask(9, 0, Step::Prevote, A)), Err(Refusal::NoVote));
    // A host that lost its disk comes with an older committee; the guard knows better and keeps its own.
    old.install(&founding()).unwrap();
    assert_eq!(old.rules().committee(), &rotated);
    assert_eq!(old.sign(&ask(9, 0, Step::Prevote, A)), Err(Refusal::NoVote));
}

/// R205: a host can install nothing but attested keys of the founded seats.
#[test]
fn a_committee_that_does_not_descend_is_refused() {
    type Change = fn(&mut Committee);
    let changes: [(&str, Change); 10] = [
        ("another cluster", |c| c.cluster = Digest([8; 32])),
        ("one seat less", |c| drop(c.members.pop())),
        ("one seat more", |c| c.members.push(c.members[0].clone())),
        ("no seat", |c| c.members.clear()),
        ("another master", |c| c.members[1].node = NodeId::new("other").unwrap()),
        ("another platform", |c| c.members[1].platform = platform(9).public()),
        ("a key that nobody vouches for", |c| {
            c.members[1].key = key(9).public();
            c.members[1].since = 9;
        }),
        ("a key that another platform vouches for", |c| {
            let boot = platform(9).sign(boot(1, &key(9)).body);
            c.members[1] =
                Member { key: key(9).public(), since: 9, boot: Some(boot), ..c.members[1].clone() };
        }),
        ("a key vouched for in another seat", |c| {
            let boot = Some(boot(2, &key(9)));
            c.members[1] = Member { key: key(9).public(), since: 9, boot, ..c.members[1].clone() };
        }),
        ("a new key at an old height", |c| {
            let boot = Some(boot(1, &key(9)));
            c.members[1] = Member { key: key(9).public(), since: 1, boot, ..c.members[1].clone() };
        }),
    ];
    for (what, change) in changes {
        let mut guard = guard(0, Strictness::Full);
        let mut committee = founding();
        change(&mut committee);
        assert_eq!(guard.install(&committee), Err(Refusal::BadCommittee), "{what}");
        assert_eq!(guard.rules().committee(), &founding(), "{what}");
    }
    guard(0, Strictness::Full).install(&founding()).unwrap();
}

/// What a guard signed, in order, with the polka that it was shown.
struct Trail {
    signed: Vec<Ask>,
}

impl Trail {
    /// One block a slot.
    fn is_single(&self) -> bool {
        let slot = |ask: &Ask| (ask.height, ask.round, ask.step);
        self.signed
            .iter()
            .all(|one| self.signed.iter().all(|other| slot(one) != slot(other) || one.block == other.block))
    }

    /// A slot that lies back is one that was signed before.
    fn is_forward(&self) -> bool {
        let slot = |ask: &Ask| (ask.height, ask.round, ask.step);
        self.signed.iter().enumerate().all(|(index, ask)| {
            let before = &self.signed[..index];
            before.iter().all(|other| slot(other) <= slot(ask))
                || before.iter().any(|other| slot(other) == slot(ask))
        })
    }

    /// Each precommit of a block has its polka, and each prevote against the last precommit one since.
    fn keeps_the_lock(&self) -> bool {
        let mut lock: Option<(u64, u32, Option<Digest>)> = None;
        let mut seen: Vec<&Ask> = Vec::new();
        self.signed.iter().all(|ask| {
            if seen
                .iter()
                .any(|other| (other.height, other.round, other.step) == (ask.height, ask.round, ask.step))
            {
                return true;
            }
            seen.push(ask);
            let polka = ask.polka.as_ref().filter(|polka| {
                founding().certifies(polka)
                    && polka.step == Step::Prevote
                    && (polka.height, Some(polka.block)) == (ask.height, ask.block)
            });
            match (ask.step, ask.block, lock) {
                (Step::Precommit, Some(_), _) => {
                    lock = Some((ask.height, ask.round, ask.block));
                    polka.is_some_and(|polka| polka.round == ask.round)
                }
                (Step::Prevote, Some(_), Some((height, round, block)))
                    if height == ask.height && block != ask.block =>
                {
                    polka.is_some_and(|polka| round <= polka.round && polka.round < ask.round)
                }
                _ => true,
            }
        })
    }
}

/// A host asks one guard for anything; the polkas are real, since the other two sign whatever the host wants.
fn trail(strictness: Strictness, asks: &[Ask]) -> Trail {
    let mut guard = guard(0, strictness);
    let signed = asks.iter().filter(|ask| guard.sign(ask).is_ok()).cloned().collect();
    Trail { signed }
}

fn any_ask() -> impl Strategy<Value = Ask> {
    let block = prop_oneof![Just(None), Just(A), Just(B)];
    let step = prop_oneof![Just(Step::Propose), Just(Step::Prevote), Just(Step::Precommit)];
    let shown = proptest::option::weighted(0.7, (0..4_u32, prop_oneof![Just(A), Just(B)], 0..2_u8));
    (1..3_u64, 0..4_u32, step, block, shown).prop_map(|(height, round, step, block, shown)| {
        let shown = shown.map(|(of, other, fitting)| match (fitting, block) {
            (1, Some(_)) if step == Step::Precommit => polka(&[1, 2], height, round, block),
            (1, Some(_)) => polka(&[1, 2], height, of, block),
            _ => polka(&[1, 2], height, of, other),
        });
        Ask { height, round, step, block, polka: shown }
    })
}

proptest! {
    /// R198: whatever a host asks, in whatever order.
    #[test]
    fn a_guard_never_contradicts_itself(asks in proptest::collection::vec(any_ask(), 0..60)) {
        let trail = trail(Strictness::Full, &asks);
        prop_assert!(trail.is_single());
        prop_assert!(trail.is_forward());
        prop_assert!(trail.keeps_the_lock());
    }
}

/// R198: the property can fail, and each weakened guard fails in its own way.
#[test]
fn the_weakened_guards_do_contradict_themselves() {
    let histories = histories(&proptest::collection::vec(any_ask(), 0..60), 80);
    let broken = |strictness, holds: fn(&Trail) -> bool| {
        histories.iter().filter(|asks| !holds(&trail(strictness, asks))).count()
    };
    assert!(broken(Strictness::Blind, Trail::is_single) > 30);
    assert!(broken(Strictness::Blind, Trail::is_forward) > 30);
    assert!(broken(Strictness::Blind, Trail::keeps_the_lock) > 30);
    assert_eq!(broken(Strictness::NoDoubleSigning, Trail::is_single), 0);
    assert_eq!(broken(Strictness::NoDoubleSigning, Trail::is_forward), 0);
    let unlocked = broken(Strictness::NoDoubleSigning, Trail::keeps_the_lock);
    assert!(unlocked > 0, "none of 80 breaks the lock");
}

/// The same histories at every run.
fn histories<S: Strategy>(strategy: &S, count: usize) -> Vec<S::Value> {
    let mut runner = TestRunner::deterministic();
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// Enough for every weaker guard to fail.
const HISTORIES: usize = 60;

/// One move of hosts that all lie together: which guard, how many slots it goes on, for which block.
type Move = (u8, u8, Option<Digest>);

fn any_moves() -> impl Strategy<Value = Vec<Move>> {
    let block = prop_oneof![1 => Just(None), 4 => Just(A), 4 => Just(B)];
    proptest::collection::vec((0..3_u8, 0..3_u8, block), 0..80)
}

/// Three guards whose hosts share everything that was ever signed and ask for whatever they like. Returns the blocks
/// that a quorum precommitted.
struct Conspiracy {
    guards: Vec<LocalGuard>,
    slots: [u32; 3],
    pool: Vec<(Ballot, Seat, Signature)>,
}

impl Conspiracy {
    fn new(strictness: Strictness) -> Self {
        let guards = (0..3).map(|seat| guard(seat, strictness)).collect();
        Self { guards, slots: [0; 3], pool: Vec::new() }
    }

    fn certificate(&self, round: u32, step: Step, block: Digest) -> Option<Certificate> {
        let ballot = Ballot { cluster: founding().cluster, height: 1, round, step, block: Some(block) };
        let mut signatures: Vec<(Seat, Signature)> = self
            .pool
            .iter()
            .filter(|(other, ..)| *other == ballot)
            .map(|(_, seat, given)| (*seat, *given))
            .collect();
        signatures.sort_by_key(|(seat, _)| *seat);
        signatures.dedup_by_key(|(seat, _)| *seat);
        (signatures.len() >= 2).then_some(Certificate { height: 1, round, step, block, signatures })
    }

    fn run(&mut self, (seat, ahead, block): Move, forgets: bool) {
        let index = usize::from(seat);
        if forgets && ahead == 2 {
            self.guards[index] = guard(seat, Strictness::Full);
            self.slots[index] = 0;
        }
        self.slots[index] += u32::from(ahead);
        let (round, step) =
            (self.slots[index] / 2, [Step::Prevote, Step::Precommit][self.slots[index] as usize % 2]);
        let shown = block.and_then(|block| match step {
            Step::Precommit => self.certificate(round, Step::Prevote, block),
            _ => (0..round).rev().find_map(|round| self.certificate(round, Step::Prevote, block)),
        });
        let ask = Ask { height: 1, round, step, block, polka: shown };
        if let Ok(given) = self.guards[index].sign(&ask) {
            self.pool.push((ballot(&ask), Seat(seat), given));
        }
    }

    fn decided(&self) -> usize {
        let rounds = 0..=self.pool.iter().map(|(ballot, ..)| ballot.round).max().unwrap_or_default();
        [A, B]
            .iter()
            .flatten()
            .filter(|block| {
                rounds.clone().any(|round| {
                    self.certificate(round, Step::Precommit, **block)
                        .is_some_and(|certificate| founding().certifies(&certificate))
                })
            })
            .count()
    }
}

fn decided(strictness: Strictness, forgets: bool, moves: &[Move]) -> usize {
    let mut hosts = Conspiracy::new(strictness);
    moves.iter().for_each(|one| hosts.run(*one, forgets));
    hosts.decided()
}

proptest! {
    /// R195, R198: even if all three hosts lie, two quorums meet in a guard that does not.
    #[test]
    fn no_hosts_whatever_get_two_decisions_of_a_height(moves in any_moves()) {
        prop_assert!(decided(Strictness::Full, false, &moves) < 2);
    }
}

/// R198: the same hosts do split the chain when guards only refuse to double sign, sign blindly, or forget at a restart
/// under the same key. Why the rules are what they are, and why a restart takes a new key.
#[test]
fn the_same_hosts_split_the_chain_of_weaker_guards() {
    let histories = histories(&any_moves(), HISTORIES);
    let decided = |strictness, forgets| {
        let all: Vec<usize> = histories.iter().map(|moves| decided(strictness, forgets, moves)).collect();
        (all.iter().filter(|blocks| **blocks == 1).count(), all.iter().filter(|blocks| **blocks == 2).count())
    };
    let (once, split) = decided(Strictness::Full, false);
    assert!(once > HISTORIES / 20, "{once} of {HISTORIES} decide at all");
    assert_eq!(split, 0);
    for (strictness, forgets) in
        [(Strictness::NoDoubleSigning, false), (Strictness::Blind, false), (Strictness::Full, true)]
    {
        let (_, split) = decided(strictness, forgets);
        assert!(split > 5, "{strictness:?}, forgets {forgets}: {split} of {HISTORIES} split");
    }
}

/// R198: the two votes of a key for one slot convict it, whoever shows them.
#[test]
fn two_blocks_in_a_slot_are_two_signatures_of_one_key() {
    let mut guard = guard(0, Strictness::Blind);
    let votes = [ask(1, 0, Step::Prevote, A), ask(1, 0, Step::Prevote, B)];
    for vote in &votes {
        let given = guard.sign(vote).unwrap();
        assert!(founding().members[0].key.verifies(&ballot(vote).digest(), &given));
    }
}
