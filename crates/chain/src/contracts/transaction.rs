//! Aptos' own form of a transaction: an entry function, signed with Ed25519 over its canonical bytes behind the digest of the
//! type's name. Source: Aptos' published transaction format; the development chain verifies it with the official types.

use serde::Serialize;
use symphony_types::digest::Digest;
use symphony_types::id::AccountId;
use symphony_types::key::{PrivateKey, Wallet};
use symphony_types::time::OrderedMillis;

use super::call::{Entry, bytes};
use super::{Deployment, sha3};
use crate::transaction::{Call, Submission, Track};

#[derive(Serialize)]
struct RawTransaction {
    sender: AccountId,
    sequence_number: u64,
    payload: Payload,
    max_gas_amount: u64,
    gas_unit_price: u64,
    expiration_timestamp_secs: u64,
    chain_id: u8,
}

/// The kinds of payload in their order; only the last is ever made here.
#[derive(Serialize)]
#[allow(dead_code, reason = "the place of a kind in the list is its number")]
enum Payload {
    Script,
    ModuleBundle,
    EntryFunction(EntryFunction),
}

/// A call as transactions and views carry it.
#[derive(Serialize)]
pub(super) struct EntryFunction {
    module: (AccountId, &'static str),
    function: &'static str,
    type_args: Vec<()>,
    args: Vec<Vec<u8>>,
}

impl EntryFunction {
    pub(super) fn new(deployment: &Deployment, entry: Entry) -> Self {
        let Entry { module, function, args } = entry;
        Self { module: (deployment.contracts, module), function, type_args: vec![], args }
    }
}

/// The kinds of proof in their order; one key's signature is the first.
#[derive(Serialize)]
enum Authenticator {
    Ed25519 { public_key: Vec<u8>, signature: Vec<u8> },
}

/// Signs a call as the account's transaction with this number, and says how to find it again.
pub fn sign(
    key: &PrivateKey<Wallet>,
    deployment: &Deployment,
    gas_price: u64,
    sequence: u64,
    expires: OrderedMillis,
    call: &Call,
) -> (Submission, Track) {
    let sender = key.public().account();
    let seconds = expires.0 / 1_000;
    let raw = RawTransaction {
        sender,
        sequence_number: sequence,
        payload: Payload::EntryFunction(EntryFunction::new(deployment, Entry::of(call))),
        max_gas_amount: gas_max(call),
        gas_unit_price: gas_price,
        expiration_timestamp_secs: seconds,
        chain_id: deployment.number,
    };
    let message = [&sha3(b"APTOS::RawTransaction").0[..], &bytes(&raw)].concat();
    let signature = key.sign_transaction(&message).0.to_vec();
    let proof = Authenticator::Ed25519 { public_key: key.public().as_bytes().to_vec(), signature };
    let signed = bytes(&(raw, proof));
    let track = Track { hash: hash(&signed), sender, sequence, expires: OrderedMillis(seconds * 1_000) };
    (Submission::Contracts(signed), track)
}

/// The name of a signed transaction, which its submission and its receipt share.
pub fn hash(signed: &[u8]) -> Digest {
    sha3(&[&sha3(b"APTOS::Transaction").0[..], &[USER_TRANSACTION], signed].concat())
}

/// The most gas that a call may use. **Units**: gas units; what is left is not charged.
fn gas_max(call: &Call) -> u64 {
    match call {
        Call::Payout(_) | Call::PayNodes { .. } => GAS_MAX,
        Call::Transfer { .. }
        | Call::EscrowLock { .. }
        | Call::EscrowReclaim { .. }
        | Call::StakeDeposit { .. }
        | Call::StakeWithdrawRequest { .. }
        | Call::StakeWithdraw { .. }
        | Call::Slash { .. }
        | Call::ClaimDividend { .. }
        | Call::TreasuryRelease { .. }
        | Call::RecordVote(_)
        | Call::MintEpoch => GAS_CALL,
    }
}

/// The first kind of transaction, among those that a chain holds.
const USER_TRANSACTION: u8 = 0;
/// Aptos' limit of one transaction.
const GAS_MAX: u64 = 2_000_000;
const GAS_CALL: u64 = 200_000;
