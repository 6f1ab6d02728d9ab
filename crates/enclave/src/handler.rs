//! One frame in, one frame out: decodes the call, holds it against the enclave's role, and turns every fault
//! into a refusal.

use std::panic::{AssertUnwindSafe, catch_unwind};

use symphony_tee::report::EnclaveRole;
use symphony_types::catalogue::Code;
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, Call};
use symphony_wire::sealed::SealingKey;

use crate::refusal::Refusal;
use crate::station::Station;
use crate::{aggregate, parse, slice};

/// Answers a host's calls.
pub struct Handler<S> {
    pub(crate) station: S,
    pub(crate) sealing: SealingKey,
}

impl<S: Station> Handler<S> {
    /// A handler in this enclave.
    pub fn new(station: S) -> Self {
        let sealing = SealingKey::from_seed(station.hpke_secret());
        Self { station, sealing }
    }

    /// The canonical [`Answer`] to a canonical [`Call`]. Any bytes have an answer.
    pub fn answer(&self, request: &[u8]) -> Vec<u8> {
        // The readers of columns index what hostile bytes describe. A fault there refuses the call; the handler
        // keeps nothing between calls that it could leave half done.
        let answer = catch_unwind(AssertUnwindSafe(|| self.decide(request)))
            .unwrap_or_else(|_| Err(Refusal::new(Code::Internal, "the enclave stumbled over the call")));
        documents::encode(&answer.unwrap_or_else(|Refusal { code, detail }| Answer::Refused { code, detail }))
    }

    fn decide(&self, request: &[u8]) -> Result<Answer, Refusal> {
        let call = documents::decode(request).map_err(|_| Refusal::new(Code::Malformed, "not a call"))?;
        match call {
            Call::OpenTask { envelope, slices, policy, masters } => {
                self.require(EnclaveRole::Aggregator)?;
                aggregate::open_task(self, &envelope, &slices, &policy, &masters)
            }
            Call::Aggregate { envelope, nonce, bundles, masters } => {
                self.require(EnclaveRole::Aggregator)?;
                aggregate::aggregate(self, &envelope, nonce, &bundles, &masters)
            }
            Call::Contribute { .. } | Call::Combine { .. } => {
                Err(Refusal::new(Code::ClassUnknown, "trainings are not served yet"))
            }
            Call::Extract { order, sheet, masters } => {
                self.require(EnclaveRole::Slice)?;
                parse::extract(self, &order, &sheet, &masters)
            }
            Call::Evaluate { assignment, material, policy, masters } => {
                self.require(EnclaveRole::Slice)?;
                slice::evaluate(self, &assignment, &material, &policy, &masters)
            }
        }
    }

    fn require(&self, role: EnclaveRole) -> Result<(), Refusal> {
        if self.station.boot().role == role {
            return Ok(());
        }
        Err(Refusal::new(Code::Forbidden, "this enclave was started for another role"))
    }
}
