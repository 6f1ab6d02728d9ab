//! Negative controls: with weaker guards the same lies must split the cluster, or the simulator shows nothing.

use symphony_consensus::quorum::conflict::Conflict;
use symphony_consensus::quorum::guard::Strictness;
use symphony_sim::guards::Return;
use symphony_sim::run::run;
use symphony_sim::scenario::{Control, Scenario, Theme};

/// The seeds of every control.
const SEEDS: std::ops::Range<u64> = 0..40;

/// Seeds of a theme that end in two decisions for one height.
fn split(theme: Theme, control: Control) -> Vec<u64> {
    let diverged = |seed: &u64| {
        let outcome = run(Scenario::with(*seed, theme, control), false);
        outcome.violation.is_some_and(|violation| violation.invariant == "agreement")
    };
    let seeds: Vec<u64> = SEEDS.filter(diverged).collect();
    println!("{theme:?} with {control:?}: seeds {seeds:?} diverge");
    seeds
}

/// R198 R205: a guard with all rules bears a two-faced master and one that forgets, on the seeds of all controls.
#[test]
fn full_guards_never_split() {
    for theme in [Theme::TwoFaced, Theme::Amnesiac] {
        for seed in SEEDS {
            let outcome = run(Scenario::with(seed, theme, Control::SOUND), false);
            assert_eq!(outcome.violation, None, "seed {seed} of {theme:?}");
        }
    }
}

/// R198: a guard that forgets what it signed, or signs everything, is found out: whoever sees both votes has the
/// proof, and it names nobody else.
#[test]
fn double_votes_leave_proofs_against_who_cast_them() {
    let weak = [
        Control { strictness: Strictness::Blind, ..Control::SOUND },
        Control { comeback: Return::Forgetful, ..Control::SOUND },
    ];
    for control in weak {
        let outcomes = SEEDS.map(|seed| run(Scenario::with(seed, Theme::TwoFaced, control), false));
        let mut proofs = 0;
        for outcome in outcomes {
            assert!(outcome.accused.iter().all(Conflict::holds));
            assert!(
                outcome.accused.iter().all(|proof| control.comeback == Return::Forgetful
                    || Some(proof.seat) == outcome.scenario.liar)
            );
            proofs += outcome.accused.len();
        }
        assert!(proofs > 0, "{control:?}");
    }
}

/// R198: a guard that signs everything splits under a two-faced master.
#[test]
fn blind_guards_split() {
    let control = Control { strictness: Strictness::Blind, ..Control::SOUND };
    assert!(!split(Theme::TwoFaced, control).is_empty());
}

/// R198: "one block a slot" is not enough: the lock rules are needed.
#[test]
fn guards_without_locks_split() {
    let control = Control { strictness: Strictness::NoDoubleSigning, ..Control::SOUND };
    assert!(!split(Theme::TwoFaced, control).is_empty());
}

/// R198 R205: a guard that keeps its key must keep its memory.
#[test]
fn forgetful_guards_split() {
    let control = Control { comeback: Return::Forgetful, ..Control::SOUND };
    assert!(!split(Theme::TwoFaced, control).is_empty());
}
