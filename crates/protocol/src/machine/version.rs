//! Which version of the protocol is in force, and how the next one comes: masters are upgraded one at a time, and all
//! of them change their rules at the same place in the order (R221).
//!
//! ```text
//! some masters announced a higher one  -> the version in force stays
//! all announced it                     -> in force when time is ordered past the epoch of the last announcement
//! one took it back before that         -> the version in force stays
//! ```
//!
//! | version | rule that came with it |
//! |---|---|
//! | 1 | all others |
//! | 2 | an order by a node that is no registered master is refused |

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;
use symphony_types::id::{EpochId, NodeId, ProtocolVersion};
use symphony_types::time::OrderedMillis;

use super::{Event, Order, Refusal, State};

/// The version of a new network.
pub const FIRST: ProtocolVersion = ProtocolVersion(1);
/// From this version on, orders come from registered masters only.
pub const MASTERS_ONLY: ProtocolVersion = ProtocolVersion(2);
/// The highest version whose rules this program has.
pub const LATEST: ProtocolVersion = MASTERS_ONLY;

/// The version in force, and who is ready for which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgrade {
    /// In force.
    pub active: ProtocolVersion,
    /// The epoch in which it came into force.
    pub since: EpochId,
    /// What each master announced.
    pub announced: BTreeMap<NodeId, Announcement>,
}

/// The highest version that a master's program speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The version.
    pub version: ProtocolVersion,
    /// The epoch of the announcement.
    pub epoch: EpochId,
}

impl Default for Upgrade {
    fn default() -> Self {
        Self { active: FIRST, since: EpochId(0), announced: BTreeMap::new() }
    }
}

impl State {
    /// The highest version that a master announced.
    pub fn announced(&self, master: &NodeId) -> Option<ProtocolVersion> {
        self.upgrade.announced.get(master).map(|announcement| announcement.version)
    }
}

/// Whether an order may be judged at all. **Errors**: `GOV-0006` when a version is in force whose rules this program does
/// not have, `ADM-0003` for an order by nobody.
pub(super) fn admit(state: &State, order: &Order) -> Result<(), Refusal> {
    let active = state.upgrade.active;
    if active > LATEST {
        return Err(Code::ProtocolUnknown.into());
    }
    if active >= MASTERS_ONLY && !registered(state, &order.by) {
        return Err(Code::Forbidden.into());
    }
    Ok(())
}

/// Records what a master's program speaks. A repetition changes nothing. **Errors**: `ADM-0003` when it is no master,
/// `GOV-0006` when it does not speak the version in force.
pub(super) fn announce(
    state: &State,
    at: OrderedMillis,
    by: &NodeId,
    version: ProtocolVersion,
) -> Result<Vec<Event>, Refusal> {
    if !registered(state, by) {
        return Err(Code::Forbidden.into());
    }
    if version < state.upgrade.active {
        return Err(Code::ProtocolUnknown.into());
    }
    if state.announced(by) == Some(version) {
        return Ok(vec![]);
    }
    let announcement = Announcement { version, epoch: state.governance.epoch_of(at) };
    Ok(vec![Event::ProtocolAnnounced { master: by.clone(), announcement }])
}

/// When the version that all masters announced comes into force; `None` while there is no such version.
pub(super) fn due(state: &State) -> Option<OrderedMillis> {
    let (_, epoch) = agreed(state)?;
    Some(state.governance.end_of(epoch))
}

/// The version that comes into force at `at`.
pub(super) fn activate(state: &State, at: OrderedMillis) -> Option<Event> {
    let (version, _) = agreed(state).filter(|_| due(state).is_some_and(|due| due <= at))?;
    Some(Event::ProtocolActivated { version, epoch: state.governance.epoch_of(at) })
}

/// What an event does to the version.
pub(super) fn evolve(state: &mut State, event: &Event) {
    if let Event::ProtocolAnnounced { master, announcement } = event {
        state.upgrade.announced.insert(master.clone(), *announcement);
    }
    if let Event::ProtocolActivated { version, epoch } = event {
        (state.upgrade.active, state.upgrade.since) = (*version, *epoch);
    }
}

/// The highest version that all masters speak, if it is higher than the one in force, and the epoch since which they do.
fn agreed(state: &State) -> Option<(ProtocolVersion, EpochId)> {
    let announced = &state.upgrade.announced;
    let mut agreed: Option<(ProtocolVersion, EpochId)> = None;
    for master in state.governance.registry.masters.keys() {
        let Announcement { version, epoch } = *announced.get(master)?;
        agreed = Some(match agreed {
            None => (version, epoch),
            Some((lowest, last)) => (lowest.min(version), last.max(epoch)),
        });
    }
    agreed.filter(|(version, _)| *version > state.upgrade.active)
}

fn registered(state: &State, node: &NodeId) -> bool {
    state.governance.registry.masters.contains_key(node)
}
