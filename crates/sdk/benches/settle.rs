//! `symphony settle verify` of an epoch with a million dividend leaves: what was kept in files is read, and every check is made, beside
//! hashing the same leaves once and doing nothing else (R149, R158, R161, R168).
//!
//! Physical limit: a leaf and the nodes above it are three compressions of SHA-256, two more than the plain hash of a leaf.

use symphony_protocol::artifact::DividendStatement;
use symphony_protocol::governance::log::{Followed, LogUpdate};
use symphony_protocol::settlement::epoch::{EpochRecord, Settlement, owed, recompute};
use symphony_sdk::settle::{DividendLeaves, EpochBundle, verify};
use symphony_sdk::verify::governance_digest;
use symphony_types::amount::Sym;
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::dividend::DividendLeaf;
use symphony_types::id::AccountId;
use symphony_types::merkle::Frontier;
use symphony_wire::documents::{decode, encode};

use crate::bundle::{bundle, governance, keys};
use crate::pairs::{compare, per_unit, print};

#[allow(dead_code, clippy::unwrap_used)]
#[path = "../tests/it/bundle.rs"]
mod bundle;
#[path = "../../compute/benches/pairs/mod.rs"]
mod pairs;

fn main() {
    let count: usize =
        std::env::var("SYMPHONY_BENCH_LEAVES").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let (epoch, tree) = epoch(count);
    let founded = governance(&keys());
    let checked = || {
        per_unit(count, || {
            let epoch: EpochBundle = decode(&epoch).expect("an epoch");
            let tree: DividendLeaves = decode(&tree).expect("leaves");
            let report = verify(&founded, tree.epoch, &epoch, &[tree]);
            assert!(report.passed(), "{:?}", report.checks);
        })
    };
    let leaves: DividendLeaves = decode(&tree).expect("leaves");
    let bytes: Vec<Vec<u8>> = leaves.leaves.iter().map(canonical::to_bytes).collect();
    let hashed = || {
        per_unit(count, || {
            bytes.iter().map(|bytes| Digest::of_bytes(bytes)).fold(0, |sum, one| sum ^ one.0[0])
        })
    };
    let row = compare(("settle verify", checked), ("SHA-256 of each leaf", hashed), PAIRS);
    print(&format!("settle: {count} leaves of a closed epoch"), "leaf", &[row]);
}

/// An epoch and the leaves of its tree, as they are kept in files.
fn epoch(count: usize) -> (Vec<u8>, Vec<u8>) {
    let keys = keys();
    let (settled, founded) = (bundle(&keys), governance(&keys));
    let payout = settled.payout.expect("it is paid");
    let mut statements = payout.statements;
    let leaf = |place: usize| {
        let mut account = [0; 32];
        account[..8].copy_from_slice(&(place as u64).to_be_bytes());
        DividendLeaf { account: AccountId(Digest(account)), index: place as u64, amount: Sym(1) }
    };
    let leaves: Vec<_> = (0..count).map(leaf).collect();
    let mut tree = Frontier::default();
    leaves.iter().for_each(|leaf| tree.push(leaf.hash()));
    let first = statements[0].body.clone();
    let total = Sym(count as u64);
    let pool_return = first.allotted.checked_sub(total).expect("each leaf has a base unit of the share");
    let first = DividendStatement { root: tree.root(), payees: count as u64, total, pool_return, ..first };
    let vault = first.vault.clone();
    statements[0] = keys.vault.sign(first);
    let mut record = EpochRecord {
        foundation: governance_digest(&founded),
        instructions: payout.instructions,
        statements,
        waited: vec![],
        confirmation: None,
    };
    let settlements = vec![Settlement::Task(Box::new(settled.context))];
    record.instructions =
        recompute(&record, &settlements, &owed(&record, &settlements)).expect("the amounts fit");
    let leaves = DividendLeaves { vault, epoch: record.instructions.epoch, leaves };
    let log = LogUpdate { entries: vec![], head: keys.master.endorsed(Followed::new(founded).head()) };
    let epoch = EpochBundle { log, record: keys.master.endorsed(record), settlements };
    (encode(&epoch), encode(&leaves))
}

const PAIRS: usize = 5;
