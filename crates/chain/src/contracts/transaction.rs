//! Aptos' own form of a transaction: an entry function, signed with Ed25519 over its canonical bytes behind the digest of the
//! type's name, by the sender alone or by the sender and a sponsor who pays the gas. Source: Aptos' published transaction
//! format; the development chain verifies it with the official types.

use serde::Serialize;
use symphony_types::digest::Digest;
use symphony_types::id::AccountId;
use symphony_types::key::{PrivateKey, PublicKey, Signature, Wallet};
use symphony_types::time::OrderedMillis;

use super::call::{Entry, bytes};
use super::{Deployment, sha3};
use crate::transaction::{Call, Draft, Sponsorship, Submission, Track};

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

impl RawTransaction {
    fn new(deployment: &Deployment, draft: &Draft) -> Self {
        Self {
            sender: draft.key.account(),
            sequence_number: draft.sequence,
            payload: Payload::EntryFunction(EntryFunction::new(deployment, Entry::of(&draft.call))),
            max_gas_amount: gas_max(&draft.call),
            gas_unit_price: draft.gas_price,
            expiration_timestamp_secs: draft.expires.0 / 1_000,
            chain_id: deployment.number,
        }
    }
}

/// A transaction with more signers than its sender; only the second kind is ever made here.
#[derive(Serialize)]
#[allow(dead_code, reason = "the place of a kind in the list is its number")]
enum WithData<'a> {
    MultiAgent,
    FeePayer { raw: &'a RawTransaction, secondary: Vec<AccountId>, payer: AccountId },
}

/// The kinds of proof in their order; one key's signature is the first.
#[derive(Serialize)]
#[allow(dead_code, reason = "the place of a kind in the list is its number")]
enum Authenticator {
    Ed25519(OneKey),
    MultiEd25519,
    MultiAgent,
    FeePayer {
        sender: AccountAuthenticator,
        secondary: Vec<AccountId>,
        secondary_signers: Vec<AccountAuthenticator>,
        payer: AccountId,
        payer_signer: AccountAuthenticator,
    },
}

/// The kinds of proof of one account among several; one key's signature is the first.
#[derive(Serialize)]
enum AccountAuthenticator {
    Ed25519(OneKey),
}

#[derive(Serialize)]
struct OneKey {
    public_key: Vec<u8>,
    signature: Vec<u8>,
}

impl OneKey {
    fn new(key: PublicKey<Wallet>, signature: Signature) -> Self {
        Self { public_key: key.as_bytes().to_vec(), signature: signature.0.to_vec() }
    }
}

/// Signs a draft as its sender, for a sponsor's account if one pays, and says how to find it again. `key` is the draft's.
pub fn sign(
    key: &PrivateKey<Wallet>,
    deployment: &Deployment,
    draft: &Draft,
    sponsorship: Option<&Sponsorship>,
) -> (Submission, Track) {
    let raw = RawTransaction::new(deployment, draft);
    let signed = match sponsorship {
        None => {
            let message = [&sha3(b"APTOS::RawTransaction").0[..], &bytes(&raw)].concat();
            let proof = OneKey::new(draft.key, key.sign_transaction(&message));
            bytes(&(raw, Authenticator::Ed25519(proof)))
        }
        Some(sponsorship) => {
            let signature = key.sign_transaction(&shared_message(&raw, sponsorship.key.account()));
            with_payer(raw, draft.key, signature, sponsorship)
        }
    };
    let Draft { sequence, expires, .. } = *draft;
    let expires = OrderedMillis(expires.0 / 1_000 * 1_000);
    let track = Track { hash: hash(&signed), sender: draft.key.account(), sequence, expires };
    (Submission::Contracts(signed), track)
}

/// Signs a draft as the account that pays for it.
pub(super) fn sponsor(key: &PrivateKey<Wallet>, deployment: &Deployment, draft: &Draft) -> Sponsorship {
    let message = shared_message(&RawTransaction::new(deployment, draft), key.public().account());
    Sponsorship { key: key.public(), signature: key.sign_transaction(&message) }
}

/// A draft with signatures of nobody, which a full node simulates and never executes.
pub(super) fn unsigned(deployment: &Deployment, draft: &Draft, payer: PublicKey<Wallet>) -> Vec<u8> {
    let nobody = Signature([0; 64]);
    let sponsorship = Sponsorship { key: payer, signature: nobody };
    with_payer(RawTransaction::new(deployment, draft), draft.key, nobody, &sponsorship)
}

/// What sender and payer sign alike.
fn shared_message(raw: &RawTransaction, payer: AccountId) -> Vec<u8> {
    let with_data = WithData::FeePayer { raw, secondary: vec![], payer };
    [&sha3(b"APTOS::RawTransactionWithData").0[..], &bytes(&with_data)].concat()
}

fn with_payer(
    raw: RawTransaction,
    sender: PublicKey<Wallet>,
    signature: Signature,
    sponsorship: &Sponsorship,
) -> Vec<u8> {
    let proof = Authenticator::FeePayer {
        sender: AccountAuthenticator::Ed25519(OneKey::new(sender, signature)),
        secondary: vec![],
        secondary_signers: vec![],
        payer: sponsorship.key.account(),
        payer_signer: AccountAuthenticator::Ed25519(OneKey::new(sponsorship.key, sponsorship.signature)),
    };
    bytes(&(raw, proof))
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
