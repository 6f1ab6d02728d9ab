//! One leaf of a dividend tree (D7): the Vault builds the tree, the chain checks a claim against the same bytes.

use serde::{Deserialize, Serialize};

use crate::amount::Sym;
use crate::canonical;
use crate::digest::Digest;
use crate::id::AccountId;
use crate::merkle;

/// One producer's dividend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DividendLeaf {
    /// Who may claim it.
    pub account: AccountId,
    /// Its place in the tree.
    pub index: u64,
    /// How much.
    pub amount: Sym,
}

impl DividendLeaf {
    /// The leaf's hash in the tree.
    pub fn hash(&self) -> Digest {
        merkle::leaf(&canonical::to_bytes(self))
    }
}
