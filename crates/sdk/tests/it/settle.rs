//! A closed epoch computed again by a stranger: everything holds on a good one, and each disagreement is named (R149, R158, R161, R168,
//! R169, R173).

use std::sync::Arc;

use axum::extract::Query;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use symphony_protocol::artifact::{DividendStatement, RecipientClass, Share};
use symphony_protocol::governance::log::{Followed, LogUpdate};
use symphony_protocol::settlement::epoch::{EpochRecord, Settlement, owed, recompute};
use symphony_protocol::settlement::payout::PayoutConfirmation;
use symphony_sdk::settle::{DividendLeaves, EpochBundle, EpochReport, verify};
use symphony_sdk::verify::governance_digest;
use symphony_types::amount::Sym;
use symphony_types::dividend::DividendLeaf;
use symphony_types::id::{AccountId, EpochId, VaultId};
use symphony_types::key::{Document as _, Master, PrivateKey};
use symphony_types::merkle;
use symphony_wire::documents::{decode, encode};

use crate::bundle::{Keys, bundle, digest, governance, keys};
use crate::gateway::World;

/// Amounts of a tree that sum to what is left of a share without what the pool gets back.
fn leaves(total: Sym) -> Vec<DividendLeaf> {
    let parts = [Sym(total.0 / 2), Sym(total.0 / 3), Sym(total.0 - total.0 / 2 - total.0 / 3)];
    let leaf = |(place, amount)| DividendLeaf {
        account: AccountId(digest(100 + u8::try_from(place).unwrap())),
        index: place as u64,
        amount,
    };
    parts.into_iter().enumerate().map(leaf).collect()
}

/// The epoch of the test's task, with a tree whose leaves are known.
fn epoch(keys: &Keys) -> (EpochBundle, DividendLeaves) {
    let (settled, founded) = (bundle(keys), governance(keys));
    let payout = settled.payout.unwrap();
    let mut statements = payout.statements;
    let tree = leaves(statements[0].body.total);
    let root = merkle::root(&tree.iter().map(DividendLeaf::hash).collect::<Vec<_>>());
    statements[0] = keys.vault.sign(DividendStatement { root, ..statements[0].body.clone() });
    let vault = statements[0].body.vault.clone();
    let mut record = EpochRecord {
        foundation: governance_digest(&founded),
        instructions: payout.instructions,
        statements,
        waited: vec![],
        confirmation: None,
    };
    let settlements = vec![Settlement::Task(Box::new(settled.context))];
    record.instructions = recompute(&record, &settlements, &owed(&record, &settlements)).unwrap();
    let log = LogUpdate { entries: vec![], head: keys.master.endorsed(Followed::new(founded).head()) };
    let leaves = DividendLeaves { vault, epoch: record.instructions.epoch, leaves: tree };
    let mut bundle = EpochBundle { log, record: keys.master.endorsed(record), settlements };
    confirm(&mut bundle, keys);
    (bundle, leaves)
}

/// The payout service's and the masters' word on the record as it is now.
fn confirm(bundle: &mut EpochBundle, keys: &Keys) {
    let mut record = bundle.record.body.clone();
    record.confirmation = Some(keys.payout.sign(PayoutConfirmation {
        epoch: record.instructions.epoch,
        batch: record.instructions.digest(),
        transaction: digest(80),
        version: 9,
    }));
    bundle.record = keys.master.endorsed(record);
}

fn failed(report: &EpochReport) -> Vec<&'static str> {
    report.checks.iter().filter(|check| check.fault.is_some()).map(|check| check.name).collect()
}

/// What fails of an epoch that masters and payout service agreed to change.
fn changed(change: impl FnOnce(&mut EpochBundle, &mut DividendLeaves, &Keys)) -> Vec<&'static str> {
    let keys = keys();
    let (mut bundle, mut leaves) = epoch(&keys);
    let of = bundle.record.body.instructions.epoch;
    change(&mut bundle, &mut leaves, &keys);
    confirm(&mut bundle, &keys);
    failed(&verify(&governance(&keys), of, &bundle, &[leaves]))
}

/// R149, R158, R168, R173
#[test]
fn a_good_epoch_passes_every_check() {
    let keys = keys();
    let (bundle, leaves) = epoch(&keys);
    let of = bundle.record.body.instructions.epoch;
    let again: EpochBundle = decode(&encode(&bundle)).unwrap();
    let report = verify(&governance(&keys), of, &again, std::slice::from_ref(&leaves));
    assert!(report.passed() && report.paid, "{:?}", report.checks);
    assert_eq!((report.settled, report.leaves), (1, 3));
    let lines: Vec<_> =
        report.checks.iter().map(|check| format!("{}: {}", check.name, check.proves)).collect();
    insta::assert_snapshot!(lines.join("\n"));
    let mut unpaid = bundle.record.body.clone();
    unpaid.confirmation = None;
    let unpaid = EpochBundle { record: keys.master.endorsed(unpaid), ..bundle };
    let report = verify(&governance(&keys), of, &unpaid, &[]);
    assert!(report.passed() && !report.paid);
}

/// R158, R169: whatever masters and payout service agree to pay in place of what was settled is seen, also where it is conserved.
#[test]
fn a_batch_that_does_not_follow_from_the_settlements_is_named() {
    let again = "payout-recomputed";
    let moved = changed(|bundle, _, _| {
        let payees = &mut bundle.record.body.instructions.payees;
        (payees[0].amount, payees[1].amount) = (Sym(payees[0].amount.0 - 1), Sym(payees[1].amount.0 + 1));
    });
    assert_eq!(moved, [again]);
    let minted = changed(|bundle, _, _| {
        let treasury = &mut bundle.record.body.instructions.treasury;
        *treasury = Sym(treasury.0 + 1);
    });
    assert_eq!(minted, [again, "payout-conserved"]);
    let kept = changed(|bundle, _, _| bundle.record.body.instructions.carries.clear());
    assert_eq!(kept, [again, "payout-conserved"]);
    let refunded = changed(|bundle, _, _| bundle.record.body.instructions.settlements[0].refunded = Sym(1));
    assert_eq!(refunded, [again]);
    let other_tree = changed(|bundle, _, _| bundle.record.body.instructions.dividends[0].root = digest(1));
    assert_eq!(other_tree, [again, "dividend-leaves"]);
}

/// R149, R168: what was settled is what is anchored, all of it and nothing else.
#[test]
fn settlements_that_are_not_the_anchored_ones_are_named() {
    let anchored = "settlements-anchored";
    let missing = changed(|bundle, _, _| bundle.settlements.clear());
    assert_eq!(missing, [anchored, "dividend-statements", "payout-recomputed"]);
    let twice = changed(|bundle, _, _| bundle.settlements.push(bundle.settlements[0].clone()));
    assert_eq!(twice, [anchored, "payout-recomputed"]);
    let shared = changed(|bundle, _, _| {
        let Settlement::Task(context) = &mut bundle.settlements[0] else { panic!() };
        let last = context.shares.len() - 1;
        context.shares[last].amount = Sym(context.shares[last].amount.0 + 1);
    });
    assert_eq!(shared, [anchored, "settlements-sound", "payout-recomputed"]);
    // Anchored anew as it is then, it is seen by the rules alone.
    let agreed = |change: fn(&mut Vec<Share>)| {
        changed(|bundle, _, _| {
            let Settlement::Task(context) = &mut bundle.settlements[0] else { panic!() };
            change(&mut context.shares);
            let (record, settlements) = (&bundle.record.body, &bundle.settlements);
            bundle.record.body.instructions =
                recompute(record, settlements, &owed(record, settlements)).unwrap();
        })
    };
    let account = agreed(|shares| shares.last_mut().unwrap().account = AccountId(digest(1)));
    assert_eq!(account, ["settlements-sound"]);
    let classes = agreed(|shares| {
        let aggregator = shares.iter_mut().find(|share| share.class == RecipientClass::Aggregator).unwrap();
        aggregator.amount = Sym(aggregator.amount.0 - 1);
        let verifier = shares.iter_mut().find(|share| share.class == RecipientClass::Verifier).unwrap();
        verifier.amount = Sym(verifier.amount.0 + 1);
    });
    assert_eq!(classes, ["settlements-sound"], "conserved, and not by the policy's rates");
}

/// R161, R162, R169: statements are the Vaults' own, and what waited is not forgotten.
#[test]
fn statements_that_do_not_add_up_are_named() {
    let (stated, again) = ("dividend-statements", "payout-recomputed");
    let waited = changed(|bundle, _, _| {
        bundle.record.body.waited = vec![(VaultId::new("vault-b").unwrap(), Sym(5))];
    });
    assert_eq!(waited, [stated, again]);
    let forged = changed(|bundle, _, _| bundle.record.body.statements[0].body.total = Sym(1));
    assert_eq!(forged, [stated, again]);
    let twice = changed(|bundle, _, _| {
        let first = bundle.record.body.statements[0].clone();
        bundle.record.body.statements.push(first);
    });
    assert_eq!(twice, [stated]);
    let silent = changed(|bundle, _, _| drop(bundle.record.body.statements.remove(0)));
    assert_eq!(silent, [again]);
}

/// R161, R168: leaves are those of the signed tree.
#[test]
fn leaves_that_are_not_of_the_tree_are_named() {
    type Change = fn(&mut DividendLeaves);
    let changes: [Change; 7] = [
        |tree| tree.leaves.truncate(2),
        |tree| tree.leaves.swap(0, 1),
        |tree| tree.leaves[1].account = tree.leaves[0].account,
        |tree| tree.leaves[2].index = 7,
        |tree| {
            (tree.leaves[0].amount, tree.leaves[1].amount) = (tree.leaves[1].amount, tree.leaves[0].amount);
        },
        |tree| tree.epoch = EpochId(99),
        |tree| tree.vault = VaultId::new("vault-b").unwrap(),
    ];
    for change in changes {
        assert_eq!(changed(|_, leaves, _| change(leaves)), ["dividend-leaves"]);
    }
}

/// R134, R195: the record is a majority's of this network, of this epoch, and not one bit is another.
#[test]
fn a_record_that_nobody_vouches_for_is_named() {
    let keys = keys();
    let (bundle, _) = epoch(&keys);
    let (founded, of) = (governance(&keys), bundle.record.body.instructions.epoch);
    let stranger = PrivateKey::<Master>::from_seed(&[99; 32]);
    let forged = EpochBundle { record: stranger.endorsed(bundle.record.body.clone()), ..bundle.clone() };
    assert_eq!(failed(&verify(&founded, of, &forged, &[])), ["record-signature"]);
    assert_eq!(
        failed(&verify(&founded, EpochId(of.0 + 1), &bundle, &[])),
        ["record-epoch", "payout-confirmation"]
    );
    let mut other = founded.clone();
    other.registry.treasury = other.registry.aggregator.clone();
    assert_eq!(failed(&verify(&other, of, &bundle, &[])), ["governance-log"]);
    let confirmed = EpochBundle {
        record: {
            let mut body = bundle.record.body.clone();
            body.confirmation.as_mut().unwrap().body.batch = digest(1);
            keys.master.endorsed(body)
        },
        ..bundle.clone()
    };
    assert_eq!(failed(&verify(&founded, of, &confirmed, &[])), ["payout-confirmation"]);
    let bytes = encode(&bundle);
    for index in (0..bytes.len()).step_by(7) {
        let mut flipped = bytes.clone();
        flipped[index] ^= 1 << (index % 8);
        let seen = decode::<EpochBundle>(&flipped).is_err()
            || decode(&flipped).is_ok_and(|other| !verify(&founded, of, &other, &[]).passed());
        assert!(seen, "byte {index}");
    }
}

#[derive(Deserialize)]
struct Page {
    from: usize,
}

/// R168, R173: what comes in pages is put together, and ends with the pages whatever their number is said to be.
#[tokio::test]
async fn pages_are_put_together() {
    for total in [3, 5] {
        let (one, tree) = epoch(&keys());
        let shown = EpochBundle { settlements: vec![one.settlements[0].clone(); 3], ..one };
        let (of, head, leaves) = (Arc::new(shown.clone()), encode(&shown.log.head), tree.leaves.clone());
        let page = async move |Query(Page { from }): Query<Page>| {
            let part = of.settlements.iter().skip(from).take(2).map(|one| hex::encode(encode(one)));
            let record = if from == 0 { hex::encode(encode(&of.record)) } else { String::new() };
            let settlements: Vec<_> = part.collect();
            Json(json!({"record": record, "digest": "", "settlements": settlements, "total": total}))
        };
        let log = async move || Json(json!({"entries": [], "head": hex::encode(head)}));
        let tree_part = async move |Query(Page { from }): Query<Page>| {
            leaves.iter().skip(from).take(2).flat_map(encode).collect::<Vec<u8>>()
        };
        let routes = Router::new()
            .route("/v1/epochs/{epoch}", get(page))
            .route("/v1/governance/log", get(log))
            .route("/v1/vaults/{vault}/epochs/{epoch}/leaves", get(tree_part));
        let world = World::with(routes).await;
        assert_eq!(world.client.epoch(EpochId(7)).await.unwrap(), shown);
        assert_eq!(world.client.leaves(&tree.vault, tree.epoch).await.unwrap(), tree);
    }
}
