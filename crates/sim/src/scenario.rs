//! What goes wrong in a run, drawn from its seed. At most one master lies at a time, and at most one guard is
//! without its key: that is what the cluster claims to bear (R195, R196).

use symphony_consensus::quorum::committee::Seat;
use symphony_consensus::quorum::guard::Strictness;

use crate::chance::Chance;
use crate::guards::Return;
use crate::network::{HostId, Weather};

/// Faults of a run stop at this moment. **Units**: milliseconds.
pub const CALM_MS: u64 = 7_000;

/// The one host whose disk may be restored from an older state.
const FRAIL: HostId = 1;

/// The theme of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// Weather only.
    Weather,
    /// Hosts crash and restart, also two at a time.
    Crashes,
    /// Pairs are cut and hosts isolated.
    Partitions,
    /// Guards restart: with their memory, or one at a time with a new key.
    Guards,
    /// Everything loses power at once.
    PowerLoss,
    /// Two hosts share one guard, each with one honest peer.
    TwoFaced,
    /// A host forgets its votes and goes back to an older disk.
    Amnesiac,
    /// A master sends what nobody should send.
    Forger,
    /// A leader makes blocks that do not apply, or tells some others only.
    BadLeader,
    /// A clock is hours off.
    Clocks,
    /// Two masters are down for a while.
    TwoDown,
    /// Several of the honest faults.
    Mixed,
}

/// All themes, in the order in which seeds take turns.
pub const THEMES: [Theme; 12] = [
    Theme::Weather,
    Theme::Crashes,
    Theme::Partitions,
    Theme::Guards,
    Theme::PowerLoss,
    Theme::TwoFaced,
    Theme::Amnesiac,
    Theme::Forger,
    Theme::BadLeader,
    Theme::Clocks,
    Theme::TwoDown,
    Theme::Mixed,
];

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A host ends; a write under way is there afterwards or not.
    Down(HostId, bool),
    /// A host starts.
    Up(HostId),
    /// A host's disk goes back to a part of what it held. **Units**: percent.
    RollBack(HostId, u64),
    /// A guard ends.
    GuardDown(Seat),
    /// A guard starts.
    GuardUp(Seat, Return),
    /// A link is cut, in both directions or one.
    Cut(HostId, HostId, bool),
    /// All links are mended.
    Heal,
    /// A disk takes so long for a write.
    SlowDisk(HostId, u64),
    /// The network changes.
    Change(Weather),
    /// A clock jumps.
    Jump(HostId, i64),
}

/// Which guards a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// The rules that they enforce.
    pub strictness: Strictness,
    /// How they come back.
    pub comeback: Return,
}

impl Control {
    /// What the cluster runs with.
    pub const SOUND: Self = Self { strictness: Strictness::Full, comeback: Return::Trusted };
}

/// A run to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Where all randomness comes from.
    pub seed: u64,
    /// The theme.
    pub theme: Theme,
    /// The guards.
    pub control: Control,
    /// Whose master lies, if one does.
    pub liar: Option<Seat>,
    /// What happens when.
    pub faults: Vec<(u64, Fault)>,
}

impl Scenario {
    /// The scenario of a seed.
    pub fn of(seed: u64) -> Self {
        let turn = usize::try_from(seed % THEMES.len() as u64).unwrap_or(0);
        Self::with(seed, THEMES[turn], Control::SOUND)
    }

    /// A scenario of one theme.
    pub fn with(seed: u64, theme: Theme, control: Control) -> Self {
        let mut draw = Draw { chance: Chance::new(seed ^ 0x5ce7_a210), faults: Vec::new(), control };
        let liar = draw.theme(theme);
        let mut faults = draw.faults;
        faults.retain(|(at, _)| *at < CALM_MS);
        faults.sort_by_key(|(at, _)| *at);
        Self { seed, theme, control, liar, faults }
    }
}

struct Draw {
    chance: Chance,
    faults: Vec<(u64, Fault)>,
    control: Control,
}

impl Draw {
    fn theme(&mut self, theme: Theme) -> Option<Seat> {
        self.weather(if matches!(theme, Theme::Weather) { 250 } else { 80 });
        let liar = Seat(u8::try_from(self.chance.below(3)).unwrap_or(0));
        match theme {
            Theme::Weather => self.slow_disks(),
            Theme::Crashes => self.crashes(6),
            Theme::Partitions => self.partitions(6),
            Theme::Guards => self.guards(),
            Theme::PowerLoss => self.power_loss(),
            Theme::Clocks => self.clocks(),
            Theme::TwoDown => self.two_down(),
            Theme::Mixed => {
                self.slow_disks();
                self.crashes(3);
                self.partitions(3);
                self.power_loss();
            }
            Theme::TwoFaced => {
                self.split(liar);
                self.restarts_of_guard(liar);
                return Some(liar);
            }
            Theme::Amnesiac => {
                self.amnesia(liar);
                self.partitions(4);
                self.restarts_of_guard(liar);
                return Some(liar);
            }
            Theme::Forger | Theme::BadLeader => {
                self.partitions(1);
                return Some(liar);
            }
        }
        None
    }

    fn at(&mut self) -> u64 {
        self.chance.between(200, CALM_MS - 500)
    }

    fn host(&mut self) -> HostId {
        self.chance.index(3)
    }

    fn weather(&mut self, loss_max: u64) {
        let weather = Weather {
            loss: self.chance.below(loss_max),
            twice: self.chance.below(100),
            late: self.chance.below(200),
            delay_ms: (1, self.chance.between(3, 25)),
            late_ms: self.chance.between(10, 400),
        };
        self.faults.push((0, Fault::Change(weather)));
    }

    fn slow_disks(&mut self) {
        for host in 0..3 {
            if self.chance.hits(400) {
                let write = self.chance.between(5, 120);
                self.faults.push((0, Fault::SlowDisk(host, write)));
            }
        }
    }

    fn crash(&mut self, at: u64, host: HostId, down_max: u64) {
        let written = self.chance.hits(500);
        let back = at + self.chance.between(1, down_max);
        self.faults.push((at, Fault::Down(host, written)));
        // Only one disk of three is ever lost: what two had written down is written down.
        if host == FRAIL && self.chance.hits(400) {
            let share = self.chance.below(100);
            self.faults.push((at, Fault::RollBack(host, share)));
        }
        self.faults.push((back, Fault::Up(host)));
    }

    fn crashes(&mut self, count: u64) {
        for _ in 0..count {
            let (at, host) = (self.at(), self.host());
            self.crash(at, host, 1_200);
        }
    }

    fn partitions(&mut self, count: u64) {
        for _ in 0..count {
            let at = self.at();
            let (first, second) = (self.host(), self.host());
            let both = self.chance.hits(700);
            if first == second {
                for other in (0..3).filter(|other| *other != first) {
                    self.faults.push((at, Fault::Cut(first, other, true)));
                }
            } else {
                self.faults.push((at, Fault::Cut(first, second, both)));
            }
            let back = at + self.chance.between(50, 1_500);
            self.faults.push((back, Fault::Heal));
        }
    }

    fn guards(&mut self) {
        for start in [300, 3_300] {
            let seat = Seat(u8::try_from(self.chance.below(3)).unwrap_or(0));
            let how = if self.chance.hits(600) { Return::NewKey } else { Return::Trusted };
            let at = start + self.chance.below(800);
            let back = at + self.chance.between(1, 500);
            self.faults.push((at, Fault::GuardDown(seat)));
            self.faults.push((back, Fault::GuardUp(seat, how)));
        }
        if self.chance.hits(500) {
            let (at, host) = (self.at(), self.host());
            self.crash(at, host, 600);
        }
    }

    fn power_loss(&mut self) {
        for _ in 0..self.chance.between(1, 4) {
            let at = self.at();
            for host in 0..3 {
                let written = self.chance.hits(500);
                let back = at + self.chance.between(1, 400);
                self.faults.push((at, Fault::Down(host, written)));
                self.faults.push((back, Fault::Up(host)));
            }
        }
    }

    fn clocks(&mut self) {
        let hour = 3_600_000;
        for _ in 0..3 {
            let (at, host) = (self.at(), 0);
            let jump = self.chance.below(48 * hour).cast_signed() - 24 * hour.cast_signed();
            self.faults.push((at, Fault::Jump(host, jump)));
            if self.chance.hits(400) {
                self.crash(at, host, 300);
            }
        }
    }

    fn two_down(&mut self) {
        let first = self.host();
        let second = (first + 1) % 3;
        for host in [first, second] {
            let written = self.chance.hits(500);
            self.faults.push((1_500, Fault::Down(host, written)));
            self.faults.push((4_500, Fault::Up(host)));
        }
    }

    fn amnesia(&mut self, liar: Seat) {
        let host = usize::from(liar.0);
        for _ in 0..25 {
            let at = self.at();
            self.faults.push((at, Fault::Down(host, false)));
            if self.chance.hits(100) {
                let share = self.chance.below(100);
                self.faults.push((at, Fault::RollBack(host, share)));
            }
            self.faults.push((at + 1, Fault::Up(host)));
        }
    }

    /// The honest two hear nothing of each other most of the time.
    fn split(&mut self, liar: Seat) {
        let honest: Vec<_> = (0..3).filter(|host| *host != usize::from(liar.0)).collect();
        let mut at = 100;
        while at < CALM_MS {
            self.faults.push((at, Fault::Cut(honest[0], honest[1], true)));
            at += self.chance.between(300, 1_200);
            self.faults.push((at, Fault::Heal));
            at += self.chance.between(1, 150);
        }
    }

    fn restarts_of_guard(&mut self, seat: Seat) {
        let comeback = self.control.comeback;
        for _ in 0..40 {
            let at = self.at();
            self.faults.push((at, Fault::GuardUp(seat, comeback)));
        }
    }
}
