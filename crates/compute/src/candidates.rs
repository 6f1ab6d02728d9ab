//! Counts a Vault's candidates for attributes, for a report that leaves it (R050, R051).
//!
//! Each person counts for a limited number of names, for each as one of the kind that most of its values have, and as a limited number
//! of records; so a person changes counts by a known bound, and discrete Laplace noise of that scale hides it. A name of fewer people
//! than the policy's least, counted with noise, is left out: that a column is there at all may tell of a person.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;
use symphony_protocol::governance::candidate::{CandidatePolicy, Found, LocalKind};
use symphony_types::digest::Digest;
use symphony_types::id::AttributeName;
use symphony_types::limits::CANDIDATES_PER_REPORT_MAX;
use zeroize::Zeroize as _;

use crate::cells::with_noise;

/// A person's values by name: how many are of each kind.
pub type Columns = BTreeMap<AttributeName, [u32; KINDS]>;

/// Counts that nobody sees without noise. Wiped on drop.
pub struct Counting<'a> {
    policy: &'a CandidatePolicy,
    seed: Digest,
    people: u64,
    names: BTreeMap<AttributeName, Counts>,
}

#[derive(Default)]
struct Counts {
    people: [i64; KINDS],
    records: i64,
}

impl Drop for Counts {
    fn drop(&mut self) {
        self.people.zeroize();
        self.records.zeroize();
    }
}

impl<'a> Counting<'a> {
    /// Counts of nobody. What is drawn follows from the seed, which is secret and used once.
    pub const fn new(policy: &'a CandidatePolicy, seed: Digest) -> Self {
        Self { policy, seed, people: 0, names: BTreeMap::new() }
    }

    /// Adds a person who was not added before.
    pub fn add(&mut self, columns: &Columns) {
        self.people += 1;
        let mut drawn: Vec<_> = columns.iter().filter(|(_, kinds)| kinds.iter().any(|of| *of > 0)).collect();
        let most = self.policy.names_per_person as usize;
        if drawn.len() > most {
            // Which of them count is drawn anew for everybody, so that no name stands behind another.
            drawn.sort_by_cached_key(|(name, _)| Digest::of(DRAW_TAG, &(&self.seed, self.people, name)));
            drawn.truncate(most);
        }
        for (name, kinds) in drawn {
            let counts = self.names.entry(name.clone()).or_default();
            let most = (0..KINDS).rev().max_by_key(|kind| kinds[*kind]).unwrap_or_default();
            counts.people[most] += 1;
            let records = kinds.iter().fold(0_u32, |sum, of| sum.saturating_add(*of));
            counts.records += i64::from(records.min(self.policy.records_per_person));
        }
    }

    /// What may leave the Vault: names of enough people, those of the most where there are too many.
    pub fn report(self) -> BTreeMap<AttributeName, Found> {
        let mut stream = ChaCha20Rng::from_seed(Digest::tagged(NOISE_TAG, &self.seed.0).0);
        let (of_people, of_records) = (self.policy.people_noise(), self.policy.records_noise());
        let least = i64::from(self.policy.people_min);
        let mut found = Vec::new();
        for (name, counts) in &self.names {
            let people = with_noise(&counts.people, of_people, &mut stream);
            let records = with_noise(&[counts.records], of_records, &mut stream);
            let most = (0..KINDS).rev().max_by_key(|kind| people[*kind]).unwrap_or_default();
            if people[most] < least {
                continue;
            }
            let others = people.iter().sum::<i64>() - people[most];
            let count = |noised: i64| u64::try_from(noised).unwrap_or(0);
            let (own, records) = (count(people[most]), count(records.iter().sum()));
            let (kind, others) = (LocalKind::ALL[most], count(others));
            found.push((name.clone(), Found { kind, people: own, others, records }));
        }
        found.sort_by_key(|(_, found)| Reverse(found.people));
        found.truncate(CANDIDATES_PER_REPORT_MAX);
        found.into_iter().collect()
    }
}

const KINDS: usize = LocalKind::ALL.len();
const DRAW_TAG: &str = "symphony/candidate-draw/v1";
const NOISE_TAG: &str = "symphony/candidate-noise/v1";

#[cfg(test)]
mod tests {
    use symphony_types::epsilon::Epsilon;
    use symphony_types::id::UsageScope;

    use super::*;

    fn policy(epsilon: u64, names_per_person: u32) -> CandidatePolicy {
        CandidatePolicy {
            scope: UsageScope::new("research").unwrap(),
            epsilon: Epsilon(epsilon),
            names_per_person,
            records_per_person: 2,
            people_min: 10,
            vaults_min: 2,
            epochs_kept: 4,
        }
    }

    fn name(text: &str) -> AttributeName {
        AttributeName::new(text).unwrap()
    }

    /// So much epsilon that noise is hardly ever anything but zero.
    const LOUD: u64 = 1_000_000_000;

    fn columns(named: &[(&str, [u32; KINDS])]) -> Columns {
        named.iter().map(|(text, kinds)| (name(text), *kinds)).collect()
    }

    /// R051: people are counted once for a name, under the kind that most of their values have; records of one person only so far.
    #[test]
    fn a_person_counts_once_for_a_name_and_as_few_records() {
        let policy = policy(LOUD, 4);
        let mut counting = Counting::new(&policy, Digest::of_bytes(b"seed"));
        for nth in 0..12 {
            let tier = if nth < 2 { [0, 3, 0] } else { [5, 1, 0] };
            counting.add(&columns(&[("commerce.tier", tier), ("commerce.rare", [u32::from(nth < 9), 0, 0])]));
        }
        let report = counting.report();
        let found = Found { kind: LocalKind::Text, people: 10, others: 2, records: 24 };
        assert_eq!(report, BTreeMap::from([(name("commerce.tier"), found)]), "nine people are too few");
    }

    /// R050, R051: who has many columns counts for some of them, each of which comes up as often as another.
    #[test]
    fn a_person_counts_for_a_limited_number_of_names() {
        let policy = policy(LOUD, 2);
        let mut counting = Counting::new(&policy, Digest::of_bytes(b"seed"));
        let names = ["a.a", "b.b", "c.c", "d.d"];
        for _ in 0..400 {
            counting.add(&names.map(|text| (name(text), [1, 0, 0])).into());
        }
        let report = counting.report();
        assert_eq!(report.values().map(|found| found.people).sum::<u64>(), 800);
        assert!(report.values().all(|found| (150..=250).contains(&found.people)), "{report:?}");
    }

    /// R050: what one report says of a count is as far off as its epsilon asks, on either side, and another seed says something else.
    #[test]
    fn noise_is_as_wide_as_epsilon_says() {
        let policy = policy(1_000_000, 1);
        let mut sums = (0_i64, 0_i64);
        let runs = 2_000_u32;
        for run in 0..runs {
            let mut counting = Counting::new(&policy, Digest::of("test/seed", &run));
            (0..1_000).for_each(|_| counting.add(&columns(&[("a.a", [1, 0, 0])])));
            let people = counting.report().values().next().unwrap().people;
            let off = i64::try_from(people).unwrap() - 1_000;
            sums = (sums.0 + off, sums.1 + off.abs());
        }
        // A scale of two: that is the mean of what a count is off, about 1.96 in whole numbers.
        let (mean, wide) =
            (f64::from(i32::try_from(sums.0).unwrap()), f64::from(i32::try_from(sums.1).unwrap()));
        assert!((mean / f64::from(runs)).abs() < 0.3, "{mean}");
        assert!((wide / f64::from(runs) - 1.96).abs() < 0.3, "{wide}");
    }

    /// R050: names of nobody else are as good as never in a report, under the least that a policy may ask for.
    #[test]
    fn a_name_of_one_person_stays() {
        let rare = CandidatePolicy { people_min: 25, ..policy(1_000_000, 1) };
        let limits = [(rare.scope.clone(), Epsilon(1_000_000))].into();
        let privacy = symphony_protocol::governance::policy::Privacy {
            scope_limits: limits,
            subject_cap: Epsilon(1_000_000),
            exposure_charge: Epsilon(1),
            count_epsilon: Epsilon(1),
            minimum_result_cardinality: 1,
            audience_cap_max: 1,
            selection: symphony_protocol::artifact::SelectionRule::Random,
        };
        assert_eq!(rare.check(&privacy), Ok(()), "the least");
        assert!(CandidatePolicy { people_min: 24, ..rare.clone() }.check(&privacy).is_err());
        for run in 0..2_000_u32 {
            let mut counting = Counting::new(&rare, Digest::of("test/seed", &run));
            counting.add(&columns(&[("my.secret", [9, 0, 0])]));
            assert_eq!(counting.report(), BTreeMap::new());
        }
    }
}
