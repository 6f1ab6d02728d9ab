//! The port to the chain, and its client over any transport of bytes (R169, R171). Whoever submits persists
//! the signed bytes first: sending them again is safe, and after their expiry a missing receipt proves that
//! they were never executed (R172).

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use symphony_types::canonical;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, EpochId, LockRef, TaskId, VaultId};
use symphony_types::time::OrderedMillis;

use crate::ledger::escrow::Lock;
use crate::ledger::query::{Account, Answer, Fate, Funds, Minting, Query, answer};
use crate::ledger::reward::{BatchRecord, Tree};
use crate::ledger::{Abort, Receipt, State, apply};
use crate::refusal::Refusal;
use crate::transaction::{Anchor, ChainTerms, Submission, Track};

/// A chain.
#[async_trait]
pub trait Chain: Send + Sync {
    /// What a wallet must know to sign for the chain.
    async fn terms(&self) -> Result<ChainTerms, ChainError>;
    /// Has a transaction executed; the same one again gives the same receipt.
    async fn submit(&self, transaction: Submission) -> Result<Receipt, ChainError>;
    /// What became of a transaction that was sent, or may have been.
    async fn fate(&self, track: Track) -> Result<Fate, ChainError>;
    /// One escrow lock.
    async fn lock(&self, lock: LockRef) -> Result<Option<Lock>, ChainError>;
    /// The receipt of a transaction, by its hash.
    async fn receipt(&self, hash: Digest) -> Result<Option<Receipt>, ChainError>;
    /// One account.
    async fn account(&self, account: AccountId) -> Result<Account, ChainError>;
    /// The staked producers (R161).
    async fn staked(&self) -> Result<BTreeSet<AccountId>, ChainError>;
    /// A task's settlement root, once it is anchored (R150).
    async fn anchor(&self, task: TaskId) -> Result<Option<Anchor>, ChainError>;
    /// A Vault's dividends of an epoch (D7).
    async fn tree(&self, vault: &VaultId, epoch: EpochId) -> Result<Option<Tree>, ChainError>;
    /// Whether a leaf of that tree was claimed.
    async fn claimed(&self, vault: &VaultId, epoch: EpochId, index: u64) -> Result<bool, ChainError>;
    /// What a payout batch did, once it was executed.
    async fn batch(&self, batch_id: Digest) -> Result<Option<BatchRecord>, ChainError>;
    /// What all batches of an epoch did (R173).
    async fn epoch(&self, epoch: EpochId) -> Result<Vec<BatchRecord>, ChainError>;
    /// Where the protocol's own money is.
    async fn funds(&self) -> Result<Funds, ChainError>;
    /// How far the schedule of inflation is (R179).
    async fn minting(&self) -> Result<Minting, ChainError>;
    /// Whether nodes were paid for an epoch of it (R164).
    async fn nodes_paid(&self, epoch: u64) -> Result<bool, ChainError>;
}

/// Why the chain did not answer as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// An answer: the transaction has no effect.
    #[error("the chain refused the transaction: {0}")]
    Refused(Refusal),
    /// No answer: whether the transaction was executed is not known.
    #[error("the chain does not answer: {0}")]
    Unreachable(String),
    /// What came back is not an answer to the question.
    #[error("the chain's answer cannot be read")]
    Garbled,
}

impl ChainError {
    /// The refusal's code in the catalogue.
    pub const fn code(&self) -> Code {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Unreachable(_) => Code::Unavailable,
            Self::Garbled => Code::Internal,
        }
    }
}

/// What a client sends to the process that hosts the ledger. **Shape**: canonical bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Execute this.
    Submit(Submission),
    /// Answer this.
    Query(Query),
}

/// What comes back. **Shape**: canonical bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// The transaction was executed, now or before.
    Executed(Receipt),
    /// The transaction was refused.
    Refused(Refusal),
    /// The answer to a query.
    Answer(Answer),
    /// The request could not be read.
    Malformed,
}

impl Request {
    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(self)
    }

    /// Reads canonical bytes; anything else is `None`.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bcs::from_bytes(bytes).ok()
    }
}

impl Response {
    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(self)
    }

    /// Reads canonical bytes; anything else is `None`.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bcs::from_bytes(bytes).ok()
    }
}

/// Serves one request from a ledger in memory. A host with a journal orders what [`Request::Submit`] carries
/// before it answers, and may use this for the rest.
pub fn respond(state: &mut State, at: OrderedMillis, request: &[u8]) -> Vec<u8> {
    let response = match Request::from_bytes(request) {
        None => Response::Malformed,
        Some(Request::Query(query)) => Response::Answer(answer(state, at, &query)),
        Some(Request::Submit(Submission::Contracts(_))) => Response::Refused(Abort::WrongChain.into()),
        Some(Request::Submit(Submission::Ledger(transaction))) => match apply(state, at, &transaction) {
            Ok(receipt) => Response::Executed(receipt),
            Err(abort) => Response::Refused(abort.into()),
        },
    };
    response.to_bytes()
}

/// Carries bytes to the process that hosts the ledger, and its answer back.
#[async_trait]
pub trait Transport: Send + Sync {
    /// One exchange. **Errors**: [`ChainError::Unreachable`] when no answer came.
    async fn call(&self, request: Vec<u8>) -> Result<Vec<u8>, ChainError>;
}

/// The reference ledger of another process.
#[derive(Clone, Debug)]
pub struct RemoteChain<T>(T);

impl<T: Transport> RemoteChain<T> {
    /// The ledger at the other end of `transport`.
    pub const fn new(transport: T) -> Self {
        Self(transport)
    }

    async fn call(&self, request: Request) -> Result<Response, ChainError> {
        let bytes = self.0.call(request.to_bytes()).await?;
        Response::from_bytes(&bytes).ok_or(ChainError::Garbled)
    }

    async fn query(&self, query: Query) -> Result<Answer, ChainError> {
        match self.call(Request::Query(query)).await? {
            Response::Answer(answer) => Ok(answer),
            Response::Executed(_) | Response::Refused(_) | Response::Malformed => Err(ChainError::Garbled),
        }
    }
}

#[async_trait]
impl<T: Transport> Chain for RemoteChain<T> {
    async fn terms(&self) -> Result<ChainTerms, ChainError> {
        let Answer::Terms(terms) = self.query(Query::Terms).await? else { return Err(ChainError::Garbled) };
        Ok(terms)
    }

    async fn fate(&self, track: Track) -> Result<Fate, ChainError> {
        let Answer::Fate(fate) = self.query(Query::Fate(track)).await? else {
            return Err(ChainError::Garbled);
        };
        Ok(fate)
    }

    async fn submit(&self, transaction: Submission) -> Result<Receipt, ChainError> {
        match self.call(Request::Submit(transaction)).await? {
            Response::Executed(receipt) => Ok(receipt),
            Response::Refused(refusal) => Err(ChainError::Refused(refusal)),
            Response::Answer(_) | Response::Malformed => Err(ChainError::Garbled),
        }
    }

    async fn lock(&self, lock: LockRef) -> Result<Option<Lock>, ChainError> {
        let Answer::Lock(lock) = self.query(Query::Lock(lock)).await? else {
            return Err(ChainError::Garbled);
        };
        Ok(lock)
    }

    async fn receipt(&self, hash: Digest) -> Result<Option<Receipt>, ChainError> {
        let answer = self.query(Query::Receipt(hash)).await?;
        let Answer::Receipt(receipt) = answer else { return Err(ChainError::Garbled) };
        Ok(receipt)
    }

    async fn account(&self, account: AccountId) -> Result<Account, ChainError> {
        let answer = self.query(Query::Account(account)).await?;
        let Answer::Account(account) = answer else { return Err(ChainError::Garbled) };
        Ok(account)
    }

    async fn staked(&self) -> Result<BTreeSet<AccountId>, ChainError> {
        let Answer::Staked(staked) = self.query(Query::Staked).await? else {
            return Err(ChainError::Garbled);
        };
        Ok(staked)
    }

    async fn anchor(&self, task: TaskId) -> Result<Option<Anchor>, ChainError> {
        let answer = self.query(Query::Anchor(task)).await?;
        let Answer::Anchor(anchor) = answer else { return Err(ChainError::Garbled) };
        Ok(anchor)
    }

    async fn tree(&self, vault: &VaultId, epoch: EpochId) -> Result<Option<Tree>, ChainError> {
        let answer = self.query(Query::Tree(vault.clone(), epoch)).await?;
        let Answer::Tree(tree) = answer else { return Err(ChainError::Garbled) };
        Ok(tree)
    }

    async fn claimed(&self, vault: &VaultId, epoch: EpochId, index: u64) -> Result<bool, ChainError> {
        let answer = self.query(Query::Claimed(vault.clone(), epoch, index)).await?;
        let Answer::Claimed(claimed) = answer else { return Err(ChainError::Garbled) };
        Ok(claimed)
    }

    async fn batch(&self, batch_id: Digest) -> Result<Option<BatchRecord>, ChainError> {
        let Answer::Batch(record) = self.query(Query::Batch(batch_id)).await? else {
            return Err(ChainError::Garbled);
        };
        Ok(record)
    }

    async fn epoch(&self, epoch: EpochId) -> Result<Vec<BatchRecord>, ChainError> {
        let Answer::Epoch(records) = self.query(Query::Epoch(epoch)).await? else {
            return Err(ChainError::Garbled);
        };
        Ok(records)
    }

    async fn funds(&self) -> Result<Funds, ChainError> {
        let Answer::Funds(funds) = self.query(Query::Funds).await? else { return Err(ChainError::Garbled) };
        Ok(funds)
    }

    async fn minting(&self) -> Result<Minting, ChainError> {
        let answer = self.query(Query::Inflation).await?;
        let Answer::Inflation(minting) = answer else { return Err(ChainError::Garbled) };
        Ok(minting)
    }

    async fn nodes_paid(&self, epoch: u64) -> Result<bool, ChainError> {
        let answer = self.query(Query::NodesPaid(epoch)).await?;
        let Answer::NodesPaid(paid) = answer else { return Err(ChainError::Garbled) };
        Ok(paid)
    }
}
