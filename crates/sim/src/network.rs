//! The network between hosts: what it loses, delays, doubles and cuts.

use std::collections::BTreeSet;

use crate::chance::Chance;

/// Names a host. A master that lies may run two of them in one seat.
pub type HostId = usize;

/// How messages fare. **Units**: chances in a thousand, delays in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Lost.
    pub loss: u64,
    /// Arrives twice.
    pub twice: u64,
    /// Takes part in a long delay, so that others overtake it.
    pub late: u64,
    /// Shortest and longest usual delay.
    pub delay_ms: (u64, u64),
    /// Longest delay of who is late.
    pub late_ms: u64,
}

impl Weather {
    /// Nothing goes wrong.
    pub const FAIR: Self = Self { loss: 0, twice: 0, late: 0, delay_ms: (1, 4), late_ms: 0 };
}

/// Who reaches whom.
pub struct Network {
    /// How messages fare now.
    pub weather: Weather,
    cut: BTreeSet<(HostId, HostId)>,
    strangers: BTreeSet<(HostId, HostId)>,
}

impl Network {
    /// A network without faults. Pairs of `strangers` never speak.
    pub fn new(strangers: BTreeSet<(HostId, HostId)>) -> Self {
        Self { weather: Weather::FAIR, cut: BTreeSet::new(), strangers }
    }

    /// Cuts a pair in both directions, or in one.
    pub fn cut(&mut self, from: HostId, to: HostId, both: bool) {
        self.cut.insert((from, to));
        if both {
            self.cut.insert((to, from));
        }
    }

    /// Mends everything.
    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// Lets everybody speak with everybody.
    pub fn introduce_all(&mut self) {
        self.strangers.clear();
    }

    /// Whether one would ever speak to another.
    pub fn knows(&self, from: HostId, to: HostId) -> bool {
        !self.strangers.contains(&(from, to))
    }

    /// When the copies of a message arrive, after now.
    pub fn delays(&self, from: HostId, to: HostId, chance: &mut Chance) -> Vec<u64> {
        if self.cut.contains(&(from, to)) {
            return Vec::new();
        }
        let weather = &self.weather;
        let copies = 1 + u64::from(chance.hits(weather.twice));
        let mut delays = Vec::new();
        for _ in 0..copies {
            if chance.hits(weather.loss) {
                continue;
            }
            let usual = chance.between(weather.delay_ms.0, weather.delay_ms.1);
            let late = if chance.hits(weather.late) { chance.below(weather.late_ms) } else { 0 };
            delays.push(usual + late);
        }
        delays
    }
}
