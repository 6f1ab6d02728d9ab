//! Rounds on shares: the same sums as in the other environment, twice the noise, and no part that its proof does not cover.

use prio::codec::ParameterizedDecode as _;
use prio::field::{Field128, FieldElement as _};
use prio::topology::ping_pong::{PingPongState, PingPongTopology as _};
use prio::vdaf::prio3::{Prio3InputShare, Prio3PublicShare, Prio3SumVec};

use super::parts::{all_kinds, due, initial, part, plan, stage, three};
use super::*;
use crate::train::gathering::{Combined, Gathering, Stage};
use crate::train::grid::CLIP_UNITS;
use crate::train::part::Part;
use crate::train::sharing::{Half, Key, Role, Sharing};
use symphony_protocol::artifact::training::{ModelKind, TrainingPlan};
use symphony_protocol::lifecycle::training::Position;

const KEY: Key = [9; 32];
const ORDER: Digest = Digest([5; 32]);

fn sharing<'a>(plan: &'a TrainingPlan, at: &'a Position) -> Sharing<'a> {
    Sharing::new(stage(plan, at), ORDER).unwrap()
}

/// Both aggregators over halves of all Vaults, up to the end of the round.
fn combine(
    sharing: &Sharing<'_>,
    learner: &Learner,
    halves: &[(VaultId, [Half; 2])],
) -> Result<Combined, TrainError> {
    let (mut leader, mut helper) = (sharing.sum(), sharing.sum());
    for (vault, [mine, theirs]) in halves {
        let asked = sharing.ask(&KEY, vault, mine)?;
        let answer = sharing.answer(&KEY, (vault, theirs), &asked, &mut helper)?;
        sharing.close(&KEY, (vault, mine), &answer, &mut leader)?;
    }
    let (leader, seed) = sharing.noised(Role::Leader, leader)?;
    let (helper, other) = sharing.noised(Role::Helper, helper)?;
    assert_ne!(seed, other);
    sharing.combine(learner, halves.len(), (&leader, seed), &helper)
}

fn parts(plan: &TrainingPlan, at: &Position, learner: &Learner) -> Vec<(VaultId, Part)> {
    let vaults = three(plan, 60);
    vaults.iter().map(|vault| (vault.0.clone(), part(plan, at, learner, vault))).collect()
}

fn split(sharing: &Sharing<'_>, parts: &[(VaultId, Part)]) -> Vec<(VaultId, [Half; 2])> {
    parts.iter().map(|(vault, part)| (vault.clone(), sharing.split(vault, part).unwrap())).collect()
}

/// R102, R113: shares are drawn anew each time, and what comes out of them is the same to the byte.
#[test]
fn a_round_split_twice_ends_in_the_same_bytes() {
    for model in all_kinds() {
        let plan = plan(model);
        let (at, learner) = (due(), initial(&plan));
        let sharing = sharing(&plan, &at);
        let parts = parts(&plan, &at, &learner);
        let (one, other) = (split(&sharing, &parts), split(&sharing, &parts));
        assert!(one.iter().zip(&other).all(|(one, other)| one.1[0] != other.1[0] && one.1[1] != other.1[1]));
        let made = combine(&sharing, &learner, &one).unwrap();
        assert_eq!(made, combine(&sharing, &learner, &other).unwrap());
        assert!(made.evaluation.is_some() && made.next.is_some());
    }
}

/// R098, R113: under the noise lie the exact sums of all Vaults, and the noise is that of two aggregators.
#[test]
fn the_sums_carry_the_noise_of_both() {
    let plan = plan(ModelKind::Perceptron { hidden: 40 });
    let (learner, at) = (initial(&plan), Position::of(2, false, Digest::ZERO));
    let sharing = sharing(&plan, &at);
    let parts = parts(&plan, &at, &learner);
    let made = combine(&sharing, &learner, &split(&sharing, &parts)).unwrap();
    assert_eq!(made.sums.len(), 201);
    let noise = made.sums.iter().enumerate().map(|(coordinate, noised)| {
        let exact: i64 = parts.iter().map(|(_, part)| part.sums[coordinate]).sum();
        (noised - exact) as f64 / CLIP_UNITS as f64
    });
    let variance = noise.map(|noise| noise * noise).sum::<f64>() / 201.0;
    // Twice a half squared; 201 numbers hold it within a third.
    assert!((0.33..0.67).contains(&variance), "{variance}");
}

/// R100, R113: the figures of an evaluation are those of the other environment, but for noise.
#[test]
fn a_model_is_judged_alike_in_both_environments() {
    let mut plan = plan(ModelKind::Logistic);
    plan.training.rounds = 1;
    let (at, learner) = (Position::of(2, true, initial(&plan).digest()), initial(&plan));
    let vaults = three(&plan, 2_000);
    let parts: Vec<_> =
        vaults.iter().map(|vault| (vault.0.clone(), part(&plan, &at, &learner, vault))).collect();
    let wide = Stage { subjects: &[3_000; 3], ..stage(&plan, &at) };
    let sharing = Sharing::new(wide, ORDER).unwrap();
    let shared = combine(&sharing, &learner, &split(&sharing, &parts)).unwrap();
    let mut gathering = Gathering::new(&wide);
    parts.iter().for_each(|(vault, part)| gathering.add(&wide, vault, part).unwrap());
    let trusted = gathering.finish(&wide, &learner).unwrap();
    assert!(shared.next.is_none() && shared.sums.is_empty());
    let (one, other) = (shared.evaluation.unwrap(), trusted.evaluation.unwrap());
    assert!(one.quality.abs_diff(other.quality) < 10_000, "{} {}", one.quality, other.quality);
}

/// R099, R113: halves that do not prove their numbers name their Vault; so do those of another order or Vault.
#[test]
fn a_half_without_its_proof_names_its_vault() {
    let plan = plan(ModelKind::Logistic);
    let (at, learner) = (due(), initial(&plan));
    let sharing = sharing(&plan, &at);
    let parts = parts(&plan, &at, &learner);
    let name = parts[1].0.clone();
    let bound = Err(TrainError::UpdateBound(name.clone()));
    let with = |halves: [Half; 2]| {
        let mut all = split(&sharing, &parts);
        all[1].1 = halves;
        combine(&sharing, &learner, &all)
    };
    assert!(with(sharing.split(&name, &parts[1].1).unwrap()).is_ok());
    // Two halves of different splittings add up to anything.
    let ([mine, _], [_, theirs]) =
        (sharing.split(&name, &parts[1].1).unwrap(), sharing.split(&name, &parts[1].1).unwrap());
    assert_eq!(with([mine, theirs]), bound);
    assert_eq!(with(sharing.split(&parts[0].0, &parts[1].1).unwrap()), bound);
    let other = Sharing::new(stage(&plan, &at), Digest([6; 32])).unwrap();
    assert_eq!(with(other.split(&name, &parts[1].1).unwrap()), bound);
    let of = |subjects: &'static [u64]| Sharing::new(Stage { subjects, ..stage(&plan, &at) }, ORDER);
    // Made with room for more people, it is another shape.
    let wide = of(&[30_000]).unwrap();
    assert_eq!(with(wide.split(&name, &parts[1].1).unwrap()), Err(TrainError::UpdateShape(name)));
}

/// R099, R113: numbers beyond their bounds cannot be split at all.
#[test]
fn a_part_beyond_its_bounds_is_not_split() {
    let plan = plan(ModelKind::Logistic);
    let (at, learner) = (due(), initial(&plan));
    let sharing = sharing(&plan, &at);
    let (name, part) = parts(&plan, &at, &learner).remove(0);
    let changed = |change: &dyn Fn(&mut Part)| {
        let mut part = part.clone();
        change(&mut part);
        sharing.split(&name, &part).err()
    };
    let bound = Some(TrainError::UpdateBound(name.clone()));
    let shape = Some(TrainError::UpdateShape(name.clone()));
    assert_eq!(changed(&|part| part.sums[0] = 600 * CLIP_UNITS), None);
    assert_eq!(changed(&|part| part.sums[0] = -600 * CLIP_UNITS), None);
    assert_eq!(changed(&|part| part.sums[0] = 600 * CLIP_UNITS + 1), bound);
    assert_eq!(changed(&|part| part.sums[0] = i64::MIN), bound);
    assert_eq!(changed(&|part| part.counts[0] = i64::MAX), bound);
    assert_eq!(changed(&|part| part.sums.push(0)), shape);
    assert_eq!(changed(&|part| part.counts.clear()), shape);
    let of = |subjects: &'static [u64]| Sharing::new(Stage { subjects, ..stage(&plan, &at) }, ORDER);
    assert!(of(&[0]).is_err());
    assert!(of(&[u64::MAX]).is_ok_and(|wide| wide.split(&name, &part).is_ok()));
}

/// R098, R113: fewer people than the minimum, as the Vaults announced them, train nothing.
#[test]
fn too_few_announced_people_train_nothing() {
    let mut plan = plan(ModelKind::Logistic);
    let (at, learner) = (due(), initial(&plan));
    let halves = split(&sharing(&plan, &at), &parts(&plan, &at, &learner));
    // 300 announced, of whom 700 in 1,000 are trained on; their buckets begin at two thirds of that.
    for (minimum, enough) in [(140, true), (141, false)] {
        plan.minimum_cohort = minimum;
        let made = combine(&sharing(&plan, &at), &learner, &halves);
        assert_eq!(made.is_ok(), enough);
        assert!(enough || made == Err(TrainError::TooFew));
    }
}

fn bytes(text: &Value) -> Vec<u8> {
    hex::decode(text.as_str().unwrap()).unwrap()
}

/// R113: the two aggregators come to the published sum from the published shares (draft-irtf-cfrg-vdaf-18).
#[test]
fn published_shares_add_up_to_the_published_sum() {
    let vector = vector("prio3_sum_vec.json");
    let number = |name: &str| vector[name].as_u64().unwrap() as usize;
    let most = u128::from(vector["max_measurement"].as_u64().unwrap());
    let vdaf = Prio3SumVec::new_sum_vec(2, most, number("length"), number("chunk_length")).unwrap();
    let (context, key) = (bytes(&vector["ctx"]), bytes(&vector["verify_key"]).try_into().unwrap());
    let mut sums = vec![Field128::zero(); number("length")];
    for report in vector["reports"].as_array().unwrap() {
        let nonce = bytes(&report["nonce"]).try_into().unwrap();
        let public =
            Prio3PublicShare::get_decoded_with_param(&vdaf, &bytes(&report["public_share"])).unwrap();
        let input = |role: usize| {
            let input = bytes(&report["input_shares"][role]);
            Prio3InputShare::get_decoded_with_param(&(&vdaf, role), &input).unwrap()
        };
        let began = vdaf.leader_initialized(&key, &context, &(), &nonce, &public, &input(0)).unwrap();
        let asked = began.message;
        let helping =
            vdaf.helper_initialized(&key, &context, &(), &nonce, &public, &input(1), &asked).unwrap();
        let PingPongState::FinishedWithOutbound { output_share: helper, message } =
            helping.evaluate(&context, &vdaf).unwrap()
        else {
            panic!("the helper does not end")
        };
        let ending = vdaf.leader_continued(&context, &(), began.verifier_state, &message).unwrap();
        let PingPongState::Finished { output_share: leader } = ending.evaluate(&context, &vdaf).unwrap()
        else {
            panic!("the leader does not end")
        };
        for (sum, (one, other)) in sums.iter_mut().zip(leader.as_ref().iter().zip(helper.as_ref())) {
            *sum += *one + *other;
        }
    }
    let expected: Vec<u128> = vector["agg_result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sum| u128::from(sum.as_u64().unwrap()))
        .collect();
    assert_eq!(sums.into_iter().map(u128::from).collect::<Vec<_>>(), expected);
}
