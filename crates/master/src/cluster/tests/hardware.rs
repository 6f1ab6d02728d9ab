//! Masters and aggregators on machines that play trusted hardware: every master decides alike, by the order and its place in the
//! governance log, and by no clock (R120, R121, R124, R125, R130).

use symphony_attest::claims::Class;
use symphony_attest::development::{DevelopmentVendor, StartSpec};
use symphony_protocol::governance::approval::{Machine, Mark};
use symphony_protocol::governance::hardware::HardwareRules;
use symphony_tee::voucher::{VendorWord, Voucher};
use symphony_types::time::DAY_MS;

use super::*;

/// A class whose firmware has versions.
const CLASS: Class = Class::ALL[2];
/// Long before any clock that runs these tests: the vendor's certificates hold for two days around it.
const ADMITTED: OrderedMillis = OrderedMillis(1_000_000_000_000);

fn vendor() -> (DevelopmentVendor, HardwareRules) {
    let file = symphony_tee::development::found(OrderedMillis(ADMITTED.0 - DAY_MS), ADMITTED.plus(DAY_MS));
    let file = file.unwrap();
    let rules = symphony_tee::development::rules(&file, CLASS.as_str()).unwrap();
    (DevelopmentVendor::from_file(&file).unwrap(), rules)
}

fn start() -> StartSpec {
    StartSpec::good(CLASS, [0x5a; 32], digest(44), ADMITTED)
}

/// The aggregator of master 1 on hardware.
fn vouched(vendor: &DevelopmentVendor, change: impl FnOnce(&mut StartSpec)) -> SignedBoot {
    let mut boot = boot(1, EnclaveRole::Aggregator, "aggregator", 20);
    let body = &mut boot.body;
    let mut spec = start();
    body.class = PlatformClass::Development(CLASS);
    body.notice = body.class.notice().to_owned();
    body.measurement = spec.measurement();
    body.platform = spec.platform().unwrap();
    spec.report_data = body.binding().report_data();
    change(&mut spec);
    let (evidence, collateral) = vendor.start(&spec).unwrap();
    let word = VendorWord { evidence, collateral };
    body.vendor = Some(word.digests());
    boot.voucher = Voucher::Vendor(Box::new(word));
    boot
}

/// A master's state while the task computes, under rules for hardware, with the machine admitted.
fn computing(rules: &HardwareRules) -> State {
    let mut state =
        leased(state(Answer::Admitted, Some(Stage::Computing)), Effect::AssignSlices(task()), 1, 0);
    let spec = start();
    let (code, platform) = (spec.measurement(), spec.platform().unwrap());
    let governance = &mut state.governance;
    governance.registry.measurements.insert(code, EnclaveCode::founded(Purpose::Any));
    let machine = Machine::Hardware { class: CLASS.as_str().to_owned(), platform };
    governance.registry.platforms.insert(platform, Platform::founded_machine(machine));
    governance.hardware.insert(GovernanceSequence(0), rules.clone());
    governance.check().unwrap();
    let mut known = state.tasks.get(&task()).unwrap().clone();
    known.envelope.admitted_at = ADMITTED;
    known.envelope.coordination.measurements = vec![code];
    state.tasks.insert(task(), known);
    state
}

fn judged(state: &State, boot: &SignedBoot) -> Result<Digest, String> {
    let handed = Handed { aggregator_boot: encode(boot), ..handed(1, 0) };
    assignment(NETWORK, state, &node(1), &handed).map_err(|doubt| match doubt {
        Doubt::Wrong(Code::AttestationFailed, detail) => detail,
        other => panic!("{other:?}"),
    })
}

/// R124: evidence that no clock of today would find valid is good for an order of then, on every master that holds the order, and
/// what each has learned of governance since does not change it; a revocation does, at once.
#[test]
fn every_master_decides_alike_by_the_order_and_not_by_its_clock() {
    let (vendor, rules) = vendor();
    let (first, mut second) = (computing(&rules), computing(&rules));
    // The second master has already seen stricter rules and a longer log.
    second.governance.sequence = GovernanceSequence(5);
    second.governance.hardware.insert(GovernanceSequence(5), HardwareRules::default());
    let boot = vouched(&vendor, |_| ());
    let one = judged(&first, &boot).unwrap();
    assert_eq!(judged(&second, &boot), Ok(one));
    let spec = start();
    let platform = spec.platform().unwrap();
    second.governance.registry.platforms.get_mut(&platform).unwrap().revoked =
        Some(Mark { sequence: GovernanceSequence(6), ..Mark::FOUNDED });
    assert_eq!(judged(&second, &boot), Err("platform-revoked".to_owned()));
}

/// R120, R121, R125, R130: each refusal of a master has the reason of the fault.
#[test]
fn a_master_refuses_each_fault_with_its_own_reason() {
    let (vendor, rules) = vendor();
    let state = computing(&rules);
    let refused = |boot: &SignedBoot| judged(&state, boot).unwrap_err();
    assert_eq!(refused(&vouched(&vendor, |spec| spec.debug = true)), "debug-enabled");
    assert_eq!(refused(&vouched(&vendor, |spec| spec.outdated = true)), "tcb-below-floor");
    assert_eq!(refused(&vouched(&vendor, |spec| spec.report_data[0] ^= 1)), "report-data-differs");
    assert_eq!(refused(&vouched(&vendor, |spec| spec.revoked = true)), "certificate-revoked");
    let mut later = vouched(&vendor, |_| ());
    later.body.nonce = digest(99);
    assert_eq!(refused(&later), "report-data-differs");
    let signed = vouched(&vendor, |_| ()).body;
    assert_eq!(refused(&platform(1).sign(signed).into()), "voucher-of-another-class");
    let mut production = computing(&rules);
    production.governance.policies.get_mut(&PolicyVersion(1)).unwrap().software_admitted = false;
    assert!(production.governance.check().is_err(), "such a policy does not even start");
    let boot = vouched(&vendor, |_| ());
    assert_eq!(
        judged(&production, &boot),
        Err("development-root-refused, software-class-refused".to_owned())
    );
}
