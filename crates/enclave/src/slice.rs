//! The slice enclave: evaluates a query or a statistic, or runs a module, over one Vault's sealed material and seals what it finds to the
//! aggregator's enclave (R087, R092, R110, R126, R127).

use symphony_compute::cells::Sums;
use symphony_compute::material::Material;
use symphony_compute::slice::{SliceError, SliceSignals};
use symphony_compute::statistic::Notes;
use symphony_compute::{material, slice};
use symphony_protocol::artifact::statistic::StatisticPlan;
use symphony_protocol::artifact::{Assignment, EndorsedAssignment, Plan, TaskEnvelope};
use symphony_tee::asking::Host;
use symphony_tee::report::{EnclaveRole, ModuleRun, slice_step};
use symphony_tee::session::Work;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::key::{Document as _, Master, PublicKey};
use symphony_types::subjects::SubjectIndex;
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, SignedTaskKeys, TaskKeys, purpose};
use symphony_wire::sealed::seal;
use zeroize::{Zeroize as _, Zeroizing};

use crate::handler::Handler;
use crate::modules;
use crate::refusal::{Refusal, admit_boot, check_envelope, query, task_and_vault, verify_order};
use crate::segments::{self, Given};
use crate::station::Station;

/// Evaluates an order over its material, and over segments whose bytes the host is asked for.
pub(crate) fn evaluate<S: Station>(
    handler: &Handler<S>,
    host: &mut dyn Host,
    assignment: &EndorsedAssignment,
    sealed: (&[u8], Option<Given<'_>>),
    policy: &[u8],
    masters: &[PublicKey<Master>],
) -> Result<Answer, Refusal> {
    let order = endorsed(assignment, masters)?;
    let envelope = &order.envelope;
    let mut keys = task_keys(handler, order, policy)?;
    let result = found(handler, host, order, sealed, &keys);
    keys.dedupe.zeroize();
    let Some(Found { bundle, input_root, derived }) = result? else { return Ok(Answer::ModuleWanted) };
    // Everything opened for this call is wiped and gone by here: material and signals wipe themselves.
    let report = handler.station.report(Work {
        task: envelope.task,
        step: slice_step(&order.vault),
        nonce: order.nonce,
        module: ran(envelope),
        input_root,
        output: Digest::of_bytes(&bundle),
        schema: envelope.versions.schema,
        semantic: envelope.versions.semantic,
        policy: envelope.versions.policy,
        purged: true,
    });
    Ok(Answer::Evaluated { bundle, derived, input_root, report: documents::encode(&report) })
}

/// The order, when it is the masters' and for a Vault that takes part.
pub(crate) fn endorsed<'a>(
    assignment: &'a EndorsedAssignment,
    masters: &[PublicKey<Master>],
) -> Result<&'a Assignment, Refusal> {
    verify_order(assignment, masters)?;
    let order = &assignment.body;
    check_envelope(&order.envelope)?;
    if !order.envelope.coordination.participating_vault_ids.contains(&order.vault) {
        return Err(Refusal::new(Code::EnvelopeInvalid, "the vault does not take part"));
    }
    Ok(order)
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

/// What came of a slice.
struct Found {
    bundle: Vec<u8>,
    input_root: Digest,
    derived: Vec<(SubjectIndex, u64)>,
}

/// Opens the material, evaluates, seals what goes to the aggregator; `None` when the module is not there. What was opened is
/// wiped on return.
fn found<S: Station>(
    handler: &Handler<S>,
    host: &mut dyn Host,
    order: &Assignment,
    (sealed, segments): (&[u8], Option<Given<'_>>),
    keys: &TaskKeys,
) -> Result<Option<Found>, Refusal> {
    let envelope = &order.envelope;
    let module = match &envelope.plan {
        Plan::Compute(plan) => match handler.modules.get(&plan.code)? {
            Some(module) => Some((plan, module)),
            None => return Ok(None),
        },
        Plan::Audience(_) | Plan::Training(_) | Plan::Statistic(_) => None,
    };
    let opened = handler.sealing.open(purpose::MATERIAL, &order.digest().0, sealed);
    let opened = opened.map_err(|_| Refusal::new(Code::SealInvalid, "the material does not open"))?;
    let material =
        material::read(opened).map_err(|error| Refusal::new(Code::RecordInvalid, error.to_string()))?;
    let beside = material.root();
    let (plaintext, derived, input_root) = match (module, envelope.plan.statistic()) {
        (Some(_), _) if segments.is_some() => {
            return Err(Refusal::new(Code::Malformed, "a module reads no segments"));
        }
        (Some((plan, module)), _) => {
            let (sums, derived) = modules::evaluate(handler, order, plan, module, &material)?;
            (Zeroizing::new(documents::encode(&sums)), derived, beside)
        }
        (None, Some(plan)) => {
            let (sums, input_root) = numbers(handler, host, order, plan, (&material, segments))?;
            (Zeroizing::new(documents::encode(&sums)), vec![], input_root)
        }
        (None, None) => {
            let (signals, input_root) = audience(handler, host, order, (&material, segments), keys)?;
            (Zeroizing::new(documents::encode(&signals)), vec![], input_root)
        }
    };
    drop(material);
    let aad = task_and_vault(envelope.task, &order.vault);
    let bundle = seal(&keys.aggregator_key, purpose::BUNDLE, &aad, &plaintext)
        .map_err(|error| Refusal::new(Code::SealInvalid, error.to_string()))?;
    Ok(Some(Found { bundle, input_root, derived }))
}

/// Whom a query selects by the material and by segments, and the root of both.
fn audience<S: Station>(
    handler: &Handler<S>,
    host: &mut dyn Host,
    order: &Assignment,
    (material, segments): (&Material, Option<Given<'_>>),
    keys: &TaskKeys,
) -> Result<(SliceSignals, Digest), Refusal> {
    let envelope = &order.envelope;
    let query = query(envelope)?;
    let (selected, input_root) = match segments {
        Some(segments) => {
            if material.people_len() > 0 {
                return Err(Refusal::new(Code::RecordInvalid, "handles come with records beside segments"));
            }
            segments::select(handler, host, order, query, (segments, material))?
        }
        None => (vec![], material.root()),
    };
    let finished = slice::evaluate(envelope.task, &order.vault, query, material, &keys.dedupe, selected);
    Ok((finished.map_err(unfit)?.signals, input_root))
}

/// What a statistic answers over the material and over segments, and the root of both. It needs nobody's handle.
fn numbers<S: Station>(
    handler: &Handler<S>,
    host: &mut dyn Host,
    order: &Assignment,
    plan: &StatisticPlan,
    (material, segments): (&Material, Option<Given<'_>>),
) -> Result<(Sums, Digest), Refusal> {
    if material.people_len() > 0 {
        return Err(Refusal::new(Code::RecordInvalid, "handles come with the records of a statistic"));
    }
    let mut notes = Notes::read(plan.inquiry(), material).map_err(unfit)?;
    let beside = material.root();
    let input_root = match segments {
        Some(segments) => segments::note(handler, host, order, (segments, beside), &mut notes)?,
        None => beside,
    };
    let seed = handler.secret(SEED_TAG, order.envelope.task, order.vault.as_str().as_bytes());
    Ok((notes.sums(order.envelope.task, &order.vault, plan, *seed), input_root))
}

pub(crate) fn unfit(error: SliceError) -> Refusal {
    Refusal::new(Code::RecordInvalid, error.to_string())
}

/// The module of an order, as the report names it.
fn ran(envelope: &TaskEnvelope) -> Option<ModuleRun> {
    let plan = envelope.plan.compute()?;
    Some(ModuleRun {
        code: plan.code,
        fuel_schedule: modules::FUEL_SCHEDULE.into(),
        fuel_max: plan.fuel_max(),
    })
}

const SEED_TAG: &str = "symphony/statistic-seed/v1";
