//! JSON shapes of accounts on the chain.

use serde::Serialize;
use symphony_wire::v1;
use utoipa::ToSchema;

use super::{amount, each, read, same};

answers! {
    /// What the chain says of one account.
    ChainAccount {
        account: String = hex::encode;
        /// Base units of SYM.
        balance: String = amount;
        /// The number of its next transaction.
        sequence: u64 = same;
        /// By tier; one without any is left out.
        stakes: Vec<ChainStake> = each;
        /// The chain's name.
        chain: String = same;
        /// The account of the contracts; empty for the reference ledger.
        contracts: String = hex::encode;
        /// The chain's number, with contracts.
        number: u32 = same;
    }

    /// A stake in one tier.
    ChainStake {
        /// `master`, `enterprise` or `producer`.
        tier: String = same;
        /// What counts, in base units.
        deposit: String = amount;
        /// What is on its way out, in base units.
        cooling: String = amount;
        /// When that may be taken.
        matures_ms: u64 = same;
    }
}
