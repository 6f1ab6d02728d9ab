//! Cohort retention: of people whose first purchase was in one of twelve periods, how many bought in each later one.
//!
//! Cells: twelve for each cohort; the first is the cohort itself, the next the period behind it, and so on.
#![no_std]

use symphony_guest_abi::{Input, LANES, Word};

/// Parameters: from, length of a period.
pub const PARAMETERS: usize = 2;
/// Columns: time.
pub const COLUMNS: usize = 1;
/// Rows of one person that are looked at.
pub const ROWS: usize = 4096;
/// Periods, and so cohorts.
pub const PERIODS: u32 = 12;

symphony_guest_abi::guest!(parameters: PARAMETERS, columns: COLUMNS, rows: ROWS, person: crate::person);

/// A mark for each period with a purchase, in the row of the person's cohort. Nothing for who bought before `from`: it
/// belongs to no cohort.
#[inline(always)]
pub fn person(input: &Input<'_>, _step: u32) -> Word {
    let [from, length] = core::array::from_fn(|at| input.parameter(at));
    let length = length.max(1);
    let end = from + length * i64::from(PERIODS);
    let (mut earlier, mut active) = ([0; LANES], [0_u64; LANES]);
    for times in input.column(0) {
        for lane in 0..LANES {
            let time = times[lane];
            earlier[lane] |= i64::from((time >= 0) & (time < from));
            let within = (time >= from) & (time < end);
            // Bounds instead of a division: they can be compared side by side, and have no fault.
            let period: u64 = (1..PERIODS).map(|k| u64::from(time >= from + length * i64::from(k))).sum();
            active[lane] |= u64::from(within) << (period & 63);
        }
    }
    let active = active.iter().fold(0, |all, periods| all | periods);
    if active == 0 || earlier.iter().any(|mark| *mark != 0) {
        return Word::END;
    }
    let cohort = active.trailing_zeros();
    Word::marks(cohort * PERIODS, active >> cohort)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(times: [i64; 3]) -> Word {
        let mut columns = [-1; LANES];
        columns[..3].copy_from_slice(&times);
        person(&Input::new(&[100, 10], &columns, 3), 0)
    }

    #[test]
    fn a_person_marks_its_periods_in_the_row_of_its_first() {
        assert_eq!(marks([115, 110, 139]), Word::marks(12, 0b101));
        assert_eq!(marks([219, 219, 220]), Word::marks(11 * 12, 1));
        assert_eq!(marks([99, 110, 120]), Word::END, "the first purchase was before");
        assert_eq!(marks([-1, 220, 300]), Word::END);
    }
}
