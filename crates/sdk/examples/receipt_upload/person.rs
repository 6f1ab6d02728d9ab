//! One person of a demo's network.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use symphony_sdk::client::Client;
use symphony_sdk::erasure;
use symphony_types::id::ActorId;

/// A client with a fresh token for a person.
pub(crate) fn producer(dir: &Path, name: &str) -> Result<Client> {
    let program = std::env::current_exe()?;
    let program = program.ancestors().nth(2).context("finding the build folder")?.join("symphonyd");
    let output = Command::new(program)
        .args(["token", "--actor", name, "--roles", "producer", "--seconds", "3600", "--dir"])
        .arg(dir)
        .output()?;
    ensure!(output.status.success(), "no token: {}", String::from_utf8_lossy(&output.stderr));
    let folder = dir.join("clients").join("luckin");
    let profile: toml::Table = std::fs::read_to_string(folder.join("client.toml"))?.parse()?;
    let gateway =
        profile.get("gateway").and_then(toml::Value::as_str).context("no gateway in the profile")?;
    let ca = std::fs::read(folder.join("ca.pem"))?;
    let client = Client::new(gateway, Some(&ca), Some(String::from_utf8(output.stdout)?.trim()))?;
    let governance = erasure::governance(&std::fs::read(dir.join("governance.bcs"))?)?;
    Ok(client.sealing(governance, ActorId::new(name)?))
}
