//! The network's own client against a node: what it signs is Aptos' form, it reads what the reference ledger says, and whatever the
//! chain or a crash does, a batch is paid exactly once (R171, R172).

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aptos_sdk::transaction::SignedTransaction;
use async_trait::async_trait;
use symphony_chain::contracts::{Contracts, Deployment, Sponsor, SponsorLimits, Start};
use symphony_chain::ledger::query::{Answer, Fate, Query};
use symphony_chain::ledger::{Abort, Genesis, State};
use symphony_chain::outbox::Outbox;
use symphony_chain::port::{Chain, ChainError, RemoteChain, Request, Response, Transport, respond};
use symphony_chain::refusal::{Refusal, Unsponsored};
use symphony_chain::transaction::{
    Anchor, Call, Carry, ChainTerms, DividendTree, Draft, EscrowSettlement, Payee, PayoutBatch, Prepared,
    RecipientClass, Release, Sponsorship, Submission, Tier, lock_ref,
};
use symphony_devchain::development::CHAIN_ID;
use symphony_devchain::faults::Faults;
use symphony_devchain::genesis::{Artifacts, DEPLOYER};
use symphony_devchain::node::Node;
use symphony_devchain::rest::{self, Shared};
use symphony_types::amount::Sym;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::dividend::DividendLeaf;
use symphony_types::id::{AccountId, EpochId, LockRef, PolicyVersion, TaskId};
use symphony_types::merkle;
use symphony_types::time::OrderedMillis;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::tool::artifacts;
use crate::world::{
    self, OPERATOR, PAYOUT, PRODUCERS, SIGNERS, SUBMITTERS, account, chain, digest, signer, vault, wallet,
};

const SUBMITTER: u8 = SUBMITTERS[0];
const GAS: u64 = 1 << 50;
/// Paid by the batch, with nothing of its own.
const EXECUTOR: u8 = 77;
/// Pays gas for others.
const SPONSOR: u8 = 78;
const MINUTE_MS: u64 = 60_000;

fn deployment() -> Deployment {
    Deployment::by(chain(), CHAIN_ID, AccountId(Digest(DEPLOYER)))
}

fn now() -> OrderedMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    OrderedMillis(u64::try_from(since.as_millis()).unwrap())
}

/// The world's accounts with the times of a real chain.
fn genesis() -> Genesis {
    world::genesis(30 * MINUTE_MS, 20 * MINUTE_MS)
}

/// A node with the contracts, and the client of it.
struct Net {
    shared: Shared,
    url: String,
    folder: TempDir,
}

impl Net {
    async fn start(artifacts: &Artifacts) -> Self {
        let start = Start::of(&genesis());
        let folder = TempDir::new().unwrap();
        let journal = folder.path().join("journal");
        let shared = Shared::new(Node::open(artifacts, CHAIN_ID, &start, &journal, (GAS, &[])).unwrap());
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(rest::serve(listener, shared.clone()));
        Self { shared, url, folder }
    }

    fn client(&self) -> Contracts {
        self.client_in(&self.folder.path().join("seen"))
    }

    fn client_in(&self, folder: &Path) -> Contracts {
        Contracts::open(&self.url, deployment(), folder).unwrap().waiting(Duration::from_millis(300))
    }

    /// The chain's own time.
    fn now(&self) -> OrderedMillis {
        OrderedMillis(self.shared.node().time_us() / 1_000)
    }

    fn chain(&self) -> RemoteChain<Contracts> {
        RemoteChain::new(self.client())
    }

    fn faults(&self, faults: Faults) {
        self.shared.node().set_faults(faults);
    }

    fn pass(&self, millis: u64) {
        self.shared.node().pass(millis);
    }
}

/// The reference ledger by the same clock.
struct Ledger(Mutex<State>);

#[async_trait]
impl Transport for &Ledger {
    async fn call(&self, request: Vec<u8>) -> Result<Vec<u8>, ChainError> {
        Ok(respond(&mut self.0.lock().unwrap(), now(), &request))
    }
}

async fn sign(chain: &dyn Chain, name: u8, call: Call) -> Prepared {
    let terms = chain.terms().await.unwrap();
    let sequence = chain.account(account(name)).await.unwrap().sequence;
    Prepared::sign(&wallet(name), &terms, sequence, now().plus(MINUTE_MS), call)
}

async fn execute(chain: &dyn Chain, name: u8, call: Call) -> Result<u64, Refusal> {
    let prepared = sign(chain, name, call).await;
    match chain.submit(prepared.submission).await {
        Ok(_) => Ok(prepared.track.sequence),
        Err(ChainError::Refused(refusal)) => Err(refusal),
        Err(error) => panic!("{error}"),
    }
}

fn locking(request: &str, amount: u64) -> Call {
    Call::EscrowLock {
        request: digest(request),
        amount: Sym(amount),
        policy_version: PolicyVersion(3),
        expires: now().plus(MINUTE_MS),
    }
}

fn leaves() -> Vec<DividendLeaf> {
    let of = |(index, name): (u64, &u8)| DividendLeaf { account: account(*name), index, amount: Sym(10) };
    (0..).zip(&PRODUCERS).map(of).collect()
}

/// Settles a lock of 300 and pays everybody for epoch 7.
fn batch(lock: LockRef) -> PayoutBatch {
    let hashes: Vec<Digest> = leaves().iter().map(DividendLeaf::hash).collect();
    let payee = |name: u8, class, amount| Payee { account: account(name), class, amount: Sym(amount) };
    PayoutBatch {
        batch_id: digest("epoch 7"),
        epoch: EpochId(7),
        settlements: vec![EscrowSettlement {
            lock,
            task: TaskId(digest("campaign")),
            charged: Sym(240),
            refunded: Sym(60),
        }],
        subsidies: vec![],
        payees: vec![
            payee(SUBMITTERS[1], RecipientClass::VaultOperator, 80),
            payee(EXECUTOR, RecipientClass::Executor, 70),
        ],
        dividends: vec![DividendTree {
            vault: vault("north"),
            root: merkle::root(&hashes),
            leaves: 4,
            total: Sym(40),
        }],
        carries: vec![Carry { vault: vault("south"), into: Sym(15), out_of: Sym::ZERO }],
        pool_return: Sym(17),
        treasury: Sym(18),
        anchors: vec![Anchor { task: TaskId(digest("campaign")), settlement_root: digest("root") }],
    }
}

fn claim(index: usize) -> Call {
    let hashes: Vec<Digest> = leaves().iter().map(DividendLeaf::hash).collect();
    Call::ClaimDividend {
        vault: vault("north"),
        epoch: EpochId(7),
        index: index as u64,
        amount: Sym(10),
        path: merkle::inclusion_proof(&hashes, index).unwrap(),
    }
}

/// What is signed without the official SDK is what the SDK reads, verifies and names alike.
#[test]
fn a_signed_transaction_is_one_of_the_official_sdk() {
    let terms = ChainTerms::Contracts { deployment: deployment(), gas_price: 100 };
    let expires = OrderedMillis(1_900_000_000_999);
    for call in [locking("request", 300), Call::Payout(batch(LockRef(digest("lock")))), claim(2)] {
        let prepared = Prepared::sign(&wallet(SUBMITTER), &terms, 7, expires, call);
        let Submission::Contracts(bytes) = &prepared.submission else { panic!("for Aptos") };
        let signed: SignedTransaction = bcs::from_bytes(bytes).unwrap();
        signed.verify_signature().unwrap();
        assert_eq!(signed.hash().unwrap().to_bytes(), prepared.track.hash.0);
        assert_eq!(signed.to_bcs().unwrap(), *bytes);
        let raw = &signed.raw_txn;
        assert_eq!((raw.sender.to_bytes(), raw.sequence_number), (account(SUBMITTER).0.0, 7));
        assert_eq!((raw.expiration_timestamp_secs, raw.chain_id.id()), (1_900_000_000, CHAIN_ID));
        assert_eq!(prepared.track.expires, OrderedMillis(1_900_000_000_000));
    }
}

/// R176, R220: with a sponsor both signatures stand, and the gas is the sponsor's.
#[tokio::test]
#[ignore = "needs the Move VM: cargo xtask move test"]
async fn a_sponsor_pays_the_gas_of_members() {
    let artifacts = artifacts();
    let net = Net::start(&artifacts).await;
    let plain = RemoteChain::new(net.client());
    // Money and no gas.
    let newcomer = 55;
    execute(&plain, SUBMITTER, Call::Transfer { to: account(newcomer), amount: Sym(400) }).await.unwrap();
    assert_eq!(execute(&plain, newcomer, locking("own gas", 20)).await, Err(Refusal::GasMissing));
    assert_eq!(
        sponsorship(&net.client(), newcomer, 0, staking(100)).await.1,
        Err(Unsponsored::Nobody.into())
    );

    let limits = SponsorLimits { per_account: 3, per_day: 4 };
    let chain = net.client().sponsored(Sponsor::new(wallet(SPONSOR), limits));
    net.shared.node().fund(account(SPONSOR).0.0, GAS);
    let (draft, word) = sponsorship(&chain, newcomer, 0, locking("sponsored", 300)).await;
    let prepared = Prepared::sponsored(&wallet(newcomer), &deployment(), &draft, &word.unwrap());
    let Submission::Contracts(bytes) = &prepared.submission else { panic!("for Aptos") };
    let signed: SignedTransaction = bcs::from_bytes(bytes).unwrap();
    signed.verify_signature().unwrap();
    assert_eq!(signed.hash().unwrap().to_bytes(), prepared.track.hash.0);
    assert_eq!(signed.to_bcs().unwrap(), *bytes);
    // Sent twice, as after a lost answer, it is executed once.
    for _ in 0..2 {
        plain.submit(prepared.submission.clone()).await.unwrap();
    }
    let lock = plain.lock(lock_ref(account(newcomer), 0)).await.unwrap().unwrap();
    assert_eq!((lock.owner, lock.amount), (account(newcomer), Sym(300)));
    let gas = |name: u8| net.shared.node().seen().balance(&account(name).0.0);
    assert_eq!(gas(newcomer), 0);
    assert!(gas(SPONSOR) < GAS, "{}", gas(SPONSOR));

    // What would fail is not paid for, and says why; what is no member's own call neither.
    for (call, refusal) in [
        (locking("too much", 101), Abort::BalanceTooSmall.into()),
        (claim(1), Abort::TreeUnknown.into()),
        (Call::Transfer { to: account(1), amount: Sym(1) }, Unsponsored::Call.into()),
    ] {
        assert_eq!(sponsorship(&chain, newcomer, 1, call).await.1, Err(refusal));
    }
    // A word for one draft serves no other.
    let (draft, word) = sponsorship(&chain, newcomer, 1, staking(100)).await;
    let other = Draft { call: Call::StakeDeposit { tier: Tier::Producer, amount: Sym(99) }, ..draft };
    let forged = Prepared::sponsored(&wallet(newcomer), &deployment(), &other, &word.unwrap());
    let refused = plain.submit(forged.submission).await.unwrap_err();
    assert_eq!(refused, ChainError::Refused(Abort::SignatureInvalid.into()));
    // So many a day.
    assert!(sponsorship(&chain, newcomer, 1, staking(100)).await.1.is_ok());
    assert_eq!(sponsorship(&chain, newcomer, 1, staking(100)).await.1, Err(Unsponsored::Limit.into()));
    assert!(sponsorship(&chain, PRODUCERS[0], 0, staking(100)).await.1.is_ok());
    assert_eq!(sponsorship(&chain, PRODUCERS[1], 0, staking(100)).await.1, Err(Unsponsored::Limit.into()));
}

fn staking(amount: u64) -> Call {
    Call::StakeDeposit { tier: Tier::Producer, amount: Sym(amount) }
}

/// A draft, and what the chain node's sponsor says of it.
async fn sponsorship(
    chain: &Contracts,
    name: u8,
    sequence: u64,
    call: Call,
) -> (Draft, Result<Sponsorship, Refusal>) {
    let key = wallet(name).public();
    let draft = Draft { key, sequence, gas_price: 100, expires: now().plus(MINUTE_MS), call };
    let asked = Request::Query(Query::Sponsorship(Box::new(draft.clone())));
    let Response::Answer(Answer::Sponsorship(said)) = chain.respond(asked).await.unwrap() else { panic!() };
    (draft, said)
}

/// R169, R171: the same calls through the port, and the same answers, from the contracts and from the reference ledger.
#[tokio::test]
#[ignore = "needs the Move VM: cargo xtask move test"]
async fn the_contracts_answer_as_the_reference_ledger_does() {
    let artifacts = artifacts();
    let net = Net::start(&artifacts).await;
    let ledger = Ledger(Mutex::new(State::new(genesis()).unwrap()));
    let (contracts, reference) = (net.chain(), RemoteChain::new(&ledger));
    let lock = lock_ref(account(SUBMITTER), 0);
    let steps = [
        (SUBMITTER, locking("request", 300)),
        (SUBMITTERS[1], locking("other", 20)),
        (PRODUCERS[0], Call::StakeDeposit { tier: Tier::Producer, amount: Sym(100) }),
        (PAYOUT, Call::Payout(batch(lock))),
        (PRODUCERS[1], claim(1)),
        (PRODUCERS[2], Call::Transfer { to: account(SUBMITTER), amount: Sym(5) }),
        (PRODUCERS[3], Call::MintEpoch),
        (PAYOUT, Call::PayNodes { epoch: 0, nodes: vec![(account(OPERATOR), Sym(20))] }),
    ];
    for (name, call) in steps {
        execute(&contracts, name, call.clone()).await.unwrap();
        execute(&reference, name, call).await.unwrap();
    }
    for lock in [lock, lock_ref(account(SUBMITTERS[1]), 0), lock_ref(account(SUBMITTER), 9)] {
        let (mut found, mut expected) =
            (contracts.lock(lock).await.unwrap(), reference.lock(lock).await.unwrap());
        for side in [&mut found, &mut expected].into_iter().flatten() {
            // Each was signed a moment after the other.
            side.expires = OrderedMillis(0);
        }
        assert_eq!(found, expected);
    }
    for name in [SUBMITTER, SUBMITTERS[1], EXECUTOR, OPERATOR, PAYOUT, 78].into_iter().chain(PRODUCERS) {
        assert_eq!(contracts.account(account(name)).await, reference.account(account(name)).await, "{name}");
    }
    for (vault_name, epoch) in [("north", 7), ("north", 8), ("south", 7)] {
        let (vault, epoch) = (vault(vault_name), EpochId(epoch));
        assert_eq!(contracts.tree(&vault, epoch).await, reference.tree(&vault, epoch).await);
        for index in 0..4 {
            let found = contracts.claimed(&vault, epoch, index).await;
            assert_eq!(found, reference.claimed(&vault, epoch, index).await);
        }
    }
    assert_eq!(contracts.epoch(EpochId(7)).await, reference.epoch(EpochId(7)).await);
    assert_eq!(contracts.epoch(EpochId(8)).await, Ok(vec![]));
    for id in ["epoch 7", "epoch 8"] {
        assert_eq!(contracts.batch(digest(id)).await, reference.batch(digest(id)).await);
    }
    assert_eq!(contracts.staked().await, reference.staked().await);
    assert_eq!(contracts.funds().await, reference.funds().await);
    assert_eq!(contracts.minting().await, reference.minting().await);
    for epoch in [0, 1] {
        assert_eq!(contracts.nodes_paid(epoch).await, reference.nodes_paid(epoch).await);
    }
    for task in ["campaign", "none"] {
        let task = TaskId(digest(task));
        assert_eq!(contracts.anchor(task).await, reference.anchor(task).await);
    }
}

/// Each is refused on chain as off chain, under one code of the catalogue.
#[tokio::test]
#[ignore = "needs the Move VM: cargo xtask move test"]
async fn what_is_wrong_is_refused_alike() {
    let artifacts = artifacts();
    let net = Net::start(&artifacts).await;
    let ledger = Ledger(Mutex::new(State::new(genesis()).unwrap()));
    let (contracts, reference) = (net.chain(), RemoteChain::new(&ledger));
    let lock = lock_ref(account(SUBMITTER), 0);
    for (name, call) in [
        (SUBMITTER, locking("request", 300)),
        (PAYOUT, Call::Payout(batch(lock))),
        (PRODUCERS[1], claim(1)),
        (SUBMITTERS[1], locking("running", 20)),
        (PRODUCERS[0], Call::StakeDeposit { tier: Tier::Producer, amount: Sym(150) }),
        (PRODUCERS[0], Call::StakeWithdrawRequest { tier: Tier::Producer, amount: Sym(50) }),
    ] {
        execute(&contracts, name, call.clone()).await.unwrap();
        execute(&reference, name, call).await.unwrap();
    }
    let changed = PayoutBatch { treasury: Sym(17), pool_return: Sym(18), ..batch(lock) };
    let running = lock_ref(account(SUBMITTERS[1]), 0);
    let wrong = [
        ("claim twice", PRODUCERS[1], claim(1), Abort::AlreadyClaimed),
        ("another's proof", PRODUCERS[2], claim(3), Abort::ClaimInvalid),
        ("replayed batch, other bytes", PAYOUT, Call::Payout(changed), Abort::BatchConflict),
        ("a stranger pays", SUBMITTER, Call::Payout(batch(lock)), Abort::NotAuthorized),
        ("unlock by a stranger", SUBMITTER, Call::EscrowReclaim { lock: running }, Abort::LockForeign),
        ("unlock too early", SUBMITTERS[1], Call::EscrowReclaim { lock: running }, Abort::LockRunning),
        ("more than there is", SUBMITTER, locking("large", u64::MAX), Abort::BalanceTooSmall),
        (
            "stake below the minimum",
            PRODUCERS[2],
            Call::StakeDeposit { tier: Tier::Producer, amount: Sym(99) },
            Abort::StakeTooSmall,
        ),
        (
            "before the cooldown",
            PRODUCERS[0],
            Call::StakeWithdraw { tier: Tier::Producer },
            Abort::CooldownRunning,
        ),
    ];
    for (what, name, call, abort) in wrong {
        assert_eq!(execute(&contracts, name, call.clone()).await, Err(abort.into()), "{what}");
        assert_eq!(execute(&reference, name, call).await, Err(abort.into()), "{what}");
    }
    // The same batch again changes nothing, on either.
    execute(&contracts, PAYOUT, Call::Payout(batch(lock))).await.unwrap();
    assert_eq!(contracts.funds().await.unwrap().pool, Sym(67));
    for (call, abort) in [
        (Call::PayNodes { epoch: 1, nodes: vec![] }, Abort::EpochRunning),
        (Call::PayNodes { epoch: 0, nodes: vec![(account(OPERATOR), Sym(u64::MAX))] }, Abort::PoolTooSmall),
    ] {
        if abort == Abort::PoolTooSmall {
            execute(&contracts, SUBMITTER, Call::MintEpoch).await.unwrap();
            execute(&reference, SUBMITTER, Call::MintEpoch).await.unwrap();
        }
        assert_eq!(execute(&contracts, PAYOUT, call.clone()).await, Err(abort.into()));
        assert_eq!(execute(&reference, PAYOUT, call).await, Err(abort.into()));
    }
    // Signatures alone do not open the contracts' treasury.
    let release =
        Release { chain: chain(), to: account(EXECUTOR), amount: Sym(1), proposal: digest("never accepted") };
    let approvals = SIGNERS.map(|name| signer(name).sign(release.clone())).to_vec();
    let call = Call::TreasuryRelease { release, approvals };
    for chain in [&contracts as &dyn Chain, &reference] {
        let refused = execute(chain, 4, call.clone()).await.unwrap_err();
        assert_eq!((refused.clone(), refused.code()), (Abort::ProposalUnknown.into(), Code::Forbidden));
    }
    // Who has no gas cannot send anything.
    let poor =
        execute(&contracts, 99, Call::Transfer { to: account(EXECUTOR), amount: Sym(1) }).await.unwrap_err();
    assert_eq!((poor.clone(), poor.code()), (Refusal::GasMissing, Code::InsufficientFunds));
}

#[tokio::test]
#[ignore = "needs the Move VM: cargo xtask move test"]
async fn a_wrong_network_is_refused_by_both_sides() {
    let artifacts = artifacts();
    let net = Net::start(&artifacts).await;
    let elsewhere = Deployment { number: 2, ..deployment() };
    let folder = net.folder.path().join("elsewhere");
    let other = RemoteChain::new(Contracts::open(&net.url, elsewhere.clone(), &folder).unwrap());
    let wrong = Err(ChainError::Refused(Abort::WrongChain.into()));
    assert_eq!(other.account(account(SUBMITTER)).await, wrong);
    let terms = ChainTerms::Contracts { deployment: elsewhere, gas_price: 100 };
    let pay = Call::Transfer { to: account(EXECUTOR), amount: Sym(1) };
    let prepared = Prepared::sign(&wallet(SUBMITTER), &terms, 0, now().plus(MINUTE_MS), pay);
    let refused = net.chain().submit(prepared.submission).await.unwrap_err();
    assert_eq!(refused, ChainError::Refused(Abort::WrongChain.into()));
}

/// A chain that was wiped under its name is noticed, and nothing is sent to it; a lagging node is waited for.
#[tokio::test]
#[ignore = "needs the Move VM: cargo xtask move test"]
async fn a_reset_chain_stops_everything_and_a_lagging_node_nothing() {
    let artifacts = artifacts();
    let net = Net::start(&artifacts).await;
    let chain = net.chain();
    let pay = |amount| Call::Transfer { to: account(EXECUTOR), amount: Sym(amount) };
    execute(&chain, SUBMITTER, pay(1)).await.unwrap();
    net.faults(Faults { lag: true, ..Faults::default() });
    let other = sign(&chain, SUBMITTER, pay(2)).await;
    assert_eq!(chain.fate(other.track).await, Ok(Fate::Alive));
    net.faults(Faults::default());
    chain.submit(other.submission).await.unwrap();
    let before = chain.account(account(EXECUTOR)).await.unwrap().balance;
    net.shared.node().come_back(None);
    // Within one moment a shorter chain could be a node that is behind.
    net.pass(10);
    let stopped = chain.account(account(EXECUTOR)).await.unwrap_err();
    assert!(stopped.to_string().contains("not the one that was seen"), "{stopped}");
    // Also for who starts later, when the new chain is as long as the old one was.
    for sequence in 0..3 {
        let terms = ChainTerms::Contracts { deployment: deployment(), gas_price: 100 };
        let prepared =
            Prepared::sign(&wallet(SUBMITTERS[1]), &terms, sequence, now().plus(MINUTE_MS), pay(9));
        let Submission::Contracts(bytes) = prepared.submission else { panic!("for Aptos") };
        net.shared.node().submit(bcs::from_bytes(&bytes).unwrap()).unwrap();
    }
    let late = net.chain();
    let prepared = sign(&late, SUBMITTER, pay(1)).await;
    let stopped = late.submit(prepared.submission).await.unwrap_err();
    assert!(stopped.to_string().contains("not the one that was seen"), "{stopped}");
    assert_eq!((before, late.account(account(EXECUTOR)).await.unwrap().balance), (Sym(3), Sym(27)));
}

/// Ends at one of its calls, before or after the chain has it, as a process that is killed there.
struct Dying<'a> {
    inner: &'a Contracts,
    calls: AtomicU32,
    dies_at: u32,
    after: bool,
}

#[async_trait]
impl Transport for &Dying<'_> {
    async fn call(&self, request: Vec<u8>) -> Result<Vec<u8>, ChainError> {
        let dies = self.calls.fetch_add(1, Ordering::Relaxed) == self.dies_at;
        let dead = || ChainError::Unreachable(KILLED.to_owned());
        if dies && !self.after {
            return Err(dead());
        }
        let answer = self.inner.respond(Request::from_bytes(&request).unwrap()).await?.to_bytes();
        if dies { Err(dead()) } else { Ok(answer) }
    }
}

/// What the chain does meanwhile.
const TROUBLES: [(&str, Faults); 8] = [
    ("nothing", NO_FAULTS),
    ("the chain is congested", Faults { full: 3, ..NO_FAULTS }),
    ("a request is dropped", Faults { drop_requests: 1, ..NO_FAULTS }),
    ("two answers are dropped", Faults { drop_answers: 2, ..NO_FAULTS }),
    ("a transaction is forgotten and expires", Faults { forget: 1, ..NO_FAULTS }),
    ("execution is delayed", Faults { delay_ms: 40, ..NO_FAULTS }),
    ("a request is dropped, then one forgotten", Faults { drop_requests: 1, forget: 1, ..NO_FAULTS }),
    ("the node lags", Faults { lag: true, ..NO_FAULTS }),
];
const NO_FAULTS: Faults =
    Faults { full: 0, drop_requests: 0, drop_answers: 0, forget: 0, delay_ms: 0, lag: false };

/// R172: an outbox is killed before and after each of its calls in two attempts, while the chain drops, delays, forgets and lags.
/// However it ends, a batch is paid once; and so is a transfer, which no contract keeps from happening twice.
#[tokio::test]
#[ignore = "needs the Move VM: cargo xtask move test"]
async fn a_call_is_executed_exactly_once_whatever_dies() {
    let artifacts = artifacts();
    let net = Net::start(&artifacts).await;
    let lock = lock_ref(account(SUBMITTER), 0);
    execute(&net.chain(), SUBMITTER, locking("request", 300)).await.unwrap();
    net.shared.node().keep("locked");
    let calls = [
        (PAYOUT, Call::Payout(batch(lock)), Sym(70)),
        (SUBMITTERS[1], Call::Transfer { to: account(EXECUTOR), amount: Sym(9) }, Sym(9)),
    ];
    let mut deaths = 0;
    for (trouble, faults) in TROUBLES {
        for place in 0..12 {
            for (sender, call, paid) in &calls {
                let (dies_at, after) = (place / 2, place % 2 == 1);
                net.shared.node().come_back(Some("locked"));
                let folder = TempDir::new().unwrap();
                let client = net.client_in(&folder.path().join("seen"));
                net.faults(faults);
                let sending = Sending { folder: folder.path(), sender: *sender, call };
                let dying = Dying { inner: &client, calls: AtomicU32::new(0), dies_at, after };
                for _ in 0..2 {
                    let ended = sending.attempt(&RemoteChain::new(&dying), net.now()).await;
                    deaths += u32::from(ended.is_err_and(|error| error.contains(KILLED)));
                }
                let what = format!("{trouble}, call {dies_at}, killed after: {after}");
                assert!(sending.settle(&net, &client).await, "{what}: unpaid");
                let chain = RemoteChain::new(client);
                assert_eq!(chain.account(account(EXECUTOR)).await.unwrap().balance, *paid, "{what}");
            }
        }
    }
    assert!(deaths > 100, "the kills happen: {deaths}");
}

/// A call through an outbox in a folder.
struct Sending<'a> {
    folder: &'a Path,
    sender: u8,
    call: &'a Call,
}

impl Sending<'_> {
    async fn attempt(&self, to: &impl Chain, now: OrderedMillis) -> Result<(), String> {
        let outbox = Outbox::open(wallet(self.sender), chain(), self.folder.join("outbox")).unwrap();
        let executed = outbox.execute(to, "call", self.call.clone(), now).await;
        executed.map(|_| ()).map_err(|error| error.to_string())
    }

    /// Starts again until it is executed, while faults come to an end and time passes.
    async fn settle(&self, net: &Net, client: &Contracts) -> bool {
        let living = Dying { inner: client, calls: AtomicU32::new(0), dies_at: u32::MAX, after: false };
        for round in 0..6 {
            if self.attempt(&RemoteChain::new(&living), net.now()).await.is_ok() {
                return true;
            }
            if round == 1 {
                net.faults(NO_FAULTS);
            }
            if round >= 2 {
                // What was forgotten is dead when its time is over.
                net.pass(2 * MINUTE_MS);
            }
        }
        false
    }
}

const KILLED: &str = "killed";
