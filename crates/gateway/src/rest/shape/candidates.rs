//! JSON shapes of pooled candidates.

use serde::Serialize;
use symphony_wire::v1;
use utoipa::ToSchema;

use super::{each, read, same};

answers! {
    /// Candidates for attributes that enough Vaults found in an epoch.
    CandidatePool {
        /// The epoch.
        epoch: u64 = same;
        /// No candidate of fewer Vaults is shown.
        vaults_min: u32 = same;
        /// Epochs that there are reports of.
        epochs: Vec<u64> = same;
        /// By name.
        candidates: Vec<PooledCandidate> = each;
    }

    /// What Vaults found in a column that no governed attribute is for. Every count has noise.
    PooledCandidate {
        name: String = same;
        /// `text`, `number` or `time`.
        kind: String = same;
        /// Vaults that found this kind.
        vaults: u32 = same;
        /// Vaults that found another under the name.
        vaults_other: u32 = same;
        /// People who have values of this kind.
        people: u64 = same;
        /// Records with a value, of each person a limited number.
        records: u64 = same;
        /// Which part of the people has values of this kind, in hundredths of a percent.
        agreement: u32 = same;
        /// Epochs in a row, up to this one, in which enough Vaults found it.
        epochs: u32 = same;
    }
}
