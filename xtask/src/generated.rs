//! Generated files that are committed: written by their command, compared by the gate.

use std::fs;

use anyhow::{Context, Result, bail};
use xtask::repo;

/// One generated file.
pub(crate) struct Artifact {
    /// Path below the workspace's root.
    pub(crate) path: String,
    /// The whole content.
    pub(crate) bytes: Vec<u8>,
}

/// Writes the files that differ from what is there.
pub(crate) fn write(artifacts: &[Artifact]) -> Result<()> {
    for artifact in artifacts {
        let path = repo::root().join(&artifact.path);
        if fs::read(&path).is_ok_and(|old| old == artifact.bytes) {
            continue;
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("making the folder of {}", artifact.path))?;
        }
        fs::write(&path, &artifact.bytes).with_context(|| format!("writing {}", artifact.path))?;
        println!("wrote {}", artifact.path);
    }
    Ok(())
}

/// Compares the files with what is there, without writing.
///
/// **Errors**: names every file that differs and the command that writes it.
pub(crate) fn verify(artifacts: &[Artifact], command: &str) -> Result<()> {
    let stale: Vec<&str> = artifacts
        .iter()
        .filter(|artifact| {
            !fs::read(repo::root().join(&artifact.path)).is_ok_and(|old| old == artifact.bytes)
        })
        .map(|artifact| artifact.path.as_str())
        .collect();
    if !stale.is_empty() {
        bail!("not up to date: {}; run `cargo xtask {command}`", stale.join(", "));
    }
    Ok(())
}
