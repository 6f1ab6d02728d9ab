//! Clients that never give up: a request goes to one host after the other until somebody answers it.

use std::collections::BTreeMap;

use crate::bank::{ACCOUNTS, BALANCE, Transfer};
use crate::chance::Chance;

/// Pause before a client asks another host. **Units**: milliseconds.
pub const PATIENCE_MS: u64 = 1_200;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nobody answered yet.
    Open,
    /// Told done.
    Done,
    /// Told refused, before anything else.
    Refused,
}

/// All requests of a run.
#[derive(Default)]
pub struct Workload {
    requests: BTreeMap<u64, (Transfer, Fate)>,
}

impl Workload {
    /// Draws a new request.
    pub fn draw(&mut self, chance: &mut Chance) -> Transfer {
        let transfer = Transfer {
            request: self.requests.len() as u64 + 1,
            from: u8::try_from(chance.below(u64::from(ACCOUNTS) + 1)).unwrap_or(0),
            to: u8::try_from(chance.below(u64::from(ACCOUNTS))).unwrap_or(0),
            amount: chance.between(1, BALANCE),
        };
        self.requests.insert(transfer.request, (transfer.clone(), Fate::Open));
        transfer
    }

    /// A request by its number.
    pub fn transfer(&self, request: u64) -> Option<&Transfer> {
        self.requests.get(&request).map(|(transfer, _)| transfer)
    }

    /// What became of it.
    pub fn fate(&self, request: u64) -> Fate {
        self.requests.get(&request).map_or(Fate::Open, |(_, fate)| *fate)
    }

    /// A host answers. The first answer stands.
    pub fn answered(&mut self, request: u64, fate: Fate) {
        if let Some((_, old)) = self.requests.get_mut(&request)
            && *old == Fate::Open
        {
            *old = fate;
        }
    }

    /// Requests that nobody answered.
    pub fn open(&self) -> Vec<u64> {
        self.requests
            .iter()
            .filter(|(_, (_, fate))| *fate == Fate::Open)
            .map(|(request, _)| *request)
            .collect()
    }

    /// How many requests have a fate, and how many of them were done.
    pub fn counts(&self) -> (usize, usize) {
        let fates = || self.requests.values().map(|(_, fate)| fate);
        (
            fates().filter(|fate| **fate != Fate::Open).count(),
            fates().filter(|fate| **fate == Fate::Done).count(),
        )
    }

    /// Requests that were told done.
    pub fn done(&self) -> impl Iterator<Item = u64> {
        self.requests.iter().filter(|(_, (_, fate))| *fate == Fate::Done).map(|(request, _)| *request)
    }
}
