//! RFM scoring: recency, frequency and money of a person's purchases as three digits of 0 to 4. A derived attribute.
#![no_std]

use symphony_guest_abi::{Input, LANES, Word};

/// Parameters: from, now; then four ascending bounds each: age of the last purchase, purchases, spend.
pub const PARAMETERS: usize = 14;
/// Columns: time, amount.
pub const COLUMNS: usize = 2;
/// Rows of one person that are looked at.
pub const ROWS: usize = 4096;

symphony_guest_abi::guest!(parameters: PARAMETERS, columns: COLUMNS, rows: ROWS, person: crate::person);

/// `25 r + 5 f + m`; nothing for who bought nothing from `from` to `now`.
#[inline(always)]
pub fn person(input: &Input<'_>, _step: u32) -> Word {
    let [from, now] = core::array::from_fn(|at| input.parameter(at));
    let (mut last, mut purchases, mut spend) = ([-1; LANES], [0; LANES], [0; LANES]);
    for (times, amounts) in input.column(0).iter().zip(input.column(1)) {
        for lane in 0..LANES {
            let hit = (times[lane] >= from) & (times[lane] <= now);
            last[lane] = if hit & (times[lane] > last[lane]) { times[lane] } else { last[lane] };
            purchases[lane] += i64::from(hit);
            spend[lane] += if hit { amounts[lane].max(0) } else { 0 };
        }
    }
    let purchases = purchases.iter().sum::<i64>();
    if purchases == 0 {
        return Word::END;
    }
    let age = now - last.iter().fold(-1, |last, time| if *time > last { *time } else { last });
    let recency = 4 - reached(input, 2, age - 1);
    let score = 25 * recency + 5 * reached(input, 6, purchases) + reached(input, 10, spend.iter().sum());
    Word::attribute(score)
}

/// How many of four bounds `value` reaches.
#[inline(always)]
fn reached(input: &Input<'_>, first: usize, value: i64) -> i64 {
    (first..first + 4).map(|at| i64::from(value >= input.parameter(at))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(now: i64, last: i64) -> Word {
        let parameters = [0, now, 10, 20, 30, 40, 2, 3, 4, 5, 100, 200, 300, 400];
        let mut columns = [-1; 2 * LANES];
        columns[..2].copy_from_slice(&[last, 1]);
        columns[LANES..][..2].copy_from_slice(&[250, 10]);
        person(&Input::new(&parameters, &columns, 2), 0)
    }

    #[test]
    fn each_digit_counts_the_bounds_that_are_reached() {
        assert_eq!(score(100, 90), Word::attribute(4 * 25 + 5 + 2), "ten old is within the first bound");
        assert_eq!(score(100, 89), Word::attribute(3 * 25 + 5 + 2));
        assert_eq!(score(100, 50), Word::attribute(5 + 2));
        assert_eq!(score(0, 90), Word::END, "purchases after now do not count");
    }
}
