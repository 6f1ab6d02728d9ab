//! The payout of a closed epoch, computed again by somebody who trusts no node (R149, R158, R161, R168, R169, R173, R177).
//!
//! Out of the settlements come the shares, the trees, what waits, and the whole batch; that is compared with what a majority of the
//! masters vouches for, with the Vaults' own statements, and with what the chain shows. What remains to be believed is the trusted
//! governance. Leaves of dividend trees are nobody's but their Vault's: its operator has them, and checks them here too.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use symphony_chain::ledger::query::{Answer, Query};
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::log::LogUpdate;
use symphony_protocol::reconcile::chain::Totals;
use symphony_protocol::settlement::epoch::{
    EndorsedEpoch, EpochRecord, Settlement, differences, owed, recompute,
};
use symphony_protocol::settlement::payout::{ContributorAccount, check_statement};
use symphony_types::amount::{self, Sym};
use symphony_types::dividend::DividendLeaf;
use symphony_types::id::{EpochId, VaultId};
use symphony_types::key::Document as _;
use symphony_types::limits::SEALED_BYTES_MAX;
use symphony_types::merkle::Frontier;
use symphony_types::table::Table;
use symphony_wire::documents::decode;

use crate::client::{Client, ClientError};
use crate::council::checked;
use crate::shape::epochs::EpochPage;
use crate::verify::{Check, governance_digest, held, payout::conserved, told};

/// Settlements of one epoch at most: what a client keeps of what it is sent.
const SETTLEMENTS_MAX: usize = 1_000_000;
/// Bytes of a leaf.
const LEAF_BYTES: usize = 48;
/// Leaves of one tree at most: what a file of them may have.
const LEAVES_MAX: usize = (SEALED_BYTES_MAX - 256) / LEAF_BYTES;

/// A closed epoch with everything that its payout is computed again from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochBundle {
    /// What the council changed of the governance that the network was founded with.
    pub log: LogUpdate,
    /// What the masters vouch for.
    pub record: EndorsedEpoch,
    /// What was settled, in the order of the record's anchors.
    pub settlements: Vec<Settlement>,
}

/// Who is paid what by one Vault's dividend tree of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DividendLeaves {
    /// The Vault.
    pub vault: VaultId,
    /// The epoch.
    pub epoch: EpochId,
    /// In the order of the tree.
    pub leaves: Vec<DividendLeaf>,
}

/// What was found of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EpochReport {
    /// The epoch.
    pub epoch: u64,
    /// The digest of the governance that the network was founded with.
    pub governance: String,
    /// Tasks that were settled in it.
    pub settled: u64,
    /// Dividend leaves that were added up.
    pub leaves: u64,
    /// What is charged, in base units.
    pub charged: u64,
    /// What producers may claim, in base units.
    pub dividends: u64,
    /// What the treasury gets, in base units.
    pub treasury: u64,
    /// Digest of the batch.
    pub batch: String,
    /// Whether the payout service says that the chain did it.
    pub paid: bool,
    /// The checks, in order.
    pub checks: Vec<Check>,
}

impl EpochReport {
    /// Whether every check passed.
    pub fn passed(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.fault.is_none())
    }

    fn check(&mut self, name: &'static str, proves: &'static str, result: Result<(), String>) {
        self.checks.push(Check { name, proves, fault: result.err() });
    }
}

impl Client {
    /// A closed epoch, to be checked by [`verify`].
    pub async fn epoch(&self, epoch: EpochId) -> Result<EpochBundle, ClientError> {
        let mut page = self.epoch_page(epoch, 0).await?;
        let record = read(&page.record)?;
        // After the record, so that it has whoever signed that.
        let log = self.governance_log().await?;
        let mut settlements = Vec::new();
        loop {
            let new: Vec<Settlement> =
                page.settlements.iter().map(|one| read(one)).collect::<Result<_, _>>()?;
            let ended = new.is_empty();
            settlements.extend(new);
            if settlements.len() > SETTLEMENTS_MAX {
                return Err(ClientError::Garbled("more was settled than an epoch may hold".to_owned()));
            }
            if ended || settlements.len() as u64 >= page.total {
                return Ok(EpochBundle { log, record, settlements });
            }
            page = self.epoch_page(epoch, settlements.len()).await?;
        }
    }

    async fn epoch_page(&self, epoch: EpochId, from: usize) -> Result<EpochPage, ClientError> {
        let (epoch, from) = (epoch.to_string(), from.to_string());
        let (path, query) = (["epochs", epoch.as_str()], [("from", from.as_str())]);
        self.repeat(|| self.select(Method::GET, &path, &query)).await
    }

    /// The leaves of a Vault's dividend tree. For its operator.
    pub async fn leaves(&self, vault: &VaultId, epoch: EpochId) -> Result<DividendLeaves, ClientError> {
        let number = epoch.to_string();
        let path = ["vaults", vault.as_str(), "epochs", number.as_str(), "leaves"];
        let mut leaves: Vec<DividendLeaf> = Vec::new();
        loop {
            let from = leaves.len().to_string();
            let query = [("from", from.as_str())];
            let bytes = self.repeat_bytes(|| self.select(Method::GET, &path, &query)).await?;
            if bytes.is_empty() {
                return Ok(DividendLeaves { vault: vault.clone(), epoch, leaves });
            }
            for leaf in bytes.chunks(LEAF_BYTES) {
                leaves.push(decode(leaf).map_err(|error| ClientError::Garbled(error.to_string()))?);
            }
            if leaves.len() > LEAVES_MAX {
                return Err(ClientError::Garbled("more leaves than a file may have".to_owned()));
            }
        }
    }
}

/// Makes every check of an epoch that needs no network. `trusted` is what the network was founded with; of each tree whose leaves
/// are given, those are added up as well.
pub fn verify(
    trusted: &Governance,
    epoch: EpochId,
    bundle: &EpochBundle,
    trees: &[DividendLeaves],
) -> EpochReport {
    let record = &bundle.record.body;
    let set = &record.instructions;
    let foundation = governance_digest(trusted);
    let mut report = EpochReport {
        epoch: epoch.0,
        governance: foundation.to_string(),
        settled: bundle.settlements.len() as u64,
        batch: set.digest().to_string(),
        paid: record.confirmation.is_some(),
        ..EpochReport::default()
    };
    let sums = Totals::of(set);
    (report.charged, report.treasury) = (sums.charged.0, set.treasury.0);
    report.dividends = amount::sum(set.dividends.iter().map(|tree| tree.total)).unwrap_or_default().0;
    let governed = checked(trusted, &bundle.log);
    report.check(
        "governance-log",
        "the council voted for every change of what the network was founded with",
        governed.as_ref().map(|_| ()).map_err(ToString::to_string),
    );
    let Ok(governed) = governed else { return report };
    let governance = governed.governance();
    report.check(
        "record-signature",
        "a majority of the registered masters vouches for every bit of this record",
        held(
            governance.registry.endorsed(&bundle.record),
            "no majority of the registered masters endorses it",
        ),
    );
    let named = record.foundation == foundation && set.epoch == epoch;
    report.check(
        "record-epoch",
        "the record is of this network and this epoch",
        held(named, "it is of another network or epoch"),
    );
    settled(&mut report, governance, record, &bundle.settlements);
    let owed = owed(record, &bundle.settlements);
    report.check(
        "dividend-statements",
        "every vault signed what its producers get, and it is what their shares and what waited come to",
        statements(governance, record, &owed),
    );
    report.check(
        "payout-recomputed",
        "computed again out of what was settled, the batch is the same to the last base unit",
        again(record, &bundle.settlements, &owed),
    );
    report.check(
        "payout-conserved",
        "the epoch pays out exactly what it charges, to the last base unit",
        conserved(set),
    );
    for tree in trees {
        report.leaves += tree.leaves.len() as u64;
        report.check(
            "dividend-leaves",
            "the leaves of a vault's tree give the root that it signed, and add up to what may be claimed",
            added_up(record, tree),
        );
    }
    if let Some(confirmation) = &record.confirmation {
        let body = &confirmation.body;
        let own = confirmation.verify(&governance.registry.payout);
        let same = own && body.epoch == epoch && body.batch == set.digest();
        report.check(
            "payout-confirmation",
            "the payout service saw the chain execute exactly this batch",
            held(same, "the confirmation is not the payout service's, or of another batch"),
        );
    }
    report
}

/// The checks of what was settled.
fn settled(
    report: &mut EpochReport,
    governance: &Governance,
    record: &EpochRecord,
    settlements: &[Settlement],
) {
    let anchors = &record.instructions.anchors;
    let mut roots = settlements.iter().zip(anchors);
    let other = roots.find(|(one, (task, root))| one.task() != *task || one.root() != *root);
    report.check(
        "settlements-anchored",
        "what was settled is exactly what the chain anchors of the epoch, each by its root",
        match other {
            Some((one, _)) => Err(format!("the settlement of {} is not the anchored one", one.task())),
            None => {
                held(settlements.len() == anchors.len(), "there are more anchors than settlements, or fewer")
            }
        },
    );
    let faults = settlements.iter().find_map(|one| {
        let fault = if one.epoch() == record.instructions.epoch {
            one.sound(governance).err()
        } else {
            Some("it was settled in another epoch")
        };
        fault.map(|fault| format!("{}: {fault}", one.task()))
    });
    report.check(
        "settlements-sound",
        "each is charged out of its lock, and shared by the policy of its admission to registered accounts",
        faults.map_or(Ok(()), Err),
    );
}

fn statements(
    governance: &Governance,
    record: &EpochRecord,
    owed: &Table<VaultId, ContributorAccount>,
) -> Result<(), String> {
    let nothing = ContributorAccount::default();
    for (place, statement) in record.statements.iter().enumerate() {
        let vault = &statement.body.vault;
        let twice = record.statements[..place].iter().any(|other| other.body.vault == *vault);
        held(!twice, &format!("{vault} stated twice"))?;
        let account = owed.get(vault).unwrap_or(&nothing);
        check_statement(governance, record.instructions.epoch, account, statement)
            .map_err(|code| format!("the statement of {vault}: {}", told(code)))?;
    }
    Ok(())
}

fn again(
    record: &EpochRecord,
    settlements: &[Settlement],
    owed: &Table<VaultId, ContributorAccount>,
) -> Result<(), String> {
    let computed = recompute(record, settlements, owed).map_err(told)?;
    let differing = differences(&computed, &record.instructions);
    held(differing.is_empty(), &format!("these parts are others: {}", differing.join(", ")))
}

/// Whether leaves are those of the tree that a Vault published in the epoch.
fn added_up(record: &EpochRecord, tree: &DividendLeaves) -> Result<(), String> {
    let DividendLeaves { vault, epoch, leaves } = tree;
    held(*epoch == record.instructions.epoch, &format!("the leaves of {vault} are of another epoch"))?;
    let published = record.instructions.dividends.iter().find(|one| one.vault == *vault);
    let Some(published) = published else {
        return held(leaves.is_empty(), &format!("{vault} published no tree in this epoch"));
    };
    held(leaves.len() as u64 == published.payees, &format!("the tree of {vault} has other leaves"))?;
    let (mut root, mut total) = (Frontier::default(), Sym::ZERO);
    for (place, leaf) in leaves.iter().enumerate() {
        let in_order = place == 0 || leaves[place - 1].account < leaf.account;
        let sound = in_order && leaf.index == place as u64 && leaf.amount > Sym::ZERO;
        held(sound, &format!("leaf {place} of {vault} is out of place, names nobody new, or pays nothing"))?;
        total = total.checked_add(leaf.amount).ok_or("the amounts do not fit")?;
        root.push(leaf.hash());
    }
    held(
        total == published.total,
        &format!("the leaves of {vault} sum to {}, not {}", total.0, published.total.0),
    )?;
    held(root.root() == published.root, &format!("the leaves of {vault} have another root"))
}

/// Compares the record with what the chain shows, as the gateway's masters see it: the sums of the epoch's batches, and each tree. **Errors**:
/// the chain does not answer.
pub async fn on_chain(
    client: &Client,
    bundle: &EpochBundle,
    report: &mut EpochReport,
) -> Result<(), ClientError> {
    let set = &bundle.record.body.instructions;
    let batches = match client.query(Query::Epoch(set.epoch)).await? {
        Answer::Epoch(batches) => batches,
        other => return Err(ClientError::Garbled(format!("{other:?} does not answer for an epoch"))),
    };
    let sum = |of: fn(&symphony_chain::ledger::reward::Totals) -> Sym| {
        amount::sum(batches.iter().map(|batch| of(&batch.totals))).unwrap_or(Sym(u64::MAX))
    };
    let told = Totals::of(set);
    let parts = [
        ("charged", sum(|totals| totals.charged), told.charged),
        ("refunded", sum(|totals| totals.refunded), told.refunded),
        ("subsidised", sum(|totals| totals.subsidised), told.subsidised),
        ("drawn", sum(|totals| totals.drawn), told.drawn),
        ("carried", sum(|totals| totals.carried), told.carried),
        ("pool return", sum(|totals| totals.pool_return), told.pool_return),
    ];
    let other: Vec<_> =
        parts.iter().filter(|(_, chain, said)| chain != said).map(|(name, ..)| *name).collect();
    report.check(
        "chain-totals",
        "the chain's own records of the epoch have the sums of this batch",
        held(other.is_empty(), &format!("the chain has other sums: {}", other.join(", "))),
    );
    let mut fault = None;
    for tree in &set.dividends {
        let shown = match client.query(Query::Tree(tree.vault.clone(), set.epoch)).await? {
            Answer::Tree(shown) => shown,
            other => return Err(ClientError::Garbled(format!("{other:?} does not answer for a tree"))),
        };
        if shown.is_none_or(|shown| (shown.root, shown.total) != (tree.root, tree.total)) {
            fault = Some(format!("the chain has another tree of {}, or none", tree.vault));
        }
    }
    report.check(
        "chain-trees",
        "producers claim from the trees that the vaults signed",
        fault.map_or(Ok(()), Err),
    );
    Ok(())
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, ClientError> {
    let bytes = hex::decode(text).map_err(|error| ClientError::Garbled(error.to_string()))?;
    decode(&bytes).map_err(|error| ClientError::Garbled(error.to_string()))
}
