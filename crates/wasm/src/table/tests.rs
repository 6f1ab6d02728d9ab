//! Grouping, order, texts and absent values of tables.

use proptest::prelude::*;
use symphony_types::id::AttributeName;

use super::*;
use symphony_protocol::artifact::PrivacyClass;
use symphony_protocol::artifact::module::{FloatMode, Input, Isolation, OutputShape};

fn declaration(kinds: &[InputKind], order: Option<u32>) -> Declaration {
    let input = |(at, kind): (usize, &InputKind)| Input {
        attribute: AttributeName::new(&format!("commerce.c{at}")).unwrap(),
        kind: *kind,
    };
    Declaration {
        name: symphony_types::id::ModuleName::new("any").unwrap(),
        version: 1,
        isolation: Isolation::Pure,
        float_mode: FloatMode::None,
        privacy_class: PrivacyClass::Low,
        inputs: kinds.iter().enumerate().map(input).collect(),
        order,
        parameters: vec![],
        rows_max: 8,
        words_max: 1,
        output: OutputShape::Number { min: 0, max: 1 },
        fuel_base: 1,
        fuel_row: 1,
    }
}

fn numbers(values: &[u64]) -> Cells<'_> {
    Cells::Numbers { values, validity: None }
}

#[test]
fn rows_come_person_by_person_and_in_the_declared_order() {
    let declared = declaration(&[InputKind::Time, InputKind::Cents], Some(0));
    let parameters = Parameters::default();
    let mut builder = TableBuilder::new(&declared, &parameters).unwrap();
    let first = [numbers(&[30, 5, 20]), numbers(&[1, 2, 3])];
    builder.push(&Batch { subjects: &[7, 2, 7], columns: &first }).unwrap();
    let second = [numbers(&[20, 1]), numbers(&[4, 5])];
    builder.push(&Batch { subjects: &[7, 2], columns: &second }).unwrap();
    let table = builder.finish();
    let people: Vec<Person> = table.people().collect();
    let expected = [Person { subject: 2, start: 0, rows: 2 }, Person { subject: 7, start: 2, rows: 3 }];
    assert_eq!(people, expected);
    assert_eq!(table.column(0, &people[0]), [1, 5]);
    assert_eq!(table.column(0, &people[1]), [20, 20, 30]);
    assert_eq!(table.column(1, &people[1]), [3, 4, 1], "equal keys stay as they came");
    assert_eq!((table.people_len(), table.rows_len()), (2, 5));
}

#[test]
fn texts_become_positions_and_what_is_not_there_is_absent() {
    let declared = declaration(&[InputKind::Listed { texts_max: 2 }, InputKind::Cents], None);
    let parameters = Parameters { numbers: vec![], lists: vec![vec!["b".into(), "a".into()]] };
    let mut builder = TableBuilder::new(&declared, &parameters).unwrap();
    let keys = Cells::Texts {
        keys: &[0, 1, 2, -1],
        dictionary: &["a", "c", "b"],
        validity: Some(Validity { bytes: &[0b0011_1000], offset: 3 }),
    };
    let amounts = Cells::Numbers {
        values: &[u64::MAX, 1, 2, 3],
        validity: Some(Validity { bytes: &[0b1101], offset: 0 }),
    };
    builder.push(&Batch { subjects: &[0, 0, 0, 0], columns: &[keys, amounts] }).unwrap();
    let table = builder.finish();
    let person = table.people().next().unwrap();
    assert_eq!(table.column(0, &person), [1, -1, 0, -1]);
    assert_eq!(table.column(1, &person), [NUMBER_MAX, ABSENT, 2, 3]);
}

#[test]
fn a_batch_that_does_not_fit_changes_nothing() {
    let declared = declaration(&[InputKind::Cents], None);
    let parameters = Parameters::default();
    let mut builder = TableBuilder::new(&declared, &parameters).unwrap();
    let bits = |bytes, offset| Some(Validity { bytes, offset });
    let texts = Cells::Texts { keys: &[0], dictionary: &["a"], validity: None };
    let columns: [&[Cells<'_>]; 5] = [
        &[],
        &[numbers(&[1, 2])],
        &[texts],
        &[Cells::Numbers { values: &[1], validity: bits(&[], 0) }],
        &[Cells::Numbers { values: &[1], validity: bits(&[1], usize::MAX) }],
    ];
    for columns in columns {
        let found = builder.push(&Batch { subjects: &[0], columns });
        assert_eq!(found, Err(Ending::Inputs), "{columns:?}");
    }
    let many = vec![1; BATCH_ROWS_MAX + 1];
    let found = builder.push(&Batch { subjects: &vec![0; many.len()], columns: &[numbers(&many)] });
    assert_eq!(found, Err(Ending::Inputs));
    let far = builder.push(&Batch { subjects: &[SUBJECTS_PER_VAULT_MAX], columns: &[numbers(&[1])] });
    assert_eq!(far, Err(Ending::Inputs));
    let listed = declaration(&[InputKind::Listed { texts_max: 1 }], None);
    let parameters = Parameters { numbers: vec![], lists: vec![vec![]] };
    let mut builder = TableBuilder::new(&listed, &parameters).unwrap();
    let outside = Cells::Texts { keys: &[1], dictionary: &["a"], validity: None };
    let found = builder.push(&Batch { subjects: &[0], columns: &[outside] });
    assert_eq!(found, Err(Ending::Inputs), "a key outside of the dictionary");
    assert_eq!(builder.finish().rows_len(), 0);
}

proptest! {
    /// However rows come: person by person, as a Vault's material does, or not; and in the declared order, if there is one.
    #[test]
    fn no_row_is_lost_or_given_to_another(
        mut rows in prop::collection::vec((0_u32..20, 0_u64..100), 0..200),
        (by_person, ordered) in any::<(bool, bool)>(),
    ) {
        if by_person {
            rows.sort_by_key(|row| row.0);
        }
        let declared = declaration(&[InputKind::Cents], ordered.then_some(0));
        let parameters = Parameters::default();
        let mut builder = TableBuilder::new(&declared, &parameters).unwrap();
        for batch in rows.chunks(7) {
            let subjects: Vec<u32> = batch.iter().map(|row| row.0).collect();
            let values: Vec<u64> = batch.iter().map(|row| row.1).collect();
            builder.push(&Batch { subjects: &subjects, columns: &[numbers(&values)] }).unwrap();
        }
        let table = builder.finish();
        for person in table.people() {
            let own = rows.iter().filter(|row| row.0 == person.subject).map(|row| row.1 as i64);
            let mut own: Vec<_> = own.collect();
            if ordered {
                own.sort_unstable();
            }
            prop_assert_eq!(table.column(0, &person), own);
        }
        prop_assert_eq!(table.rows_len(), rows.len());
    }
}
