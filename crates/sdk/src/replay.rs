//! Replay of a master's journal. The rules' runner lives in the node binary, so this finds `symphonyd` and has it do
//! the work (R135, R217).

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use thiserror::Error;

/// The node binary that replays.
const NODE: &str = "symphonyd";

/// A replay did not start.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The node binary is not installed.
    #[error("symphonyd is neither beside this program nor on PATH; replay needs it")]
    Missing,
    /// The node binary does not run.
    #[error("running {0}")]
    Run(PathBuf, #[source] io::Error),
}

/// Has the node binary do something with a journal, such as `replay`; its output goes to this process's own.
/// **Errors**: [`ReplayError`].
pub fn on_journal(what: &str, args: &[&OsStr], json: bool) -> Result<ExitStatus, ReplayError> {
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent).map(Path::to_owned);
    let node = find(beside, std::env::var_os("PATH").as_deref()).ok_or(ReplayError::Missing)?;
    let mut command = Command::new(&node);
    command.arg(what).args(args);
    if json {
        command.arg("--json");
    }
    command.status().map_err(|error| ReplayError::Run(node, error))
}

/// The node binary beside this one, else the first on `PATH`.
fn find(beside: Option<PathBuf>, path: Option<&OsStr>) -> Option<PathBuf> {
    let searched = path.into_iter().flat_map(std::env::split_paths);
    beside.into_iter().chain(searched).map(|folder| folder.join(NODE)).find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_beside_this_program_is_preferred_to_the_path() {
        let (beside, path) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let search = |beside: &Path| find(Some(beside.to_owned()), Some(path.path().as_os_str()));
        assert_eq!(search(beside.path()), None);
        std::fs::write(path.path().join(NODE), "").unwrap();
        assert_eq!(search(beside.path()), Some(path.path().join(NODE)));
        std::fs::write(beside.path().join(NODE), "").unwrap();
        assert_eq!(search(beside.path()), Some(beside.path().join(NODE)));
    }
}
