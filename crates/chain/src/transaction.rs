//! What an account asks of the chain: signed transactions and the documents inside them (R169, R176-R178).
//! Everything here is data; the rules are in [`crate::ledger`].

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use symphony_types::amount::Sym;
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, EpochId, LockRef, NameError, NodeId, PolicyVersion, TaskId, VaultId};
use symphony_types::key::{Document, PrivateKey, PublicKey, Signature, Signed, Treasury, Wallet};
use symphony_types::time::OrderedMillis;

use crate::contracts::{self, Deployment};

/// The name of one chain, so that a transaction of a test chain means nothing on another.
///
/// **Shape**: as every name, 1 to 64 characters of `a-z A-Z 0-9 - _ . :`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ChainId(String);

impl ChainId {
    /// Parses a name. **Errors**: [`NameError`] on a wrong length or character.
    pub fn new(text: &str) -> Result<Self, NameError> {
        // Every name of the protocol has one alphabet; it is checked where names are.
        NodeId::new(text).map(|name| Self(name.as_str().to_string()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ChainId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

/// One call by one account. Its digest is the transaction's hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// The chain that it is meant for.
    pub chain: ChainId,
    /// Who calls.
    pub sender: AccountId,
    /// The key that controls the sender.
    pub key: PublicKey<Wallet>,
    /// How many transactions of the sender came before.
    pub sequence: u64,
    /// From then on the transaction is dead.
    pub expires: OrderedMillis,
    /// What is asked.
    pub call: Call,
}

impl Document for Transaction {
    const TAG: &'static str = "symphony/chain-transaction/v1";
}

/// A transaction as it travels.
pub type SignedTransaction = Signed<Transaction, Wallet>;

impl Transaction {
    /// Builds and signs the transaction of the account that `key` controls.
    pub fn sign(
        key: &PrivateKey<Wallet>,
        chain: ChainId,
        sequence: u64,
        expires: OrderedMillis,
        call: Call,
    ) -> SignedTransaction {
        let public = key.public();
        key.sign(Self { chain, sender: public.account(), key: public, sequence, expires, call })
    }
}

/// What a wallet must know of the chain to sign for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChainTerms {
    /// The reference ledger of this name.
    Ledger(ChainId),
    /// The contracts on Aptos.
    Contracts {
        /// Where they are.
        deployment: Deployment,
        /// What a unit of gas costs now. **Units**: octas, hundred-millionths of APT.
        gas_price: u64,
    },
}

impl ChainTerms {
    /// The chain's name.
    pub const fn chain(&self) -> &ChainId {
        match self {
            Self::Ledger(chain) => chain,
            Self::Contracts { deployment, .. } => &deployment.chain,
        }
    }
}

/// A signed transaction in the form of its chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Submission {
    /// For the reference ledger.
    Ledger(Box<SignedTransaction>),
    /// For Aptos. **Shape**: canonical bytes of its signed transaction.
    Contracts(Vec<u8>),
}

impl From<SignedTransaction> for Submission {
    fn from(transaction: SignedTransaction) -> Self {
        Self::Ledger(Box::new(transaction))
    }
}

/// How a transaction is found again, and when its absence is proof that it was never executed (R172).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// The transaction's hash.
    pub hash: Digest,
    /// Who sent it.
    pub sender: AccountId,
    /// Its number among the sender's.
    pub sequence: u64,
    /// From then on the chain does not execute it.
    pub expires: OrderedMillis,
}

/// A transaction as its sender keeps it before it is first sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// What is sent, always the same bytes.
    pub submission: Submission,
    /// How it is found again.
    pub track: Track,
}

impl Prepared {
    /// Signs a call for the chain that `terms` describe, as the account's transaction with this number, whose gas it pays itself.
    pub fn sign(
        key: &PrivateKey<Wallet>,
        terms: &ChainTerms,
        sequence: u64,
        expires: OrderedMillis,
        call: Call,
    ) -> Self {
        match terms {
            ChainTerms::Ledger(chain) => {
                Transaction::sign(key, chain.clone(), sequence, expires, call).into()
            }
            ChainTerms::Contracts { deployment, gas_price } => {
                let draft = Draft { key: key.public(), sequence, gas_price: *gas_price, expires, call };
                let (submission, track) = contracts::sign(key, deployment, &draft, None);
                Self { submission, track }
            }
        }
    }

    /// Signs a draft whose gas a sponsor pays. `key` is the draft's.
    pub fn sponsored(
        key: &PrivateKey<Wallet>,
        deployment: &Deployment,
        draft: &Draft,
        sponsorship: &Sponsorship,
    ) -> Self {
        let (submission, track) = contracts::sign(key, deployment, draft, Some(sponsorship));
        Self { submission, track }
    }
}

/// A call on Aptos that its sender is about to sign, as a sponsor judges it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// The sender's key.
    pub key: PublicKey<Wallet>,
    /// How many transactions of the sender came before.
    pub sequence: u64,
    /// What a unit of gas may cost. **Units**: octas.
    pub gas_price: u64,
    /// From then on the transaction is dead.
    pub expires: OrderedMillis,
    /// What is asked.
    pub call: Call,
}

/// A sponsor's word that its account pays the gas of exactly one draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sponsorship {
    /// The key of the account that pays.
    pub key: PublicKey<Wallet>,
    /// Over the draft in Aptos' form.
    pub signature: Signature,
}

impl From<SignedTransaction> for Prepared {
    fn from(transaction: SignedTransaction) -> Self {
        let Transaction { sender, sequence, expires, .. } = transaction.body;
        let track = Track { hash: transaction.body.digest(), sender, sequence, expires };
        Self { submission: transaction.into(), track }
    }
}

/// The entry functions of the contracts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// Pays another account.
    Transfer {
        /// Who is paid.
        to: AccountId,
        /// How much.
        amount: Sym,
    },
    /// Locks the worst case of a quote for one task request (R156, R176). The lock is [`lock_ref`] of the transaction.
    EscrowLock {
        /// The request that the lock pays for, as the protocol names it. Opaque here.
        request: Digest,
        /// How much.
        amount: Sym,
        /// The policy that the quote was made under.
        policy_version: PolicyVersion,
        /// From then on the owner may take an unsettled lock back.
        expires: OrderedMillis,
    },
    /// Takes back an expired lock that was never settled, in full.
    EscrowReclaim {
        /// Which lock.
        lock: LockRef,
    },
    /// Adds to the sender's stake (R174).
    StakeDeposit {
        /// Which tier.
        tier: Tier,
        /// How much.
        amount: Sym,
    },
    /// Moves stake into its cooldown (R175). What is cooling down already starts again with it.
    StakeWithdrawRequest {
        /// Which tier.
        tier: Tier,
        /// How much.
        amount: Sym,
    },
    /// Takes out what has cooled down.
    StakeWithdraw {
        /// Which tier.
        tier: Tier,
    },
    /// Takes stake for a penalty; only the settlement plane's account may (R175).
    Slash {
        /// Whose stake.
        account: AccountId,
        /// Which tier.
        tier: Tier,
        /// How much; when less is staked, all of it is taken.
        amount: Sym,
        /// The penalty record; serves once.
        reference: Digest,
    },
    /// Settles locks and pays everybody for an epoch; only the payout account may (R169, R177).
    Payout(PayoutBatch),
    /// Takes the sender's dividend out of a Vault's tree (D7).
    ClaimDividend {
        /// Whose tree.
        vault: VaultId,
        /// Of which epoch.
        epoch: EpochId,
        /// The leaf's place.
        index: u64,
        /// The leaf's amount.
        amount: Sym,
        /// The audit path of the leaf.
        path: Vec<Digest>,
    },
    /// Pays out of the treasury on the approvals of enough treasury signers, for a proposal that the council has accepted (R178).
    /// Anybody may bring them.
    TreasuryRelease {
        /// What is released.
        release: Release,
        /// The signers' approvals of exactly that release.
        approvals: Vec<Approval>,
    },
    /// Records how the council voted; only its account may (R181).
    RecordVote(VoteResult),
    /// Mints the next epoch of the schedule once it is over (R179). Anybody may.
    MintEpoch,
    /// Pays nodes for running in a minted epoch, out of the epoch pool, once; only the payout account may (R164).
    PayNodes {
        /// The epoch.
        epoch: u64,
        /// Who is paid how much.
        nodes: Vec<(AccountId, Sym)>,
    },
}

/// How the council voted on a proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteResult {
    /// Which.
    pub proposal: Digest,
    /// What of its kind it allows.
    pub kind: ProposalKind,
    /// The digest of what it allows: of a release, that of the [`Release`].
    pub payload: Digest,
    /// Votes for it.
    pub votes_for: u64,
    /// Votes against it.
    pub votes_against: u64,
    /// How many might vote.
    pub eligible: u64,
}

/// What proposals allow on the chain. Only the first changes the reference ledger; the others are of the contracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ProposalKind {
    /// A release of the treasury.
    Release,
    /// Governed numbers.
    Policy,
    /// Other code of the contracts.
    Upgrade,
    /// Another schedule of inflation.
    Inflation,
}

/// The tiers of stake, `S_master`, `S_enterprise` and `S_producer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Tier {
    /// Master nodes.
    Master,
    /// Enterprise nodes.
    Enterprise,
    /// Data producers.
    Producer,
}

/// All payments of one epoch, or of a part of it. **Invariant**: charged, subsidised and
/// drawn equal paid, kept and returned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayoutBatch {
    /// Names the batch; the same batch again changes nothing, another under this name aborts.
    pub batch_id: Digest,
    /// The epoch that is paid for.
    pub epoch: EpochId,
    /// What becomes of the locks.
    pub settlements: Vec<EscrowSettlement>,
    /// What the protocol pays for tasks that cost their submitters nothing (D11).
    pub subsidies: Vec<Subsidy>,
    /// Who is paid directly.
    pub payees: Vec<Payee>,
    /// Producers' dividends, a tree a Vault.
    pub dividends: Vec<DividendTree>,
    /// Producers' money kept for, or taken from, other epochs.
    pub carries: Vec<Carry>,
    /// What unstaked producers did not get (R161).
    pub pool_return: Sym,
    /// The treasury's share.
    pub treasury: Sym,
    /// Settlement roots of the epoch's tasks (R150).
    pub anchors: Vec<Anchor>,
}

/// What becomes of one lock: `charged + refunded` is all of it (D5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EscrowSettlement {
    /// The lock.
    pub lock: LockRef,
    /// The task that it paid for.
    pub task: TaskId,
    /// What was used.
    pub charged: Sym,
    /// What goes back to the lock's owner.
    pub refunded: Sym,
}

/// What the protocol pays for one task: out of the incentives pool while it lasts, then out of the treasury (D11).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subsidy {
    /// The task.
    pub task: TaskId,
    /// How much.
    pub amount: Sym,
}

/// One direct payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payee {
    /// Who.
    pub account: AccountId,
    /// In which role: an operator, executor, aggregator or verifier.
    pub class: RecipientClass,
    /// How much.
    pub amount: Sym,
}

/// The classes that a batch counts its payments by (R177, D4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RecipientClass {
    /// Data producers; paid by tree only (D7).
    Contributor,
    /// Who runs a Vault.
    VaultOperator,
    /// Who executes slices.
    Executor,
    /// Who combines slices.
    Aggregator,
    /// Who verifies results.
    Verifier,
    /// The protocol; paid by the batch's treasury field only.
    Treasury,
}

/// The dividends of one Vault's producers for the batch's epoch (D7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DividendTree {
    /// Whose producers.
    pub vault: VaultId,
    /// The Merkle root over [`DividendLeaf`]s.
    pub root: Digest,
    /// How many leaves.
    pub leaves: u64,
    /// What they add up to.
    pub total: Sym,
}

/// A Vault's producers' money that moves between epochs, because a tree would have had too few payees (D7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carry {
    /// Whose producers.
    pub vault: VaultId,
    /// Kept of this batch for a later one.
    pub into: Sym,
    /// Taken of what earlier batches kept.
    pub out_of: Sym,
}

/// The chain's witness of one settled task (R150).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// The task.
    pub task: TaskId,
    /// Its settlement root.
    pub settlement_root: Digest,
}

/// A payment out of the treasury, as its signers approve it (R178).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The chain that it is meant for.
    pub chain: ChainId,
    /// Who is paid.
    pub to: AccountId,
    /// How much.
    pub amount: Sym,
    /// The governance proposal that allows it; serves once.
    pub proposal: Digest,
}

impl Document for Release {
    const TAG: &'static str = "symphony/treasury-release/v1";
}

/// A treasury signer's yes to one release.
pub type Approval = Signed<Release, Treasury>;

/// The lock that the sender's transaction with this sequence number makes.
pub fn lock_ref(sender: AccountId, sequence: u64) -> LockRef {
    LockRef(Digest::of("symphony/escrow-lock/v1", &(sender, sequence)))
}
