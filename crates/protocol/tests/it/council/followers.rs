//! Nodes that follow the log without ordering: they enact what the council carried and a majority of the masters vouches for,
//! and refuse work that rests on another state of governance (R129, R194, R195).

use symphony_protocol::governance::log::{Followed, LogEntry, LogHead, LogUpdate, Standing, replay};
use symphony_protocol::governance::proposal::*;
use symphony_protocol::machine::{Command, State};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::GovernanceSequence;
use symphony_types::key::{Document as _, Endorsed, Master};
use symphony_types::time::OrderedMillis;

use super::{activate, order, proposal, propose, register, revoke, vote};
use crate::stage::{START, TIMELOCK_MS, code, council_key, endorsed, governance, key, masters, member};

/// A network of three masters whose council has registered and activated code, and revoked the first.
fn three() -> State {
    let mut governed = governance();
    governed.registry.masters = masters(3);
    let mut state = State::genesis(governed);
    let changes = [register(code("next")), activate(code("next")), revoke(code("enclave"))];
    let mut at = START;
    for (change, number) in changes.into_iter().zip(1..) {
        let made = proposal(&state, 1, number, change);
        order(&mut state, at, propose(&made)).unwrap();
        for by in 1..=3 {
            order(&mut state, at, vote(made.body.digest(), by, true)).unwrap();
        }
        at = OrderedMillis(at.0 + TIMELOCK_MS);
        order(&mut state, at, Command::AdvanceTime).unwrap();
    }
    state
}

fn founded() -> Followed {
    let mut governed = governance();
    governed.registry.masters = masters(3);
    Followed::new(governed)
}

fn head(state: &State, head: LogHead) -> Endorsed<LogHead, Master> {
    endorsed(&state.governance.registry, head)
}

fn update(state: &State) -> LogUpdate {
    let entries = state.proposals.log.entries().cloned().collect();
    LogUpdate { entries, head: head(state, state.proposals.log.head()) }
}

/// R194: who follows the log governs as the masters do, in one step or in several, and the same again changes nothing.
#[test]
fn who_follows_governs_as_the_masters_do() {
    let state = three();
    let all = update(&state);
    let mut followed = founded();
    assert_eq!(followed.follow(&all).unwrap().len(), 3);
    assert_eq!(followed.governance(), &state.governance);
    assert_eq!(followed.head(), state.proposals.log.head());
    let before = followed.clone();
    assert_eq!(followed.follow(&all).unwrap().len(), 0);
    assert_eq!(followed, before);
    let mut slowly = founded();
    for entry in &all.entries {
        slowly.enact(entry).unwrap();
    }
    assert_eq!(slowly, followed);
    let late = LogUpdate { entries: all.entries[1..].to_vec(), head: all.head.clone() };
    assert_eq!(founded().follow(&late), Err(Code::GovernanceBehind));
    let mut half = founded();
    half.enact(&all.entries[0]).unwrap();
    assert_eq!(half.follow(&late).unwrap().len(), 2);
}

/// R195: no entry that the council did not carry, no head that fewer than a majority of the masters endorses, no gap, no
/// other order; and nothing of a bad update is kept.
#[test]
fn a_log_that_does_not_verify_changes_nothing() {
    let state = three();
    let good = update(&state);
    type Bend<'a> = &'a dyn Fn(&mut LogUpdate);
    let entry =
        |bend: &'static dyn Fn(&mut LogEntry)| move |update: &mut LogUpdate| bend(&mut update.entries[1]);
    let unendorsed: Bend<'_> = &|update| {
        update.head.endorsements.truncate(1);
    };
    let stranger: Bend<'_> = &|update| {
        update.head = key::<Master>("master-9").endorsed(update.head.body);
    };
    let longer: Bend<'_> = &|update| {
        let mut body = update.head.body;
        body.root = Digest::ZERO;
        update.head = endorsed(&three().governance.registry, body);
    };
    let missing: Bend<'_> = &|update| drop(update.entries.remove(1));
    let swapped: Bend<'_> = &|update| update.entries.swap(1, 2);
    let few = entry(&|entry| drop(entry.votes.drain(1..)));
    let twice = entry(&|entry| entry.votes[1] = entry.votes[0].clone());
    let against = entry(&|entry| {
        for (at, by) in (1..=3).enumerate() {
            let mut body = entry.votes[at].body.clone();
            body.approve = at == 0;
            entry.votes[at] = council_key(by).sign(body);
        }
    });
    let foreign = entry(&|entry| {
        let body = Vote { voter: member(9), ..entry.votes[2].body.clone() };
        entry.votes[2] = council_key(9).sign(body);
    });
    let other = entry(&|entry| entry.proposal.body.change = activate(code("other")));
    let elsewhere = entry(&|entry| {
        let mut body = entry.proposal.body.clone();
        body.foundation = Digest::ZERO;
        entry.proposal = council_key(1).sign(body);
    });
    let later = entry(&|entry| entry.at = OrderedMillis(entry.at.0 + 1));
    let bends: [Bend<'_>; 12] = [
        unendorsed, stranger, longer, missing, swapped, &few, &twice, &against, &foreign, &other, &elsewhere,
        &later,
    ];
    for (at, bend) in bends.into_iter().enumerate() {
        let mut bad = good.clone();
        bend(&mut bad);
        let mut followed = founded();
        assert_eq!(followed.follow(&bad), Err(Code::GovernanceForged), "bend {at}");
        assert_eq!(followed, founded(), "bend {at}");
    }
    let mut entries = good.entries.clone();
    assert_eq!(replay(founded().governance(), &entries).as_ref(), Ok(&state.governance));
    entries.swap(0, 1);
    assert_eq!(replay(founded().governance(), &entries), Err(Code::GovernanceForged));
}

/// R129: a master that withholds a revocation has no order carried out: a majority endorses no standing that is older, and a
/// node that knows less or more than the order says so.
#[test]
fn an_order_is_carried_out_under_the_same_state_of_governance_alone() {
    let state = three();
    let asked = Digest::of_bytes(b"order");
    let standing =
        |state: &State, order| endorsed(&state.governance.registry, state.proposals.log.standing(order));
    let now = standing(&state, asked);
    let mut current = founded();
    current.follow(&update(&state)).unwrap();
    assert_eq!(current.check(&now, asked), Ok(()));
    assert_eq!(current.check(&now, Digest::of_bytes(b"another order")), Err(Code::Forbidden));
    let mut behind = founded();
    assert_eq!(behind.check(&now, asked), Err(Code::GovernanceBehind), "it has not heard of the revocation");
    behind.enact(&update(&state).entries[0]).unwrap();
    assert_eq!(behind.check(&now, asked), Err(Code::GovernanceBehind));
    let old = founded().head();
    let body = Standing { order: asked, foundation: old.foundation, sequence: old.sequence, last: old.last };
    let stale = endorsed(&state.governance.registry, body);
    assert_eq!(
        current.check(&stale, asked),
        Err(Code::GovernanceBehind),
        "an order from before the revocation"
    );
    assert_eq!(founded().check(&stale, asked), Ok(()));
    let alone = key::<Master>("master-1").endorsed(now.body);
    assert_eq!(current.check(&alone, asked), Err(Code::Forbidden));
    let forked = Standing { last: Digest::ZERO, ..now.body };
    let forked = endorsed(&state.governance.registry, forked);
    assert_eq!(current.check(&forked, asked), Err(Code::GovernanceForged));
    assert_eq!(now.body.sequence, GovernanceSequence(3));
}
