//! The aggregator's enclave: makes a task's keys, then combines the slices and seals the result to the submitter
//! (R088-R093, R112, R115-R117, D18, D19).

use serde::Serialize;
use serde::de::DeserializeOwned;
use symphony_compute::cells::Sums;
use symphony_compute::combine::combine;
use symphony_compute::modules;
use symphony_compute::slice::SliceSignals;
use symphony_compute::statistic;
use symphony_protocol::artifact::{
    AggregateHeader, EndorsedEnvelope, HelperShare, Outcome, Plan, SignedAggregate, TaskEnvelope,
};
use symphony_tee::report::{AGGREGATE_STEP, EnclaveRole};
use symphony_tee::session::Work;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{TaskId, VaultId};
use symphony_types::key::{Master, PublicKey};
use symphony_types::merkle;
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, TaskKeys, purpose};
use symphony_wire::sealed::seal;
use zeroize::{Zeroize as _, Zeroizing};

use crate::handler::Handler;
use crate::refusal::{
    Refusal, admit_boot, check_envelope, check_vaults, query, task_and_vault, verify_order,
};
use crate::station::Station;

/// Makes the task's keys for each admitted slice enclave.
pub(crate) fn open_task<S: Station>(
    handler: &Handler<S>,
    envelope: &EndorsedEnvelope,
    slices: &[(VaultId, Vec<u8>)],
    policy: &[u8],
    masters: &[PublicKey<Master>],
) -> Result<Answer, Refusal> {
    let envelope = own_order(handler, envelope, masters)?;
    check_vaults(envelope, slices.iter().map(|(vault, _)| vault))?;
    let dedupe = handler.secret(DEDUPE_TAG, envelope.task, b"");
    let mut sealed = Vec::with_capacity(slices.len());
    for (vault, boot) in slices {
        let slice = admit_boot(boot, policy, envelope, EnclaveRole::Slice)
            .map_err(|refusal| Refusal::new(refusal.code, format!("{vault}: {}", refusal.detail)))?;
        let mut keys = handler.station.sign(TaskKeys {
            task: envelope.task,
            vault: vault.clone(),
            dedupe: *dedupe,
            aggregator_key: handler.station.boot().hpke_key.to_vec(),
        });
        let plaintext = Zeroizing::new(documents::encode(&keys));
        keys.body.dedupe.zeroize();
        let aad = task_and_vault(envelope.task, vault);
        let message = seal(&slice.hpke_key, purpose::TASK_KEYS, &aad, &plaintext)
            .map_err(|error| Refusal::new(Code::SealInvalid, format!("{vault}: {error}")))?;
        sealed.push((vault.clone(), message));
    }
    Ok(Answer::Opened { keys: sealed })
}

/// Combines the bundles to the submitter's result.
pub(crate) fn aggregate<S: Station>(
    handler: &Handler<S>,
    envelope: &EndorsedEnvelope,
    nonce: Digest,
    bundles: &[(VaultId, Vec<u8>)],
    masters: &[PublicKey<Master>],
) -> Result<Answer, Refusal> {
    let envelope = own_order(handler, envelope, masters)?;
    check_vaults(envelope, bundles.iter().map(|(vault, _)| vault))?;
    let (sealed, outcome, seed) = match &envelope.plan {
        Plan::Compute(plan) => {
            let combine = |slices| modules::combine(envelope.task, plan, slices);
            answer(handler, envelope, bundles, combine, |result| result.outcome)?
        }
        Plan::Statistic(plan) => {
            let combine = |slices| statistic::combine(envelope.task, plan, slices);
            answer(handler, envelope, bundles, combine, |result| result.outcome)?
        }
        Plan::Audience(_) | Plan::Training(_) => {
            let seed = Digest(*handler.secret(SEED_TAG, envelope.task, AGGREGATE_STEP.as_bytes()));
            let (sealed, outcome) = result(handler, envelope, bundles, &seed)?;
            (sealed, outcome, seed)
        }
    };
    // Bundles, handles and the result wiped themselves on return from there.
    let made = Made { bundles, outcome, result: Digest::of_bytes(&sealed), seed: &seed, helper: None };
    let (header, report) = stated(handler, envelope, nonce, made);
    Ok(Answer::Aggregated { header, sealed, report })
}

/// What an aggregator made, to be said.
pub(crate) struct Made<'a> {
    pub(crate) bundles: &'a [(VaultId, Vec<u8>)],
    pub(crate) outcome: Outcome,
    pub(crate) result: Digest,
    pub(crate) seed: &'a Digest,
    pub(crate) helper: Option<HelperShare>,
}

/// The header and the report on an aggregation that has left nothing behind.
pub(crate) fn stated<S: Station>(
    handler: &Handler<S>,
    envelope: &TaskEnvelope,
    nonce: Digest,
    made: Made<'_>,
) -> (SignedAggregate, Vec<u8>) {
    let Made { bundles, outcome, result, seed, helper } = made;
    let report = reported(handler, envelope, nonce, (bundles, result));
    let header = handler.station.sign(AggregateHeader {
        task: envelope.task,
        aggregator: envelope.coordination.aggregator.clone(),
        inputs: inputs(bundles),
        outcome,
        result,
        seed: commitment(seed),
        report: Digest::of_bytes(&report),
        helper,
    });
    (header, report)
}

/// The report on an aggregation that made this output of these bundles, canonical bytes.
pub(crate) fn reported<S: Station>(
    handler: &Handler<S>,
    envelope: &TaskEnvelope,
    nonce: Digest,
    (bundles, output): (&[(VaultId, Vec<u8>)], Digest),
) -> Vec<u8> {
    let leaves: Vec<_> = inputs(bundles).iter().map(|(_, bundle)| merkle::leaf(&bundle.0)).collect();
    documents::encode(&handler.station.report(Work {
        task: envelope.task,
        step: AGGREGATE_STEP.into(),
        nonce,
        module: None,
        input_root: merkle::root(&leaves),
        output,
        schema: envelope.versions.schema,
        semantic: envelope.versions.semantic,
        policy: envelope.versions.policy,
        purged: true,
    }))
}

/// What may be known of a seed.
pub(crate) fn commitment(seed: &Digest) -> Digest {
    Digest::tagged(SEED_COMMITMENT_TAG, &seed.0)
}

/// The digest of each bundle by Vault.
fn inputs(bundles: &[(VaultId, Vec<u8>)]) -> Vec<(VaultId, Digest)> {
    bundles.iter().map(|(vault, bundle)| (vault.clone(), Digest::of_bytes(bundle))).collect()
}

/// Opens, combines, seals. What was opened is wiped on return.
fn result<S: Station>(
    handler: &Handler<S>,
    envelope: &TaskEnvelope,
    bundles: &[(VaultId, Vec<u8>)],
    seed: &Digest,
) -> Result<(Vec<u8>, Outcome), Refusal> {
    let mut slices: Vec<SliceSignals> = Vec::with_capacity(bundles.len());
    for (vault, bundle) in bundles {
        let signals: SliceSignals = open_bundle(handler, envelope.task, vault, bundle)?;
        if signals.task != envelope.task || signals.vault != *vault {
            return Err(stranger(vault));
        }
        slices.push(signals);
    }
    let mut result = combine(envelope.task, query(envelope)?, slices, envelope.charge.noised, seed);
    let outcome = result.outcome;
    let plaintext = Zeroizing::new(documents::encode(&result));
    result.handles.zeroize();
    Ok((to_submitter(envelope, &plaintext)?, outcome))
}

/// Opens the sums of a run, gives them to `combine`, seals what comes of it; with the seed of the noise. What was opened is wiped on
/// return.
fn answer<S: Station, T: Serialize>(
    handler: &Handler<S>,
    envelope: &TaskEnvelope,
    bundles: &[(VaultId, Vec<u8>)],
    combine: impl FnOnce(Vec<Sums>) -> Result<(T, Digest), VaultId>,
    outcome: impl FnOnce(&T) -> Outcome,
) -> Result<(Vec<u8>, Outcome, Digest), Refusal> {
    let mut slices: Vec<Sums> = Vec::with_capacity(bundles.len());
    for (vault, bundle) in bundles {
        let sums: Sums = open_bundle(handler, envelope.task, vault, bundle)?;
        if sums.task != envelope.task || sums.vault != *vault {
            return Err(stranger(vault));
        }
        slices.push(sums);
    }
    let (result, seed) = combine(slices).map_err(|vault| {
        Refusal::new(Code::AggregationFailed, format!("{vault}: the sums are not those of the task"))
    })?;
    let plaintext = Zeroizing::new(documents::encode(&result));
    Ok((to_submitter(envelope, &plaintext)?, outcome(&result), seed))
}

fn to_submitter(envelope: &TaskEnvelope, plaintext: &[u8]) -> Result<Vec<u8>, Refusal> {
    let aad = documents::encode(&envelope.task);
    seal(&envelope.recipient, purpose::RESULT, &aad, plaintext)
        .map_err(|error| Refusal::new(Code::SealInvalid, error.to_string()))
}

fn stranger(vault: &VaultId) -> Refusal {
    Refusal::new(Code::AggregationFailed, format!("{vault}: the bundle is of another slice"))
}

fn open_bundle<S: Station, T: DeserializeOwned>(
    handler: &Handler<S>,
    task: TaskId,
    vault: &VaultId,
    bundle: &[u8],
) -> Result<T, Refusal> {
    let refuse = |detail: &str| Refusal::new(Code::AggregationFailed, format!("{vault}: {detail}"));
    let opened = handler.sealing.open(purpose::BUNDLE, &task_and_vault(task, vault), bundle);
    let opened = Zeroizing::new(opened.map_err(|_| refuse("the bundle does not open"))?);
    documents::decode(&opened).map_err(|_| refuse("the bundle is malformed"))
}

/// The order, if the masters endorse it and it names this enclave's actor as aggregator.
fn own_order<'a, S: Station>(
    handler: &Handler<S>,
    envelope: &'a EndorsedEnvelope,
    masters: &[PublicKey<Master>],
) -> Result<&'a TaskEnvelope, Refusal> {
    verify_order(envelope, masters)?;
    let envelope = &envelope.body;
    check_envelope(envelope)?;
    if envelope.coordination.aggregator != handler.station.boot().actor {
        return Err(Refusal::new(Code::EnvelopeInvalid, "another actor is the aggregator"));
    }
    Ok(envelope)
}

const DEDUPE_TAG: &str = "symphony/dedupe-key/v1";
const SEED_TAG: &str = "symphony/task-seed/v1";
const SEED_COMMITMENT_TAG: &str = "symphony/seed-commitment/v1";
