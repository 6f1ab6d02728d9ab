//! Where the workspace is, which files it has, and where its build output goes.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder of the workspace.
///
/// Found when the program runs, not when it is built: checkouts that share a build folder share programs.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let start = non_empty("CARGO_MANIFEST_DIR").or_else(|| env::current_dir().ok()).unwrap_or_default();
        let is_root = |folder: &&Path| folder.join("xtask").join("Cargo.toml").is_file();
        start.ancestors().find(is_root).unwrap_or(&start).to_owned()
    })
}

/// The build folder for the commands that `xtask` starts: the caller's choice, else the user's cache.
///
/// `None` when neither is known; cargo then uses the workspace's own `target`.
pub fn target_dir() -> Option<PathBuf> {
    if let Some(chosen) = non_empty("CARGO_TARGET_DIR") {
        return Some(chosen);
    }
    let cache = non_empty("XDG_CACHE_HOME").or_else(|| Some(non_empty("HOME")?.join(".cache")))?;
    Some(cache.join("symphony").join("target"))
}

/// Every file that git tracks or would track, as paths below the root, sorted.
///
/// **Errors**: when git is missing or the folder is not a checkout.
pub fn files() -> Result<Vec<PathBuf>, String> {
    let out = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .map_err(|error| format!("running git: {error}"))?;
    if !out.status.success() {
        return Err(format!("listing files with git: {}", String::from_utf8_lossy(&out.stderr)));
    }
    let mut files: Vec<PathBuf> = String::from_utf8_lossy(&out.stdout)
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .filter(|path| root().join(path).is_file())
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// Whether a file was written by a generator.
pub fn is_generated(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "generated")
}

fn non_empty(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}
