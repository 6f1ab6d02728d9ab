//! A person of a Vault: the table of what may happen to it, and what becomes of tasks that hold it.

use super::*;

fn erase(subject: u32) -> Command {
    Command::ErasePerson { subject: SubjectIndex(subject) }
}

fn keep(subject: u32, byte: u8) -> Command {
    Command::KeepDocument { subject: SubjectIndex(subject), commitment: Commitment(Digest([byte; 32])) }
}

fn drop_document(subject: u32, byte: u8) -> Command {
    Command::EraseDocument { subject: SubjectIndex(subject), commitment: Commitment(Digest([byte; 32])) }
}

/// R055, R058, R080
#[test]
fn every_transition_of_a_person_is_as_printed() {
    let history: [(&str, &[Command]); 4] = [
        ("none", &[]),
        ("enrolled", &[keys(0..1), keep(0, 9)]),
        ("erased", &[keys(0..1), keep(0, 9), erase(0)]),
        ("again", &[keys(0..1), keep(0, 9), erase(0), keys(0..1)]),
    ];
    let columns = [
        ("enrol", keys(0..1)),
        ("grant", say(0, "marketing", YES)),
        ("withdraw", say(0, "marketing", Statement::Withdrawn)),
        ("records", records(0..1)),
        ("document", keep(0, 1)),
        ("no document", drop_document(0, 9)),
        ("erase", erase(0)),
        ("erase next", erase(1)),
    ];
    let mut table = String::new();
    for (name, steps) in history {
        for (column, command) in &columns {
            let mut state = start();
            for step in steps {
                apply(&mut state, 2, step).unwrap();
            }
            let outcome = match apply(&mut state, 3, command) {
                Err(code) => format!("refused {code}"),
                Ok(events) => match events.first() {
                    None => "nothing".into(),
                    Some(event) => format!("{event:?}").split(' ').next().unwrap_or_default().into(),
                },
            };
            table += format!("{name:<8} {column:<11} {outcome}\n").as_str();
        }
    }
    insta::assert_snapshot!(table, @r"
    none     enrol       SubjectsEnrolled
    none     grant       refused VLT-0002
    none     withdraw    refused VLT-0002
    none     records     refused VLT-0002
    none     document    refused VLT-0002
    none     no document refused ADM-0004
    none     erase       refused VLT-0002
    none     erase next  refused VLT-0002
    enrolled enrol       nothing
    enrolled grant       ConsentsRecorded
    enrolled withdraw    ConsentsRecorded
    enrolled records     RecordsAppended
    enrolled document    DocumentKept
    enrolled no document DocumentErased
    enrolled erase       PersonErased
    enrolled erase next  refused VLT-0002
    erased   enrol       SubjectsEnrolled
    erased   grant       refused VLT-0002
    erased   withdraw    refused VLT-0002
    erased   records     refused VLT-0002
    erased   document    refused VLT-0002
    erased   no document nothing
    erased   erase       nothing
    erased   erase next  refused VLT-0002
    again    enrol       nothing
    again    grant       refused VLT-0002
    again    withdraw    refused VLT-0002
    again    records     refused VLT-0002
    again    document    refused VLT-0002
    again    no document nothing
    again    erase       nothing
    again    erase next  PersonErased
    ");
}

/// R055, R057, R059, R080: a reservation loses who is erased, a committed task keeps what it consumed, and nobody's consent
/// comes back with the same id.
#[test]
fn tasks_lose_who_is_erased_as_they_lose_who_withdraws() {
    let mut state = populated();
    apply(&mut state, 2, &prepare_of(1, "marketing", 10, 50)).unwrap();
    apply(&mut state, 2, &commit_of(1, "marketing", 10)).unwrap();
    apply(&mut state, 3, &prepare_of(2, "marketing", 10, 50)).unwrap();
    apply(&mut state, 4, &keep(1, 9)).unwrap();
    let before = canonical::to_bytes(&state);
    apply(&mut state, 5, &erase(1)).unwrap();
    assert_ne!(canonical::to_bytes(&state), before, "the state's digest tells");
    assert!(apply(&mut state, 6, &erase(1)).unwrap().is_empty());
    assert_eq!(state.subjects.erased_at(SubjectIndex(1)), Some(OrderedMillis(5)));
    assert_eq!(
        state.document(SubjectIndex(1), &Commitment(Digest([9; 32]))).unwrap().erased,
        Some(OrderedMillis(5))
    );
    let standing = state.consents.standing(&scope("marketing"), SubjectIndex(1));
    assert_eq!(standing, Standing::Withdrawn { since: OrderedMillis(5) });
    assert_eq!(state.consents.standing(&scope("training"), SubjectIndex(1)), Standing::Silent);
    apply(&mut state, 7, &commit_of(2, "marketing", 10)).unwrap();
    assert_eq!((committed_of(&state, 1), committed_of(&state, 2)), (alloc::vec![0, 1, 2], alloc::vec![0, 2]));
    let balance = state.ledger.in_total(SubjectIndex(1));
    assert_eq!((balance.reserved, balance.committed), (Epsilon(0), Epsilon(10)), "what is committed stays");
    assert_eq!(state.ledger.unexplained(), alloc::vec![]);
    // The same id again is another person, without consent, records or losses.
    let enrolled = apply(&mut state, 8, &keys(1..2)).unwrap();
    assert_eq!(enrolled.len(), 1);
    let key = SubjectKey(Digest([1; 32]));
    assert_eq!(state.subjects.find(&key), Some(SubjectIndex(3)));
    assert_eq!(state.subjects.former(&key), Some(SubjectIndex(1)));
    apply(&mut state, 9, &prepare_of(3, "marketing", 10, 50)).unwrap();
    assert_eq!(reserved_of(&state, 3), [0, 2]);
    assert_eq!(state.ledger.in_total(SubjectIndex(3)).committed, Epsilon(0));
    assert_eq!(apply(&mut state, 9, &say(1, "marketing", YES)), Err(Code::SubjectUnknown));
}
