//! The slice enclave: evaluates a query over one Vault's sealed material and seals the signals to the
//! aggregator's enclave (R087, R092, R110, R126, R127).

use symphony_compute::{material, slice};
use symphony_protocol::artifact::{Assignment, EndorsedAssignment};
use symphony_tee::report::{EnclaveRole, slice_step};
use symphony_tee::session::Work;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::key::{Document as _, Master, PublicKey};
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, SignedTaskKeys, TaskKeys, purpose};
use symphony_wire::sealed::seal;
use zeroize::{Zeroize as _, Zeroizing};

use crate::handler::Handler;
use crate::refusal::{Refusal, admit_boot, check_envelope, query, task_and_vault, verify_order};
use crate::station::Station;

pub(crate) fn evaluate<S: Station>(
    handler: &Handler<S>,
    assignment: &EndorsedAssignment,
    material: &[u8],
    policy: &[u8],
    masters: &[PublicKey<Master>],
) -> Result<Answer, Refusal> {
    verify_order(assignment, masters)?;
    let order = &assignment.body;
    let envelope = &order.envelope;
    check_envelope(envelope)?;
    if !envelope.coordination.participating_vault_ids.contains(&order.vault) {
        return Err(Refusal::new(Code::EnvelopeInvalid, "the vault does not take part"));
    }
    let mut keys = task_keys(handler, order, policy)?;
    let result = signals(handler, order, material, &keys);
    keys.dedupe.zeroize();
    let (bundle, input_root) = result?;
    // Everything opened for this call is wiped and gone by here: material and signals wipe themselves.
    let report = handler.station.report(Work {
        task: envelope.task,
        step: slice_step(&order.vault),
        nonce: order.nonce,
        input_root,
        output: Digest::of_bytes(&bundle),
        schema: envelope.versions.schema,
        semantic: envelope.versions.semantic,
        policy: envelope.versions.policy,
        purged: true,
    });
    Ok(Answer::Evaluated { bundle, input_root, report: documents::encode(&report) })
}

/// The keys that the aggregator's enclave made for this Vault's slice of this task, and nobody else.
fn task_keys<S: Station>(
    handler: &Handler<S>,
    order: &Assignment,
    policy: &[u8],
) -> Result<TaskKeys, Refusal> {
    let envelope = &order.envelope;
    let aggregator = admit_boot(&order.aggregator_boot, policy, envelope, EnclaveRole::Aggregator)?;
    if aggregator.actor != envelope.coordination.aggregator {
        return Err(Refusal::new(Code::AttestationFailed, "boot report: actor-differs"));
    }
    let refuse = |detail| Refusal::new(Code::SealInvalid, detail);
    let aad = task_and_vault(envelope.task, &order.vault);
    let opened = handler.sealing.open(purpose::TASK_KEYS, &aad, &order.sealed_keys);
    let opened = Zeroizing::new(opened.map_err(|_| refuse("the task keys do not open"))?);
    let keys: SignedTaskKeys =
        documents::decode(&opened).map_err(|_| refuse("the task keys are malformed"))?;
    let whole = keys.verify(&aggregator.signing_key);
    let mut keys = keys.body;
    let fits = keys.task == envelope.task
        && keys.vault == order.vault
        && keys.aggregator_key == aggregator.hpke_key.as_slice();
    if !(whole && fits) {
        keys.dedupe.zeroize();
        return Err(refuse("the task keys are not the aggregator's for this slice"));
    }
    Ok(keys)
}

/// Opens the material, evaluates, seals the signals. What was opened is wiped on return.
fn signals<S: Station>(
    handler: &Handler<S>,
    order: &Assignment,
    sealed: &[u8],
    keys: &TaskKeys,
) -> Result<(Vec<u8>, Digest), Refusal> {
    let opened = handler.sealing.open(purpose::MATERIAL, &order.digest().0, sealed);
    let opened = opened.map_err(|_| Refusal::new(Code::SealInvalid, "the material does not open"))?;
    let material =
        material::read(opened).map_err(|error| Refusal::new(Code::RecordInvalid, error.to_string()))?;
    let envelope = &order.envelope;
    let finished = slice::evaluate(envelope.task, &order.vault, query(envelope)?, &material, &keys.dedupe)
        .map_err(|error| Refusal::new(Code::RecordInvalid, error.to_string()))?;
    drop(material);
    let plaintext = Zeroizing::new(documents::encode(&finished.signals));
    let aad = task_and_vault(envelope.task, &order.vault);
    let bundle = seal(&keys.aggregator_key, purpose::BUNDLE, &aad, &plaintext)
        .map_err(|error| Refusal::new(Code::SealInvalid, error.to_string()))?;
    Ok((bundle, finished.input_root))
}
