//! The keys of the days on which uploaded records arrived (R076, R080).
//!
//! A record is sealed under what its person's key and that of its day give together, so that the end of either is its end: the person's
//! when it is erased, the day's when its records were kept for their time. Keys of days stand in slots as people's do, one after the
//! other, and are overwritten in place.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use aws_lc_rs::hmac;

use crate::keys::{DataKey, KeyError, SECRET_LEN, VaultKeys, random};
use crate::people::{PeopleKeys, Wrapped};

/// The keys of periods.
pub const PERIODS_FILE: &str = "periods.keys";

/// The key of one period.
pub struct PeriodKey(hmac::Key);

impl PeriodKey {
    fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// What records of the period are under, of the person with this secret: HMAC-SHA256 of it under the period's.
    pub(crate) fn of(&self, person: &[u8; SECRET_LEN]) -> DataKey {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(RECORDS);
        context.update(person);
        let mut secret = zeroize::Zeroizing::new([0; SECRET_LEN]);
        secret.copy_from_slice(context.sign().as_ref());
        DataKey::new(&secret)
    }
}

/// The keys of all periods, and of those the ones that were used since the start.
pub(crate) struct Periods {
    slots: PeopleKeys,
    opened: RwLock<BTreeMap<u32, Arc<PeriodKey>>>,
}

impl Periods {
    pub(crate) fn new(slots: PeopleKeys) -> Self {
        Self { slots, opened: RwLock::default() }
    }

    fn opened(&self) -> RwLockWriteGuard<'_, BTreeMap<u32, Arc<PeriodKey>>> {
        // A map of whole entries is whole whoever panicked while holding it.
        self.opened.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VaultKeys {
    /// A new key for a period, on disk. **Errors**: [`KeyError`].
    pub fn new_period(&self, number: u32) -> Result<Arc<PeriodKey>, KeyError> {
        let secret = random()?;
        let wrapped = self.ring.wrap(&place(number), secret.as_slice())?;
        let mut opened = self.periods.opened();
        self.periods.slots.put(number, &[wrapped])?;
        let key = Arc::new(PeriodKey::new(secret.as_slice()));
        opened.insert(number, Arc::clone(&key));
        Ok(key)
    }

    /// The key of a period. **Errors**: [`KeyError`]; [`KeyError::Gone`] when its records have ended.
    pub fn period(&self, number: u32) -> Result<Arc<PeriodKey>, KeyError> {
        let known = self.periods.opened.read().unwrap_or_else(PoisonError::into_inner).get(&number).cloned();
        if let Some(key) = known {
            return Ok(key);
        }
        // Under the lock that an end takes, so that no key is known longer than its slot has it.
        let mut opened = self.periods.opened();
        let open = || {
            let wrapped = self.periods.slots.get(number)?.ok_or(KeyError::Gone)?;
            self.ring.unwrap(&place(number), &wrapped)
        };
        let secret = match open() {
            // A rotation came between reading the slot and opening it.
            Err(KeyError::Generation(_)) => open()?,
            secret => secret?,
        };
        let key = Arc::new(PeriodKey::new(&secret));
        opened.insert(number, Arc::clone(&key));
        Ok(key)
    }

    /// Overwrites the keys of these periods in place. **Errors**: those of the file system; then some may be there.
    pub fn end_periods(&self, ended: Range<u32>) -> Result<(), KeyError> {
        let mut opened = self.periods.opened();
        opened.retain(|number, _| !ended.contains(number));
        Ok(self.periods.slots.erase(ended)?)
    }

    /// Overwrites keys that a crash left of periods from `len` on. **Errors**: those of the file system, or there are fewer.
    pub(crate) fn trim_periods(&self, len: u32) -> Result<(), KeyError> {
        Ok(self.periods.slots.trim(len)?)
    }

    /// Whether the slot of a period holds a key. **Errors**: those of the file system.
    pub(crate) fn has_period(&self, number: u32) -> Result<bool, KeyError> {
        Ok(self.periods.slots.get(number)?.is_some())
    }

    /// Wraps every key of a period under the latest of the Vault's keys. How many were not. **Errors**: [`KeyError`].
    pub(crate) fn rewrap_periods(&self) -> Result<u64, KeyError> {
        self.periods.slots.replace(|slot, known: Wrapped| self.ring.rewrap(&place(slot), &known))
    }
}

fn place(number: u32) -> [u8; 10] {
    let mut place = *b"period\0\0\0\0";
    place[6..].copy_from_slice(&number.to_be_bytes());
    place
}

/// What is asked of a period's key.
const RECORDS: &[u8] = b"symphony/period-records/v1";

#[cfg(test)]
mod tests {
    use super::*;

    /// R076, R080: a record opens under the key of its person and that of its period together, and under nothing else; an ended period
    /// has no key in memory or on disk, over a rotation of the Vault's key and a start.
    #[test]
    fn a_record_is_under_its_person_and_its_period() {
        let folder = tempfile::tempdir().unwrap();
        let keys = VaultKeys::open(folder.path()).unwrap();
        let people = keys.new_people(symphony_types::subjects::SubjectIndex(0), 2).unwrap();
        let (one, two) = (keys.new_period(0).unwrap(), keys.new_period(1).unwrap());
        let sealed = people[0].within(&one).seal(b"here", b"a coffee").unwrap();
        for (person, period) in [(0, &two), (1, &one), (1, &two)] {
            assert!(people[person].within(period).open(b"here", &sealed).is_err());
        }
        assert!(people[0].open(b"here", &sealed).is_err(), "the person's key alone");
        keys.ring.advance().unwrap();
        assert_eq!(keys.rewrap_periods().unwrap(), 2);
        keys.rewrap().unwrap();
        keys.ring.settle().unwrap();
        drop(keys);
        let keys = VaultKeys::open(folder.path()).unwrap();
        let person = keys.data_key(symphony_types::subjects::SubjectIndex(0)).unwrap();
        let opened = person.within(&keys.period(0).unwrap()).open(b"here", &sealed).unwrap();
        assert_eq!(opened.as_slice(), b"a coffee");
        keys.end_periods(0..1).unwrap();
        keys.end_periods(0..1).unwrap();
        assert!(matches!(keys.period(0), Err(KeyError::Gone)));
        assert!(keys.period(1).is_ok());
        let bytes = std::fs::read(folder.path().join(PERIODS_FILE)).unwrap();
        assert!(bytes[..64].iter().all(|byte| *byte == 0) && bytes[64..].iter().any(|byte| *byte != 0));
        keys.trim_periods(2).unwrap();
        assert!(keys.trim_periods(3).is_err(), "a file that was cut off is a fault");
        keys.trim_periods(1).unwrap();
        assert!(!VaultKeys::open(folder.path()).unwrap().has_period(1).unwrap());
    }
}
