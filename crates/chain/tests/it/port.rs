//! The port over bytes, as a client of the hosting process sees it.

use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use symphony_chain::ledger::query::{Fate, Query};
use symphony_chain::ledger::{Abort, State};
use symphony_chain::outbox::{Outbox, OutboxError};
use symphony_chain::port::{Chain, ChainError, RemoteChain, Request, Response, Transport, respond};
use symphony_chain::transaction::{Call, ChainTerms, Prepared, Submission, Track, lock_ref};
use symphony_types::amount::Sym;
use symphony_types::catalogue::Code;
use symphony_types::id::EpochId;
use symphony_types::time::{DAY_MS, OrderedMillis};

use crate::world::*;

struct Loopback {
    world: Mutex<World>,
    lossy: bool,
}

#[async_trait]
impl Transport for &Loopback {
    async fn call(&self, request: Vec<u8>) -> Result<Vec<u8>, ChainError> {
        let mut world = self.world.lock().unwrap();
        let now = world.now;
        let response = respond(&mut world.state, now, &request);
        if self.lossy { Err(ChainError::Unreachable("the answer is lost".into())) } else { Ok(response) }
    }
}

/// The loopback never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the loopback does not wait"),
    }
}

/// R150, R171, R173, R176
#[test]
fn a_client_settles_a_campaign_over_bytes() {
    let host = Loopback { world: Mutex::new(World::new()), lossy: false };
    let chain = RemoteChain::new(&host);
    let lock = lock_ref(account(SUBMITTER), 0);
    let locking = {
        let world = host.world.lock().unwrap();
        world.sign(SUBMITTER, world.locking("request", 300))
    };
    let locking = Prepared::from(locking);
    assert_eq!(now(chain.fate(locking.track)), Ok(Fate::Alive));
    let receipt = now(chain.submit(locking.submission)).unwrap();
    assert_eq!(now(chain.receipt(locking.track.hash)), Ok(Some(receipt.clone())));
    assert_eq!(now(chain.fate(locking.track)), Ok(Fate::Executed(receipt)));
    assert_eq!(now(chain.lock(lock)).unwrap().unwrap().held, Sym(300));
    assert_eq!(now(chain.anchor(task("campaign"))), Ok(None));
    let batch = host.world.lock().unwrap().sign(PAYOUT, Call::Payout(campaign(lock)));
    now(chain.submit(batch.into())).unwrap();
    assert_eq!(now(chain.anchor(task("campaign"))).unwrap().unwrap().settlement_root, digest("root"));
    assert_eq!(now(chain.tree(&vault("north"), EpochId(7))).unwrap().unwrap().leaves, 4);
    assert_eq!(now(chain.claimed(&vault("north"), EpochId(7), 0)), Ok(false));
    let records = now(chain.epoch(EpochId(7))).unwrap();
    assert_eq!(now(chain.batch(digest("epoch 7"))).unwrap().as_ref(), records.first());
    assert_eq!(
        (records.len(), records[0].batch_id, records[0].totals.charged),
        (1, digest("epoch 7"), Sym(240))
    );
    assert_eq!(now(chain.account(account(SUBMITTER))).unwrap().sequence, 1);
    assert_eq!(now(chain.funds()).unwrap().treasury, Sym(518));
    assert!(now(chain.staked()).unwrap().is_empty());
}

/// R172: a lost acknowledgement is answered by sending the same bytes again.
#[test]
fn a_lost_acknowledgement_pays_nobody_twice() {
    let mut host = Loopback { world: Mutex::new(World::new()), lossy: true };
    let lock = host.world.lock().unwrap().lock("request", 300);
    let batch = host.world.lock().unwrap().sign(PAYOUT, Call::Payout(campaign(lock)));
    let lost = now(RemoteChain::new(&host).submit(batch.clone().into())).unwrap_err();
    assert_eq!(lost.code(), Code::Unavailable);
    host.lossy = false;
    let receipt = now(RemoteChain::new(&host).submit(batch.into())).unwrap();
    assert_eq!(receipt.version, 2);
    assert_eq!(host.world.lock().unwrap().balance(OPERATOR), 1_055);
}

/// A host that holds the first transaction back, and executes it right after it has called it alive.
struct Late {
    world: Mutex<World>,
    held: Mutex<Option<Vec<u8>>>,
}

#[async_trait]
impl Transport for &Late {
    async fn call(&self, request: Vec<u8>) -> Result<Vec<u8>, ChainError> {
        let mut world = self.world.lock().unwrap();
        let (mut held, at) = (self.held.lock().unwrap(), world.now);
        match Request::from_bytes(&request) {
            Some(Request::Submit(_)) if held.is_none() => {
                *held = Some(request);
                Err(ChainError::Unreachable("it is not confirmed yet".into()))
            }
            Some(Request::Query(Query::Fate(_))) => {
                let answer = respond(&mut world.state, at, &request);
                respond(&mut world.state, at, held.as_ref().unwrap());
                Ok(answer)
            }
            _ => Ok(respond(&mut world.state, at, &request)),
        }
    }
}

/// R172: what may still be executed is never signed anew, because it may be executed meanwhile.
#[test]
fn what_is_alive_goes_out_again_as_it_is() {
    let mut patient = genesis();
    (patient.parameters.transaction_ms_max, patient.parameters.receipt_ms) = (DAY_MS, DAY_MS);
    let world = World { state: State::new(patient).unwrap(), ..World::new() };
    let host = Late { world: Mutex::new(world), held: Mutex::new(None) };
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(wallet(SUBMITTER), chain(), folder.path().into()).unwrap();
    let (client, at) = (RemoteChain::new(&host), host.world.lock().unwrap().now);
    let send =
        || now(outbox.execute(&client, "pay", Call::Transfer { to: account(OPERATOR), amount: Sym(10) }, at));
    assert!(matches!(send(), Err(OutboxError::Chain(ChainError::Unreachable(_)))));
    let receipt = send().unwrap();
    assert_eq!(host.world.lock().unwrap().balance(OPERATOR), 1_010);
    assert_eq!(send().unwrap(), receipt);
    assert_eq!(host.world.lock().unwrap().balance(OPERATOR), 1_010);
}

#[test]
fn an_abort_travels_with_its_code() {
    let host = Loopback { world: Mutex::new(World::new()), lossy: false };
    let call = Call::Transfer { to: account(OPERATOR), amount: Sym(1_001) };
    let transaction = host.world.lock().unwrap().sign(SUBMITTER, call);
    let error = now(RemoteChain::new(&host).submit(transaction.into())).unwrap_err();
    assert_eq!(error, ChainError::Refused(Abort::BalanceTooSmall.into()));
    assert_eq!(error.code(), Code::InsufficientFunds);
}

#[test]
fn what_cannot_be_read_is_answered_as_malformed() {
    let mut world = World::new();
    let transaction = world.sign(SUBMITTER, stake(100));
    let mut bytes = Request::Submit(transaction.into()).to_bytes();
    let at = world.now;
    bytes.push(0);
    assert_eq!(respond(&mut world.state, at, &bytes), Response::Malformed.to_bytes());
    assert_eq!(respond(&mut world.state, at, &[]), Response::Malformed.to_bytes());
}

/// R172: what became of a transaction has one answer at each moment of its life, and so one next step.
#[test]
fn the_fate_of_a_transaction_is_told_at_each_moment_of_its_life() {
    let host = Loopback { world: Mutex::new(World::new()), lossy: false };
    let chain = RemoteChain::new(&host);
    let pay = |amount| Call::Transfer { to: account(OPERATOR), amount: Sym(amount) };
    let signed = |call| Prepared::from(host.world.lock().unwrap().sign(SUBMITTER, call));
    let fate = |track: Track, at: u64| {
        host.world.lock().unwrap().now = OrderedMillis(at);
        now(chain.fate(track)).unwrap()
    };
    let begin = host.world.lock().unwrap().now.0;
    let (first, other) = (signed(pay(1)), signed(pay(2)));
    let expires = first.track.expires.0;
    assert_eq!(fate(first.track, begin), Fate::Alive);
    assert_eq!(fate(first.track, expires - 1), Fate::Alive);
    assert_eq!(fate(first.track, expires), Fate::Dead, "expired, its number is free");
    host.world.lock().unwrap().now = OrderedMillis(begin);
    let receipt = now(chain.submit(other.submission.clone())).unwrap();
    assert_eq!(fate(first.track, begin), Fate::Dead, "another has its number");
    assert_eq!(fate(other.track, expires), Fate::Executed(receipt));
    // Receipts are kept for the life of a transaction; the next execution forgets what is older.
    let late = expires + LIFE_MS * 2;
    host.world.lock().unwrap().now = OrderedMillis(late);
    let last = signed(pay(3));
    now(chain.submit(last.submission)).unwrap();
    assert_eq!(fate(other.track, late), Fate::Undecided, "nobody can tell any more");
}

/// What is signed for one chain is refused by another, and tells so.
#[test]
fn a_transaction_of_another_chain_is_refused() {
    let host = Loopback { world: Mutex::new(World::new()), lossy: false };
    let chain = RemoteChain::new(&host);
    assert_eq!(now(chain.terms()), Ok(ChainTerms::Ledger(crate::world::chain())));
    let error = now(chain.submit(Submission::Contracts(vec![1, 2, 3]))).unwrap_err();
    assert_eq!(error, ChainError::Refused(Abort::WrongChain.into()));
}
