//! Who asks: a signed token of the configured issuer, as a [`Caller`] (R203, R015).
//!
//! The algorithm of a key comes from the key set, never from the token, so that neither `none` nor a public key
//! used as a shared secret is ever accepted.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use symphony_types::catalogue::Code;
use symphony_types::id::ActorId;
use symphony_wire::caller::Caller;
use thiserror::Error;

use crate::problem::Problem;

/// Bytes of a token.
const TOKEN_BYTES_MAX: usize = 8 << 10;
/// Roles of a token.
const ROLES_MAX: usize = 16;
/// Difference that clocks may have. **Units**: seconds.
const LEEWAY_S: u64 = 30;

/// A key set cannot be used.
#[derive(Debug, Error)]
pub enum KeySetError {
    /// Not a JSON Web Key Set.
    #[error("reading the key set")]
    Shape(#[from] serde_json::Error),
    /// A key of the set is malformed.
    #[error("reading a key of the key set")]
    Key(#[from] jsonwebtoken::errors::Error),
    /// A key is not for EdDSA, ES256 or RS256.
    #[error("a key of the key set is not for EdDSA, ES256 or RS256")]
    Algorithm,
    /// The set is empty.
    #[error("the key set has no key")]
    Empty,
}

/// The keys of one token issuer.
pub struct Identity {
    keys: Vec<IssuerKey>,
}

struct IssuerKey {
    id: Option<String>,
    key: DecodingKey,
    validation: Validation,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    roles: Vec<String>,
}

impl Identity {
    /// Reads the issuer's key set. **Errors**: [`KeySetError`] for a set with any key that this gateway would not
    /// verify by.
    pub fn new(jwks: &[u8], issuer: &str, audience: &str) -> Result<Self, KeySetError> {
        let set: JwkSet = serde_json::from_slice(jwks)?;
        let mut keys = Vec::new();
        for jwk in &set.keys {
            let mut validation = Validation::new(algorithm(jwk)?);
            validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
            validation.set_issuer(&[issuer]);
            validation.set_audience(&[audience]);
            validation.validate_nbf = true;
            validation.leeway = LEEWAY_S;
            let key = DecodingKey::from_jwk(jwk)?;
            keys.push(IssuerKey { id: jwk.common.key_id.clone(), key, validation });
        }
        if keys.is_empty() {
            return Err(KeySetError::Empty);
        }
        Ok(Self { keys })
    }

    /// The caller of a token. **Errors**: `ADM-0002`.
    pub fn prove(&self, token: &str) -> Result<Caller, Problem> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(unproven("the token is too long"));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| unproven("the token is malformed"))?;
        let key =
            self.key(header.kid.as_deref()).ok_or_else(|| unproven("the token's key is not the issuer's"))?;
        let claims = jsonwebtoken::decode::<Claims>(token, &key.key, &key.validation)
            .map_err(|fault| unproven(reason(fault.kind())))?
            .claims;
        let actor =
            ActorId::new(&claims.sub).map_err(|_| unproven("the token's subject is not a valid name"))?;
        let named = |role: &String| ActorId::new(role).is_ok();
        if claims.roles.len() > ROLES_MAX || !claims.roles.iter().all(named) {
            return Err(unproven("the token's roles are not valid names"));
        }
        Ok(Caller { actor, roles: claims.roles })
    }

    fn key(&self, id: Option<&str>) -> Option<&IssuerKey> {
        match (id, self.keys.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id)),
        }
    }
}

fn algorithm(jwk: &Jwk) -> Result<Algorithm, KeySetError> {
    let by_shape = match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        _ => return Err(KeySetError::Algorithm),
    };
    match jwk.common.key_algorithm {
        None => Ok(by_shape),
        Some(named) if named == KeyAlgorithm::from(by_shape) => Ok(by_shape),
        Some(_) => Err(KeySetError::Algorithm),
    }
}

fn unproven(detail: &str) -> Problem {
    Problem::new(Code::Unauthenticated, detail)
}

fn reason(kind: &jsonwebtoken::errors::ErrorKind) -> &'static str {
    use jsonwebtoken::errors::ErrorKind;
    match kind {
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::ImmatureSignature => "the token is not valid yet",
        ErrorKind::InvalidIssuer => "the token is of another issuer",
        ErrorKind::InvalidAudience => "the token is for another audience",
        ErrorKind::InvalidAlgorithm => "the token's algorithm is not its key's",
        ErrorKind::InvalidSignature => "the token's signature does not verify",
        _ => "the token is malformed",
    }
}
