//! Ceilings on segments, catalogues and queries.

use std::time::Duration;

/// Rows of one row group: what is decrypted and evaluated at a time, and the least that a query leaves out.
pub const ROW_GROUP_ROWS: usize = 64 << 10;
/// Rows of one page.
pub const PAGE_ROWS: usize = 16 << 10;
/// Rows of one segment.
pub const SEGMENT_ROWS_MAX: u64 = 64 << 20;
/// Neighbours that become one segment.
pub const MERGED_SEGMENTS: usize = 8;
/// Rows of a segment that neighbours become: what fills it is not read and written again.
pub const MERGED_ROWS_MAX: u64 = 4 << 20;
/// Segments of one catalogue, those that older versions still need among them.
pub const SEGMENTS_MAX: usize = 4_096;
/// Versions that a catalogue keeps.
pub const VERSIONS_MAX: usize = 65_536;
/// Conditions and selections of one composition.
pub const NODES_MAX: usize = 1_024;
/// How deep they may be nested.
pub const DEPTH_MAX: usize = 16;
/// People of one ranking.
pub const TOP_MAX: u32 = 100_000;
/// Groups of one histogram.
pub const GROUPS_MAX: usize = 4_096;

/// What one engine gives to its queries.
#[derive(Clone, Copy, Debug)]
pub struct QueryLimits {
    /// What one query may hold. **Units**: bytes.
    pub memory_bytes: usize,
    /// Queries that run at once.
    pub concurrent: usize,
    /// Queries that wait for their turn; one more is refused.
    pub waiting: usize,
    /// From the call to the answer, waiting included.
    pub deadline: Duration,
    /// Cores that one query uses.
    pub cores: usize,
}

impl Default for QueryLimits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            memory_bytes: 512 << 20,
            concurrent: cores.max(2),
            waiting: 64,
            deadline: Duration::from_secs(60),
            cores,
        }
    }
}
