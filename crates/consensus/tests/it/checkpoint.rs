//! Starts that do not begin at the genesis: from an own checkpoint, or from a state that others give.

use std::path::Path;
use std::sync::Arc;

use redb::{Database, ReadableTable, TableDefinition};
use symphony_consensus::checkpoint::CHECKPOINT_LEN;
use symphony_consensus::journal::{JournalError, export_file};
use symphony_consensus::orderer::{Orderer, Solo};
use symphony_consensus::quorum::guard::Memory;
use symphony_consensus::quorum::node::Quorum;
use symphony_consensus::replay::{read_export, replay};
use symphony_consensus::tree::View;

use super::counter::{Counter, add, genesis, open};
use super::quorum::{Cluster, STATE_LAG, reaches};
use super::{folder, tamper};

const META: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("journal/meta");
const BLOCKS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("quorum/blocks");
/// More than two checkpoints.
const COMMANDS: u64 = 2 * CHECKPOINT_LEN + 50;

/// Orders so many commands, many at once.
async fn order(orderer: &Arc<impl Orderer<Counter> + 'static>, commands: u64) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..commands {
        let orderer = Arc::clone(orderer);
        tasks.spawn(async move { orderer.order(add(1, 1)).await.map(drop) });
        if tasks.len() == 1_024 {
            tasks.join_next().await.unwrap().unwrap().unwrap();
        }
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
}

fn flip<K: redb::Key + 'static>(
    path: &Path,
    table: TableDefinition<'static, K, &'static [u8]>,
    key: K::SelfType<'_>,
) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(table).unwrap();
        let mut row = table.get(&key).unwrap().unwrap().value().to_vec();
        let last = row.len() - 1;
        row[last] ^= 1;
        table.insert(&key, row.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

/// R197, R217: a start goes on from the last checkpoint, a damaged one is not believed, and a replay never uses it.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_goes_on_from_the_last_checkpoint() {
    let (_folder, path) = folder();
    let solo = Arc::new(open(&path).unwrap());
    order(&solo, COMMANDS).await;
    solo.stop().await.unwrap();
    let head = solo.head();
    drop(solo);
    let serves = |solo: Solo<Counter>| {
        assert_eq!((solo.head(), solo.state().of[&1]), (head, COMMANDS));
    };
    serves(open(&path).unwrap());

    // What lies before the checkpoint is not read at a start, but is in a replay.
    let mut original = Vec::new();
    tamper(&path, |table| original = table.get(5).unwrap().unwrap().value().to_vec());
    tamper(&path, |table| {
        let mut changed = original.clone();
        changed[40] ^= 1;
        table.insert(5, changed.as_slice()).unwrap();
    });
    serves(open(&path).unwrap());
    let mut bytes = Vec::new();
    export_file(&path, &mut bytes).unwrap();
    let refused = replay::<Counter, _>(read_export(bytes.as_slice()).unwrap(), &genesis());
    assert!(matches!(refused, Err(JournalError::Corrupt { height: 5, .. })));

    // Without a checkpoint to believe, the start begins at the genesis, and finds it too.
    flip(&path, META, "checkpoint");
    assert!(matches!(open(&path), Err(JournalError::Corrupt { height: 5, .. })));
    tamper(&path, |table| drop(table.insert(5, original.as_slice()).unwrap()));
    serves(open(&path).unwrap());
}

async fn stop(node: Arc<Quorum<Counter>>) {
    node.stop().await.unwrap();
}

/// R197, R217: who is far behind takes a state that a decided block proves, ends with the identical hash, votes, starts
/// again from it, serves others, and says that its journal has no whole beginning.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_far_behind_takes_a_state() {
    let cluster = Cluster::new();
    let (first, second) = (cluster.start(0), cluster.start(1));
    order(&first, COMMANDS).await;
    // Far behind is a matter of blocks.
    while first.gauges().height < STATE_LAG + 10 {
        first.order(add(1, 1)).await.unwrap();
    }
    let count = first.state().of[&1];
    let third = cluster.start(2);
    reaches(&third, 1, count).await;
    assert_eq!(third.head(), first.head());
    assert!(third.gauges().caught_up < first.gauges().height, "a state came, not all blocks");

    // It counts: with the second gone, it and the first decide.
    stop(second).await;
    first.order(add(1, 1)).await.unwrap();
    reaches(&third, 1, count + 1).await;
    stop(third).await;
    let refused = export_file(&cluster.path(2), &mut Vec::new()).unwrap_err();
    assert!(matches!(refused, JournalError::Joined(height) if height >= CHECKPOINT_LEN), "{refused}");

    // It starts from the state that it took, and gives it to another whose disk is empty.
    let third = cluster.start(2);
    reaches(&third, 1, count + 1).await;
    // Others prove entries; whoever lacks the beginning proves none, and endorses no root over them.
    let height = third.head().height;
    assert!(View::of(&first.database()).unwrap().root(height).is_ok());
    let unproven = View::of(&third.database()).unwrap().root(height).unwrap_err();
    assert!(matches!(unproven, JournalError::Unproven(_)), "{unproven}");
    std::fs::remove_file(cluster.path(1)).unwrap();
    stop(first).await;
    let second = cluster.start(1);
    reaches(&second, 1, count + 1).await;
    second.order(add(1, 1)).await.unwrap();
    reaches(&third, 1, count + 2).await;
    assert_eq!(second.head(), third.head());
}

/// R212, R217: blocks before a checkpoint are not read at a start; behind it all are.
#[tokio::test(flavor = "multi_thread")]
async fn a_master_starts_from_its_checkpoint() {
    let cluster = Cluster::new();
    let nodes = [cluster.start(0), cluster.start(1), cluster.start(2)];
    order(&nodes[0], CHECKPOINT_LEN).await;
    let count = CHECKPOINT_LEN + 2;
    for _ in CHECKPOINT_LEN..count {
        // In blocks of their own, behind the checkpoint.
        nodes[0].order(add(1, 1)).await.unwrap();
    }
    reaches(&nodes[2], 1, count).await;
    let last = nodes[2].gauges().height;
    for node in nodes {
        stop(node).await;
    }
    flip(&cluster.path(2), BLOCKS, 1);
    let third = cluster.start(2);
    assert_eq!(third.state().of[&1], count);
    stop(third).await;
    flip(&cluster.path(2), BLOCKS, last);
    assert!(cluster.try_start(2, Memory::default()).is_err());
}
