//! Seeds of keys as files that only their owner may read, made on first use.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rand::RngExt;
use symphony_wire::tls::authority::write_secret;

/// The 32-byte seed in a file, made when the file is absent. **Errors**: an unreadable or damaged file.
pub(crate) fn seed(path: &Path) -> Result<[u8; 32]> {
    if !path.exists() {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let seed: [u8; 32] = rand::rng().random();
        write_secret(path, &hex::encode(seed))?;
    }
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    match <[u8; 32]>::try_from(hex::decode(text.trim())?) {
        Ok(seed) => Ok(seed),
        Err(_) => bail!("{} does not hold 32 bytes", path.display()),
    }
}
