//! A small chain with named accounts, and short ways to act on it.

use std::collections::{BTreeMap, BTreeSet};

use symphony_chain::ledger::inflation::Schedule;
use symphony_chain::ledger::query::{Account, Answer, Query, answer};
use symphony_chain::ledger::{Abort, Genesis, Parameters, Receipt, Roles, State, TierTerms, apply, supply};
use symphony_chain::transaction::{
    Anchor, Call, Carry, ChainId, DividendTree, EscrowSettlement, Payee, PayoutBatch, ProposalKind,
    RecipientClass, Release, SignedTransaction, Tier, Transaction, VoteResult, lock_ref,
};
use symphony_types::amount::{Bps, Sym};
use symphony_types::digest::Digest;
use symphony_types::dividend::DividendLeaf;
use symphony_types::id::{AccountId, EpochId, LockRef, PolicyVersion, TaskId, VaultId};
use symphony_types::key::{Document as _, PrivateKey, Signed, Treasury, Wallet};
use symphony_types::merkle;
use symphony_types::time::OrderedMillis;

pub(crate) const SUBMITTER: u8 = 1;
pub(crate) const OPERATOR: u8 = 2;
pub(crate) const EXECUTOR: u8 = 3;
pub(crate) const PRODUCERS: [u8; 4] = [4, 5, 6, 7];
pub(crate) const PAYOUT: u8 = 8;
pub(crate) const SLASHER: u8 = 9;
pub(crate) const RECORDER: u8 = 10;
pub(crate) const SIGNERS: [u8; 3] = [20, 21, 22];

pub(crate) const LOCK_MS: u64 = 1_000;
pub(crate) const LIFE_MS: u64 = 10_000;
pub(crate) const COOLDOWN_MS: u64 = 500;

/// Of the schedule of inflation.
pub(crate) const EPOCH_MS: u64 = 2_000;
const BEGIN: OrderedMillis = OrderedMillis(1_000_000);

pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) now: OrderedMillis,
}

pub(crate) fn wallet(name: u8) -> PrivateKey<Wallet> {
    PrivateKey::from_seed(&[name; 32])
}

pub(crate) fn account(name: u8) -> AccountId {
    wallet(name).public().account()
}

pub(crate) fn signer(name: u8) -> PrivateKey<Treasury> {
    PrivateKey::from_seed(&[name; 32])
}

pub(crate) fn chain() -> ChainId {
    ChainId::new("test").unwrap()
}

pub(crate) fn digest(text: &str) -> Digest {
    Digest::of_bytes(text.as_bytes())
}

pub(crate) fn task(text: &str) -> TaskId {
    TaskId(digest(text))
}

pub(crate) fn vault(text: &str) -> VaultId {
    VaultId::new(text).unwrap()
}

pub(crate) fn genesis() -> Genesis {
    let terms = |minimum| TierTerms { minimum: Sym(minimum), cooldown_ms: COOLDOWN_MS };
    let names = [SUBMITTER, OPERATOR, EXECUTOR].into_iter().chain(PRODUCERS);
    Genesis {
        chain: chain(),
        balances: names.map(|name| (account(name), Sym(1_000))).collect::<BTreeMap<_, _>>(),
        treasury: Sym(500),
        pool: Sym(50),
        incentives: Sym(70),
        inflation: Schedule {
            start: BEGIN,
            epoch_ms: EPOCH_MS,
            epochs_per_step: 2,
            rates: vec![Bps(800), Bps(500)],
            treasury: Bps(2_500),
        },
        roles: Roles {
            payout: account(PAYOUT),
            slasher: account(SLASHER),
            recorder: account(RECORDER),
            treasury: SIGNERS.iter().map(|name| signer(*name).public()).collect::<BTreeSet<_>>(),
            treasury_threshold: 2,
        },
        parameters: Parameters {
            master: terms(300),
            enterprise: terms(200),
            producer: terms(100),
            lock_ms_min: LOCK_MS,
            transaction_ms_max: LIFE_MS,
            receipt_ms: LIFE_MS,
            payees_per_tree_min: 2,
            quorum: Bps(5_000),
        },
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self { state: State::new(genesis()).unwrap(), now: BEGIN }
    }

    pub(crate) fn wait(&mut self, millis: u64) {
        self.now = self.now.plus(millis);
    }

    pub(crate) fn account(&self, name: u8) -> Account {
        let Answer::Account(account) = answer(&self.state, self.now, &Query::Account(account(name))) else {
            panic!()
        };
        account
    }

    pub(crate) fn balance(&self, name: u8) -> u64 {
        self.account(name).balance.0
    }

    /// The next transaction of `name`.
    pub(crate) fn sign(&self, name: u8, call: Call) -> SignedTransaction {
        let sequence = self.account(name).sequence;
        Transaction::sign(&wallet(name), chain(), sequence, self.now.plus(LIFE_MS), call)
    }

    /// Applies a transaction; the supply is checked to the unit, and an abort leaves no trace.
    pub(crate) fn submit(&mut self, transaction: &SignedTransaction) -> Result<Receipt, Abort> {
        let before = self.state.clone();
        let result = apply(&mut self.state, self.now, transaction);
        assert_eq!(supply(&self.state), u128::from(self.state.minted().0));
        if result.is_err() {
            assert!(before == self.state, "an abort changed the state");
        }
        result
    }

    pub(crate) fn call(&mut self, name: u8, call: Call) -> Result<Receipt, Abort> {
        let transaction = self.sign(name, call);
        self.submit(&transaction)
    }

    /// A release that the council has accepted.
    pub(crate) fn accepted(&mut self, amount: u64, proposal: &str) -> Release {
        let release = release(amount, proposal);
        self.call(RECORDER, Call::RecordVote(accepting(&release))).unwrap();
        release
    }

    /// Locks money of the submitter.
    pub(crate) fn lock(&mut self, request: &str, amount: u64) -> LockRef {
        let lock = lock_ref(account(SUBMITTER), self.account(SUBMITTER).sequence);
        let call = self.locking(request, amount);
        self.call(SUBMITTER, call).unwrap();
        lock
    }

    pub(crate) fn locking(&self, request: &str, amount: u64) -> Call {
        Call::EscrowLock {
            request: digest(request),
            amount: Sym(amount),
            policy_version: PolicyVersion(1),
            expires: self.now.plus(LOCK_MS),
        }
    }
}

pub(crate) fn empty_batch(id: &str) -> PayoutBatch {
    PayoutBatch {
        batch_id: digest(id),
        epoch: EpochId(7),
        settlements: Vec::new(),
        subsidies: Vec::new(),
        payees: Vec::new(),
        dividends: Vec::new(),
        carries: Vec::new(),
        pool_return: Sym::ZERO,
        treasury: Sym::ZERO,
        anchors: Vec::new(),
    }
}

/// The dividends of all producers: 10, 20, 30, 40.
pub(crate) fn leaves() -> Vec<DividendLeaf> {
    let places = (0u64..).zip(PRODUCERS);
    places
        .map(|(index, name)| DividendLeaf { account: account(name), index, amount: Sym(10 * (index + 1)) })
        .collect()
}

pub(crate) fn tree(leaves: &[DividendLeaf]) -> DividendTree {
    let hashes: Vec<_> = leaves.iter().map(DividendLeaf::hash).collect();
    let total = Sym(leaves.iter().map(|leaf| leaf.amount.0).sum());
    DividendTree { vault: vault("north"), root: merkle::root(&hashes), leaves: leaves.len() as u64, total }
}

pub(crate) fn claiming(leaves: &[DividendLeaf], index: usize) -> Call {
    let hashes: Vec<_> = leaves.iter().map(DividendLeaf::hash).collect();
    Call::ClaimDividend {
        vault: vault("north"),
        epoch: EpochId(7),
        index: index as u64,
        amount: leaves[index].amount,
        path: merkle::inclusion_proof(&hashes, index).unwrap(),
    }
}

pub(crate) fn settlement(lock: LockRef, task_name: &str, charged: u64, refunded: u64) -> EscrowSettlement {
    EscrowSettlement { lock, task: task(task_name), charged: Sym(charged), refunded: Sym(refunded) }
}

pub(crate) fn payee(name: u8, class: RecipientClass, amount: u64) -> Payee {
    Payee { account: account(name), class, amount: Sym(amount) }
}

/// One campaign: 300 locked, 240 charged and paid to everybody, 60 refunded.
pub(crate) fn campaign(lock: LockRef) -> PayoutBatch {
    PayoutBatch {
        settlements: vec![settlement(lock, "campaign", 240, 60)],
        payees: vec![
            payee(OPERATOR, RecipientClass::VaultOperator, 50),
            payee(EXECUTOR, RecipientClass::Executor, 30),
            payee(EXECUTOR, RecipientClass::Aggregator, 10),
            payee(OPERATOR, RecipientClass::Verifier, 5),
        ],
        dividends: vec![tree(&leaves())],
        carries: vec![Carry { vault: vault("south"), into: Sym(15), out_of: Sym::ZERO }],
        pool_return: Sym(12),
        treasury: Sym(18),
        anchors: vec![Anchor { task: task("campaign"), settlement_root: digest("root") }],
        ..empty_batch("epoch 7")
    }
}

pub(crate) fn release(amount: u64, proposal: &str) -> Release {
    Release { chain: chain(), to: account(OPERATOR), amount: Sym(amount), proposal: digest(proposal) }
}

pub(crate) fn approvals(release: &Release, names: &[u8]) -> Vec<Signed<Release, Treasury>> {
    names.iter().map(|name| signer(*name).sign(release.clone())).collect()
}

pub(crate) fn releasing(release: Release, names: &[u8]) -> Call {
    Call::TreasuryRelease { approvals: approvals(&release, names), release }
}

/// Six of ten were for what a proposal allows.
pub(crate) fn accepting(release: &Release) -> VoteResult {
    VoteResult {
        proposal: release.proposal,
        kind: ProposalKind::Release,
        payload: release.digest(),
        votes_for: 6,
        votes_against: 1,
        eligible: 10,
    }
}

pub(crate) fn stake(amount: u64) -> Call {
    Call::StakeDeposit { tier: Tier::Producer, amount: Sym(amount) }
}

pub(crate) fn slashing(name: u8, amount: u64, reference: &str) -> Call {
    Call::Slash {
        account: account(name),
        tier: Tier::Producer,
        amount: Sym(amount),
        reference: digest(reference),
    }
}
