//! Everything that a Vault keeps is looked at: a byte that was changed anywhere is found, and named by its part and place.

use redb::{Database, ReadableTable as _, TableDefinition};
use symphony_types::time::OrderedMillis;
use symphony_vault::check::{self, Part, Report};
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{EraseReceipt, PutReceipt};

use crate::world::*;

/// A closed Vault with people, records, documents, an erased one among them, and a reservation.
async fn filled() -> World {
    let mut world = World::new();
    world.populate(3).await;
    for (request, content) in [("one", "first"), ("two", "second")] {
        let content = [b"\xff\xd8\xff\xe0".as_slice(), content.as_bytes()].concat();
        let put = Operation::PutReceipt(PutReceipt { content });
        let kept = world.ask(("p0", "producer"), request, put).await;
        assert_eq!(kept.code, "", "{}", kept.detail);
        if request == "two" {
            let erase = EraseReceipt { receipt_id: kept.receipts[0].receipt_id.clone() };
            let erased = world.ask(("p0", "producer"), "erase", Operation::EraseReceipt(erase)).await;
            assert_eq!(erased.code, "", "{}", erased.detail);
        }
    }
    let receipt = world.prepare(1, 10, 5_000).await;
    world.vault().commit(&world.master.endorsed(world.assignment(&receipt))).await.unwrap();
    world.close();
    world
}

pub(crate) fn checked(world: &World) -> anyhow::Result<Report> {
    let clock = std::sync::Arc::new(|| OrderedMillis(1_000_000));
    check::folder(world.path(), &vault_id(), NETWORK, &world.governance, clock, world.keeping())
}

/// R063, R078
#[tokio::test]
async fn a_sound_vault_has_no_faults() {
    let world = filled().await;
    let report = checked(&world).unwrap();
    let counts = (report.people, report.records, report.documents, report.entries);
    assert_eq!((counts, report.faults_total), ((3, 3, 2, 1), 0), "{:?}", report.faults);
}

/// Changes every byte of every row of a table in turn, or of its first rows when there are many; each is found.
macro_rules! spoil {
    ($world:expr, $table:literal, $key:ty, $part:expr) => {{
        let table: TableDefinition<$key, &[u8]> = TableDefinition::new($table);
        let file = $world.path().join("vault.redb");
        let length = {
            let database = Database::open(&file).unwrap();
            let write = database.begin_write().unwrap();
            let table = write.open_table(table).unwrap();
            table.first().unwrap().unwrap().1.value().len()
        };
        for place in (0..length).step_by(1 + length / 12) {
            let flip = || {
                let database = Database::open(&file).unwrap();
                let write = database.begin_write().unwrap();
                {
                    let mut table = write.open_table(table).unwrap();
                    let (key, mut bytes) = {
                        let (key, row) = table.first().unwrap().unwrap();
                        (key.value(), row.value().to_vec())
                    };
                    bytes[place] ^= 0x10;
                    table.insert(key, bytes.as_slice()).unwrap();
                }
                write.commit().unwrap();
            };
            flip();
            let report = checked(&$world).unwrap();
            assert!(report.faults.iter().any(|fault| fault.part == $part), "{} {place}: {report:?}", $table);
            flip();
        }
        assert_eq!(checked(&$world).unwrap().faults, vec![]);
    }};
}

/// R076, R078: a record, a person's row, a document's row or content.
#[tokio::test]
async fn a_changed_byte_is_found_and_named() {
    let world = filled().await;
    spoil!(world, "vault/record-chunks/2", u64, Part::Record);
    spoil!(world, "vault/record-lists", u64, Part::Record);
    spoil!(world, "vault/subjects", u32, Part::Person);
    spoil!(world, "vault/document-contents", [u8; 32], Part::Document);
    spoil!(world, "vault/documents", (u32, u32), Part::Document);
    spoil!(world, "vault/erasures", [u8; 32], Part::Document);
}

/// R078: records, or the list of whose they are, that are missing.
#[tokio::test]
async fn what_is_missing_is_found() {
    for table in ["vault/record-chunks/2", "vault/record-lists"] {
        let world = filled().await;
        let database = Database::open(world.path().join("vault.redb")).unwrap();
        let write = database.begin_write().unwrap();
        let rows: TableDefinition<u64, &[u8]> = TableDefinition::new(table);
        write.open_table(rows).unwrap().pop_first().unwrap();
        write.commit().unwrap();
        drop(database);
        let report = checked(&world).unwrap();
        assert!(report.faults.iter().any(|fault| fault.part == Part::Record), "{table}: {report:?}");
    }
}
