//! Reconciliation (R071, R173, R219, R220): every master compares its state with what the chain and the Vaults show, now and
//! then and when it is asked to. The one that leads has what stays different recorded, each other one endorsing by its own
//! sight, and begins the repair; it begins it again with each comparison until both sides say the same.
//!
//! ```text
//! found, and found again after a while -> recorded (found) -> repair -> gone -> recorded (settled)
//!                                              \-> repair is the record: nothing follows
//! ```
//!
//! A repair is no effect: what is owed follows from the state alone, and whether a drift is still there does not. All of
//! them may run twice. None changes a reward record, a settlement context or a ledger entry of the past (R006).

pub(crate) mod sight;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use symphony_protocol::artifact::adjustment::{
    Adjustment, AdjustmentStep, Drift, DriftKind, DriftSubject, Repair,
};
use symphony_protocol::machine::{Command, State};
use symphony_protocol::reconcile::{budget, chain};
use symphony_protocol::settlement::payout::EpochStage;
use symphony_types::digest::Digest;
use symphony_types::id::EpochId;
use symphony_types::key::Document as _;
use symphony_types::limits::LEDGER_PAGE_MAX;
use symphony_types::time::OrderedMillis;
use symphony_wire::{convert, v1};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::claim::Subject;
use crate::cluster::{Doubt, UNSEEN};
use crate::effects::Fault;
use crate::endorsing::endorsed;
use crate::node::{Node, now};
use crate::{admission, settlement};
use sight::Anchors;

/// How often both sides are compared.
const EVERY: Duration = Duration::from_secs(60);
/// How long a drift must be there until it is recorded: what is under way right now is none.
const PATIENCE: Duration = Duration::from_secs(15);
/// The least time between two comparisons, however often somebody asks.
const APART: Duration = Duration::from_secs(2);
/// How long somebody who asks waits for the comparison.
const WAIT: Duration = Duration::from_secs(20);
/// Confirmed epochs that each comparison looks at, the last ones first. One older epoch comes in turn beside them.
const EPOCHS: usize = 8;
/// Records that one comparison begins or ends: what is more waits for the next.
const RECORDS: usize = 16;
/// How far back budgets are compared; what a Vault still holds is compared however old it is. **Units**: milliseconds.
const BUDGET_MS: u64 = 2 * 86_400_000;
/// The gauge of drifts that this master sees, by kind.
pub const GAUGE: &str = "symphony_reconciliation_drift";

type Key = (DriftKind, DriftSubject);

/// What this master found when it last compared.
pub struct Watch {
    asked: Notify,
    done: watch::Sender<u64>,
    last: Mutex<Compared>,
}

#[derive(Default)]
struct Compared {
    /// When, by this node's clock.
    at: OrderedMillis,
    /// Whether everybody answered.
    complete: bool,
    /// What is different, and since when it is.
    seen: BTreeMap<Key, (Drift, Instant)>,
    /// The older epoch that is next.
    turn: usize,
}

impl Default for Watch {
    fn default() -> Self {
        Self { asked: Notify::new(), done: watch::Sender::new(0), last: Mutex::default() }
    }
}

impl Watch {
    /// How many drifts this master sees, of every kind: the values of [`GAUGE`].
    pub fn gauges(&self) -> BTreeMap<&'static str, u64> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |kind: DriftKind| last.seen.keys().filter(|(of, _)| *of == kind).count() as u64;
        DriftKind::ALL.map(|kind| (kind.as_str(), count(kind))).into()
    }

    /// Keeps what was found; drifts that were there before keep the moment since when they are.
    fn keep(&self, found: Vec<Drift>, complete: bool, at: OrderedMillis) -> Vec<(Drift, Instant)> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = BTreeMap::new();
        for drift in found {
            let key = (drift.kind, drift.subject.clone());
            let since = last.seen.get(&key).map_or_else(Instant::now, |(_, since)| *since);
            seen.insert(key, (drift, since));
        }
        *last = Compared { at, complete, seen, turn: last.turn.wrapping_add(1) };
        last.seen.values().cloned().collect()
    }

    fn turn(&self) -> usize {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).turn
    }
}

/// Compares for ever.
pub(crate) async fn run(node: Arc<Node>) {
    loop {
        // Either is as good: it is time, or somebody asks.
        let _ = timeout(EVERY, node.reconciliation.asked.notified()).await;
        round(&node).await;
        node.reconciliation.done.send_modify(|done| *done = done.wrapping_add(1));
        sleep(APART).await;
    }
}

/// Compares now, and waits for it; past the wait the last comparison counts.
pub(crate) async fn at_once(node: &Node) {
    let mut done = node.reconciliation.done.subscribe();
    node.reconciliation.asked.notify_one();
    let _ = timeout(WAIT, done.changed()).await;
}

/// What was found and done, from a record on; of no limit as many as a page has.
pub(crate) fn view(node: &Node, from: u64, limit: u32) -> v1::Reconciliation {
    let limit = match limit as usize {
        0 => LEDGER_PAGE_MAX,
        limit => limit.min(LEDGER_PAGE_MAX),
    };
    let told = convert::reconciliation(&node.state().adjustments, from, limit);
    let last = node.reconciliation.last.lock().unwrap_or_else(PoisonError::into_inner);
    v1::Reconciliation { compared_ms: last.at.0, complete: last.complete, ..told }
}

async fn round(node: &Node) {
    let (found, complete) = compare(node).await;
    let seen = node.reconciliation.keep(found, complete, now());
    for (kind, count) in node.reconciliation.gauges() {
        metrics::gauge!(GAUGE, "kind" => kind).set(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
        if count > 0 {
            tracing::warn!(gauge = GAUGE, kind, count, "the two sides say different things");
        }
    }
    if !node.leads() {
        return;
    }
    let mut left = RECORDS;
    for (drift, since) in seen {
        if since.elapsed() < PATIENCE || left == 0 {
            continue;
        }
        match correct(node, &drift).await {
            Ok(false) => {}
            Ok(true) => left -= 1,
            Err(fault) => {
                left -= 1;
                tracing::warn!(kind = drift.kind.as_str(), %fault, "a drift is corrected later");
            }
        }
    }
    settle(node, left).await;
}

/// Everything that differs now, and whether everybody answered.
async fn compare(node: &Node) -> (Vec<Drift>, bool) {
    let (mut found, mut complete) = (Vec::new(), true);
    let since = now().minus(BUDGET_MS);
    let vaults: Vec<_> = node.state().governance.registry.vaults.keys().cloned().collect();
    for vault in vaults {
        match sight::of_vault(node, &vault, since).await {
            // The state is read behind the ledger: what a Vault reserves was ordered before.
            Ok(sight) => found.extend(budget::drifts(&node.state(), &sight)),
            Err(detail) => {
                complete = false;
                tracing::debug!(%vault, detail, "a vault's ledger is not compared");
            }
        }
    }
    let state = node.state();
    for epoch in chosen(&state, node.reconciliation.turn()) {
        match sight::of_epoch(&node.chain, &state, epoch, Anchors::All).await {
            Ok(sight) => found.extend(chain::drifts(&state, epoch, &sight)),
            Err(error) => {
                complete = false;
                tracing::debug!(%epoch, %error, "an epoch is not compared");
            }
        }
    }
    (found, complete)
}

/// The epochs that are compared: those that wait for the chain, the last ones, and in turn one that is older.
fn chosen(state: &State, turn: usize) -> Vec<EpochId> {
    let issued = state.epochs.iter().filter(|(_, account)| matches!(account.stage, EpochStage::Issued(..)));
    let mut chosen: Vec<EpochId> = issued.map(|(epoch, _)| *epoch).collect();
    let confirmed = state.epochs.iter().rev();
    let confirmed = confirmed.filter(|(_, account)| matches!(account.stage, EpochStage::Confirmed(_)));
    let confirmed: Vec<EpochId> = confirmed.map(|(epoch, _)| *epoch).collect();
    let (recent, older) = confirmed.split_at(confirmed.len().min(EPOCHS));
    chosen.extend(recent);
    chosen.extend(turn.checked_rem(older.len()).and_then(|place| older.get(place)));
    chosen.sort_unstable();
    chosen
}

/// Records a drift, if that is not done, and begins its repair; says whether there was anything to do. **Errors**: [`Fault`].
async fn correct(node: &Node, drift: &Drift) -> Result<bool, Fault> {
    let state = node.state();
    let Some(occurrence) = due(&state, drift) else { return Ok(false) };
    if let Some(occurrence) = occurrence {
        let (drift, repair) = (drift.clone(), drift.kind.repair());
        record(node, Adjustment { drift, occurrence, step: AdjustmentStep::Found, repair }).await?;
    }
    repair(node, drift).await?;
    Ok(true)
}

/// `None` when nothing is to be done about a drift: it is recorded, and that is its repair. Otherwise the occurrence that a
/// record is to have, or `None` when there is one.
fn due(state: &State, drift: &Drift) -> Option<Option<u32>> {
    let Some((found, standing)) = state.adjustments.last(drift.kind, &drift.subject) else {
        return Some(Some(1));
    };
    if standing.settled.is_none() {
        return Some(None);
    }
    let same = found.repair == Repair::Record && found.drift == *drift;
    (!same).then(|| Some(found.occurrence.saturating_add(1)))
}

async fn record(node: &Node, adjustment: Adjustment) -> Result<(), Fault> {
    let subject = Subject::Adjustment(Box::new(adjustment.clone()));
    let endorsed = endorsed(node, vec![(subject, adjustment)]).await?.pop();
    let adjustment = endorsed.ok_or_else(|| Fault::Again("the record was not endorsed".to_owned()))?;
    Ok(node.order(Command::RecordAdjustment { adjustment }).await?)
}

/// Does what the kind of a drift asks for. **Errors**: [`Fault`].
async fn repair(node: &Node, drift: &Drift) -> Result<(), Fault> {
    let state = node.state();
    match (drift.kind.repair(), &drift.subject) {
        (Repair::Resubmit, DriftSubject::Epoch(epoch)) => match chain::issued(&state, *epoch) {
            Some((_, None)) => settlement::pay(node, *epoch).await,
            Some((instructions, Some(_))) => {
                let subject = Subject::Payout(*epoch);
                settlement::submitted(node, subject, instructions.clone()).await.map(|_| ())
            }
            None => Ok(()),
        },
        (Repair::Anchor, DriftSubject::Anchor(epoch, task)) => {
            let Some(instructions) = chain::anchoring(&state, *epoch, task) else { return Ok(()) };
            settlement::submitted(node, Subject::Anchoring(*epoch, *task), instructions).await.map(|_| ())
        }
        (Repair::Release, DriftSubject::Budget(task, vault)) => {
            admission::release(node, task, std::slice::from_ref(vault)).await
        }
        (Repair::Resubmit | Repair::Anchor | Repair::Release | Repair::Record, _) => Ok(()),
    }
}

/// Records what is over.
async fn settle(node: &Node, left: usize) {
    let state = node.state();
    for (_, record) in state.adjustments.open().take(left) {
        let found = &record.adjustment;
        let ended = Adjustment { step: AdjustmentStep::Settled, ..found.clone() };
        let gone = match look(node, &state, &found.drift.subject).await {
            Ok(drifts) => !still(&drifts, &found.drift),
            Err(detail) => {
                tracing::debug!(detail, "whether a drift is over is not known");
                false
            }
        };
        if gone && let Err(fault) = self::record(node, ended).await {
            tracing::warn!(kind = found.drift.kind.as_str(), %fault, "the end of a drift is recorded later");
        }
    }
}

fn still(drifts: &[Drift], found: &Drift) -> bool {
    drifts.iter().any(|drift| drift.kind == found.kind && drift.subject == found.subject)
}

/// What differs about one subject, as this master sees it now. **Errors**: the other side does not answer.
async fn look(node: &Node, state: &State, subject: &DriftSubject) -> Result<Vec<Drift>, String> {
    let of_epoch = async |epoch: EpochId, anchors| {
        let sight = sight::of_epoch(&node.chain, state, epoch, anchors).await;
        sight.map(|sight| chain::drifts(state, epoch, &sight)).map_err(|error| error.to_string())
    };
    match subject {
        DriftSubject::Epoch(epoch) | DriftSubject::Batch(epoch, _) => of_epoch(*epoch, Anchors::None).await,
        DriftSubject::Anchor(epoch, task) => of_epoch(*epoch, Anchors::One(*task)).await,
        DriftSubject::Budget(task, vault) => {
            let line = sight::of_task(node, vault, task).await?;
            Ok(budget::drifted(&node.state(), vault, task, line.as_ref()).into_iter().collect())
        }
    }
}

/// The digest of a record whose two sides this master has compared itself.
pub(crate) async fn attested(node: &Node, state: &State, adjustment: &Adjustment) -> Result<Digest, Doubt> {
    let drift = &adjustment.drift;
    let drifts = look(node, state, &drift.subject).await;
    let drifts = drifts.map_err(|_| Doubt::Other("the other side does not answer"))?;
    let seen = match adjustment.step {
        AdjustmentStep::Found => drifts.contains(drift),
        AdjustmentStep::Settled => !still(&drifts, drift),
    };
    if seen { Ok(adjustment.digest()) } else { Err(UNSEEN) }
}

#[cfg(test)]
mod tests;
