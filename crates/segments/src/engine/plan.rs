//! Questions as plans of DataFusion.
//!
//! Records are filtered by the conditions of all leaves and by the bitmap of the permitted, then grouped by person; each leaf is
//! an aggregate with its own filter. Sums are decimal, so that they cannot wrap.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast as cast_array;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, UInt32Type, UInt64Type};
use datafusion::common::{Column, DataFusionError, ScalarValue};
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::functions_aggregate::expr_fn::{count, max, sum};
use datafusion::logical_expr::utils::disjunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprFunctionExt as _, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, cast, lit,
};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use futures::TryStreamExt as _;
use symphony_types::id::AttributeName;

use super::table::SnapshotTable;
use crate::answer::{Allowed, QueryError};
use crate::composition::{Condition, Histogram};
use crate::limits::QueryLimits;
use crate::people::Dense;
use crate::reader::Segments;
use crate::scan::tally::{Counting, Tallies, Totals};
use crate::scan::work::Piece;
use crate::schema::PERSON;

/// A session over the chosen pieces of one snapshot.
pub(crate) struct Planned {
    session: SessionContext,
    table: Arc<SnapshotTable>,
    permitted: Expr,
    width: usize,
    /// What arrays beside the plan take; freed with it.
    _reserved: MemoryReservation,
}

impl Planned {
    /// A session whose arrays beside the plan take so many bytes.
    pub(crate) fn new(
        segments: &Segments,
        pieces: Vec<Piece>,
        allowed: &Allowed,
        arrays: usize,
        limits: &QueryLimits,
    ) -> Result<Self, QueryError> {
        let memory: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(limits.memory_bytes));
        let reserved = MemoryConsumer::new("tallies").register(&memory);
        reserved.try_grow(arrays).map_err(|_| QueryError::Memory)?;
        // Nothing spills: what a query cannot hold it does not get, and no record lies in a file in the clear.
        let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(memory).with_disk_manager_builder(disk);
        let runtime = runtime.build_arc().map_err(failed)?;
        let mut config =
            SessionConfig::new().with_target_partitions(limits.cores).with_information_schema(false);
        config.options_mut().execution.parquet.pushdown_filters = false;
        config.options_mut().execution.collect_statistics = false;
        let state = SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).build();
        let permitted =
            ScalarUDF::new_from_impl(Permitted::new(allowed.bits.clone())).call(vec![column(PERSON)]);
        Ok(Self {
            session: SessionContext::new_with_state(state),
            table: Arc::new(SnapshotTable::new(segments, pieces, limits.cores)),
            permitted,
            width: allowed.width,
            _reserved: reserved,
        })
    }

    /// Counts all leaves.
    pub(crate) async fn totals(&self, counting: &Counting) -> Result<Totals, QueryError> {
        let mut tallies = Tallies::new(counting, self.width);
        if counting.leaves.is_empty() {
            return Ok(tallies.totals());
        }
        let mut aggregates = Vec::new();
        for (index, leaf) in counting.leaves.iter().enumerate() {
            let over = expression(&leaf.over);
            let of_leaf = |aggregate: Expr| aggregate.filter(over.clone()).build().map_err(failed);
            aggregates.push(of_leaf(count(lit(1_i64)))?.alias(format!("count{index}")));
            let value = match &leaf.sum {
                // Decimal of 30 places: no sum of a segment's greatest numbers leaves it.
                Some(amount) => sum(cast(column(amount.as_str()), DataType::Decimal128(20, 0))),
                None => max(lit(0_i64)),
            };
            aggregates.push(of_leaf(value)?.alias(format!("value{index}")));
            let latest = counting.latest.as_ref().map_or_else(|| lit(0_u64), |time| column(time.as_str()));
            aggregates.push(of_leaf(max(latest))?.alias(format!("latest{index}")));
        }
        let any = disjunction(counting.leaves.iter().map(|leaf| expression(&leaf.over)));
        let records = self.records(any.unwrap_or_else(|| lit(true)))?;
        let grouped = records.aggregate(vec![column(PERSON)], aggregates).map_err(failed)?;
        let mut batches = self.frame(grouped)?.execute_stream().await.map_err(failed)?;
        while let Some(batch) = batches.try_next().await.map_err(failed)? {
            let people = batch.column(0).as_primitive::<UInt32Type>();
            for (index, leaf) in counting.leaves.iter().enumerate() {
                let [counts, values, latest] = [1, 2, 3].map(|place| batch.column(3 * index + place));
                let counts = counts.as_primitive::<Int64Type>();
                let sums = leaf.sum.as_ref().map(|_| values.as_primitive::<Decimal128Type>());
                let latest = latest.as_primitive::<UInt64Type>();
                for row in 0..batch.num_rows() {
                    let records = counts.value(row);
                    if records == 0 {
                        continue;
                    }
                    let value = match sums {
                        Some(sums) if sums.is_null(row) => 0,
                        Some(sums) => u64::try_from(sums.value(row)).unwrap_or(u64::MAX),
                        None => records as u64,
                    };
                    let time = if latest.is_null(row) { 0 } else { latest.value(row) };
                    tallies.add(index, people.value(row), value, time);
                }
            }
        }
        Ok(tallies.totals())
    }

    /// How many people are in each group, each person in a bounded number of them.
    pub(crate) async fn histogram(
        &self,
        asked: &Histogram,
        in_groups: &Condition,
    ) -> Result<BTreeMap<String, u64>, QueryError> {
        let mut counts: BTreeMap<String, u64> = asked.groups.iter().map(|group| (group.clone(), 0)).collect();
        let groups: Vec<&String> = asked.groups.iter().collect();
        let grouped = self
            .records(expression(in_groups))?
            .aggregate(
                vec![column(PERSON), column(asked.group.as_str())],
                vec![count(lit(1_i64)).alias("records")],
            )
            .map_err(failed)?;
        // People together, most records first, then the lesser text: the first of each person are those that count.
        let order = vec![
            column(PERSON).sort(true, false),
            column("records").sort(false, false),
            cast(column(asked.group.as_str()), DataType::Utf8).sort(true, false),
        ];
        let grouped = grouped.sort(order).map_err(failed)?;
        let mut batches = self.frame(grouped)?.execute_stream().await.map_err(failed)?;
        let mut tally = vec![0_u64; groups.len()];
        let mut last = None;
        let mut taken = 0;
        while let Some(batch) = batches.try_next().await.map_err(failed)? {
            let people = batch.column(0).as_primitive::<UInt32Type>();
            let texts = cast_array(batch.column(1), &DataType::Utf8)
                .map_err(|error| QueryError::Plan(error.to_string()))?;
            for (person, text) in people.values().iter().zip(texts.as_string::<i32>()) {
                if last != Some(*person) {
                    last = Some(*person);
                    taken = 0;
                }
                if taken < asked.groups_each
                    && let Some(place) =
                        text.and_then(|text| groups.binary_search_by_key(&text, |group| group.as_str()).ok())
                {
                    taken += 1;
                    tally[place] += 1;
                }
            }
        }
        counts.values_mut().zip(tally).for_each(|(count, people)| *count = people);
        Ok(counts)
    }

    /// Records of permitted people that satisfy the condition.
    fn records(&self, condition: Expr) -> Result<LogicalPlanBuilder, QueryError> {
        LogicalPlanBuilder::scan("records", provider_as_source(self.table.clone()), None)
            .and_then(|scan| scan.filter(condition))
            .and_then(|records| records.filter(self.permitted.clone()))
            .map_err(failed)
    }

    fn frame(&self, plan: LogicalPlanBuilder) -> Result<DataFrame, QueryError> {
        Ok(DataFrame::new(self.session.state(), plan.build().map_err(failed)?))
    }
}

/// A condition as an expression that is true exactly where it is satisfied; where it is not, it may be null.
fn expression(condition: &Condition) -> Expr {
    match condition {
        Condition::Text { attribute, one_of } => text(attribute, one_of),
        Condition::Number { attribute, least, most } => {
            let column = column(attribute.as_str());
            column.clone().gt_eq(lit(*least)).and(column.lt_eq(lit(*most)))
        }
        Condition::Present(attribute) => column(attribute.as_str()).is_not_null(),
        Condition::All(parts) => parts.iter().map(expression).reduce(Expr::and).unwrap_or_else(|| lit(true)),
        Condition::Any(parts) => parts.iter().map(expression).reduce(Expr::or).unwrap_or_else(|| lit(false)),
        // The plan's own "is not true" has another nullability in the logical than in the physical plan (DataFusion 55.2).
        Condition::Not(part) => ScalarUDF::new_from_impl(NotTrue::new()).call(vec![expression(part)]),
    }
}

fn text(attribute: &AttributeName, one_of: &BTreeSet<String>) -> Expr {
    let literal = |text: &String| {
        let text = ScalarValue::Utf8(Some(text.clone()));
        lit(ScalarValue::Dictionary(Box::new(DataType::Int32), Box::new(text)))
    };
    let column = column(attribute.as_str());
    match one_of.first() {
        None => lit(false),
        Some(only) if one_of.len() == 1 => column.eq(literal(only)),
        Some(_) => column.in_list(one_of.iter().map(literal).collect(), false),
    }
}

/// A column by its whole name: the names of attributes have dots, which would be read as a table's.
fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

fn failed(error: DataFusionError) -> QueryError {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => QueryError::Memory,
        _ => QueryError::Plan(error.to_string()),
    }
}

/// Whether a person is permitted: one look at a bit.
struct Permitted {
    people: Arc<Dense>,
    signature: Signature,
}

impl Permitted {
    fn new(people: Arc<Dense>) -> Self {
        Self { people, signature: Signature::exact(vec![DataType::UInt32], Volatility::Immutable) }
    }
}

impl std::fmt::Debug for Permitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("permitted")
    }
}

impl PartialEq for Permitted {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.people, &other.people)
    }
}

impl Eq for Permitted {}

impl std::hash::Hash for Permitted {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.people).hash(state);
    }
}

impl ScalarUDFImpl for Permitted {
    fn name(&self) -> &str {
        "permitted"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let people = args.args[0].to_array(args.number_rows)?;
        let people = people.as_primitive::<UInt32Type>().values();
        let permitted = BooleanBuffer::collect_bool(people.len(), |row| self.people.contains(people[row]));
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::new(permitted, None))))
    }
}

/// True where its argument is false or null.
#[derive(Debug, PartialEq, Eq, Hash)]
struct NotTrue {
    signature: Signature,
}

impl NotTrue {
    fn new() -> Self {
        Self { signature: Signature::exact(vec![DataType::Boolean], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for NotTrue {
    fn name(&self) -> &str {
        "not_true"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let given = args.args[0].to_array(args.number_rows)?;
        let given = given.as_boolean();
        let is_true = match given.nulls() {
            Some(nulls) => given.values() & nulls.inner(),
            None => given.values().clone(),
        };
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::new(!&is_true, None))))
    }
}
