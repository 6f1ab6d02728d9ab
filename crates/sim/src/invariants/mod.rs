//! What may never happen, one file each; asked after every step of every host.

mod accused;
mod acknowledged;
mod agreement;
mod certificates;
mod conservation;
mod idle;
mod justified;
mod once;
mod prefix;
mod queues;
mod refusals;
mod slots;
mod time;

use symphony_consensus::quorum::committee::Committee;
use symphony_consensus::quorum::conflict::Conflict;
use symphony_consensus::quorum::guard::{Ask, Refusal};
use symphony_consensus::quorum::replica::{Answer, Commit};

use crate::bank::{Bank, Transfer};
use crate::guards::Given;
use crate::host::Host;

/// One step of one host, and everybody as they are after it.
pub struct Seen<'a> {
    /// The true time.
    pub now: u64,
    /// All hosts.
    pub hosts: &'a [Host],
    /// Who stepped.
    pub stepped: &'a Host,
    /// Whether the step was a tick.
    pub ticked: bool,
    /// What it decided.
    pub decided: Option<&'a Commit<Bank>>,
    /// What became durable by it.
    pub durable: Option<&'a Commit<Bank>>,
    /// Signatures that its guard gave.
    pub given: &'a [Given],
    /// What its guard refused.
    pub refused: &'a [(Ask, Refusal)],
    /// Seats that it accused of a double vote.
    pub accused: &'a [Conflict],
    /// Up to this height a restart explains refusals.
    pub disturbed: u64,
    /// What its clients were told.
    pub answers: &'a [(Transfer, Answer<Bank>)],
}

/// Something that always holds.
pub trait Invariant {
    /// Its name in a report.
    fn name(&self) -> &'static str;

    /// Looks at one step. **Errors**: how it was broken.
    fn check(&mut self, seen: &Seen<'_>) -> Result<(), String>;
}

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{invariant}: {what}")]
pub struct Violation {
    /// Which one.
    pub invariant: &'static str,
    /// How.
    pub what: String,
}

/// All of them.
pub fn all(founding: &Committee) -> Vec<Box<dyn Invariant>> {
    vec![
        Box::<slots::Slots>::default(),
        Box::<agreement::Agreement>::default(),
        Box::new(certificates::Certificates::new(founding.clone())),
        Box::<prefix::Prefix>::default(),
        Box::<once::Once>::default(),
        Box::<conservation::Conservation>::default(),
        Box::<acknowledged::Acknowledged>::default(),
        Box::new(accused::Accused),
        Box::new(justified::Justified),
        Box::<time::Time>::default(),
        Box::new(refusals::Refusals),
        Box::new(queues::Queues),
        Box::new(idle::Idle),
    ]
}

/// The one that negative controls are about: a weakened guard breaks others first, and they would end the run.
pub fn agreement_only() -> Vec<Box<dyn Invariant>> {
    vec![Box::<agreement::Agreement>::default()]
}
