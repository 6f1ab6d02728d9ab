//! JSON shapes of what closed epochs paid.

use serde::{Deserialize, Serialize};

shapes! {
    /// What a closed epoch paid, and a page of what was settled in it.
    EpochPage {
        /// The endorsed record, canonical bytes; empty on later pages.
        record: String,
        /// Digest of the record without its endorsements; empty on later pages.
        digest: String,
        /// Canonical bytes of each settlement, in the order of the record's anchors.
        settlements: Vec<String>,
        /// Settlements that there are.
        total: u64,
    }
}
