//! What goes wrong, drawn from a seed: masters and guards are killed, wires cut, slowed and shaken, two masters away at
//! once. Every fault is undone before the next.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use symphony_sdk::client::Client;
use symphony_types::catalogue::Code;
use tokio::time::sleep;

use crate::cast::{Cast, guard};
use crate::check::agreed;
use crate::lab::{Lab, MASTERS};

/// One thing that goes wrong for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// A master is killed.
    Master(u8),
    /// Its guard is killed; the new one has a new key.
    Guard(u8),
    /// Both are killed: the whole machine.
    Machine(u8),
    /// Nobody reaches a master.
    Cut(u8),
    /// Two masters do not reach each other.
    CutPair(u8, u8),
    /// One master does not reach another, which reaches it only until an answer is wanted.
    OneWay(u8, u8),
    /// A master's wire is slow and loses.
    Slow(u8),
    /// All wires are slow and lose.
    AllSlow,
    /// A master's wire comes and goes.
    Shaky(u8),
    /// A master's disk is full: it stops by itself.
    Full(u8),
    /// Two masters are killed.
    TwoKilled(u8, u8),
    /// Two masters are cut off.
    TwoCut(u8, u8),
}

impl Fault {
    fn draw(random: &mut StdRng, wired: bool) -> Self {
        let one = random.random_range(1..=3_u8);
        let two = (one + random.random_range(0..2_u8)) % 3 + 1;
        match random.random_range(0..if wired { 15 } else { 6 }) {
            0 | 1 => Self::Master(one),
            2 => Self::Guard(one),
            3 | 4 => Self::Machine(one),
            5 => Self::TwoKilled(one, two),
            6 | 7 => Self::Cut(one),
            8 => Self::CutPair(one, two),
            9 => Self::OneWay(one, two),
            10 => Self::Slow(one),
            11 => Self::AllSlow,
            12 => Self::Shaky(one),
            13 => Self::Full(one),
            _ => Self::TwoCut(one, two),
        }
    }

    /// Whether nothing can be final meanwhile.
    const fn halts(self) -> bool {
        matches!(self, Self::TwoKilled(..) | Self::TwoCut(..))
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::Master(_) => "master killed",
            Self::Guard(_) => "guard killed",
            Self::Machine(_) => "master and guard killed",
            Self::Cut(_) => "master cut off",
            Self::CutPair(..) => "pair cut",
            Self::OneWay(..) => "pair cut one way",
            Self::Slow(_) => "wire slow and lossy",
            Self::AllSlow => "all wires slow and lossy",
            Self::Shaky(_) => "wire shaky",
            Self::Full(_) => "disk full",
            Self::TwoKilled(..) => "two masters killed",
            Self::TwoCut(..) => "two masters cut off",
        }
    }

    async fn begin(self, lab: &Lab, cast: &mut Cast) -> Result<()> {
        match self {
            Self::Master(one) => cast.kill(&format!("master-{one}"))?,
            Self::Guard(one) => cast.kill(&guard(one))?,
            Self::Machine(one) => {
                cast.kill(&guard(one))?;
                cast.kill(&format!("master-{one}"))?;
            }
            Self::Cut(one) => lab.cut(one, true)?,
            Self::CutPair(one, two) => {
                lab.deafen(one, two, true)?;
                lab.deafen(two, one, true)?;
            }
            Self::OneWay(one, two) => lab.deafen(one, two, true)?,
            Self::Slow(one) => lab.slow(one, true)?,
            Self::AllSlow => MASTERS.iter().try_for_each(|master| lab.slow(*master, true))?,
            Self::Shaky(one) => {
                for _ in 0..8 {
                    lab.cut(one, true)?;
                    sleep(Duration::from_millis(70)).await;
                    lab.cut(one, false)?;
                    sleep(Duration::from_millis(330)).await;
                }
            }
            Self::Full(one) => lab.fill(one, true)?,
            Self::TwoKilled(one, two) => {
                cast.kill(&format!("master-{one}"))?;
                cast.kill(&format!("master-{two}"))?;
            }
            Self::TwoCut(one, two) => {
                lab.cut(one, true)?;
                lab.cut(two, true)?;
            }
        }
        Ok(())
    }

    fn end(self, lab: &Lab, cast: &mut Cast) -> Result<()> {
        match self {
            Self::Master(one) => cast.start_master(lab, one)?,
            Self::Guard(one) => cast.start_guard(lab, one)?,
            Self::Machine(one) => {
                cast.start_guard(lab, one)?;
                cast.start_master(lab, one)?;
            }
            Self::Cut(one) => lab.cut(one, false)?,
            Self::CutPair(one, two) => {
                lab.deafen(one, two, false)?;
                lab.deafen(two, one, false)?;
            }
            Self::OneWay(one, two) => lab.deafen(one, two, false)?,
            Self::Slow(one) => lab.slow(one, false)?,
            Self::AllSlow => MASTERS.iter().try_for_each(|master| lab.slow(*master, false))?,
            Self::Shaky(_) => {}
            Self::Full(one) => {
                lab.fill(one, false)?;
                cast.excuse(&format!("master-{one}"), Code::DiskFull)?;
                if !cast.runs(&format!("master-{one}")) {
                    cast.start_master(lab, one)?;
                }
            }
            Self::TwoKilled(one, two) => {
                cast.start_master(lab, one)?;
                cast.start_master(lab, two)?;
            }
            Self::TwoCut(one, two) => {
                lab.cut(one, false)?;
                lab.cut(two, false)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CutPair(one, two)
            | Self::OneWay(one, two)
            | Self::TwoKilled(one, two)
            | Self::TwoCut(one, two) => {
                write!(f, "{}: {one} and {two}", self.kind())
            }
            Self::AllSlow => f.write_str(self.kind()),
            Self::Master(one)
            | Self::Guard(one)
            | Self::Machine(one)
            | Self::Cut(one)
            | Self::Slow(one)
            | Self::Full(one)
            | Self::Shaky(one) => write!(f, "{}: {one}", self.kind()),
        }
    }
}

/// A time in which something was wrong. **Units**: milliseconds since the Unix epoch.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    /// What.
    pub(crate) what: String,
    /// Its beginning.
    pub(crate) from: u64,
    /// Its end.
    pub(crate) to: u64,
    /// Whether two masters were away, or may have been.
    pub(crate) halts: bool,
}

/// What went wrong in a run.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    /// How often each kind.
    pub(crate) counts: BTreeMap<&'static str, u32>,
    /// In order.
    pub(crate) times: Vec<Trouble>,
    /// The longest time from the end of a fault until all masters showed one head.
    pub(crate) rejoin: Duration,
}

/// Lets things go wrong until the time is over; afterwards all is well again. After every other fault, as it falls, the
/// next waits until the masters are one again; else it may meet a master that is not back yet.
///
/// **Errors**: a process or a wire does not do what it should, or the masters do not find together.
pub(crate) async fn rage(
    seed: u64,
    until: Instant,
    lab: &Lab,
    cast: &mut Cast,
    client: &Client,
) -> Result<Troubles> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut troubles = Troubles::default();
    let (started, began) = (Instant::now(), now_ms());
    let mut whole = true;
    while Instant::now() < until {
        let fault = Fault::draw(&mut random, lab.wired());
        let lasts = Duration::from_millis(random.random_range(300..6_000));
        let (patient, calm) =
            (random.random_bool(0.5), Duration::from_millis(random.random_range(500..4_000)));
        println!("  {:6.1} s: {fault}, {:.1} s", started.elapsed().as_secs_f64(), lasts.as_secs_f64());
        let from = now_ms();
        fault.begin(lab, cast).await?;
        sleep(lasts).await;
        cast.look_around()?;
        fault.end(lab, cast)?;
        if patient {
            let ended = Instant::now();
            agreed(client).await.with_context(|| format!("after {fault}"))?;
            troubles.rejoin = troubles.rejoin.max(ended.elapsed());
        }
        let what = format!("{fault} at {:.1} s", (from - began) as f64 / 1e3);
        let halts = fault.halts() || !whole;
        troubles.times.push(Trouble { what, from, to: now_ms(), halts });
        *troubles.counts.entry(fault.kind()).or_default() += 1;
        whole = patient;
        sleep(calm).await;
        keep_up(lab, cast)?;
    }
    keep_up(lab, cast)?;
    Ok(troubles)
}

/// Starts again what ended by itself: that is a finding, and the run goes on with it.
fn keep_up(lab: &Lab, cast: &mut Cast) -> Result<()> {
    cast.look_around()?;
    for master in MASTERS {
        if !cast.runs(&guard(master)) {
            cast.start_guard(lab, master)?;
        }
        if !cast.runs(&format!("master-{master}")) {
            cast.start_master(lab, master)?;
        }
    }
    Ok(())
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
