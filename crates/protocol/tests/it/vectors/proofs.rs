//! What others compute again: a closed epoch, and proofs of the masters' journal.

use serde_json::json;
use symphony_protocol::journal::{
    Earlier, Included, JournalEntry, JournalHead, JournalProof, entry_digest, extends, includes,
};
use symphony_protocol::machine::Event;
use symphony_protocol::settlement::epoch::{EndorsedEpoch, Settlement, differences, owed, recompute};
use symphony_types::canonical::to_bytes;
use symphony_types::digest::Digest;
use symphony_types::id::{EpochId, TaskId};
use symphony_types::key::Master;
use symphony_types::merkle;
use symphony_types::time::OrderedMillis;

use super::{bytes_of, conforms, document};
use crate::stage::{PLENTY, campaign, key};
use crate::world::{Disturbance, Script, World};

/// R149, R158, R168, R173: `vectors/epoch.json`.
#[test]
fn epochs_conform() {
    let mut world = World::new(Script::default());
    world.submit(&campaign("c1"), PLENTY).unwrap();
    world.run(Disturbance::default());
    let epoch = *world.state.epochs.keys().next().unwrap();
    let record = world.state.epoch_record(epoch).unwrap();
    let anchored = record.instructions.anchors.iter();
    let settlements: Vec<_> = anchored.map(|(task, _)| world.state.settlement(task).unwrap()).collect();
    let endorsed = key::<Master>("master").endorsed(record.clone());
    conforms(
        "epoch.json",
        &json!({
            "about": "what a closed epoch paid, as masters endorse it, and what was settled in it, of which the instructions are computed again",
            "record": document(&record),
            "value": record,
            "endorsed": hex::encode(to_bytes(&endorsed)),
            "settlements": settlements.iter().map(|one| json!({
                "task": one.task(), "root": one.root().to_hex(), "canonical": hex::encode(to_bytes(one)),
            })).collect::<Vec<_>>(),
        }),
    );
    let stored: EndorsedEpoch = bcs::from_bytes(&bytes_of("epoch.json", "/endorsed")).unwrap();
    let settled: Settlement = bcs::from_bytes(&bytes_of("epoch.json", "/settlements/0/canonical")).unwrap();
    let settled = [settled];
    let again = recompute(&stored.body, &settled, &owed(&stored.body, &settled)).unwrap();
    assert_eq!(differences(&again, &stored.body.instructions), Vec::<&str>::new());
}

/// R031, R191, R192: `vectors/journal.json`.
#[test]
fn proofs_of_the_journal_conform() {
    let mut previous = Digest([0x11; 32]);
    let entries = (1..=7).map(|height| {
        let (task, at) = (TaskId(Digest::of("test/task", &height)), OrderedMillis(1_000 + height));
        let events = to_bytes(&vec![Event::ResultDelivered { task, at }]);
        let entry = JournalEntry { height, previous, at, command: vec![3, 4], events, state: None };
        let bytes = to_bytes(&entry);
        previous = entry_digest(&bytes);
        bytes
    });
    let entries: Vec<_> = entries.collect();
    let leaves: Vec<_> = entries.iter().map(|bytes| merkle::leaf(&entry_digest(bytes).0)).collect();
    let head = |epoch, height: u64| JournalHead {
        foundation: Digest([0x12; 32]),
        epoch: Some(EpochId(epoch)),
        height,
        at: OrderedMillis(1_000 + height),
        root: merkle::root(&leaves[..usize::try_from(height).unwrap()]),
    };
    let master = key::<Master>("master");
    let included = Included {
        height: 5,
        digest: entry_digest(&entries[4]),
        bytes: Some(entries[4].clone()),
        path: merkle::inclusion_proof(&leaves, 4).unwrap(),
    };
    let path = merkle::consistency_proof(&leaves, 3).unwrap();
    let proof = JournalProof {
        head: master.endorsed(head(8, 7)),
        entry: Some(included),
        earlier: Some(Earlier { head: master.endorsed(head(7, 3)), path }),
    };
    conforms(
        "journal.json",
        &json!({
            "about": "seven entries of a journal, its heads behind three and seven of them, a proof of the fifth and that the later head goes on from the earlier one",
            "entries": entries.iter().map(|bytes| json!({
                "canonical": hex::encode(bytes), "digest": entry_digest(bytes).to_hex(),
            })).collect::<Vec<_>>(),
            "heads": [document(&head(7, 3)), document(&head(8, 7))],
            "proof": hex::encode(to_bytes(&proof)),
        }),
    );
    let stored: JournalProof = bcs::from_bytes(&bytes_of("journal.json", "/proof")).unwrap();
    let (head, earlier) = (stored.head.body, stored.earlier.unwrap());
    assert!(includes(&head, &stored.entry.unwrap()) && extends(&earlier.head.body, &head, &earlier.path));
}
