//! Moves of everything that a Vault keeps, as council and masters know them (R014, R081).

use symphony_protocol::admission::parse;
use symphony_protocol::admission::request::terms;
use symphony_protocol::artifact::adjustment::{BudgetLine, BudgetStanding};
use symphony_protocol::artifact::parse::ParseTicket;
use symphony_protocol::artifact::{Bucket, TaskRequest};
use symphony_protocol::governance::change::Change;
use symphony_protocol::machine::{Command, Effect, Event, MoveClosing, State, outstanding};
use symphony_protocol::reconcile::budget::drifted;
use symphony_protocol::vault::moving::Tally;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{ActorId, Commitment, PolicyVersion, RequestId, TaskId, VaultId};
use symphony_types::key::{Document as _, Vault};
use symphony_types::time::OrderedMillis;

use super::{order, proposal, propose, vote};
use crate::stage::{START, TIMELOCK_MS, actor, campaign, governance, key, vault};

/// What both Vaults say at the end of a move in which nobody moved.
pub(crate) fn closing(proposal: Digest, from: &VaultId, to: &VaultId) -> MoveClosing {
    let body = Tally::default().standing(proposal, (from, to), true);
    let signed = |vault: &VaultId| key::<Vault>(vault.as_str()).sign(body.clone());
    MoveClosing { source: signed(from), destination: signed(to) }
}

fn change(from: &str, to: &str) -> Change {
    Change::MoveVault { from: vault(from), to: vault(to) }
}

/// Has the council carry a change; when that was, and what came of it.
fn carried(state: &mut State, at: OrderedMillis, number: u64, change: Change) -> (OrderedMillis, Vec<Event>) {
    let made = proposal(state, 1, number, change);
    order(state, at, propose(&made)).unwrap();
    for by in 1..=3 {
        order(state, at, vote(made.body.digest(), by, true)).unwrap();
    }
    let at = at.plus(TIMELOCK_MS);
    let events = order(state, at, Command::AdvanceTime).unwrap();
    (at, events)
}

/// R081: what is no move is refused with a code of its own, and a Vault that is left takes part in no other.
#[test]
fn vaults_that_cannot_take_part_in_a_move_are_refused() {
    let state = State::genesis(governance());
    let unfit = |governance: &_, from, to| {
        assert_eq!(change(from, to).check(governance, START), Err(Code::MoveUnfit))
    };
    assert_eq!(change("vault-a", "vault-b").check(&state.governance, START), Ok(()));
    unfit(&state.governance, "vault-a", "vault-a");
    unfit(&state.governance, "vault-a", "nowhere");
    unfit(&state.governance, "nowhere", "vault-a");
    for side in ["vault-a", "vault-b"] {
        let record = &state.governance.registry.vaults[&vault(side)];
        for unable in [&record.operator, &record.executor] {
            let mut suspended = state.governance.clone();
            suspended.registry.actors.get_mut(unable).unwrap().suspended = true;
            unfit(&suspended, "vault-a", "vault-b");
        }
    }
    let mut without = state.governance.clone();
    without.registry.measurements.clear();
    unfit(&without, "vault-a", "vault-b");
    let mut production = state.governance.clone();
    production.policies.get_mut(&PolicyVersion(1)).unwrap().software_admitted = false;
    unfit(&production, "vault-a", "vault-b");
    let mut left = state;
    carried(&mut left, START, 1, change("vault-a", "vault-b"));
    unfit(&left.governance, "vault-a", "vault-c");
    unfit(&left.governance, "vault-c", "vault-a");
    unfit(&left.governance, "vault-b", "vault-a");
    assert_eq!(change("vault-b", "vault-c").check(&left.governance, START), Ok(()), "on from where it is");
}

/// R014, R081: from the entry of the log on, people go to the Vault that their data goes to, and all others stay where they were.
#[test]
fn people_are_assigned_to_where_their_data_is() {
    let mut state = State::genesis(governance());
    let before = state.governance.registry.clone();
    let (at, _) = carried(&mut state, START, 1, change("vault-a", "vault-b"));
    carried(&mut state, at, 2, change("vault-b", "vault-c"));
    let after = &state.governance.registry;
    let mut moved = 0;
    for number in 0..100 {
        let person: ActorId = actor(&format!("person-{number}"));
        let (was, is) = (before.assigned(&person).unwrap(), after.assigned(&person).unwrap());
        if [vault("vault-a"), vault("vault-b")].contains(was) {
            assert_eq!(*is, vault("vault-c"));
            moved += 1;
        } else {
            assert_eq!(is, was);
        }
    }
    assert!((1..100).contains(&moved));
}

/// R081: a move is owed from the council's decision on until both Vaults say the same of it under their own keys; once.
#[test]
fn a_move_is_owed_until_both_vaults_close_it() {
    let mut state = State::genesis(governance());
    let (from, to) = (vault("vault-a"), vault("vault-b"));
    let (at, events) = carried(&mut state, START, 1, change("vault-a", "vault-b"));
    let owed = Effect::Move(from.clone());
    assert!(
        events.iter().any(|event| matches!(event, Event::EffectLeased { effect, .. } if *effect == owed))
    );
    assert_eq!(outstanding(&state), [owed]);
    assert!(state.leases_agree());
    let by = state.governance.registry.moves[&from].since.by;
    let good = closing(by, &from, &to);
    let refused = |closing: MoveClosing| {
        let command = Command::RecordMove { closing };
        order(&mut state.clone(), at, command).unwrap_err().code
    };
    assert_eq!(refused(closing(Digest::ZERO, &from, &to)), Code::MoveConflict);
    assert_eq!(refused(closing(by, &from, &vault("vault-c"))), Code::MoveConflict);
    assert_eq!(refused(closing(by, &to, &from)), Code::MoveConflict);
    let mut forged = good.clone();
    forged.destination = forged.source.clone();
    assert_eq!(refused(forged), Code::Unauthenticated);
    let open = Tally::default().standing(by, (&from, &to), false);
    let sign = |vault: &VaultId| key::<Vault>(vault.as_str()).sign(open.clone());
    assert_eq!(refused(MoveClosing { source: sign(&from), destination: sign(&to) }), Code::MoveConflict);
    assert_eq!(order(&mut state, at, Command::RecordMove { closing: good.clone() }).unwrap().len(), 1);
    assert_eq!(order(&mut state, at, Command::RecordMove { closing: good.clone() }), Ok(vec![]));
    assert_eq!(state.moves.get(&from), Some(&good));
    assert_eq!(outstanding(&state), []);
    assert!(state.leases_agree());
}

/// R081: no task and no parse goes to a Vault that is left.
#[test]
fn nothing_new_goes_to_a_vault_that_is_left() {
    let mut state = State::genesis(governance());
    let request = campaign("spring");
    assert!(request.vaults.contains(&vault("vault-a")));
    assert!(terms(&state.governance, &request, START).is_ok());
    let (at, _) = carried(&mut state, START, 1, change("vault-a", "vault-b"));
    assert_eq!(terms(&state.governance, &request, at).map(|terms| terms.vaults), Err(Code::VaultMoving));
    let without = TaskRequest { vaults: vec![vault("vault-b"), vault("vault-c")], quorum: 2, ..request };
    assert!(terms(&state.governance, &without, at).is_ok());
    let ticket = key::<Vault>("vault-a").sign(ParseTicket {
        vault: vault("vault-a"),
        owner: actor("person-1"),
        request: RequestId::new("parse").unwrap(),
        document: Commitment(Digest([1; 32])),
        expires: at.plus(1_000),
    });
    assert_eq!(parse::judge(&state.governance, &ticket, at).map(|order| order.task), Err(Code::VaultMoving));
}

/// R066, R071, R081: what people bring of their budget is of no task of the masters, and reconciliation knows it by its proposal.
#[test]
fn a_carried_budget_is_no_drift() {
    let mut state = State::genesis(governance());
    carried(&mut state, START, 1, change("vault-a", "vault-b"));
    let by = state.governance.registry.moves[&vault("vault-a")].since.by;
    let line = |preparation| BudgetLine {
        task: TaskId(Digest([4; 32])),
        preparation,
        epsilon: Epsilon(7),
        spent: Epsilon(7),
        people: Bucket(1),
        standing: BudgetStanding::Committed,
        reserved_at: START,
        deadline: START,
    };
    let drift = |at: &str, line: &BudgetLine| drifted(&state, &vault(at), &line.task, Some(line)).is_some();
    assert!(!drift("vault-b", &line(by)));
    assert!(drift("vault-c", &line(by)), "nobody moved there");
    assert!(drift("vault-b", &line(Digest::ZERO)));
}
