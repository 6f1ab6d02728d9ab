//! Judges an enclave's reports against policy and against what was asked (R121, R124, R125, R130).
//!
//! Pure: every fact is an argument, so that each node and each later replay judges alike. All faults are
//! collected, not only the first; an empty list is the only yes. A boot report is judged by the one kind of voucher that its
//! class calls for, and the other kind counts for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use symphony_attest::appraise as vendor;
use symphony_attest::appraise::Tier;
use symphony_attest::fault::FaultCode;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, Measurement, PlatformId, TaskId};
use symphony_types::key::{Document as _, PublicKey, SoftwarePlatform};

use crate::hardware::{self, Admission, HardwareAdmitted};
use crate::report::{EnclaveRole, SignedBoot, SignedReport, platform_id};
use crate::voucher::Voucher;

/// What governance admits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppraisalPolicy {
    /// The name of the network.
    pub chain: String,
    /// Programs that may run. A task is judged by those it was admitted with (R120, R128).
    pub measurements: BTreeSet<Measurement>,
    /// Machines without trusted hardware that may host enclaves, with their quoting keys.
    pub platforms: BTreeMap<PlatformId, PublicKey<SoftwarePlatform>>,
    /// Machines that no longer may.
    pub revoked_platforms: BTreeSet<PlatformId>,
    /// Whether enclaves without hardware are admitted. False in production (R130).
    pub software_admitted: bool,
    /// What is admitted of trusted hardware.
    pub hardware: HardwareAdmitted,
}

/// What a report must be about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The task that was dispatched.
    pub task: TaskId,
    /// The step that was dispatched.
    pub step: String,
    /// The challenge that was sent with it.
    pub nonce: Digest,
    /// Root over the inputs, where the judge knows it.
    pub input_root: Option<Digest>,
    /// Hash of the output in hand.
    pub output: Digest,
    /// The actor that was asked.
    pub actor: ActorId,
    /// What its enclave must be there for.
    pub role: EnclaveRole,
    /// SHA-256 of the module that must have run, where one must.
    pub module: Option<Digest>,
    /// Whether the inputs must be wiped.
    pub purged: bool,
}

/// Judges a boot report: may anything be sealed to this enclave at all (R121)?
///
/// **Errors**: every reason against it, in the order of [`Reason`].
pub fn appraise_boot(
    boot: &SignedBoot,
    policy: &AppraisalPolicy,
    role: EnclaveRole,
) -> Result<(), Vec<Reason>> {
    examine_boot(boot, policy, role).map(drop)
}

/// The same, telling how far a good report may be relied on. **Errors**: as [`appraise_boot`].
pub fn examine_boot(
    boot: &SignedBoot,
    policy: &AppraisalPolicy,
    role: EnclaveRole,
) -> Result<Tier, Vec<Reason>> {
    let (faults, tier) = boot_faults(boot, policy, role);
    verdict(faults).map(|()| tier)
}

/// Judges the report of one step together with the boot report that vouches for its key (R124).
///
/// **Errors**: every reason against it, in the order of [`Reason`]; the step must then be rejected (R125).
pub fn appraise(
    boot: &SignedBoot,
    report: &SignedReport,
    policy: &AppraisalPolicy,
    expected: &Expected,
) -> Result<(), Vec<Reason>> {
    examine(boot, report, policy, expected).map(drop)
}

/// The same, telling how far a good report may be relied on. **Errors**: as [`appraise`].
pub fn examine(
    boot: &SignedBoot,
    report: &SignedReport,
    policy: &AppraisalPolicy,
    expected: &Expected,
) -> Result<Tier, Vec<Reason>> {
    let (mut faults, tier) = boot_faults(boot, policy, expected.role);
    let (start, work) = (&boot.body, &report.body);
    let mut require = |holds: bool, reason| {
        if !holds {
            faults.push(reason);
        }
    };
    require(report.verify(&start.signing_key), Reason::ReportSignature);
    require(work.boot == start.digest(), Reason::BootReport);
    require(work.class == start.class, Reason::Class);
    require(work.signing_key == start.signing_key, Reason::SigningKey);
    require(work.measurement == start.measurement, Reason::MeasurementDiffers);
    require(work.platform == start.platform, Reason::PlatformDiffers);
    require(work.actor == expected.actor && start.actor == expected.actor, Reason::Actor);
    require(work.task == expected.task, Reason::Task);
    require(work.step == expected.step, Reason::Step);
    require(work.nonce == expected.nonce, Reason::Nonce);
    require(expected.input_root.is_none_or(|root| work.input_root == root), Reason::InputRoot);
    require(work.output == expected.output, Reason::Output);
    require(work.module.as_ref().map(|module| module.code) == expected.module, Reason::Module);
    require(work.purged || !expected.purged, Reason::NotPurged);
    require(work.notice == work.class.notice(), Reason::ReportNotice);
    verdict(faults).map(|()| tier)
}

fn boot_faults(boot: &SignedBoot, policy: &AppraisalPolicy, role: EnclaveRole) -> (Vec<Reason>, Tier) {
    let body = &boot.body;
    let (mut faults, tier) = vouched(boot, policy);
    let mut require = |holds: bool, reason| {
        if !holds {
            faults.push(reason);
        }
    };
    require(policy.software_admitted || !body.class.is_software(), Reason::SoftwareRefused);
    require(body.notice == body.class.notice(), Reason::BootNotice);
    require(body.chain == policy.chain, Reason::Chain);
    require(body.role == role, Reason::Role);
    // Of hardware the evidence tells the program, and its judgement names what is unknown.
    let known = body.class.vendor().is_some() || policy.measurements.contains(&body.measurement);
    require(known, Reason::MeasurementUnknown);
    (faults, tier)
}

/// What speaks against machine and program by the voucher that the class calls for.
fn vouched(boot: &SignedBoot, policy: &AppraisalPolicy) -> (Vec<Reason>, Tier) {
    match (boot.body.class.vendor(), &boot.voucher) {
        (None, Voucher::Software { .. }) => {
            let faults = quoted(boot, policy);
            let tier = if faults.is_empty() { Tier::Affirming } else { Tier::Contraindicated };
            (faults, tier)
        }
        (Some(_), Voucher::Vendor(_)) => {
            let admission = Admission {
                measurements: &policy.measurements,
                revoked: &policy.revoked_platforms,
                software_admitted: policy.software_admitted,
            };
            hardware::judge(boot, &policy.hardware, &admission)
        }
        (None, Voucher::Vendor(_)) | (Some(_), Voucher::Software { .. }) => {
            (vec![Reason::VoucherClass], Tier::Contraindicated)
        }
    }
}

fn quoted(boot: &SignedBoot, policy: &AppraisalPolicy) -> Vec<Reason> {
    let body = &boot.body;
    let mut faults = Vec::new();
    let mut require = |holds: bool, reason| {
        if !holds {
            faults.push(reason);
        }
    };
    match policy.platforms.get(&body.platform) {
        None => require(false, Reason::PlatformUnknown),
        Some(key) => {
            require(platform_id(key) == body.platform, Reason::PlatformKey);
            require(boot.quoted_by(key), Reason::BootSignature);
        }
    }
    require(!policy.revoked_platforms.contains(&body.platform), Reason::PlatformRevoked);
    require(body.vendor.is_none(), Reason::VendorDiffers);
    faults
}

fn verdict(faults: Vec<Reason>) -> Result<(), Vec<Reason>> {
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident = $text:literal;)*) => {
        /// Why a report is not accepted. The text is stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $reason,)*
            /// The evidence does not verify.
            Evidence(FaultCode),
            /// The evidence is good and what it says is refused.
            Vendor(vendor::Reason),
        }

        impl Reason {
            /// Every reason of this crate's own, in order.
            pub const ALL: &'static [Self] = &[$(Self::$reason),*];

            /// The stable text.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$reason => $text,)*
                    Self::Evidence(code) => code.as_str(),
                    Self::Vendor(reason) => reason.as_str(),
                }
            }
        }
    };
}

reasons! {
    /// What vouches for the report is of another kind than its class calls for (R130).
    VoucherClass = "voucher-of-another-class";
    /// The report names other evidence than it comes with.
    VendorDiffers = "vendor-evidence-differs";
    /// The report names another class than the evidence or the registry.
    BootClass = "boot-class-differs";
    /// The report names another program than the evidence.
    BootMeasurement = "boot-measurement-differs";
    /// The report names another machine than the evidence.
    BootPlatform = "boot-platform-differs";
    /// Governance does not know the machine.
    PlatformUnknown = "platform-unknown";
    /// The registered key is not that machine's.
    PlatformKey = "platform-key-differs";
    /// The machine did not sign the boot report.
    BootSignature = "boot-signature-invalid";
    /// The machine was struck off.
    PlatformRevoked = "platform-revoked";
    /// Policy wants hardware.
    SoftwareRefused = "software-class-refused";
    /// The boot report does not say what its class is.
    BootNotice = "boot-notice-missing";
    /// The enclave was started for another network.
    Chain = "chain-differs";
    /// The enclave was started for another purpose.
    Role = "role-differs";
    /// Governance does not know the program.
    MeasurementUnknown = "measurement-unknown";
    /// The enclave did not sign the report.
    ReportSignature = "report-signature-invalid";
    /// The report cites another start.
    BootReport = "boot-report-differs";
    /// The report names another class than the start.
    Class = "class-differs";
    /// The report names another key than the start.
    SigningKey = "signing-key-differs";
    /// The report names another program than the start.
    MeasurementDiffers = "measurement-differs";
    /// The report names another machine than the start.
    PlatformDiffers = "platform-differs";
    /// Another actor answers.
    Actor = "actor-differs";
    /// The report is about another task.
    Task = "task-differs";
    /// The report is about another step.
    Step = "step-differs";
    /// The report answers another challenge.
    Nonce = "nonce-differs";
    /// The report is about other inputs.
    InputRoot = "input-root-differs";
    /// The report is about another output.
    Output = "output-differs";
    /// Another module ran, or none.
    Module = "module-differs";
    /// Inputs were not wiped.
    NotPurged = "not-purged";
    /// The report does not say what its class is.
    ReportNotice = "report-notice-missing";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
