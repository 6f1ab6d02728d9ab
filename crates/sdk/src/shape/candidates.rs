//! JSON shapes of pooled candidates.

use serde::{Deserialize, Serialize};

shapes! {
    /// Candidates for attributes that enough Vaults found in an epoch.
    CandidatePool {
        /// The epoch.
        epoch: u64,
        /// No candidate of fewer Vaults is shown.
        vaults_min: u32,
        /// Epochs that there are reports of.
        epochs: Vec<u64>,
        /// By name.
        candidates: Vec<PooledCandidate>,
    }

    /// What Vaults found in a column that no governed attribute is for. Every count has noise.
    PooledCandidate {
        name: String,
        /// `text`, `number` or `time`.
        kind: String,
        /// Vaults that found this kind.
        vaults: u32,
        /// Vaults that found another under the name.
        vaults_other: u32,
        /// People who have values of this kind.
        people: u64,
        /// Records with a value, of each person a limited number.
        records: u64,
        /// Which part of the people has values of this kind, in hundredths of a percent.
        agreement: u32,
        /// Epochs in a row, up to this one.
        epochs: u32,
    }
}
