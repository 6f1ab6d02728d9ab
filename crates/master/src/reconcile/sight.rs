//! What the chain and the Vaults show, in the words that are compared: reads only, each answer bounded and checked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use symphony_chain::ledger::reward::BatchRecord;
use symphony_chain::port::{Chain, ChainError};
use symphony_chain::transaction::RecipientClass as Paid;
use symphony_protocol::artifact::RecipientClass;
use symphony_protocol::artifact::adjustment::{BudgetLine, BudgetQuery, BudgetStatement, SignedBudget};
use symphony_protocol::machine::State;
use symphony_protocol::reconcile::budget::{BudgetSight, check_statement};
use symphony_protocol::reconcile::chain::{BatchSight, ChainSight, Totals, issued};
use symphony_protocol::settlement::payout::PayoutInstructionSet;
use symphony_types::amount::Sym;
use symphony_types::digest::Digest;
use symphony_types::id::{EpochId, TaskId, VaultId};
use symphony_types::key::Document as _;
use symphony_types::time::OrderedMillis;
use symphony_wire::documents::{decode, encode};
use symphony_wire::status::problem_of;
use symphony_wire::v1::BudgetRequest;

use crate::batches::batches;
use crate::node::{Node, challenge};

/// How long a Vault may take with one page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// Pages of one ledger; of a longer one, what is missing is not looked for.
const PAGES: usize = 64;
/// Questions to the chain at the same time.
const ABREAST: usize = 16;

/// Which roots of an epoch are read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Anchors {
    /// All.
    All,
    /// That of one task.
    One(TaskId),
    /// None.
    None,
}

/// What the chain shows of an epoch. **Errors**: it does not answer.
pub(crate) async fn of_epoch(
    chain: &(impl Chain + ?Sized),
    state: &State,
    epoch: EpochId,
    anchors: Anchors,
) -> Result<ChainSight, ChainError> {
    let Some((set, confirmation)) = issued(state, epoch) else { return Ok(ChainSight::default()) };
    let mut sight = payout(chain, set).await?;
    if sight.issued.is_some() {
        for tree in &set.dividends {
            if let Some(seen) = chain.tree(&tree.vault, epoch).await? {
                sight.trees.insert(tree.vault.clone(), (seen.root, seen.total));
            }
        }
    } else if let Some(confirmation) = confirmation {
        sight.transaction = chain.receipt(confirmation.body.transaction).await?.is_some();
    }
    let wanted = |task: &TaskId| match anchors {
        Anchors::All => true,
        Anchors::One(one) => one == *task,
        Anchors::None => false,
    };
    let tasks: Vec<TaskId> = set.anchors.iter().map(|(task, _)| *task).filter(wanted).collect();
    let asked = stream::iter(tasks.into_iter().map(|task| chain.anchor(task)));
    let seen: Vec<_> = asked.buffer_unordered(ABREAST).try_collect().await?;
    sight.anchors = seen.into_iter().flatten().map(|one| (one.task, one.settlement_root)).collect();
    Ok(sight)
}

/// The batches that the chain has under an epoch. Those that the instructions were split into are shown as the one that they
/// are together.
async fn payout(chain: &(impl Chain + ?Sized), set: &PayoutInstructionSet) -> Result<ChainSight, ChainError> {
    let seen = chain.epoch(set.epoch).await?;
    let parts = batches(set).unwrap_or_default();
    let [earlier @ .., _] = parts.as_slice() else { return Ok(ChainSight::default()) };
    if earlier.is_empty() {
        let issued = chain.batch(set.digest()).await?.as_ref().map(batch);
        let batches = seen.iter().map(batch).collect();
        return Ok(ChainSight { batches, issued, ..ChainSight::default() });
    }
    let ids: BTreeSet<Digest> = parts.iter().map(|part| part.batch_id).collect();
    let (own, foreign): (Vec<_>, Vec<_>) = seen.iter().partition(|record| ids.contains(&record.batch_id));
    let kept = earlier.iter().flat_map(|part| &part.carries).map(|carry| carry.into);
    let issued = (!own.is_empty()).then(|| BatchSight {
        id: set.digest(),
        epoch: set.epoch,
        totals: together(own.iter().map(|record| batch(record).totals), kept),
    });
    let batches = foreign.into_iter().map(batch).chain(issued.clone()).collect();
    Ok(ChainSight { batches, issued, ..ChainSight::default() })
}

/// The sums of several batches, without what earlier ones kept for the last.
fn together(totals: impl Iterator<Item = Totals>, kept: impl Iterator<Item = Sym>) -> Totals {
    let mut all = Totals::default();
    let add = |to: &mut Sym, amount: Sym| to.0 = to.0.saturating_add(amount.0);
    for one in totals {
        add(&mut all.charged, one.charged);
        add(&mut all.refunded, one.refunded);
        add(&mut all.subsidised, one.subsidised);
        add(&mut all.drawn, one.drawn);
        add(&mut all.carried, one.carried);
        add(&mut all.pool_return, one.pool_return);
        for (class, amount) in one.classes {
            add(all.classes.entry(class).or_default(), amount);
        }
    }
    for amount in kept {
        all.drawn.0 = all.drawn.0.saturating_sub(amount.0);
        all.carried.0 = all.carried.0.saturating_sub(amount.0);
    }
    all
}

fn batch(record: &BatchRecord) -> BatchSight {
    let totals = &record.totals;
    let classes = totals.classes.iter().map(|(class, amount)| (class_of(*class), *amount)).collect();
    BatchSight {
        id: record.batch_id,
        epoch: record.epoch,
        totals: Totals {
            charged: totals.charged,
            refunded: totals.refunded,
            subsidised: totals.subsidised,
            drawn: totals.drawn,
            classes,
            carried: totals.carried,
            pool_return: totals.pool_return,
        },
    }
}

const fn class_of(class: Paid) -> RecipientClass {
    match class {
        Paid::Contributor => RecipientClass::Contributors,
        Paid::VaultOperator => RecipientClass::VaultOperator,
        Paid::Executor => RecipientClass::Executor,
        Paid::Aggregator => RecipientClass::Aggregator,
        Paid::Verifier => RecipientClass::Verifier,
        Paid::Treasury => RecipientClass::Treasury,
    }
}

/// What a Vault's ledger holds, and what was reserved there since. **Errors**: it does not answer as itself.
pub(crate) async fn of_vault(
    node: &Node,
    vault: &VaultId,
    since: OrderedMillis,
) -> Result<BudgetSight, String> {
    let (mut lines, mut after) = (BTreeMap::new(), None);
    for _ in 0..PAGES {
        let page = page(node, vault, since, after, None).await?;
        after = page.lines.last().map(|line| line.task);
        lines.extend(page.lines.into_iter().map(|line| (line.task, line)));
        if !page.more {
            return Ok(BudgetSight { vault: vault.clone(), since, whole: true, lines });
        }
    }
    Ok(BudgetSight { vault: vault.clone(), since, whole: false, lines })
}

/// A Vault's entry of a task. **Errors**: it does not answer as itself.
pub(crate) async fn of_task(
    node: &Node,
    vault: &VaultId,
    task: &TaskId,
) -> Result<Option<BudgetLine>, String> {
    Ok(page(node, vault, OrderedMillis(0), None, Some(*task)).await?.lines.pop())
}

async fn page(
    node: &Node,
    vault: &VaultId,
    since: OrderedMillis,
    after: Option<TaskId>,
    only: Option<TaskId>,
) -> Result<BudgetStatement, String> {
    let query = BudgetQuery { nonce: Digest(challenge()), since, after, only };
    let mut client = node.peers.vault(vault).map_err(|code| code.title().to_owned())?;
    let mut request = tonic::Request::new(BudgetRequest { query: encode(&query) });
    request.set_timeout(PAGE_TIMEOUT);
    let answer = client.list_budget(request).await.map_err(|status| problem_of(&status).1)?;
    let page: SignedBudget = decode(&answer.into_inner().document).map_err(|error| error.to_string())?;
    check_statement(&node.state().governance, vault, &query, &page)
        .map_err(|code| code.title().to_owned())?;
    Ok(page.body)
}
