//! Who belongs to a cohort, and what the combination of sums promises (R088, R096, D10, D18).

use std::collections::BTreeMap;

use proptest::prelude::*;
use symphony_protocol::artifact::compute::{NoiseScale, Parameters};
use symphony_protocol::artifact::{Outcome, Predicate, PrivacyClass, ResolvedOperand};
use symphony_protocol::governance::semantics::ValueType;
use symphony_protocol::vault::record::Value;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{AttributeName, Commitment, RuleName};
use symphony_types::time::{OrderedMillis, RecordMillis};
use symphony_wasm::catalogue;
use symphony_wasm::engine::Engine as _;
use symphony_wasm::interpreted::Interpreted;

use super::*;
use crate::material::{self, MaterialBuilder};

fn name(text: &str) -> AttributeName {
    AttributeName::new(text).unwrap()
}

/// The spend histogram over everything, in steps of 1.00.
fn plan() -> ComputePlan {
    let built = catalogue::built().unwrap();
    let built = built.into_iter().find(|built| built.declaration.name.as_str() == "histogram").unwrap();
    ComputePlan {
        code: built.measurement,
        declaration: built.declaration,
        parameters: Parameters { numbers: vec![0, 1_000_000, 100], lists: vec![] },
        cohort: vec![],
        evaluated_at: OrderedMillis(0),
        combined_privacy_class: PrivacyClass::Sensitive,
        minimum_cohort: 2,
        epsilon: Epsilon(1_000_000_000_000),
        people_max: 1_000,
        records_max: 10_000,
    }
}

/// Records of person, merchant, amount.
fn material_of(records: &[(u32, &str, u64)]) -> Material {
    let types = [
        (name("commerce.purchase_date"), ValueType::Time),
        (name("commerce.amount"), ValueType::Cents),
        (name("commerce.merchant"), ValueType::Text),
    ];
    let mut builder = MaterialBuilder::new(&types.into()).unwrap();
    for (at, (subject, merchant, amount)) in (1..).zip(records) {
        let values = BTreeMap::from([
            (name("commerce.purchase_date"), Value::Time(RecordMillis(at))),
            (name("commerce.amount"), Value::Cents(*amount)),
            (name("commerce.merchant"), Value::Text((*merchant).into())),
        ]);
        let commitment = Commitment(Digest::of_bytes(&at.to_le_bytes()));
        builder.push(SubjectIndex(*subject), &commitment, &values).unwrap();
    }
    material::read(builder.finish().unwrap().to_vec()).unwrap()
}

fn vault(name: &str) -> VaultId {
    VaultId::new(name).unwrap()
}

fn sums(plan: &ComputePlan, of: &str, records: &[(u32, &str, u64)]) -> Sums {
    let built = catalogue::built().unwrap();
    let module = built.iter().find(|built| built.measurement == plan.code).unwrap().module().unwrap();
    let cohort = Cohort::read(plan, &material_of(records)).unwrap();
    let output = cohort.run(plan, &*Interpreted::new().prepare(&module).unwrap(), &[]).unwrap();
    cohort.sums(TaskId(Digest::ZERO), &vault(of), plan, &output, [7; 32])
}

fn combined(plan: &ComputePlan, slices: Vec<Sums>) -> ComputedResult {
    combine(TaskId(Digest::ZERO), plan, slices).unwrap().0
}

/// R094: who has one qualifying record is computed on with all of them; who has none is not.
#[test]
fn a_cohort_is_of_people_and_not_of_records() {
    let mut plan = plan();
    plan.cohort = vec![ResolvedOperand {
        rule: RuleName::new("commerce.merchant_is").unwrap(),
        attribute: name("commerce.merchant"),
        predicate: Predicate::TextEquals("cafe".into()),
    }];
    let records = [(1, "Cafe", 50), (1, "kiosk", 200), (2, "kiosk", 100), (3, "cafe ", 0), (5, "cafe", 700)];
    let found = sums(&plan, "vault-a", &records);
    assert_eq!(found.people, 3);
    let at: Vec<usize> = (0..32).filter(|at| found.cells[*at] > 0).collect();
    assert_eq!(at, [0, 2, 7], "2.50, nothing, and 7.00");
}

/// R096: one person moves the sums by the sensitivity of the group at most, and the noise grows with the Vaults and groups
/// that share the epsilon.
#[test]
fn noise_follows_from_the_bound_of_one_person() {
    let mut plan = plan();
    plan.epsilon = Epsilon(500_000);
    let group = plan.groups()[0].clone();
    assert_eq!(plan.noise(&group, 1), NoiseScale { numerator: 1_000_000, denominator: 500_000 });
    assert_eq!(plan.noise(&group, 3).numerator, 3_000_000);
    let slice = |name: &str| sums(&plan, name, &[(1, "a", 50), (2, "a", 150), (3, "a", 150)]);
    let one = combined(&plan, vec![slice("vault-a")]);
    assert_eq!(one.groups[0].noise_scale, 2);
    let three = combined(&plan, vec![slice("vault-a"), slice("vault-b"), slice("vault-c")]);
    assert_eq!((three.groups[0].noise_scale, three.vaults), (6, 3));
}

/// R088: a Vault with too few people tells nothing, not even how many.
#[test]
fn a_small_slice_says_nothing() {
    let found = sums(&plan(), "vault-a", &[(1, "a", 50)]);
    assert_eq!((found.people, found.cells.len()), (0, 0));
    let result = combined(&plan(), vec![found]);
    assert_eq!((result.outcome, result.groups.len()), (Outcome::Suppressed, 0));
}

#[test]
fn sums_of_another_module_are_refused() {
    let mut wrong = sums(&plan(), "vault-b", &[(1, "a", 50), (2, "a", 150)]);
    wrong.cells.pop();
    let good = sums(&plan(), "vault-a", &[(1, "a", 50), (2, "a", 150)]);
    assert_eq!(combine(TaskId(Digest::ZERO), &plan(), vec![good, wrong]).err(), Some(vault("vault-b")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// D10: the same slices have the same answer in any order; another seed has other noise.
    #[test]
    fn the_order_of_slices_does_not_matter(
        cells in prop::collection::vec(prop::collection::vec(0..1_000_i64, 32), 1..5),
        turn in 0..5_usize,
    ) {
        let plan = ComputePlan { epsilon: Epsilon(200_000), ..plan() };
        let slices: Vec<Sums> = (0_u8..).zip(&cells).map(|(number, cells)| Sums {
            task: TaskId(Digest::ZERO),
            vault: vault(&format!("vault-{number}")),
            people: 10,
            cells: cells.clone(),
            seed: [number; 32],
        }).collect();
        let mut turned = slices.clone();
        turned.rotate_left(turn % slices.len());
        let expected = combined(&plan, slices.clone());
        prop_assert_eq!(&combined(&plan, turned), &expected);
        let mut other = slices;
        other[0].seed = [99; 32];
        prop_assert_ne!(combined(&plan, other).outcome, expected.outcome);
    }
}
