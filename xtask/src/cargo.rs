//! Runs cargo and other programs as children, with the build folder that all of them share.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context, Result, bail};
use xtask::repo;

/// A cargo command in the workspace's folder.
pub(crate) fn cargo<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // A test program may have been built by another checkout that shares the build folder; its snapshots are of this one.
    command.current_dir(repo::root()).args(args).env("INSTA_WORKSPACE_ROOT", repo::root());
    if let Some(target) = repo::target_dir() {
        command.env("CARGO_TARGET_DIR", target);
    }
    // What cargo told this tool about itself looks to a build script like a change, and half of the workspace would be built again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Builds every binary of the workspace: processes start each other by the path beside their own.
pub(crate) fn build_bins() -> Result<()> {
    run(&mut build())
}

/// Builds every binary and every example.
pub(crate) fn build_examples() -> Result<()> {
    run(build().arg("--examples"))
}

/// With the feature that tests ask for, so that nothing is built twice and a development network can play hardware; a
/// release has it not.
fn build() -> Command {
    cargo(["build", "--workspace", "--bins", "--locked", "--features", "symphony-tee/development"])
}

/// A program that the workspace built, by its path below the build folder's `debug`.
pub(crate) fn program(name: &str) -> Command {
    let target = repo::target_dir().unwrap_or_else(|| repo::root().join("target"));
    Command::new(target.join("debug").join(name))
}

/// Runs a command to its end with its output visible.
///
/// **Errors**: when it cannot start or does not succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {}", shown(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs a command to its end and returns what it printed.
///
/// **Errors**: when it cannot start or does not succeed; the text then holds its error output.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let out = command.output().with_context(|| format!("starting {}", shown(command)))?;
    if !out.status.success() {
        bail!("{} failed: {}", shown(command), String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(out.stdout)
}

fn shown(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let name = program.rsplit('/').next().unwrap_or(&program).to_owned();
    command.get_args().fold(name, |line, arg| line + " " + &arg.to_string_lossy())
}
