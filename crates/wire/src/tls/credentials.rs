//! A node's credentials while it runs: the files are read again when they change, and what cannot be used is refused
//! with a line in the log while the former stays in use (R206).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use symphony_types::digest::Digest;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::TlsError;
use super::material::{Authorities, CHAIN_FILE, KEY_FILE, Material, REVOKED_FILE, next_key, pair, seen};
use super::revocation::{Fault, Revocations};
use super::wiretap::Wiretap;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A node's certificate, its key, and the authorities that it believes, as they are now. Clones change together.
#[derive(Clone)]
pub struct Credentials {
    live: Arc<Live>,
    pub(super) wiretap: Option<Wiretap>,
}

struct Live {
    folder: PathBuf,
    provider: Arc<CryptoProvider>,
    authorities: Authorities,
    material: watch::Sender<Arc<Material>>,
    /// What was last tried of the files, so that a change is tried once.
    tried: Mutex<Tried>,
}

/// Digests of files: of certificate and keys, and of the revocations.
#[derive(Clone, Default, PartialEq, Eq)]
struct Tried {
    pair: Vec<Option<Digest>>,
    revoked: Vec<Option<Digest>>,
}

impl Tried {
    fn read(folder: &Path) -> io::Result<Self> {
        let key = folder.join(KEY_FILE);
        let pair = seen(&[&folder.join(CHAIN_FILE), &key, &next_key(&key)])?;
        Ok(Self { pair, revoked: seen(&[&folder.join(REVOKED_FILE)])? })
    }
}

impl Credentials {
    /// Loads `ca.pem`, `node.pem`, `node.key` and, when it is there, `crl.pem` of a folder. **Errors**: [`TlsError`].
    pub fn load(folder: &Path) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let authorities = Authorities::load(folder)?;
        // Before the files themselves: what changes in between is seen as a change.
        let tried = Tried::read(folder)?;
        let revocations = match tried.revoked[..] {
            [Some(_)] => {
                Revocations::parse(&fs::read(folder.join(REVOKED_FILE))?, &authorities.certificates)?
            }
            _ => Revocations::default(),
        };
        let pair = pair(&folder.join(CHAIN_FILE), &folder.join(KEY_FILE), &provider)?;
        let material = Material::new(0, pair, revocations, &authorities, &provider)?;
        let live = Live {
            folder: folder.to_owned(),
            provider,
            authorities,
            material: watch::Sender::new(Arc::new(material)),
            tried: Mutex::new(tried),
        };
        Ok(Self { live: Arc::new(live), wiretap: None })
    }

    /// The same credentials; every connection that is made or accepted with them is tapped if there is a wiretap.
    pub fn tapped(self, wiretap: Option<Wiretap>) -> Self {
        Self { wiretap, ..self }
    }

    /// Looks at the files every second for as long as somebody has these credentials. Call within a runtime.
    pub fn keep_current(&self) {
        let live: Weak<Live> = Arc::downgrade(&self.live);
        tokio::spawn(async move {
            let mut ticks = interval(LOOK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Some(live) = live.upgrade() else { return };
                // A panic there would be a bug of the parsers; the next look is another one.
                let _ = tokio::task::spawn_blocking(move || live.look()).await;
            }
        });
    }

    /// Looks at the files now. What changed is in use afterwards, or refused in the log.
    pub fn look(&self) {
        self.live.look();
    }

    /// What handshakes run with now.
    pub(super) fn now(&self) -> Arc<Material> {
        self.live.material.borrow().clone()
    }

    pub(super) fn changes(&self) -> watch::Receiver<Arc<Material>> {
        self.live.material.subscribe()
    }
}

impl Live {
    fn look(&self) {
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match Tried::read(&self.folder) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(folder = %self.folder.display(), %error, "credentials cannot be read");
                return;
            }
        };
        if found.revoked != tried.revoked {
            match self.revoke() {
                Ok(()) => tracing::info!("a new list of revoked certificates is in use"),
                Err(error) => tracing::warn!(%error, "the former list of revoked certificates stays in use"),
            }
        }
        if found.pair != tried.pair {
            match self.rotate() {
                Ok(true) => tracing::info!("a new certificate is in use"),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "the former certificate stays in use"),
            }
        }
        *tried = found;
    }

    /// Takes the folder's certificate into use; whether it is another one.
    fn rotate(&self) -> Result<bool, TlsError> {
        let now = self.material.borrow().clone();
        let pair = pair(&self.folder.join(CHAIN_FILE), &self.folder.join(KEY_FILE), &self.provider)?;
        if pair.cert == now.pair.cert {
            return Ok(false);
        }
        now.admit(&pair, &self.authorities, &self.provider)?;
        let (generation, revocations) = (now.generation + 1, now.revocations.clone());
        self.put(Material::new(generation, pair, revocations, &self.authorities, &self.provider)?);
        Ok(true)
    }

    /// Takes the folder's list of revoked certificates into use.
    fn revoke(&self) -> Result<(), TlsError> {
        let now = self.material.borrow().clone();
        let pem = match fs::read(self.folder.join(REVOKED_FILE)) {
            Ok(pem) => pem,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Fault::Older.into()),
            Err(error) => return Err(error.into()),
        };
        let revocations = Revocations::parse(&pem, &self.authorities.certificates)?;
        revocations.supersede(&now.revocations)?;
        let (generation, pair) = (now.generation, now.pair.clone());
        self.put(Material::new(generation, pair, revocations, &self.authorities, &self.provider)?);
        Ok(())
    }

    fn put(&self, material: Material) {
        self.material.send_replace(Arc::new(material));
    }
}
