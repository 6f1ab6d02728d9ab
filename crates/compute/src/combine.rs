//! Combines the slices of a task: union without duplicates, minimum cardinality, cap, noised count (R088-R091,
//! R112, D10).
//!
//! A pure function of signals, query and seed. The order of slices does not matter, the same slice twice is the
//! same as once, and the result never has more people than the cap or fewer than the minimum.

use std::cmp::Reverse;

use prio::dp::Rational;
use prio::dp::distributions::DiscreteLaplace;
use rand::SeedableRng as _;
use rand::distr::Distribution as _;
use rand_chacha::ChaCha20Rng;
use symphony_protocol::artifact::{AudienceResult, Outcome, ResolvedQuery, SelectionRule};
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::TaskId;

use crate::keyed::Keyed;
use crate::slice::{Signal, SliceSignals, joined};

/// Combines slices to what the submitter receives. `seed` is the task's secret seed, `noise` the epsilon of the
/// count; with an epsilon of zero there is no count.
pub fn combine(
    task: TaskId,
    query: &ResolvedQuery,
    slices: Vec<SliceSignals>,
    noise: Epsilon,
    seed: &Digest,
) -> AudienceResult {
    let told = slices.into_iter().filter(|slice| !slice.suppressed);
    let people = joined(told.flat_map(|slice| slice.signals).collect());
    let eligible = people.len();
    let minimum = query.minimum_result_cardinality as usize;
    let returned = eligible.min(query.cap as usize);
    if returned < minimum {
        return AudienceResult {
            task,
            outcome: Outcome::Suppressed,
            handles: Vec::new(),
            eligible_noised: None,
            noise_epsilon: noise,
        };
    }
    let mut chosen = select(people, returned, query.selection, seed);
    let mut handles: Vec<String> =
        chosen.iter_mut().map(|signal| std::mem::take(&mut signal.handle)).collect();
    handles.sort_unstable();
    AudienceResult {
        task,
        // At most the cap, which is a u32.
        outcome: Outcome::Audience { returned: u32::try_from(returned).unwrap_or(query.cap) },
        handles,
        eligible_noised: noised(eligible, noise, seed),
        noise_epsilon: noise,
    }
}

/// `count` of the people by the rule: uniformly by a keyed hash of the token, or highest rank first (R090).
fn select(mut people: Vec<Signal>, count: usize, rule: SelectionRule, seed: &Digest) -> Vec<Signal> {
    if people.len() <= count {
        return people;
    }
    let keyed = Keyed::new(&Digest::tagged(SELECTION_TAG, &seed.0).0);
    people.sort_by_cached_key(|signal| {
        let first = match rule {
            SelectionRule::Random => Reverse(0),
            SelectionRule::RecencyWeighted | SelectionRule::Largest(_) => Reverse(signal.rank),
        };
        (first, keyed.of(&signal.token))
    });
    people.truncate(count);
    people
}

/// The count plus discrete Laplace noise of scale 1/epsilon: one person changes the count by one (D10, D17).
fn noised(count: usize, epsilon: Epsilon, seed: &Digest) -> Option<i64> {
    let scale = Rational::from_unsigned(MICRO, epsilon.0).ok()?;
    let laplace = DiscreteLaplace::new(scale).ok()?;
    let mut stream = ChaCha20Rng::from_seed(Digest::tagged(NOISE_TAG, &seed.0).0);
    let noise = i64::try_from(laplace.sample(&mut stream)).ok()?;
    i64::try_from(count).ok()?.checked_add(noise)
}

const SELECTION_TAG: &str = "symphony/selection-key/v1";
const NOISE_TAG: &str = "symphony/noise-stream/v1";
const MICRO: u64 = 1_000_000;

#[cfg(test)]
mod tests;
