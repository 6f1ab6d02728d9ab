//! Generated purchases: sealed segments, the same rows as plain Parquet, consent and budget.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Int32Array, RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use object_store::local::LocalFileSystem;
use parquet::arrow::ArrowWriter;
use symphony_protocol::governance::semantics::ValueType;
use symphony_segments::catalogue::{Catalogue, Snapshot};
use symphony_segments::people::People;
use symphony_segments::schema::SegmentSchema;
use symphony_segments::segment::{KeySource, SegmentId, SegmentKey};
use symphony_segments::sort::Unsorted;
use symphony_segments::writer::{Layout, SegmentWriter, properties};
use symphony_types::digest::Digest;
use symphony_types::id::{AttributeName, VaultId};

use crate::report::{forget_peak, peak_mib};

pub(crate) const AMOUNT: &str = "commerce.amount";
pub(crate) const CATEGORY: &str = "commerce.category";
pub(crate) const MERCHANT: &str = "commerce.merchant";
pub(crate) const TIME: &str = "commerce.purchase_time";
pub(crate) const DAY: u64 = 86_400_000;
/// The end of the generated time, 2026-01-01, two years after its beginning.
pub(crate) const UNTIL: u64 = 1_767_225_600_000;

pub(crate) fn name(text: &str) -> AttributeName {
    AttributeName::new(text).expect("the name is valid")
}

pub(crate) fn vault() -> VaultId {
    VaultId::new("bench").expect("the name is valid")
}

pub(crate) fn schema() -> SegmentSchema {
    let columns = [
        (AMOUNT, ValueType::Cents),
        (CATEGORY, ValueType::Text),
        (MERCHANT, ValueType::Text),
        (TIME, ValueType::Time),
    ];
    let columns = columns.map(|(attribute, value)| (name(attribute), value));
    SegmentSchema::new(1, Some(name(TIME)), BTreeMap::from(columns)).expect("the schema is valid")
}

#[derive(Default)]
pub(crate) struct Keys(Mutex<BTreeMap<SegmentId, SegmentKey>>);

impl KeySource for Keys {
    fn key(&self, segment: &SegmentId) -> Option<SegmentKey> {
        self.0.lock().expect("nobody panics with it").get(segment).cloned()
    }
}

/// What was written.
pub(crate) struct Generated {
    pub(crate) keys: Arc<Keys>,
    pub(crate) snapshot: Snapshot,
    /// Consent of each person to the campaign's scope, one bit each.
    consent: Vec<u64>,
    /// What is left of each person's budget.
    budget: Vec<u64>,
    rows: u64,
    plain_bytes: u64,
    taking: Duration,
    syncing: Duration,
    peak_mib: u64,
}

impl Generated {
    /// Who has consented and can pay, as a Vault finds it out before each task.
    pub(crate) fn permitted(&self) -> People {
        let words = self.consent.iter().zip(self.budget.chunks(64)).map(|(consent, budget)| {
            let able = budget.iter().rev().fold(0, |able, left| able << 1 | u64::from(*left >= COST));
            consent & able
        });
        People::from_words(&words.collect::<Vec<u64>>())
    }

    pub(crate) fn print(&self) {
        let sealed: u64 = self.snapshot.segments.iter().map(|entry| entry.bytes).sum();
        let whole = (self.taking + self.syncing).as_secs_f64();
        println!(
            "Taken in {:.0} records/s ({:.2} s, of it {:.2} s for the disk to have it), peak memory {} MiB.",
            self.rows as f64 / whole,
            whole,
            self.syncing.as_secs_f64(),
            self.peak_mib,
        );
        println!(
            "At rest {sealed} bytes, {:.2} a record, {:.3} times plain Parquet ({} bytes) of the same layout, in {} segments.\n",
            sealed as f64 / self.rows as f64,
            sealed as f64 / self.plain_bytes as f64,
            self.plain_bytes,
            self.snapshot.segments.len(),
        );
    }
}

/// Writes everything below the folder: `sealed/` is ours, the rest is for DuckDB.
pub(crate) async fn generate(folder: &Path, rows: u64, people: u32) -> Generated {
    for part in ["sealed", "plain"] {
        std::fs::create_dir(folder.join(part)).expect("the folder is new");
    }
    let store = Arc::new(LocalFileSystem::new_with_prefix(folder.join("sealed")).expect("the folder opens"));
    let keys = Arc::new(Keys::default());
    let mut catalogue = Catalogue::new();
    let mut purchases = Purchases::new(rows, people);
    let (mut taking, mut syncing, mut plain_bytes) = (Duration::ZERO, Duration::ZERO, 0);
    forget_peak();
    let mut unsorted = Unsorted::new(&schema());
    let mut plain = Vec::new();
    loop {
        let batch = purchases.next_batch();
        if let Some(batch) = &batch {
            let start = Instant::now();
            unsorted.push(batch).expect("it fits");
            taking += start.elapsed();
            plain.push(batch.clone());
        }
        if unsorted.rows() >= SEGMENT_ROWS || (batch.is_none() && unsorted.rows() > 0) {
            let start = Instant::now();
            let (id, key) = (SegmentId::random(), SegmentKey::random());
            keys.0.lock().expect("nobody panics with it").insert(id, key.clone());
            let mut writer =
                SegmentWriter::begin(store.clone(), &vault(), id, &key, &schema(), Layout::default())
                    .await
                    .expect("it begins");
            unsorted.write(&mut writer).await.expect("it is written");
            let entry = writer.finish(Digest::ZERO).await.expect("it ends");
            taking += start.elapsed();
            let start = Instant::now();
            let file = folder.join("sealed").join(id.path().as_ref());
            File::open(file).and_then(|file| file.sync_all()).expect("the disk has it");
            syncing += start.elapsed();
            catalogue.append(entry).expect("it is new");
            plain_bytes +=
                write_plain(&folder.join("plain").join(format!("{id}.parquet")), &std::mem::take(&mut plain));
        }
        if batch.is_none() {
            break;
        }
    }
    let peak_mib = peak_mib();
    let (consent, budget) = write_people(folder, people);
    let snapshot = catalogue.snapshot(catalogue.version()).expect("it is kept");
    Generated { keys, snapshot, consent, budget, rows, plain_bytes, taking, syncing, peak_mib }
}

/// The same rows in the same layout without a seal. They come in order of time, so they need no sorting for DuckDB.
fn write_plain(path: &Path, batches: &[RecordBatch]) -> u64 {
    let properties = properties(&schema(), Layout::default()).build();
    let file = File::create(path).expect("the file is new");
    let mut writer = ArrowWriter::try_new(file, schema().arrow(), Some(properties)).expect("it begins");
    batches.iter().for_each(|batch| writer.write(batch).expect("it is written"));
    writer.close().expect("it ends");
    std::fs::metadata(path).expect("the file is there").len()
}

/// Consent of 71 in 100 and what is left of budgets, in memory and as Parquet.
fn write_people(folder: &Path, people: u32) -> (Vec<u64>, Vec<u64>) {
    let mut random = Random(7);
    let granted: Vec<bool> = (0..people).map(|_| random.below(100) < 71).collect();
    let budget: Vec<u64> =
        (0..people).map(|_| COST + random.below(1_000) - u64::from(random.below(50) == 0)).collect();
    let persons: ArrayRef = Arc::new(UInt32Array::from_iter_values(0..people));
    let columns = [
        ("consent", "granted", Arc::new(BooleanArray::from(granted.clone())) as ArrayRef),
        ("budget", "remaining", Arc::new(UInt64Array::from(budget.clone())) as ArrayRef),
    ];
    for (table, column, values) in columns {
        let batch = RecordBatch::try_from_iter([("person", persons.clone()), (column, values)])
            .expect("the columns fit");
        let file = File::create(folder.join(format!("{table}.parquet"))).expect("the file is new");
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("it begins");
        writer.write(&batch).expect("it is written");
        writer.close().expect("it ends");
    }
    let consent = granted
        .chunks(64)
        .map(|people| people.iter().rev().fold(0, |word, granted| word << 1 | u64::from(*granted)));
    (consent.collect(), budget)
}

/// Purchases in the order of their time, as they come in.
pub(crate) struct Purchases {
    random: Random,
    rows: u64,
    made: u64,
    places: Vec<u32>,
    categories: Arc<StringArray>,
    merchants: Arc<StringArray>,
}

impl Purchases {
    pub(crate) fn new(rows: u64, people: u32) -> Self {
        let numbered = |what: &str, count: u32| {
            Arc::new(StringArray::from_iter_values((0..count).map(|number| format!("{what} {number:02}"))))
        };
        Self {
            random: Random(1),
            rows,
            made: 0,
            places: vec![0; people as usize],
            categories: numbered("category", CATEGORIES as u32),
            merchants: numbered("merchant", 500),
        }
    }

    pub(crate) fn next_batch(&mut self) -> Option<RecordBatch> {
        let rows = (self.rows - self.made).min(BATCH_ROWS);
        if rows == 0 {
            return None;
        }
        let span = 730 * DAY;
        let mut columns = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rows {
            let person = self.random.below(self.places.len() as u64) as u32;
            let place = &mut self.places[person as usize];
            columns.0.push(person);
            columns.1.push(*place);
            *place += 1;
            columns.2.push(99 + self.random.below(100) * self.random.below(200));
            columns.3.push(self.random.below(CATEGORIES) as i32);
            // Few merchants have most purchases.
            columns.4.push((self.random.below(500) * self.random.below(500) / 500) as i32);
            let step = span as u128 * u128::from(self.made) / u128::from(self.rows);
            columns.5.push(UNTIL - span + step as u64);
            self.made += 1;
        }
        let texts = |keys: Vec<i32>, distinct: &Arc<StringArray>| -> ArrayRef {
            Arc::new(
                DictionaryArray::try_new(Int32Array::from(keys), distinct.clone() as ArrayRef)
                    .expect("keys are within"),
            )
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(columns.0)),
            Arc::new(UInt32Array::from(columns.1)),
            Arc::new(UInt64Array::from(columns.2)),
            texts(columns.3, &self.categories),
            texts(columns.4, &self.merchants),
            Arc::new(UInt64Array::from(columns.5)),
        ];
        Some(RecordBatch::try_new(schema().arrow(), columns).expect("the columns fit"))
    }
}

/// The same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64 of Steele, Lea and Flood.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ (z >> 31)) * u128::from(bound)) >> 64) as u64
    }
}

/// Rows of one segment.
const SEGMENT_ROWS: usize = 1 << 20;
/// Rows that come in at once.
const BATCH_ROWS: u64 = 64 << 10;
const CATEGORIES: u64 = 20;
/// What the campaign takes of a person's budget.
const COST: u64 = 10;
