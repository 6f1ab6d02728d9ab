//! A caller's identity on its way from the gateway, which proved it, to a master, which decides by it.
//!
//! The gateway signs actor, roles, the RPC's name and an expiry into request metadata; a master believes no
//! caller without it (R015, R202).

use prost::Message;
use symphony_types::catalogue::Code;
use symphony_types::id::ActorId;
use symphony_types::key::{Gateway, PrivateKey, PublicKey};
use symphony_types::limits::NAME_LEN_MAX;
use symphony_types::time::OrderedMillis;
use tonic::metadata::{BinaryMetadataValue, MetadataMap};

use crate::signing::{CONTEXT_CALLER, sign_bytes, verify_bytes};

/// Metadata key of the signed caller.
const CALLER_KEY: &str = "symphony-caller-bin";
/// How long a signed caller is believed. **Units**: milliseconds.
const LIFETIME_MS: u64 = 60_000;

/// Who asks, as the gateway proved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The identity of the token's subject.
    pub actor: ActorId,
    /// The token's roles.
    pub roles: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Claim {
    #[prost(string, tag = "1")]
    actor: String,
    #[prost(string, repeated, tag = "2")]
    roles: Vec<String>,
    #[prost(string, tag = "3")]
    method: String,
    #[prost(uint64, tag = "4")]
    expires_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct SignedClaim {
    #[prost(bytes = "vec", tag = "1")]
    claim: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    signature: Vec<u8>,
}

/// Puts the signed caller into a request's metadata. `method` is the RPC's name, such as `SubmitTask`.
pub fn attach(
    metadata: &mut MetadataMap,
    key: &PrivateKey<Gateway>,
    caller: &Caller,
    method: &str,
    now: OrderedMillis,
) {
    let claim = Claim {
        actor: caller.actor.as_str().to_owned(),
        roles: caller.roles.clone(),
        method: method.to_owned(),
        expires_ms: now.plus(LIFETIME_MS).0,
    }
    .encode_to_vec();
    let signature = sign_bytes(key, CONTEXT_CALLER, &claim).to_vec();
    let signed = SignedClaim { claim, signature }.encode_to_vec();
    metadata.insert_bin(CALLER_KEY, BinaryMetadataValue::from_bytes(&signed));
}

/// Reads and checks the caller of a request. **Errors**: `ADM-0002` when it is absent, not signed by this
/// gateway, for another method or out of time.
pub fn read(
    metadata: &MetadataMap,
    key: &PublicKey<Gateway>,
    method: &str,
    now: OrderedMillis,
) -> Result<Caller, Code> {
    let bytes =
        metadata.get_bin(CALLER_KEY).and_then(|value| value.to_bytes().ok()).ok_or(Code::Unauthenticated)?;
    let signed = SignedClaim::decode(bytes).map_err(|_| Code::Unauthenticated)?;
    if !verify_bytes(key, CONTEXT_CALLER, &signed.claim, &signed.signature) {
        return Err(Code::Unauthenticated);
    }
    let claim = Claim::decode(signed.claim.as_slice()).map_err(|_| Code::Unauthenticated)?;
    let lively = now <= OrderedMillis(claim.expires_ms) && claim.expires_ms <= now.plus(2 * LIFETIME_MS).0;
    if claim.method != method || !lively || claim.roles.iter().any(|role| role.len() > NAME_LEN_MAX) {
        return Err(Code::Unauthenticated);
    }
    let actor = ActorId::new(&claim.actor).map_err(|_| Code::Unauthenticated)?;
    Ok(Caller { actor, roles: claim.roles })
}
