//! Eligibility: whether a person bought often and for enough in a time, of chosen merchants. A derived attribute.
#![no_std]

use symphony_guest_abi::{Input, LANES, Word};

/// Parameters: from, until, purchases at least, spend at least, whether any merchant counts.
pub const PARAMETERS: usize = 5;
/// Columns: time, merchant, amount.
pub const COLUMNS: usize = 3;
/// Rows of one person that are looked at.
pub const ROWS: usize = 4096;

symphony_guest_abi::guest!(parameters: PARAMETERS, columns: COLUMNS, rows: ROWS, person: crate::person);

/// 1 for an eligible person, 0 for any other.
#[inline(always)]
pub fn person(input: &Input<'_>, _step: u32) -> Word {
    let [from, until, purchases_min, spend_min, any] = core::array::from_fn(|at| input.parameter(at));
    let (mut purchases, mut spend) = ([0; LANES], [0; LANES]);
    let rows = input.column(0).iter().zip(input.column(1)).zip(input.column(2));
    for ((times, merchants), amounts) in rows {
        for lane in 0..LANES {
            let within = (times[lane] >= from) & (times[lane] < until);
            let hit = within & ((merchants[lane] >= 0) | (any != 0));
            purchases[lane] += i64::from(hit);
            spend[lane] += if hit { amounts[lane].max(0) } else { 0 };
        }
    }
    let eligible = purchases.iter().sum::<i64>() >= purchases_min && spend.iter().sum::<i64>() >= spend_min;
    Word::attribute(i64::from(eligible))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(parameters: [i64; PARAMETERS]) -> i64 {
        let mut columns = [-1; 3 * LANES];
        for (row, (time, merchant, amount)) in [(10, 0, 300), (20, -1, 500), (30, 1, -1)].iter().enumerate() {
            columns[row] = *time;
            columns[LANES + row] = *merchant;
            columns[2 * LANES + row] = *amount;
        }
        person(&Input::new(&parameters, &columns, 3), 0).0
    }

    #[test]
    fn both_minima_must_be_reached_within_the_time() {
        assert_eq!(judged([10, 31, 2, 300, 0]), 1);
        assert_eq!(judged([10, 31, 2, 301, 0]), 0, "the merchant of the second purchase is not in the list");
        assert_eq!(judged([10, 31, 3, 800, 1]), 1, "any merchant counts");
        assert_eq!(judged([10, 30, 2, 0, 0]), 0, "until is not within");
        assert_eq!(judged([0, 100, 4, 0, 1]), 0, "padding is nobody's purchase");
    }
}
