//! One snapshot as a table of DataFusion: row groups that were chosen, read through the open segments.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{ParquetAccessPlan, RowGroupAccess};
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfigBuilder, ParquetFileReaderFactory, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::arrow::async_reader::AsyncFileReader;

use crate::open::OpenSegment;
use crate::reader::{SegmentFile, Segments};
use crate::scan::work::{Piece, shares};

/// The chosen pieces of a snapshot.
pub(crate) struct SnapshotTable {
    schema: SchemaRef,
    store: Arc<dyn ObjectStore>,
    pieces: Vec<Piece>,
    cores: usize,
}

impl SnapshotTable {
    pub(crate) fn new(segments: &Segments, pieces: Vec<Piece>, cores: usize) -> Self {
        Self { schema: segments.schema().arrow(), store: segments.store().clone(), pieces, cores }
    }

    /// One file a piece, with nothing but that row group to be read.
    fn files(&self) -> Vec<FileGroup> {
        let shares = shares(self.pieces.clone(), self.cores);
        shares.into_iter().map(|share| FileGroup::new(share.iter().map(file).collect())).collect()
    }
}

impl fmt::Debug for SnapshotTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a snapshot of {} row groups", self.pieces.len())
    }
}

fn file(piece: &Piece) -> PartitionedFile {
    let metadata = piece.segment.metadata();
    let rows = metadata.row_group(piece.group).num_rows() as usize;
    let mut plan = ParquetAccessPlan::new_none(metadata.num_row_groups());
    if piece.rows == (0..rows) {
        plan.set(piece.group, RowGroupAccess::Scan);
    } else {
        let chosen = RowSelection::from(vec![
            RowSelector::skip(piece.rows.start),
            RowSelector::select(piece.rows.len()),
            RowSelector::skip(rows - piece.rows.end),
        ]);
        plan.set(piece.group, RowGroupAccess::Selection(chosen));
    }
    let path = piece.segment.id().path();
    PartitionedFile::new(path.as_ref(), piece.segment.bytes())
        .with_extension(plan)
        .with_extension(piece.segment.as_ref().clone())
}

#[async_trait]
impl TableProvider for SnapshotTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // They choose pages; rows are still compared above.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if self.pieces.is_empty() {
            let columns = projection.map(|columns| self.schema.project(columns)).transpose()?;
            return Ok(Arc::new(EmptyExec::new(columns.map_or_else(|| self.schema.clone(), Arc::new))));
        }
        let mut source = ParquetSource::new(self.schema.clone())
            .with_parquet_file_reader_factory(Arc::new(OpenSegments(self.store.clone())))
            .with_pushdown_filters(false)
            .with_enable_page_index(true)
            .with_bloom_filter_on_read(false);
        if let Some(filter) = conjunction(filters.to_vec()) {
            let schema = DFSchema::try_from(self.schema.clone())?;
            source = source.with_predicate(state.create_physical_expr(filter, &schema)?);
        }
        let scan = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
            .with_file_groups(self.files())
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }
}

/// Gives the decoder the file of a segment that is open: keys and footers are not asked for again.
#[derive(Debug)]
struct OpenSegments(Arc<dyn ObjectStore>);

impl ParquetFileReaderFactory for OpenSegments {
    fn create_reader(
        &self,
        _: usize,
        file: PartitionedFile,
        _: Option<usize>,
        _: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let segment = file.extension::<OpenSegment>();
        let segment =
            segment.ok_or_else(|| DataFusionError::Internal("a file that is no open segment".into()))?;
        Ok(Box::new(SegmentFile::new(self.0.clone(), &segment)))
    }
}
