//! What spends a person's budget, checked by somebody who trusts no node (R063, R069): every entry is under the root that the Vault
//! signed, the person is in its sets, and together they explain what the Vault says is spent. Whether the key is the Vault's is in
//! the governance that the caller trusts; that the Vault showed everybody the same root is what reconciliation looks at.

use std::collections::BTreeMap;

use symphony_protocol::governance::Governance;
use symphony_protocol::vault::ledger::proof::{LedgerRoot, ProofFault, ProvenStatement, explain};
use symphony_protocol::vault::ledger::{Balance, Movement};
use symphony_types::id::{TaskId, UsageScope};
use symphony_wire::documents::decode;
use thiserror::Error;

use crate::client::{Client, ClientError};

/// A statement cannot be had, or is not to be believed.
#[derive(Debug, Error)]
pub enum BudgetError {
    /// The Vault does not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What came is no statement.
    #[error("the statement cannot be read")]
    Malformed,
    /// Governance does not know the Vault.
    #[error("the trusted governance knows no vault {0}")]
    VaultUnknown(String),
    /// It does not hold.
    #[error("the statement does not hold: {0}")]
    Fault(#[from] ProofFault),
    /// The ledger changed between two pages; asked again, it may not.
    #[error("the ledger changed while it was read")]
    Changed,
}

/// A checked statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The ledger that it is under.
    pub ledger: LedgerRoot,
    /// What is held and consumed, by scope.
    pub balances: BTreeMap<UsageScope, Balance>,
    /// What made it so, in the order of tasks.
    pub lines: Vec<(UsageScope, Movement)>,
}

/// All pages of a person's statement, each checked. **Errors**: [`BudgetError`].
pub async fn statement(
    client: &Client,
    governance: &Governance,
    vault: &str,
    subject: &str,
) -> Result<Statement, BudgetError> {
    let mut known: Option<Statement> = None;
    let mut after: Option<TaskId> = None;
    loop {
        let bytes = client.budget_statement(vault, subject, after).await?;
        let page: ProvenStatement = decode(&bytes).map_err(|_| BudgetError::Malformed)?;
        let ledger = page.root.body.clone();
        let key = governance.registry.vaults.get(&ledger.vault).map(|record| record.key);
        let key = key.ok_or_else(|| BudgetError::VaultUnknown(ledger.vault.to_string()))?;
        let lines = page.check(&key)?;
        let last = page.entries.last().map(|entry| entry.task);
        let begun = known.get_or_insert_with(|| Statement {
            ledger: ledger.clone(),
            balances: page.balances.clone(),
            lines: vec![],
        });
        if (begun.ledger.root, &begun.balances) != (ledger.root, &page.balances) {
            return Err(BudgetError::Changed);
        }
        begun.lines.extend(lines);
        match last.filter(|_| page.more) {
            Some(task) => after = Some(task),
            None => break,
        }
    }
    let statement = known.ok_or(BudgetError::Malformed)?;
    explain(&statement.balances, &statement.lines)?;
    Ok(statement)
}
