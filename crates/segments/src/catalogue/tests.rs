//! The catalogue against a plain model.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use symphony_types::digest::Digest;

use super::*;

/// A row of the model: its own number and its person.
type Row = (u32, u32);

fn id(number: u32) -> SegmentId {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    SegmentId(id)
}

fn entry(number: u32, rows: &[Row]) -> SegmentEntry {
    SegmentEntry {
        id: id(number),
        schema_version: 1,
        rows: rows.len() as u64,
        times: None,
        people: rows.iter().map(|(_, person)| *person).collect(),
        bytes: 1,
        frame_at: 0,
        records: Digest::ZERO,
        digest: Digest::ZERO,
        columns: Vec::new(),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<u32>),
    Compact(Vec<prop::sample::Index>),
    Erase(BTreeSet<u32>),
    Rewrite(prop::sample::Index),
    Retain(BTreeSet<u64>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = any::<prop::sample::Index>;
    let step = prop_oneof![
        4 => prop::collection::vec(0..10_u32, 1..6).prop_map(Step::Append),
        2 => prop::collection::vec(index(), 1..4).prop_map(Step::Compact),
        2 => prop::collection::btree_set(0..10_u32, 0..3).prop_map(Step::Erase),
        3 => index().prop_map(Step::Rewrite),
        1 => prop::collection::btree_set(0..25_u64, 0..6).prop_map(Step::Retain),
    ];
    prop::collection::vec(step, 0..25)
}

/// The plain model: what was readable in each version, who was erased when, and what each file has.
#[derive(Default)]
struct Model {
    files: BTreeMap<SegmentId, Vec<Row>>,
    readable: BTreeMap<u64, BTreeSet<Row>>,
    erased: BTreeMap<u32, u64>,
    next_file: u32,
    next_row: u32,
}

impl Model {
    fn file(&mut self, rows: Vec<Row>) -> SegmentEntry {
        self.next_file += 1;
        let entry = entry(self.next_file, &rows);
        self.files.insert(entry.id, rows);
        entry
    }

    fn step(&mut self, catalogue: &mut Catalogue, step: &Step) {
        let before = catalogue.version().0;
        let mut now = self.readable.get(&before).cloned().unwrap_or_default();
        match step {
            Step::Append(people) => {
                let rows: Vec<Row> = people
                    .iter()
                    .map(|person| {
                        self.next_row += 1;
                        (self.next_row, *person)
                    })
                    .collect();
                now.extend(rows.iter().filter(|(_, person)| !self.erased.contains_key(person)));
                let entry = self.file(rows);
                catalogue.append(entry).expect("it is new");
            }
            Step::Compact(chosen) => {
                let live: Vec<SegmentId> = catalogue
                    .segments
                    .iter()
                    .filter(|(_, held)| held.until.is_none())
                    .map(|(id, _)| *id)
                    .collect();
                if live.is_empty() {
                    return;
                }
                let chosen: BTreeSet<SegmentId> = chosen.iter().map(|index| *index.get(&live)).collect();
                let chosen: Vec<SegmentId> = chosen.into_iter().collect();
                let rows = chosen.iter().flat_map(|id| self.files.get(id).cloned().unwrap_or_default());
                let rows = rows.filter(|(_, person)| !self.erased.contains_key(person)).collect();
                let entry = self.file(rows);
                catalogue.compact(&chosen, entry).expect("it has their rows");
            }
            Step::Erase(people) => {
                let version = catalogue.erase(people.iter().copied().collect()).expect("there is room");
                for person in people {
                    self.erased.entry(*person).or_insert(version.0);
                }
                now.retain(|(_, person)| !people.contains(person));
            }
            Step::Rewrite(index) => {
                let waiting = catalogue.to_rewrite();
                if waiting.is_empty() {
                    return;
                }
                let old = index.get(&waiting).id;
                let mut rows = self.files.remove(&old).expect("the file is kept");
                let mut destroyed = BTreeMap::new();
                for (version, people) in catalogue.erased_in(&old) {
                    let count = rows.iter().filter(|(_, person)| people.contains(*person)).count();
                    destroyed.insert(version, count as u64);
                }
                rows.retain(|(_, person)| !self.erased.contains_key(person));
                let entry = if rows.is_empty() { None } else { Some(self.file(rows)) };
                catalogue.rewrite(&old, entry, &destroyed).expect("it has what is left");
            }
            Step::Retain(versions) => {
                let kept = versions.iter().copied().map(CatalogueVersion).collect();
                for entry in catalogue.retain(&kept) {
                    self.files.remove(&entry.id).expect("it is destroyed once");
                }
                self.readable.retain(|version, _| *version == before || versions.contains(version));
            }
        }
        self.readable.insert(catalogue.version().0, now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    /// R080: whatever happens, each version that is kept reads what it read the first time, without those erased since, and
    /// says how many rows those had; and no version reads a file that was destroyed.
    #[test]
    fn every_version_reads_what_it_read_the_first_time(steps in steps()) {
        let mut catalogue = Catalogue::new();
        let mut model = Model::default();
        model.readable.insert(0, BTreeSet::new());
        for step in &steps {
            model.step(&mut catalogue, step);
            let bytes = bcs::to_bytes(&catalogue).expect("it is written");
            prop_assert_eq!(&bcs::from_bytes::<Catalogue>(&bytes).expect("it is read"), &catalogue);
            for (version, first) in &model.readable {
                let snapshot = catalogue.snapshot(CatalogueVersion(*version)).expect("it is kept");
                let unreadable = snapshot.unreadable();
                let files = snapshot.segments.iter().map(|entry| &model.files[&entry.id]);
                let rows: Vec<Row> = files.flatten().copied().collect();
                let erased_since = |person: &u32| model.erased.get(person).is_some_and(|when| when > version);
                let read: Vec<Row> = rows.iter().filter(|(_, person)| !unreadable.contains(*person)).copied().collect();
                let set: BTreeSet<Row> = read.iter().copied().collect();
                prop_assert_eq!(read.len(), set.len(), "a row is read once");
                prop_assert_eq!(set, first.iter().filter(|(_, person)| !erased_since(person)).copied().collect::<BTreeSet<_>>());
                let lost = first.iter().filter(|(_, person)| erased_since(person)).count() as u64;
                let hidden = rows.iter().filter(|(_, person)| snapshot.erased.contains(*person)).count() as u64;
                prop_assert_eq!(snapshot.destroyed_rows + hidden, lost);
            }
        }
        let kept: Vec<u64> = catalogue.versions().map(|version| version.0).collect();
        prop_assert_eq!(&kept, &model.readable.keys().copied().collect::<Vec<_>>());
        for version in (0..30).filter(|version| !kept.contains(version)).map(CatalogueVersion) {
            prop_assert_eq!(catalogue.snapshot(version), Err(CatalogueError::Version(version)));
        }
    }
}

#[test]
fn changes_that_would_lose_or_invent_rows_are_refused() {
    let mut catalogue = Catalogue::new();
    catalogue.append(entry(1, &[(1, 1), (2, 2)])).expect("it is new");
    let unchanged = catalogue.clone();
    assert_eq!(catalogue.append(entry(1, &[])), Err(CatalogueError::Known(id(1))));
    assert_eq!(catalogue.compact(&[id(1)], entry(2, &[(1, 1)])), Err(CatalogueError::Rows(id(2))));
    assert_eq!(catalogue.compact(&[id(1), id(1)], entry(2, &[(1, 1)])), Err(CatalogueError::Unknown(id(1))));
    assert_eq!(catalogue.compact(&[id(3)], entry(2, &[])), Err(CatalogueError::Unknown(id(3))));
    assert_eq!(catalogue.rewrite(&id(1), None, &BTreeMap::new()), Err(CatalogueError::Rows(id(1))));
    let strange = BTreeMap::from([(CatalogueVersion(7), 2)]);
    assert_eq!(catalogue.rewrite(&id(1), None, &strange), Err(CatalogueError::Version(CatalogueVersion(7))));
    assert_eq!(catalogue.snapshot(CatalogueVersion(9)), Err(CatalogueError::Version(CatalogueVersion(9))));
    assert_eq!(catalogue, unchanged);
    let erased = catalogue.erase([2].into_iter().collect()).expect("there is room");
    let kept = entry(4, &[(1, 1), (2, 2)]);
    assert_eq!(
        catalogue.rewrite(&id(1), Some(kept), &BTreeMap::from([(erased, 0)])),
        Err(CatalogueError::Rows(id(1)))
    );
}

/// R078, R080: rows that end are gone from every version, whoever they are of; an earlier version says how many it had, and a segment of
/// which nothing is left goes with the last version that had it.
#[test]
fn what_ends_is_gone_from_every_version_and_counted_in_earlier_ones() {
    let mut catalogue = Catalogue::new();
    catalogue.append(entry(1, &[(1, 1), (2, 2)])).expect("it is new");
    let first = catalogue.append(entry(2, &[(3, 1), (4, 3), (5, 2)])).expect("it is new");
    let unknown = catalogue.clone().end(vec![(id(9), None)]);
    assert_eq!(unknown, Err(CatalogueError::Unknown(id(9))));
    let more = entry(3, &[(3, 1), (4, 3), (5, 2), (6, 1)]);
    assert_eq!(catalogue.clone().end(vec![(id(2), Some(more))]), Err(CatalogueError::Rows(id(2))));
    catalogue.end(vec![(id(1), None), (id(2), Some(entry(4, &[(4, 3), (5, 2)])))]).expect("they are there");
    for (version, lost) in [(first, 3), (catalogue.version(), 0)] {
        let snapshot = catalogue.snapshot(version).expect("it is kept");
        assert_eq!(snapshot.segments.iter().map(|entry| entry.id).collect::<Vec<_>>(), [id(4)]);
        assert_eq!((snapshot.destroyed_rows, snapshot.unreadable()), (lost, People::new()));
    }
    assert_eq!(catalogue.to_rewrite(), vec![]);
    let size = bcs::to_bytes(&catalogue).expect("it is written").len();
    assert_eq!(catalogue.retain(&BTreeSet::new()), vec![]);
    assert!(bcs::to_bytes(&catalogue).expect("it is written").len() < size, "the empty one is gone");
}

/// Equal sets of people have equal bytes, however they came about.
#[test]
fn people_have_one_form_in_bytes() {
    let run: People = (0..5_000).collect();
    let mut parts: People = (2_500..5_000).collect();
    parts.extend(&(0..2_500).rev().collect());
    let mut optimised = run.bitmap().clone();
    optimised.optimize();
    let bytes = bcs::to_bytes(&run).expect("it is written");
    assert_eq!(bcs::to_bytes(&parts).expect("it is written"), bytes);
    assert_eq!(bcs::to_bytes(&People::from(optimised)).expect("it is written"), bytes);
    let words: Vec<u64> = (0..79).map(|word| if word < 78 { u64::MAX } else { 0xff }).collect();
    assert_eq!(People::from_words(&words), run);
    assert!(bcs::from_bytes::<People>(&bytes[..bytes.len() - 1]).is_err());
}
