//! Spend histogram: how many people spent how much in a time. Each person is in one bucket at most.
#![no_std]

use symphony_guest_abi::{Input, LANES, Word};

/// Parameters: from, until, width of a bucket.
pub const PARAMETERS: usize = 3;
/// Columns: time, amount.
pub const COLUMNS: usize = 2;
/// Rows of one person that are looked at.
pub const ROWS: usize = 4096;
/// Buckets; the last one has no upper end.
pub const BUCKETS: i64 = 32;

symphony_guest_abi::guest!(parameters: PARAMETERS, columns: COLUMNS, rows: ROWS, person: crate::person);

/// A mark in the person's bucket; nothing for who bought nothing.
#[inline(always)]
pub fn person(input: &Input<'_>, _step: u32) -> Word {
    let [from, until, width] = core::array::from_fn(|at| input.parameter(at));
    let (mut purchases, mut spend) = ([0; LANES], [0; LANES]);
    for (times, amounts) in input.column(0).iter().zip(input.column(1)) {
        for lane in 0..LANES {
            let hit = (times[lane] >= from) & (times[lane] < until);
            purchases[lane] += i64::from(hit);
            spend[lane] += if hit { amounts[lane].max(0) } else { 0 };
        }
    }
    if purchases.iter().sum::<i64>() == 0 {
        return Word::END;
    }
    let bucket = (spend.iter().sum::<i64>() / width.max(1)).min(BUCKETS - 1);
    Word::marks(bucket as u32, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(parameters: [i64; PARAMETERS]) -> Word {
        let mut columns = [-1; 2 * LANES];
        columns[..2].copy_from_slice(&[10, 20]);
        columns[LANES..][..2].copy_from_slice(&[300, 500]);
        person(&Input::new(&parameters, &columns, 2), 0)
    }

    #[test]
    fn a_person_is_in_the_bucket_of_its_sum() {
        assert_eq!(bucket([0, 100, 100]), Word::marks(8, 1));
        assert_eq!(bucket([0, 20, 100]), Word::marks(3, 1));
        assert_eq!(bucket([0, 100, 1]), Word::marks(31, 1), "the last bucket is open");
        assert_eq!(bucket([50, 100, 100]), Word::END);
    }
}
