//! Reconciliation from outside: every kind of drift is found where it is made and nowhere else, and its record changes
//! nothing but the records (R006, R071, R173, R219, R220).

mod budgets;
mod payouts;
mod records;

use std::fmt::Write;

use symphony_protocol::artifact::adjustment::{Drift, DriftKind, DriftSubject};
use symphony_types::digest::Digest;
use symphony_types::id::{EpochId, TaskId};

use crate::stage::vault;

/// The kinds and subjects of drifts.
fn places(drifts: &[Drift]) -> Vec<(DriftKind, DriftSubject)> {
    drifts.iter().map(|drift| (drift.kind, drift.subject.clone())).collect()
}

/// R219, R220: what each kind is about and what is done about it, pinned.
#[test]
fn the_table_of_drifts_is_pinned() {
    let task = TaskId(Digest::ZERO);
    let subjects = [
        ("epoch", DriftSubject::Epoch(EpochId(1))),
        ("batch", DriftSubject::Batch(EpochId(1), Digest::ZERO)),
        ("anchor", DriftSubject::Anchor(EpochId(1), task)),
        ("budget", DriftSubject::Budget(task, vault("vault-a"))),
    ];
    let mut table = String::new();
    for kind in DriftKind::ALL {
        let about: Vec<_> =
            subjects.iter().filter(|(_, subject)| kind.about(subject)).map(|(name, _)| *name).collect();
        assert_eq!(about.len(), 1, "{kind:?} is about one thing");
        let (word, repair, case) = (kind.as_str(), kind.repair().as_str(), kind.case());
        writeln!(table, "{word:<22} {:<7} {repair:<9} {case}", about[0]).unwrap();
    }
    insta::assert_snapshot!(table);
}
