//! The campaign query as a whole task of a Vault, beside a database that knows neither consent nor budget, in turns of one run
//! (R055-R081): DuckDB over plain Parquet; our scan in this process over sealed segments of the same rows; and a Vault with its
//! journal, ledger and enclave, from the order to reserve to the signed answer. The Vault also counts the same people, which is
//! the scan through an enclave without what is delivered to each of them.
//!
//! `cargo xtask bench headline` with one million purchases, or `-- 10000000`. DuckDB is asked when `SYMPHONY_VAULT_PYTHON` names a
//! Python that has it. Every side must select as many people before any is timed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::{Int32Type, UInt32Type, UInt64Type};
use object_store::local::LocalFileSystem;
use symphony_protocol::artifact::selection::Selection as Who;
use symphony_protocol::artifact::statistic::{Measure, StatisticPlan};
use symphony_protocol::artifact::{
    AudienceResult, EndorsedAssignment, Outcome, Plan, Predicate, ResolvedOperand,
};
use symphony_protocol::governance::semantics::{Attribute, ValueType};
use symphony_segments::composition::{Composition, Condition, Selection};
use symphony_segments::engine::{Engine, Way};
use symphony_segments::limits::QueryLimits;
use symphony_segments::reader::Segments;
use symphony_tee::measure;
use symphony_tee::report::EnclaveRole;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::RuleName;
use symphony_types::time::RecordMillis;
use symphony_vault::agent::Agent;
use symphony_vault::store::Transcript;
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, Call, purpose};
use symphony_wire::sealed::SealingKey;
use tempfile::TempDir;

use crate::data::{CATEGORY, DAY, Generated, Purchases, TIME, UNTIL, name, schema, vault};
use crate::duck::Duck;
use crate::report::{Times, print_times};
use crate::world::{
    OPERATOR, World, agent, assign, program, put_consents, put_records, put_subjects, vault_id,
};

#[allow(dead_code)]
#[path = "../../segments/benches/campaign/data.rs"]
mod data;
#[allow(dead_code)]
#[path = "../../segments/benches/campaign/duck.rs"]
mod duck;
#[allow(dead_code)]
#[path = "../../segments/benches/campaign/report.rs"]
mod report;
#[allow(dead_code, unused_imports, clippy::unwrap_used)]
#[path = "../tests/it/world.rs"]
mod world;

#[tokio::main]
async fn main() {
    let rows = std::env::args().skip(1).find_map(|size| size.parse().ok()).unwrap_or(1_000_000_u64);
    let people = u32::try_from(rows / 10).expect("people are numbered in 32 bits");
    println!("\n## {rows} purchases of {people} people\n");
    let folder = TempDir::new().expect("a folder");
    let generated = data::generate(folder.path(), rows, people).await;
    let store = LocalFileSystem::new_with_prefix(folder.path().join("sealed")).expect("the folder opens");
    let segments = Segments::new(vault(), Arc::new(store), generated.keys.clone(), schema());
    let engine = Engine::new(Arc::new(segments), QueryLimits { cores: 2, ..QueryLimits::default() });
    let mut campaign = Campaign::new(&generated, rows, people).await;
    let mut duck = Duck::start(folder.path());

    let found = scanned(&engine, &generated).await;
    assert_eq!(campaign.selected().await, found, "invariant: the vault selects as many");
    match duck.as_mut() {
        Some(duck) => assert_eq!(duck.ask("campaign", "joined same").people, found),
        None => println!("DuckDB cannot be had (set SYMPHONY_VAULT_PYTHON to a Python that has it)."),
    }
    println!("\n{found} people are selected.");
    report::forget_peak();
    let mut times = Times::new("the campaign, 30 of 730 days");
    for round in 0..ROUNDS {
        if let Some(duck) = duck.as_mut() {
            times.add("DuckDB naked", duck.ask("campaign", "naked same").took);
            times.add("DuckDB joined with consent and budget", duck.ask("campaign", "joined same").took);
        }
        let start = Instant::now();
        scanned(&engine, &generated).await;
        times.add("our scan in this process", start.elapsed());
        let (reserved, computed) = campaign.task(round).await;
        let (_, counted) = campaign.count(round).await;
        times.add("the Vault: reserved for everybody, durable", reserved);
        times.add("the Vault: charged, computed in its enclave, signed", computed);
        times.add("the Vault: both", reserved + computed);
        times.add("the Vault: a noised count in its enclave, signed", counted);
    }
    print_times(&[times]);
    println!("\nPeak memory of this process, the Vault and our scan among it: {} MiB.", report::peak_mib());
}

/// How many people the scan selects, with finding out who is permitted.
async fn scanned(engine: &Engine, generated: &Generated) -> u64 {
    let category = Condition::text(&name(CATEGORY), ["category 07"]);
    let window = Condition::between(&name(TIME), UNTIL - 30 * DAY, UNTIL);
    let who = Selection::record(Condition::All(vec![category, window]));
    let asked = Composition { who, latest: Some(name(TIME)) };
    let permitted = generated.permitted();
    let found = engine.audience(&generated.snapshot, &permitted, &asked, Way::Scan).await;
    found.expect("it is answered").people.len()
}

/// A Vault with the same purchases, of which the same people have consented.
struct Campaign {
    world: World,
    aggregator: Agent,
    slice: Arc<Agent>,
    _elsewhere: TempDir,
}

impl Campaign {
    async fn new(generated: &Generated, rows: u64, people: u32) -> Self {
        let program = program("symphony-enclave");
        let measured = measure::program(&program).expect("the program is there");
        let mut world = World::governed(&[measured], |governance| {
            let attributes = &mut governance.meanings.founded.attributes;
            let merchant = attributes[&name(data::MERCHANT)].clone();
            attributes.insert(name(TIME), Attribute { value: ValueType::Time, ..merchant.clone() });
            attributes.insert(name(CATEGORY), merchant);
        });
        let Plan::Audience(query) = &mut world.plan else { unreachable!("it asks for an audience") };
        let operand = |attribute, predicate| ResolvedOperand {
            rule: RuleName::new("commerce.rule").expect("the name is valid"),
            attribute: name(attribute),
            predicate,
        };
        let (since, until) = (RecordMillis(UNTIL - 30 * DAY), RecordMillis(UNTIL));
        query.who = Who::record(vec![
            operand(CATEGORY, Predicate::TextEquals("category 07".to_owned())),
            operand(TIME, Predicate::Between { since, until }),
        ]);
        query.cap = people;
        world.quota.segment_rows = 1 << 12;
        world.quota.records_max = rows;
        world.reopen();
        let elsewhere = TempDir::new().expect("a folder");
        let aggregator = agent(&world, &program, elsewhere.path(), "aggregator", EnclaveRole::Aggregator);
        let slice = Arc::new(agent(&world, &program, world.path(), "acme-executor", EnclaveRole::Slice));
        enroll(&world, generated, people).await;
        let start = Instant::now();
        let mut purchases = Purchases::new(rows, people);
        let mut first = 0;
        while let Some(batch) = purchases.next_batch() {
            let operation = put_records(&json_lines(first, &batch));
            let done = world.ask(OPERATOR, &format!("records-{first}"), operation).await;
            assert_eq!(done.accepted, batch.num_rows() as u64, "{}", done.detail);
            first += batch.num_rows() as u64;
        }
        world.vault().settle_segments();
        println!(
            "The Vault took in {:.0} records a second, as lines of JSON.",
            rows as f64 / start.elapsed().as_secs_f64()
        );
        Self { world, aggregator, slice, _elsewhere: elsewhere }
    }

    /// One task as a master orders it: the time until it is reserved, and from then on until the answer is signed.
    async fn task(&self, round: u8) -> (Duration, Duration) {
        let start = Instant::now();
        let order = self.ordered(round).await;
        let reserved = start.elapsed();
        let start = Instant::now();
        self.computed(&order).await;
        (reserved, start.elapsed())
    }

    /// The same for the number of these people.
    async fn count(&mut self, round: u8) -> (Duration, Duration) {
        let Plan::Audience(query) = &self.world.plan else { unreachable!("it asks for an audience") };
        let counted = Plan::Statistic(StatisticPlan {
            who: query.who.clone(),
            measure: Measure::People,
            combined_privacy_class: query.combined_privacy_class,
            minimum_result_cardinality: query.minimum_result_cardinality,
            epsilon: Epsilon(1),
            evaluated_at: query.evaluated_at,
        });
        let audience = std::mem::replace(&mut self.world.plan, counted);
        let took = self.task(ROUNDS + round).await;
        self.world.plan = audience;
        took
    }

    async fn ordered(&self, name: u8) -> EndorsedAssignment {
        let receipt = self.world.prepare(name, 2, 5_000).await;
        assign(&self.world, &self.aggregator, &self.slice, name, &receipt)
    }

    async fn computed(&self, order: &EndorsedAssignment) -> Transcript {
        let computed = Arc::clone(self.world.vault()).assign(Arc::clone(&self.slice), order.clone());
        computed.await.expect("the slice is computed")
    }

    /// How many people a task of it selects, as its submitter learns from the aggregator.
    async fn selected(&self) -> u64 {
        let order = self.ordered(u8::MAX).await;
        let transcript = self.computed(&order).await;
        let call = Call::Aggregate {
            envelope: self.world.master.endorsed(order.body.envelope.clone()),
            nonce: order.body.nonce,
            bundles: vec![(vault_id(), transcript.bundle)],
            masters: self.world.governance.registry.masters.values().copied().collect(),
        };
        let answer = self.aggregator.call(&call).expect("the aggregator answers");
        let Answer::Aggregated { sealed, .. } = answer else { unreachable!("it aggregates") };
        let aad = symphony_types::canonical::to_bytes(&order.body.envelope.task);
        let opened = SealingKey::from_seed(&[6; 32]).open(purpose::RESULT, &aad, &sealed);
        let result: AudienceResult = documents::decode(&opened.expect("it opens")).expect("it is a result");
        let Outcome::Audience { returned } = result.outcome else { unreachable!("it selects people") };
        u64::from(returned)
    }
}

/// People, and the consent of those who are permitted.
async fn enroll(world: &World, generated: &Generated, people: u32) {
    let permitted = generated.permitted();
    for first in (0..people).step_by(STEP) {
        let each = first..people.min(first + STEP as u32);
        let subjects: Vec<String> = each
            .clone()
            .map(|n| {
                format!(r#"{{"subject":"p{n}","contact":"p{n}@example.org","wallet":"{:064x}"}}"#, n + 1)
            })
            .collect();
        let consents: Vec<String> = each
            .filter(|n| permitted.contains(*n))
            .map(|n| format!(r#"{{"subject":"p{n}","scope":"marketing","state":"granted"}}"#))
            .collect();
        for (kind, lines, operation) in [
            ("s", subjects.len(), put_subjects(&subjects.join("\n"))),
            ("c", consents.len(), put_consents(&consents.join("\n"))),
        ] {
            let done = world.ask(OPERATOR, &format!("{kind}{first}"), operation).await;
            assert_eq!(done.accepted, lines as u64, "{}", done.detail);
        }
    }
}

/// A line for each row, the first of this number.
fn json_lines(first: u64, batch: &RecordBatch) -> String {
    let column = |name: &str| batch.column_by_name(name).expect("the column is generated");
    let text = |column: &ArrayRef, row: usize| -> String {
        let texts = column.as_dictionary::<Int32Type>();
        texts.values().as_string::<i32>().value(texts.keys().value(row) as usize).to_owned()
    };
    let person = batch.column(0).as_primitive::<UInt32Type>();
    let (amount, time) =
        (column(data::AMOUNT).as_primitive::<UInt64Type>(), column(TIME).as_primitive::<UInt64Type>());
    let line = |row: usize| {
        let cents = amount.value(row);
        format!(
            r#"{{"request_id":"r{}","subject":"p{}","{}":"{}.{:02}","{CATEGORY}":"{}","{}":"{}","{TIME}":{}}}"#,
            first + row as u64,
            person.value(row),
            data::AMOUNT,
            cents / 100,
            cents % 100,
            text(column(CATEGORY), row),
            data::MERCHANT,
            text(column(data::MERCHANT), row),
            time.value(row),
        )
    };
    (0..batch.num_rows()).map(line).collect::<Vec<_>>().join("\n")
}

/// People of one upload.
const STEP: usize = 100_000;
const ROUNDS: u8 = 11;
