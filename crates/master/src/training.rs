//! Trainings on the master's side (R097-R102): round after round, each one order to its Vaults and to the aggregator's
//! enclave, endorsed by a majority, and one ordered command.
//!
//! Nothing of a training is kept in this process: the state says which round is next, and what a round leaves beside the
//! journal is at a majority of the masters before the round is ordered. So any master goes on where another one stopped,
//! and because noise is drawn from what the Vaults' enclaves bring, it comes to the same model (R102).
//!
//! | what goes wrong in a round | what follows |
//! |---|---|
//! | a Vault does not answer, refuses, or its part cannot be used | the round is ordered again without it, if the quorum holds; it is asked again in later rounds |
//! | the quorum does not hold | tried again until the lease or the task ends |
//! | the aggregator's enclave refuses for good | this master says so, and another one tries |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use symphony_protocol::artifact::training::{EndorsedRoundOrder, Environment, Round, RoundOrder};
use symphony_protocol::artifact::{Attestation, SignedAggregate, SignedSlice, TaskEnvelope};
use symphony_protocol::execution::failure::Step;
use symphony_protocol::lifecycle::training::Position;
use symphony_protocol::lifecycle::{Stage, Task};
use symphony_protocol::machine::{Command, Effect, State};
use symphony_protocol::verification;
use symphony_tee::governed;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{TaskId, VaultId};
use symphony_wire::documents::{decode, encode};
use symphony_wire::enclave::{Answer, Call, Gathered, Manifest};
use symphony_wire::status::problem_of;
use symphony_wire::v1::{RoundAssignment, SliceResult};

use crate::admission::left;
use crate::blobs::{Kind, Place};
use crate::bulk;
use crate::claim::Subject;
use crate::effects::Fault;
use crate::endorsing::endorsed;
use crate::execution::{check_own, enclave, failed, masters, moved, wrong_answer};
use crate::helping::{self, Unusable};
use crate::node::{Node, now};
use crate::orders::{Ordered, ordered};
use crate::round::{self, Begins, Handed, RoundBulk};

/// Rounds that a Vault is left out of after it failed in one, where the quorum holds without it; twice as many each time,
/// because every round that is ordered again costs the people of the other Vaults.
const LEFT_OUT: u32 = 5;

/// Vaults that failed.
type Failing = BTreeMap<VaultId, Failed>;

/// Vaults that failed in trainings that are to be tried again: who forgets them asks them again and again, and each time
/// it costs the people of the others. Lost with the process.
#[derive(Default)]
pub(crate) struct Remembered(Mutex<BTreeMap<TaskId, Failing>>);

impl Remembered {
    fn take(&self, task: &TaskId) -> Failing {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(task).unwrap_or_default()
    }

    fn keep(&self, task: TaskId, failing: Failing) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED_MAX {
            all.pop_first();
        }
        all.insert(task, failing);
    }
}

/// Trainings whose failing Vaults are remembered.
const REMEMBERED_MAX: usize = 64;

/// Why a Vault failed last, from which round on it is asked again, and how many rounds it was left out of.
struct Failed {
    code: Code,
    again: u32,
    left_out: u32,
}

/// Runs the rounds of a training from wherever it is. **Errors**: [`Fault`].
pub async fn train(node: &Arc<Node>, task: &TaskId) -> Result<(), Fault> {
    let mut failing = node.failing.take(task);
    let ended = rounds(node, task, &mut failing).await;
    if ended.is_err() {
        node.failing.keep(*task, failing);
    }
    ended
}

async fn rounds(node: &Arc<Node>, task: &TaskId, failing: &mut Failing) -> Result<(), Fault> {
    loop {
        let state = node.state();
        let Some(known) = state.tasks.get(task) else { return Ok(()) };
        let Stage::Training { position } = known.stage else { return Ok(()) };
        if !state.holds(&node.id, &Effect::Train(*task)) {
            return Err(moved());
        }
        // Past its time, the order of time itself ends it.
        if left(known.envelope.execute_by).is_none() {
            return Err(Fault::Again("the time of the training is over".to_owned()));
        }
        if let Err(fault) = check_own(node, &state, &known.envelope) {
            return failed(node, *task, Step::Round(position.round), fault).await;
        }
        match run(node, &state, known, position, failing).await {
            Ok(Ran::Recorded | Ran::WithoutThem) => {}
            Err(fault @ Fault::Again(_)) => return Err(fault),
            Err(fault) => return failed(node, *task, Step::Round(position.round), fault).await,
        }
    }
}

/// What became of an attempt at a round.
enum Ran {
    /// It is recorded.
    Recorded,
    /// Some Vaults have no part in it; the next attempt is made without them.
    WithoutThem,
}

/// One attempt at a round.
async fn run(
    node: &Arc<Node>,
    state: &State,
    known: &Task,
    position: Position,
    failing: &mut Failing,
) -> Result<Ran, Fault> {
    let vaults = taking_part(state, &known.envelope, position.round, failing)?;
    let ordered = order(node, known, position, vaults).await?;
    let order = &ordered.order;
    let begins = round::begins(node, state, known, &position).await?;
    let round_ms = state
        .governance
        .policy_of(known.envelope.versions.policy)
        .map_err(symphony_protocol::machine::Refusal::from)?
        .train
        .round_ms;
    let timeout = left(known.envelope.execute_by).unwrap_or_default().min(Duration::from_millis(round_ms));
    let mut parts = match parts(node, &ordered, &begins, timeout).await {
        Ok(parts) => parts,
        Err(faults) => return Ok(leave_out(order, failing, faults)),
    };
    let combined = match combine(node, state, known, order, begins.learner, &mut parts).await? {
        Ok(combined) => combined,
        Err(fault) => return Ok(leave_out(order, failing, vec![fault])),
    };
    record(node, order, &parts, combined, failing).await?;
    Ok(Ran::Recorded)
}

/// The Vaults of a round: all that take part, without suspended ones and those that have failed lately. **Errors**: [`Fault::Again`]
/// when the quorum does not hold without the latter; then they are asked again.
fn taking_part(
    state: &State,
    envelope: &TaskEnvelope,
    round: u32,
    failing: &mut Failing,
) -> Result<Vec<VaultId>, Fault> {
    let suspended = &state.governance.registry.suspensions;
    let failed = |vault: &VaultId| failing.get(vault).is_some_and(|failed| failed.again > round);
    let out = |vault: &VaultId| suspended.contains_key(vault) || failed(vault);
    let all = envelope.coordination.participating_vault_ids.iter();
    let vaults: Vec<_> = all.filter(|vault| !out(vault)).cloned().collect();
    if vaults.len() >= usize::from(envelope.coordination.minimum_vault_quorum) {
        return Ok(vaults);
    }
    let why: Vec<_> = failing.iter().map(|(vault, failed)| format!("{vault}: {}", failed.code)).collect();
    failing.clear();
    Err(Fault::Again(format!("the quorum of the round does not hold: {}", why.join(", "))))
}

/// Leaves Vaults out of the next attempt and some rounds.
fn leave_out(order: &EndorsedRoundOrder, failing: &mut Failing, faults: Vec<(VaultId, Code, String)>) -> Ran {
    let (task, round) = (order.body.envelope.task, order.body.round);
    for (vault, code, detail) in faults {
        tracing::warn!(%task, round, %vault, %code, detail, "a vault has no part in a round");
        let left_out = failing.get(&vault).map_or(LEFT_OUT, |failed| failed.left_out.saturating_mul(2));
        failing.insert(vault, Failed { code, again: round.saturating_add(left_out), left_out });
    }
    Ran::WithoutThem
}

/// The order of a round, with the word of a majority. **Errors**: [`Fault::Again`].
pub(crate) async fn order(
    node: &Node,
    known: &Task,
    position: Position,
    vaults: Vec<VaultId>,
) -> Result<Ordered<RoundOrder>, Fault> {
    let attempt = round::attempt(&known.envelope, now());
    let handed = Handed {
        task: known.envelope.task,
        round: position.round,
        attempt,
        vaults,
        aggregator_boot: encode(&node.aggregator.boot()),
        helper_boot: if shared(&known.envelope) { Some(helping::second(node, attempt).await?) } else { None },
    };
    let order: RoundOrder = handed.order(known, position);
    let mut orders = ordered(node, vec![(Subject::RoundOrder(handed), order)]).await?;
    orders.pop().ok_or_else(|| Fault::Again("the round was not endorsed".to_owned()))
}

/// Whether two aggregators compute on shares.
fn shared(envelope: &TaskEnvelope) -> bool {
    envelope.plan.training().is_some_and(|plan| plan.environment == Environment::Mpc)
}

/// A Vault's part of a round.
pub(crate) struct Part {
    slice: SignedSlice,
    result: SliceResult,
}

/// The parts of all Vaults of a round. **Errors**: those that have none, with why.
async fn parts(
    node: &Arc<Node>,
    ordered: &Ordered<RoundOrder>,
    begins: &Begins,
    timeout: Duration,
) -> Result<Vec<Part>, Vec<(VaultId, Code, String)>> {
    let order = &ordered.order;
    let asked = order.body.vaults.iter().map(|vault| {
        let message = || begins.assignment(vault, ordered.message());
        async move {
            let first = part(node, vault, order, message(), timeout).await;
            let again = match &first {
                Err((code, _)) => ordered.renewed(node, vault, *code).await,
                Ok(_) => false,
            };
            let answer = if again { part(node, vault, order, message(), timeout).await } else { first };
            answer.map_err(|(code, why)| (vault.clone(), code, why))
        }
    });
    let (mut parts, mut faults) = (Vec::new(), Vec::new());
    for answer in join_all(asked).await {
        match answer {
            Ok(part) => parts.push(part),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(parts) } else { Err(faults) }
}

async fn part(
    node: &Node,
    vault: &VaultId,
    order: &EndorsedRoundOrder,
    assignment: RoundAssignment,
    timeout: Duration,
) -> Result<Part, (Code, String)> {
    let mut client = node.peers.vault(vault).map_err(|code| (code, vault.to_string()))?;
    let mut request = tonic::Request::new(assignment);
    request.set_timeout(timeout);
    let answer = tokio::time::timeout(timeout, client.compute_round(request)).await;
    let answer = answer.map_err(|_| (Code::VaultUnavailable, "it takes too long".to_owned()))?;
    checked(node, vault, order, answer.map_err(|status| problem_of(&status))?.into_inner())
}

/// A Vault's part, when it is of this round and an approved enclave made it. **Errors**: why not.
pub(crate) fn checked(
    node: &Node,
    vault: &VaultId,
    order: &EndorsedRoundOrder,
    result: SliceResult,
) -> Result<Part, (Code, String)> {
    let wrong = |detail: String| (Code::ResultRejected, detail);
    let slice: SignedSlice = decode(&result.header).map_err(|error| wrong(error.to_string()))?;
    let body = &slice.body;
    let attestation = attestation(&result);
    let state = node.state();
    let judge = |attestation: &_, expected: &_| {
        governed::judge(&node.network, &state.governance, attestation, expected)
    };
    let (envelope, position) = (&order.body.envelope, position(order));
    verification::round_slice(&state.governance, envelope, &position, (&slice, &attestation), &judge)?;
    let manifest: Manifest = decode(&result.bundle).map_err(|error| wrong(error.to_string()))?;
    let pieces = result.pieces.iter().map(|piece| Digest::of_bytes(piece));
    let named = body.bundle == Digest::of_bytes(&result.bundle)
        && body.report == Digest::of_bytes(&result.report)
        && pieces.eq(manifest.pieces.iter().copied())
        && (manifest.pieces.len() == 2 || !shared(envelope))
        && (&body.vault, body.attempt) == (vault, order.body.attempt);
    if named { Ok(Part { slice, result }) } else { Err(wrong("the part is not the header's".to_owned())) }
}

fn attestation(result: &SliceResult) -> Attestation {
    Attestation { boot: result.boot.clone(), report: result.report.clone() }
}

fn position(order: &EndorsedRoundOrder) -> Position {
    Position::of(order.body.round, order.body.last, order.body.state)
}

/// What the aggregator's enclave made of a round.
pub(crate) struct Combined {
    header: SignedAggregate,
    sealed: Vec<u8>,
    learner: Option<Vec<u8>>,
    keys: Vec<(VaultId, Vec<u8>)>,
    report: Vec<u8>,
    helper: Option<Attestation>,
}

/// Has the aggregator's enclave combine the parts, after the second one where two compute on shares; the inner error names
/// the Vault whose part cannot be used.
/// **Errors**: [`Fault`].
pub(crate) async fn combine(
    node: &Arc<Node>,
    state: &State,
    known: &Task,
    order: &EndorsedRoundOrder,
    learner: Option<Vec<u8>>,
    parts: &mut [Part],
) -> Result<Result<Combined, Unusable>, Fault> {
    let two = shared(&known.envelope);
    if !two && let Some(unusable) = add(node, state, order, parts).await? {
        return Ok(Err(unusable));
    }
    let bundle = |part: &Part| (part.slice.body.vault.clone(), part.result.bundle.clone());
    // Who has no part in this round may have one in the next.
    let boots = known.envelope.coordination.participating_vault_ids.iter().filter_map(|vault| {
        let part = parts.iter().find(|part| part.slice.body.vault == *vault);
        let boot = part.map(|part| part.result.boot.clone());
        Some((vault.clone(), boot.or_else(|| Some(node.peers.last_health(vault)?.boot))?))
    });
    let round = Gathered {
        order: order.clone(),
        bundles: parts.iter().map(bundle).collect(),
        halves: if two { halves(parts) } else { vec![] },
        learner,
        slices: boots.collect(),
        policy: encode(&governed::policy(&node.network, &state.governance)),
        masters: masters(state),
    };
    let helped = if two {
        match helping::help(node, round.clone(), parts.iter().map(|part| &part.result)).await? {
            Ok(helped) => Some(helped),
            Err(unusable) => return Ok(Err(unusable)),
        }
    } else {
        None
    };
    let helper = helping::attestation(order, helped.clone());
    match enclave(node, Call::Combine { round, helped }).await? {
        Answer::Combined { header, sealed, learner, keys, report } => {
            Ok(Ok(Combined { header, sealed, learner, keys, report, helper }))
        }
        Answer::PartRefused { vault, code, detail } => Ok(Err((vault, code, detail))),
        // With all Vaults there may be enough people.
        Answer::Refused { code: Code::BelowCardinality, detail }
            if order.body.vaults != known.envelope.coordination.participating_vault_ids =>
        {
            Err(Fault::Again(detail))
        }
        Answer::Refused { code, detail } => Err(refused(code, detail)),
        _ => Err(wrong_answer()),
    }
}

/// Hands the pieces of all parts to the aggregator's enclave, and lets go of each; the Vault whose part cannot be used, if
/// there is one. **Errors**: [`Fault`].
async fn add(
    node: &Arc<Node>,
    state: &State,
    order: &EndorsedRoundOrder,
    parts: &mut [Part],
) -> Result<Option<Unusable>, Fault> {
    for part in parts {
        for piece in std::mem::take(&mut part.result.pieces) {
            let call = Call::Piece {
                order: order.clone(),
                vault: part.slice.body.vault.clone(),
                boot: part.result.boot.clone(),
                bundle: part.result.bundle.clone(),
                piece,
                policy: encode(&governed::policy(&node.network, &state.governance)),
                masters: masters(state),
            };
            match enclave(node, call).await? {
                Answer::Added => {}
                Answer::PartRefused { vault, code, detail } => return Ok(Some((vault, code, detail))),
                Answer::Refused { code, detail } => return Err(refused(code, detail)),
                _ => return Err(wrong_answer()),
            }
        }
    }
    Ok(None)
}

/// What follows from a refusal of the aggregator's enclave. One that was started again has lost what was added, and what
/// another aggregator says may be whole the next time.
fn refused(code: Code, detail: String) -> Fault {
    match code {
        Code::Unavailable => Fault::Again(format!("{code}: {detail}")),
        code => Fault::Refused(code, detail),
    }
}

/// Of each part the half for the first of two aggregators.
fn halves(parts: &[Part]) -> Vec<Vec<u8>> {
    parts.iter().filter_map(|part| part.result.pieces.first().cloned()).collect()
}

/// Brings what a round leaves to a majority, has a majority appraise it, and orders it. **Errors**: [`Fault`].
async fn record(
    node: &Arc<Node>,
    order: &EndorsedRoundOrder,
    parts: &[Part],
    combined: Combined,
    failing: &Failing,
) -> Result<(), Fault> {
    let absent = absent(order, failing);
    let (round, blobs) = made(node, order, parts, combined, absent);
    bulk::secure(node, &blobs).await.map_err(Fault::Again)?;
    let endorsed = endorsed(node, vec![(Subject::Round(Box::new(round.clone())), round)]).await?.pop();
    let round = endorsed.ok_or_else(|| Fault::Again("the round was not endorsed".to_owned()))?;
    // It was good a moment ago, so what it is late for has moved on.
    let recorded = node.order(Command::RecordRound { round }).await;
    recorded.map_err(|refusal| Fault::Again(refusal.to_string()))
}

/// What a round left: the document, and the bulk beside it.
pub(crate) fn made(
    node: &Node,
    order: &EndorsedRoundOrder,
    parts: &[Part],
    combined: Combined,
    absent: Vec<(VaultId, Code)>,
) -> (Round, Vec<(Place, Vec<u8>)>) {
    let Combined { header, sealed, learner, keys, report, helper } = combined;
    let (task, number) = (order.body.envelope.task, order.body.round);
    let bulk = RoundBulk {
        slices: parts.iter().map(|part| attestation(&part.result)).collect(),
        aggregate: Attestation { boot: encode(&node.aggregator.boot()), report },
        helper,
        // The model is found like every other result.
        sealed: if order.body.last { vec![] } else { sealed.clone() },
        learner,
        keys,
    };
    let bytes = encode(&bulk);
    let round = Round {
        task,
        round: number,
        slices: parts.iter().map(|part| part.slice.clone()).collect(),
        bulk: Digest::of_bytes(&bytes),
        absent,
        aggregate: header,
    };
    let mut blobs = vec![(Place { task, kind: Kind::Round(number), digest: round.bulk }, bytes)];
    if order.body.last {
        blobs.push((Place { task, kind: Kind::Result, digest: round.aggregate.body.result }, sealed));
    }
    (round, blobs)
}

/// The participating Vaults that have no part in a round.
fn absent(order: &EndorsedRoundOrder, failing: &Failing) -> Vec<(VaultId, Code)> {
    let taking_part: BTreeSet<_> = order.body.vaults.iter().collect();
    let all = order.body.envelope.coordination.participating_vault_ids.iter();
    let absent = all.filter(|vault| !taking_part.contains(vault));
    absent
        .map(|vault| (vault.clone(), failing.get(vault).map_or(Code::VaultUnavailable, |failed| failed.code)))
        .collect()
}
