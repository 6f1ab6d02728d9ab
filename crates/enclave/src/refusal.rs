//! Why a call is not done, and the checks that both roles share.

use symphony_protocol::artifact::{ResolvedQuery, TaskEnvelope};
use symphony_protocol::governance::registry::majority;
use symphony_tee::appraise::{AppraisalPolicy, Reason, appraise_boot};
use symphony_tee::governed::Admitted;
use symphony_tee::report::{BootReport, EnclaveRole, SignedBoot, SignedReport};
use symphony_types::catalogue::Code;
use symphony_types::id::{TaskId, VaultId};
use symphony_types::key::{Document, Endorsed, Master, PublicKey};
use symphony_wire::documents;

/// An expected answer: a code, and words without any private value.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {detail}")]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) detail: String,
}

impl Refusal {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// Whether a majority of the masters endorses the order (R195).
pub(crate) fn verify_order<T: Document>(
    order: &Endorsed<T, Master>,
    masters: &[PublicKey<Master>],
) -> Result<(), Refusal> {
    if order.verify(masters.iter(), majority(masters.len())) {
        return Ok(());
    }
    Err(Refusal::new(Code::EnvelopeInvalid, "no majority of the masters endorses the order"))
}

/// The query of an order.
pub(crate) fn query(envelope: &TaskEnvelope) -> Result<&ResolvedQuery, Refusal> {
    let refuse = || Refusal::new(Code::EnvelopeInvalid, "the task is not a query");
    envelope.plan.query().ok_or_else(refuse)
}

/// Whether the order is one that an enclave of this program serves.
pub(crate) fn check_envelope(envelope: &TaskEnvelope) -> Result<(), Refusal> {
    let refuse = |detail| Err(Refusal::new(Code::EnvelopeInvalid, detail));
    if envelope.coordination.aggregator == envelope.submitter {
        return refuse("the aggregator is the submitter");
    }
    let vaults = &envelope.coordination.participating_vault_ids;
    if !vaults.is_sorted_by(|one, two| one < two) {
        return refuse("the vaults are not in ascending order");
    }
    Ok(())
}

/// Whether these are participating Vaults, each once.
pub(crate) fn check_members<'a>(
    envelope: &TaskEnvelope,
    vaults: impl Iterator<Item = &'a VaultId> + Clone,
) -> Result<(), Refusal> {
    if !vaults.clone().is_sorted_by(|one, two| one < two) {
        return Err(Refusal::new(Code::Malformed, "the vaults are not in ascending order"));
    }
    let members = &envelope.coordination.participating_vault_ids;
    let mut vaults = vaults;
    match vaults.find(|vault| !members.contains(vault)) {
        None => Ok(()),
        Some(stranger) => Err(Refusal::new(Code::EnvelopeInvalid, format!("{stranger} does not take part"))),
    }
}

/// Whether these are participating Vaults, each once, and enough of them.
pub(crate) fn check_vaults<'a>(
    envelope: &TaskEnvelope,
    vaults: impl Iterator<Item = &'a VaultId> + Clone,
) -> Result<(), Refusal> {
    let count = vaults.clone().count();
    check_members(envelope, vaults)?;
    if count == 0 || count < usize::from(envelope.coordination.minimum_vault_quorum) {
        return Err(Refusal::new(Code::QuorumBroken, "fewer vaults than the quorum"));
    }
    Ok(())
}

/// Judges a boot report by the host's policy, narrowed to what the envelope was admitted with (R120, R128).
pub(crate) fn admit_boot(
    boot: &[u8],
    policy: &[u8],
    envelope: &TaskEnvelope,
    role: EnclaveRole,
) -> Result<BootReport, Refusal> {
    let (boot, mut policy) = (boot_of(boot)?, policy_of(policy)?);
    Admitted::of(envelope).narrow(&mut policy);
    appraise_boot(&boot, &policy, role).map_err(|reasons| unbelieved("boot report", &reasons))?;
    Ok(boot.body)
}

pub(crate) fn policy_of(policy: &[u8]) -> Result<AppraisalPolicy, Refusal> {
    documents::decode(policy).map_err(|_| malformed("appraisal policy"))
}

pub(crate) fn boot_of(boot: &[u8]) -> Result<SignedBoot, Refusal> {
    SignedBoot::from_canonical(boot).ok_or_else(|| malformed("boot report"))
}

pub(crate) fn report_of(report: &[u8]) -> Result<SignedReport, Refusal> {
    documents::decode(report).map_err(|_| malformed("attestation report"))
}

pub(crate) fn malformed(what: &str) -> Refusal {
    Refusal::new(Code::Malformed, format!("the {what} is malformed"))
}

/// Why an appraisal was not good.
pub(crate) fn unbelieved(what: &str, reasons: &[Reason]) -> Refusal {
    let reasons: Vec<&str> = reasons.iter().map(|reason| reason.as_str()).collect();
    Refusal::new(Code::AttestationFailed, format!("{what}: {}", reasons.join(", ")))
}

/// The circumstances that task keys and bundles are sealed under.
pub(crate) fn task_and_vault(task: TaskId, vault: &VaultId) -> Vec<u8> {
    documents::encode(&(task, vault))
}
