//! Modules through the sealed path: three Vaults, one aggregator, and what a submitter opens (R094-R096, R126).

use std::collections::BTreeMap;

use symphony_compute::material::MaterialBuilder;
use symphony_enclave::Modules;
use symphony_protocol::artifact::compute::{ComputePlan, ComputedResult, Parameters};
use symphony_protocol::artifact::module::InputKind;
use symphony_protocol::artifact::{AggregationMethod, Outcome, Plan, PrivacyClass, TaskEnvelope};
use symphony_protocol::governance::semantics::ValueType;
use symphony_protocol::vault::record::Value;
use symphony_tee::report::SignedReport;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{AttributeName, Commitment, VaultId};
use symphony_types::key::Document as _;
use symphony_types::subjects::SubjectIndex;
use symphony_types::time::{OrderedMillis, RecordMillis};
use symphony_wasm::catalogue::{self, Built};
use symphony_wire::documents::{decode, encode};
use symphony_wire::enclave::{Answer, ModuleCode, purpose};
use symphony_wire::sealed::seal;

use crate::stage::{Stage, aggregator, name_of, slice_with, vault};

/// People of each Vault.
const PEOPLE: u32 = 60;
/// One deviation of noise is far below one person.
const QUIET: Epsilon = Epsilon(1_000_000_000_000);

fn built(name: &str) -> Built {
    let module = catalogue::built().unwrap().into_iter().find(|one| one.declaration.name.as_str() == name);
    module.unwrap()
}

/// What a host tells an enclave to make ready.
pub(crate) fn ready(names: &[&str]) -> Vec<u8> {
    let code = |name: &&str| {
        let built = built(name);
        ModuleCode { code: built.bytes.to_vec(), declaration: built.declaration }
    };
    encode(&names.iter().map(code).collect::<Vec<_>>())
}

/// A computation over three Vaults.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) envelope: TaskEnvelope,
    materials: BTreeMap<VaultId, Vec<u8>>,
}

impl Scene {
    pub(crate) fn new(module: &str) -> Self {
        let mut stage = Stage::new();
        for number in 1..=3 {
            stage.slices.insert(vault(number), slice_with(number, Modules::prepare(&ready(&[module]))));
        }
        let mut envelope = stage.envelope(1, 1);
        let built = built(module);
        let numbers = match module {
            "histogram" => vec![0, 1_000_000, 500],
            _ => vec![0, 1_000_000, 2, 1_000, 1],
        };
        let listed = |input: &symphony_protocol::artifact::module::Input| match input.kind {
            InputKind::Listed { .. } => Some(vec!["cafe".to_owned()]),
            InputKind::Time | InputKind::Cents => None,
        };
        envelope.plan = Plan::Compute(ComputePlan {
            code: built.measurement,
            parameters: Parameters {
                numbers,
                lists: built.declaration.inputs.iter().filter_map(listed).collect(),
            },
            declaration: built.declaration,
            cohort: vec![],
            evaluated_at: OrderedMillis(1_000),
            combined_privacy_class: PrivacyClass::Sensitive,
            minimum_cohort: 50,
            epsilon: QUIET,
            people_max: 100,
            records_max: 1_000,
        });
        envelope.coordination.aggregation_method = AggregationMethod::Sum;
        let materials = (1..=3).map(|number| (vault(number), material(u32::from(number), PEOPLE)));
        Self { materials: materials.collect(), envelope, stage }
    }

    fn plan(&mut self) -> &mut ComputePlan {
        match &mut self.envelope.plan {
            Plan::Compute(plan) => plan,
            Plan::Audience(_) | Plan::Training(_) | Plan::Statistic(_) => panic!("no computation"),
        }
    }

    /// A Vault's slice.
    pub(crate) fn slice(&self, vault: &VaultId, review: bool) -> Answer {
        let order = self.stage.master.endorsed(self.envelope.clone());
        let keys = self.stage.open(&order);
        let mut assignment = self.stage.assignment(&self.envelope, vault, keys[vault].clone());
        assignment.review = review;
        let hpke = self.stage.slices[vault].boot.body.hpke_key;
        let sealed = seal(&hpke, purpose::MATERIAL, &assignment.digest().0, &self.materials[vault]).unwrap();
        self.stage.slices[vault]
            .call(&self.stage.evaluate_call(&self.stage.master.endorsed(assignment), sealed))
    }

    /// What the submitter opens.
    pub(crate) fn result(&self, review: bool) -> ComputedResult {
        let bundles = self.stage.slices.keys().map(|vault| match self.slice(vault, review) {
            Answer::Evaluated { bundle, .. } => (vault.clone(), bundle),
            other => panic!("{}", name_of(&other)),
        });
        let order = self.stage.master.endorsed(self.envelope.clone());
        let call = self.stage.aggregate_call(&order, bundles.collect());
        let Answer::Aggregated { header, sealed, .. } = self.stage.aggregator.call(&call) else {
            panic!("not aggregated")
        };
        let opened = self.stage.submitter.open(purpose::RESULT, &encode(&self.envelope.task), &sealed);
        let result: ComputedResult = decode(&opened.unwrap()).unwrap();
        assert_eq!(header.body.outcome, result.outcome);
        result
    }

    /// The histogram by its definition: a person's spend in steps of 5.00.
    pub(crate) fn expected(&self) -> Vec<i64> {
        let mut cells = vec![0; 32];
        for number in 1..=3 {
            for subject in 0..PEOPLE {
                let spend: u64 = purchases(number, subject).map(|(_, amount)| amount).sum();
                cells[(spend / 500).min(31) as usize] += 1;
            }
        }
        cells
    }
}

/// When a person bought, and for how much.
fn purchases(vault: u32, subject: u32) -> impl Iterator<Item = (u64, u64)> {
    (0..=subject % 4).map(move |at| (100 + u64::from(at), u64::from(150 * vault + 70 * subject % 900 + at)))
}

fn material(number: u32, people: u32) -> Vec<u8> {
    let name = |text: &str| AttributeName::new(text).unwrap();
    let (date, amount, merchant) =
        (name("commerce.purchase_date"), name("commerce.amount"), name("commerce.merchant"));
    let types = BTreeMap::from([
        (date.clone(), ValueType::Time),
        (amount.clone(), ValueType::Cents),
        (merchant.clone(), ValueType::Text),
    ]);
    let mut builder = MaterialBuilder::new(&types).unwrap();
    for subject in 0..people {
        builder.person(SubjectIndex(subject), &format!("person-{number}-{subject}@example.org")).unwrap();
        for (at, cents) in purchases(number, subject) {
            let values = BTreeMap::from([
                (date.clone(), Value::Time(RecordMillis(at))),
                (amount.clone(), Value::Cents(cents)),
                (merchant.clone(), Value::Text(" Cafe".into())),
            ]);
            let commitment = Commitment(Digest::of("test/record", &(number, subject, at)));
            builder.push(SubjectIndex(subject), &commitment, &values).unwrap();
        }
    }
    builder.finish().unwrap().to_vec()
}

fn refusal(answer: &Answer) -> Code {
    match answer {
        Answer::Refused { code, .. } => *code,
        other => panic!("{}", name_of(other)),
    }
}

/// R094, R096, R116: sums of all Vaults, under the module's hash in the report; another aggregator's enclave comes to the
/// same answer, whatever its keys, because the seed is the slices'.
#[test]
fn the_cells_of_all_vaults_add_up_and_every_aggregator_agrees() {
    let mut scene = Scene::new("histogram");
    let result = scene.result(false);
    assert_eq!(result.groups[0].cells, scene.expected());
    assert_eq!((result.vaults, result.groups[0].name.as_str()), (3, "people"));
    let Answer::Evaluated { report, derived, .. } = scene.slice(&vault(1), false) else { panic!("no slice") };
    let report: SignedReport = decode(&report).unwrap();
    let ran = report.body.module.unwrap();
    let plan = scene.plan();
    assert_eq!((ran.code, ran.fuel_max), (plan.code, plan.fuel_max()));
    assert_eq!(ran.fuel_schedule, "wasmtime-48");
    assert!(derived.is_empty());
    plan.epsilon = Epsilon(300_000);
    let noised = scene.result(false);
    assert_ne!(noised.groups[0].cells, scene.expected());
    scene.stage.aggregator = aggregator(60);
    assert_eq!(scene.result(true), noised, "the review of another aggregator");
}

/// R094: a derived attribute stays in the Vault; what leaves is how many people have one.
#[test]
fn derived_values_go_to_the_vault_and_only_their_number_to_the_submitter() {
    let scene = Scene::new("eligibility");
    let result = scene.result(false);
    assert_eq!(result.groups[0].cells, [i64::from(3 * PEOPLE)]);
    let Answer::Evaluated { derived, .. } = scene.slice(&vault(2), false) else { panic!("no slice") };
    assert_eq!(derived.len(), PEOPLE as usize);
    let eligible = |subject: u32| {
        let spend: u64 = purchases(2, subject).map(|(_, amount)| amount).sum();
        u64::from(purchases(2, subject).count() >= 2 && spend >= 1_000)
    };
    assert!(derived.iter().all(|(subject, value)| *value == eligible(subject.0)), "{derived:?}");
    assert!(derived.iter().any(|(_, value)| *value == 1) && derived.iter().any(|(_, value)| *value == 0));
}

/// R088: too few people answer nothing, in a slice and in all of them together.
#[test]
fn few_people_are_suppressed() {
    let mut scene = Scene::new("histogram");
    scene.materials.insert(vault(1), material(1, 49));
    let result = scene.result(false);
    assert_eq!(result.vaults, 2, "the slice of 49 people tells nothing");
    scene.materials.insert(vault(2), material(2, 49));
    scene.materials.insert(vault(3), material(3, 49));
    let result = scene.result(false);
    assert_eq!((result.outcome, result.groups.len()), (Outcome::Suppressed, 0));
}

/// R094, R095: what is not there is wanted, what is broken is refused, what is over the limits of the task ends without an
/// output.
#[test]
fn a_run_outside_of_its_limits_has_no_output() {
    let mut scene = Scene::new("histogram");
    scene.plan().people_max = PEOPLE - 1;
    assert_eq!(refusal(&scene.slice(&vault(1), false)), Code::ModuleStopped);
    let mut scene = Scene::new("histogram");
    scene.plan().records_max = 10;
    assert_eq!(refusal(&scene.slice(&vault(1), false)), Code::ModuleStopped);

    let mut scene = Scene::new("histogram");
    scene.plan().code = Digest([9; 32]);
    assert!(matches!(scene.slice(&vault(1), false), Answer::ModuleWanted));

    let mut broken = built("histogram");
    broken.declaration.words_max = 0;
    let broken = vec![ModuleCode { code: broken.bytes.to_vec(), declaration: broken.declaration }];
    let scene = Scene::new("histogram");
    let mut scene = scene;
    scene.stage.slices.insert(vault(1), slice_with(1, Modules::prepare(&encode(&broken))));
    assert_eq!(refusal(&scene.slice(&vault(1), false)), Code::ModuleRefused);
    assert_eq!(Modules::prepare(b"rubbish").len(), 0);
}
