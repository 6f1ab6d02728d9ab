//! A round in the environment of two aggregators that compute on shares (R113): no enclave but a Vault's own ever sees what
//! the Vault's people sum up to, unless both aggregators work together.
//!
//! A Vault's enclave splits its sums and counts into two shares with a proof that every coordinate is in its bounds
//! (Prio3SumVec of the VDAF draft of the IETF, as the library has it). The two aggregators check the proof between them,
//! each adds up its shares over all Vaults, adds noise of its own, and only the two noised shares are put together. On
//! the same grid as the other environment, so the sums under the noise are the same numbers.
//!
//! - Each aggregator adds the whole noise that the plan states, so the loss that is accounted for holds against the other
//!   aggregator too, who knows its own noise; what is released carries twice the variance.
//! - The proof bounds coordinates, not the norm of the vector: that nobody is beyond the clipping norm is the word of the
//!   Vault's attested enclave, here as in the other environment.
//! - How many people there are is taken from what the Vaults announced, in buckets: no exact count is told.
//! - The noise is drawn from a seed that the Vaults' enclaves derive from their secrets and what they bring. Another
//!   aggregator that takes a role over draws the same, and two different sums never carry the same noise.

use prio::codec::{Encode as _, ParameterizedDecode as _};
use prio::field::{Field128, FieldElement as _, FieldElementWithInteger as _};
use prio::topology::ping_pong::{PingPongMessage, PingPongState, PingPongTopology as _};
use prio::vdaf::Client as _;
use prio::vdaf::prio3::{Prio3InputShare, Prio3PublicShare, Prio3SumVec, optimal_chunk_length};
use serde::{Deserialize, Serialize};
use symphony_types::digest::Digest;
use symphony_types::id::VaultId;
use zeroize::{Zeroize as _, Zeroizing};

use super::evaluate::PERSON;
use super::gathering::{Combined, Noised, Stage, sensitivity};
use super::grid::CLIP_UNITS;
use super::part::{Part, counted};
use super::step::Learner;
use super::{TrainError, noise};

/// One of the two aggregators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Takes the step.
    Leader,
    /// Checks, adds up, and hands its noised share to the leader.
    Helper,
}

/// What one aggregator gets of a Vault's part; either alone is random numbers. Wiped on drop.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Half {
    /// What both aggregators get.
    public: Vec<u8>,
    /// The share, with its proof.
    input: Vec<u8>,
    /// This Vault's share of the seed of the aggregator's noise.
    seed: [u8; 32],
    /// The key of the learner that the round begins with, from one Vault to the leader; none in the first round.
    pub learner: Option<[u8; 32]>,
}

impl Drop for Half {
    fn drop(&mut self) {
        self.input.zeroize();
        self.seed.zeroize();
        self.learner.zeroize();
    }
}

/// The key that the two aggregators check proofs with; the Vaults do not know it.
pub type Key = [u8; 32];

/// One round, as Vaults and aggregators agree on it.
pub struct Sharing<'a> {
    stage: Stage<'a>,
    order: Digest,
    vdaf: Prio3SumVec,
    /// The most that a coordinate of one Vault is away from zero.
    bound: u128,
    sums: usize,
    counts: usize,
}

impl<'a> Sharing<'a> {
    /// The round of an order, whose people are more than half as many as one Vault has. With local steps a Vault's
    /// weighted average stays within twice its people all the same.
    ///
    /// **Errors**: nobody, or too many people.
    pub fn new(stage: Stage<'a>, order: Digest) -> Result<Self, TrainError> {
        let (sums, counts) = stage.lengths();
        let subjects = stage.people();
        let bound = u128::from(subjects) * 2 * u128::from(CLIP_UNITS.unsigned_abs());
        if subjects == 0 || bound > BOUND_MAX {
            return Err(TrainError::Size("people of the round"));
        }
        let numbers = sums + counts;
        let bits = (2 * bound).ilog2() as usize + 1;
        let chunk = optimal_chunk_length(numbers * bits);
        let vdaf = Prio3SumVec::new_sum_vec(2, 2 * bound, numbers, chunk)
            .map_err(|_| TrainError::Size("numbers of the round"))?;
        Ok(Self { stage, order, vdaf, bound, sums, counts })
    }

    /// Splits a part into the leader's and the helper's half. The shares are drawn anew each time.
    ///
    /// **Errors**: a part that no people of this plan can make.
    pub fn split(&self, vault: &VaultId, part: &Part) -> Result<[Half; 2], TrainError> {
        if (part.sums.len(), part.counts.len()) != (self.sums, self.counts) {
            return Err(TrainError::UpdateShape(vault.clone()));
        }
        let beyond = || TrainError::UpdateBound(vault.clone());
        let counts = part.counts.iter().map(|count| count.saturating_mul(COUNT_UNITS));
        // An average counts once for each of the Vault's people, as the other environment has it.
        let local = self.stage.plan.training.model.local().is_some();
        let weight = if local { self.stage.weight(vault)? } else { 1 };
        let weight = i64::try_from(weight).map_err(|_| beyond())?;
        let numbers = part.sums.iter().map(|sum| sum.saturating_mul(weight)).chain(counts);
        let numbers: Option<Vec<u128>> = numbers
            .map(|number| {
                let raised = u128::try_from(i128::try_from(self.bound).ok()? + i128::from(number)).ok()?;
                (raised <= 2 * self.bound).then_some(raised)
            })
            .collect();
        let numbers = Zeroizing::new(numbers.ok_or_else(beyond)?);
        let (context, nonce) = self.named(vault);
        let (public, inputs) = self.vdaf.shard(&context, &numbers, &nonce).map_err(|_| beyond())?;
        let public = public.get_encoded().map_err(|_| beyond())?;
        let [leader, helper] = inputs.as_slice() else { return Err(beyond()) };
        let half = |role, input: &Prio3InputShare<Field128, 32>, learner| -> Result<Half, TrainError> {
            let seed = Digest::of(HALF_TAG, &(part.share, role, &part.sums, &part.counts)).0;
            let input = input.get_encoded().map_err(|_| beyond())?;
            Ok(Half { public: public.clone(), input, seed, learner })
        };
        Ok([half(Role::Leader, leader, part.learner)?, half(Role::Helper, helper, None)?])
    }

    /// The leader's first word about a Vault's part. **Errors**: [`TrainError::UpdateShape`] for a half of another round.
    pub fn ask(&self, key: &Key, vault: &VaultId, half: &Half) -> Result<Vec<u8>, TrainError> {
        let shape = || TrainError::UpdateShape(vault.clone());
        let (public, input) = self.decoded(Role::Leader, half).ok_or_else(shape)?;
        let (context, nonce) = self.named(vault);
        let began = self.vdaf.leader_initialized(key, &context, &(), &nonce, &public, &input);
        began.map_err(|_| shape())?.message.get_encoded().map_err(|_| shape())
    }

    /// The helper's answer to it, and the Vault's share added to `sum`.
    ///
    /// **Errors**: [`TrainError::UpdateBound`] where the two halves do not prove that every number is in its bounds.
    pub fn answer(
        &self,
        key: &Key,
        (vault, half): (&VaultId, &Half),
        asked: &[u8],
        sum: &mut ShareSum,
    ) -> Result<Vec<u8>, TrainError> {
        let beyond = || TrainError::UpdateBound(vault.clone());
        let (public, input) =
            self.decoded(Role::Helper, half).ok_or_else(|| TrainError::UpdateShape(vault.clone()))?;
        let (context, nonce) = self.named(vault);
        let asked = PingPongMessage::get_decoded_with_param(&(), asked).map_err(|_| beyond())?;
        let answered = self
            .vdaf
            .helper_initialized(key, &context, &(), &nonce, &public, &input, &asked)
            .and_then(|next| next.evaluate(&context, &self.vdaf))
            .map_err(|_| beyond())?;
        let PingPongState::FinishedWithOutbound { output_share, message } = answered else {
            return Err(beyond());
        };
        sum.add(output_share.as_ref(), half);
        message.get_encoded().map_err(|_| beyond())
    }

    /// The leader's end of it: the Vault's share added to `sum`. **Errors**: as [`Self::answer`].
    pub fn close(
        &self,
        key: &Key,
        (vault, half): (&VaultId, &Half),
        answer: &[u8],
        sum: &mut ShareSum,
    ) -> Result<(), TrainError> {
        let beyond = || TrainError::UpdateBound(vault.clone());
        let (public, input) =
            self.decoded(Role::Leader, half).ok_or_else(|| TrainError::UpdateShape(vault.clone()))?;
        let (context, nonce) = self.named(vault);
        let answer = PingPongMessage::get_decoded_with_param(&(), answer).map_err(|_| beyond())?;
        let closed = self
            .vdaf
            .leader_initialized(key, &context, &(), &nonce, &public, &input)
            .and_then(|began| self.vdaf.leader_continued(&context, &(), began.verifier_state, &answer))
            .and_then(|next| next.evaluate(&context, &self.vdaf))
            .map_err(|_| beyond())?;
        let PingPongState::Finished { output_share } = closed else { return Err(beyond()) };
        sum.add(output_share.as_ref(), half);
        Ok(())
    }

    /// An empty sum of shares.
    pub fn sum(&self) -> ShareSum {
        let numbers = vec![Field128::zero(); self.sums + self.counts];
        ShareSum { numbers, seeds: Zeroizing::new(Vec::new()) }
    }

    /// An aggregator's sum with its noise, which may be shown to the other one, and the seed of the noise, which never
    /// leaves its enclave. **Errors**: noise out of its limits.
    pub fn noised(&self, role: Role, sum: ShareSum) -> Result<(Share, Digest), TrainError> {
        let Stage { task, plan, position, .. } = &self.stage;
        let ShareSum { mut numbers, seeds } = sum;
        let of_round = (task, position.round, position.state);
        let seed = Digest::of(SEED_TAG, &(of_round, role, seeds.as_slice()));
        let privacy = &plan.training.privacy;
        let (sums, counts) = numbers.split_at_mut(self.sums);
        let mut drawn = Zeroizing::new(vec![0; self.sums]);
        noise::add(&mut drawn, privacy.noise, CLIP_UNITS as u32, &Digest::tagged(SUMS_TAG, &seed.0))?;
        add_whole(sums, drawn.iter().copied());
        let mut drawn = Zeroizing::new(vec![0; self.counts]);
        let most = sensitivity(&plan.training.shape());
        noise::add(&mut drawn, privacy.evaluation_noise, most, &Digest::tagged(COUNTS_TAG, &seed.0))?;
        add_whole(counts, drawn.iter().map(|noise| noise.saturating_mul(COUNT_UNITS)));
        Ok((Share(numbers.iter().map(|number| u128::from(*number)).collect()), seed))
    }

    /// What comes out of a round of so many Vaults, from the leader's share and the helper's.
    ///
    /// **Errors**: shares of another round; [`TrainError::TooFew`] below the plan's minimum; a model that explodes.
    pub fn combine(
        &self,
        learner: &Learner,
        vaults: usize,
        (leader, seed): (&Share, Digest),
        helper: &Share,
    ) -> Result<Combined, TrainError> {
        let length = self.sums + self.counts;
        if leader.0.len() != length || helper.0.len() != length {
            return Err(TrainError::Shape("shares of the round"));
        }
        let raised = Field128::from(self.bound * vaults as u128);
        let whole = leader
            .0
            .iter()
            .zip(&helper.0)
            .map(|(one, other)| centred(Field128::from(*one) + Field128::from(*other) - raised));
        let mut sums: Vec<i64> = whole.collect::<Option<_>>().ok_or(TrainError::Exploding("sums"))?;
        let counts = sums.split_off(self.sums);
        let counts: Vec<i64> = counts.into_iter().map(|count| count / COUNT_UNITS).collect();
        let plan = self.stage.plan;
        // Of the people that the Vaults announce at least this many are there.
        if self.stage.trained_on() / 3 * 2 < u64::from(plan.minimum_cohort) {
            return Err(TrainError::TooFew);
        }
        let enough = counted(&plan.training.model, &counts) >= i64::from(plan.minimum_cohort);
        self.stage.conclude(learner, Noised { sums, counts: enough.then_some(counts), seed })
    }

    /// What binds a part to its order and Vault.
    fn named(&self, vault: &VaultId) -> ([u8; 32], [u8; 16]) {
        let digest = Digest::of(NONCE_TAG, &(self.order, vault));
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&digest.0[..16]);
        (self.order.0, nonce)
    }

    fn decoded(
        &self,
        role: Role,
        half: &Half,
    ) -> Option<(Prio3PublicShare<32>, Prio3InputShare<Field128, 32>)> {
        let public = Prio3PublicShare::get_decoded_with_param(&self.vdaf, &half.public).ok()?;
        let input = Prio3InputShare::get_decoded_with_param(&(&self.vdaf, role as usize), &half.input);
        Some((public, input.ok()?))
    }
}

/// Shares of all Vaults, added up by one aggregator.
pub struct ShareSum {
    numbers: Vec<Field128>,
    seeds: Zeroizing<Vec<[u8; 32]>>,
}

impl ShareSum {
    fn add(&mut self, share: &[Field128], half: &Half) {
        for (sum, more) in self.numbers.iter_mut().zip(share) {
            *sum += *more;
        }
        self.seeds.push(half.seed);
    }
}

/// An aggregator's noised share of all sums and counts of a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share(Vec<u128>);

fn add_whole(numbers: &mut [Field128], more: impl Iterator<Item = i64>) {
    for (number, more) in numbers.iter_mut().zip(more) {
        let size = Field128::from(u128::from(more.unsigned_abs()));
        if more < 0 { *number -= size } else { *number += size }
    }
}

/// The whole number that a number of the field stands for: the upper half is negative.
fn centred(number: Field128) -> Option<i64> {
    let (number, modulus) = (u128::from(number), Field128::modulus());
    if number <= modulus / 2 {
        i64::try_from(number).ok()
    } else {
        i64::try_from(modulus - number).ok().map(|size| -size)
    }
}

/// One of a count in units of the grid, so that one bound holds for sums and counts.
const COUNT_UNITS: i64 = CLIP_UNITS / PERSON;
/// The field has room for a thousand such bounds a Vault and all the noise.
const BOUND_MAX: u128 = 1 << 100;
const HALF_TAG: &str = "symphony/train-half-seed/v1";
const SEED_TAG: &str = "symphony/train-share-seed/v1";
const SUMS_TAG: &str = "symphony/train-share-sums/v1";
const COUNTS_TAG: &str = "symphony/train-share-counts/v1";
const NONCE_TAG: &str = "symphony/train-share-nonce/v1";
