//! The Vault's wrapping key, which is replaced while the Vault serves (R076).
//!
//! Each has a generation and a file of its own. A rotation makes the next one, has every slot wrapped anew under it, and then
//! destroys the one before; whatever is wrapped says under which generation. After a crash there are two, and the next start goes on.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, PoisonError, RwLock};

use symphony_standby::place::Place;

use crate::custody::{Custody, secret_file};
use crate::keys::{DataKey, KeyError, WRAPPED_LEN};
use crate::people::Wrapped;

/// The wrapping keys that are there: one, and during a rotation the one before as well.
pub struct Ring {
    place: Place,
    custody: Arc<dyn Custody>,
    keys: RwLock<BTreeMap<u32, Arc<DataKey>>>,
}

impl Ring {
    /// Opens the keys of a folder, making the first on first use. **Errors**: [`KeyError`].
    pub fn open(place: impl Into<Place>, custody: Arc<dyn Custody>) -> Result<Self, KeyError> {
        let (place, mut generations) = (place.into(), Vec::new());
        for file in fs::read_dir(place.folder()).map_err(failed)? {
            let name = file.map_err(failed)?.file_name();
            generations.extend(name.to_str().and_then(generation));
        }
        generations.sort_unstable();
        let last = generations.last().copied().unwrap_or(FIRST);
        let mut keys = BTreeMap::new();
        for one in generations.into_iter().filter(|one| *one != last) {
            // A crash may have come between overwriting the former key and removing its file.
            if fs::read(place.folder().join(name(one))).map_err(failed)?.iter().all(|byte| *byte == 0) {
                place.destroy(&name(one)).map_err(failed)?;
            } else {
                keys.insert(one, load(&place, &*custody, one)?);
            }
        }
        keys.insert(last, load(&place, &*custody, last)?);
        Ok(Self { place, custody, keys: RwLock::new(keys) })
    }

    /// Whether there is another key than the latest.
    pub fn rotating(&self) -> bool {
        self.read().len() > 1
    }

    /// Wraps a key for one place under the latest. **Errors**: [`KeyError::Randomness`].
    pub fn wrap(&self, place: &[u8], secret: &[u8]) -> Result<Wrapped, KeyError> {
        let (generation, key) = self.latest();
        let key: [u8; WRAPPED_LEN] = key.seal(place, secret)?.try_into().map_err(|_| KeyError::Open)?;
        Ok(Wrapped { key, generation })
    }

    /// Opens a key that was wrapped for that place. **Errors**: [`KeyError::Open`], or [`KeyError::Generation`].
    pub fn unwrap(&self, place: &[u8], wrapped: &Wrapped) -> Result<zeroize::Zeroizing<Vec<u8>>, KeyError> {
        let key = self.read().get(&wrapped.generation).map(Arc::clone);
        key.ok_or(KeyError::Generation(wrapped.generation))?.open(place, &wrapped.key)
    }

    /// The same key under the latest; `None` when it is. **Errors**: as [`Self::unwrap`].
    pub fn rewrap(&self, place: &[u8], wrapped: &Wrapped) -> Result<Option<Wrapped>, KeyError> {
        if wrapped.generation == self.latest().0 {
            return Ok(None);
        }
        self.wrap(place, &self.unwrap(place, wrapped)?).map(Some)
    }

    /// Makes the next key, unless a rotation is under way. From here on everything is wrapped under it. **Errors**: [`KeyError`].
    pub fn advance(&self) -> Result<(), KeyError> {
        if self.rotating() {
            return Ok(());
        }
        let next = self.latest().0.checked_add(1).ok_or(KeyError::Randomness)?;
        let key = load(&self.place, &*self.custody, next)?;
        self.keys.write().unwrap_or_else(PoisonError::into_inner).insert(next, key);
        Ok(())
    }

    /// Destroys every key but the latest. Call when nothing is wrapped under them any more. **Errors**: [`KeyError::File`].
    pub fn settle(&self) -> Result<(), KeyError> {
        let latest = self.latest().0;
        let former: Vec<u32> = self.read().keys().copied().filter(|one| *one != latest).collect();
        for one in former {
            self.place.destroy(&name(one)).map_err(failed)?;
            self.keys.write().unwrap_or_else(PoisonError::into_inner).remove(&one);
        }
        Ok(())
    }

    fn latest(&self) -> (u32, Arc<DataKey>) {
        let keys = self.read();
        let (generation, key) =
            keys.last_key_value().expect("invariant: a ring has a key from its opening on");
        (*generation, Arc::clone(key))
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<u32, Arc<DataKey>>> {
        // A map of whole entries is whole whoever panicked while holding it.
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn load(place: &Place, custody: &dyn Custody, generation: u32) -> Result<Arc<DataKey>, KeyError> {
    let secret = secret_file(place, &name(generation), custody)?;
    Ok(Arc::new(DataKey::new(&secret)))
}

fn name(generation: u32) -> String {
    format!("storage.{generation}.key")
}

fn generation(name: &str) -> Option<u32> {
    name.strip_prefix("storage.")?.strip_suffix(".key")?.parse().ok()
}

fn failed(error: std::io::Error) -> KeyError {
    KeyError::File(FILES.to_owned(), error)
}

const FIRST: u32 = 1;
const FILES: &str = "storage.*.key";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::custody::Bare;

    fn ring(folder: &Path) -> Ring {
        Ring::open(folder, Arc::new(Bare)).unwrap()
    }

    fn files(folder: &Path) -> Vec<String> {
        let names =
            fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    /// R076: both keys open what is theirs until the former is destroyed, over any number of starts.
    #[test]
    fn a_former_key_opens_until_it_is_destroyed() {
        let folder = tempfile::tempdir().unwrap();
        let first = ring(folder.path());
        let wrapped = first.wrap(b"here", &[7; 32]).unwrap();
        let former = fs::read(folder.path().join("storage.1.key")).unwrap();
        first.advance().unwrap();
        first.advance().unwrap();
        drop(first);
        let second = ring(folder.path());
        assert!(second.rotating());
        assert_eq!(files(folder.path()), ["storage.1.key", "storage.2.key"]);
        let next = second.rewrap(b"here", &wrapped).unwrap().unwrap();
        assert_eq!((wrapped.generation, next.generation), (1, 2));
        assert_eq!(second.rewrap(b"here", &next).unwrap(), None);
        assert!(second.rewrap(b"there", &wrapped).is_err(), "a key is of one place");
        second.settle().unwrap();
        assert_eq!(files(folder.path()), ["storage.2.key"]);
        assert_ne!(fs::read(folder.path().join("storage.2.key")).unwrap(), former);
        assert!(matches!(second.unwrap(b"here", &wrapped), Err(KeyError::Generation(1))));
        assert_eq!(second.unwrap(b"here", &next).unwrap().as_slice(), [7; 32]);
    }

    /// R076: a key that was overwritten and not removed is none.
    #[test]
    fn a_crash_inside_the_destruction_is_made_good() {
        let folder = tempfile::tempdir().unwrap();
        ring(folder.path()).advance().unwrap();
        fs::write(folder.path().join("storage.1.key"), [0; 32]).unwrap();
        let ring = ring(folder.path());
        assert!(!ring.rotating());
        assert_eq!(files(folder.path()), ["storage.2.key"]);
    }
}
