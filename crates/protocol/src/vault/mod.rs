//! The Vault's own machine: records, consent and the privacy budget of its people (R055-R073).
//!
//! Pure like the rest of the core: the Vault's node orders [`machine::Command`]s in its own journal. The machine
//! sees people as dense indices behind keyed digests, never their names (R058, R076).

pub mod authorize;
pub mod backup;
mod blocks;
pub mod consent;
pub mod dividend;
pub mod document;
pub mod ledger;
pub mod machine;
pub mod moving;
pub mod record;
pub mod statement;
pub mod subjects;
