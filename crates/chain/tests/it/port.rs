//! The port over bytes, as a client of the hosting process sees it.

use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use symphony_chain::ledger::Abort;
use symphony_chain::port::{Chain, ChainError, RemoteChain, Request, Response, Transport, respond};
use symphony_chain::transaction::{Call, lock_ref};
use symphony_types::amount::Sym;
use symphony_types::catalogue::Code;
use symphony_types::id::EpochId;
use symphony_types::key::Document as _;

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
    let receipt = now(chain.submit(locking.clone())).unwrap();
    assert_eq!(now(chain.receipt(locking.body.digest())), Ok(Some(receipt)));
    assert_eq!(now(chain.lock(lock)).unwrap().unwrap().held, Sym(300));
    assert_eq!(now(chain.anchor(task("campaign"))), Ok(None));
    let batch = host.world.lock().unwrap().sign(PAYOUT, Call::Payout(campaign(lock)));
    now(chain.submit(batch)).unwrap();
    assert_eq!(now(chain.anchor(task("campaign"))).unwrap().unwrap().settlement_root, digest("root"));
    assert_eq!(now(chain.tree(&vault("north"), EpochId(7))).unwrap().unwrap().leaves, 4);
    assert_eq!(now(chain.claimed(&vault("north"), EpochId(7), 0)), Ok(false));
    assert_eq!(now(chain.batch(digest("epoch 7"))).unwrap().unwrap().totals.charged, Sym(240));
    assert_eq!(now(chain.epoch(EpochId(7))).unwrap().len(), 1);
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
    let lost = now(RemoteChain::new(&host).submit(batch.clone())).unwrap_err();
    assert_eq!(lost.code(), Code::Unavailable);
    host.lossy = false;
    let receipt = now(RemoteChain::new(&host).submit(batch)).unwrap();
    assert_eq!(receipt.version, 2);
    assert_eq!(host.world.lock().unwrap().balance(OPERATOR), 1_055);
}

#[test]
fn an_abort_travels_with_its_code() {
    let host = Loopback { world: Mutex::new(World::new()), lossy: false };
    let call = Call::Transfer { to: account(OPERATOR), amount: Sym(1_001) };
    let transaction = host.world.lock().unwrap().sign(SUBMITTER, call);
    let error = now(RemoteChain::new(&host).submit(transaction)).unwrap_err();
    assert_eq!(error, ChainError::Aborted(Abort::BalanceTooSmall));
    assert_eq!(error.code(), Code::InsufficientFunds);
}

#[test]
fn what_cannot_be_read_is_answered_as_malformed() {
    let mut world = World::new();
    let transaction = world.sign(SUBMITTER, stake(100));
    let mut bytes = Request::Submit(Box::new(transaction)).to_bytes();
    let at = world.now;
    bytes.push(0);
    assert_eq!(respond(&mut world.state, at, &bytes), Response::Malformed.to_bytes());
    assert_eq!(respond(&mut world.state, at, &[]), Response::Malformed.to_bytes());
}
