//! The modules that are built from `guests/` and committed: bytes, declarations, measurements (R095).
//!
//! A network of development begins with them as its approved modules. `cargo xtask guests` builds them again from source.

use serde::{Deserialize, Serialize};
use symphony_types::digest::Digest;

use crate::module::{Module, Refused};
use symphony_protocol::artifact::module::Declaration;

/// One module of the catalogue.
#[derive(Clone, Debug)]
pub struct Built {
    /// What it is for, in a sentence.
    pub about: String,
    /// What is enforced about it.
    pub declaration: Declaration,
    /// SHA-256 of its bytes.
    pub measurement: Digest,
    /// Digest of the sources that it was built from.
    pub source: Digest,
    /// Digest of the recipe that it was built by.
    pub recipe: Digest,
    /// Its bytes.
    pub bytes: &'static [u8],
}

impl Built {
    /// The module, checked. **Errors**: as [`Module::check`].
    pub fn module(&self) -> Result<Module, Refused> {
        Module::check(self.bytes, &self.declaration, &self.measurement)
    }
}

/// The catalogue does not describe the modules that are there.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// It cannot be read.
    #[error("reading guests/modules.toml")]
    Text(#[from] toml::de::Error),
    /// A module without bytes, bytes without a module, or a digest that is none.
    #[error("guests/modules.toml: {0}")]
    Entry(String),
}

/// All modules, in the order of the catalogue.
pub fn built() -> Result<Vec<Built>, Broken> {
    let catalogue: Catalogue = toml::from_str(include_str!("../../../guests/modules.toml"))?;
    if catalogue.module.len() != BYTES.len() {
        return Err(Broken::Entry("not as many entries as modules".into()));
    }
    let recipe = Digest::of("symphony.module-recipe.v1", &catalogue.recipe);
    catalogue.module.into_iter().map(|entry| one(entry, recipe)).collect()
}

fn one(entry: Entry, recipe: Digest) -> Result<Built, Broken> {
    let name = &entry.declaration.name;
    let bytes = BYTES.iter().find(|(of, _)| *of == name.as_str());
    let digest =
        |text: &str| Digest::from_hex(text).ok_or_else(|| Broken::Entry(format!("a digest of {name}")));
    let (_, bytes) = bytes.ok_or_else(|| Broken::Entry(format!("there is no {name}.wasm")))?;
    let (measurement, source) = (digest(&entry.sha256)?, digest(&entry.source)?);
    Ok(Built { about: entry.about, declaration: entry.declaration, measurement, source, recipe, bytes })
}

#[derive(Deserialize)]
struct Catalogue {
    recipe: Recipe,
    module: Vec<Entry>,
}

/// How modules are built: packages of the compiler, and what compiler and linker are told.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    packages: Vec<String>,
    rustc: Vec<String>,
    linker: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    about: String,
    sha256: String,
    source: String,
    declaration: Declaration,
}

const BYTES: [(&str, &[u8]); 6] = [
    ("basket", include_bytes!("../../../guests/built/basket.wasm")),
    ("eligibility", include_bytes!("../../../guests/built/eligibility.wasm")),
    ("histogram", include_bytes!("../../../guests/built/histogram.wasm")),
    ("retention", include_bytes!("../../../guests/built/retention.wasm")),
    ("rfm", include_bytes!("../../../guests/built/rfm.wasm")),
    ("uplift", include_bytes!("../../../guests/built/uplift.wasm")),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// R095
    #[test]
    fn every_built_module_passes_its_check() {
        for built in built().unwrap() {
            let name = &built.declaration.name;
            assert!(built.module().is_ok(), "{name}: {:?}", built.module().err());
            let other = Digest::of_bytes(b"another");
            let found = Module::check(built.bytes, &built.declaration, &other);
            assert_eq!(found.err(), Some(Refused::Measurement), "{name}");
        }
    }
}
