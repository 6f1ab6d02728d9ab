//! The contracts on Aptos behind the same port (R169, R171, D15): calls as entry functions, transactions in Aptos' own form,
//! reads as view functions, and a client of a full node's REST API for mainnet, test networks and the development chain
//! alike.
//!
//! The official SDK is not in this build: two of its dependencies' features would change every node (JSON objects in order of
//! insertion, a second provider of TLS), and it drops the headers that tell how far a node is, without which nobody can say
//! that a transaction is dead. The development chain reads what is signed here with the SDK's own types.

mod call;
mod client;
mod fullnode;
mod genesis;
mod read;
mod sponsor;
mod transaction;

use serde::{Deserialize, Serialize};
use sha3::{Digest as _, Sha3_256};
use symphony_types::digest::Digest;
use symphony_types::id::AccountId;

use crate::transaction::ChainId;

pub use call::{Entry, class, kind, tier};
pub use client::Contracts;
pub use genesis::Start;
pub use read::reason;
pub use sponsor::{Sponsor, SponsorLimits};
pub use transaction::{hash, sign};

/// Where the contracts are, as every node and every wallet of a network must know it alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// The chain's name in what wallets and treasury signers sign.
    pub chain: ChainId,
    /// Aptos' number of the chain, so that a transaction means nothing on another.
    pub number: u8,
    /// The account that holds the contracts.
    pub contracts: AccountId,
}

impl Deployment {
    /// The contracts that `deployer` published by a resource account with the seed `symphony`.
    pub fn by(chain: ChainId, number: u8, deployer: AccountId) -> Self {
        let named = [&deployer.0.0[..], SEED, &[RESOURCE_ACCOUNT]].concat();
        Self { chain, number, contracts: AccountId(sha3(&named)) }
    }
}

fn sha3(bytes: &[u8]) -> Digest {
    Digest(Sha3_256::digest(bytes).into())
}

/// What a resource account's address follows from, with its deployer.
const SEED: &[u8] = b"symphony";
/// Aptos' mark of an address that was derived so.
const RESOURCE_ACCOUNT: u8 = 0xff;
