//! The bound of one person, whatever a module answers.

use proptest::prelude::*;

use super::*;
use symphony_protocol::artifact::module::Unit;

fn groups() -> Vec<Group> {
    let group =
        |name: &str, unit, cells, clip, touches| Group { name: name.into(), unit, cells, clip, touches };
    vec![group("people", Unit::Count, 4, 1, 2), group("spend", Unit::Cents, 3, 500, 1)]
}

fn amount(cell: i64, value: i64) -> i64 {
    cell << CELL_SHIFT | value
}

fn summed(words: &[i64]) -> Result<Vec<i64>, Fault> {
    let shape = OutputShape::Aggregate(groups());
    let mut collected = Collected::new(&shape);
    collected.person(0, words)?;
    Ok(cells(&collected.finish()).collect())
}

#[test]
fn amounts_are_cut_and_touches_end() {
    assert_eq!(summed(&[amount(4, 900)]), Ok(vec![0, 0, 0, 0, 500, 0, 0]));
    assert_eq!(summed(&[amount(5, 3), amount(6, 7)]), Ok(vec![0, 0, 0, 0, 0, 3, 0]), "one touch of spend");
    assert_eq!(summed(&[MARKS | 0b1111]), Ok(vec![1, 1, 0, 0, 0, 0, 0]), "two of people");
    assert_eq!(summed(&[MARKS | amount(3, 0b11)]), Ok(vec![0, 0, 0, 1, 1, 0, 0]), "marks cross groups");
    assert_eq!(summed(&[MARKS]), Ok(vec![0; 7]), "no mark");
}

#[test]
fn a_word_outside_of_the_cells_spoils_the_whole_person() {
    assert_eq!(summed(&[amount(0, 1), amount(7, 1)]), Err(Fault::Malformed));
    assert_eq!(summed(&[MARKS | amount(6, 0b10)]), Err(Fault::Malformed));
    assert_eq!(summed(&[i64::MAX]), Err(Fault::Malformed));
}

#[test]
fn an_attribute_is_in_its_range_or_absent() {
    let shape = OutputShape::Number { min: 1, max: 5 };
    let mut collected = Collected::new(&shape);
    assert_eq!(collected.person(3, &[5]), Ok(()));
    assert_eq!(collected.person(4, &[]), Ok(()));
    assert_eq!(collected.person(5, &[0]), Err(Fault::Malformed));
    assert_eq!(collected.person(6, &[6]), Err(Fault::Malformed));
    assert_eq!(collected.person(7, &[1]), Ok(()));
    assert_eq!(attributes(&collected.finish()).collect::<Vec<_>>(), [(3, 5), (7, 1)]);
    let shape = OutputShape::Label(vec!["low".into(), "high".into()]);
    let mut collected = Collected::new(&shape);
    assert_eq!(collected.person(0, &[2]), Err(Fault::Malformed));
    assert_eq!(collected.person(0, &[1]), Ok(()));
}

proptest! {
    /// R094: no word, whatever its bits, adds more than the declared sensitivity of a group.
    #[test]
    fn one_person_is_within_its_bound(words in prop::collection::vec(0_i64.., 0..64)) {
        if let Ok(cells) = summed(&words) {
            let mut from = 0;
            for group in groups() {
                let sum: i64 = cells[from..from + group.cells as usize].iter().sum();
                prop_assert!((0..=group.sensitivity() as i64).contains(&sum));
                from += group.cells as usize;
            }
        }
    }

    /// R094: the same, of words that name cells.
    #[test]
    fn sound_words_are_within_their_bound(
        words in prop::collection::vec((0_i64..7, 0_i64..1 << 20, any::<bool>()), 0..64),
    ) {
        let word = |(cell, payload, marks): (i64, i64, bool)| {
            if marks { MARKS | amount(cell, payload & 1) } else { amount(cell, payload) }
        };
        let cells = summed(&words.into_iter().map(word).collect::<Vec<_>>()).unwrap();
        prop_assert!(cells[..4].iter().sum::<i64>() <= 2);
        prop_assert!(cells[4..].iter().sum::<i64>() <= 500);
    }
}
