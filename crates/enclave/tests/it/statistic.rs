//! Statistics through the sealed path: three Vaults, one aggregator, and what a submitter opens (R088, R092, R116, R126).

use std::collections::BTreeMap;

use symphony_compute::material::MaterialBuilder;
use symphony_protocol::artifact::selection::Selection;
use symphony_protocol::artifact::statistic::{Measure, StatisticPlan, StatisticResult};
use symphony_protocol::artifact::{
    AggregationMethod, Outcome, Plan, Predicate, PrivacyClass, ResolvedOperand, TaskEnvelope,
};
use symphony_protocol::governance::semantics::ValueType;
use symphony_protocol::vault::record::Value;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{AttributeName, Commitment, RuleName, VaultId};
use symphony_types::key::Document as _;
use symphony_types::subjects::SubjectIndex;
use symphony_types::time::OrderedMillis;
use symphony_wire::documents::{decode, encode};
use symphony_wire::enclave::{Answer, purpose};
use symphony_wire::sealed::seal;

use crate::stage::{Stage, aggregator, name_of, vault};

/// People of each Vault, of whom every third never bought coffee.
const PEOPLE: u32 = 60;

fn merchant() -> AttributeName {
    AttributeName::new("commerce.merchant").unwrap()
}

/// How many never bought coffee.
fn envelope(stage: &Stage, epsilon: u64, minimum: u32) -> TaskEnvelope {
    let mut envelope = stage.envelope(1, 1);
    let coffee = ResolvedOperand {
        rule: RuleName::new("commerce.merchant_is").unwrap(),
        attribute: merchant(),
        predicate: Predicate::TextEquals("coffee".into()),
    };
    envelope.plan = Plan::Statistic(StatisticPlan {
        who: Selection::Not(Box::new(Selection::record(vec![coffee]))),
        measure: Measure::People,
        combined_privacy_class: PrivacyClass::Sensitive,
        minimum_result_cardinality: minimum,
        epsilon: Epsilon(epsilon),
        evaluated_at: OrderedMillis(1_000),
    });
    envelope.coordination.aggregation_method = AggregationMethod::Sum;
    envelope
}

fn material(handles: bool) -> Vec<u8> {
    let mut builder = MaterialBuilder::new(&BTreeMap::from([(merchant(), ValueType::Text)])).unwrap();
    for subject in 0..PEOPLE {
        if handles {
            builder.person(SubjectIndex(subject), &format!("person-{subject}@example.org")).unwrap();
        }
        let bought = if subject % 3 == 0 { "tea" } else { " Coffee" };
        let values = BTreeMap::from([(merchant(), Value::Text(bought.into()))]);
        let commitment = Commitment(Digest::of("test/record", &subject));
        builder.push(SubjectIndex(subject), &commitment, &values).unwrap();
    }
    builder.finish().unwrap().to_vec()
}

fn slice(stage: &Stage, envelope: &TaskEnvelope, of: &VaultId, handles: bool) -> Answer {
    let keys = stage.open(&stage.master.endorsed(envelope.clone()));
    let assignment = stage.assignment(envelope, of, keys[of].clone());
    let key = stage.slices[of].boot.body.hpke_key;
    let sealed = seal(&key, purpose::MATERIAL, &assignment.digest().0, &material(handles)).unwrap();
    stage.slices[of].call(&stage.evaluate_call(&stage.master.endorsed(assignment), sealed))
}

fn result(stage: &Stage, envelope: &TaskEnvelope) -> StatisticResult {
    let bundles = stage.slices.keys().map(|vault| match slice(stage, envelope, vault, false) {
        Answer::Evaluated { bundle, .. } => (vault.clone(), bundle),
        other => panic!("{}", name_of(&other)),
    });
    let call = stage.aggregate_call(&stage.master.endorsed(envelope.clone()), bundles.collect());
    let Answer::Aggregated { header, sealed, .. } = stage.aggregator.call(&call) else {
        panic!("not aggregated")
    };
    let opened = stage.submitter.open(purpose::RESULT, &encode(&envelope.task), &sealed).unwrap();
    let result: StatisticResult = decode(&opened).unwrap();
    assert_eq!(header.body.outcome, result.outcome);
    result
}

/// R092, R116, D10, D18: cells of all Vaults add up; the noise is the slices', so another aggregator's enclave comes to the same answer.
#[test]
fn counts_of_all_vaults_add_up_and_every_aggregator_agrees() {
    let mut stage = Stage::new();
    let quiet = envelope(&stage, 1_000_000_000_000, 5);
    let found = result(&stage, &quiet);
    assert_eq!((found.cells, found.vaults), (vec![("people".to_owned(), 60)], 3));
    let noised = envelope(&stage, 300_000, 5);
    let first = result(&stage, &noised);
    assert_eq!(first.noise_scale, 10);
    stage.aggregator = aggregator(60);
    assert_eq!(result(&stage, &noised), first);
}

/// R088: fewer people than the minimum tell nothing; R093: material with handles is refused, because a number needs nobody's.
#[test]
fn too_few_people_and_handles_tell_nothing() {
    let stage = Stage::new();
    let few = result(&stage, &envelope(&stage, 1_000_000, 21));
    assert_eq!((few.outcome, few.cells, few.vaults), (Outcome::Suppressed, vec![], 0));
    let named = slice(&stage, &envelope(&stage, 1_000_000, 5), &vault(1), true);
    assert!(matches!(&named, Answer::Refused { code: Code::RecordInvalid, .. }), "{}", name_of(&named));
}
