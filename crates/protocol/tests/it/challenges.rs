//! Challenges through the rules (R038, R039, R101, R129, R136-R143, R237): every way to end, under every disturbance; what is
//! refused; which findings count.

use std::fmt::Write;

use proptest::collection::vec;
use proptest::prelude::*;
use symphony_protocol::artifact::challenge::{
    Dismissal, Dispute, Filing, Finding, Replay, ReplayRefusal, Ruling, SignedReplayRefusal,
};
use symphony_protocol::artifact::penalty::{Capacity, Fault, Penalty};
use symphony_protocol::artifact::training::Round;
use symphony_protocol::artifact::{
    AggregateHeader, Decision, LockFact, Outcome, RecipientClass, SliceHeader, TaskRequest,
};
use symphony_protocol::execution::failure::Step;
use symphony_protocol::lifecycle::{Stage, TaskState};
use symphony_protocol::machine::{Command, Effect, Event, disputed_result};
use symphony_protocol::settlement::challenge::{Challenge, ChallengeState, bond_ms};
use symphony_protocol::settlement::payout::EpochStage;
use symphony_types::amount::{SYM_UNIT, Sym};
use symphony_types::canonical::to_bytes;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{LockRef, PolicyVersion, TaskId};
use symphony_types::key::{Document as _, Vault};
use symphony_types::limits::{EXHIBITS_MAX, FILINGS_PER_TASK_MAX, GROUNDS_CHARS_MAX};

use crate::flow::assert_nothing_is_left;
use crate::rounds::{propensity, round, round_aggregate, signed_slice};
use crate::stage::{self, BOND, PLENTY, actor, campaign, key, vault};
use crate::world::{Act, Disturbance, Script, World, failure, master};

/// R136: the eight states and what follows each, exactly.
#[test]
fn the_table_of_challenges_is_the_specifications() {
    let mut table = String::new();
    for from in ChallengeState::ALL {
        let next = ChallengeState::ALL.into_iter().filter(|next| from.may_become(*next));
        let next: Vec<_> = next.map(ChallengeState::as_str).collect();
        writeln!(table, "{}: {}", from.as_str(), next.join(", ")).unwrap();
    }
    let expected = [
        "opened: reviewing",
        "reviewing: confirmed, not_confirmed",
        "confirmed: approved",
        "not_confirmed: closed_without_penalty",
        "approved: penalty_recorded",
        "closed_without_penalty: reopened",
        "penalty_recorded: ",
        "reopened: reviewing",
    ];
    assert_eq!(table.lines().collect::<Vec<_>>(), expected);
}

fn filing(task: &TaskId, dispute: Dispute, exhibits: &[u8]) -> Filing {
    Filing {
        task: *task,
        challenger: actor("operator-a"),
        dispute,
        // The world names what is disputed when it is filed.
        result: Digest::ZERO,
        grounds: "the transcript gives another model".to_owned(),
        exhibits: exhibits.iter().map(|byte| Digest([*byte; 32])).collect(),
    }
}

impl World {
    /// Locks the bond, files, and takes the lock back when the filing is refused.
    pub(crate) fn challenge(&mut self, filing: &Filing) -> Result<Vec<Event>, Code> {
        let (filing, fact) = self.bonded(filing);
        let known = self.locked.insert(fact.lock, fact.amount);
        let filed = self.order(&self.filed(&filing, fact)).map_err(|refusal| refusal.code);
        if filed.is_err() && known.is_none() {
            self.locked.remove(&fact.lock);
        }
        filed
    }

    /// A filing about what the task has, with a bond as its challenger locks it.
    pub(crate) fn bonded(&self, filing: &Filing) -> (Filing, LockFact) {
        let known = self.state.tasks.get(&filing.task);
        let result = known.and_then(disputed_result).unwrap_or(Digest::ZERO);
        let filing = Filing { result, ..filing.clone() };
        let governance = &self.state.governance;
        let policy = &governance.policies[&PolicyVersion(1)];
        let fact = LockFact {
            lock: LockRef(Digest::of("test/bond", &filing)),
            owner: stage::account(filing.challenger.as_str()),
            purpose: filing.lock_purpose(),
            amount: policy.challenges.bond,
            expires: self.now.plus(bond_ms(governance, policy)),
        };
        (filing, fact)
    }

    /// The command with a bond that a majority of the masters saw.
    pub(crate) fn filed(&self, filing: &Filing, fact: LockFact) -> Command {
        let lock = fact.lock;
        let fact = Some(stage::endorsed(&self.state.governance.registry, fact));
        Command::Challenge { filing: filing.clone(), lock, fact }
    }

    /// What the chain did with the bonds of a task: charged and given back, in the order of the filings.
    fn bonds(&self, task: &TaskId) -> Vec<(Sym, Sym)> {
        let filings = self.state.challenges_of(task).flat_map(|(_, known)| known.filings.clone());
        let filings: Vec<_> = filings.collect();
        let sets = self.state.epochs.values().filter_map(|account| match &account.stage {
            EpochStage::Confirmed(evidence) => Some(evidence.instructions.settlements.clone()),
            _ => None,
        });
        let settled: Vec<_> = sets.flatten().collect();
        let of = |filing: &Filing| {
            let mut all = settled.iter().filter(|settled| settled.task == filing.bond());
            let settled = all.next().expect("R176: a bond is resolved");
            assert!(all.next().is_none(), "once");
            (settled.charged, settled.refunded)
        };
        filings.iter().map(of).collect()
    }

    fn task_state(&self, task: &TaskId) -> Option<TaskState> {
        self.state.tasks.get(task).map(|task| task.state())
    }

    fn disputed(&self, task: &TaskId) -> (u32, Challenge) {
        let Stage::Challenged { challenge, .. } = self.task(task).stage else { panic!("not challenged") };
        (challenge, self.state.challenges[&(*task, challenge)].clone())
    }

    /// A round as it was computed again.
    fn replay(&self, task: &TaskId, number: u32, stands: bool) -> Round {
        let known = self.task(task);
        let envelope = &known.envelope;
        let recorded = &self.state.rounds[&(*task, number)];
        let position = self.state.position_at(known, number).unwrap();
        let again = |slice: &SliceHeader| {
            signed_slice(envelope, &position, SliceHeader { attempt: slice.attempt + 1, ..slice.clone() })
        };
        let slices: Vec<_> = recorded.slices.iter().map(|slice| again(&slice.body)).collect();
        let outcome = match (recorded.aggregate.body.outcome, stands) {
            (outcome, true) => outcome,
            (Outcome::Step { evaluation, .. }, false) => Outcome::Step { state: Digest([9; 32]), evaluation },
            (Outcome::Model { evaluation, .. }, false) => {
                Outcome::Model { model: Digest([9; 32]), evaluation }
            }
            (other, false) => panic!("{other:?}"),
        };
        let body = round_aggregate(envelope, &position, &slices, outcome).body;
        let report = Digest::of("test/another-report", &number);
        let aggregate = stage::enclave().sign(AggregateHeader { report, ..body });
        round(envelope, &position, slices, aggregate)
    }

    fn finding(&self, task: &TaskId, stands: bool) -> Finding {
        let (challenge, known) = self.disputed(task);
        let (decision, replay) = match known.dispute {
            Dispute::Evidence if stands => (Decision::Accepted, Replay::None),
            Dispute::Evidence => (Decision::Rejected(Code::AttestationFailed), Replay::None),
            Dispute::Round(round) => (Decision::Accepted, Replay::Computed(self.replay(task, round, stands))),
        };
        let filing = u32::try_from(known.filings.len()).unwrap();
        Finding { task: *task, challenge, filing, decision, replay }
    }

    /// A finding that a majority endorses.
    pub(crate) fn found(&self, task: &TaskId, stands: bool) -> Command {
        self.endorsed(self.finding(task, stands))
    }

    fn endorsed(&self, finding: Finding) -> Command {
        Command::RecordFinding { finding: stage::endorsed(&self.state.governance.registry, finding) }
    }
}

/// A world in which a task has come to a state.
fn at(request: &TaskRequest, script: Script, state: TaskState) -> (World, TaskId) {
    let mut world = World::new(script);
    world.submit(request, PLENTY).unwrap();
    let task = request.task();
    while world.task_state(&task) != Some(state) {
        assert!(world.step(false), "{state:?} is never reached");
    }
    (world, task)
}

/// What is disputed, and in which state of the task.
const DISPUTES: [(Dispute, TaskState); 5] = [
    (Dispute::Evidence, TaskState::AwaitingSettlement),
    (Dispute::Evidence, TaskState::Verifying),
    (Dispute::Round(1), TaskState::AwaitingSettlement),
    (Dispute::Round(3), TaskState::Verifying),
    (Dispute::Round(5), TaskState::AwaitingSettlement),
];

/// What the masters do, and how the task ends.
const REVIEWS: [(Act, TaskState); 3] = [
    (Act::Serve, TaskState::Completed),
    (Act::Refuse, TaskState::Rejected),
    (Act::Sleep, TaskState::TimedOut),
];

fn play(dispute: Dispute, from: TaskState, review: Act, disturbance: Disturbance) -> (World, TaskId) {
    let script = Script { review, ..Script::default() };
    let (mut world, task) = at(&propensity("t1"), script, from);
    let filed = filing(&task, dispute, &[1]);
    world.challenge(&filed).unwrap();
    assert_eq!(world.challenge(&filed), Ok(vec![]), "R209: a repetition");
    assert_eq!(world.task_state(&task), Some(TaskState::Challenged));
    world.run(disturbance);
    (world, task)
}

/// R038, R039, R101, R137, R142, R143, R176, R237: a result that stands is settled, a wrong one is rejected and refunded, one
/// that nobody judges times out; nothing is left reserved, locked or owed, and nothing of a wrong result is paid. A bond is lost
/// when the result stands, else it goes back.
#[test]
fn every_review_ends_its_task_and_leaves_nothing_behind() {
    for (dispute, from) in DISPUTES {
        for (review, ending) in REVIEWS {
            let (world, task) = play(dispute, from, review, Disturbance::default());
            assert_eq!(world.task_state(&task), Some(ending), "{dispute:?} {from:?} {review:?}");
            let steps = world.state.challenges[&(task, 1)].steps.iter().map(|(state, _)| state.as_str());
            let steps: Vec<_> = steps.collect();
            let end: &[_] = match review {
                Act::Refuse => &["confirmed", "approved", "penalty_recorded"],
                Act::Serve | Act::Mumble | Act::Sleep => &["not_confirmed", "closed_without_penalty"],
            };
            assert_eq!(steps, [&["opened", "reviewing"], end].concat());
            assert_nothing_is_left(&world);
            let bond = match review {
                Act::Serve => (BOND, Sym::ZERO),
                Act::Refuse | Act::Mumble | Act::Sleep => (Sym::ZERO, BOND),
            };
            assert_eq!(world.bonds(&task), [bond], "{dispute:?} {from:?} {review:?}");
            assert_eq!(world.state.penalties.contains_key(&(task, 1)), review == Act::Refuse);
            let paid = world.state.epochs.values().any(|epoch| !epoch.settled.is_empty());
            assert_eq!(paid, ending == TaskState::Completed);
        }
    }
}

/// R135, R209, R217: twice, and with a crash before every step, a challenged training ends where it ends in calm.
#[test]
fn a_review_survives_repetition_and_crashes() {
    for (dispute, from) in DISPUTES {
        for (review, _) in REVIEWS {
            let (calm, _) = play(dispute, from, review, Disturbance::default());
            for disturbance in [
                Disturbance { twice: true, ..Disturbance::default() },
                Disturbance { crash_always: true, ..Disturbance::default() },
            ] {
                let (world, _) = play(dispute, from, review, disturbance);
                assert_eq!(to_bytes(&world.state), to_bytes(&calm.state), "{dispute:?} {from:?} {review:?}");
            }
        }
    }
}

/// R142: while a result is disputed its time stands still, and afterwards it has what it had left.
#[test]
fn a_dispute_stops_the_time_of_its_task() {
    let silent = Script { review: Act::Sleep, ..Script::default() };
    let (mut world, task) = at(&campaign("c1"), silent, TaskState::AwaitingSettlement);
    let Stage::AwaitingSettlement { final_at, .. } = world.task(&task).stage else { panic!() };
    world.now = world.now.plus(4_000);
    let left = final_at.0 - world.now.0;
    world.challenge(&filing(&task, Dispute::Evidence, &[])).unwrap();
    world.advance(final_at.plus(1));
    assert_eq!(world.task_state(&task), Some(TaskState::Challenged), "not final while it is disputed");
    let found = world.found(&task, true);
    world.order(&found).unwrap();
    let Stage::AwaitingSettlement { final_at, .. } = world.task(&task).stage else { panic!() };
    assert_eq!(final_at, world.now.plus(left));
    assert_eq!(world.order(&found), Ok(vec![]), "a late finding is a repetition");
}

/// R139: any registered actor may dispute, and nobody else; and nobody what would be held against itself (R141).
#[test]
fn who_may_not_act_may_not_dispute() {
    let (mut world, task) = at(&propensity("t1"), Script::default(), TaskState::AwaitingSettlement);
    for name in ["nobody", "banned"] {
        let filed = Filing { challenger: actor(name), ..filing(&task, Dispute::Evidence, &[]) };
        assert_eq!(world.challenge(&filed), Err(Code::Forbidden), "{name}");
    }
    let round = Dispute::Round(1);
    for (name, dispute) in [
        ("executor-b", Dispute::Evidence),
        ("operator-a", Dispute::Evidence),
        ("mute", Dispute::Evidence),
        ("operator-b", round),
        ("verifier", round),
        ("mute", round),
    ] {
        let filed = Filing { challenger: actor(name), ..filing(&task, dispute, &[]) };
        assert!(world.clone().challenge(&filed).is_ok(), "{name}");
    }
    for (name, dispute) in [
        ("aggregator", Dispute::Evidence),
        ("verifier", Dispute::Evidence),
        ("aggregator", round),
        ("executor-a", round),
        ("executor-b", round),
    ] {
        let filed = Filing { challenger: actor(name), ..filing(&task, dispute, &[]) };
        assert_eq!(world.challenge(&filed), Err(Code::OwnChallenge), "{name}");
    }
}

/// R140: what is filed has its limits, and is about something that there is.
#[test]
fn a_filing_has_limits() {
    let (mut world, task) = at(&propensity("t1"), Script::default(), TaskState::AwaitingSettlement);
    let good = filing(&task, Dispute::Round(5), &[1, 2]);
    let changed = |change: fn(&mut Filing)| {
        let mut filing = good.clone();
        change(&mut filing);
        filing
    };
    let bad = [
        changed(|filing| filing.grounds.clear()),
        changed(|filing| filing.grounds = "  \n".to_owned()),
        changed(|filing| filing.grounds = "ü".repeat(GROUNDS_CHARS_MAX + 1)),
        changed(|filing| filing.exhibits.reverse()),
        changed(|filing| filing.exhibits = vec![Digest::ZERO; 2]),
        changed(|filing| filing.exhibits = (0..=EXHIBITS_MAX as u8).map(|byte| Digest([byte; 32])).collect()),
        changed(|filing| filing.dispute = Dispute::Round(0)),
        changed(|filing| filing.dispute = Dispute::Round(6)),
    ];
    for filing in bad {
        assert_eq!(world.challenge(&filing), Err(Code::Malformed), "{filing:?}");
    }
    let unknown = Filing { task: TaskId(Digest::ZERO), ..good.clone() };
    assert_eq!(world.challenge(&unknown), Err(Code::NotFound));
    let longest = changed(|filing| filing.grounds = "ü".repeat(GROUNDS_CHARS_MAX));
    assert!(world.challenge(&longest).is_ok());
    let (mut world, task) = at(&campaign("c1"), Script::default(), TaskState::AwaitingSettlement);
    assert_eq!(world.challenge(&filing(&task, Dispute::Round(1), &[])), Err(Code::Malformed));
}

/// R140, R143, R195: without its bond nothing is filed, and the bond is the challenger's own, for this very filing, of the
/// policy's amount, seen by a majority, and out of reach until its payout.
#[test]
fn a_challenge_has_a_bond() {
    let (mut world, task) = at(&campaign("c1"), Script::default(), TaskState::AwaitingSettlement);
    let (filed, fact) = world.bonded(&filing(&task, Dispute::Evidence, &[1]));
    let refused = |world: &mut World, command: Command| world.order(&command).map_err(|refusal| refusal.code);
    let lock = fact.lock;
    let none = Command::Challenge { filing: filed.clone(), lock, fact: None };
    assert_eq!(refused(&mut world, none), Err(Code::BondMissing));
    let Command::Challenge { fact: Some(mut unseen), .. } = world.filed(&filed, fact) else { panic!() };
    unseen.endorsements.clear();
    let unseen = Command::Challenge { filing: filed.clone(), lock, fact: Some(unseen) };
    assert_eq!(refused(&mut world, unseen), Err(Code::BondMissing));
    let bend: [fn(&mut LockFact); 6] = [
        |fact| fact.amount.0 -= 1,
        |fact| fact.amount.0 += 1,
        |fact| fact.amount = Sym::ZERO,
        |fact| fact.owner = stage::account("operator-b"),
        |fact| fact.purpose = Digest([1; 32]),
        |fact| fact.expires = fact.expires.minus(1),
    ];
    for (case, bend) in bend.into_iter().enumerate() {
        let mut fact = fact;
        bend(&mut fact);
        let command = world.filed(&filed, fact);
        assert_eq!(refused(&mut world, command), Err(Code::BondUnfit), "case {case}");
    }
    let Command::Challenge { fact: other, .. } = world.filed(&filed, fact) else { panic!() };
    let other = Command::Challenge { filing: filed.clone(), lock: LockRef(Digest::ZERO), fact: other };
    assert_eq!(refused(&mut world, other), Err(Code::BondUnfit), "another lock");
    for changed in [
        Filing { grounds: "another".to_owned(), ..filed.clone() },
        Filing { exhibits: vec![], ..filed.clone() },
    ] {
        let command = world.filed(&changed, fact);
        assert_eq!(refused(&mut world, command), Err(Code::BondUnfit), "locked for another filing");
    }
    assert_eq!(world.state.challenges.len(), 0, "a refused filing leaves nothing");
    world.locked.insert(lock, fact.amount);
    let good = world.filed(&filed, fact);
    world.order(&good).unwrap();
    assert_eq!(world.disputed(&task).1.held().map(|held| (held.lock, held.amount)), Some((lock, BOND)));
}

/// R140: a filing names what it disputes by its hash; what does not hash to the task's result is not looked at.
#[test]
fn a_filing_names_what_it_disputes() {
    let (mut world, task) = at(&campaign("c1"), Script::default(), TaskState::AwaitingSettlement);
    let (good, _) = world.bonded(&filing(&task, Dispute::Evidence, &[]));
    for result in [Digest::ZERO, Digest([7; 32])] {
        let other = Filing { result, ..good.clone() };
        let (_, fact) = world.bonded(&other);
        let fact = LockFact { purpose: other.lock_purpose(), ..fact };
        let command = world.filed(&other, fact);
        let refused = world.order(&command).map_err(|refusal| refusal.code);
        assert_eq!(refused, Err(Code::EvidenceMismatch));
    }
    assert_eq!(world.task_state(&task), Some(TaskState::AwaitingSettlement));
}

/// R140, R141, R143: a confirmed challenge leaves a record that names what it rests on, aggregator and verifier apart; the stake of
/// whoever a signature convicts is slashed with the payout, of nobody else, and nobody shares the fee.
#[test]
fn a_wrong_result_has_a_penalty() {
    let verifier = || (Capacity::Verifier, actor("verifier"), Sym(900 * SYM_UNIT));
    let aggregator = || (Capacity::Aggregator, actor("aggregator"), Sym::ZERO);
    let executor = |letter: &str| {
        let vault = vault(&format!("vault-{letter}"));
        (Capacity::Executor(vault), actor(&format!("executor-{letter}")), Sym::ZERO)
    };
    for (dispute, from) in DISPUTES {
        let (world, task) =
            play(dispute, from, Act::Refuse, Disturbance { twice: true, ..Disturbance::default() });
        let penalty = world.state.penalties[&(task, 1)].clone();
        let liable = penalty.liable.iter().cloned();
        let liable: Vec<_> = liable.map(|one| (one.capacity, one.actor, one.amount)).collect();
        let (fault, expected) = match (dispute, from) {
            (Dispute::Evidence, TaskState::AwaitingSettlement) => {
                (Fault::InvalidAttestation, vec![aggregator(), verifier()])
            }
            (Dispute::Evidence, _) => (Fault::InvalidAttestation, vec![aggregator()]),
            (Dispute::Round(_), _) => {
                let all = ["a", "b", "c"].map(executor);
                (Fault::InvalidResult, [vec![aggregator()], all.to_vec()].concat())
            }
        };
        assert_eq!((penalty.fault, liable), (fault, expected), "{dispute:?} {from:?}");
        let filed = &world.state.challenges[&(task, 1)].filings[0];
        assert_eq!((penalty.filing, penalty.result), (filed.digest(), filed.result));
        assert_eq!(penalty.envelope, world.task(&task).envelope.digest());
        assert_eq!(penalty.withheld, world.task(&task).envelope.locked);
        assert_eq!(penalty.verdict.is_some(), from == TaskState::AwaitingSettlement);
        let sets = world.state.epochs.values().filter_map(|account| match &account.stage {
            EpochStage::Confirmed(evidence) => Some(evidence.instructions.clone()),
            _ => None,
        });
        let slashes: Vec<_> = sets.flat_map(|set| set.slashes).collect();
        assert_eq!(slashes, penalty.slashes().collect::<Vec<_>>());
        let convicted = (dispute, from) == (Dispute::Evidence, TaskState::AwaitingSettlement);
        let account = stage::account("verifier");
        let of: Vec<_> = slashes.iter().map(|slash| (slash.account, slash.amount)).collect();
        assert_eq!(of, if convicted { vec![(account, Sym(900 * SYM_UNIT))] } else { vec![] });
    }
}

/// A filing that was confirmed, and the penalty.
pub(crate) fn confirmed() -> (Filing, Penalty) {
    let (dispute, from) = DISPUTES[0];
    let (world, task) = play(dispute, from, Act::Refuse, Disturbance::default());
    (world.state.challenges[&(task, 1)].filings[0].clone(), world.state.penalties[&(task, 1)].clone())
}

/// R143: each class of faults has its price.
#[test]
fn a_fault_has_a_class() {
    for (code, fault, price) in [
        (Code::AttestationMissing, Fault::InvalidAttestation, 900),
        (Code::AttestationFailed, Fault::InvalidAttestation, 900),
        (Code::PlatformRefused, Fault::InvalidAttestation, 900),
        (Code::CodeInactive, Fault::InvalidAttestation, 900),
        (Code::ConsentInvalid, Fault::ConsentOrBudget, 700),
        (Code::ReservationUnknown, Fault::ConsentOrBudget, 700),
        (Code::ReplayDiffers, Fault::InvalidResult, 500),
        (Code::ResultRejected, Fault::InvalidResult, 500),
        (Code::AggregationFailed, Fault::InvalidResult, 500),
    ] {
        assert_eq!(Fault::of(code), fault, "{code}");
        assert_eq!(stage::policy().challenges.penalty(fault), Sym(price * SYM_UNIT));
    }
}

fn review() -> impl Strategy<Value = Act> {
    prop_oneof![4 => Just(Act::Serve), 1 => Just(Act::Refuse), 1 => Just(Act::Sleep)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// R143, R158, R169, R176: whatever becomes of however many filings, each bond is resolved once, what is lost is the
    /// treasury's to the base unit, and no bond outlives its task.
    #[test]
    fn bonds_are_conserved(reviews in vec(review(), 1..=4), twice: bool) {
        let (mut world, task) = at(&campaign("c1"), Script::default(), TaskState::AwaitingSettlement);
        let mut lost = 0;
        for (exhibit, review) in (1..).zip(reviews) {
            world.script.review = review;
            if world.challenge(&filing(&task, Dispute::Evidence, &[exhibit])).is_err() {
                break;
            }
            while world.task_state(&task) == Some(TaskState::Challenged) {
                if !world.step(twice) {
                    world.advance(world.state.timer().unwrap());
                }
            }
            lost += u64::from(review == Act::Serve);
            prop_assert!(world.state.challenges_of(&task).all(|(_, known)| known.held().is_none()));
        }
        let treasury = |world: &World| {
            let sets = world.state.epochs.values().filter_map(|account| match &account.stage {
                EpochStage::Confirmed(evidence) => Some(evidence.instructions.treasury.0),
                _ => None,
            });
            sets.sum::<u64>()
        };
        world.run(Disturbance::default());
        assert_nothing_is_left(&world);
        let context = world.state.context(&task);
        let share = context.map_or(0, |context| {
            let mut shares = context.shares.iter();
            shares.find(|share| share.class == RecipientClass::Treasury).unwrap().amount.0
        });
        prop_assert_eq!(treasury(&world), share + lost * BOND.0);
        for (charged, refunded) in world.bonds(&task) {
            prop_assert_eq!(charged.0 + refunded.0, BOND.0);
        }
    }
}

/// R038: before there is a result, after it is final, and while it is under a review, nothing can be disputed.
#[test]
fn a_result_is_disputed_between_its_aggregate_and_its_end() {
    let (mut early, task) = at(&campaign("c1"), Script::default(), TaskState::Dispatched);
    let filed = filing(&task, Dispute::Evidence, &[]);
    assert_eq!(early.challenge(&filed), Err(Code::NotChallengeable), "there is no result");
    let (mut world, task) = at(&campaign("c1"), Script::default(), TaskState::AwaitingSettlement);
    let mut late = world.clone();
    late.now = late.task(&task).timer().unwrap();
    assert_eq!(late.challenge(&filed), Err(Code::NotChallengeable), "at its end, before time was ordered");
    late.run(Disturbance::default());
    assert_eq!(late.challenge(&filed), Err(Code::NotChallengeable), "never after completed");
    world.challenge(&filed).unwrap();
    let other = filing(&task, Dispute::Evidence, &[7]);
    assert_eq!(world.challenge(&other), Err(Code::NotChallengeable), "under a review");
}

/// R138: the same dispute is opened again with something new only, and not for ever.
#[test]
fn a_dispute_is_reopened_with_something_new() {
    let (mut world, task) = at(&campaign("c1"), Script::default(), TaskState::AwaitingSettlement);
    let file = |world: &mut World, exhibits: &[u8]| {
        let filed = filing(&task, Dispute::Evidence, exhibits);
        world.challenge(&filed).map(|events| events.len())
    };
    let settle = |world: &mut World| {
        let found = world.found(&task, true);
        world.order(&found).unwrap();
    };
    assert!(file(&mut world, &[1]).is_ok());
    settle(&mut world);
    let again = Filing { grounds: "once more".to_owned(), ..filing(&task, Dispute::Evidence, &[1]) };
    assert_eq!(world.challenge(&again), Err(Code::NothingNew));
    assert_eq!(file(&mut world, &[]), Err(Code::NothingNew));
    for exhibit in 2..=u8::try_from(FILINGS_PER_TASK_MAX).unwrap() {
        assert!(file(&mut world, &[1, exhibit]).is_ok());
        settle(&mut world);
    }
    assert_eq!(file(&mut world, &[9]), Err(Code::ChallengeLimit));
    let known = &world.state.challenges[&(task, 1)];
    assert_eq!((known.filings.len(), known.rulings.len()), (4, 4));
    let reopened = known.steps.iter().filter(|(state, _)| *state == ChallengeState::Reopened).count();
    assert_eq!(reopened, 3);
    world.run(Disturbance::default());
    assert_eq!(world.task_state(&task), Some(TaskState::Completed));
    assert_nothing_is_left(&world);
}

/// A training whose third round is disputed.
fn disputed_round() -> (World, TaskId) {
    let (mut world, task) = at(&propensity("t1"), Script::default(), TaskState::AwaitingSettlement);
    world.challenge(&filing(&task, Dispute::Round(3), &[])).unwrap();
    (world, task)
}

/// R134, R135, R195: a finding without a majority, one that answers another filing and one that answers nothing are not
/// believed; the recorded round proves nothing about itself.
#[test]
fn findings_that_do_not_count() {
    let (mut world, task) = disputed_round();
    let good = world.finding(&task, false);
    let Command::RecordFinding { mut finding } = world.endorsed(good.clone()) else { panic!() };
    finding.endorsements.clear();
    let alone = world.order(&Command::RecordFinding { finding });
    assert_eq!(alone.map_err(|refusal| refusal.code), Err(Code::Undecided));
    for other in [Finding { challenge: 2, ..good.clone() }, Finding { filing: 2, ..good.clone() }] {
        let other = world.endorsed(other);
        assert_eq!(world.order(&other), Ok(vec![]));
    }
    let recorded = world.state.rounds[&(task, 3)].clone();
    let elsewhere = world.replay(&task, 2, true);
    let with = |replay: Replay| world.endorsed(Finding { replay, ..good.clone() });
    let none = [Replay::None, Replay::Computed(recorded.clone()), Replay::Computed(elsewhere)].map(with);
    let mixed = Round { slices: recorded.slices, ..world.replay(&task, 3, true) };
    let mixed = with(Replay::Computed(mixed));
    for command in none {
        let refused = world.order(&command).map_err(|refusal| refusal.code);
        assert_eq!(refused, Err(Code::Malformed));
    }
    assert!(world.order(&mixed).is_err(), "the recorded slices under another aggregate");
    assert_eq!(world.task_state(&task), Some(TaskState::Challenged));
    let good = world.endorsed(good);
    world.order(&good).unwrap();
    assert_eq!(world.task_state(&task), Some(TaskState::Rejected));
    let rulings = &world.state.challenges[&(task, 1)].rulings;
    assert_eq!(*rulings, [Ruling::Confirmed(Code::ReplayDiffers)]);
}

fn refusal(task: &TaskId, round: u32, name: &str) -> SignedReplayRefusal {
    key::<Vault>(name).sign(ReplayRefusal { task: *task, round, vault: vault(name) })
}

/// R135: on other records, or when a Vault of the round signs that it cannot, nothing can be said against the result.
#[test]
fn what_cannot_be_repeated_stands() {
    let (world, task) = disputed_round();
    let good = world.finding(&task, true);
    let ruled = |replay: Replay| {
        let mut world = world.clone();
        let command = world.endorsed(Finding { replay, ..good.clone() });
        world.order(&command).map_err(|refusal| refusal.code)?;
        Ok((world.task_state(&task), world.state.challenges[&(task, 1)].rulings.clone()))
    };
    let known = world.task(&task);
    let position = world.state.position_at(known, 3).unwrap();
    let mut other = world.replay(&task, 3, false);
    let body = SliceHeader { input_root: Digest([3; 32]), ..other.slices[0].body.clone() };
    other.slices[0] = signed_slice(&known.envelope, &position, body);
    let upheld =
        Ok((Some(TaskState::AwaitingSettlement), vec![Ruling::NotConfirmed(Dismissal::NotRepeatable)]));
    assert_eq!(ruled(Replay::Computed(other)), upheld);
    assert_eq!(ruled(Replay::Refused(refusal(&task, 3, "vault-b"))), upheld);
    let mut forged = refusal(&task, 3, "vault-b");
    forged.body.vault = vault("vault-a");
    for wrong in [refusal(&task, 2, "vault-b"), refusal(&task, 3, "vault-s"), forged] {
        assert_eq!(ruled(Replay::Refused(wrong)), Err(Code::Malformed));
    }
}

/// R140, R141: whoever made what is under review hands it to the next master, and says nothing against the task by that.
#[test]
fn a_master_does_not_review_its_own_work() {
    let mut world = World::of_three(Script::default());
    world.submit(&campaign("c1"), PLENTY).unwrap();
    let task = campaign("c1").task();
    while world.task_state(&task) != Some(TaskState::AwaitingSettlement) {
        assert!(world.step(false));
    }
    world.challenge(&filing(&task, Dispute::Evidence, &[])).unwrap();
    let own = failure(&master(1), &task, Step::Review, Code::Forbidden);
    world.order(&own).unwrap();
    assert_eq!(world.state.leases[&Effect::Review(task)].runner, master(2));
    assert_eq!(world.order(&own), Ok(vec![]), "it no longer holds it");
    assert_eq!(world.task_state(&task), Some(TaskState::Challenged));
    world.replace(master(2));
    world.run(Disturbance::default());
    assert_eq!(world.task_state(&task), Some(TaskState::Completed));
    assert_nothing_is_left(&world);
}
