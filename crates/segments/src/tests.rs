//! Segments as files: order, seal, corruption, refusals.

use std::sync::Arc;

use futures::TryStreamExt as _;
use object_store::{ObjectStore, ObjectStoreExt as _};
use proptest::prelude::*;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::VaultId;

use crate::error::SegmentError;
use crate::merge::merge;
use crate::people::People;
use crate::reader::Segments;
use crate::segment::{Part, SegmentEntry, SegmentId, SegmentKey};
use crate::sort::Unsorted;
use crate::writer::{Layout, SegmentWriter};
use fixture::{Fixture, Keys, Record, SMALL, batch, name, numbered, records, schema, vault};

pub(crate) mod fixture;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts")
        .block_on(future)
}

fn some_records() -> Vec<Record> {
    numbered(
        (0..50_u64)
            .map(|index| Record {
                person: (index % 7) as u32,
                sequence: 0,
                amount: Some(index * 3),
                category: Some(["coffee", "tea"][index as usize % 2].into()),
                time: Some(index / 2),
                seen: None,
                city: Some(format!("city {}", index % 5)),
            })
            .collect(),
    )
}

async fn read(fixture: &Fixture, entry: &SegmentEntry) -> Vec<arrow::array::RecordBatch> {
    let columns: Vec<usize> = (0..7).collect();
    let stream = fixture.segments.records(entry, &columns, 8).await.expect("it opens");
    stream.try_collect().await.expect("it reads")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn records_come_back_in_order_and_in_normal_form(records in records(60)) {
        block_on(async {
            let fixture = Fixture::new();
            let entry = fixture.write(&records, SMALL).await;
            let mut sorted = records.clone();
            sorted.sort_by_key(|record| (record.time, record.person, record.sequence));
            for record in &mut sorted {
                for text in [&mut record.category, &mut record.city].into_iter().flatten() {
                    *text = symphony_protocol::governance::semantics::normalise(text);
                }
            }
            let found = arrow::compute::concat_batches(&schema().arrow(), &read(&fixture, &entry).await).expect("they join");
            let expected = batch(&sorted);
            prop_assert_eq!(found.num_rows(), expected.num_rows());
            for (found, expected) in found.columns().iter().zip(expected.columns()) {
                let plain = |column: &arrow::array::ArrayRef| match column.data_type() {
                    arrow::datatypes::DataType::Dictionary(_, value) => arrow::compute::cast(column, value).expect("it is text"),
                    _ => column.clone(),
                };
                prop_assert_eq!(&plain(found), &plain(expected));
            }
            prop_assert_eq!(entry.rows, records.len() as u64);
            let times = records.iter().filter_map(|record| record.time);
            prop_assert_eq!(entry.times.map(|(first, last)| (first.0, last.0)), times.clone().min().zip(times.max()));
            prop_assert_eq!(entry.people.bitmap().iter().collect::<Vec<_>>(), {
                let mut people: Vec<u32> = records.iter().map(|record| record.person).collect();
                people.sort_unstable();
                people.dedup();
                people
            });
            Ok(())
        })?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// R077: neighbours that became one have the rows that they had, in order, and nobody who is hidden.
    #[test]
    fn merged_segments_have_all_rows_in_order(
        records in records(120),
        cuts in prop::collection::vec(0..120_usize, 1..7),
        hidden in prop::collection::btree_set(0..12_u32, 0..3),
    ) {
        block_on(async {
            let fixture = Fixture::new();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(records.len())).collect();
            cuts.extend([0, records.len()]);
            cuts.sort_unstable();
            let mut sources = Vec::new();
            for part in cuts.windows(2) {
                sources.push(Arc::new(fixture.write(&records[part[0]..part[1]], SMALL).await));
            }
            let left: Vec<Record> =
                records.iter().filter(|record| !hidden.contains(&record.person)).cloned().collect();
            let expected = fixture.write(&left, SMALL).await;
            let hidden = hidden.into_iter().collect();
            let (mut writer, id) = fixture.begin(SMALL).await;
            let merged = merge(&fixture.segments, &sources, &hidden, &mut writer, || true).await;
            let mut places = merged.expect("the rows are distinct");
            let entry = writer.finish(Digest::ZERO).await.expect("it ends");
            prop_assert_eq!((entry.id, entry.rows, entry.times), (id, expected.rows, expected.times));
            prop_assert_eq!(&entry.people, &expected.people);
            let joined = |batches: Vec<_>| arrow::compute::concat_batches(&schema().arrow(), &batches).expect("they join");
            prop_assert_eq!(joined(read(&fixture, &entry).await), joined(read(&fixture, &expected).await));
            places.sort_unstable();
            let mut known: Vec<_> = left.iter().map(|record| (record.person, record.sequence)).collect();
            known.sort_unstable();
            prop_assert_eq!(places, known);
            Ok(())
        })?;
    }
}

/// A record twice, and work that nobody wants any more, end a merge.
#[test]
fn a_merge_refuses_a_record_twice_and_stops_when_told() {
    block_on(async {
        let fixture = Fixture::new();
        let entry = Arc::new(fixture.write(&some_records(), SMALL).await);
        let twice = [entry.clone(), entry.clone()];
        let (mut writer, _) = fixture.begin(SMALL).await;
        let refused = merge(&fixture.segments, &twice, &People::new(), &mut writer, || true).await;
        assert!(matches!(refused, Err(SegmentError::Order)));
        let many: Vec<Record> = (0..70_000)
            .map(|sequence| Record { sequence, time: Some(1), ..some_records().remove(0) })
            .collect();
        let many = [Arc::new(fixture.write(&many, Layout::default()).await)];
        let (mut writer, _) = fixture.begin(Layout::default()).await;
        let stopped = merge(&fixture.segments, &many, &People::new(), &mut writer, || false).await;
        assert!(matches!(stopped, Err(SegmentError::Stopped)));
    });
}

/// R055: a corrupted byte anywhere is found, and the segment and the column are named.
#[test]
fn a_corrupted_byte_anywhere_is_found_and_named() {
    block_on(async {
        let fixture = Fixture::new();
        let entry = fixture.write(&some_records(), SMALL).await;
        fixture.segments.check(&entry).await.expect("nothing is wrong yet");
        let path = entry.id.path();
        let whole =
            fixture.store.get(&path).await.expect("it is there").bytes().await.expect("it reads").to_vec();
        assert_eq!(whole.len() as u64, entry.bytes);
        assert_eq!(Digest::of_bytes(&whole), entry.digest);
        let open = fixture.segments.open(&entry).await.expect("it opens");
        let names = [
            "person",
            "sequence",
            "commerce.amount",
            "commerce.category",
            "commerce.purchase_time",
            "commerce.seen_time",
            "geography.city",
        ];
        for place in 0..whole.len() {
            let mut bad = whole.clone();
            bad[place] ^= 1 << (place % 8);
            fixture.store.put(&path, bad.into()).await.expect("it is written");
            let column =
                open.metadata().row_groups().iter().flat_map(|group| group.columns().iter().zip(names)).find(
                    |(column, _)| {
                        let (start, length) = column.byte_range();
                        (start..start + length).contains(&(place as u64))
                    },
                );
            let expected = column.map_or(Part::Frame, |(_, name)| Part::Column(name.into()));
            match fixture.segments.check(&entry).await {
                Err(error @ SegmentError::Corrupt { .. }) => {
                    assert_eq!(error.code(), Code::Internal);
                    let SegmentError::Corrupt { segment, part } = error else { unreachable!() };
                    assert_eq!((segment, part), (entry.id, expected), "byte {place}");
                }
                other => panic!("byte {place}: {other:?}"),
            }
        }
        fixture.store.put(&path, whole[..whole.len() - 1].to_vec().into()).await.expect("it is written");
        assert!(matches!(fixture.segments.check(&entry).await, Err(SegmentError::Corrupt { .. })));
    });
}

#[test]
fn a_segment_opens_under_its_own_name_vault_and_key_only() {
    block_on(async {
        let fixture = Fixture::new();
        let entry = fixture.write(&some_records(), SMALL).await;
        let other = fixture.write(&some_records(), SMALL).await;
        let stranger = Segments::new(
            VaultId::new("vault-2").expect("the name is valid"),
            fixture.store.clone(),
            fixture.keys.clone(),
            schema(),
        );
        assert!(matches!(stranger.open(&entry).await, Err(SegmentError::Corrupt { .. })));
        // The same key under another name: the file of one segment in the place of another.
        let key =
            fixture.keys.0.lock().expect("no test panics").get(&entry.id).cloned().expect("it has a key");
        fixture.keys.0.lock().expect("no test panics").insert(other.id, key);
        fixture.store.copy(&entry.id.path(), &other.id.path()).await.expect("it copies");
        let swapped = SegmentEntry { id: other.id, ..entry.clone() };
        assert!(matches!(fixture.segments.open(&swapped).await, Err(SegmentError::Corrupt { .. })));
        // Another key.
        fixture.keys.0.lock().expect("no test panics").insert(entry.id, SegmentKey::random());
        assert!(matches!(fixture.segments.open(&entry).await, Err(SegmentError::Corrupt { .. })));
        // No key any more: what was destroyed cannot be opened, and what was open is forgotten on demand.
        fixture.keys.0.lock().expect("no test panics").remove(&entry.id);
        let refused = fixture.segments.open(&entry).await.err().expect("it is refused");
        assert_eq!(refused.code(), Code::DocumentErased);
    });
}

#[test]
fn no_text_of_a_record_stands_in_a_segment() {
    block_on(async {
        let fixture = Fixture::new();
        let mut rows = some_records();
        rows[3].category = Some("planted-secret-category".into());
        let entry = fixture.write(&rows, Layout::default()).await;
        let bytes =
            fixture.store.get(&entry.id.path()).await.expect("it is there").bytes().await.expect("it reads");
        for needle in ["planted-secret-category", "city 1", "commerce.category", "person"] {
            assert!(!bytes.windows(needle.len()).any(|window| window == needle.as_bytes()), "{needle}");
        }
    });
}

#[test]
fn rows_out_of_order_doubled_or_too_long_are_refused() {
    block_on(async {
        let fixture = Fixture::new();
        let begin = || async {
            let store: Arc<dyn ObjectStore> = fixture.store.clone();
            SegmentWriter::begin(
                store,
                &vault(),
                SegmentId::random(),
                &SegmentKey::random(),
                &schema(),
                SMALL,
            )
            .await
            .expect("it begins")
        };
        let mut rows = some_records();
        rows.sort_by_key(|record| (record.time, record.person, record.sequence));
        let mut writer = begin().await;
        writer.write(&batch(&rows[..10])).await.expect("they are in order");
        assert!(matches!(writer.write(&batch(&rows[9..12])).await, Err(SegmentError::Order)));
        assert!(matches!(writer.write(&batch(&rows[..2])).await, Err(SegmentError::Order)));
        writer.write(&batch(&rows[10..])).await.expect("a refused batch has left nothing");
        assert_eq!(writer.finish(Digest::ZERO).await.expect("it ends").rows, rows.len() as u64);
        let mut unsorted = Unsorted::new(&schema());
        rows[0].city = Some("x".repeat(257));
        assert!(
            matches!(unsorted.push(&batch(&rows)), Err(SegmentError::Text(city)) if city == name("geography.city"))
        );
        assert_eq!(unsorted.rows(), 0);
        rows[0].city = Some("Two  Words".into());
        assert!(matches!(begin().await.write(&batch(&rows[..1])).await, Err(SegmentError::Batch(_))));
        let fewer = batch(&rows).project(&[0, 1, 2]).expect("there are three");
        assert!(matches!(unsorted.push(&fewer), Err(SegmentError::Batch(_))));
    });
}

#[test]
fn a_dropped_writer_leaves_no_segment() {
    block_on(async {
        let fixture = Fixture::new();
        let id = SegmentId::random();
        let store: Arc<dyn ObjectStore> = fixture.store.clone();
        let mut writer = SegmentWriter::begin(store, &vault(), id, &SegmentKey::random(), &schema(), SMALL)
            .await
            .expect("it begins");
        let mut rows = some_records();
        rows.sort_by_key(|record| (record.time, record.person, record.sequence));
        writer.write(&batch(&rows)).await.expect("it is written");
        drop(writer);
        assert!(fixture.store.head(&id.path()).await.is_err());
    });
}

#[test]
fn a_segment_lies_in_a_folder_as_well() {
    block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let store: Arc<dyn ObjectStore> =
            Arc::new(object_store::local::LocalFileSystem::new_with_prefix(folder.path()).expect("it opens"));
        let keys = Arc::new(Keys::default());
        let (id, key) = (SegmentId::random(), SegmentKey::random());
        keys.0.lock().expect("no test panics").insert(id, key.clone());
        let mut writer =
            SegmentWriter::begin(store.clone(), &vault(), id, &key, &schema(), Layout::default())
                .await
                .expect("it begins");
        let mut rows = Unsorted::new(&schema());
        rows.push(&batch(&some_records())).expect("it fits");
        rows.write(&mut writer).await.expect("it is written");
        let entry = writer.finish(Digest::ZERO).await.expect("it ends");
        let segments = Segments::new(vault(), store, keys, schema());
        segments.check(&entry).await.expect("it is whole");
        assert_eq!(SegmentId::at(&id.path()), Some(id));
    });
}
