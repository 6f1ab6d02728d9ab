//! A chain account and its transactions (R156, R172, R176): signed bytes are on disk before they are first sent, so that
//! after a lost answer or a crash the same bytes go out again and nothing is paid twice.
//!
//! ```text
//! no file --sign, write--> kept --executed, or its lock exists--> executed
//!                            |---- alive ----------------------> the same bytes again
//!                            |---- dead, or refused for good --> sign anew
//!                            +---- undecided ------------------> somebody looks
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use symphony_chain::ledger::escrow::LockState;
use symphony_chain::ledger::query::{Account, Answer, Fate, Query};
use symphony_chain::refusal::Refusal;
use symphony_chain::transaction::{
    Approval, Call, ChainId, ChainTerms, Draft, Prepared, Release, Tier, VoteResult, lock_ref,
};
use symphony_protocol::artifact::TaskRequest;
use symphony_types::amount::Sym;
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, EpochId, LockRef, PolicyVersion, VaultId};
use symphony_types::key::{self, PrivateKey};
use symphony_types::time::OrderedMillis;
use symphony_wire::documents::{decode, encode};
use thiserror::Error;

use crate::client::{Client, ClientError};
use crate::secret::{self, SecretError};
use crate::shape::challenge::ChallengeList;
use crate::shape::{DividendEntry, Quote};

/// A transaction was not executed, or that is not known.
#[derive(Debug, Error)]
pub enum WalletError {
    /// The key cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The gateway or the chain refuses, or does not answer. The same call again sends the same bytes.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Signed bytes cannot be kept.
    #[error("keeping the signed transaction")]
    File(#[from] io::Error),
    /// Another process uses the wallet.
    #[error("the wallet is in use by another process")]
    Busy,
    /// Too old or too damaged to tell whether the chain executed it.
    #[error("an earlier transaction's outcome is no longer known; remove {0} to send the call again")]
    Undecided(PathBuf),
    /// The wallet signs for one chain, and the network's money is on another.
    #[error("the network's chain is {0}, and this wallet signs for {1}")]
    WrongChain(ChainId, ChainId),
    /// A quote or a dividend lacks what a transaction needs.
    #[error("the {0} cannot be used")]
    Unusable(&'static str),
}

/// An executed transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Executed {
    /// Its hash.
    pub hash: Digest,
    /// Its number among the sender's.
    pub sequence: u64,
}

/// The key of a chain account, with the transactions that it signed.
pub struct Wallet {
    key: PrivateKey<key::Wallet>,
    chain: ChainId,
    folder: PathBuf,
    sponsored: bool,
}

impl Wallet {
    /// Makes a key in a new file. **Errors**: [`WalletError::Secret`].
    pub fn create(path: &Path, chain: ChainId) -> Result<Self, WalletError> {
        Ok(Self::with(&*secret::create(path)?, path, chain))
    }

    /// Opens the key of a file. **Errors**: [`WalletError::Secret`].
    pub fn open(path: &Path, chain: ChainId) -> Result<Self, WalletError> {
        Ok(Self::with(&*secret::read(path)?, path, chain))
    }

    fn with(seed: &[u8; 32], path: &Path, chain: ChainId) -> Self {
        let folder = path.with_extension("transactions");
        Self { key: PrivateKey::from_seed(seed), chain, folder, sponsored: false }
    }

    /// The same, with gas paid by the network's sponsor, so that the account needs none of the chain's own coin.
    #[must_use]
    pub fn sponsored(self) -> Self {
        Self { sponsored: true, ..self }
    }

    /// The account that the key controls.
    pub fn account(&self) -> AccountId {
        self.key.public().account()
    }

    /// What the chain says of the account. **Errors**: [`WalletError::Client`].
    pub async fn holding(&self, client: &Client) -> Result<Account, WalletError> {
        match client.query(Query::Account(self.account())).await? {
            Answer::Account(account) => Ok(account),
            other => Err(strange(&other)),
        }
    }

    /// Locks the worst case of a quote for a request; the wallet's signature covers all that is asked. The same request
    /// twice is one lock. **Errors**: [`WalletError`].
    pub async fn lock(
        &self,
        client: &Client,
        request: &TaskRequest,
        quote: &Quote,
    ) -> Result<LockRef, WalletError> {
        let worst_case = quote.worst_case.as_ref().ok_or(WalletError::Unusable("quote"))?;
        let purpose = request.lock_purpose();
        let call = Call::EscrowLock {
            request: purpose,
            amount: worst_case.total,
            policy_version: PolicyVersion(quote.policy_version),
            expires: OrderedMillis(quote.lock_until_ms).plus(LOCK_MARGIN_MS),
        };
        let executed = self.execute(client, &format!("lock-{purpose}"), call).await?;
        Ok(lock_ref(self.account(), executed.sequence))
    }

    /// Locks the bond of a challenge; the wallet's signature covers all that is filed. The same filing twice is one lock.
    /// **Errors**: [`WalletError`].
    pub async fn bond(
        &self,
        client: &Client,
        purpose: Digest,
        terms: &ChallengeList,
    ) -> Result<LockRef, WalletError> {
        let call = Call::EscrowLock {
            request: purpose,
            amount: terms.bond_base,
            policy_version: PolicyVersion(terms.policy_version),
            expires: now().plus(terms.bond_ms).plus(LOCK_MARGIN_MS),
        };
        let executed = self.execute(client, &format!("lock-{purpose}"), call).await?;
        Ok(lock_ref(self.account(), executed.sequence))
    }

    /// Takes back an expired lock that was never settled. **Errors**: [`WalletError`].
    pub async fn reclaim(&self, client: &Client, lock: LockRef) -> Result<Executed, WalletError> {
        self.once(client, Call::EscrowReclaim { lock }).await
    }

    /// Pays another account. **Errors**: [`WalletError`].
    pub async fn transfer(
        &self,
        client: &Client,
        to: AccountId,
        amount: Sym,
    ) -> Result<Executed, WalletError> {
        self.once(client, Call::Transfer { to, amount }).await
    }

    /// Adds to the account's stake. **Errors**: [`WalletError`].
    pub async fn stake(&self, client: &Client, tier: Tier, amount: Sym) -> Result<Executed, WalletError> {
        self.once(client, Call::StakeDeposit { tier, amount }).await
    }

    /// Moves stake into its cooldown; what is cooling already starts again with it (R175). **Errors**: [`WalletError`].
    pub async fn unstake(&self, client: &Client, tier: Tier, amount: Sym) -> Result<Executed, WalletError> {
        self.once(client, Call::StakeWithdrawRequest { tier, amount }).await
    }

    /// Takes out what has cooled down. **Errors**: [`WalletError`].
    pub async fn withdraw(&self, client: &Client, tier: Tier) -> Result<Executed, WalletError> {
        self.once(client, Call::StakeWithdraw { tier }).await
    }

    /// Brings the approvals of the treasury's signers to the chain; whoever brings them is not paid for it (R178). **Errors**:
    /// [`WalletError`].
    pub async fn release(
        &self,
        client: &Client,
        release: Release,
        approvals: Vec<Approval>,
    ) -> Result<Executed, WalletError> {
        self.once(client, Call::TreasuryRelease { release, approvals }).await
    }

    /// As the council's account, records on the chain how the council voted (R181). **Errors**: [`WalletError`].
    pub async fn record(&self, client: &Client, result: VoteResult) -> Result<Executed, WalletError> {
        self.once(client, Call::RecordVote(result)).await
    }

    /// Takes a dividend out of a Vault's tree, unless it was taken; says whether it was taken now.
    /// **Errors**: [`WalletError`].
    pub async fn claim(
        &self,
        client: &Client,
        vault: &VaultId,
        dividend: &DividendEntry,
    ) -> Result<Option<Executed>, WalletError> {
        let path: Option<Vec<Digest>> = dividend.path.iter().map(|hash| Digest::from_hex(hash)).collect();
        let path = path.filter(|_| dividend.account == self.account().to_string());
        let path = path.ok_or(WalletError::Unusable("dividend"))?;
        if claimed(client, vault, dividend).await? {
            return Ok(None);
        }
        let (epoch, index) = (EpochId(dividend.epoch_id), dividend.index);
        let call = Call::ClaimDividend { vault: vault.clone(), epoch, index, amount: dividend.amount, path };
        self.once(client, call).await.map(Some)
    }

    /// Executes a call and forgets it, so that the same call may be made again.
    async fn once(&self, client: &Client, call: Call) -> Result<Executed, WalletError> {
        let name = Digest::of("symphony/wallet-call/v1", &call).to_hex();
        let executed = self.execute(client, &name, call).await?;
        fs::remove_file(self.file(&name))?;
        Ok(executed)
    }

    /// Executes the call that is kept under `name`, at most once.
    async fn execute(&self, client: &Client, name: &str, call: Call) -> Result<Executed, WalletError> {
        let _turn = self.turn()?;
        let path = self.file(name);
        let (prepared, fresh) = match self.kept(&path)? {
            None => (self.sign(client, &path, call).await?, true),
            Some(known) => match self.next(client, &known, &call).await? {
                Next::Done => return Ok(executed(&known)),
                Next::Again => (known, false),
                Next::Anew => (self.sign(client, &path, call).await?, true),
                Next::Look => return Err(WalletError::Undecided(path)),
            },
        };
        match client.transact(&prepared.submission).await {
            Ok(_) => Ok(executed(&prepared)),
            Err(error) => {
                let refused = matches!(&error, ClientError::Refused(problem) if !problem.retryable && problem.status < 500);
                if fresh && refused {
                    // Never sent before, and this answer says that it has no effect.
                    fs::remove_file(&path)?;
                }
                Err(error.into())
            }
        }
    }

    async fn sign(&self, client: &Client, path: &Path, call: Call) -> Result<Prepared, WalletError> {
        let terms = match client.query(Query::Terms).await? {
            Answer::Terms(terms) => terms,
            other => return Err(strange(&other)),
        };
        if *terms.chain() != self.chain {
            return Err(WalletError::WrongChain(terms.chain().clone(), self.chain.clone()));
        }
        let sequence = self.holding(client).await?.sequence;
        let expires = now().plus(VALID_MS);
        let prepared = match &terms {
            ChainTerms::Contracts { deployment, gas_price } if self.sponsored => {
                let draft = Draft { key: self.key.public(), sequence, gas_price: *gas_price, expires, call };
                let sponsorship = match client.query(Query::Sponsorship(Box::new(draft.clone()))).await? {
                    Answer::Sponsorship(answer) => answer.map_err(unsponsored)?,
                    other => return Err(strange(&other)),
                };
                Prepared::sponsored(&self.key, deployment, &draft, &sponsorship)
            }
            ChainTerms::Ledger(_) | ChainTerms::Contracts { .. } => {
                Prepared::sign(&self.key, &terms, sequence, expires, call)
            }
        };
        secret::write_durably(path, &encode(&prepared))?;
        Ok(prepared)
    }

    /// A transaction that was signed before.
    fn kept(&self, path: &Path) -> Result<Option<Prepared>, WalletError> {
        match fs::read(path) {
            // Written whole or not at all, so that a damaged one may have been sent.
            Ok(bytes) => decode(&bytes).map(Some).map_err(|_| WalletError::Undecided(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What to do with a kept transaction of this call. A lock tells for good, also when its receipt is gone.
    async fn next(&self, client: &Client, known: &Prepared, call: &Call) -> Result<Next, WalletError> {
        let track = known.track;
        if let Call::EscrowLock { request, .. } = call {
            match client.query(Query::Lock(lock_ref(track.sender, track.sequence))).await? {
                Answer::Lock(Some(lock)) if lock.request == *request => {
                    // What was taken back pays for nothing; the request needs another lock.
                    let reclaimed = lock.state == LockState::Reclaimed;
                    return Ok(if reclaimed { Next::Anew } else { Next::Done });
                }
                Answer::Lock(_) => {}
                other => return Err(strange(&other)),
            }
        }
        match client.query(Query::Fate(track)).await? {
            Answer::Fate(Fate::Executed(_)) => Ok(Next::Done),
            Answer::Fate(Fate::Alive) => Ok(Next::Again),
            Answer::Fate(Fate::Dead | Fate::Refused(_)) => Ok(Next::Anew),
            // A lock stays on the chain, so that its absence is proof without the receipt.
            Answer::Fate(Fate::Undecided) if matches!(call, Call::EscrowLock { .. }) => Ok(Next::Anew),
            Answer::Fate(Fate::Undecided) => Ok(Next::Look),
            other => Err(strange(&other)),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.signed"))
    }

    /// One transaction at a time: the numbers of one account follow each other.
    fn turn(&self) -> Result<File, WalletError> {
        fs::create_dir_all(&self.folder)?;
        let file = File::create(self.folder.join("in-use"))?;
        file.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => WalletError::Busy,
            fs::TryLockError::Error(error) => error.into(),
        })?;
        Ok(file)
    }
}

/// Whether a dividend was taken, as the chain says. **Errors**: [`WalletError::Client`].
pub async fn claimed(
    client: &Client,
    vault: &VaultId,
    dividend: &DividendEntry,
) -> Result<bool, WalletError> {
    let (epoch, index) = (EpochId(dividend.epoch_id), dividend.index);
    match client.query(Query::Claimed(vault.clone(), epoch, index)).await? {
        Answer::Claimed(claimed) => Ok(claimed),
        other => Err(strange(&other)),
    }
}

/// What to do with a transaction that was signed before.
enum Next {
    Done,
    Again,
    Anew,
    Look,
}

fn executed(prepared: &Prepared) -> Executed {
    Executed { hash: prepared.track.hash, sequence: prepared.track.sequence }
}

fn unsponsored(refusal: Refusal) -> ClientError {
    ClientError::refused(refusal.code(), refusal.to_string())
}

fn strange(answer: &Answer) -> WalletError {
    ClientError::Garbled(format!("{answer:?} answers another question")).into()
}

/// The wall clock; the chain judges expiry by its own.
pub(crate) fn now() -> OrderedMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    OrderedMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// How long a transaction may be executed. **Units**: milliseconds.
const VALID_MS: u64 = 60_000;
/// How much longer a lock lives than its quote asks for, because time passes before the submission.
const LOCK_MARGIN_MS: u64 = 15 * 60_000;
