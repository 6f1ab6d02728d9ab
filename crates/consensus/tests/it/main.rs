//! The engine from outside, with a machine of counters: order, durability, verification and replay.

#![allow(clippy::unwrap_used, reason = "a test panics rather than returning errors")]

mod bad_input;
mod checkpoint;
mod counter;
mod empty_round;
mod guard;
mod guard_socket;
mod late_guard;
mod quorum;
mod replaying;
mod storage;
mod tree;

use std::path::PathBuf;
use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use symphony_consensus::entry::{Fault, Head};
use symphony_consensus::journal::JournalError;
use symphony_consensus::machine::{Genesis, state_digest};
use symphony_consensus::orderer::{Failure, OrderError, Orderer, Solo};
use symphony_consensus::replay::Verify;
use symphony_types::limits::COMMAND_BYTES_MAX;
use symphony_types::time::OrderedMillis;

use counter::{Command, Counter, Event, TooFew, add, clock, genesis, open, transfer};

const ENTRIES: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("journal/entries");
const ROWS: TableDefinition<'static, u64, u64> = TableDefinition::new("rows");

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    (folder, path)
}

/// Orders five commands and returns the head.
async fn five(path: &std::path::Path) -> Head {
    let solo = open(path).unwrap();
    for amount in 1..=5 {
        solo.order(add(1, amount)).await.unwrap();
    }
    solo.stop().await.unwrap();
    solo.head()
}

/// Opens with both ways to verify and returns the height and fault that both name.
fn fault_of(path: &std::path::Path) -> (u64, Fault) {
    let faults = [Verify::Links, Verify::Decisions, Verify::Full].map(|verify| {
        match Solo::<Counter>::open(path, &genesis(), verify, clock()) {
            Err(JournalError::Corrupt { height, fault }) => (height, fault),
            Err(other) => panic!("another error: {other}"),
            Ok(_) => panic!("a broken journal was served"),
        }
    });
    assert!(faults.iter().all(|fault| *fault == faults[0]), "{faults:?}");
    faults[0].clone()
}

/// Changes the rows of a closed journal behind its back.
fn tamper(path: &std::path::Path, change: impl FnOnce(&mut redb::Table<'_, u64, &'static [u8]>)) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    change(&mut transaction.open_table(ENTRIES).unwrap());
    transaction.commit().unwrap();
}

/// R217
#[tokio::test]
async fn a_restart_gives_the_same_state_hash() {
    let (_folder, path) = folder();
    let before = five(&path).await;
    for verify in [Verify::Links, Verify::Decisions, Verify::Full] {
        let solo = Solo::<Counter>::open(&path, &genesis(), verify, clock()).unwrap();
        assert_eq!(solo.head(), before);
        assert_eq!(state_digest(&*solo.state()), before.state);
        assert_eq!(solo.state().of[&1], 15);
    }
}

/// R035: time and height go forward although the clock does not, over a restart too.
#[tokio::test]
async fn heights_have_no_gap_and_time_never_runs_backwards() {
    let (_folder, path) = folder();
    five(&path).await;
    let solo = open(&path).unwrap();
    for _ in 0..20 {
        solo.order(add(2, 1)).await.unwrap();
    }
    let all = solo.ordered_after(0, 100).unwrap();
    assert_eq!(all.iter().map(|one| one.height).collect::<Vec<_>>(), (1..=25).collect::<Vec<_>>());
    assert!(all.is_sorted_by_key(|one| one.at));
    assert_eq!(all[3].events, [Event::Added { who: 1, amount: 4 }]);
    assert_eq!(solo.ordered_after(24, 100).unwrap().len(), 1);
    assert_eq!(solo.ordered_after(3, 2).unwrap().len(), 2);
    assert!(solo.ordered_after(u64::MAX, 2).unwrap().is_empty());
}

/// R212, R217: every byte of every row counts.
#[tokio::test]
async fn a_flipped_byte_is_refused_at_open_with_its_height() {
    let (_folder, path) = folder();
    five(&path).await;
    for height in 1..=5 {
        let mut original = Vec::new();
        tamper(&path, |table| original = table.get(height).unwrap().unwrap().value().to_vec());
        for index in (0..original.len()).step_by(7) {
            let mut changed = original.clone();
            changed[index] ^= 1;
            tamper(&path, |table| drop(table.insert(height, changed.as_slice()).unwrap()));
            assert_eq!(fault_of(&path), (height, Fault::Hash));
        }
        tamper(&path, |table| drop(table.insert(height, original.as_slice()).unwrap()));
    }
    open(&path).unwrap();
}

/// R212: taking away, adding or swapping whole rows is found as well.
#[tokio::test]
async fn missing_and_moved_entries_are_refused() {
    let (_folder, path) = folder();
    five(&path).await;
    let mut rows = Vec::new();
    tamper(&path, |table| {
        rows = (1..=5).map(|height| table.get(height).unwrap().unwrap().value().to_vec()).collect();
        table.remove(5).unwrap();
    });
    assert_eq!(fault_of(&path), (5, Fault::Head));
    tamper(&path, |table| {
        table.insert(5, rows[4].as_slice()).unwrap();
        table.remove(2).unwrap();
    });
    assert_eq!(fault_of(&path), (2, Fault::Misplaced));
    tamper(&path, |table| drop(table.insert(2, rows[2].as_slice()).unwrap()));
    assert_eq!(fault_of(&path), (2, Fault::Misplaced));
    tamper(&path, |table| {
        table.insert(2, rows[1].as_slice()).unwrap();
        table.insert(6, rows[4].as_slice()).unwrap();
    });
    assert_eq!(fault_of(&path), (6, Fault::Misplaced));
}

/// R216: one journal, one genesis.
#[tokio::test]
async fn another_genesis_is_refused() {
    let (_folder, path) = folder();
    five(&path).await;
    let renamed = Genesis { name: "others".to_owned(), ..genesis() };
    let mut richer = genesis();
    richer.state.of.insert(9, 1);
    for other in [renamed, richer] {
        let opened = Solo::<Counter>::open(&path, &other, Verify::Links, clock());
        assert!(matches!(opened.err(), Some(JournalError::OtherGenesis { .. })));
    }
    open(&path).unwrap();
}

/// R035
#[tokio::test]
async fn a_refused_command_leaves_nothing() {
    let (_folder, path) = folder();
    let before = five(&path).await;
    let solo = open(&path).unwrap();
    let refused = solo
        .order_with(transfer(1, 2, 16), |_| panic!("the hook of a refused command does not run"))
        .await
        .unwrap_err();
    assert_eq!(refused, OrderError::Refused(TooFew(15)));
    assert_eq!(solo.head(), before);
    assert_eq!(state_digest(&*solo.state()), before.state);
    assert!(solo.ordered_after(5, 1).unwrap().is_empty());
}

#[tokio::test]
async fn a_command_over_the_limit_is_not_ordered() {
    let (_folder, path) = folder();
    let solo = open(&path).unwrap();
    let refused = solo.order(Command::Note(vec![0; COMMAND_BYTES_MAX])).await.unwrap_err();
    assert_eq!(refused, OrderError::TooLarge);
    solo.order(Command::Note(vec![0; COMMAND_BYTES_MAX - 8])).await.unwrap();
    assert_eq!(solo.head().height, 1);
}

/// R211: the caller's rows and the entry are one write.
#[tokio::test]
async fn a_hook_writes_with_its_command_or_not_at_all() {
    let (_folder, path) = folder();
    let solo = open(&path).unwrap();
    let write = |transaction: &redb::WriteTransaction| {
        transaction.open_table(ROWS)?.insert(7, 70)?;
        Ok(())
    };
    solo.order_with(add(1, 1), write).await.unwrap();
    let before = solo.head();
    let failing = |transaction: &redb::WriteTransaction| {
        transaction.open_table(ROWS)?.insert(8, 80)?;
        Err(redb::Error::Corrupted("the disk is full".to_owned()))
    };
    assert_eq!(solo.order_with(add(1, 1), failing).await.unwrap_err(), OrderError::Stopped);
    assert!(matches!(solo.ended().await, Err(Failure::Journal(_))));
    assert_eq!(solo.order(add(1, 1)).await.unwrap_err(), OrderError::Stopped);
    assert_eq!(solo.head(), before);
    drop(solo);

    let solo = open(&path).unwrap();
    assert_eq!(solo.head(), before);
    let rows = solo.database().begin_read().unwrap().open_table(ROWS).unwrap();
    assert_eq!(rows.len().unwrap(), 1);
    assert_eq!(rows.get(7).unwrap().unwrap().value(), 70);
}

/// R212: the storage layer turns down who would change an entry.
#[tokio::test]
async fn a_hook_cannot_touch_the_journal() {
    let (_folder, path) = folder();
    let solo = open(&path).unwrap();
    solo.order(add(1, 1)).await.unwrap();
    let overwrite = |transaction: &redb::WriteTransaction| {
        transaction.open_table(ENTRIES)?.remove(1)?;
        Ok(())
    };
    assert_eq!(solo.order_with(add(1, 1), overwrite).await.unwrap_err(), OrderError::Stopped);
    drop(solo);
    assert_eq!(open(&path).unwrap().head().height, 1);
}

#[tokio::test]
async fn a_second_writer_of_one_database_is_stopped() {
    let (_folder, path) = folder();
    let first = open(&path).unwrap();
    let second = Solo::<Counter>::start(first.database(), &genesis(), Verify::Full, clock()).unwrap();
    first.order(add(1, 1)).await.unwrap();
    assert_eq!(second.order(add(1, 2)).await.unwrap_err(), OrderError::Stopped);
    assert!(
        matches!(second.ended().await, Err(Failure::Journal(error)) if matches!(*error, JournalError::Overtaken))
    );
    assert_eq!(first.order(add(1, 3)).await.unwrap().height, 2);
}

#[tokio::test]
async fn a_panic_of_the_rules_stops_the_orderer() {
    let (_folder, path) = folder();
    let solo = open(&path).unwrap();
    solo.order(add(1, 1)).await.unwrap();
    let mut stream = solo.subscribe();
    assert_eq!(solo.order(Command::Break).await.unwrap_err(), OrderError::Stopped);
    assert!(matches!(solo.ended().await, Err(Failure::Panicked)));
    assert!(stream.recv().await.is_err());
    assert!(solo.subscribe().recv().await.is_err());
    drop(solo);
    assert_eq!(open(&path).unwrap().head().height, 1);
}

/// R035, R217
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_concurrent_orders_are_all_there() {
    let (_folder, path) = folder();
    let solo = Arc::new(open(&path).unwrap());
    let mut stream = solo.subscribe();
    let mut orders = tokio::task::JoinSet::new();
    for number in 0..1_000_u16 {
        let solo = Arc::clone(&solo);
        orders.spawn(async move {
            let ordered = solo.order(add(number % 10, 1)).await.unwrap();
            assert!(solo.head().height >= ordered.height, "an answer comes after the state");
            ordered.height
        });
    }
    let mut heights = orders.join_all().await;
    heights.sort_unstable();
    assert_eq!(heights, (1..=1_000).collect::<Vec<_>>());
    for height in heights {
        assert_eq!(stream.recv().await.unwrap().height, height);
    }
    assert!(solo.state().of.values().all(|count| *count == 100));
    let before = solo.head();
    drop(Arc::into_inner(solo).unwrap());
    assert_eq!(open(&path).unwrap().head(), before);
}

#[tokio::test]
async fn stopping_answers_who_waits_and_turns_away_who_comes() {
    let (_folder, path) = folder();
    let solo = open(&path).unwrap();
    let (waiting, stopped) = tokio::join!(biased; solo.order(add(1, 1)), solo.stop());
    assert_eq!(waiting.unwrap().height, 1);
    stopped.unwrap();
    assert_eq!(solo.order(add(1, 1)).await.unwrap_err(), OrderError::Stopped);
    assert_eq!(solo.state().of[&1], 1);
    assert!(solo.state().last >= OrderedMillis(10));
}
