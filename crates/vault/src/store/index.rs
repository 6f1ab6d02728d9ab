//! Where a person's uploaded records are in the log of arrivals: held in memory, made again from the log's own lists (R076, R080).
//!
//! Entries of one upload's batch are a run; runs are merged as they grow, so that a person is looked up in few of them and adding
//! a record costs its share of few merges.

use std::sync::Arc;

/// Where one record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Whose.
    pub(crate) person: u32,
    /// Its position among the person's records.
    pub(crate) sequence: u32,
    /// Its number of arrival.
    pub(crate) arrival: u32,
    /// Recognises, with others, the name that its uploader gave it.
    pub(crate) fingerprint: u32,
}

/// The places of all records that arrived so far.
#[derive(Clone, Default)]
pub(crate) struct Index {
    /// In order of arrival; each by person and sequence.
    runs: Vec<Arc<[Entry]>>,
    arrivals: u64,
}

impl Index {
    /// How many records it knows.
    pub(crate) fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// Adds the next records, by person and sequence; a person's come after those that it has.
    pub(crate) fn push(&mut self, run: Vec<Entry>) {
        if run.is_empty() {
            return;
        }
        self.arrivals += run.len() as u64;
        let mut run: Arc<[Entry]> = run.into();
        while let Some(last) = self.runs.pop_if(|last| last.len() <= 2 * run.len()) {
            run = merged(&last, &run);
        }
        self.runs.push(run);
    }

    /// The entries of a person among the first `arrivals`, by sequence.
    pub(crate) fn of(&self, person: u32, arrivals: u64) -> impl Iterator<Item = Entry> {
        let of_run = move |run: &Arc<[Entry]>| {
            let from = run.partition_point(|entry| entry.person < person);
            let many = run[from..].iter().take_while(|entry| entry.person == person).count();
            from..from + many
        };
        let entries = self.runs.iter().flat_map(move |run| run[of_run(run)].iter().copied());
        entries.filter(move |entry| u64::from(entry.arrival) < arrivals)
    }

    /// The entry at a place. `None`: no uploaded record is there.
    pub(crate) fn at(&self, (person, sequence): (u32, u32), arrivals: u64) -> Option<Entry> {
        let found = self.runs.iter().find_map(|run| {
            let place = run.binary_search_by_key(&(person, sequence), |entry| (entry.person, entry.sequence));
            place.ok().map(|place| run[place])
        });
        found.filter(|entry| u64::from(entry.arrival) < arrivals)
    }
}

/// Two runs as one, the earlier's entries of a person first.
fn merged(earlier: &[Entry], later: &[Entry]) -> Arc<[Entry]> {
    let (mut one, mut two) = (earlier.iter().peekable(), later.iter().peekable());
    let mut all = Vec::with_capacity(earlier.len() + later.len());
    while let (Some(left), Some(right)) = (one.peek(), two.peek()) {
        let next = if left.person <= right.person { one.next() } else { two.next() };
        all.extend(next);
    }
    all.extend(one.chain(two));
    all.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R076: whatever the batches, each person's records are found in order, and a reader of an earlier moment sees no later one.
    #[test]
    fn a_persons_records_are_found_in_any_batches() {
        let mut random = 9_u64;
        let mut next = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % bound
        };
        for _ in 0..50 {
            let (mut index, mut all): (Index, Vec<Entry>) = (Index::default(), vec![]);
            let mut sequences = [0_u32; 9];
            for _ in 0..next(30) {
                let mut people: Vec<u32> = (0..next(12)).map(|_| next(9) as u32).collect();
                people.sort_unstable();
                let run: Vec<Entry> = people
                    .into_iter()
                    .zip(all.len() as u32..)
                    .map(|(person, arrival)| {
                        let sequence = sequences[person as usize];
                        sequences[person as usize] += 1;
                        Entry { person, sequence, arrival, fingerprint: arrival ^ 7 }
                    })
                    .collect();
                all.extend(&run);
                index.push(run);
            }
            assert_eq!(index.arrivals(), all.len() as u64);
            let seen = next(all.len() as u64 + 1);
            for person in 0..9 {
                let expected: Vec<Entry> =
                    all[..seen as usize].iter().filter(|entry| entry.person == person).copied().collect();
                assert_eq!(index.of(person, seen).collect::<Vec<_>>(), expected);
                for entry in all.iter().filter(|entry| entry.person == person) {
                    let known = (u64::from(entry.arrival) < seen).then_some(*entry);
                    assert_eq!(index.at((person, entry.sequence), seen), known);
                }
            }
            let runs: Vec<usize> = index.runs.iter().map(|run| run.len()).collect();
            assert!(runs.is_sorted_by(|one, next| *one > 2 * next), "{runs:?}");
        }
    }
}
