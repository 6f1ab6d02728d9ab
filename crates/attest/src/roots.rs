//! The vendors' roots, built in, and the one way to put another in their place: explicitly, and marked as development
//! in everything that is verified under it (R130).

use std::borrow::Cow;

/// Whom a verifier believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    pub(crate) intel: Cow<'static, [u8]>,
    pub(crate) amd: Vec<AmdRoot>,
    pub(crate) nitro: Cow<'static, [u8]>,
    pub(crate) development: bool,
}

/// AMD has a root for each generation of processors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmdRoot {
    /// The name of the generation, such as `Milan`.
    pub generation: Cow<'static, str>,
    /// DER of the root.
    pub root: Cow<'static, [u8]>,
    /// DER of the issuer of chip keys, so that a chip's own certificate is all that must be given.
    pub issuer: Cow<'static, [u8]>,
}

impl Roots {
    /// The vendors' own.
    pub fn pinned() -> Self {
        let amd = |generation, root, issuer| AmdRoot {
            generation: Cow::Borrowed(generation),
            root: Cow::Borrowed(root),
            issuer: Cow::Borrowed(issuer),
        };
        Self {
            intel: Cow::Borrowed(include_bytes!("../roots/intel.der")),
            amd: vec![
                amd(
                    "Milan",
                    &include_bytes!("../roots/amd-ark-milan.der")[..],
                    &include_bytes!("../roots/amd-ask-milan.der")[..],
                ),
                amd(
                    "Genoa",
                    &include_bytes!("../roots/amd-ark-genoa.der")[..],
                    &include_bytes!("../roots/amd-ask-genoa.der")[..],
                ),
                amd(
                    "Turin",
                    &include_bytes!("../roots/amd-ark-turin.der")[..],
                    &include_bytes!("../roots/amd-ask-turin.der")[..],
                ),
            ],
            nitro: Cow::Borrowed(include_bytes!("../roots/aws.der")),
            development: false,
        }
    }

    /// Roots that are no vendor's. Whatever verifies under them is marked, and production policy refuses it.
    pub fn development(intel: Vec<u8>, amd: Vec<AmdRoot>, nitro: Vec<u8>) -> Self {
        Self { intel: Cow::Owned(intel), amd, nitro: Cow::Owned(nitro), development: true }
    }

    /// Whether these are no vendor's.
    pub fn are_development(&self) -> bool {
        self.development
    }
}
