//! Where the tool is: `cargo xtask move` names the folders in the environment.

use std::path::PathBuf;

use symphony_devchain::genesis::Artifacts;

/// The artifacts, or nothing after a word about it.
pub(crate) fn artifacts(test: &str) -> Option<Artifacts> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from);
    match (folder("SYMPHONY_MOVE_VM"), folder("SYMPHONY_MOVE_PACKAGES")) {
        (Some(vm), Some(packages)) => Some(Artifacts { vm, packages }),
        _ => {
            eprintln!("skipped: {test}: no Move VM; run it by `cargo xtask move test`");
            None
        }
    }
}
