//! Cells that Vaults answer: added up over all of them, suppressed where they are of too few people, noised (R088, R096, R112, D10).
//!
//! A pure function of sums and their seeds. The order of slices does not matter; equal slices have equal answers, whoever combines
//! them.

use prio::dp::Rational;
use prio::dp::distributions::DiscreteLaplace;
use rand::SeedableRng as _;
use rand::distr::Distribution as _;
use rand_chacha::ChaCha20Rng;
use serde::{Deserialize, Serialize};
use symphony_protocol::artifact::Outcome;
use symphony_protocol::artifact::compute::{NoiseScale, NoisedGroup};
use symphony_protocol::artifact::module::Group;
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::{TaskId, VaultId};
use zeroize::{Zeroize as _, Zeroizing};

/// What one slice tells the aggregator's enclave, sealed to it. Wiped on drop.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// The task.
    pub task: TaskId,
    /// The Vault.
    pub vault: VaultId,
    /// People who are counted; zero when they are fewer than the minimum.
    pub people: u64,
    /// The cells of all groups in order, without noise; empty when there are fewer people than the minimum.
    pub cells: Vec<i64>,
    /// This slice's part of the noise's seed: the same whenever it is computed, known to enclaves alone.
    pub seed: [u8; 32],
}

impl Drop for Sums {
    fn drop(&mut self) {
        self.people.zeroize();
        self.cells.zeroize();
        self.seed.zeroize();
    }
}

/// What may leave the enclaves.
pub struct Released {
    /// The noised cells; none when there are too few people.
    pub groups: Vec<NoisedGroup>,
    /// Vaults whose cells are in them.
    pub vaults: u32,
    /// The seed that the noise came from.
    pub seed: Digest,
}

impl Released {
    /// What the aggregate's header says of it.
    pub fn outcome(&self) -> Outcome {
        match self.groups.is_empty() {
            true => Outcome::Suppressed,
            false => Outcome::Computed { answer: Digest::of(ANSWER_TAG, &(&self.seed, &self.groups)) },
        }
    }
}

/// Adds up the cells of these groups, of which there is at least one, and adds noise, which is told for a group and a number of
/// Vaults. Of fewer people than the minimum there are none.
///
/// **Errors**: the sums of a Vault do not have these cells.
pub fn release(
    groups: Vec<Group>,
    minimum: u32,
    noise: &dyn Fn(&Group, u64) -> NoiseScale,
    mut slices: Vec<Sums>,
) -> Result<Released, VaultId> {
    slices.sort_by(|one, other| one.vault.cmp(&other.vault));
    let count: usize = groups.iter().map(|group| group.cells as usize).sum();
    let mut cells = Zeroizing::new(vec![0_i64; count]);
    let (mut people, mut vaults) = (0_u64, 0_u64);
    let mut seed = Zeroizing::new(vec![]);
    for slice in &slices {
        seed.extend_from_slice(&canonical::to_bytes(&(&slice.vault, slice.seed)));
        if slice.cells.is_empty() {
            continue;
        }
        if slice.cells.len() != count {
            return Err(slice.vault.clone());
        }
        for (sum, cell) in cells.iter_mut().zip(&slice.cells) {
            *sum = sum.checked_add(*cell).ok_or_else(|| slice.vault.clone())?;
        }
        people = people.saturating_add(slice.people);
        vaults += 1;
    }
    let seed = Digest::tagged(SEED_TAG, &seed);
    let mut released = Released { groups: vec![], vaults: u32::try_from(vaults).unwrap_or(u32::MAX), seed };
    if people < u64::from(minimum) {
        return Ok(released);
    }
    let mut stream = ChaCha20Rng::from_seed(Digest::tagged(NOISE_TAG, &seed.0).0);
    let mut rest = cells.as_slice();
    for group in groups {
        let scale = noise(&group, vaults);
        let own;
        (own, rest) = rest.split_at(group.cells as usize);
        released.groups.push(NoisedGroup {
            cells: with_noise(own, scale, &mut stream),
            noise_scale: scale.whole(),
            name: group.name,
            unit: group.unit,
        });
    }
    Ok(released)
}

/// Cells plus discrete Laplace noise of this scale.
pub(crate) fn with_noise(cells: &[i64], scale: NoiseScale, stream: &mut ChaCha20Rng) -> Vec<i64> {
    let scale = Rational::from_unsigned(scale.numerator, scale.denominator);
    let laplace = scale.ok().and_then(|scale| DiscreteLaplace::new(scale).ok());
    // Admission allows of no epsilon of zero; without noise nothing is told.
    let Some(laplace) = laplace else { return vec![0; cells.len()] };
    let mut noised = |cell: &i64| {
        let noise = i64::try_from(laplace.sample(stream)).unwrap_or(i64::MAX);
        cell.saturating_add(noise)
    };
    cells.iter().map(&mut noised).collect()
}

const SEED_TAG: &str = "symphony/compute-seed/v1";
const NOISE_TAG: &str = "symphony/compute-noise/v1";
const ANSWER_TAG: &str = "symphony/computed-answer/v1";
