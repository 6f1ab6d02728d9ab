//! A wiretap for development: all that a node says to other nodes and hears from them, written down in clear, so that
//! a test can look for what must never be said (R002).
//!
//! Whoever reads the folder reads every message. A node therefore opens a wiretap only when its configuration names
//! one, and refuses to start with one under a policy that refuses software enclaves.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Peer;

/// Connections that this process has tapped.
static TAPPED: AtomicU64 = AtomicU64::new(0);

/// Where connections are written down.
#[derive(Clone, Debug)]
pub struct Wiretap {
    folder: Arc<Path>,
}

impl Wiretap {
    /// A wiretap into a folder, which is made when absent. **Errors**: those of the file system.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.into() })
    }

    /// Two new files for a connection with `peer`, `<peer>.<process>-<number>.sent` and `.received`.
    pub(super) fn tap(&self, peer: &Peer) -> io::Result<Tap> {
        let number = TAPPED.fetch_add(1, Ordering::Relaxed);
        let file = |direction: &str| {
            let name = format!("{}.{}-{number}.{direction}", peer.node, std::process::id());
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.folder.join(name))
        };
        Ok(Tap { sent: file("sent")?, received: file("received")? })
    }
}

/// The two directions of one connection. A byte that cannot be written down ends the connection.
pub(super) struct Tap {
    sent: File,
    received: File,
}

impl Tap {
    pub(super) fn sent(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sent.write_all(bytes)
    }

    pub(super) fn received(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.received.write_all(bytes)
    }
}
