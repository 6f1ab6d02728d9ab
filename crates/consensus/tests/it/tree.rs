//! The tree over a journal: the same as over all entries at once, across restarts, and of no part that is not there (R031, R191, R192).

use redb::{Database, TableDefinition};
use symphony_consensus::journal::JournalError;
use symphony_consensus::orderer::{Orderer, Solo};
use symphony_consensus::tree::{View, leaf};
use symphony_types::digest::Digest;
use symphony_types::merkle::{self, verify_consistency, verify_inclusion};
use symphony_types::time::OrderedMillis;

use super::counter::{Counter, add, open};
use super::folder;

const NODES: TableDefinition<'static, (u32, u64), [u8; 32]> = TableDefinition::new("journal/tree");

async fn orders(solo: &Solo<Counter>, count: u64) {
    for _ in 0..count {
        solo.order(add(1, 1)).await.unwrap();
    }
}

/// Every path of the first `count` entries leads where all leaves say.
fn holds(view: &View, count: u64) {
    let entry = |height| view.entry(height).unwrap().unwrap().1;
    let leaves: Vec<Digest> = (1..=count).map(|height| leaf(entry(height))).collect();
    let root = view.root(count).unwrap();
    assert_eq!(root, merkle::root(&leaves));
    for height in 1..=count {
        let path = view.inclusion(count, height).unwrap();
        assert!(verify_inclusion(root, leaves[height as usize - 1], height - 1, count, &path));
        let earlier = view.root(height).unwrap();
        let path = view.consistency(count, height).unwrap();
        assert!(verify_consistency(height, earlier, count, root, &path), "{height} of {count}");
    }
}

/// R191, R192: the tree grows with the entries, goes on after a restart, and is made again where it is not there.
#[tokio::test]
async fn a_journal_proves_its_entries_across_restarts() {
    let (_folder, path) = folder();
    for (ordered, lost) in [(13, false), (20, true), (27, false)] {
        let solo = open(&path).unwrap();
        let before = solo.head().height;
        orders(&solo, ordered - before).await;
        holds(&View::of(&solo.database()).unwrap(), ordered);
        // What was proven before is the beginning of what is proven now.
        let view = View::of(&solo.database()).unwrap();
        let path_of = view.consistency(ordered, before).unwrap();
        let (earlier, root) = (view.root(before).unwrap(), view.root(ordered).unwrap());
        assert!(verify_consistency(before, earlier, ordered, root, &path_of));
        solo.stop().await.unwrap();
        drop((view, solo));
        if lost {
            let database = Database::open(&path).unwrap();
            let transaction = database.begin_write().unwrap();
            assert!(transaction.delete_table(NODES).unwrap());
            transaction.commit().unwrap();
        }
    }
}

/// R192: nothing is proven beyond the end, of place zero, or of a journal that is shorter than what is asked.
#[tokio::test]
async fn what_is_out_of_range_is_refused() {
    let (_folder, path) = folder();
    let solo = open(&path).unwrap();
    assert_eq!(View::of(&solo.database()).unwrap().root(0).unwrap(), merkle::root(&[]));
    orders(&solo, 6).await;
    let view = View::of(&solo.database()).unwrap();
    let refused =
        |answer: Result<Vec<Digest>, JournalError>| matches!(answer, Err(JournalError::Unproven(_)));
    assert!(
        refused(view.inclusion(6, 0)) && refused(view.inclusion(6, 7)) && refused(view.consistency(6, 7))
    );
    assert!(matches!(view.root(7), Err(JournalError::Unproven(7))));
    assert!(matches!(view.root(9), Err(JournalError::Unproven(_))));
    assert!(view.entry(7).unwrap().is_none());
}

/// R192, R193: what was ordered before a moment is found.
#[tokio::test]
async fn the_last_entry_before_a_moment_is_found() {
    let (_folder, path) = folder();
    let solo = open(&path).unwrap();
    orders(&solo, 30).await;
    let view = View::of(&solo.database()).unwrap();
    let at = |height| view.entry(height).unwrap().unwrap().0.at;
    for height in 1..=30 {
        let first = (1..=30).find(|other| at(*other) == at(height)).unwrap();
        assert_eq!(view.before(at(height), 30).unwrap(), first - 1);
        let after = (1..=30).rfind(|other| at(*other) == at(height)).unwrap();
        assert_eq!(view.before(at(height).plus(1), 30).unwrap(), after);
    }
    assert_eq!(view.before(OrderedMillis(0), 30).unwrap(), 0);
    assert_eq!(view.before(OrderedMillis(u64::MAX), 30).unwrap(), 30);
}
