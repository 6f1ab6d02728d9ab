//! The secrets of a Vault, made once and kept in files that only their owner may read (R076, R205).
//!
//! The storage key wraps one data key per person, and that one wraps a key per receipt document, so that destroying a
//! wrapped key erases what it sealed (D12).
//! The index secret turns a person's id into the digest that the journal knows it by. No secret has `Debug`; all
//! are wiped when dropped.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use symphony_protocol::vault::subjects::SubjectKey;
use symphony_types::digest::Digest;
use symphony_types::id::SubjectId;
use symphony_types::key::{PrivateKey, Vault};
use symphony_types::subjects::SubjectIndex;
use symphony_wire::sealed::SealingKey;
use thiserror::Error;
use zeroize::Zeroizing;

/// A key cannot be had or does not fit.
#[derive(Debug, Error)]
pub enum KeyError {
    /// A key file cannot be read or written.
    #[error("opening key file {0}")]
    File(&'static str, #[source] io::Error),
    /// A key file does not hold a key.
    #[error("key file {0} is damaged")]
    Damaged(&'static str),
    /// The operating system gave no randomness.
    #[error("no randomness")]
    Randomness,
    /// What is stored was changed, or belongs to another person or place.
    #[error("a stored value does not open under its key")]
    Open,
}

/// Everything secret about a Vault.
pub struct VaultKeys {
    /// Signs receipts, slice headers and statements.
    pub signing: PrivateKey<Vault>,
    /// Opens users' operations.
    pub sealing: SealingKey,
    /// Wraps people's data keys.
    pub storage: DataKey,
    index: Zeroizing<[u8; SECRET_LEN]>,
}

impl VaultKeys {
    /// Opens the keys of a Vault's folder, making them on first use. **Errors**: [`KeyError`].
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        fs::create_dir_all(folder).map_err(|error| KeyError::File("folder", error))?;
        Ok(Self {
            signing: PrivateKey::from_seed(&*secret_file(folder, "signing.key")?),
            sealing: SealingKey::from_seed(&*secret_file(folder, "sealing.key")?),
            storage: DataKey::new(&*secret_file(folder, "storage.key")?),
            index: secret_file(folder, "index.key")?,
        })
    }

    /// What the journal calls a person.
    pub fn subject_key(&self, subject: &SubjectId) -> SubjectKey {
        SubjectKey(self.keyed("symphony/subject/v1", subject.as_str().as_bytes()))
    }

    /// A digest that says nothing without the index secret.
    pub fn keyed(&self, tag: &str, bytes: &[u8]) -> Digest {
        let mut input = Zeroizing::new(Vec::with_capacity(SECRET_LEN + bytes.len()));
        input.extend_from_slice(self.index.as_slice());
        input.extend_from_slice(bytes);
        Digest::tagged(tag, &input)
    }

    /// A new data key for a person: the key and its wrapped form. **Errors**: [`KeyError::Randomness`].
    pub fn new_data_key(&self, subject: SubjectIndex) -> Result<(DataKey, Vec<u8>), KeyError> {
        self.storage.new_inner(&wrap_place(subject))
    }

    /// The data key of a person. **Errors**: [`KeyError::Open`].
    pub fn data_key(&self, subject: SubjectIndex, wrapped: &[u8]) -> Result<DataKey, KeyError> {
        self.storage.inner(&wrap_place(subject), wrapped)
    }
}

/// AES-256-GCM under one key with random nonces. **Shape** of what it seals: nonce, ciphertext, tag.
pub struct DataKey(LessSafeKey);

impl DataKey {
    fn new(secret: &[u8; SECRET_LEN]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, secret).expect("AES-256 takes every 32 bytes for a key");
        Self(LessSafeKey::new(key))
    }

    /// A new key under this one: the key and its wrapped form for one place. **Errors**: [`KeyError::Randomness`].
    pub fn new_inner(&self, place: &[u8]) -> Result<(Self, Vec<u8>), KeyError> {
        let secret = random()?;
        let wrapped = self.seal(place, secret.as_slice())?;
        Ok((Self::new(&secret), wrapped))
    }

    /// A key that was wrapped under this one for that place. **Errors**: [`KeyError::Open`].
    pub fn inner(&self, place: &[u8], wrapped: &[u8]) -> Result<Self, KeyError> {
        let secret = self.open(place, wrapped)?;
        let secret: &[u8; SECRET_LEN] = secret.as_slice().try_into().map_err(|_| KeyError::Open)?;
        Ok(Self::new(secret))
    }

    /// Seals bytes for one place. **Errors**: [`KeyError::Randomness`].
    pub fn seal(&self, place: &[u8], plain: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| KeyError::Randomness)?;
        let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + TAG_LEN);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(place), &mut sealed[NONCE_LEN..]);
        sealed.extend_from_slice(tag.map_err(|_| KeyError::Open)?.as_ref());
        Ok(sealed)
    }

    /// Opens what was sealed for this place. **Errors**: [`KeyError::Open`].
    pub fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(KeyError::Open)?;
        let mut buffer = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain =
            self.0.open_in_place(nonce, Aad::from(place), &mut buffer).map_err(|_| KeyError::Open)?.len();
        buffer.truncate(plain);
        Ok(buffer)
    }
}

/// The key that wraps the keys of segments, made on first use. **Errors**: [`KeyError`].
pub fn segments_key(folder: &Path) -> Result<DataKey, KeyError> {
    Ok(DataKey::new(&*secret_file(folder, "analysis.key")?))
}

/// 32 random bytes. **Errors**: [`KeyError::Randomness`].
pub fn random() -> Result<Zeroizing<[u8; SECRET_LEN]>, KeyError> {
    let mut bytes = Zeroizing::new([0; SECRET_LEN]);
    rand::fill(bytes.as_mut_slice()).map_err(|_| KeyError::Randomness)?;
    Ok(bytes)
}

fn wrap_place(subject: SubjectIndex) -> [u8; 12] {
    let mut place = *b"data-key\0\0\0\0";
    place[8..].copy_from_slice(&subject.0.to_be_bytes());
    place
}

/// Reads a secret of a folder, or makes it. It gets its name only when it is whole and on disk.
fn secret_file(folder: &Path, name: &'static str) -> Result<Zeroizing<[u8; SECRET_LEN]>, KeyError> {
    let path = folder.join(name);
    let failed = |error| KeyError::File(name, error);
    if !path.exists() {
        let secret = random()?;
        let draft = folder.join(format!("{name}.new"));
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&draft).map_err(failed)?;
        file.write_all(secret.as_slice()).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&draft, &path).map_err(failed)?;
    }
    let bytes = Zeroizing::new(fs::read(&path).map_err(failed)?);
    let secret: [u8; SECRET_LEN] = bytes.as_slice().try_into().map_err(|_| KeyError::Damaged(name))?;
    Ok(Zeroizing::new(secret))
}

/// Bytes of a wrapped key.
pub const WRAPPED_LEN: usize = NONCE_LEN + SECRET_LEN + TAG_LEN;
const SECRET_LEN: usize = 32;
const TAG_LEN: usize = 16;
