//! Rounds of a training draw one reservation (R065, R066, R069, R098, D20): every step by hand, and random interleavings
//! against a model that only adds.

use alloc::collections::BTreeSet;
use alloc::string::ToString;

use super::*;
use crate::artifact::training::{
    EVERYBODY, Environment, Extra, Family, Feature, Label, ModelKind, PrivacyTerms, RoundOrder, Scale,
    Settings, Training, TrainingPlan,
};
use crate::vault::ledger::{Movement, MovementKind};

/// Two steps with an evaluation between them and one at the end, of so much noise that millionths remain.
fn training_of(rounds: u32) -> Training<ResolvedOperand> {
    let scale = Scale { logarithm: false, centre: 0, spread: 1_000_000, bound: 1_000 };
    Training {
        model: ModelKind::Logistic,
        time: symphony_types::id::AttributeName::new("commerce.purchase_date").unwrap(),
        cohort: vec![],
        features: vec![Feature { family: Family::Frequency, filter: vec![], days: 30, scale }],
        label: Some(Label { condition: vec![], days: 30 }),
        settings: Settings::PLAIN,
        privacy: PrivacyTerms {
            noise: 4_000,
            sampling: EVERYBODY,
            evaluation_noise: 8_000,
            delta: 10_000_000,
        },
        rounds,
        evaluate_every: 1,
        patience: 0,
        held_out: 200,
        accept_from: 0,
    }
}

/// Steps of the training that these tests order.
const ROUNDS: u32 = 4;
/// What a person has lost after each step, and after the last round: of noise 4 at delta 1e-5.
const LOSSES: [u64; 5] = [926_342, 1_356_468, 1_698_036, 1_993_092, 1_993_092];
/// What is reserved.
const ALL: u64 = LOSSES[4];
/// When a reservation ends.
const DEADLINE: u64 = 1_000;

/// A policy under which a person affords two trainings.
fn roomy() -> State {
    let mut state = populated();
    let policy = state.charter.policies.get_mut(&PolicyVersion(1)).unwrap();
    policy.privacy.subject_cap = Epsilon(2 * ALL);
    policy.privacy.scope_limits.insert(scope("training"), Epsilon(2 * ALL));
    for subject in 0..3 {
        apply(&mut state, 1, &say(subject, "training", YES)).unwrap();
    }
    state
}

fn reserve(name: u8) -> Command {
    prepare_of(name, "training", ALL, DEADLINE)
}

fn order_of(name: u8, round: u32, attempt: u32) -> RoundOrder {
    let mut envelope = assignment_of(name, "training", 0).envelope;
    envelope.charge = PrivacyCharge { exposure: Epsilon(0), noised: Epsilon(ALL) };
    envelope.plan = Plan::Training(TrainingPlan {
        training: training_of(ROUNDS),
        evaluated_at: OrderedMillis(0),
        combined_privacy_class: PrivacyClass::Sensitive,
        minimum_cohort: 1,
        environment: Environment::Tee,
    });
    RoundOrder {
        envelope,
        round,
        last: round > ROUNDS,
        attempt,
        state: Digest([round as u8; 32]),
        vaults: vec![vault()],
        subjects: vec![3],
        aggregator_boot: vec![],
        helper_boot: None,
    }
}

fn ordered(order: RoundOrder) -> Command {
    Command::CommitRound { order: Box::new(master().endorsed(order)) }
}

fn round_of(name: u8, round: u32) -> Command {
    ordered(order_of(name, round, 0))
}

fn balance(state: &State, subject: u32) -> (u64, u64) {
    let in_scope = state.ledger.in_scope(&scope("training"), SubjectIndex(subject));
    let in_total = state.ledger.in_total(SubjectIndex(subject));
    assert_eq!(in_scope, in_total, "nothing else is spent");
    (in_total.reserved.0, in_total.committed.0)
}

fn history(state: &State, subject: u32) -> Vec<(String, u64, u64)> {
    let lines = state.ledger.movements(&scope("training"), SubjectIndex(subject));
    lines.iter().map(|line| (format!("{:?}", line.kind), line.epsilon.0, line.at.0)).collect()
}

/// R065, D20: the first round takes its loss out of the reservation, each later one what it adds, and what is drawn is the
/// accountant's loss of the rounds done; the rest stays held.
#[test]
fn each_round_draws_what_it_adds() {
    let mut state = roomy();
    apply(&mut state, 2, &reserve(1)).unwrap();
    assert_eq!(balance(&state, 0), (ALL, 0));
    let mut drawn = 0;
    for (at, loss) in (1..).zip(LOSSES) {
        let events = apply(&mut state, 10 + u64::from(at), &round_of(1, at)).unwrap();
        let [Event::RoundDrawn { round, spent, subjects: None, .. }] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!((*round, spent.0), (at, loss));
        let training = training_of(ROUNDS);
        let (steps, evaluations) = training.done(at, at > ROUNDS);
        assert_eq!(training.privacy.loss(steps, evaluations), Ok(*spent));
        drawn += loss - drawn;
        for subject in 0..3 {
            assert_eq!(balance(&state, subject), (ALL - drawn, drawn), "round {at}");
        }
    }
    assert_eq!(balance(&state, 0), (0, ALL));
}

/// D20: a Vault that missed rounds draws them with the next that it computes: the loss is counted by rounds.
#[test]
fn what_was_missed_is_drawn_with_the_next_round() {
    for round in 1..=5 {
        let mut state = roomy();
        apply(&mut state, 2, &reserve(1)).unwrap();
        apply(&mut state, 3, &round_of(1, round)).unwrap();
        let loss = LOSSES[round as usize - 1];
        assert_eq!(balance(&state, 0), (ALL - loss, loss));
    }
}

/// R064, R209: a repeated order draws nothing and a later attempt no more; an earlier attempt, another order of the same
/// attempt, an earlier round and another envelope are refused.
#[test]
fn a_round_draws_once() {
    let mut state = roomy();
    apply(&mut state, 2, &reserve(1)).unwrap();
    apply(&mut state, 3, &round_of(1, 1)).unwrap();
    apply(&mut state, 4, &ordered(order_of(1, 2, 1))).unwrap();
    let spent = balance(&state, 0);
    assert_eq!(spent, (ALL - LOSSES[1], LOSSES[1]));
    assert_eq!(apply(&mut state, 5, &ordered(order_of(1, 2, 1))), Ok(vec![]));

    let fewer = RoundOrder { subjects: vec![2], ..order_of(1, 2, 2) };
    let events = apply(&mut state, 5, &ordered(fewer.clone())).unwrap();
    assert!(matches!(events[..], [Event::RoundDrawn { round: 2, spent: Epsilon(1_356_468), .. }]));
    assert_eq!(balance(&state, 0), spent);
    assert_eq!(apply(&mut state, 6, &ordered(fewer)), Ok(vec![]));

    let before = canonical::to_bytes(&state);
    let mut refused = |order: RoundOrder, code| {
        assert_eq!(apply(&mut state, 7, &ordered(order)), Err(code));
        assert_eq!(canonical::to_bytes(&state), before);
    };
    refused(order_of(1, 2, 1), Code::IdempotencyConflict);
    refused(order_of(1, 2, 0), Code::IdempotencyConflict);
    refused(order_of(1, 2, 2), Code::IdempotencyConflict);
    refused(order_of(1, 1, 9), Code::IllegalTransition);
    for change in [
        |order: &mut RoundOrder| order.envelope.recipient = vec![1; 32],
        |order: &mut RoundOrder| order.envelope.locked = Sym(2),
        |order: &mut RoundOrder| {
            let Plan::Training(plan) = &mut order.envelope.plan else { unreachable!() };
            plan.training.settings.clip += 1;
        },
    ] {
        for round in [2, 3] {
            let mut other = order_of(1, round, 9);
            change(&mut other);
            refused(other, Code::IdempotencyConflict);
        }
    }
}

/// R105, R111, R195: an order of strangers, for others, that is not whole, or for which nothing is reserved, draws nothing.
#[test]
fn an_order_that_does_not_bind_draws_nothing() {
    let mut state = roomy();
    assert_eq!(apply(&mut state, 2, &round_of(1, 1)), Err(Code::ReservationUnknown));
    apply(&mut state, 2, &reserve(1)).unwrap();
    let before = canonical::to_bytes(&state);
    let stranger = PrivateKey::<Master>::from_seed(&[9; 32]);
    let foreign = Command::CommitRound { order: Box::new(stranger.endorsed(order_of(1, 1, 0))) };
    assert_eq!(apply(&mut state, 3, &foreign), Err(Code::Forbidden));
    let south = || VaultId::new("south").unwrap();
    type Change<'a> = (&'a str, &'a dyn Fn(&mut RoundOrder));
    let changes: [Change<'_>; 12] = [
        ("no round", &|order| order.round = 0),
        ("a step too many", &|order| order.round = ROUNDS + 1),
        ("a last round too late", &|order| (order.round, order.last) = (ROUNDS + 2, true)),
        ("another vault", &|order| order.vaults = vec![south()]),
        ("no vault", &|order| order.vaults.clear()),
        ("a vault twice", &|order| order.vaults = vec![vault(), vault()]),
        ("a vault that does not take part", &|order| order.vaults.push(south())),
        ("below the quorum", &|order| order.envelope.coordination.minimum_vault_quorum = 2),
        ("a receipt too few", &|order| order.envelope.reservations.clear()),
        ("another scope", &|order| order.envelope.scope = scope("marketing")),
        ("another charge", &|order| order.envelope.charge.noised = Epsilon(ALL - 1)),
        ("a query", &|order| {
            order.envelope.plan = assignment_of(1, "training", ALL).envelope.plan;
        }),
    ];
    for (name, change) in changes {
        let mut order = order_of(1, 1, 0);
        change(&mut order);
        assert_eq!(apply(&mut state, 3, &ordered(order)), Err(Code::EnvelopeInvalid), "{name}");
    }
    // More noise was promised at admission than this plan has: it would draw more than is reserved.
    let mut loud = order_of(1, 4, 0);
    let Plan::Training(plan) = &mut loud.envelope.plan else { unreachable!() };
    plan.training.privacy.noise = 2_000;
    assert_eq!(apply(&mut state, 3, &ordered(loud)), Err(Code::BudgetTooSmall));
    let mut late = order_of(1, 1, 0);
    late.envelope.execute_by = OrderedMillis(3);
    assert_eq!(apply(&mut state, 3, &ordered(late)), Err(Code::ReservationExpired));
    assert_eq!(apply(&mut state, DEADLINE, &round_of(1, 1)), Err(Code::ReservationExpired));
    assert_eq!(canonical::to_bytes(&state), before);
    assert!(apply(&mut state, DEADLINE - 1, &round_of(1, 1)).is_ok());
}

/// D20, R065: a round that is ordered again for the same Vaults is the same release; for other Vaults it is another one, with
/// other noise over the same people, and draws once more, until nothing spare is left.
#[test]
fn a_round_for_other_vaults_is_another_release() {
    let mut state = roomy();
    let south = VaultId::new("south").unwrap();
    apply(&mut state, 2, &reserve(1)).unwrap();
    let of = |attempt, vaults: &[VaultId]| {
        let mut order = order_of(1, 1, attempt);
        order.envelope.coordination.participating_vault_ids = vec![vault(), south.clone()];
        order.envelope.reservations.push(Digest::ZERO);
        ordered(RoundOrder { vaults: vaults.to_vec(), ..order })
    };
    let both = [vault(), south.clone()];
    apply(&mut state, 3, &of(0, &both)).unwrap();
    assert_eq!(balance(&state, 0).1, LOSSES[0]);
    apply(&mut state, 4, &of(1, &both)).unwrap();
    assert_eq!(balance(&state, 0).1, LOSSES[0], "the same sums and the same noise");
    // Who withdraws now has been in this round and leaves before the next.
    apply(&mut state, 5, &say(2, "training", Statement::Withdrawn)).unwrap();
    for (attempt, vaults) in (2..).zip([&both[..1], &both[..], &both[..1]]) {
        apply(&mut state, 6, &of(attempt, vaults)).unwrap();
    }
    // One step and three more: the loss of four.
    assert_eq!((balance(&state, 0).1, balance(&state, 2).1), (LOSSES[3], LOSSES[3]));
    let before = canonical::to_bytes(&state);
    assert_eq!(apply(&mut state, 7, &of(5, &both)), Err(Code::BudgetTooSmall));
    assert_eq!(canonical::to_bytes(&state), before);
}

/// D20: an assignment of a query draws nothing of what a training holds, and a round nothing of a query's.
#[test]
fn a_query_and_a_training_do_not_mix() {
    let mut state = roomy();
    apply(&mut state, 2, &reserve(1)).unwrap();
    let mut assigned = assignment_of(1, "training", ALL);
    assigned.envelope.plan = order_of(1, 1, 0).envelope.plan;
    let assigned = Command::CommitTask { assignment: Box::new(master().endorsed(assigned)) };
    assert_eq!(apply(&mut state, 3, &assigned), Err(Code::EnvelopeInvalid));
    apply(&mut state, 3, &round_of(1, 1)).unwrap();
    assert_eq!(apply(&mut state, 4, &commit_of(1, "training", ALL)), Err(Code::ReservationExpired));
    apply(&mut state, 4, &reserve(2)).unwrap();
    apply(&mut state, 5, &commit_of(2, "training", ALL)).unwrap();
    assert_eq!(apply(&mut state, 6, &round_of(2, 1)), Err(Code::ReservationExpired));
}

/// R057, R059, R066: consent that ends between two rounds frees the rest and keeps what was drawn; who comes back is not in
/// the training again.
#[test]
fn who_leaves_keeps_what_was_drawn_and_has_the_rest_back() {
    let mut state = roomy();
    apply(&mut state, 2, &reserve(1)).unwrap();
    apply(&mut state, 3, &say(0, "training", Statement::Withdrawn)).unwrap();
    let events = apply(&mut state, 4, &round_of(1, 1)).unwrap();
    let [Event::RoundDrawn { subjects: Some(remain), .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(remain.iter().map(|subject| subject.0).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((balance(&state, 0), balance(&state, 1)), ((0, 0), (ALL - LOSSES[0], LOSSES[0])));
    apply(&mut state, 5, &say(0, "training", YES)).unwrap();
    apply(&mut state, 6, &say(1, "training", Statement::Withdrawn)).unwrap();
    apply(&mut state, 7, &round_of(1, 2)).unwrap();
    assert_eq!(balance(&state, 0), (0, 0), "who left stays away");
    assert_eq!(balance(&state, 1), (0, LOSSES[0]));
    assert_eq!(balance(&state, 2), (ALL - LOSSES[1], LOSSES[1]));
    apply(&mut state, 8, &round_of(1, 5)).unwrap();
    apply(&mut state, 9, &release_of(1)).unwrap();
    assert_eq!([0, 1, 2].map(|subject| balance(&state, subject)), [(0, 0), (0, LOSSES[0]), (0, ALL)]);
    let line = |kind: &str, epsilon, at| (kind.to_string(), epsilon, at);
    assert_eq!(history(&state, 0), [line("Reserve", ALL, 2), line("Release", ALL, 4)]);
    let left = [line("Reserve", ALL, 2), line("Commit", LOSSES[0], 7), line("Release", ALL - LOSSES[0], 7)];
    assert_eq!(history(&state, 1), left);
    assert_eq!(history(&state, 2), [line("Reserve", ALL, 2), line("Commit", ALL, 8)]);
}

/// R057: a round over nobody is still a round.
#[test]
fn everybody_may_leave() {
    let mut state = roomy();
    apply(&mut state, 2, &reserve(1)).unwrap();
    apply(&mut state, 3, &round_of(1, 1)).unwrap();
    for subject in 0..3 {
        apply(&mut state, 4, &say(subject, "training", Statement::Withdrawn)).unwrap();
    }
    apply(&mut state, 5, &round_of(1, 2)).unwrap();
    apply(&mut state, 6, &round_of(1, 3)).unwrap();
    assert_eq!([0, 1, 2].map(|subject| balance(&state, subject)), [(0, LOSSES[0]); 3]);
    apply(&mut state, 7, &release_of(1)).unwrap();
    assert_eq!([0, 1, 2].map(|subject| balance(&state, subject)), [(0, LOSSES[0]); 3]);
}

/// R064, R065, R066, D20: a release or the deadline ends a draw, gives the rest back and keeps what was drawn; afterwards no
/// round draws, and neither comes twice.
#[test]
fn a_release_and_the_deadline_end_a_draw() {
    for (at, end) in [(20, release_of(1)), (DEADLINE, Command::ExpireReservations)] {
        let mut state = roomy();
        apply(&mut state, 2, &reserve(1)).unwrap();
        apply(&mut state, 3, &round_of(1, 1)).unwrap();
        apply(&mut state, 4, &round_of(1, 2)).unwrap();
        assert_eq!(apply(&mut state, DEADLINE - 1, &Command::ExpireReservations), Ok(vec![]));
        assert_eq!(apply(&mut state, at, &end).unwrap().len(), 1);
        assert_eq!(balance(&state, 0), (0, LOSSES[1]));
        assert!(matches!(state.ledger.entry(&task(1)).unwrap().state, EntryState::Drawn { .. }));
        let before = canonical::to_bytes(&state);
        assert_eq!(apply(&mut state, at, &end), Ok(vec![]));
        assert_eq!(apply(&mut state, at, &release_of(1)), Ok(vec![]));
        assert_eq!(apply(&mut state, at, &Command::ExpireReservations), Ok(vec![]));
        for round in [round_of(1, 2), round_of(1, 3), ordered(order_of(1, 2, 5)), reserve(1)] {
            assert_eq!(apply(&mut state, at, &round), Err(Code::ReservationExpired));
        }
        assert_eq!(canonical::to_bytes(&state), before);
        let expected = [("Reserve", ALL, 2), ("Commit", LOSSES[1], 4), ("Release", ALL - LOSSES[1], at)];
        assert_eq!(history(&state, 0), expected.map(|(kind, loss, at)| (kind.to_string(), loss, at)));
    }
}

/// R066, R098: what is drawn never goes down, whatever a majority of the masters orders afterwards: a last round after a
/// later step asks for less and is refused.
#[test]
fn what_is_drawn_never_goes_down() {
    let mut state = roomy();
    apply(&mut state, 2, &reserve(1)).unwrap();
    apply(&mut state, 3, &round_of(1, 3)).unwrap();
    let early = RoundOrder { last: true, ..order_of(1, 3, 1) };
    assert_eq!(apply(&mut state, 4, &ordered(early)), Err(Code::EnvelopeInvalid));
    assert_eq!(balance(&state, 0), (ALL - LOSSES[2], LOSSES[2]));
    // After the third step, a last round that ends the training early.
    let stop = RoundOrder { last: true, ..order_of(1, 4, 0) };
    apply(&mut state, 5, &ordered(stop)).unwrap();
    assert_eq!(balance(&state, 0), (ALL - LOSSES[2], LOSSES[2]));
    apply(&mut state, 6, &release_of(1)).unwrap();
    assert_eq!(balance(&state, 0), (0, LOSSES[2]));
}

/// R067, R073: what a training holds and what it has drawn count alike against a person's limits; what it gives back is
/// free for the next.
#[test]
fn a_draw_counts_against_the_limits() {
    let mut state = roomy();
    apply(&mut state, 2, &reserve(1)).unwrap();
    apply(&mut state, 3, &round_of(1, 1)).unwrap();
    apply(&mut state, 4, &reserve(2)).unwrap();
    assert_eq!(reserved_of(&state, 2), [0, 1, 2]);
    apply(&mut state, 5, &prepare_of(3, "training", 1, DEADLINE)).unwrap();
    assert!(reserved_of(&state, 3).is_empty(), "all of the limit is held or drawn");
    apply(&mut state, 6, &release_of(1)).unwrap();
    apply(&mut state, 7, &prepare_of(4, "training", ALL - LOSSES[0], DEADLINE)).unwrap();
    assert_eq!(reserved_of(&state, 4), [0, 1, 2]);
    apply(&mut state, 8, &prepare_of(5, "training", 1, DEADLINE)).unwrap();
    assert!(reserved_of(&state, 5).is_empty());
}

#[derive(Clone, Debug)]
enum Play {
    Reserve(u8),
    Round { name: u8, round: u32, attempt: u32 },
    Stop { name: u8, round: u32 },
    Release(u8),
    Expire,
    Say { who: u32, yes: bool },
    Repeat(usize),
}

fn play() -> impl Strategy<Value = Play> {
    let rounds = || 1..=ROUNDS + 1;
    prop_oneof![
        2 => (0u8..3).prop_map(Play::Reserve),
        6 => (0u8..3, rounds(), 0u32..3)
            .prop_map(|(name, round, attempt)| Play::Round { name, round, attempt }),
        1 => (0u8..3, rounds()).prop_map(|(name, round)| Play::Stop { name, round }),
        1 => (0u8..3).prop_map(Play::Release),
        1 => Just(Play::Expire),
        2 => (0u32..3, any::<bool>()).prop_map(|(who, yes)| Play::Say { who, yes }),
        2 => (0usize..40).prop_map(Play::Repeat),
    ]
}

/// One training as a person would keep it: who is in it, what each has lost, and the orders that were taken.
#[derive(Clone, Default)]
struct Page {
    reserved: bool,
    ended: bool,
    /// Who was reserved, with what each has lost in this training.
    lost: BTreeMap<u32, u64>,
    /// Who is still in it.
    inside: BTreeSet<u32>,
    /// The last order: round, attempt, whether it stops, what it drew.
    last: Option<(u32, u32, bool, u64)>,
    /// Releases beyond one a round.
    extra: Extra,
    deadline: u64,
}

/// The simple model: pages by task, and who consents.
#[derive(Clone)]
struct Book {
    pages: BTreeMap<u8, Page>,
    consents: BTreeSet<u32>,
}

impl Book {
    /// (held, lost) of a person.
    fn balance(&self, who: u32) -> (u64, u64) {
        let held = self.pages.values().filter(|page| !page.ended && page.inside.contains(&who));
        let lost = |page: &Page| page.lost.get(&who).copied().unwrap_or_default();
        (held.map(|page| ALL - lost(page)).sum(), self.pages.values().map(lost).sum())
    }

    fn reserve(&mut self, name: u8, at: u64) {
        if self.pages.contains_key(&name) {
            return;
        }
        let afford = |who: &u32| {
            let (held, lost) = self.balance(*who);
            held + lost + ALL <= 2 * ALL
        };
        let inside: BTreeSet<_> = self.consents.iter().copied().filter(afford).collect();
        let lost = inside.iter().map(|who| (*who, 0)).collect();
        let deadline = at + DEADLINE;
        self.pages.insert(name, Page { reserved: true, lost, inside, deadline, ..Page::default() });
    }

    /// Whether the order counts.
    fn round(&mut self, name: u8, (round, attempt, last): (u32, u32, bool), at: u64) -> bool {
        let consents = self.consents.clone();
        let Some(page) = self.pages.get_mut(&name).filter(|page| page.reserved) else { return false };
        if page.ended {
            return false;
        }
        // Of one Vault only whether the training stops makes one attempt at a round another release.
        let training = training_of(ROUNDS);
        let same_round = page.last.is_some_and(|(before, ..)| before == round);
        let mut extra = page.extra;
        if page.last.is_some_and(|(before, _, stopped, _)| before == round && stopped != last) {
            extra.steps += u32::from(!last);
            extra.evaluations += u32::from(training.evaluates(round, last));
        }
        let (steps, evaluations) = training.done(round, last);
        let loss = training.privacy.loss(steps + extra.steps, evaluations + extra.evaluations).unwrap().0;
        if let Some((before, tried, stopped, drawn)) = page.last {
            if (round, attempt, last) == (before, tried, stopped) {
                return true;
            }
            if round < before || (round == before && attempt <= tried) || loss < drawn {
                return false;
            }
        }
        if loss > ALL {
            return false;
        }
        if at >= page.deadline {
            return false;
        }
        // Whoever leaves, leaves between two rounds.
        page.inside.retain(|who| same_round || consents.contains(who));
        for who in &page.inside {
            page.lost.insert(*who, loss);
        }
        page.last = Some((round, attempt, last, loss));
        page.extra = extra;
        true
    }

    /// The command of a play, and whether it is to be obeyed.
    fn follow(&mut self, play: &Play, at: u64) -> (Command, bool) {
        match play {
            Play::Reserve(name) => {
                let fresh = !self.pages.contains_key(name);
                self.reserve(*name, at);
                (prepare_of(*name, "training", ALL, at + DEADLINE), fresh)
            }
            Play::Round { name, round, attempt } => {
                let mut order = order_of(*name, *round, *attempt);
                order.envelope.execute_by = OrderedMillis(u64::MAX);
                (ordered(order), self.round(*name, (*round, *attempt, *round > ROUNDS), at))
            }
            Play::Stop { name, round } => {
                let mut order = RoundOrder { last: true, ..order_of(*name, *round, 7) };
                order.envelope.execute_by = OrderedMillis(u64::MAX);
                (ordered(order), self.round(*name, (*round, 7, true), at))
            }
            Play::Release(name) => {
                self.end(*name);
                (release_of(*name), true)
            }
            Play::Expire => {
                let due = self.pages.iter().filter(|(_, page)| at >= page.deadline);
                let due: Vec<_> = due.map(|(name, _)| *name).collect();
                due.into_iter().for_each(|name| self.end(name));
                (Command::ExpireReservations, true)
            }
            Play::Say { who, yes } => {
                if *yes {
                    self.consents.insert(*who)
                } else {
                    self.consents.remove(who)
                };
                (say(*who, "training", if *yes { YES } else { Statement::Withdrawn }), true)
            }
            Play::Repeat(_) => unreachable!("a repetition is what it repeats"),
        }
    }

    fn end(&mut self, name: u8) {
        if let Some(page) = self.pages.get_mut(&name) {
            page.ended = true;
        }
    }
}

/// A person's history adds up to the balance.
fn summed(lines: &[Movement]) -> (u64, u64) {
    let of = |kind| lines.iter().filter(|line| line.kind == kind).map(|line| line.epsilon.0).sum::<u64>();
    let (held, lost) = (of(MovementKind::Reserve), of(MovementKind::Commit));
    (held - lost - of(MovementKind::Release), lost)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// R064, R066, R068, R069, D20: whatever is ordered, in whatever order and however often, the balances are those of the
    /// model and of each person's history, what is drawn never falls, and a journal read again gives the same state.
    #[test]
    fn draws_agree_with_a_model_under_every_interleaving(
        plays in proptest::collection::vec((play(), 0u64..120), 1..50),
    ) {
        let mut state = roomy();
        let mut book = Book { pages: BTreeMap::new(), consents: [0, 1, 2].into() };
        let (mut at, mut issued) = (2, Vec::<Play>::new());
        let mut journal = Vec::new();
        let first = state.clone();
        for (play, wait) in plays {
            at += wait;
            let play = match play {
                Play::Repeat(index) => issued.get(index).cloned().unwrap_or(Play::Expire),
                play => play,
            };
            let before: Vec<_> = (0..3).map(|who| balance(&state, who).1).collect();
            let (command, counts) = book.follow(&play, at);
            let answer = apply(&mut state, at, &command);
            // Another deadline makes a repeated preparation another question.
            if !matches!(play, Play::Reserve(_)) || counts {
                prop_assert_eq!(answer.is_ok(), counts, "{:?}: {:?}", &play, &answer);
            }
            if let Ok(events) = answer {
                journal.push((at, canonical::to_bytes(&events)));
                let again = decide(&state, OrderedMillis(at), &command);
                prop_assert!(again.is_ok_and(|events| events.is_empty()), "{:?} twice", &play);
            }
            for (who, was) in (0..3).zip(before) {
                prop_assert_eq!(balance(&state, who), book.balance(who), "{:?}, person {}", &play, who);
                prop_assert!(balance(&state, who).1 >= was);
                let lines = state.ledger.movements(&scope("training"), SubjectIndex(who));
                prop_assert_eq!(summed(&lines), balance(&state, who));
                prop_assert!(lines.is_sorted_by_key(|line| line.at));
            }
            issued.push(play);
        }
        let mut replayed = first;
        for (at, bytes) in &journal {
            for event in &bcs::from_bytes::<Vec<Event>>(bytes).unwrap() {
                evolve(&mut replayed, OrderedMillis(*at), event);
            }
        }
        prop_assert_eq!(canonical::to_bytes(&replayed), canonical::to_bytes(&state));
    }
}
