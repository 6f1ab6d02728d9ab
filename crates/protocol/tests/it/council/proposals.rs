//! The life of a proposal, who may say what, and what no history of motions can break.

use proptest::collection::vec;
use proptest::prelude::*;
use symphony_protocol::governance::approval::{Machine, Purpose, Status};
use symphony_protocol::governance::change::Change;
use symphony_protocol::governance::hardware::{DevelopmentRoots, HardwareRules};
use symphony_protocol::governance::log::{extends, includes};
use symphony_protocol::governance::proposal::*;
use symphony_protocol::machine::{Command, Event, Refusal, State};
use symphony_types::canonical::to_bytes;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{GovernanceSequence, PlatformId, PolicyVersion};
use symphony_types::key::Document as _;
use symphony_types::limits::{PROPOSALS_CLOSED_MAX, TEXT_LEN_MAX};
use symphony_types::time::OrderedMillis;

use super::{activate, order, proposal, propose, register, revoke, vote, withdraw};
use crate::stage::{COUNCIL, START, TIMELOCK_MS, VOTING_MS, code, council_key, governance, member, platform};

/// What is done in a line of the table, when, and whose vote it is.
type Step<'a> = (&'a str, u64, Option<(usize, bool)>);

fn fresh() -> State {
    State::genesis(governance())
}

/// One line of the table.
fn line(step: &str, made: &Result<Vec<Event>, Refusal>, state: &State, id: &Digest) -> String {
    let word = |event: &Event| match event {
        Event::Governed { event } => match event {
            ProposalEvent::Opened { .. } => "opened".to_owned(),
            ProposalEvent::Voted { .. } => "voted".to_owned(),
            ProposalEvent::Accepted { .. } => "accepted".to_owned(),
            ProposalEvent::Executed { entry } => format!("executed as {}", entry.sequence),
            ProposalEvent::Closed { stage, .. } => format!("closed {}", stage.as_str()),
        },
        other => format!("{other:?}"),
    };
    let events = match made {
        Ok(events) if events.is_empty() => "-".to_owned(),
        Ok(events) => events.iter().map(word).collect::<Vec<_>>().join(", "),
        Err(refusal) => refusal.code.to_string(),
    };
    let stage = state.proposals.get(id).map_or("-", |record| record.stage.as_str());
    format!("{step:<34} {events:<32} {stage}")
}

/// A proposal of a member in the place of another.
fn amending(state: &State, earlier: &SignedProposal, by: usize, number: u64) -> SignedProposal {
    let made = proposal(state, by, number, register(code("better")));
    council_key(by).sign(Proposal { amends: Some(earlier.body.digest()), ..made.body })
}

/// R191: five members, three must vote, and three in five of the votes be for it.
#[test]
fn the_table_of_a_proposal_is_pinned() {
    let mut rows = Vec::new();
    let mut play = |title: &str, change: Change, steps: &[Step<'_>]| {
        rows.push(format!("# {title}"));
        let mut state = fresh();
        let made = proposal(&state, 1, 1, change);
        let id = made.body.digest();
        let opened = order(&mut state, START, propose(&made));
        rows.push(line("propose", &opened, &state, &id));
        for (step, after, who) in steps {
            let at = START.plus(*after);
            let command = match (who, *step) {
                (Some((by, approve)), _) => vote(id, *by, *approve),
                (None, "withdraw") => withdraw(id, 1),
                (None, "another withdraws") => withdraw(id, 2),
                (None, "propose again") => propose(&made),
                (None, "amend") => propose(&amending(&state, &made, 1, 2)),
                (None, "amend once more") => propose(&amending(&state, &made, 1, 3)),
                (None, "another amends") => propose(&amending(&state, &made, 2, 1)),
                (None, _) => Command::AdvanceTime,
            };
            let made = order(&mut state, at, command);
            rows.push(line(step, &made, &state, &id));
        }
    };
    let (yes, no) = (|by| Some((by, true)), |by| Some((by, false)));
    play(
        "accepted at once, executed after the time-lock",
        register(code("next")),
        &[
            ("propose again", 0, None),
            ("1 for it", 0, yes(1)),
            ("2 for it", 0, yes(2)),
            ("2 for it again", 0, yes(2)),
            ("2 against it", 0, no(2)),
            ("3 for it", 0, yes(3)),
            ("4 for it, late", 0, yes(4)),
            ("time, a moment too early", TIMELOCK_MS - 1, None),
            ("time", TIMELOCK_MS, None),
            ("time again", TIMELOCK_MS, None),
            ("withdraw", TIMELOCK_MS, None),
        ],
    );
    play(
        "a revocation does not wait",
        revoke(code("enclave")),
        &[("1 for it", 0, yes(1)), ("2 for it", 0, yes(2)), ("3 for it", 0, yes(3))],
    );
    play(
        "rejected as soon as nothing can help",
        register(code("next")),
        &[
            ("1 against it", 0, no(1)),
            ("2 against it", 0, no(2)),
            ("3 against it", 0, no(3)),
            ("4 for it", 0, yes(4)),
        ],
    );
    play(
        "enough at the end",
        register(code("next")),
        &[
            ("1 for it", 0, yes(1)),
            ("2 for it", 0, yes(2)),
            ("3 against it", 0, no(3)),
            ("time, a moment too early", VOTING_MS - 1, None),
            ("4 for it, too late", VOTING_MS, yes(4)),
            ("time", VOTING_MS, None),
        ],
    );
    play(
        "too few for it at the end",
        register(code("next")),
        &[
            ("1 for it", 0, yes(1)),
            ("2 against it", 0, no(2)),
            ("3 against it", 0, no(3)),
            ("time", VOTING_MS, None),
        ],
    );
    play(
        "too few voted",
        register(code("next")),
        &[("1 for it", 0, yes(1)), ("2 for it", 0, yes(2)), ("time", VOTING_MS, None)],
    );
    play(
        "withdrawn",
        register(code("next")),
        &[
            ("another withdraws", 0, None),
            ("withdraw", 0, None),
            ("withdraw", 0, None),
            ("1 for it", 0, yes(1)),
        ],
    );
    play(
        "withdrawn in the time-lock",
        register(code("next")),
        &[
            ("1 for it", 0, yes(1)),
            ("2 for it", 0, yes(2)),
            ("3 for it", 0, yes(3)),
            ("withdraw", 1, None),
            ("time", TIMELOCK_MS, None),
        ],
    );
    play(
        "amended",
        register(code("next")),
        &[
            ("1 for it", 0, yes(1)),
            ("another amends", 0, None),
            ("amend", 1, None),
            ("amend", 1, None),
            ("amend once more", 1, None),
            ("2 for it, late", 1, yes(2)),
            ("withdraw", 1, None),
            ("time", VOTING_MS, None),
        ],
    );
    play(
        "amended too late",
        register(code("next")),
        &[("amend", VOTING_MS, None), ("time", VOTING_MS, None)],
    );
    play(
        "accepted, not amended",
        register(code("next")),
        &[("1 for it", 0, yes(1)), ("2 for it", 0, yes(2)), ("3 for it", 0, yes(3)), ("amend", 1, None)],
    );
    insta::assert_snapshot!(rows.join("\n"));
}

/// Proposes, has three members vote for it, and waits for the time-lock.
fn enact(state: &mut State, at: OrderedMillis, number: u64, change: Change) -> OrderedMillis {
    let made = proposal(state, 1, number, change);
    order(state, at, propose(&made)).unwrap();
    for by in 1..=3 {
        order(state, at, vote(made.body.digest(), by, true)).unwrap();
    }
    let end = at.plus(TIMELOCK_MS);
    order(state, end, Command::AdvanceTime).unwrap();
    end
}

/// R194: the registry says since when and by which proposal code is registered, active and revoked, in that order and never
/// back.
#[test]
fn code_is_registered_then_active_then_revoked() {
    let mut state = fresh();
    let next = code("next");
    let status = |state: &State| state.governance.registry.measurements[&next].status();
    let refused = |state: &State, change: &Change| change.check(&state.governance, START);
    assert_eq!(refused(&state, &activate(next)), Err(Code::ChangeUnfit));
    assert_eq!(refused(&state, &revoke(next)), Err(Code::ChangeUnfit));
    let at = enact(&mut state, START, 1, register(next));
    assert_eq!(status(&state), Status::Registered);
    assert_eq!(state.governance.registry.active_code(), [code("enclave")]);
    assert_eq!(refused(&state, &register(next)), Err(Code::ChangeUnfit));
    let at = enact(&mut state, at, 2, activate(next));
    assert_eq!(status(&state), Status::Active);
    assert_eq!(state.governance.registry.active_code().len(), 2);
    assert_eq!(refused(&state, &activate(next)), Err(Code::ChangeUnfit));
    let end = enact(&mut state, at, 3, revoke(next));
    assert_eq!(status(&state), Status::Revoked);
    for change in [register(next), activate(next), revoke(next)] {
        assert_eq!(refused(&state, &change), Err(Code::ChangeUnfit));
    }
    let known = &state.governance.registry.measurements[&next];
    let marks = [Some(known.registered), known.activated, known.revoked].map(Option::unwrap);
    for (mark, entry) in marks.iter().zip(state.proposals.log.entries()) {
        assert_eq!((mark.sequence, mark.by), (entry.sequence, entry.proposal.body.digest()));
        assert_eq!(mark.at, entry.at);
    }
    assert_eq!(marks[2].at, at, "a revocation is enacted with the vote that suffices");
    assert!(end > at);
    let sequence = |number| GovernanceSequence(number);
    let approved = |at| state.governance.registry.approved_at(&next, Purpose::Slices, sequence(at));
    assert_eq!([0, 1, 2, 3, 4].map(approved), [false, false, true, false, false]);
}

/// R130, R194: a machine of class software is admitted where policy admits the class, and nowhere else.
#[test]
fn production_policy_admits_no_software_machine() {
    let machine = platform("another");
    let change = Change::AdmitPlatform { machine: Machine::Software { key: machine } };
    let mut state = fresh();
    let at = enact(&mut state, START, 1, change.clone());
    assert_eq!(change.check(&state.governance, START), Err(Code::ChangeUnfit));
    let strike = Change::RevokePlatform { platform: machine.platform() };
    enact(&mut state, at, 2, strike.clone());
    assert!(state.governance.registry.platforms[&machine.platform()].revoked.is_some());
    assert_eq!(strike.check(&state.governance, START), Err(Code::ChangeUnfit));
    assert_eq!(
        change.check(&state.governance, START),
        Err(Code::ChangeUnfit),
        "what is revoked does not come back"
    );
    let mut production = fresh();
    production.governance.policies.get_mut(&PolicyVersion(1)).unwrap().software_admitted = false;
    let made = proposal(&production, 1, 1, change);
    let refused = order(&mut production, START, propose(&made)).unwrap_err();
    assert_eq!(refused.code, Code::PlatformRefused);
}

/// R120, R130, R194: a machine with trusted hardware is admitted under any policy, by its name and class, and struck off like any
/// other; the two kinds never stand for each other.
#[test]
fn a_hardware_machine_is_admitted_under_any_policy() {
    let platform = PlatformId(Digest([77; 32]));
    let machine = |class: &str| Machine::Hardware { class: class.to_owned(), platform };
    let change = |class| Change::AdmitPlatform { machine: machine(class) };
    let mut state = fresh();
    let policy = state.governance.policies.get_mut(&PolicyVersion(1)).unwrap();
    policy.software_admitted = false;
    policy.stakes = crate::stakes::asked();
    let long = "x".repeat(65);
    for unfit in ["", "software", "two words", &long] {
        assert_eq!(change(unfit).check(&state.governance, START), Err(Code::ChangeUnfit), "{unfit:?}");
    }
    let at = enact(&mut state, START, 1, change("some-class"));
    let known = &state.governance.registry.platforms[&platform];
    assert_eq!((known.machine.class(), known.machine.quoting_key()), ("some-class", None));
    assert_eq!(change("other-class").check(&state.governance, START), Err(Code::ChangeUnfit));
    assert_eq!(state.governance.check(), Ok(()));
    enact(&mut state, at, 2, Change::RevokePlatform { platform });
    assert!(state.governance.registry.platforms[&platform].revoked.is_some());
}

/// R120, R124, R130, R194: rules for hardware are replaced by votes, and what held before still holds for what was admitted before;
/// roots of development never stand beside a policy that refuses software.
#[test]
fn rules_for_hardware_hold_from_their_entry_on() {
    let mut state = fresh();
    assert_eq!(state.governance.hardware_at(state.governance.sequence), None);
    let rules =
        |class: &str| HardwareRules { classes: [class.to_owned()].into(), ..HardwareRules::default() };
    let set = |rules: &HardwareRules| Change::SetHardwareRules { rules: rules.clone() };
    let (first, second) = (rules("first"), rules("second"));
    let at = enact(&mut state, START, 1, set(&first));
    assert_eq!(set(&first).check(&state.governance, START), Err(Code::ChangeUnfit), "nothing would change");
    enact(&mut state, at, 2, set(&second));
    let held = |sequence| state.governance.hardware_at(GovernanceSequence(sequence));
    assert_eq!([0, 1, 2, 9].map(held), [None, Some(&first), Some(&second), Some(&second)]);
    let subjects = state.proposals.log.entries().map(|entry| entry.proposal.body.change.subject());
    assert_eq!(subjects.collect::<Vec<_>>(), [first.digest(), second.digest()]);
    let unsound = [
        rules(""),
        HardwareRules {
            development: Some(DevelopmentRoots { intel: vec![0; 20_000], ..Default::default() }),
            ..rules("x")
        },
    ];
    for rules in &unsound {
        assert_eq!(set(rules).check(&state.governance, START), Err(Code::ChangeUnfit));
    }
    let marked = HardwareRules { development: Some(DevelopmentRoots::default()), ..rules("third") };
    assert_eq!(set(&marked).check(&state.governance, START), Ok(()));
    let mut production = state.governance.clone();
    production.policies.get_mut(&PolicyVersion(1)).unwrap().software_admitted = false;
    assert_eq!(set(&marked).check(&production, START), Err(Code::PlatformRefused));
    assert!(production.admits_enclaves(), "hardware may serve where software may not");
    production.hardware.insert(GovernanceSequence(3), marked);
    assert!(production.check().is_err());
    production.hardware.clear();
    assert!(!production.admits_enclaves());
}

/// R191: only members speak, each for itself, for this network, in bounds, and no old proposal is new again.
#[test]
fn who_may_not_say_so_is_refused() {
    let mut state = fresh();
    let good = proposal(&state, 1, 7, register(code("next")));
    let refused = |state: &State, motion: Motion| {
        let mut state = state.clone();
        order(&mut state, START, Command::Govern { motion }).unwrap_err().code
    };
    let changed = |by: usize, change: &dyn Fn(&mut Proposal)| {
        let mut body = good.body.clone();
        change(&mut body);
        Motion::Propose(Box::new(council_key(by).sign(body)))
    };
    let cases: [(Code, Motion); 6] = [
        (Code::Forbidden, changed(2, &|_| {})),
        (Code::Forbidden, changed(9, &|body| body.proposer = member(9))),
        (Code::Malformed, changed(1, &|body| body.foundation = Digest::ZERO)),
        (Code::Malformed, changed(1, &|body| body.summary = "x".repeat(TEXT_LEN_MAX + 1))),
        (Code::ProposalConflict, changed(1, &|body| body.number = 0)),
        (Code::ChangeUnfit, changed(1, &|body| body.change = activate(code("next")))),
    ];
    for (expected, motion) in cases {
        assert_eq!(refused(&state, motion), expected);
    }
    order(&mut state, START, propose(&good)).unwrap();
    let id = good.body.digest();
    let votes = |by: usize, name: usize| {
        Motion::Vote(council_key(by).sign(Vote { proposal: id, voter: member(name), approve: true }))
    };
    assert_eq!(refused(&state, votes(2, 3)), Code::Forbidden);
    assert_eq!(refused(&state, votes(9, 9)), Code::Forbidden);
    let unknown = Vote { proposal: Digest::ZERO, voter: member(1), approve: true };
    assert_eq!(refused(&state, Motion::Vote(council_key(1).sign(unknown))), Code::ProposalUnknown);
    assert_eq!(refused(&state, changed(1, &|body| body.number = 6)), Code::ProposalConflict);
    assert_eq!(refused(&state, changed(1, &|body| body.summary = "again".into())), Code::ProposalConflict);
    for number in 8..=10 {
        let more = proposal(&state, 1, number, register(code("next")));
        order(&mut state, START, propose(&more)).unwrap();
    }
    assert_eq!(refused(&state, changed(1, &|body| body.number = 11)), Code::ProposalLimit);
}

/// R191: votes for what is amended are not votes for what takes its place, which needs no room of its own among open ones.
#[test]
fn an_amended_proposal_is_voted_on_anew() {
    let mut state = fresh();
    let first = proposal(&state, 1, 1, register(code("next")));
    order(&mut state, START, propose(&first)).unwrap();
    (1..=2).for_each(|by| drop(order(&mut state, START, vote(first.body.digest(), by, true)).unwrap()));
    for number in 1.. {
        let other = proposal(&state, 2, number, register(code("next")));
        if let Err(refused) = order(&mut state, START, propose(&other)) {
            assert_eq!(refused.code, Code::ProposalLimit);
            break;
        }
    }
    let next = amending(&state, &first, 1, 2);
    order(&mut state, START, propose(&next)).unwrap();
    let (former, latter) = (first.body.digest(), next.body.digest());
    let stage = |state: &State, id| state.proposals.get(&id).unwrap().stage;
    assert_eq!(stage(&state, former), ProposalStage::Amended { by: latter });
    assert_eq!(state.proposals.get(&latter).unwrap().votes.len(), 0);
    order(&mut state, START, vote(latter, 3, true)).unwrap();
    assert_eq!(stage(&state, latter), ProposalStage::Open);
    (4..=5).for_each(|by| drop(order(&mut state, START, vote(latter, by, true)).unwrap()));
    order(&mut state, START.plus(TIMELOCK_MS), Command::AdvanceTime).unwrap();
    assert_eq!(stage(&state, latter), ProposalStage::Executed { sequence: GovernanceSequence(1) });
    assert!(state.governance.registry.measurements.contains_key(&code("better")));
    assert!(!state.governance.registry.measurements.contains_key(&code("next")));
    let unknown = council_key(3).sign(Proposal {
        amends: Some(Digest::ZERO),
        ..proposal(&state, 3, 1, register(code("other"))).body
    });
    assert_eq!(
        order(&mut state, START.plus(TIMELOCK_MS), propose(&unknown)).unwrap_err().code,
        Code::ProposalUnknown
    );
}

/// R191: of closed proposals the last are kept, and one that is forgotten cannot be proposed again.
#[test]
fn what_is_kept_of_closed_proposals_is_bounded() {
    let mut state = fresh();
    let first = proposal(&state, 1, 1, register(code("next")));
    let most = u64::try_from(PROPOSALS_CLOSED_MAX).unwrap() + 3;
    for number in 1..=most {
        let made = proposal(&state, 1, number, register(code("next")));
        order(&mut state, START, propose(&made)).unwrap();
        order(&mut state, START, withdraw(made.body.digest(), 1)).unwrap();
    }
    assert_eq!(state.proposals.iter().count(), PROPOSALS_CLOSED_MAX);
    assert_eq!(state.timer(), None);
    let again = order(&mut state, START, propose(&first)).unwrap_err();
    assert_eq!(again.code, Code::ProposalConflict);
}

/// R191: two proposals of the same change are enacted once; the second does not fit any more.
#[test]
fn a_change_that_does_not_fit_any_more_is_rejected() {
    let mut state = fresh();
    let both = [1, 2].map(|by| proposal(&state, by, 1, register(code("next"))));
    for made in &both {
        order(&mut state, START, propose(made)).unwrap();
        for by in 1..=3 {
            order(&mut state, START, vote(made.body.digest(), by, true)).unwrap();
        }
    }
    order(&mut state, START.plus(TIMELOCK_MS), Command::AdvanceTime).unwrap();
    let mut stages = both.map(|made| state.proposals.get(&made.body.digest()).unwrap().stage.as_str());
    stages.sort_unstable();
    assert_eq!(stages, ["executed", "rejected"]);
    assert_eq!(state.proposals.log.head().sequence, GovernanceSequence(1));
}

fn motion(state: &State, numbers: &mut [u64; COUNCIL + 1], (what, by, on): (u8, usize, usize)) -> Command {
    let known: Vec<_> = state.proposals.iter().map(|(id, _)| *id).collect();
    let one = known.get(on % known.len().max(1)).copied().unwrap_or(Digest::ZERO);
    match what {
        0 => {
            numbers[by] += 1;
            let code = code(["one", "two", "enclave"][on % 3]);
            let change = [register(code), activate(code), revoke(code)][on / 3 % 3].clone();
            propose(&proposal(state, by, numbers[by], change))
        }
        1..=5 => vote(one, by, true),
        6 | 7 => vote(one, by, false),
        8 => withdraw(one, by),
        9 => {
            numbers[by] += 1;
            let made = proposal(state, by, numbers[by], register(code(["one", "two"][on % 2])));
            propose(&council_key(by).sign(Proposal { amends: Some(one), ..made.body }))
        }
        _ => Command::AdvanceTime,
    }
}

proptest! {
    /// R191, R194, R217: whatever is proposed and voted in whatever order: every step given twice is as if once; a crash
    /// before any step changes nothing; the log is what made the governance, and each of its heads is the beginning of the
    /// next; no proposal is enacted that the council did not carry.
    #[test]
    fn no_history_breaks_governance(
        steps in vec(((0..12_u8, 1..=COUNCIL, 0..9_usize), 0..30_000_u64), 1..80)
    ) {
        let (mut state, mut at, mut numbers) = (fresh(), START, [0; COUNCIL + 1]);
        let mut heads = vec![state.proposals.log.head()];
        for (what, wait) in steps {
            at = at.plus(wait);
            let command = motion(&state, &mut numbers, what);
            let before = to_bytes(&state);
            if order(&mut state, at, command.clone()).is_err() {
                prop_assert_eq!(&to_bytes(&state), &before);
                continue;
            }
            prop_assert_eq!(order(&mut state, at, command), Ok(vec![]));
            let mut again: State = bcs::from_bytes(&to_bytes(&state)).unwrap();
            prop_assert_eq!(again.digest(), state.digest());
            state = again;
            let head = state.proposals.log.head();
            if heads.last() != Some(&head) {
                heads.push(head);
            }
            prop_assert!(state.proposals.timer().is_none_or(|due| due > at || what.0 < 10));
        }
        let log = &state.proposals.log;
        let head = log.head();
        let replayed = symphony_protocol::governance::log::replay(&governance(), &log.until(head.sequence));
        prop_assert_eq!(replayed.as_ref(), Ok(&state.governance));
        for earlier in &heads {
            let path = log.consistency(earlier.sequence).unwrap();
            prop_assert!(extends(earlier, &head, &path));
        }
        for entry in log.entries() {
            prop_assert!(includes(&head, entry, &log.inclusion(entry.sequence).unwrap()));
            let approvals = entry.votes.iter().filter(|vote| vote.body.approve).count();
            prop_assert!(entry.votes.len() >= 3 && approvals * 10 >= entry.votes.len() * 6);
        }
    }
}
