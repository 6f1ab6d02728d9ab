//! Which neighbours of a Vault's segments become one (R077).
//!
//! Segments stand in the order in which their records arrived, and only neighbours become one, so that records of about one time
//! stay together. Eight become one, or fewer that fill a segment; and never one that is larger than the others together, so that
//! a record is written again only when its segment at least doubles. Pure: sizes in, a range out.

use std::ops::Range;

use crate::limits::{MERGED_ROWS_MAX, MERGED_SEGMENTS};

/// The neighbours that are to become one, by their place: those of the fewest rows first. `rows` are those of each segment, in the
/// order of arrival.
pub fn due(rows: &[u64]) -> Option<Range<usize>> {
    let mut chosen: Option<(u64, Range<usize>)> = None;
    for length in (2..=MERGED_SEGMENTS).rev() {
        for (start, group) in rows.windows(length).enumerate() {
            let total = group.iter().fold(0_u64, |sum, rows| sum.saturating_add(*rows));
            let largest = group.iter().copied().max().unwrap_or(0);
            let doubled = largest <= total - largest;
            let enough = length == MERGED_SEGMENTS || total >= MERGED_ROWS_MAX / 4 * 3;
            let fits = total <= MERGED_ROWS_MAX;
            if doubled && enough && fits && chosen.as_ref().is_none_or(|(least, _)| total < *least) {
                chosen = Some((total, start..start + length));
            }
        }
    }
    chosen.map(|(_, range)| range)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Merges what is due until nothing is; gives how many rows were written.
    fn settle(rows: &mut Vec<u64>) -> u64 {
        let mut written = 0;
        while let Some(range) = due(rows) {
            let total: u64 = rows[range.clone()].iter().sum();
            assert!(range.len() >= 2 && range.len() <= MERGED_SEGMENTS && total <= MERGED_ROWS_MAX);
            rows.splice(range, [total]);
            written += total;
        }
        written
    }

    #[test]
    fn eight_small_ones_become_one_and_a_large_neighbour_is_left_alone() {
        assert_eq!(due(&[5; 7]), None);
        assert_eq!(due(&[5; 8]), Some(0..8));
        assert_eq!(due(&[1_000, 5, 5, 5, 5, 5, 5, 5, 5]), Some(1..9));
        assert_eq!(due(&[1_000, 5, 5, 5, 5, 5, 5, 5]), None);
        assert_eq!(due(&[MERGED_ROWS_MAX / 3; 3]), Some(0..3), "a segment is full");
        assert_eq!(due(&[MERGED_ROWS_MAX; 8]), None);
        assert_eq!(due(&[]), None);
    }

    proptest! {
        /// However much arrives at a time, there are few segments, and no record is written often.
        #[test]
        fn segments_stay_few_and_records_are_written_seldom(
            uploads in prop::collection::vec(prop_oneof![4_096_u64..9_000, 4_096..200_000_u64], 1..600),
        ) {
            let (mut rows, mut written) = (Vec::new(), 0);
            for upload in &uploads {
                rows.push(*upload);
                written += settle(&mut rows);
            }
            let all: u64 = uploads.iter().sum();
            prop_assert_eq!(rows.iter().sum::<u64>(), all);
            prop_assert!(rows.len() as u64 <= 40 + all / (MERGED_ROWS_MAX / 4), "{} segments", rows.len());
            prop_assert!(written <= 6 * all, "{written} rows were written for {all}");
        }
    }
}
