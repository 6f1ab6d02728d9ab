//! What a query costs (R152, R155, R156, D5): the worst case is locked, what was measured is charged.

use symphony_types::amount::{self, Sym};
use symphony_types::catalogue::Code;
use symphony_types::epsilon::Epsilon;

use super::policy::{ComputePolicy, Policy, QueryFees, TrainPolicy};
use crate::artifact::{Fee, PrivacyCharge};

/// Millionths in one epsilon.
const MICRO: u64 = 1_000_000;
/// Fuel of one unit of its price.
const GIGA: u64 = 1_000_000_000;

/// The most that a query can cost: all Vaults answer and the audience fills its cap.
/// **Errors**: `ADM-0001` when the amount does not fit.
pub fn worst_case(policy: &Policy, vaults: u64, cap: u32) -> Result<Fee, Code> {
    fee(&policy.fees, vaults, u64::from(cap), charge(policy))
}

/// What each evaluated person is charged by an audience query under this policy (D17).
pub fn charge(policy: &Policy) -> PrivacyCharge {
    PrivacyCharge { exposure: policy.privacy.exposure_charge, noised: policy.privacy.count_epsilon }
}

/// `base + vaults * per_vault + records * per_record + epsilon * per_epsilon`, where the epsilon consumed is the
/// charge per person summed over the Vaults that computed. Spending rounds up.
/// **Errors**: `ADM-0001` when an amount does not fit.
pub fn fee(fees: &QueryFees, vaults: u64, records: u64, charge: PrivacyCharge) -> Result<Fee, Code> {
    let consumed = charge.per_subject().and_then(|epsilon| epsilon.checked_mul(vaults));
    let terms = (
        fees.per_vault.checked_mul(vaults),
        fees.per_record.checked_mul(records),
        consumed.and_then(|Epsilon(micro)| fees.per_epsilon.share_ceil(micro, MICRO)),
    );
    let (Some(vaults), Some(records), Some(epsilon)) = terms else { return Err(Code::Malformed) };
    let total: Sym = amount::sum([fees.base, vaults, records, epsilon]).ok_or(Code::Malformed)?;
    Ok(Fee { base: fees.base, vaults, records, aggregation: Sym::ZERO, fuel: Sym::ZERO, epsilon, total })
}

/// What was computed in a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounds {
    /// Rounds.
    pub rounds: u64,
    /// Slices of all rounds.
    pub slices: u64,
}

/// `base + slices * per_vault_round + rounds * per_round + epsilon * per_epsilon`, where the epsilon is what was
/// `consumed`: that of a person summed over the Vaults (R104). Spending rounds up. **Errors**: `ADM-0001` when an amount does not fit.
pub fn training_fee(policy: &TrainPolicy, done: Rounds, consumed: Epsilon) -> Result<Fee, Code> {
    let terms = (
        policy.per_vault_round.checked_mul(done.slices),
        policy.per_round.checked_mul(done.rounds),
        policy.per_epsilon.share_ceil(consumed.0, MICRO),
    );
    let (Some(vaults), Some(aggregation), Some(epsilon)) = terms else { return Err(Code::Malformed) };
    let total: Sym = amount::sum([policy.base, vaults, aggregation, epsilon]).ok_or(Code::Malformed)?;
    Ok(Fee { base: policy.base, vaults, records: Sym::ZERO, aggregation, fuel: Sym::ZERO, epsilon, total })
}

/// What Vaults did for a computation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Vaults.
    pub vaults: u64,
    /// Fuel that was set aside in all of them.
    pub fuel: u64,
    /// Records that were read in all of them.
    pub records: u64,
}

/// `base + vaults * per_vault + fuel * per_giga_fuel + records * per_million_records + epsilon * per_epsilon`, where the
/// epsilon is that of a person summed over the Vaults (R094, R152). Spending rounds up. **Errors**: `ADM-0001` when an amount
/// does not fit.
pub fn compute_fee(policy: &ComputePolicy, run: Run, epsilon: Epsilon) -> Result<Fee, Code> {
    let consumed = epsilon.checked_mul(run.vaults);
    let terms = (
        policy.per_vault.checked_mul(run.vaults),
        policy.per_giga_fuel.share_ceil(run.fuel, GIGA),
        policy.per_million_records.share_ceil(run.records, MICRO),
        consumed.and_then(|Epsilon(micro)| policy.per_epsilon.share_ceil(micro, MICRO)),
    );
    let (Some(vaults), Some(fuel), Some(records), Some(epsilon)) = terms else { return Err(Code::Malformed) };
    let total: Sym = amount::sum([policy.base, vaults, fuel, records, epsilon]).ok_or(Code::Malformed)?;
    Ok(Fee { base: policy.base, vaults, records, aggregation: Sym::ZERO, fuel, epsilon, total })
}
