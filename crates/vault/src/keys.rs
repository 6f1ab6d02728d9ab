//! The secrets of a Vault, made once and kept as their [`crate::custody`] says (R076, R205).
//!
//! The Vault's key ([`crate::ring`]) wraps one data key per person, and that one wraps a key per receipt document, so that
//! destroying a wrapped key erases what it sealed (D12); it wraps the key of each segment, and the one that dividends are under.
//! The index secret turns a person's id into the digest that the journal knows it by. No secret has `Debug`; all
//! are wiped when dropped.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use symphony_protocol::vault::subjects::SubjectKey;
use symphony_standby::place::Place;
use symphony_types::digest::Digest;
use symphony_types::id::SubjectId;
use symphony_types::key::{PrivateKey, Vault};
use symphony_types::subjects::SubjectIndex;
use symphony_wire::sealed::SealingKey;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::custody::passphrase::sealed;
use crate::custody::{Bare, Custody, Secret, secret_file};
use crate::people::{PEOPLE_FILE, Page, PeopleKeys, Wrapped};
use crate::periods::{PERIODS_FILE, PeriodKey, Periods};
use crate::ring::Ring;

/// A key cannot be had or does not fit.
#[derive(Debug, Error)]
pub enum KeyError {
    /// A key file cannot be read or written.
    #[error("opening key file {0}")]
    File(String, #[source] io::Error),
    /// A key file does not hold a key.
    #[error("key file {0} is damaged")]
    Damaged(String),
    /// The folder is laid out as an earlier build did.
    #[error(
        "the vault's folder was made by an earlier build, which kept people's keys in its database; this one does not read it: \
         found {0}"
    )]
    Earlier(&'static str),
    /// The folder's secrets are under a passphrase, and none was given.
    #[error("the vault's secrets are sealed under a passphrase: name its file in the node's configuration")]
    Sealed,
    /// A passphrase was given, and the folder's secrets are not under one.
    #[error("the vault's secrets are bare files: seal them with `symphonyd seal`, or name no passphrase")]
    Bare,
    /// Another passphrase than the one that the secrets are under.
    #[error("the passphrase does not open the vault's secrets")]
    Passphrase,
    /// Nothing is there to open: a person is erased, or was never enrolled.
    #[error("there is no key at this place")]
    Gone,
    /// A key is wrapped under one of the Vault's keys that is not there.
    #[error("the vault's key of generation {0} is not there")]
    Generation(u32),
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
    /// Wraps every other key.
    pub ring: Ring,
    /// People's keys.
    pub people: PeopleKeys,
    /// The key that dividends are under.
    pub(crate) dividends: PeopleKeys,
    /// The keys of the days on which records arrived.
    pub(crate) periods: Periods,
    index: Secret,
}

impl VaultKeys {
    /// Opens the keys of a Vault's folder as they are, making them on first use. **Errors**: [`KeyError`].
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        Self::kept(folder, Arc::new(Bare))
    }

    /// Opens the keys of a Vault's folder, making them on first use. **Errors**: [`KeyError`], or the custody's refusal.
    pub fn kept(place: impl Into<Place>, custody: Arc<dyn Custody>) -> Result<Self, KeyError> {
        let place = &place.into();
        let folder = place.folder();
        fs::create_dir_all(folder).map_err(|error| KeyError::File("folder".to_owned(), error))?;
        if let Some(file) = EARLIER.into_iter().find(|file| folder.join(file).exists()) {
            return Err(KeyError::Earlier(file));
        }
        if custody.bare() && sealed(folder) {
            return Err(KeyError::Sealed);
        }
        let signing = secret_file(place, "signing.key", &*custody)?;
        let sealing = secret_file(place, "sealing.key", &*custody)?;
        let index = secret_file(place, "index.key", &*custody)?;
        let slots = |name: &str| {
            PeopleKeys::open(place, name).map_err(|error| KeyError::File(name.to_owned(), error))
        };
        Ok(Self {
            signing: PrivateKey::from_seed(&signing),
            sealing: SealingKey::from_seed(&sealing),
            ring: Ring::open(place, custody)?,
            people: slots(PEOPLE_FILE)?,
            dividends: slots(DIVIDENDS_FILE)?,
            periods: Periods::new(slots(PERIODS_FILE)?),
            index,
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

    /// New data keys for people whose positions follow each other, on disk with one write. **Errors**: [`KeyError`].
    pub fn new_people(&self, from: SubjectIndex, people: usize) -> Result<Vec<DataKey>, KeyError> {
        let (mut keys, mut slots) = (Vec::with_capacity(people), Vec::with_capacity(people));
        for subject in (from.0..).take(people).map(SubjectIndex) {
            let secret = random()?;
            slots.push(self.ring.wrap(&wrap_place(subject), secret.as_slice())?);
            keys.push(DataKey::new(&secret));
        }
        self.people.put(from.0, &slots)?;
        Ok(keys)
    }

    /// The data key of a person. **Errors**: [`KeyError`]; [`KeyError::Gone`] when it is erased.
    pub fn data_key(&self, subject: SubjectIndex) -> Result<DataKey, KeyError> {
        self.opened(subject, self.people.get(subject.0)?)
    }

    /// The data keys of many people, quickest in ascending order.
    pub fn reader(&self) -> PeopleReader<'_> {
        PeopleReader { keys: self, page: Page::default() }
    }

    /// Opens what was read of a person's slot.
    fn opened(&self, subject: SubjectIndex, read: Option<Wrapped>) -> Result<DataKey, KeyError> {
        let open = |wrapped: Option<Wrapped>| {
            let wrapped = wrapped.ok_or(KeyError::Gone)?;
            key_of(&self.ring.unwrap(&wrap_place(subject), &wrapped)?)
        };
        match open(read) {
            // A rotation came between reading the slot and opening it.
            Err(KeyError::Generation(_)) => open(self.people.get(subject.0)?),
            opened => opened,
        }
    }

    /// The key that dividends are under, made on first use. **Errors**: [`KeyError`].
    pub(crate) fn dividends_key(&self) -> Result<DataKey, KeyError> {
        let read = || match self.dividends.get(0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            read => read,
        };
        let open = |wrapped: &Wrapped| key_of(&self.ring.unwrap(DIVIDENDS_PLACE, wrapped)?);
        match read()? {
            Some(wrapped) => match open(&wrapped) {
                Err(KeyError::Generation(_)) => open(&read()?.ok_or(KeyError::Gone)?),
                opened => opened,
            },
            None => {
                let secret = random()?;
                let wrapped = self.ring.wrap(DIVIDENDS_PLACE, secret.as_slice())?;
                self.dividends.put(0, &[wrapped])?;
                Ok(DataKey::new(&secret))
            }
        }
    }

    /// Wraps every person's key, those of periods, and that of dividends, under the latest of the Vault's keys. How many were not. **Errors**:
    /// [`KeyError`].
    pub fn rewrap(&self) -> Result<u64, KeyError> {
        let people =
            self.people.replace(|slot, known| self.ring.rewrap(&wrap_place(SubjectIndex(slot)), &known))?;
        let dividends = self.dividends.replace(|_, known| self.ring.rewrap(DIVIDENDS_PLACE, &known))?;
        Ok(people + self.rewrap_periods()? + dividends)
    }
}

/// Reads a page of people's keys at a time.
pub struct PeopleReader<'a> {
    keys: &'a VaultKeys,
    page: Page,
}

impl PeopleReader<'_> {
    /// The data key of a person. **Errors**: as [`VaultKeys::data_key`].
    pub fn key(&mut self, subject: SubjectIndex) -> Result<DataKey, KeyError> {
        if !self.page.has(subject.0) {
            self.keys.people.page(subject.0, &mut self.page)?;
        }
        self.keys.opened(subject, self.page.get(subject.0))
    }
}

fn key_of(secret: &[u8]) -> Result<DataKey, KeyError> {
    let secret: &[u8; SECRET_LEN] = secret.try_into().map_err(|_| KeyError::Open)?;
    Ok(DataKey::new(secret))
}

impl From<io::Error> for KeyError {
    fn from(error: io::Error) -> Self {
        Self::File("of slots".to_owned(), error)
    }
}

/// AES-256-GCM under one key with random nonces. **Shape** of what it seals: nonce, ciphertext, tag.
pub struct DataKey {
    key: LessSafeKey,
    secret: Secret,
}

impl DataKey {
    pub(crate) fn new(secret: &[u8; SECRET_LEN]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, secret).expect("AES-256 takes every 32 bytes for a key");
        Self { key: LessSafeKey::new(key), secret: Secret::new(*secret) }
    }

    /// What a person's records of a period are under, this being the person's key.
    pub fn within(&self, period: &PeriodKey) -> Self {
        period.of(&self.secret)
    }

    /// A new key under this one: the key and its wrapped form for one place. **Errors**: [`KeyError::Randomness`].
    pub fn new_inner(&self, place: &[u8]) -> Result<(Self, Vec<u8>), KeyError> {
        let secret = random()?;
        let wrapped = self.seal(place, secret.as_slice())?;
        Ok((Self::new(&secret), wrapped))
    }

    /// A key that was wrapped under this one for that place. **Errors**: [`KeyError::Open`].
    pub fn inner(&self, place: &[u8], wrapped: &[u8]) -> Result<Self, KeyError> {
        key_of(&self.open(place, wrapped)?)
    }

    /// Seals bytes for one place. **Errors**: [`KeyError::Randomness`].
    pub fn seal(&self, place: &[u8], plain: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| KeyError::Randomness)?;
        let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + TAG_LEN);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(place), &mut sealed[NONCE_LEN..]);
        sealed.extend_from_slice(tag.map_err(|_| KeyError::Open)?.as_ref());
        Ok(sealed)
    }

    /// Opens what was sealed for this place. **Errors**: [`KeyError::Open`].
    pub fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(KeyError::Open)?;
        let mut buffer = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain =
            self.key.open_in_place(nonce, Aad::from(place), &mut buffer).map_err(|_| KeyError::Open)?.len();
        buffer.truncate(plain);
        Ok(buffer)
    }
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

/// Bytes of a wrapped key.
pub const WRAPPED_LEN: usize = NONCE_LEN + SECRET_LEN + TAG_LEN;
pub(crate) const SECRET_LEN: usize = 32;
const TAG_LEN: usize = 16;
const DIVIDENDS_FILE: &str = "dividends.keys";
const DIVIDENDS_PLACE: &[u8] = b"dividends";
/// Secrets of a folder in which people's keys stood in the database.
const EARLIER: [&str; 2] = ["storage.key", "analysis.key"];
