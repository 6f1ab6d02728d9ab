//! Where the tool is: `cargo xtask move test` names the folders in the environment, and runs the tests that need it, which are
//! ignored otherwise.

use std::path::PathBuf;

use symphony_devchain::genesis::Artifacts;

/// The artifacts of the build.
pub(crate) fn artifacts() -> Artifacts {
    let folder = |name| std::env::var_os(name).map(PathBuf::from).expect("run by `cargo xtask move test`");
    Artifacts { vm: folder("SYMPHONY_MOVE_VM"), packages: folder("SYMPHONY_MOVE_PACKAGES") }
}
