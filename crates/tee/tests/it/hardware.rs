//! Enclave processes on machines that play trusted hardware: the whole way from the 64 bytes that the enclave chose to the
//! judgement of its reports, and every reason to refuse them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use symphony_attest::appraise::Tier;
use symphony_attest::claims::Class;
use symphony_attest::development::{DevelopmentVendor, OLD_VERSIONS, STATUSES, StartSpec, VERSIONS};
use symphony_attest::roots::Roots;
use symphony_protocol::governance::approval::Machine;
use symphony_protocol::governance::hardware::{HardwareRules, VersionFloor};
use symphony_tee::appraise::{AppraisalPolicy, appraise, appraise_boot, examine, examine_boot};
use symphony_tee::boot::{Boot, Identity};
use symphony_tee::development;
use symphony_tee::hardware::HardwareAdmitted;
use symphony_tee::host::{EnclaveProcess, HostError};
use symphony_tee::keys::PlatformSeed;
use symphony_tee::machine::{EnclaveMachine, MachineError, VendorMachine, WordSource};
use symphony_tee::measure;
use symphony_tee::report::{EnclaveRole, PlatformClass, SignedBoot};
use symphony_tee::voucher::{VendorWord, Voucher};
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, GovernanceSequence, Measurement, NodeId, PlatformId};
use symphony_types::key::Document as _;
use symphony_types::time::{DAY_MS, OrderedMillis};

use super::{PROBE, expected, work};

const CHIP: [u8; 32] = [0x5a; 32];
/// A class whose firmware the vendor judges, and one whose firmware has versions.
const JUDGED: Class = Class::ALL[1];
const VERSIONED: Class = Class::ALL[2];

fn now() -> OrderedMillis {
    OrderedMillis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64)
}

fn vendor_file() -> Vec<u8> {
    development::found(OrderedMillis(now().0 - DAY_MS), now().plus(DAY_MS)).unwrap()
}

/// An enclave on a machine, and what governance admits of it.
struct Scene {
    folder: tempfile::TempDir,
    machine: EnclaveMachine,
    policy: AppraisalPolicy,
}

impl Scene {
    /// A machine that plays a class, in the way of a development network.
    fn playing(class: Class) -> Self {
        let file = vendor_file();
        let program = measure::program(Path::new(PROBE)).unwrap();
        let (machine, measurement) = development::known(class.as_str(), &CHIP, program).unwrap();
        let rules = development::rules(&file, class.as_str()).unwrap();
        let vendor = development::machine(&file, class.as_str(), &CHIP, program).unwrap();
        Self::on(vendor, machine, measurement, rules)
    }

    fn on(vendor: VendorMachine, machine: Machine, measurement: Measurement, rules: HardwareRules) -> Self {
        let policy = AppraisalPolicy {
            chain: "test".into(),
            measurements: BTreeSet::from([measurement]),
            platforms: BTreeMap::new(),
            revoked_platforms: BTreeSet::new(),
            software_admitted: true,
            hardware: HardwareAdmitted {
                machines: [(machine.platform(), machine.class().to_owned())].into(),
                rules: [(GovernanceSequence(0), rules)].into(),
                sequence: GovernanceSequence(3),
                at: now(),
            },
        };
        let machine = EnclaveMachine::Vendor(Arc::new(vendor));
        Self { folder: tempfile::tempdir().unwrap(), machine, policy }
    }

    /// A machine whose evidence says something else than a good start's.
    fn saying(class: Class, change: impl FnOnce(&mut StartSpec)) -> Self {
        let file = vendor_file();
        let mut start = StartSpec::good(class, CHIP, Digest([0x44; 32]), now());
        change(&mut start);
        let (platform, word) = (start.platform().unwrap(), class.as_str());
        let machine = Machine::Hardware { class: word.to_owned(), platform };
        let (measurement, rules) = (start.measurement(), development::rules(&file, word).unwrap());
        let vendor = development::playing(DevelopmentVendor::from_file(&file).unwrap(), start);
        Self::on(vendor, machine, measurement, rules)
    }

    /// A guest of the class that names versions.
    fn guest(change: impl FnOnce(&mut StartSpec)) -> Self {
        Self::saying(VERSIONED, change)
    }

    fn boot(&self) -> Boot {
        Boot {
            identity: Identity {
                chain: "test".into(),
                node: NodeId::new("master-1").unwrap(),
                actor: ActorId::new("aggregator").unwrap(),
                role: EnclaveRole::Aggregator,
            },
            machine: self.machine.clone(),
            nonce: Digest([5; 32]),
            sealed_keys: None,
            ready: vec![],
        }
    }

    fn start(&self) -> Result<EnclaveProcess, HostError> {
        EnclaveProcess::spawn(Path::new(PROBE), self.boot(), &self.folder.path().join("enclave.log"))
    }

    fn rules(&mut self) -> &mut HardwareRules {
        self.policy.hardware.rules.get_mut(&GovernanceSequence(0)).unwrap()
    }

    /// What speaks against a started enclave.
    fn refused(&self) -> Vec<&'static str> {
        self.against(&self.start().unwrap().boot())
    }

    fn against(&self, boot: &SignedBoot) -> Vec<&'static str> {
        let reasons = appraise_boot(boot, &self.policy, EnclaveRole::Aggregator).unwrap_err();
        reasons.iter().map(|reason| reason.as_str()).collect()
    }
}

/// A machine that binds something else than it was asked to.
struct Lying {
    vendor: DevelopmentVendor,
    start: StartSpec,
}

impl WordSource for Lying {
    fn word(&self, report_data: &[u8; 64]) -> Result<VendorWord, MachineError> {
        let mut report_data = *report_data;
        report_data[63] ^= 1;
        let (evidence, collateral) =
            self.vendor.start(&StartSpec { report_data, ..self.start.clone() }).unwrap();
        Ok(VendorWord { evidence, collateral })
    }
}

/// R116, R121, R123, R124, R130: for every kind of hardware, through a real process; what is made is marked in the signed bytes.
#[test]
fn the_reports_of_an_enclave_on_each_kind_of_hardware_are_accepted_and_marked() {
    for class in Class::ALL {
        let scene = Scene::playing(class);
        let enclave = scene.start().unwrap();
        let (boot, report) = (enclave.boot(), work(&enclave));
        assert_eq!(boot.body.class, PlatformClass::Development(class));
        assert!(boot.body.class.is_software());
        assert_eq!(boot.body.notice, "development: no hardware stands behind this evidence");
        assert_eq!(report.body.notice, boot.body.notice);
        let tier = examine(&boot, &report, &scene.policy, &expected());
        assert_eq!(tier, Ok(Tier::Affirming), "{}", class.as_str());
        // Evidence and collateral stand in the report's bytes by digest, and so in everything that names the report.
        let named = boot.vendor_word().unwrap().digests();
        assert_eq!(boot.body.vendor, Some(named));
        assert_eq!(report.body.boot, boot.body.digest());
        let again = SignedBoot::from_canonical(&canonical::to_bytes(&boot)).unwrap();
        assert_eq!(again, boot);
        assert!(enclave.sealed_keys().is_empty());
    }
}

/// R117, R127: also on hardware nothing can leave but through the pipe, and the lock-down comes before the evidence.
#[test]
fn an_enclave_on_hardware_is_locked_down_too() {
    let enclave = Scene::playing(JUDGED).start().unwrap();
    let attempts: Vec<(String, bool)> = bcs::from_bytes(&enclave.call(b"attempts").unwrap()).unwrap();
    assert!(attempts.len() >= 16 && attempts.iter().all(|(_, forbidden)| *forbidden), "{attempts:?}");
}

/// R130
#[test]
fn a_production_policy_refuses_what_no_hardware_stands_behind() {
    for class in Class::ALL {
        let mut scene = Scene::playing(class);
        let boot = scene.start().unwrap().boot();
        scene.policy.software_admitted = false;
        assert_eq!(scene.against(&boot), ["development-root-refused", "software-class-refused"]);
        scene.policy.software_admitted = true;
        scene.rules().development = None;
        assert_eq!(scene.against(&boot), ["development-root-refused"]);
    }
}

/// R121, R124, R125: what the machine says of itself, each with its own reason, through a real process.
#[test]
fn each_fault_of_a_machine_is_refused_with_its_own_reason() {
    for class in Class::ALL {
        assert_eq!(Scene::saying(class, |start| start.debug = true).refused(), ["debug-enabled"]);
    }
    assert_eq!(Scene::guest(|start| start.migratable = true).refused(), ["migration-enabled"]);
    assert_eq!(Scene::guest(|start| start.privilege = 1).refused(), ["privilege-level-refused"]);
    assert_eq!(Scene::guest(|start| start.smt = true).refused(), ["smt-enabled"]);
    assert_eq!(Scene::guest(|start| start.outdated = true).refused(), ["tcb-below-floor"]);
    let judged = |class| Scene::saying(class, |start| start.outdated = true);
    assert_eq!(judged(JUDGED).refused(), ["tcb-status-refused"]);
}

/// R120, R124: what a vendor calls outdated suffices until its grace period ends, in ordered time.
#[test]
fn an_outdated_judgement_is_a_warning_in_its_grace_period_and_refused_after() {
    let mut scene = Scene::saying(JUDGED, |start| start.outdated = true);
    let boot = scene.start().unwrap().boot();
    let over = scene.policy.hardware.at.plus(1_000);
    scene.rules().levels.grace_statuses.insert(STATUSES[1].to_owned());
    scene.rules().levels.grace_until = over;
    assert_eq!(examine_boot(&boot, &scene.policy, EnclaveRole::Aggregator), Ok(Tier::Warning));
    scene.policy.hardware.at = over;
    assert_eq!(scene.against(&boot), ["tcb-status-refused"]);
}

/// R120, R124: old firmware suffices until its grace period ends, in ordered time.
#[test]
fn old_firmware_is_a_warning_in_its_grace_period_and_refused_after() {
    let mut scene = Scene::guest(|start| start.outdated = true);
    let enclave = scene.start().unwrap();
    let over = scene.policy.hardware.at.plus(1_000);
    let floor = VersionFloor { versions: VERSIONS, grace_versions: Some(OLD_VERSIONS), grace_until: over };
    scene.rules().floors.values_mut().for_each(|known| *known = floor.clone());
    let judge = |scene: &Scene| examine(&enclave.boot(), &work(&enclave), &scene.policy, &expected());
    assert_eq!(judge(&scene), Ok(Tier::Warning));
    scene.policy.hardware.at = over;
    assert_eq!(scene.against(&enclave.boot()), ["tcb-below-floor"]);
}

/// R120, R124, R129: what governance says of machine and program.
#[test]
fn each_fault_of_governance_is_refused_with_its_own_reason() {
    let mut scene = Scene::guest(|_| ());
    let boot = scene.start().unwrap().boot();
    let good = scene.policy.clone();
    let refused = |change: &dyn Fn(&mut AppraisalPolicy)| {
        let mut policy = good.clone();
        change(&mut policy);
        let reasons = appraise_boot(&boot, &policy, EnclaveRole::Aggregator).unwrap_err();
        reasons.iter().map(|reason| reason.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(refused(&|policy| policy.measurements.clear()), ["measurement-unknown"]);
    assert_eq!(refused(&|policy| policy.hardware.machines.clear()), ["platform-unknown"]);
    assert_eq!(
        refused(&|policy| policy.revoked_platforms.extend([boot.body.platform])),
        ["platform-revoked"]
    );
    assert_eq!(refused(&|policy| policy.hardware.rules.clear()), ["class-refused"]);
    let other = |policy: &mut AppraisalPolicy| {
        policy.hardware.machines.values_mut().for_each(|class| *class = JUDGED.as_str().to_owned());
    };
    assert_eq!(refused(&other), ["boot-class-differs"]);
    // Rules that came later than the order do not count for it.
    let rules = good.hardware.rules[&GovernanceSequence(0)].clone();
    let later = HardwareRules { classes: BTreeSet::new(), ..rules };
    scene.policy.hardware.rules.insert(GovernanceSequence(4), later);
    assert_eq!(appraise_boot(&boot, &scene.policy, EnclaveRole::Aggregator), Ok(()));
    scene.policy.hardware.sequence = GovernanceSequence(4);
    assert_eq!(scene.against(&boot), ["class-refused"]);
}

/// R123, R124: whatever of a start is changed under the same evidence is noticed.
#[test]
fn no_field_of_a_start_can_change_under_its_evidence() {
    let scene = Scene::guest(|_| ());
    let boot = scene.start().unwrap().boot();
    let other = PlatformSeed::generate().unwrap();
    let refused = |change: &dyn Fn(&mut SignedBoot)| {
        let mut changed = boot.clone();
        change(&mut changed);
        let reasons = appraise_boot(&changed, &scene.policy, changed.body.role).unwrap_err();
        reasons.iter().map(|reason| reason.as_str()).collect::<Vec<_>>()
    };
    let differs = ["report-data-differs"];
    assert_eq!(refused(&|boot| boot.body.nonce = Digest([6; 32])), differs);
    assert_eq!(refused(&|boot| boot.body.node = NodeId::new("master-2").unwrap()), differs);
    assert_eq!(refused(&|boot| boot.body.actor = ActorId::new("other").unwrap()), differs);
    assert_eq!(refused(&|boot| boot.body.role = EnclaveRole::Slice), differs);
    assert_eq!(refused(&|boot| boot.body.hpke_key[0] ^= 1), differs);
    assert_eq!(refused(&|boot| boot.body.engine = Digest::ZERO), differs);
    assert_eq!(refused(&|boot| boot.body.chain.push('x')), ["report-data-differs", "chain-differs"]);
    assert_eq!(refused(&|boot| boot.body.platform = PlatformId(Digest::ZERO)), ["boot-platform-differs"]);
    assert_eq!(
        refused(&|boot| boot.body.measurement = Measurement(Digest::ZERO)),
        ["boot-measurement-differs"]
    );
    assert_eq!(refused(&|boot| boot.body.notice.clear()), ["boot-notice-missing"]);
    assert_eq!(refused(&|boot| boot.body.vendor = None), ["vendor-evidence-differs"]);
    let class = |class| move |boot: &mut SignedBoot| boot.body.class = class;
    assert_eq!(refused(&class(PlatformClass::Development(JUDGED))), ["boot-class-differs"]);
    // A signature of software never makes hardware, and evidence never makes software (R130).
    assert_eq!(refused(&class(PlatformClass::Software))[0], "voucher-of-another-class");
    let signed = SignedBoot::from(other.quoting_key().sign(boot.body.clone()));
    assert_eq!(refused(&|boot| *boot = signed.clone()), ["voucher-of-another-class"]);
}

/// R130: what is verified under roots of our own making cannot pass for hardware, whatever the report says.
#[test]
fn development_evidence_does_not_make_a_hardware_class() {
    let scene = Scene::guest(|_| ());
    let mut boot = scene.start().unwrap().boot();
    boot.body.class = PlatformClass::Hardware(VERSIONED);
    boot.body.notice = boot.body.class.notice().into();
    // The vendors' own roots do not know who signed it.
    let against = scene.against(&boot);
    assert!(["root-unknown", "chain-invalid", "collateral-missing"].contains(&against[0]), "{against:?}");
}

/// R121: evidence that binds other bytes does not boot; a machine without evidence neither.
#[test]
fn a_machine_that_lies_or_stays_silent_boots_nothing() {
    let file = vendor_file();
    let vendor = DevelopmentVendor::from_file(&file).unwrap();
    let start = StartSpec::good(VERSIONED, CHIP, Digest([0x44; 32]), now());
    let (roots, lying) = (vendor.roots(), Lying { vendor, start });
    let mut scene = Scene::guest(|_| ());
    scene.machine = EnclaveMachine::Vendor(Arc::new(VendorMachine::new(Box::new(lying), roots)));
    scene.rules().development = development::rules(&file, VERSIONED.as_str()).unwrap().development;
    assert_eq!(scene.refused(), ["report-data-differs"]);
    let none = VendorMachine::of_source("configfs-tsm", vec![]).unwrap();
    scene.machine = EnclaveMachine::Vendor(Arc::new(none));
    assert!(matches!(scene.start(), Err(HostError::Machine(MachineError::Source(_)))));
    assert!(matches!(VendorMachine::of_source("tpm", vec![]), Err(MachineError::Unknown(_))));
}

/// R121: development evidence under the vendors' own roots is refused by the host before an enclave answers for it.
#[test]
fn a_host_of_hardware_refuses_evidence_that_does_not_verify() {
    let vendor = DevelopmentVendor::from_file(&vendor_file()).unwrap();
    let mut scene = Scene::guest(|_| ());
    let start = StartSpec::good(VERSIONED, CHIP, Digest([0x44; 32]), now());
    let machine = VendorMachine::new(Box::new(Lying { vendor, start }), Roots::pinned());
    scene.machine = EnclaveMachine::Vendor(Arc::new(machine));
    assert!(matches!(scene.start(), Err(HostError::Machine(MachineError::Verify(_)))));
}

/// R122: on hardware keys end with the process; the next start has its own, under a challenge of its own, and is vouched for anew.
#[test]
fn a_killed_enclave_on_hardware_comes_back_with_keys_and_evidence_of_its_own() {
    let scene = Scene::playing(VERSIONED);
    let enclave = scene.start().unwrap();
    let first = enclave.boot();
    kill(Pid::from_raw(enclave.pid() as i32), Signal::SIGKILL).unwrap();
    assert!(matches!(enclave.call(b"work"), Err(HostError::Ended)));
    enclave.respawn().unwrap();
    let second = enclave.boot();
    assert_ne!(first.body.hpke_key, second.body.hpke_key);
    assert_ne!(first.body.nonce, second.body.nonce);
    assert_ne!(first.voucher, second.voucher);
    assert_eq!(first.body.platform, second.body.platform);
    let report = work(&enclave);
    assert_eq!(appraise(&second, &report, &scene.policy, &expected()), Ok(()));
    // What the new process signs does not fit the old start.
    assert!(appraise(&first, &report, &scene.policy, &expected()).is_err());
}

/// R124: the time is the order's. Evidence of long ago is good for an order of then, whatever clocks say now, and two judges
/// with the same order come to the same result.
#[test]
fn evidence_is_judged_at_the_time_of_the_order_and_by_no_clock() {
    let at = OrderedMillis(1_000_000_000_000);
    let file = development::found(OrderedMillis(at.0 - DAY_MS), at.plus(DAY_MS)).unwrap();
    let vendor = DevelopmentVendor::from_file(&file).unwrap();
    let mut scene = Scene::guest(|_| ());
    let mut boot = scene.start().unwrap().boot();
    let report_data = boot.body.binding().report_data();
    let start = StartSpec::good(VERSIONED, CHIP, Digest([0x44; 32]), at);
    let (evidence, collateral) = vendor.start(&StartSpec { report_data, ..start }).unwrap();
    let word = VendorWord { evidence, collateral };
    boot.body.vendor = Some(word.digests());
    boot.voucher = Voucher::Vendor(Box::new(word));
    scene.rules().development = development::rules(&file, VERSIONED.as_str()).unwrap().development;
    let judge = |at| {
        let mut policy = scene.policy.clone();
        policy.hardware.at = at;
        let reasons = appraise_boot(&boot, &policy, EnclaveRole::Aggregator);
        reasons.map_err(|reasons| reasons[0].as_str())
    };
    assert_eq!(judge(at), Ok(()));
    assert_eq!(judge(at), Ok(()));
    assert_eq!(judge(now()), Err("not-valid-at-time"));
    assert_eq!(judge(at.plus(2 * DAY_MS)), Err("not-valid-at-time"));
}

/// A boot report over the limit is none.
#[test]
fn a_boot_report_that_is_too_long_is_refused_unread() {
    let mut boot = Scene::playing(VERSIONED).start().unwrap().boot();
    if let Voucher::Vendor(word) = &mut boot.voucher {
        word.evidence.certificates = vec![vec![0; 200_000]];
    }
    assert!(SignedBoot::from_canonical(&canonical::to_bytes(&boot)).is_none());
}
