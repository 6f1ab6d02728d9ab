//! Documents in the format of AWS' security module.

use ciborium::Value;
use coset::iana::Algorithm;
use coset::{CborSerializable as _, CoseSign1Builder, HeaderBuilder};
use symphony_types::time::OrderedMillis;

use crate::development::DevelopmentVendor;
use crate::development::authority::{Authority, Curve, VendorError};
use crate::evidence::{Evidence, Format};

pub(super) struct Issuers {
    pub(super) root: Authority,
    pub(super) middle: Authority,
}

/// What a development document says.
#[derive(Clone, Debug)]
pub struct DocumentSpec {
    /// PCR0; all zero says that debugging is on.
    pub pcr0: [u8; 48],
    /// The machine and its enclave.
    pub module_id: String,
    /// When the module signs.
    pub timestamp: OrderedMillis,
    /// What the enclave bound.
    pub user_data: Option<Vec<u8>>,
    /// A challenge.
    pub nonce: Option<Vec<u8>>,
    /// A key of the enclave.
    pub public_key: Option<Vec<u8>>,
    /// The last moment of the module's certificate; the vendor's when absent.
    pub key_until: Option<OrderedMillis>,
}

impl DocumentSpec {
    /// A document that nothing speaks against, made at `timestamp`.
    pub fn at(timestamp: OrderedMillis) -> Self {
        Self {
            pcr0: [0x33; 48],
            module_id: "i-0123456789abcdef0-enc0123456789abcdef".to_owned(),
            timestamp,
            user_data: None,
            nonce: None,
            public_key: None,
            key_until: None,
        }
    }
}

impl Issuers {
    pub(super) fn new(from: OrderedMillis, until: OrderedMillis) -> Result<Self, VendorError> {
        let root = Authority::root(ROOT, Curve::P384, from, until)?;
        let middle = root.issue(MIDDLE, true, Vec::new(), 2)?;
        Ok(Self { root, middle })
    }
}

impl DevelopmentVendor {
    /// A document; it needs no collateral.
    ///
    /// **Errors**: [`VendorError`].
    pub fn document(&self, spec: &DocumentSpec) -> Result<Evidence, VendorError> {
        let until = spec.key_until.unwrap_or(self.until);
        let leaf =
            self.nitro.middle.issue_between(&spec.module_id, false, Vec::new(), 3, self.from, until)?;
        let text = |text: &str| Value::Text(text.to_owned());
        let optional = |bytes: &Option<Vec<u8>>| bytes.clone().map_or(Value::Null, Value::Bytes);
        let mut pcrs = vec![(Value::from(0), Value::Bytes(spec.pcr0.to_vec()))];
        pcrs.extend((1..5).map(|index| (Value::from(index), Value::Bytes(vec![index as u8; 48]))));
        let payload = Value::Map(vec![
            (text("module_id"), text(&spec.module_id)),
            (text("digest"), text("SHA384")),
            (text("timestamp"), Value::from(spec.timestamp.0)),
            (text("pcrs"), Value::Map(pcrs)),
            (text("certificate"), Value::Bytes(leaf.der())),
            (
                text("cabundle"),
                Value::Array(vec![
                    Value::Bytes(self.nitro.root.der()),
                    Value::Bytes(self.nitro.middle.der()),
                ]),
            ),
            (text("public_key"), optional(&spec.public_key)),
            (text("user_data"), optional(&spec.user_data)),
            (text("nonce"), optional(&spec.nonce)),
        ]);
        let mut bytes = Vec::new();
        ciborium::into_writer(&payload, &mut bytes)
            .map_err(|error| VendorError::Encode(error.to_string()))?;
        let body = CoseSign1Builder::new()
            .protected(HeaderBuilder::new().algorithm(Algorithm::ES384).build())
            .payload(bytes)
            .try_create_signature(&[], |message| leaf.sign(message))?
            .build()
            .to_vec()
            .map_err(|error| VendorError::Encode(error.to_string()))?;
        Ok(Evidence { format: Format::NitroDocument, body, certificates: Vec::new() })
    }
}

pub(super) const ROOT: &str = "development.enclaves";
pub(super) const MIDDLE: &str = "zonal.development.enclaves";
