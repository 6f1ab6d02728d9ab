//! The document of a Nitro security module: a signed COSE envelope around a CBOR map, with a limit on every length,
//! count and depth. No key may stand twice.

use std::collections::BTreeMap;

use ciborium::Value;
use coset::iana::Algorithm;
use coset::{CborSerializable as _, CoseSign1, RegisteredLabelWithPrivate, TaggedCborSerializable as _};
use symphony_types::time::OrderedMillis;

use crate::evidence;
use crate::fault::{Fault, FaultCode};

/// A document, read and within AWS' limits; nothing is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The virtual machine and its enclave.
    pub module_id: String,
    /// When the module signed, by its own clock.
    pub timestamp: OrderedMillis,
    /// Measurements by number; those that were never extended are zero.
    pub pcrs: BTreeMap<u8, Vec<u8>>,
    /// DER of the module's certificate.
    pub certificate: Vec<u8>,
    /// DER of the path, from the root downwards.
    pub cabundle: Vec<Vec<u8>>,
    /// A key of the enclave.
    pub public_key: Option<Vec<u8>>,
    /// What the enclave bound.
    pub user_data: Option<Vec<u8>>,
    /// A challenge.
    pub nonce: Option<Vec<u8>>,
    /// The bytes that were signed.
    pub signed: Vec<u8>,
    /// ECDSA P-384: two numbers of 48 bytes, big-endian.
    pub signature: Vec<u8>,
}

impl Document {
    /// Reads a document, with or without the tag of its envelope.
    ///
    /// **Errors**: `too-large`, `evidence-malformed` or `evidence-unsupported`.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() > evidence::BYTES_MAX {
            return Err(Fault::new(FaultCode::TooLarge, format!("{} bytes of document", bytes.len())));
        }
        let envelope = match bytes.first() {
            Some(&TAG_SIGN1) => CoseSign1::from_tagged_slice(bytes),
            Some(_) | None => CoseSign1::from_slice(bytes),
        };
        let envelope = envelope.map_err(|error| Fault::malformed(format!("envelope: {error}")))?;
        let algorithm = &envelope.protected.header.alg;
        if *algorithm != Some(RegisteredLabelWithPrivate::Assigned(Algorithm::ES384)) {
            return Err(Fault::new(FaultCode::Unsupported, "not signed by ECDSA P-384 with SHA-384"));
        }
        let payload = envelope.payload.as_deref().ok_or_else(|| Fault::malformed("empty envelope"))?;
        let mut fields = Fields::read(payload)?;
        let document = Self {
            module_id: fields.text("module_id")?,
            timestamp: OrderedMillis(fields.number("timestamp")?),
            pcrs: fields.pcrs()?,
            certificate: fields.bytes("certificate", 1, CERTIFICATE_MAX)?,
            cabundle: fields.bundle()?,
            public_key: fields.optional("public_key", PUBLIC_KEY_MAX)?,
            user_data: fields.optional("user_data", USER_DATA_MAX)?,
            nonce: fields.optional("nonce", NONCE_MAX)?,
            signed: envelope.tbs_data(&[]),
            signature: envelope.signature.clone(),
        };
        if fields.text("digest")? != "SHA384" {
            return Err(Fault::new(FaultCode::Unsupported, "measured by another hash than SHA-384"));
        }
        if document.module_id.is_empty() || document.timestamp.0 == 0 {
            return Err(Fault::malformed("the document names no module or no time"));
        }
        Ok(document)
    }
}

/// The members of the map, taken one by one.
struct Fields(BTreeMap<String, Value>);

impl Fields {
    fn read(payload: &[u8]) -> Result<Self, Fault> {
        let mut rest = payload;
        let value: Value = ciborium::de::from_reader_with_recursion_limit(&mut rest, DEPTH_MAX)
            .map_err(|error| Fault::malformed(format!("document: {error}")))?;
        let Value::Map(members) = value else {
            return Err(Fault::malformed("the document is no map"));
        };
        if !rest.is_empty() || members.len() > MEMBERS_MAX {
            return Err(Fault::malformed("bytes or members too many in the document"));
        }
        let mut fields = BTreeMap::new();
        for (key, value) in members {
            let Value::Text(key) = key else {
                return Err(Fault::malformed("a member of the document has no name"));
            };
            if fields.insert(key, value).is_some() {
                return Err(Fault::malformed("a member of the document stands twice"));
            }
        }
        Ok(Self(fields))
    }

    fn take(&mut self, name: &str) -> Result<Value, Fault> {
        self.0.remove(name).ok_or_else(|| Fault::malformed(format!("the document has no {name}")))
    }

    fn text(&mut self, name: &str) -> Result<String, Fault> {
        match self.take(name)? {
            Value::Text(text) if text.len() <= TEXT_MAX => Ok(text),
            _ => Err(Fault::malformed(format!("{name} is no short text"))),
        }
    }

    fn number(&mut self, name: &str) -> Result<u64, Fault> {
        let wrong = || Fault::malformed(format!("{name} is no number"));
        self.take(name)?.as_integer().and_then(|number| u64::try_from(number).ok()).ok_or_else(wrong)
    }

    fn bytes(&mut self, name: &str, min: usize, max: usize) -> Result<Vec<u8>, Fault> {
        let value = self.take(name)?;
        bytes_of(value, min, max)
            .ok_or_else(|| Fault::malformed(format!("{name} is not {min} to {max} bytes")))
    }

    fn optional(&mut self, name: &str, max: usize) -> Result<Option<Vec<u8>>, Fault> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => self.bytes(name, 0, max).map(Some),
        }
    }

    fn pcrs(&mut self) -> Result<BTreeMap<u8, Vec<u8>>, Fault> {
        let wrong = || Fault::malformed("the measurements are not 1 to 32 registers of 32, 48 or 64 bytes");
        let Value::Map(members) = self.take("pcrs")? else { return Err(wrong()) };
        if members.is_empty() || members.len() > usize::from(REGISTERS_MAX) {
            return Err(wrong());
        }
        let mut pcrs = BTreeMap::new();
        for (index, value) in members {
            let index = index.as_integer().and_then(|index| u8::try_from(index).ok());
            let index = index.filter(|index| *index < REGISTERS_MAX).ok_or_else(wrong)?;
            let value = bytes_of(value, 32, 64).filter(|value| [32, 48, 64].contains(&value.len()));
            if pcrs.insert(index, value.ok_or_else(wrong)?).is_some() {
                return Err(wrong());
            }
        }
        Ok(pcrs)
    }

    fn bundle(&mut self) -> Result<Vec<Vec<u8>>, Fault> {
        let wrong = || Fault::malformed("the path is not 1 to 8 certificates of 1 to 1024 bytes");
        let Value::Array(members) = self.take("cabundle")? else { return Err(wrong()) };
        if members.is_empty() || members.len() > PATH_MAX {
            return Err(wrong());
        }
        members.into_iter().map(|member| bytes_of(member, 1, CERTIFICATE_MAX).ok_or_else(wrong)).collect()
    }
}

fn bytes_of(value: Value, min: usize, max: usize) -> Option<Vec<u8>> {
    match value {
        Value::Bytes(bytes) if (min..=max).contains(&bytes.len()) => Some(bytes),
        _ => None,
    }
}

const TAG_SIGN1: u8 = 0xd2;
const DEPTH_MAX: usize = 8;
const MEMBERS_MAX: usize = 16;
const TEXT_MAX: usize = 256;
const REGISTERS_MAX: u8 = 32;
const CERTIFICATE_MAX: usize = 1024;
const PATH_MAX: usize = 8;
const PUBLIC_KEY_MAX: usize = 1024;
const USER_DATA_MAX: usize = 512;
const NONCE_MAX: usize = 512;
