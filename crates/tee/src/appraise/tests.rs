//! Every field of both reports is changed, once with the old signature and once signed again by the right key;
//! the right reason must appear each time.

use symphony_types::id::{NodeId, PolicyVersion, SchemaVersion, SemanticVersion};
use symphony_types::key::{PrivateKey, SoftwareEnclave};

use super::*;
use crate::report::{AGGREGATE_STEP, AttestationReport, BootReport, PlatformClass};

struct Scene {
    platform: PrivateKey<SoftwarePlatform>,
    enclave: PrivateKey<SoftwareEnclave>,
    boot: BootReport,
    report: AttestationReport,
    policy: AppraisalPolicy,
    expected: Expected,
}

fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

fn scene() -> Scene {
    let platform = PrivateKey::<SoftwarePlatform>::from_seed(&[1; 32]);
    let enclave = PrivateKey::<SoftwareEnclave>::from_seed(&[2; 32]);
    let actor = ActorId::new("aggregator").unwrap();
    let machine = platform_id(&platform.public());
    let class = PlatformClass::Software;
    let boot = BootReport {
        class,
        role: EnclaveRole::Aggregator,
        chain: "test".into(),
        node: NodeId::new("master-1").unwrap(),
        actor: actor.clone(),
        hpke_key: [3; 32],
        signing_key: enclave.public(),
        measurement: Measurement(digest(4)),
        platform: machine,
        engine: digest(5),
        nonce: digest(6),
        vendor: None,
        notice: class.notice().into(),
    };
    let report = AttestationReport {
        class,
        boot: boot.digest(),
        actor: actor.clone(),
        signing_key: enclave.public(),
        measurement: boot.measurement,
        platform: machine,
        task: TaskId(digest(7)),
        step: AGGREGATE_STEP.into(),
        nonce: digest(8),
        module: None,
        input_root: digest(9),
        output: digest(10),
        schema: SchemaVersion(1),
        semantic: SemanticVersion(1),
        policy: PolicyVersion(1),
        purged: true,
        memory_locked: false,
        notice: class.notice().into(),
    };
    let policy = AppraisalPolicy {
        chain: "test".into(),
        measurements: BTreeSet::from([boot.measurement]),
        platforms: BTreeMap::from([(machine, platform.public())]),
        revoked_platforms: BTreeSet::new(),
        software_admitted: true,
        hardware: HardwareAdmitted::NONE,
    };
    let expected = Expected {
        task: report.task,
        step: report.step.clone(),
        nonce: report.nonce,
        input_root: Some(report.input_root),
        output: report.output,
        actor,
        role: EnclaveRole::Aggregator,
        module: None,
        purged: true,
    };
    Scene { platform, enclave, boot, report, policy, expected }
}

impl Scene {
    fn judge(&self) -> Result<(), Vec<Reason>> {
        let boot: SignedBoot = self.platform.sign(self.boot.clone()).into();
        appraise(&boot, &self.enclave.sign(self.report.clone()), &self.policy, &self.expected)
    }
}

/// R121, R124
#[test]
fn a_true_report_has_nothing_against_it() {
    let scene = scene();
    assert_eq!(scene.judge(), Ok(()));
    let boot: SignedBoot = scene.platform.sign(scene.boot.clone()).into();
    assert_eq!(appraise_boot(&boot, &scene.policy, EnclaveRole::Aggregator), Ok(()));
}

/// R123, R124: both signatures cover every field.
#[test]
fn no_field_can_change_under_an_old_signature() {
    let other = ActorId::new("other").unwrap();
    let other_key = PrivateKey::<SoftwareEnclave>::from_seed(&[99; 32]).public();
    let boots: [&dyn Fn(&mut BootReport); 11] = [
        &|b| b.role = EnclaveRole::Slice,
        &|b| b.chain.push('x'),
        &|b| b.node = NodeId::new("other").unwrap(),
        &|b| b.actor = other.clone(),
        &|b| b.hpke_key[0] ^= 1,
        &|b| b.signing_key = other_key,
        &|b| b.measurement = Measurement(digest(99)),
        &|b| b.platform = PlatformId(digest(99)),
        &|b| b.engine = digest(99),
        &|b| b.nonce = digest(99),
        &|b| b.notice.clear(),
    ];
    for (index, change) in boots.iter().enumerate() {
        let scene = scene();
        let mut boot: SignedBoot = scene.platform.sign(scene.boot.clone()).into();
        change(&mut boot.body);
        let mut policy = scene.policy.clone();
        policy.platforms.insert(boot.body.platform, scene.platform.public());
        let reasons = appraise_boot(&boot, &policy, EnclaveRole::Aggregator).unwrap_err();
        assert!(reasons.contains(&Reason::BootSignature), "boot field {index}");
    }
    let reports: [&dyn Fn(&mut AttestationReport); 16] = [
        &|r| r.boot = digest(99),
        &|r| r.actor = other.clone(),
        &|r| r.signing_key = other_key,
        &|r| r.measurement = Measurement(digest(99)),
        &|r| r.platform = PlatformId(digest(99)),
        &|r| r.task = TaskId(digest(99)),
        &|r| r.step.push('x'),
        &|r| r.nonce = digest(99),
        &|r| r.input_root = digest(99),
        &|r| r.output = digest(99),
        &|r| r.schema = SchemaVersion(99),
        &|r| r.semantic = SemanticVersion(99),
        &|r| r.policy = PolicyVersion(99),
        &|r| r.purged = false,
        &|r| r.memory_locked = true,
        &|r| r.notice.clear(),
    ];
    for (index, change) in reports.iter().enumerate() {
        let scene = scene();
        let boot: SignedBoot = scene.platform.sign(scene.boot.clone()).into();
        let mut report = scene.enclave.sign(scene.report.clone());
        change(&mut report.body);
        let reasons = appraise(&boot, &report, &scene.policy, &scene.expected).unwrap_err();
        assert!(reasons.contains(&Reason::ReportSignature), "report field {index}");
    }
}

/// R117, R120, R121, R124, R125, R130: a fault that is rightly signed is found by the check of that field.
#[test]
fn each_signed_fault_has_its_own_reason() {
    type Change = (&'static str, fn(&mut Scene), &'static [Reason]);
    let changes: [Change; 27] = [
        ("machine not registered", |s| s.policy.platforms.clear(), &[Reason::PlatformUnknown]),
        (
            "machine registered with a foreign key",
            |s| {
                let foreign = PrivateKey::<SoftwarePlatform>::from_seed(&[99; 32]).public();
                s.policy.platforms.insert(s.boot.platform, foreign);
            },
            &[Reason::PlatformKey, Reason::BootSignature],
        ),
        (
            "quoted by another machine",
            |s| s.platform = PrivateKey::from_seed(&[99; 32]),
            &[Reason::BootSignature],
        ),
        (
            "machine revoked",
            |s| s.policy.revoked_platforms = [s.boot.platform].into(),
            &[Reason::PlatformRevoked],
        ),
        ("software not admitted", |s| s.policy.software_admitted = false, &[Reason::SoftwareRefused]),
        ("boot notice", |s| s.boot.notice.clear(), &[Reason::BootNotice, Reason::BootReport]),
        ("chain of the boot", |s| s.boot.chain.push('x'), &[Reason::Chain, Reason::BootReport]),
        ("chain of the policy", |s| s.policy.chain.push('x'), &[Reason::Chain]),
        ("role of the boot", |s| s.boot.role = EnclaveRole::Slice, &[Reason::Role, Reason::BootReport]),
        ("role expected", |s| s.expected.role = EnclaveRole::Slice, &[Reason::Role]),
        ("program not registered", |s| s.policy.measurements.clear(), &[Reason::MeasurementUnknown]),
        (
            "signed by another enclave",
            |s| s.enclave = PrivateKey::from_seed(&[99; 32]),
            &[Reason::ReportSignature],
        ),
        ("boot of another start", |s| s.boot.nonce = digest(99), &[Reason::BootReport]),
        ("boot of another engine", |s| s.boot.engine = digest(99), &[Reason::BootReport]),
        ("boot of another sealing key", |s| s.boot.hpke_key[0] ^= 1, &[Reason::BootReport]),
        ("boot digest", |s| s.report.boot = digest(99), &[Reason::BootReport]),
        (
            "signing key",
            |s| s.report.signing_key = PrivateKey::from_seed(&[99; 32]).public(),
            &[Reason::SigningKey],
        ),
        ("measurement", |s| s.report.measurement = Measurement(digest(99)), &[Reason::MeasurementDiffers]),
        ("platform", |s| s.report.platform = PlatformId(digest(99)), &[Reason::PlatformDiffers]),
        ("actor", |s| s.report.actor = ActorId::new("other").unwrap(), &[Reason::Actor]),
        (
            "actor of the boot",
            |s| s.boot.actor = ActorId::new("other").unwrap(),
            &[Reason::BootReport, Reason::Actor],
        ),
        ("task", |s| s.report.task = TaskId(digest(99)), &[Reason::Task]),
        ("step", |s| s.report.step.push('x'), &[Reason::Step]),
        ("nonce", |s| s.report.nonce = digest(99), &[Reason::Nonce]),
        ("input root", |s| s.report.input_root = digest(99), &[Reason::InputRoot]),
        ("output", |s| s.report.output = digest(99), &[Reason::Output]),
        ("purge", |s| s.report.purged = false, &[Reason::NotPurged]),
    ];
    for (what, change, reasons) in changes {
        let mut scene = scene();
        change(&mut scene);
        assert_eq!(scene.judge(), Err(reasons.to_vec()), "{what}");
    }
    let mut scene = scene();
    scene.report.notice = "a trusted execution environment".into();
    assert_eq!(scene.judge(), Err(vec![Reason::ReportNotice]));
}

/// R125
#[test]
fn all_reasons_are_given_not_only_the_first() {
    let mut scene = scene();
    scene.policy.software_admitted = false;
    scene.policy.measurements.clear();
    scene.report.task = TaskId(digest(99));
    scene.report.purged = false;
    let reasons =
        [Reason::SoftwareRefused, Reason::MeasurementUnknown, Reason::Task, Reason::NotPurged].to_vec();
    assert_eq!(scene.judge(), Err(reasons));
}

/// R127: between two rounds of a training records stay in the enclave, and its report says so.
#[test]
fn records_may_stay_only_where_that_is_expected() {
    let mut scene = scene();
    scene.report.purged = false;
    assert_eq!(scene.judge(), Err(vec![Reason::NotPurged]));
    scene.expected.purged = false;
    assert_eq!(scene.judge(), Ok(()));
    scene.report.purged = true;
    assert_eq!(scene.judge(), Ok(()));
}

/// R121: the Vault's own look before it seals anything.
#[test]
fn a_boot_report_for_another_purpose_is_refused() {
    let scene = scene();
    let boot: SignedBoot = scene.platform.sign(scene.boot.clone()).into();
    assert_eq!(appraise_boot(&boot, &scene.policy, EnclaveRole::Slice), Err(vec![Reason::Role]));
}

#[test]
fn an_unknown_input_root_is_not_compared() {
    let mut scene = scene();
    scene.expected.input_root = None;
    scene.report.input_root = digest(99);
    assert_eq!(scene.judge(), Ok(()));
}

/// R130
#[test]
fn the_word_software_stands_in_the_signed_bytes() {
    let scene = scene();
    for bytes in
        [symphony_types::canonical::to_bytes(&scene.boot), symphony_types::canonical::to_bytes(&scene.report)]
    {
        assert!(bytes.windows(8).any(|window| window == b"software"));
    }
    assert!(PlatformClass::Software.is_software());
    assert_eq!(PlatformClass::Software.as_str(), "software");
}

#[test]
fn reasons_have_distinct_texts() {
    let texts: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(texts.len(), Reason::ALL.len());
}
