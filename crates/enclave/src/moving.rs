//! Batches of people on their way between Vaults (R081): the source's enclave opens what its Vault gave it and seals it to the
//! destination's enclave, attested; that one opens it and seals it to its own Vault. No key of either Vault leaves it.

use symphony_protocol::vault::moving::{Invitation, Item, SignedInvitation, load};
use symphony_tee::appraise::{Expected, appraise, appraise_boot};
use symphony_tee::report::{EnclaveRole, SignedBoot, move_step};
use symphony_tee::session::Work;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, TaskId};
use symphony_types::key::{Document as _, PublicKey, Vault};
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, MovingOut, purpose};
use symphony_wire::sealed;
use zeroize::Zeroizing;

use crate::handler::Handler;
use crate::refusal::{Refusal, boot_of, malformed, policy_of, report_of, unbelieved};
use crate::station::Station;

/// A batch that leaves. **Errors**: the invitation is not the destination's, or its enclave is not to be believed.
pub(crate) fn out<S: Station>(handler: &Handler<S>, asked: &MovingOut) -> Result<Answer, Refusal> {
    let MovingOut { invitation, key, boot, batch, policy, versions } = asked;
    let boot = recipient(invitation, key, boot, policy)?;
    let invited = invitation.body.digest();
    let items = Zeroizing::new(opened(handler, purpose::MOVE_BATCH, &invited, batch)?);
    let root = content(&items)?;
    let sealed = sealed::seal(&boot.body.hpke_key, purpose::MOVE, &invited.0, &items)
        .map_err(|_| Refusal::new(Code::SealInvalid, "the destination's key is not valid"))?;
    let report = handler.station.report(Work {
        task: TaskId(invitation.body.proposal),
        step: move_step(&invitation.body.from, &invitation.body.to),
        nonce: invited,
        module: None,
        input_root: root,
        output: Digest::of_bytes(&sealed),
        schema: versions.schema,
        semantic: versions.semantic,
        policy: versions.policy,
        purged: true,
    });
    Ok(Answer::MovedOut { sealed, report: documents::encode(&report) })
}

/// A batch that arrives. **Errors**: the source's enclave is not to be believed, or did not seal this for this invitation.
#[allow(clippy::too_many_arguments, reason = "the fields of one call")]
pub(crate) fn arrive<S: Station>(
    handler: &Handler<S>,
    invitation: &Invitation,
    executor: &ActorId,
    (boot, report): (&[u8], &[u8]),
    batch: &[u8],
    policy: &[u8],
    vault: &[u8],
) -> Result<Answer, Refusal> {
    let policy = policy_of(policy)?;
    let boot = boot_of(boot)?;
    let report = report_of(report)?;
    let invited = invitation.digest();
    let expected = Expected {
        task: TaskId(invitation.proposal),
        step: move_step(&invitation.from, &invitation.to),
        nonce: invited,
        input_root: None,
        output: Digest::of_bytes(batch),
        actor: executor.clone(),
        role: EnclaveRole::Slice,
        module: None,
        purged: true,
    };
    appraise(&boot, &report, &policy, &expected).map_err(|reasons| unbelieved(OTHER, &reasons))?;
    let items = Zeroizing::new(opened(handler, purpose::MOVE, &invited, batch)?);
    if content(&items)? != report.body.input_root {
        return Err(Refusal::new(Code::AttestationFailed, "the batch is not what the report is about"));
    }
    let sealed = sealed::seal(vault, purpose::MOVED, &invited.0, &items)
        .map_err(|_| Refusal::new(Code::SealInvalid, "the vault's key is not valid"))?;
    Ok(Answer::MovedIn { sealed })
}

/// The boot report that an invitation names, of an enclave that may have people's records.
fn recipient(
    invitation: &SignedInvitation,
    key: &PublicKey<Vault>,
    boot: &[u8],
    policy: &[u8],
) -> Result<SignedBoot, Refusal> {
    if !invitation.verify(key) {
        return Err(Refusal::new(Code::Forbidden, "the destination did not sign the invitation"));
    }
    let (policy, boot) = (policy_of(policy)?, boot_of(boot)?);
    if boot.body.digest() != invitation.body.boot {
        return Err(Refusal::new(Code::AttestationFailed, "the invitation is for another enclave"));
    }
    appraise_boot(&boot, &policy, EnclaveRole::Slice).map_err(|reasons| unbelieved(OTHER, &reasons))?;
    Ok(boot)
}

fn opened<S: Station>(
    handler: &Handler<S>,
    purpose: &str,
    invited: &Digest,
    batch: &[u8],
) -> Result<Vec<u8>, Refusal> {
    let opened = handler.sealing.open(purpose, &invited.0, batch);
    opened.map_err(|_| Refusal::new(Code::SealInvalid, "the batch does not open"))
}

/// The root over the commitments of a batch.
fn content(items: &[u8]) -> Result<Digest, Refusal> {
    let items: Vec<Item> = documents::decode(items).map_err(|_| malformed("batch"))?;
    Ok(load(&items).root)
}

const OTHER: &str = "the other enclave";
