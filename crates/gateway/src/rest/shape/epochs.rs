//! JSON shapes of what closed epochs paid.

use serde::Serialize;
use symphony_wire::v1;
use utoipa::ToSchema;

use super::{read, same};

answers! {
    /// What a closed epoch paid, and a page of what was settled in it.
    EpochPage {
        /// The endorsed record, canonical bytes; empty on later pages.
        record: String = hex::encode;
        /// Digest of the record without its endorsements; empty on later pages.
        digest: String = hex::encode;
        /// Canonical bytes of each settlement, in the order of the record's anchors, at most 256.
        settlements: Vec<String> = |all: Vec<Vec<u8>>| all.into_iter().map(hex::encode).collect();
        /// Settlements that there are.
        total: u64 = same;
    }
}
