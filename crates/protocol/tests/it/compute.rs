//! Computations (R094-R096): what is admitted and what it costs, every ending undisturbed, doubled and crashed, a run that is
//! made again, and modules that come and go by proposals.

use std::collections::BTreeMap;

use symphony_protocol::admission::request::{Terms, terms};
use symphony_protocol::artifact::challenge::*;
use symphony_protocol::artifact::compute::*;
use symphony_protocol::artifact::module::*;
use symphony_protocol::artifact::training::Round;
use symphony_protocol::artifact::*;
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::approval::{ApprovedModule, Mark};
use symphony_protocol::governance::change::Change;
use symphony_protocol::lifecycle::{Task, TaskState};
use symphony_protocol::machine::*;
use symphony_types::amount::Sym;
use symphony_types::canonical::to_bytes;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{GovernanceSequence, ModuleName, RequestId, TaskId};
use symphony_types::key::Vault;
use symphony_types::limits::{MODULE_BYTES_MAX, SUBJECTS_PER_VAULT_MAX};

use crate::flow::assert_nothing_is_left;
use crate::stage::{self, PLENTY, START, actor, attribute, key, operand, scope, vault};
use crate::world::{self, Act, Disturbance, Script, World};

/// The bytes of the module of these tests.
const CODE: &[u8] = b"spend by category, 1";

/// Spend of people by merchant and time: eight sums cut at 100.00, three touches a person, and eight counts.
pub(crate) fn declaration() -> Declaration {
    let input = |name: &str, kind| Input { attribute: attribute(name), kind };
    let group = |name: &str, unit, clip, touches| Group { name: name.into(), unit, cells: 8, clip, touches };
    Declaration {
        name: ModuleName::new("spend").unwrap(),
        version: 1,
        isolation: Isolation::Pure,
        float_mode: FloatMode::None,
        privacy_class: PrivacyClass::Sensitive,
        inputs: vec![
            input("commerce.purchase_date", InputKind::Time),
            input("commerce.amount", InputKind::Cents),
            input("commerce.category", InputKind::Listed { texts_max: 8 }),
        ],
        order: None,
        parameters: vec![ParameterRange { name: "from_ms".into(), min: 0, max: 1 << 40 }],
        rows_max: 100,
        words_max: 8,
        output: OutputShape::Aggregate(vec![
            group("spend", Unit::Cents, 10_000, 3),
            group("people", Unit::Count, 1, 8),
        ]),
        fuel_base: 1_000,
        fuel_row: 10,
    }
}

fn approved() -> ApprovedModule {
    ApprovedModule {
        about: "Spend by category.".into(),
        declaration: declaration(),
        source: Digest([1; 32]),
        recipe: Digest([2; 32]),
        approved: Mark::FOUNDED,
        revoked: None,
    }
}

/// The governance of the stage with the module.
fn governance() -> Governance {
    let mut governance = stage::governance();
    governance.registry.modules.insert(Digest::of_bytes(CODE), approved());
    governance
}

/// The computation: the spend of a city's buyers by category, from three Vaults of which two must answer.
pub(crate) fn computation(request: &str) -> TaskRequest {
    TaskRequest {
        request: RequestId::new(request).unwrap(),
        submitter: actor(stage::SUBMITTER),
        scope: scope("marketing"),
        vaults: ["vault-c", "vault-a", "vault-b"].map(vault).into(),
        quorum: 2,
        work: Work::Compute(ComputeRequest {
            module: ModuleName::new("spend").unwrap(),
            numbers: BTreeMap::from([("from_ms".into(), 1_000)]),
            lists: BTreeMap::from([(attribute("commerce.category"), vec![" Coffee".into(), "tea".into()])]),
            cohort: vec![operand("geography.city_eligibility", Argument::Text("Shanghai".into()))],
            epsilon: Epsilon(400_000),
            people_max: 100_000,
            records_max: 1_000_000,
            evaluate_at: None,
        }),
        recipient: vec![9; 32],
    }
}

fn asked(request: &mut TaskRequest) -> &mut ComputeRequest {
    match &mut request.work {
        Work::Compute(asked) => asked,
        Work::Audience(_) | Work::Training(_) | Work::Statistic(_) => panic!("no computation"),
    }
}

pub(crate) fn judged(request: &TaskRequest) -> Result<Terms, Code> {
    terms(&governance(), request, START)
}

fn world(script: Script) -> World {
    let mut world = World::new(script);
    world.state = State::genesis(governance());
    world
}

fn answer(of: &[u8]) -> Outcome {
    Outcome::Computed { answer: Digest::of_bytes(of) }
}

/// R018, R046, R094: names become the positions of the declaration, texts their compared form; the plan has everything that is
/// enforced, and what is reserved is the epsilon of the result.
#[test]
fn a_computation_is_bound_at_admission() {
    let terms = judged(&computation("c1")).unwrap();
    let Plan::Compute(plan) = &terms.plan else { panic!("no computation") };
    assert_eq!((plan.code, &plan.declaration), (Digest::of_bytes(CODE), &declaration()));
    assert_eq!(plan.parameters.numbers, [1_000]);
    assert_eq!(plan.parameters.lists, [["coffee", "tea"]]);
    assert_eq!(plan.combined_privacy_class, PrivacyClass::Sensitive);
    assert_eq!(plan.minimum_cohort, stage::policy().compute.minimum_cohort);
    assert_eq!((terms.plan.class(), plan.cohort.len()), (TaskClass::Compute, 1));
    assert_eq!(terms.charge, PrivacyCharge { exposure: Epsilon(0), noised: Epsilon(400_000) });
    assert!(terms.plan.attributes().contains(&attribute("commerce.amount")));
}

/// R094, R152: base 5, three Vaults at 1, fuel of the quote at 0.1 a billion, three million records at 0.5 a million, and
/// 3 x 0.4 epsilon at 2. The fuel: 8 words of 100,000 calls, and of a million rows padded by seven a person.
#[test]
fn the_quote_bounds_fuel_and_data() {
    let terms = judged(&computation("c1")).unwrap();
    let plan = terms.plan.compute().unwrap();
    assert_eq!(plan.fuel_max(), 8 * (1_000 * 100_000 + 10 * (1_000_000 + 7 * 100_000)));
    let fuel = Sym(3 * plan.fuel_max() / 100);
    let fee = Fee {
        base: Sym(500_000_000),
        vaults: Sym(300_000_000),
        records: Sym(150_000_000),
        aggregation: Sym(0),
        fuel,
        epsilon: Sym(240_000_000),
        total: Sym(500_000_000 + 300_000_000 + 150_000_000 + 240_000_000 + fuel.0),
    };
    assert_eq!(terms.worst_case, fee);
}

/// R096, D18: each group has its part of the epsilon, and a person in all Vaults moves each of them.
#[test]
fn noise_is_shared_by_groups_and_multiplied_by_vaults() {
    let terms = judged(&computation("c1")).unwrap();
    let plan = terms.plan.compute().unwrap();
    let scales: Vec<_> = plan.groups().iter().map(|group| plan.noise(group, 3)).collect();
    let scale =
        |sensitivity: u128| NoiseScale { numerator: sensitivity * 3 * 2 * 1_000_000, denominator: 400_000 };
    assert_eq!(scales, [scale(30_000), scale(8)]);
}

/// R016, R018, R094, R095: each with its code, and nothing is asked of a Vault.
#[test]
fn what_does_not_fit_module_or_policy_is_refused() {
    type Edit<'a> = &'a dyn Fn(&mut TaskRequest);
    let cases: [(&str, Code, Edit<'_>); 13] = [
        ("no such module", Code::ModuleUnknown, &|request| {
            asked(request).module = ModuleName::new("spent").unwrap();
        }),
        ("a parameter is missing", Code::SettingOutOfRange, &|request| asked(request).numbers.clear()),
        ("one too many", Code::SettingOutOfRange, &|request| {
            asked(request).numbers.insert("until_ms".into(), 1);
        }),
        ("out of its range", Code::SettingOutOfRange, &|request| {
            asked(request).numbers.insert("from_ms".into(), -1);
        }),
        ("a list is missing", Code::SettingOutOfRange, &|request| asked(request).lists.clear()),
        ("a list for what is none", Code::SettingOutOfRange, &|request| {
            asked(request).lists.insert(attribute("commerce.amount"), vec!["1".into()]);
        }),
        ("the same text twice", Code::SettingOutOfRange, &|request| {
            let twice = vec!["tea".into(), " TEA".into()];
            asked(request).lists.insert(attribute("commerce.category"), twice);
        }),
        ("no epsilon", Code::SettingOutOfRange, &|request| asked(request).epsilon = Epsilon::ZERO),
        ("too much of it", Code::SettingOutOfRange, &|request| asked(request).epsilon = Epsilon(1_000_001)),
        ("nobody", Code::SettingOutOfRange, &|request| asked(request).people_max = 0),
        ("too much fuel", Code::SettingOutOfRange, &|request| {
            asked(request).people_max = SUBJECTS_PER_VAULT_MAX
        }),
        ("an unknown rule", Code::AttributeUnknown, &|request| {
            asked(request).cohort = vec![operand("commerce.nothing", Argument::Days(1))];
        }),
        ("a scope of trainings", Code::ScopeUnsuited, &|request| {
            request.scope = scope("training");
            request.submitter = actor("trainer");
        }),
    ];
    for (name, code, change) in cases {
        let mut request = computation("c1");
        change(&mut request);
        assert_eq!(judged(&request).err(), Some(code), "{name}");
    }
}

/// Scripts that end a computation in every way there is.
fn endings() -> Vec<(&'static str, Script, TaskState)> {
    let all = Script { outcome: answer(b"cells"), ..Script::default() };
    let [serve, refuse, sleep] = [Act::Serve, Act::Refuse, Act::Sleep];
    vec![
        ("happy", all, TaskState::Completed),
        ("suppressed", Script { outcome: Outcome::Suppressed, ..all }, TaskState::Completed),
        ("one slice is lost", Script { slice: [serve, serve, refuse], ..all }, TaskState::Completed),
        ("quorum broken", Script { slice: [serve, refuse, refuse], ..all }, TaskState::Rejected),
        ("an audience", Script { outcome: Outcome::Audience { returned: 60 }, ..all }, TaskState::Rejected),
        ("verdict rejected", Script { verify: refuse, ..all }, TaskState::Rejected),
        ("slices time out", Script { slice: [sleep; 3], ..all }, TaskState::TimedOut),
        ("aggregate times out", Script { aggregate: sleep, ..all }, TaskState::TimedOut),
    ]
}

fn play(script: Script, disturbance: Disturbance) -> (World, TaskId) {
    let request = computation("c1");
    let mut world = world(script);
    world.submit(&request, PLENTY).unwrap();
    world.run(disturbance);
    (world, request.task())
}

/// R025, R036, R037, R125, R209, R217: every ending leaves nothing behind, doubled and crashed before every step.
#[test]
fn every_ending_leaves_nothing_behind_whatever_happens() {
    for (name, script, ending) in endings() {
        let (calm, task) = play(script, Disturbance::default());
        assert_eq!(calm.task(&task).state(), ending, "{name}");
        assert_nothing_is_left(&calm);
        let always = Disturbance { crash_always: true, twice: true, ..Disturbance::default() };
        let crashes = (0..20).map(|step| Disturbance { crash_at: Some(step), ..Disturbance::default() });
        for disturbance in crashes.chain([always]) {
            let (world, _) = play(script, disturbance);
            assert_eq!(to_bytes(&calm.state), to_bytes(&world.state), "{name}, {disturbance:?}");
            assert_nothing_is_left(&world);
        }
    }
}

/// R094, D5: what is charged follows from the sizes that the Vaults signed, rounded down, and never from more than the quote.
#[test]
fn the_charge_follows_from_the_sizes_of_the_slices() {
    let (world, task) = play(endings()[0].1, Disturbance::default());
    let known = world.task(&task);
    let plan = known.envelope.plan.compute().unwrap();
    let context = world.log.iter().find_map(|(_, event)| match event {
        Event::SettlementFinalized { context, .. } => Some(context),
        _ => None,
    });
    let context = context.expect("it is settled");
    let sizes: Vec<_> = ["vault-a", "vault-b", "vault-c"]
        .map(|name| world::slice(&known.envelope, &vault(name)).body)
        .map(|body| (body.coverage.0, body.records.0))
        .into();
    let fuel: u64 =
        sizes.iter().map(|(people, records)| plan.declaration.fuel_bound(*people, *records)).sum();
    assert_eq!(context.fee.fuel, Sym(fuel.div_ceil(100)));
    let records: u64 = sizes.iter().map(|(_, records)| records).sum();
    assert_eq!(context.fee.records, Sym((records * 50_000_000).div_ceil(1_000_000)));
    assert!(context.fee.total < context.locked);
    assert_eq!(context.refunded, context.locked.checked_sub(context.fee.total).unwrap());
}

/// The run as it was made again.
pub(crate) fn again(world: &World, task: &TaskId, outcome: Outcome) -> Round {
    let recorded = world.state.disputed(world.task(task), 1).unwrap();
    let slice = |slice: &SignedSlice| {
        let body = SliceHeader { attempt: slice.body.attempt + 1, ..slice.body.clone() };
        key::<Vault>(body.vault.as_str()).sign(body)
    };
    let slices: Vec<_> = recorded.slices.iter().map(slice).collect();
    let header = AggregateHeader { outcome, ..recorded.aggregate.body.clone() };
    let header = AggregateHeader { report: Digest::of_bytes(b"another report"), ..header };
    let aggregate = stage::enclave().sign(header);
    Round { slices, aggregate, ..recorded }
}

pub(crate) fn filing(task: &TaskId, round: u32) -> Filing {
    let grounds = "I count otherwise".to_owned();
    let (dispute, result) = (Dispute::Round(round), Digest::ZERO);
    Filing { task: *task, challenger: actor("operator-a"), dispute, result, grounds, exhibits: vec![] }
}

pub(crate) fn finding(world: &World, task: &TaskId, replay: Replay) -> Command {
    let finding = Finding { task: *task, challenge: 1, filing: 1, decision: Decision::Accepted, replay };
    Command::RecordFinding { finding: stage::endorsed(&world.state.governance.registry, finding) }
}

/// A world in which a computation awaits its end, and is disputed.
fn disputed() -> (World, TaskId) {
    let request = computation("c1");
    let task = request.task();
    let mut world = world(endings()[0].1);
    world.submit(&request, PLENTY).unwrap();
    let awaits = |task: &Task| task.state() == TaskState::AwaitingSettlement;
    while !world.state.tasks.get(&task).is_some_and(awaits) {
        assert!(world.step(false));
    }
    for round in [0, 2] {
        assert_eq!(world.challenge(&filing(&task, round)), Err(Code::Malformed), "run {round}");
    }
    world.challenge(&filing(&task, 1)).unwrap();
    (world, task)
}

/// R135, R140, R142: the same answer upholds the result, another one ends the task unpaid; a Vault may sign that it cannot.
#[test]
fn a_run_that_is_made_again_decides_a_dispute() {
    let (mut world, task) = disputed();
    let replay = again(&world, &task, answer(b"cells"));
    world.order(&finding(&world.clone(), &task, Replay::Computed(replay))).unwrap();
    assert_eq!(world.task(&task).state(), TaskState::AwaitingSettlement);
    world.run(Disturbance::default());
    assert_eq!(world.task(&task).state(), TaskState::Completed);
    assert_nothing_is_left(&world);

    let (mut world, task) = disputed();
    let replay = again(&world, &task, answer(b"other cells"));
    world.order(&finding(&world.clone(), &task, Replay::Computed(replay))).unwrap();
    assert_eq!(world.task(&task).state(), TaskState::Rejected);
    world.run(Disturbance::default());
    assert_nothing_is_left(&world);

    let (mut world, task) = disputed();
    let refusal = ReplayRefusal { task, round: 1, vault: vault("vault-b") };
    let refusal = Replay::Refused(key::<Vault>("vault-b").sign(refusal));
    world.order(&finding(&world.clone(), &task, refusal)).unwrap();
    assert_eq!(world.task(&task).state(), TaskState::AwaitingSettlement);
}

/// R140: what proves nothing is no finding: the run itself, slices of other Vaults' keys, too few of them, an outcome of
/// another class.
#[test]
fn a_run_that_is_none_decides_nothing() {
    let (world, task) = disputed();
    let recorded = world.state.disputed(world.task(&task), 1).unwrap();
    let good = || again(&world, &task, answer(b"other cells"));
    let mut few = good();
    few.slices.truncate(1);
    let mut forged = good();
    let body = forged.slices[0].body.clone();
    forged.slices[0] = key::<Vault>("vault-b").sign(body);
    let audience = again(&world, &task, Outcome::Audience { returned: 60 });
    for (name, replay) in [("itself", recorded), ("few", few), ("forged", forged), ("audience", audience)] {
        let command = finding(&world, &task, Replay::Computed(replay));
        assert!(world.clone().order(&command).is_err(), "{name}");
    }
    assert!(world.clone().order(&finding(&world, &task, Replay::None)).is_err(), "nothing");
    assert!(world.clone().order(&finding(&world, &task, Replay::Computed(good()))).is_ok());
}

fn approve(code: &[u8], declaration: Declaration) -> Change {
    let (source, recipe) = (Digest([1; 32]), Digest([2; 32]));
    Change::ApproveModule { about: "Spend.".into(), code: code.to_vec(), declaration, source, recipe }
}

/// R095: what cannot be enforced, reads what is not there or claims to be harmless is not approved; a name goes up in versions.
#[test]
fn a_module_that_does_not_fit_is_not_approved() {
    let governance = governance();
    let next = || Declaration { version: 2, ..declaration() };
    assert_eq!(approve(b"next", next()).check(&governance, START), Ok(()));
    let cases: [(&str, Change); 8] = [
        ("the same bytes", approve(CODE, next())),
        ("the same version", approve(b"next", declaration())),
        ("too many bytes", approve(&vec![0; MODULE_BYTES_MAX + 1], next())),
        ("no words", approve(b"next", Declaration { words_max: 0, ..next() })),
        ("an unknown attribute", {
            let mut declaration = next();
            declaration.inputs[0].attribute = attribute("commerce.nothing");
            approve(b"next", declaration)
        }),
        ("an attribute of another type", {
            let mut declaration = next();
            declaration.inputs[0].kind = InputKind::Cents;
            approve(b"next", declaration)
        }),
        ("harmless", approve(b"next", Declaration { privacy_class: PrivacyClass::Public, ..next() })),
        ("unknown to revoke", Change::RevokeModule { code: Digest::of_bytes(b"next") }),
    ];
    for (name, change) in cases {
        assert_eq!(change.check(&governance, START), Err(Code::ChangeUnfit), "{name}");
    }
}

/// R128, R129: tasks name the latest version; one that was admitted with an earlier one may still run; what is revoked runs no
/// more, at once.
#[test]
fn tasks_name_the_latest_module_that_is_not_revoked() {
    let mut governance = governance();
    let registry = &mut governance.registry;
    let name = ModuleName::new("spend").unwrap();
    let second = Digest::of_bytes(b"second");
    let mark = Mark { sequence: GovernanceSequence(7), ..Mark::FOUNDED };
    let declaration = Declaration { version: 2, ..declaration() };
    registry.modules.insert(second, ApprovedModule { declaration, approved: mark, ..approved() });
    let first = Digest::of_bytes(CODE);
    assert_eq!(registry.module(&name).unwrap().0, second);
    assert!(registry.runs(&first, GovernanceSequence(0)) && registry.runs(&first, GovernanceSequence(9)));
    assert!(!registry.runs(&second, GovernanceSequence(6)) && registry.runs(&second, GovernanceSequence(7)));
    registry.modules.get_mut(&second).unwrap().revoked = Some(mark);
    assert_eq!(registry.module(&name).unwrap().0, first);
    assert!(!registry.runs(&second, GovernanceSequence(7)));
}
