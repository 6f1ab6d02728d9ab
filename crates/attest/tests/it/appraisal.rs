//! Every field that policy looks at has a change that is refused with its own code (R120, R121, R124, R125, R130).

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use symphony_attest::appraise::{Appraisal, Challenge, Expected, Reason, Tier, appraise};
use symphony_attest::binding::Binding;
use symphony_attest::claims::{Claims, Class, Hex, TcbStatus};
use symphony_attest::development::{DevelopmentVendor, ReportSpec};
use symphony_attest::policy::{Floor, IntelPolicy, Policy};
use symphony_attest::verify::{verify, verify_under};
use symphony_types::digest::Digest;
use symphony_types::id::{NodeId, TaskId};
use symphony_types::time::OrderedMillis;

use crate::samples::good;

const NOW: OrderedMillis = OrderedMillis(1_790_000_000_000);
const DAY_MS: u64 = 86_400_000;

/// A judgement with nothing against it, and what it was made of.
struct Case {
    claims: Claims,
    policy: Policy,
    expected: Expected,
}

impl Case {
    fn judge(&self) -> Appraisal {
        appraise(&self.claims, &self.policy, &self.expected)
    }

    fn refused(&self) -> Vec<&'static str> {
        let appraisal = self.judge();
        assert_eq!(appraisal.tier, Tier::Contraindicated);
        assert!(!appraisal.admits());
        appraisal.codes()
    }
}

fn binding(nonce: Digest) -> Binding {
    Binding {
        chain: "symphony-test".to_owned(),
        node: NodeId::new("master-a").unwrap(),
        hpke_key: [1; 32],
        signing_key: [2; 32],
        engine: Digest::of_bytes(b"engine"),
        nonce,
    }
}

fn task(name: &str) -> TaskId {
    TaskId(Digest::of_bytes(name.as_bytes()))
}

fn admitting(claims: &Claims) -> Policy {
    Policy {
        classes: BTreeSet::from([claims.class]),
        measurements: BTreeMap::from([(claims.measurement, BTreeMap::new())]),
        platforms: claims.platform.id.into_iter().collect(),
        revoked_platforms: BTreeSet::new(),
        development_admitted: claims.development,
        revocation_required: false,
        smt_admitted: true,
        intel: IntelPolicy {
            statuses: BTreeSet::from([TcbStatus::UpToDate]),
            eval_number_min: 17,
            dynamic_platform_admitted: true,
            cached_keys_admitted: true,
            ..IntelPolicy::default()
        },
        amd_floors: BTreeMap::from([(
            "Milan".to_owned(),
            Floor { versions: [3, 0, 8, 115, 0], ..Floor::default() },
        )]),
        vmpl_max: 0,
    }
}

fn expected(nonce: Digest, at: OrderedMillis) -> Expected {
    let challenge = Challenge { task: task("mine"), expires: OrderedMillis(at.0 + 1), spent: false };
    Expected {
        binding: binding(nonce),
        task: task("mine"),
        challenges: BTreeMap::from([(nonce, challenge)]),
        at,
    }
}

/// A guest of the development vendor, from its report to its claims.
fn guest(change: impl Fn(&mut ReportSpec)) -> Case {
    let nonce = Digest::of_bytes(b"nonce");
    let vendor =
        DevelopmentVendor::new(OrderedMillis(NOW.0 - DAY_MS), OrderedMillis(NOW.0 + DAY_MS)).unwrap();
    let mut spec = ReportSpec { report_data: binding(nonce).report_data(), ..ReportSpec::default() };
    let (plain, collateral) = vendor.report(&spec).unwrap();
    let policy = admitting(&verify_under(&vendor.roots(), &plain, &collateral, NOW).unwrap());
    change(&mut spec);
    let (evidence, collateral) = vendor.report(&spec).unwrap();
    let claims = verify_under(&vendor.roots(), &evidence, &collateral, NOW).unwrap();
    Case { claims, policy, expected: expected(nonce, NOW) }
}

/// Real claims with the bound bytes exchanged, because nobody can make the vendor sign ours.
fn real(name: &str) -> Case {
    let (_, evidence, collateral, at) = good().into_iter().find(|(known, ..)| *known == name).unwrap();
    let nonce = Digest::of_bytes(b"nonce");
    let mut claims = verify(&evidence, &collateral, at).unwrap();
    claims.report_data = binding(nonce).report_data().to_vec();
    claims.nonce = None;
    claims.public_key = None;
    Case { policy: admitting(&claims), claims, expected: expected(nonce, at) }
}

/// R120 R121 R124
#[test]
fn evidence_as_it_should_be_is_affirmed() {
    let appraisal = guest(|_| ()).judge();
    assert_eq!((appraisal.tier, appraisal.codes()), (Tier::Affirming, vec![]));
    for name in ["sgx", "tdx-td15ex", "snp-milan", "nitro"] {
        let mut case = real(name);
        case.policy.intel.statuses.extend(case.claims.tcb.status);
        case.policy.intel.service_domain_admitted = case.claims.traits.service_domain;
        let appraisal = case.judge();
        assert_eq!((appraisal.tier, appraisal.codes()), (Tier::Affirming, vec![]), "{name}");
    }
}

/// R125: changes that a machine makes, through the whole way from its report.
#[test]
fn each_change_of_a_report_is_refused_with_its_own_code() {
    let refused = |change: fn(&mut ReportSpec)| guest(change).refused();
    assert_eq!(refused(|spec| spec.debug = true), ["debug-enabled"]);
    assert_eq!(refused(|spec| spec.migratable = true), ["migration-enabled"]);
    assert_eq!(refused(|spec| spec.vmpl = 1), ["privilege-level-refused"]);
    assert_eq!(refused(|spec| spec.tcb = [3, 0, 8, 114]), ["tcb-below-floor"]);
    assert_eq!(refused(|spec| spec.launch_tcb = Some([2, 0, 23, 213])), ["tcb-below-floor"]);
    assert_eq!(refused(|spec| spec.report_data[0] ^= 1), ["report-data-differs"]);
    assert_eq!(refused(|spec| spec.report_data = [0; 64]), ["report-data-empty"]);
    assert_eq!(refused(|spec| spec.measurement[47] ^= 1), ["measurement-unknown"]);
    assert_eq!(refused(|spec| spec.chip_id[0] ^= 1), ["platform-unknown"]);
    assert_eq!(refused(|spec| spec.chip_id = [0; 64]), ["platform-masked"]);
}

/// R120 R124
#[test]
fn each_change_of_policy_is_refused_with_its_own_code() {
    let refused = |change: fn(&mut Case)| {
        let mut case = guest(|spec| spec.smt = true);
        change(&mut case);
        case.refused()
    };
    assert_eq!(refused(|case| case.policy.classes.clear()), ["class-refused"]);
    assert_eq!(refused(|case| case.policy.measurements.clear()), ["measurement-unknown"]);
    assert_eq!(refused(|case| case.policy.platforms.clear()), ["platform-unknown"]);
    assert_eq!(refused(|case| case.policy.amd_floors.clear()), ["tcb-below-floor"]);
    assert_eq!(refused(|case| case.policy.smt_admitted = false), ["smt-enabled"]);
    assert_eq!(
        refused(|case| case.policy.revoked_platforms.extend(case.claims.platform.id)),
        ["platform-revoked"]
    );
    assert_eq!(
        refused(|case| {
            let other = BTreeMap::from([("HOST_DATA".to_owned(), Hex(vec![1; 32]))]);
            case.policy.measurements.insert(case.claims.measurement, other);
        }),
        ["register-differs"]
    );
    assert_eq!(
        refused(|case| {
            case.policy.revocation_required = true;
            case.claims.revocation_checked = false;
        }),
        ["revocation-unchecked"]
    );
}

/// R124: the nonce is fresh, single-use and bound to the task.
#[test]
fn each_fault_of_a_challenge_has_its_own_code() {
    let refused = |change: fn(&mut Expected)| {
        let mut case = guest(|_| ());
        change(&mut case.expected);
        case.refused()
    };
    let sent = |expected: &mut Expected| {
        let nonce = expected.binding.nonce;
        expected.challenges.remove(&nonce).unwrap()
    };
    assert_eq!(sent(&mut guest(|_| ()).expected).task, task("mine"));
    assert_eq!(refused(|expected| expected.challenges.clear()), ["nonce-unknown"]);
    assert_eq!(refused(|expected| expected.task = task("another")), ["nonce-of-another-task"]);
    assert_eq!(
        refused(|expected| expected.challenges.values_mut().for_each(|sent| sent.expires = expected.at)),
        ["nonce-stale"]
    );
    assert_eq!(
        refused(|expected| expected.challenges.values_mut().for_each(|sent| sent.spent = true)),
        ["nonce-spent"]
    );
    // An answer to an older challenge is bound to other bytes as well.
    assert_eq!(
        refused(|expected| expected.binding.nonce = Digest::of_bytes(b"older")),
        ["report-data-differs", "nonce-unknown"]
    );
}

/// R123: every part of what is bound tells starts apart.
#[test]
fn evidence_of_another_network_node_key_or_engine_is_refused() {
    let changes: [fn(&mut Binding); 5] = [
        |binding| binding.chain.push('x'),
        |binding| binding.node = NodeId::new("master-b").unwrap(),
        |binding| binding.hpke_key[0] ^= 1,
        |binding| binding.signing_key[0] ^= 1,
        |binding| binding.engine = Digest::of_bytes(b"another engine"),
    ];
    for change in changes {
        let mut case = guest(|_| ());
        change(&mut case.expected.binding);
        assert_eq!(case.refused(), ["report-data-differs"]);
    }
}

/// R130
#[test]
fn production_refuses_a_root_of_development() {
    let mut case = guest(|_| ());
    assert!(case.claims.development);
    assert!(case.claims.class_label().contains("software"), "{}", case.claims.class_label());
    case.policy.development_admitted = false;
    assert_eq!(case.refused(), ["development-root-refused"]);
    assert!(!Policy::default().development_admitted);
}

/// R125
#[test]
fn each_fault_of_an_intel_machine_has_its_own_code() {
    let refused = |change: fn(&mut Case)| {
        let mut case = real("tdx");
        change(&mut case);
        case.refused()
    };
    assert_eq!(refused(|case| case.claims.traits.debug = true), ["debug-enabled"]);
    assert_eq!(refused(|case| case.policy.intel.dynamic_platform_admitted = false), ["platform-dynamic"]);
    assert_eq!(refused(|case| case.claims.traits.service_domain = true), ["service-domain-bound"]);
    assert_eq!(refused(|case| case.policy.intel.eval_number_min = 18), ["collateral-too-old"]);
    assert_eq!(refused(|case| case.claims.tcb.eval_number = None), ["collateral-too-old"]);
    assert_eq!(refused(|case| case.policy.intel.statuses.clear()), ["tcb-status-refused"]);
    assert_eq!(refused(|case| case.claims.tcb.status = None), ["tcb-status-refused"]);
    assert_eq!(
        refused(|case| {
            case.claims.traits.cached_keys = Some(true);
            case.policy.intel.cached_keys_admitted = false;
        }),
        ["platform-keys-cached"]
    );
    assert_eq!(
        refused(|case| {
            case.claims.tcb.advisories = vec!["INTEL-SA-00001".to_owned()];
            case.policy.intel.advisories_refused.insert("INTEL-SA-00001".to_owned());
        }),
        ["advisory-refused"]
    );
    assert_eq!(
        refused(|case| case.expected.at = OrderedMillis(case.claims.valid_until.0 + 1000)),
        ["nonce-stale", "not-valid-now"]
    );
}

/// R125: an AWS document carries challenge and key a second time.
#[test]
fn a_document_with_another_challenge_or_key_inside_is_refused() {
    let mut case = real("nitro");
    case.claims.nonce = Some(Hex(vec![9; 32]));
    assert_eq!(case.refused(), ["nonce-differs"]);
    let mut case = real("nitro");
    case.claims.public_key = Some(Hex(vec![9; 32]));
    assert_eq!(case.refused(), ["public-key-differs"]);
}

#[test]
fn a_grace_period_warns_until_the_moment_it_ends() {
    let mut case = guest(|spec| spec.tcb = [3, 0, 8, 110]);
    let floor = case.policy.amd_floors.get_mut("Milan").unwrap();
    floor.grace_versions = Some([3, 0, 8, 100, 0]);
    floor.grace_until = OrderedMillis(NOW.0 + 1);
    let appraisal = case.judge();
    assert_eq!((appraisal.tier, appraisal.codes()), (Tier::Warning, vec!["tcb-floor-in-grace"]));
    assert!(appraisal.admits());
    case.policy.amd_floors.get_mut("Milan").unwrap().grace_until = NOW;
    assert_eq!(case.refused(), ["tcb-below-floor"]);

    let mut case = real("tdx");
    let at = case.expected.at;
    case.claims.tcb.status = Some(TcbStatus::OutOfDate);
    case.policy.intel.grace_statuses.insert(TcbStatus::OutOfDate);
    case.policy.intel.grace_until = OrderedMillis(at.0 + 1);
    assert_eq!(case.judge().codes(), ["tcb-status-in-grace"]);
    case.policy.intel.grace_until = at;
    assert_eq!(case.refused(), ["tcb-status-refused"]);
}

/// R125: a refusal names everything that is wrong, not the first.
#[test]
fn all_faults_are_collected() {
    let mut case = guest(|spec| {
        spec.debug = true;
        spec.vmpl = 3;
        spec.report_data = [0; 64];
    });
    case.policy.classes.clear();
    let all = ["class-refused", "debug-enabled", "privilege-level-refused", "report-data-empty"];
    assert_eq!(case.refused(), all);
}

#[test]
fn codes_are_stable_and_unique() {
    let codes: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len());
    insta::assert_snapshot!(codes.join("\n"));
}

#[test]
fn what_is_bound_is_pinned() {
    let data = binding(Digest::of_bytes(b"nonce")).report_data();
    insta::assert_snapshot!(data.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
}

proptest! {
    /// R120: nothing is admitted that policy does not name, whatever the claims.
    #[test]
    fn the_empty_policy_admits_nothing(
        debug: bool, development: bool, class in 0_usize..4, data in proptest::collection::vec(any::<u8>(), 0..70),
    ) {
        let mut case = real("snp-milan");
        case.claims.class = Class::ALL[class];
        case.claims.development = development;
        case.claims.traits.debug = debug;
        case.claims.report_data = data;
        case.policy = Policy::default();
        prop_assert!(!case.judge().admits());
    }
}
