//! The rules that the simulated cluster orders: accounts whose sum never changes, and requests that count once.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use symphony_consensus::machine::{Genesis, Machine, Restore, restored};
use symphony_types::time::OrderedMillis;

/// Accounts of the genesis.
pub const ACCOUNTS: u8 = 6;
/// What each holds at first.
pub const BALANCE: u64 = 100;

/// Moves money between accounts.
pub enum Bank {}

/// Everything that the bank knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    /// Balance by account.
    pub accounts: BTreeMap<u8, u64>,
    /// Requests that were carried out.
    pub done: BTreeSet<u64>,
    /// Ordered time of the last one.
    pub last_at: OrderedMillis,
}

/// Asks for money to be moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Names the request: carried out once, however often it comes.
    pub request: u64,
    /// The payer.
    pub from: u8,
    /// The payee.
    pub to: u8,
    /// How much.
    pub amount: u64,
}

/// Money was moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transferred(pub Transfer);

/// Why money is not moved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The payer has too little.
    #[error("account {account} has {balance} only")]
    TooLittle {
        /// The payer.
        account: u8,
        /// Its balance.
        balance: u64,
    },
    /// There is no such account.
    #[error("no account {0}")]
    NoAccount(u8),
}

impl Machine for Bank {
    type State = Books;
    type Command = Transfer;
    type Event = Transferred;
    type Refusal = Refusal;

    const RESTORE: Option<Restore<Books>> = Some(restored);

    fn decide(state: &Books, _: OrderedMillis, command: &Transfer) -> Result<Vec<Transferred>, Refusal> {
        if state.done.contains(&command.request) {
            return Ok(Vec::new());
        }
        let balance = *state.accounts.get(&command.from).ok_or(Refusal::NoAccount(command.from))?;
        if !state.accounts.contains_key(&command.to) {
            return Err(Refusal::NoAccount(command.to));
        }
        if balance < command.amount {
            return Err(Refusal::TooLittle { account: command.from, balance });
        }
        Ok(vec![Transferred(command.clone())])
    }

    fn evolve(state: &mut Books, at: OrderedMillis, Transferred(transfer): &Transferred) {
        let mut change = |account: u8, by: &dyn Fn(u64) -> u64| {
            if let Some(balance) = state.accounts.get_mut(&account) {
                *balance = by(*balance);
            }
        };
        change(transfer.from, &|balance| balance.saturating_sub(transfer.amount));
        change(transfer.to, &|balance| balance.saturating_add(transfer.amount));
        state.done.insert(transfer.request);
        state.last_at = at;
    }
}

/// The books before the first transfer.
pub fn genesis() -> Genesis<Books> {
    let accounts = (0..ACCOUNTS).map(|account| (account, BALANCE)).collect();
    let state = Books { accounts, done: BTreeSet::new(), last_at: OrderedMillis(0) };
    Genesis { name: "simulation".to_owned(), state }
}

/// Reads a transfer from canonical bytes: the one way back is through its fixed shape.
pub fn read(bytes: &[u8]) -> Option<Transfer> {
    let (request, rest) = bytes.split_first_chunk::<8>()?;
    let ([from, to], amount) = rest.split_first_chunk::<2>()?;
    let amount = amount.first_chunk::<8>()?;
    let transfer = Transfer {
        request: u64::from_le_bytes(*request),
        from: *from,
        to: *to,
        amount: u64::from_le_bytes(*amount),
    };
    (symphony_types::canonical::to_bytes(&transfer) == bytes).then_some(transfer)
}
