//! A penalty is executed once, takes what is there, and stops nobody (R143, R172).

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use symphony_chain::ledger::inflation::Schedule;
use symphony_chain::ledger::{Genesis, Parameters, Roles, State as Ledger, TierTerms};
use symphony_chain::port::{RemoteChain, Transport, respond};
use symphony_chain::transaction::{ChainId, Transaction};
use symphony_types::amount::{Bps, Sym};
use symphony_types::digest::Digest;
use symphony_types::id::AccountId;
use symphony_types::key::{PrivateKey, Wallet};

use super::*;

const NOW: OrderedMillis = OrderedMillis(1_000_000);

/// The reference ledger, called as another process is; as often as it says, an answer is lost after it took effect.
struct Host(Mutex<(Ledger, u32)>);

#[async_trait]
impl Transport for Host {
    async fn call(&self, request: Vec<u8>) -> Result<Vec<u8>, ChainError> {
        let (ledger, lost) = &mut *self.0.lock().unwrap();
        let answer = respond(ledger, NOW, &request);
        if *lost > 0 {
            *lost -= 1;
            return Err(ChainError::Unreachable("the answer is lost".to_owned()));
        }
        Ok(answer)
    }
}

fn wallet(name: u8) -> PrivateKey<Wallet> {
    PrivateKey::from_seed(&[name; 32])
}

fn account(name: u8) -> AccountId {
    wallet(name).public().account()
}

fn named() -> ChainId {
    ChainId::new("test").unwrap()
}

const SLASHER: u8 = 61;
const VERIFIER: u8 = 64;

/// A chain on which the verifier has staked 400 as a node of the network's own, and lost answers from then on.
async fn chain(lost: u32) -> RemoteChain<Host> {
    let terms = TierTerms { minimum: Sym(100), cooldown_ms: 1 };
    let genesis = Genesis {
        chain: named(),
        balances: BTreeMap::from([(account(VERIFIER), Sym(1_000))]),
        treasury: Sym(0),
        pool: Sym(0),
        incentives: Sym(0),
        inflation: Schedule {
            start: OrderedMillis(0),
            epoch_ms: 1,
            epochs_per_step: 1,
            rates: vec![],
            treasury: Bps(0),
        },
        roles: Roles {
            payout: account(60),
            slasher: account(SLASHER),
            recorder: account(63),
            treasury: [PrivateKey::from_seed(&[62; 32]).public()].into(),
            treasury_threshold: 1,
        },
        parameters: Parameters {
            master: terms,
            enterprise: terms,
            producer: terms,
            lock_ms_min: 1,
            transaction_ms_max: 100_000,
            receipt_ms: 100_000,
            payees_per_tree_min: 2,
            quorum: Bps(5_000),
        },
    };
    let mut ledger = Ledger::new(genesis).unwrap();
    let call = Call::StakeDeposit { tier: Tier::Master, amount: Sym(400) };
    let staked = Transaction::sign(&wallet(VERIFIER), named(), 0, NOW.plus(1_000), call);
    symphony_chain::ledger::apply(&mut ledger, NOW, &staked).unwrap();
    RemoteChain::new(Host(Mutex::new((ledger, lost))))
}

fn penalty(amount: u64, reference: u8) -> Slash {
    Slash { account: account(VERIFIER), amount: Sym(amount), reference: Digest([reference; 32]) }
}

async fn left(chain: &RemoteChain<Host>) -> Sym {
    let stakes = chain.account(account(VERIFIER)).await.unwrap().stakes;
    stakes.get(&Tier::Master).map(|stake| stake.deposit).unwrap_or_default()
}

/// R143, R172: a penalty takes stake once, however often it is executed and from whichever folder; it takes what is there, and one
/// that finds nothing stops nobody.
#[tokio::test]
async fn a_penalty_is_executed_once() {
    let chain = chain(0).await;
    for _ in 0..2 {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(wallet(SLASHER), named(), folder.path().to_owned()).unwrap();
        for _ in 0..2 {
            slash(&outbox, &chain, &[penalty(150, 1)], NOW).await.unwrap();
            assert_eq!(left(&chain).await, Sym(250));
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(wallet(SLASHER), named(), folder.path().to_owned()).unwrap();
    let more = [penalty(9_000, 2), penalty(5, 3), penalty(150, 1)];
    for _ in 0..2 {
        slash(&outbox, &chain, &more, NOW).await.unwrap();
        assert_eq!(left(&chain).await, Sym(0));
    }
}

/// R143, R172: an answer that is lost at any step costs nothing but a repetition.
#[tokio::test]
async fn a_penalty_survives_lost_answers() {
    for lost in 1..=8 {
        let chain = chain(lost).await;
        let folder = tempfile::tempdir().unwrap();
        let outbox = || Outbox::open(wallet(SLASHER), named(), folder.path().to_owned()).unwrap();
        let mut tries = 0;
        while slash(&outbox(), &chain, &[penalty(150, 1), penalty(50, 2)], NOW).await.is_err() {
            tries += 1;
            assert!(tries < 20, "{lost}");
        }
        assert!(tries > 0, "{lost}");
        assert_eq!(left(&chain).await, Sym(200), "{lost}");
    }
}

/// R143, R205: nobody but the slasher's account slashes.
#[tokio::test]
async fn another_account_does_not_slash() {
    let chain = chain(0).await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(wallet(60), named(), folder.path().to_owned()).unwrap();
    slash(&outbox, &chain, &[penalty(150, 1)], NOW).await.unwrap_err();
    assert_eq!(left(&chain).await, Sym(400));
}
