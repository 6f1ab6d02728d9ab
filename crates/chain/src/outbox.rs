//! Transactions of one account that are executed at most once, whatever crashes (R172): signed bytes are durable before they are
//! first sent, and what became of them decides what is sent next.
//!
//! ```text
//! no file --sign, write--> kept --executed-------------> done
//!                            |---- alive --------------> the same bytes again
//!                            +---- dead, refused, or --> sign anew
//!                                  undecided
//! ```
//!
//! To sign anew when nobody can tell is right only for calls that a contract executes once by themselves, such as a batch with
//! its id; nothing else may go through an outbox.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use symphony_types::canonical;
use symphony_types::key::{PrivateKey, Wallet};
use symphony_types::time::OrderedMillis;
use thiserror::Error;

use crate::ledger::Receipt;
use crate::ledger::query::Fate;
use crate::port::{Chain, ChainError};
use crate::transaction::{Call, ChainId, Prepared};

/// A call was not executed yet; the same again goes on where this one ended.
#[derive(Debug, Error)]
pub enum OutboxError {
    /// The chain refuses, or does not answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Signed bytes cannot be kept, so nothing was sent.
    #[error("keeping the signed transaction")]
    File(#[from] io::Error),
    /// The account signs for another chain.
    #[error("the chain is {0}, not {1}")]
    WrongChain(ChainId, ChainId),
}

/// The transactions of one account, a file each.
pub struct Outbox {
    key: PrivateKey<Wallet>,
    chain: ChainId,
    folder: PathBuf,
}

impl Outbox {
    /// The outbox in a folder. **Errors**: the folder cannot be made.
    pub fn open(key: PrivateKey<Wallet>, chain: ChainId, folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self { key, chain, folder })
    }

    /// Has the call under `name`, which is a file's name, executed, or finds it executed. One at a time: numbers of one account
    /// follow each other. **Errors**: [`OutboxError`].
    pub async fn execute(
        &self,
        chain: &impl Chain,
        name: &str,
        call: Call,
        now: OrderedMillis,
    ) -> Result<Receipt, OutboxError> {
        let path = self.folder.join(format!("{name}.signed"));
        let kept = fs::read(&path).ok().and_then(|bytes| bcs::from_bytes::<Prepared>(&bytes).ok());
        let prepared = match kept {
            None => self.sign(chain, &path, call, now).await?,
            Some(kept) => match chain.fate(kept.track).await? {
                Fate::Executed(receipt) => return Ok(receipt),
                Fate::Alive => kept,
                Fate::Dead | Fate::Refused(_) | Fate::Undecided => self.sign(chain, &path, call, now).await?,
            },
        };
        Ok(chain.submit(prepared.submission).await?)
    }

    async fn sign(
        &self,
        chain: &impl Chain,
        path: &Path,
        call: Call,
        now: OrderedMillis,
    ) -> Result<Prepared, OutboxError> {
        let terms = chain.terms().await?;
        if *terms.chain() != self.chain {
            return Err(OutboxError::WrongChain(terms.chain().clone(), self.chain.clone()));
        }
        let sequence = chain.account(self.key.public().account()).await?.sequence;
        let prepared = Prepared::sign(&self.key, &terms, sequence, now.plus(VALID_MS), call);
        let part = path.with_extension("part");
        let mut file = File::create(&part)?;
        file.write_all(&canonical::to_bytes(&prepared))?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        File::open(&self.folder)?.sync_all()?;
        Ok(prepared)
    }
}

/// How long a signed transaction may be executed; after that it is provably dead. **Units**: milliseconds.
const VALID_MS: u64 = 60_000;
