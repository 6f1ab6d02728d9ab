//! Rounds of a task: parts of Vaults, and what the aggregator makes of them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use symphony_protocol::artifact::training::{
    Environment, Family, Feature, Label, Local, ModelKind, PrivacyTerms, Scale as Fixed, Training,
    TrainingPlan,
};
use symphony_protocol::artifact::{Predicate, PrivacyClass, ResolvedOperand};
use symphony_protocol::governance::semantics::ValueType;
use symphony_protocol::lifecycle::training::Position;
use symphony_protocol::vault::record::Value;
use symphony_types::id::{AttributeName, Commitment, RuleName, TaskId};
use symphony_types::subjects::SubjectIndex;
use symphony_types::time::{OrderedMillis, RecordMillis};

use super::*;
use crate::material::{MaterialBuilder, read};
use crate::train::evaluate::PERSON;
use crate::train::gathering::{Combined, Gathering, Stage};
use crate::train::grid::CLIP_UNITS;
use crate::train::part::Part;
use crate::train::people::People;

pub(super) const TASK: TaskId = TaskId(Digest([3; 32]));
const DAY: u64 = 86_400_000;

fn name(text: &str) -> AttributeName {
    AttributeName::new(text).unwrap()
}

pub(super) fn plan(model: ModelKind) -> TrainingPlan {
    let toys = ResolvedOperand {
        rule: RuleName::new("any.rule").unwrap(),
        attribute: name("commerce.category"),
        predicate: Predicate::TextEquals("toys".into()),
    };
    let scale = Fixed { logarithm: false, centre: 5_000_000, spread: 3_000_000, bound: 4_000 };
    let feature = |family, filter| Feature { family, filter, days: 30, scale };
    let features = vec![
        feature(Family::Frequency, vec![toys.clone()]),
        feature(Family::Frequency, vec![]),
        feature(Family::Sum(name("commerce.amount")), vec![]),
    ];
    let labelled =
        matches!(model, ModelKind::Logistic | ModelKind::LocalLogistic(_) | ModelKind::Perceptron { .. });
    let listed = matches!(model, ModelKind::Affinity { .. });
    let training = Training {
        model,
        time: name("commerce.purchase_date"),
        cohort: Vec::new(),
        features: if listed { Vec::new() } else { features },
        label: labelled.then(|| Label { condition: vec![toys], days: 10 }),
        settings: Settings::PLAIN,
        privacy: PrivacyTerms { noise: 500, sampling: EVERYBODY, evaluation_noise: 500, delta: 1 },
        rounds: 3,
        evaluate_every: 2,
        patience: 0,
        held_out: 300,
        accept_from: 0,
    };
    let combined_privacy_class = PrivacyClass::Sensitive;
    let evaluated_at = OrderedMillis(100 * DAY);
    TrainingPlan {
        training,
        evaluated_at,
        combined_privacy_class,
        minimum_cohort: 20,
        environment: Environment::Tee,
    }
}

pub(super) fn four_kinds() -> [ModelKind; 4] {
    let items = ["food", "music", "toys"].map(String::from).to_vec();
    [
        ModelKind::Logistic,
        ModelKind::Perceptron { hidden: 3 },
        ModelKind::Clusters { clusters: 2 },
        ModelKind::Affinity { rank: 2, attribute: name("commerce.category"), items, days: 30, best: 1 },
    ]
}

/// Five steps a round, as long as the norm allows them to be.
pub(super) const LOCAL: Local = Local { steps: 5, rate: 250_000, norm: 4_000 };

/// All of them, and logistic regression with local steps.
pub(super) fn all_kinds() -> Vec<ModelKind> {
    four_kinds().into_iter().chain([ModelKind::LocalLogistic(LOCAL)]).collect()
}

/// Invented buyers: who has bought toys buys toys.
fn people(plan: &TrainingPlan, vault: u64, count: u32) -> People {
    let types = [
        (name("commerce.purchase_date"), ValueType::Time),
        (name("commerce.amount"), ValueType::Cents),
        (name("commerce.category"), ValueType::Text),
    ];
    let mut builder = MaterialBuilder::new(&types.into()).unwrap();
    let mut stream = ChaCha20Rng::from_seed(seed(vault).0);
    for who in 0..count {
        builder.person(SubjectIndex(who), &format!("{vault}-{who}@x.org")).unwrap();
        let fond = stream.random::<u32>().is_multiple_of(2);
        for _ in 0..10 {
            let toys = stream.random::<u32>() % 10 < if fond { 8 } else { 1 };
            let other = if stream.random::<u32>().is_multiple_of(2) { "food" } else { "music" };
            let day = 90 + stream.random::<u64>() % 15;
            let values = BTreeMap::from([
                (name("commerce.purchase_date"), Value::Time(RecordMillis(day * DAY))),
                (name("commerce.amount"), Value::Cents(stream.random::<u64>() % 200)),
                (name("commerce.category"), Value::Text(if toys { "toys" } else { other }.into())),
            ]);
            builder.push(SubjectIndex(who), &Commitment(Digest::ZERO), &values).unwrap();
        }
    }
    People::read(plan, &read(builder.finish().unwrap().to_vec()).unwrap(), &[1; 32]).unwrap()
}

pub(super) fn three(plan: &TrainingPlan, count: u32) -> Vec<(VaultId, People)> {
    (1..=3).map(|number| (vault(&format!("vault-{number}")), people(plan, number, count))).collect()
}

pub(super) fn part(
    plan: &TrainingPlan,
    at: &Position,
    learner: &Learner,
    (vault, people): &(VaultId, People),
) -> Part {
    let seed = Digest::of_bytes(vault.as_str().as_bytes());
    let mut part = Part::compute(&stage(plan, at), vault, learner, people, seed).unwrap();
    part.share = seed.0;
    part
}

/// A round of about 300 people.
pub(super) fn stage<'a>(plan: &'a TrainingPlan, position: &'a Position) -> Stage<'a> {
    static VAULTS: LazyLock<Vec<VaultId>> =
        LazyLock::new(|| (1..=3).map(|number| vault(&format!("vault-{number}"))).collect());
    Stage { task: TASK, plan, position, vaults: &VAULTS, subjects: &[100; 3] }
}

pub(super) fn combined(
    plan: &TrainingPlan,
    at: &Position,
    learner: &Learner,
    parts: &[(VaultId, Part)],
) -> Result<Combined, TrainError> {
    let stage = stage(plan, at);
    let mut gathering = Gathering::new(&stage);
    for (vault, part) in parts {
        gathering.add(&stage, vault, part)?;
    }
    gathering.finish(&stage, learner)
}

pub(super) fn round(
    plan: &TrainingPlan,
    at: &Position,
    learner: &Learner,
    vaults: &[(VaultId, People)],
) -> Combined {
    let parts: Vec<_> =
        vaults.iter().map(|vault| (vault.0.clone(), part(plan, at, learner, vault))).collect();
    combined(plan, at, learner, &parts).unwrap()
}

/// A round that begins with an evaluation.
pub(super) fn due() -> Position {
    Position::of(3, false, Digest::ZERO)
}

pub(super) fn initial(plan: &TrainingPlan) -> Learner {
    Learner::initial(plan.training.shape(), TASK).unwrap()
}

/// R097, R098, R100: evaluations when they are due, steps but in the last round, and a model that has learnt.
#[test]
fn a_training_goes_round_by_round() {
    let mut plan = plan(ModelKind::Logistic);
    plan.training.rounds = 12;
    let vaults = three(&plan, 400);
    let (mut learner, mut at) = (initial(&plan), Position::of(1, false, Digest::ZERO));
    let mut qualities = Vec::new();
    for number in 1..=12 {
        let made = round(&plan, &at, &learner, &vaults);
        assert_eq!(made.evaluation.is_some(), number > 1 && number % 2 == 1);
        qualities.extend(made.evaluation.map(|evaluation| evaluation.quality));
        assert_eq!(made.sums.len(), 4);
        learner = made.next.unwrap();
        at = Position::of(number + 1, number == 12, learner.digest());
    }
    let made = round(&plan, &at, &learner, &vaults);
    let last = made.evaluation.unwrap();
    assert!(made.next.is_none() && made.sums.is_empty());
    assert_eq!(qualities.len(), 5);
    // The fond buy toys almost surely, others one time in three.
    assert!(last.quality > 700_000, "{}", last.quality);
    assert!(last.log_loss.unwrap() < 650_000 && last.calibration_error.unwrap() < 250_000);
}

/// R097, R102: all models; the same parts make the same bytes, another round other noise.
#[test]
fn a_repeated_round_is_the_same_and_another_is_not() {
    for model in all_kinds() {
        let plan = plan(model);
        let vaults = three(&plan, 60);
        let learner = initial(&plan);
        let first = due();
        let one = round(&plan, &first, &learner, &vaults);
        assert_eq!(one, round(&plan, &first, &learner, &vaults));
        assert!(one.evaluation.is_some());
        // Sampling is of everybody, so the exact sums are those of the first round.
        let again = round(&plan, &Position::of(5, false, Digest::ZERO), &learner, &vaults);
        assert!(one.sums.iter().zip(&again.sums).all(|(one, other)| one != other));
        assert_ne!(one.seed, again.seed);
    }
}

/// R098: noise is as wide as the plan says, and no wider.
#[test]
fn the_sums_carry_the_noise_of_the_plan() {
    let plan = plan(ModelKind::Perceptron { hidden: 40 });
    let vaults = three(&plan, 60);
    let (learner, at) = (initial(&plan), Position::of(2, false, Digest::ZERO));
    let made = round(&plan, &at, &learner, &vaults);
    let mut exact = vec![0_i64; made.sums.len()];
    for vault in &vaults {
        let part = part(&plan, &at, &learner, vault);
        assert!(part.counts.is_empty() && part.evaluated == 0);
        exact.iter_mut().zip(&part.sums).for_each(|(sum, more)| *sum += more);
    }
    let squares: f64 = made
        .sums
        .iter()
        .zip(&exact)
        .map(|(noised, exact)| ((noised - exact) as f64 / CLIP_UNITS as f64).powi(2))
        .sum();
    let deviation = (squares / exact.len() as f64).sqrt();
    // 201 numbers: the deviation of a half lies within a fifth of it.
    assert!((0.4..0.6).contains(&deviation), "{deviation}");
}

/// R099: a part that nobody can make names its Vault, and the round goes on without it.
#[test]
fn a_bad_part_names_its_vault_and_spoils_nothing() {
    for model in all_kinds() {
        let plan = plan(model);
        let vaults = three(&plan, 60);
        let (learner, at) = (initial(&plan), due());
        let parts: Vec<Part> = vaults.iter().map(|vault| part(&plan, &at, &learner, vault)).collect();
        let bad = |change: &dyn Fn(&mut Part)| {
            let mut bad = parts[1].clone();
            change(&mut bad);
            bad
        };
        let shape = TrainError::UpdateShape(vaults[1].0.clone());
        let bound = TrainError::UpdateBound(vaults[1].0.clone());
        let cases: [(Part, &TrainError); 11] = [
            (bad(&|part| part.sums.truncate(1)), &shape),
            (bad(&|part| part.sums.clear()), &shape),
            (bad(&|part| part.counts.push(0)), &shape),
            (bad(&|part| part.counts.clear()), &shape),
            (bad(&|part| part.sums[0] = (i64::from(part.subjects) + 1) * CLIP_UNITS), &bound),
            (bad(&|part| part.sums[0] = i64::MIN), &bound),
            (bad(&|part| part.subjects = u32::MAX), &bound),
            (bad(&|part| part.evaluated += 1), &bound),
            (bad(&|part| *part.counts.last_mut().unwrap() += 1), &bound),
            (bad(&|part| part.counts[0] = -PERSON), &bound),
            (bad(&|part| *part.counts.last_mut().unwrap() = i64::MAX), &bound),
        ];
        let stage = stage(&plan, &at);
        let mut gathering = Gathering::new(&stage);
        gathering.add(&stage, &vaults[0].0, &parts[0]).unwrap();
        for (number, (part, error)) in cases.iter().enumerate() {
            assert_eq!(gathering.add(&stage, &vaults[1].0, part).as_ref(), Err(*error), "case {number}");
        }
        let again = gathering.add(&stage, &vaults[0].0, &parts[0]);
        assert_eq!(again, Err(TrainError::UpdateTurn(vaults[0].0.clone())));
        gathering.add(&stage, &vaults[2].0, &parts[2]).unwrap();
        let without = [(vaults[0].0.clone(), parts[0].clone()), (vaults[2].0.clone(), parts[2].clone())];
        assert_eq!(gathering.finish(&stage, &learner), combined(&plan, &at, &learner, &without));
    }
}

/// R099: sums that come in pieces, those of all Vaults mixed, make what whole parts make; a piece too many, too few or beyond
/// the bound names its Vault and spoils the round.
#[test]
fn parts_in_pieces_make_the_same_round() {
    let plan = plan(ModelKind::Perceptron { hidden: 3 });
    let vaults = three(&plan, 60);
    let (learner, at) = (initial(&plan), due());
    let stage = stage(&plan, &at);
    let parts: Vec<_> =
        vaults.iter().map(|vault| (vault.0.clone(), part(&plan, &at, &learner, vault))).collect();
    let first = |part: &Part| {
        let mut first = part.clone();
        first.sums.truncate(7);
        first
    };
    let mut gathering = Gathering::new(&stage);
    for (vault, part) in parts.iter().rev() {
        gathering.begin(&stage, vault, &first(part)).unwrap();
    }
    for (vault, part) in &parts {
        gathering.more(vault, &part.sums[7..9], false).unwrap();
    }
    for (vault, part) in &parts {
        gathering.more(vault, &part.sums[9..], true).unwrap();
    }
    assert_eq!(gathering.finish(&stage, &learner), combined(&plan, &at, &learner, &parts));

    let (vault, part) = &parts[1];
    let shape = Err(TrainError::UpdateShape(vault.clone()));
    let bound = Err(TrainError::UpdateBound(vault.clone()));
    let far = [i64::from(part.subjects + 1) * CLIP_UNITS];
    let long = vec![0; part.sums.len()];
    for (more, last, error) in
        [(&long[..], true, &shape), (&part.sums[7..9], true, &shape), (&far, false, &bound)]
    {
        let mut gathering = Gathering::new(&stage);
        gathering.begin(&stage, vault, &first(part)).unwrap();
        assert_eq!(&gathering.more(vault, more, last), error);
        assert_eq!(gathering.finish(&stage, &learner), Err(TrainError::Incomplete));
    }
    let mut open = Gathering::new(&stage);
    open.begin(&stage, vault, &first(part)).unwrap();
    assert_eq!(open.finish(&stage, &learner), Err(TrainError::Incomplete));
}

/// R098: fewer people than the minimum train nothing, and are not evaluated on.
#[test]
fn too_few_people_are_neither_trained_nor_evaluated_on() {
    let mut plan = plan(ModelKind::Logistic);
    let vaults = three(&plan, 60);
    let (learner, at) = (initial(&plan), due());
    let parts: Vec<_> =
        vaults.iter().map(|vault| (vault.0.clone(), part(&plan, &at, &learner, vault))).collect();
    let total = |of: &dyn Fn(&Part) -> u32| parts.iter().map(|(_, part)| of(part)).sum::<u32>();
    let (trained, evaluated) = (total(&|part| part.subjects), total(&|part| part.evaluated));
    assert!(trained + evaluated == 180 && evaluated > 20);
    plan.minimum_cohort = evaluated;
    assert!(combined(&plan, &at, &learner, &parts).unwrap().evaluation.is_some());
    plan.minimum_cohort = evaluated + 1;
    assert!(combined(&plan, &at, &learner, &parts).unwrap().evaluation.is_none());
    plan.minimum_cohort = trained;
    assert!(combined(&plan, &at, &learner, &parts).is_ok());
    plan.minimum_cohort = trained + 1;
    assert_eq!(combined(&plan, &at, &learner, &parts), Err(TrainError::TooFew));
}

/// R098: a part has the same bytes on one thread and on four.
#[test]
fn parts_do_not_depend_on_threads() {
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    for model in all_kinds() {
        let mut plan = plan(model);
        plan.training.privacy.sampling = EVERYBODY / 3;
        let own = (vault("vault-1"), people(&plan, 1, 900));
        let (learner, at) = (initial(&plan), Position::of(1, false, Digest::ZERO));
        let bytes =
            |threads| pool(threads).install(|| bcs::to_bytes(&part(&plan, &at, &learner, &own)).unwrap());
        assert!(bytes(1) == bytes(4));
    }
}

/// R098: parts, noise, figures and steps of all rounds of a training have the same bytes on one, two and four threads, on
/// every machine and in every build. Run with `SYMPHONY_WRITE_VECTORS=1` to write them anew.
#[test]
fn rounds_conform_on_any_number_of_threads() {
    rounds_conform("training_rounds.json", &four_kinds());
}

/// R098, R099, R112: the same of a training with local steps.
#[test]
fn rounds_of_local_steps_conform_on_any_number_of_threads() {
    rounds_conform("local_rounds.json", &[ModelKind::LocalLogistic(LOCAL)]);
}

fn rounds_conform(file: &str, models: &[ModelKind]) {
    let mut rounds = serde_json::Map::new();
    for model in models.iter().cloned() {
        let mut plan = plan(model);
        plan.training.privacy.sampling = EVERYBODY / 2;
        // Enough people for several ranges of rows a Vault on four threads.
        let vaults = three(&plan, 1_000);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| whole(&plan, &vaults))
        };
        let digests = with(1);
        for threads in [2, 4] {
            assert_eq!(digests, with(threads), "{threads} threads, {:?}", plan.training.model);
        }
        rounds.insert(format!("{:?}", plan.training.shape()), digests.into());
    }
    let about = "a digest over the noised sums, the evaluation and the next learner of each round of the trainings that the \
                 test makes out of a seed; the same on every machine";
    let computed = serde_json::json!({ "about": about, "rounds": rounds });
    if std::env::var_os("SYMPHONY_WRITE_VECTORS").is_some() {
        let text = format!("{}\n", serde_json::to_string_pretty(&computed).unwrap());
        std::fs::write(std::path::Path::new("../../vectors").join(file), text).unwrap();
    }
    assert_eq!(vector(file), computed);
}

/// The digests of all rounds of a training, the last one among them.
fn whole(plan: &TrainingPlan, vaults: &[(VaultId, People)]) -> Vec<String> {
    let (mut learner, mut state) = (initial(plan), Digest::ZERO);
    let mut digests = Vec::new();
    for number in 1..=plan.training.rounds + 1 {
        let at = Position::of(number, number > plan.training.rounds, state);
        let made = round(plan, &at, &learner, vaults);
        let next = made.next.as_ref().map(Learner::digest);
        digests.push(Digest::of("test/round", &(next, made.sums, made.evaluation)).to_string());
        (learner, state) = (made.next.unwrap_or(learner), next.unwrap_or(state));
    }
    digests
}

/// R102: what a learner is goes through its bytes unchanged, and another has another digest.
#[test]
fn a_learner_goes_on_from_its_bytes() {
    let plan = plan(ModelKind::Perceptron { hidden: 3 });
    let shape = plan.training.shape();
    let vaults = three(&plan, 60);
    let first = initial(&plan);
    let learner = round(&plan, &Position::of(1, false, Digest::ZERO), &first, &vaults).next.unwrap();
    let bytes = learner.bytes();
    assert_eq!(bytes.len(), 2 * 8 * shape.parameters());
    let again = Learner::from_bytes(shape, &bytes).unwrap();
    assert_eq!((again.digest(), &again), (learner.digest(), &learner));
    assert_ne!(Learner::new(learner.model().clone()).digest(), learner.digest());

    let at = |state: &Digest, bytes: Option<&[u8]>| Learner::at(shape, TASK, state, bytes);
    assert_eq!(at(&Digest::ZERO, None), Ok(first.clone()));
    assert_eq!(at(&learner.digest(), Some(&bytes)), Ok(learner.clone()));
    let wrong = Err(TrainError::Learner);
    assert_eq!(at(&Digest::ZERO, Some(&bytes)), wrong);
    assert_eq!(at(&learner.digest(), None), wrong);
    assert_eq!(at(&learner.digest(), Some(&first.bytes())), wrong);
    assert!(matches!(at(&learner.digest(), Some(&bytes[8..])), Err(TrainError::Shape(_))));
    let mut infinite = bytes;
    infinite[..8].copy_from_slice(&f64::INFINITY.to_le_bytes());
    assert!(matches!(Learner::from_bytes(shape, &infinite), Err(TrainError::NotFinite(_))));
    assert_ne!(
        Learner::initial(shape, TaskId(Digest([4; 32]))).unwrap().digest(),
        Learner::initial(shape, TASK).unwrap().digest()
    );
}
