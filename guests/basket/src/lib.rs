//! Basket co-occurrence: which two of ten categories people buy together. Each person counts once in a pair.
//!
//! A basket is what a person bought within a span from the basket's first purchase. Rows come in the order of time.
#![no_std]

use symphony_guest_abi::{Input, LANES, Word};

/// Parameters: from, until, span of a basket.
pub const PARAMETERS: usize = 3;
/// Columns: time, category.
pub const COLUMNS: usize = 2;
/// Rows of one person that are looked at.
pub const ROWS: usize = 4096;
/// Categories of a task.
pub const CATEGORIES: u32 = 10;

symphony_guest_abi::guest!(parameters: PARAMETERS, columns: COLUMNS, rows: ROWS, person: crate::person);

/// One mark for each pair that was in a basket: pairs (0, 1), (0, 2) ... (8, 9).
#[inline(always)]
pub fn person(input: &Input<'_>, _step: u32) -> Word {
    let [from, until, span] = core::array::from_fn(|at| input.parameter(at));
    let (mut start, mut basket, mut found) = (-1, 0_u64, 0_u64);
    for (times, categories) in input.column(0).iter().zip(input.column(1)) {
        for lane in 0..LANES {
            let (time, category) = (times[lane], categories[lane]);
            let hit = (time >= from) & (time < until) & (category >= 0) & (category < i64::from(CATEGORIES));
            if !hit {
                continue;
            }
            if start < 0 || time - start > span {
                found |= pairs(basket);
                (start, basket) = (time, 0);
            }
            basket |= 1 << (category as u64 & 63);
        }
    }
    found |= pairs(basket);
    if found == 0 { Word::END } else { Word::marks(0, found) }
}

/// A bit for each two categories of a basket.
#[inline(always)]
fn pairs(basket: u64) -> u64 {
    let (mut found, mut shift, mut first) = (0, 0, 0);
    while first + 1 < CATEGORIES {
        let later = basket >> (first + 1);
        found |= if basket >> first & 1 == 1 { later << shift } else { 0 };
        shift += CATEGORIES - 1 - first;
        first += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_have_one_bit_each_in_order() {
        let mut expected = 1;
        for first in 0..CATEGORIES {
            for second in first + 1..CATEGORIES {
                assert_eq!(pairs(1 << first | 1 << second), expected);
                expected <<= 1;
            }
        }
        assert_eq!(expected, 1 << 45);
    }

    #[test]
    fn only_what_is_in_one_basket_is_a_pair() {
        let mut columns = [-1; 2 * LANES];
        columns[..4].copy_from_slice(&[10, 15, 21, 22]);
        columns[LANES..][..4].copy_from_slice(&[0, 1, 2, 3]);
        let marks = |span| person(&Input::new(&[0, 100, span], &columns, 4), 0);
        assert_eq!(marks(10), Word::marks(0, pairs(0b11) | pairs(0b1100)));
        assert_eq!(marks(100), Word::marks(0, pairs(0b1111)));
        assert_eq!(marks(0), Word::END);
    }
}
