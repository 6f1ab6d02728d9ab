//! Epochs: windows of ordered time. The epoch of a moment is a pure function of it and the policy, so that the
//! membership of any event can be rebuilt (R192, R193).

use symphony_types::id::EpochId;
use symphony_types::time::OrderedMillis;

use super::policy::Policy;

/// The epoch that a moment belongs to.
pub fn epoch_of(policy: &Policy, at: OrderedMillis) -> EpochId {
    EpochId(at.0 / policy.epoch_ms)
}

/// The first moment after an epoch.
pub fn end_of(policy: &Policy, epoch: EpochId) -> OrderedMillis {
    OrderedMillis(epoch.0.saturating_add(1).saturating_mul(policy.epoch_ms))
}
