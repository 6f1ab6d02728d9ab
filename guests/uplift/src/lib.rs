//! Coupon uplift: of people with and without a coupon in a first time, how many bought in the time behind it, for how much.
//!
//! Cells: control that did not buy, control that did, treated that did not, treated that did; then the spend of
//! control and of treated.
#![no_std]

use symphony_guest_abi::{Input, LANES, Word};

/// Parameters: from, until, end of the time behind it.
pub const PARAMETERS: usize = 3;
/// Columns: time, amount, discount by a coupon.
pub const COLUMNS: usize = 3;
/// Rows of one person that are looked at.
pub const ROWS: usize = 4096;
/// Cells that count people; those of spend follow.
pub const PEOPLE_CELLS: u32 = 4;

symphony_guest_abi::guest!(parameters: PARAMETERS, columns: COLUMNS, rows: ROWS, person: crate::person);

/// Step 0: where the person counts. Step 1: what it spent. Nothing for who bought nothing in the first time.
#[inline(always)]
pub fn person(input: &Input<'_>, step: u32) -> Word {
    let [from, until, end] = core::array::from_fn(|at| input.parameter(at));
    let (mut before, mut coupons, mut after, mut spend) = ([0; LANES], [0; LANES], [0; LANES], [0; LANES]);
    let rows = input.column(0).iter().zip(input.column(1)).zip(input.column(2));
    for ((times, amounts), discounts) in rows {
        for lane in 0..LANES {
            let first = (times[lane] >= from) & (times[lane] < until);
            let behind = (times[lane] >= until) & (times[lane] < end);
            before[lane] |= i64::from(first);
            coupons[lane] |= i64::from(first & (discounts[lane] > 0));
            after[lane] |= i64::from(behind);
            spend[lane] += if behind { amounts[lane].max(0) } else { 0 };
        }
    }
    let any = |marks: &[i64; LANES]| marks.iter().fold(0, |any, mark| any | mark) as u32;
    if any(&before) == 0 {
        return Word::END;
    }
    let (treated, bought) = (any(&coupons), any(&after));
    match step {
        0 => Word::marks(2 * treated + bought, 1),
        1 if bought == 1 => Word::amount(PEOPLE_CELLS + treated, spend.iter().sum()),
        _ => Word::END,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(discount: i64, end: i64) -> [Word; 3] {
        let mut columns = [-1; 3 * LANES];
        columns[..3].copy_from_slice(&[10, 20, 30]);
        columns[LANES..][..3].copy_from_slice(&[100, 200, 300]);
        columns[2 * LANES] = discount;
        [0, 1, 2].map(|step| person(&Input::new(&[0, 20, end], &columns, 3), step))
    }

    #[test]
    fn a_person_counts_in_one_of_four_cells_and_in_the_spend_of_its_group() {
        assert_eq!(words(0, 100), [Word::marks(1, 1), Word::amount(4, 500), Word::END]);
        assert_eq!(words(5, 30), [Word::marks(3, 1), Word::amount(5, 200), Word::END]);
        assert_eq!(words(5, 20), [Word::marks(2, 1), Word::END, Word::END]);
    }
}
