//! `symphony-guard`: one master's voting key in a process of its own, and nothing else (R205).

use std::alloc::System;
use std::fs;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Parser;
use symphony_consensus::quorum::socket::Admission;
use symphony_consensus::quorum::socket::desk::{Desk, serve};
use symphony_guard::birth::{Born, born};
use symphony_guard::config::GuardConfig;
use symphony_guard::lockdown::lock_down;
use symphony_guard::store::private_folder;
use zeroizing_alloc::ZeroAlloc;

/// All memory is wiped as it is freed, also copies of the key that decoders leave behind.
#[global_allocator]
static HEAP: ZeroAlloc<System> = ZeroAlloc(System);

#[derive(Parser)]
#[command(name = "symphony-guard", version, about = "Signs one master's votes by the rules (class software)")]
struct Cli {
    /// The guard's configuration file
    #[arg(long)]
    config: PathBuf,
    /// End when standard input ends: set by a supervisor, so that no guard outlives it
    #[arg(long)]
    supervised: bool,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    stay_silent_about_keys();
    let config = GuardConfig::load(&cli.config)?;
    // First: it holds the folder, so what stands at the socket's place is left of a guard that has ended.
    let born = born(&config)?;
    let listener =
        listen(&config.socket).with_context(|| format!("listening on {}", config.socket.display()))?;
    let writes = config.admission == Admission::Trusted;
    let held = lock_down(writes.then_some(config.state.as_path()))?;

    let Born { guard, cluster, seat, key, origin } = born;
    let mut desk = Desk::new(guard, cluster, seat, config.admission);
    let (class, admission) = (desk.status().class.as_str(), config.admission.as_str());
    let line = serde_json::json!({
        "level": "INFO", "what": "guard started", "node": config.node, "seat": seat.0, "class": class,
        "admission": admission, "origin": origin.as_str(), "key": format!("{key:?}"),
        "cluster": cluster.to_hex(), "lockdown": held,
    });
    eprintln!("{line}");
    // A supervisor may not listen.
    let _ = writeln!(
        io::stdout(),
        "guard of {} ready: class {class}, admission {admission}, {}",
        config.node,
        origin.as_str()
    );
    let supervisor = io::stdin();
    serve(&listener, &mut desk, cli.supervised.then(|| supervisor.as_fd())).context("serving")?;
    eprintln!("{}", serde_json::json!({ "level": "INFO", "what": "guard ended with its supervisor" }));
    Ok(())
}

/// Listens where only this user may connect. **Errors**: the folder is open to others, or the place is taken by
/// something that is no socket.
fn listen(path: &Path) -> Result<UnixListener> {
    private_folder(path.parent().unwrap_or_else(|| Path::new(".")))?;
    match fs::symlink_metadata(path) {
        Ok(left) => {
            use std::os::unix::fs::FileTypeExt as _;
            anyhow::ensure!(left.file_type().is_socket(), "something else stands there");
            fs::remove_file(path)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// A panic message may quote what was being worked on; the log gets the place only.
fn stay_silent_about_keys() {
    std::panic::set_hook(Box::new(|panic| match panic.location() {
        Some(place) => eprintln!("guard stopped at {place}"),
        None => eprintln!("guard stopped"),
    }));
}
