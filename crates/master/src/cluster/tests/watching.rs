//! Who is told what of tasks of others (R139, R208).

use std::collections::BTreeSet;

use symphony_protocol::governance::registry::Actor;
use symphony_wire::v1::{TaskEntry, TaskList, TasksRequest};

use super::*;
use crate::watching::{PAGE_MAX, list, open};

fn numbered(number: u8) -> TaskId {
    TaskId(digest(number))
}

fn aggregated() -> SignedAggregate {
    PrivateKey::<SoftwareEnclave>::from_seed(&[6; 32]).sign(AggregateHeader {
        task: task(),
        aggregator: actor("aggregator"),
        inputs: vec![],
        outcome: Outcome::Suppressed,
        result: digest(40),
        seed: digest(41),
        report: Digest::ZERO,
        helper: None,
    })
}

fn accepted_by_the_verifier() -> SignedVerdict {
    PrivateKey::from_seed(&[21; 32]).sign(Verdict {
        task: task(),
        verifier: actor("verifier"),
        decision: Decision::Accepted,
        evidence: Digest::ZERO,
        reasons: vec![],
    })
}

fn awaiting(until: u64) -> Stage {
    let (slices, aggregate, verdict) = (vec![], aggregated(), accepted_by_the_verifier());
    Stage::AwaitingSettlement { slices, aggregate, verdict, final_at: OrderedMillis(until) }
}

fn verifying(until: u64) -> Stage {
    Stage::Verifying { slices: vec![], aggregate: aggregated(), verify_by: OrderedMillis(until) }
}

fn challenged(until: u64) -> Stage {
    Stage::Challenged {
        slices: vec![],
        aggregate: aggregated(),
        verdict: Some(accepted_by_the_verifier()),
        left_ms: 1,
        challenge: 1,
        review_by: OrderedMillis(until),
    }
}

fn rejected() -> Stage {
    Stage::Rejected { code: Code::ResultRejected, refunded: Sym(1) }
}

/// Tasks by number, as the machine indexes them, and three actors: one may act, one is suspended, one is not known.
fn network(tasks: Vec<(u8, Stage)>) -> State {
    let mut state = State::genesis(governance());
    for (number, stage) in tasks {
        let (receipts, absent, since) = (vec![], vec![], OrderedMillis(u64::from(number)));
        let envelope = TaskEnvelope { task: numbered(number), ..order() };
        let known = Task { envelope, receipts, absent, stage, since, failures: BTreeMap::new() };
        if let Some(until) = known.timer() {
            state.due.insert((until, numbered(number)), ());
        }
        state.tasks.insert(numbered(number), known);
    }
    for (name, suspended) in [("rival", false), ("frozen", true)] {
        let (roles, scopes) = (BTreeSet::new(), BTreeSet::new());
        let known = Actor { account: AccountId(digest(31)), roles, scopes, suspended };
        state.governance.registry.actors.insert(actor(name), known);
    }
    state
}

fn asked(state: &str, after: &[u8], limit: u32) -> TasksRequest {
    TasksRequest { state: state.to_owned(), after: after.to_vec(), limit }
}

fn told(list: &TaskList) -> Vec<u8> {
    list.tasks.iter().map(|entry| entry.task_id[0]).collect()
}

/// R139, R208: every registered actor sees what may be disputed, and of it no more than name, class, state and times; what is still
/// computed, what is over and what only waits for its Vaults is not shown.
#[test]
fn tasks_that_may_be_disputed_are_listed_and_nothing_else_is() {
    let mut state = network(vec![
        (1, awaiting(300)),
        (2, verifying(200)),
        (3, challenged(400)),
        (4, accepted(0)),
        (5, rejected()),
        (6, Stage::Computing),
    ]);
    // A request that waits for its Vaults, or a parse: it is due, and no task.
    state.due.insert((OrderedMillis(1), numbered(9)), ());
    let all = list(&state, &actor("rival"), &asked("", &[], 0)).unwrap();
    assert_eq!(told(&all), [2, 1, 3], "in the order in which their states end");
    assert!(all.next.is_empty());
    let entry = TaskEntry {
        task_id: numbered(1).0.0.to_vec(),
        task_class: "query".to_owned(),
        state: "awaiting_settlement".to_owned(),
        until_ms: 300,
        since_ms: 1,
    };
    assert_eq!(all.tasks[1], entry);
    for (word, found) in [("verifying", 2), ("awaiting_settlement", 1), ("challenged", 3)] {
        assert_eq!(told(&list(&state, &actor("rival"), &asked(word, &[], 0)).unwrap()), [found]);
    }
    for word in ["dispatched", "completed", "rejected", "Verifying"] {
        assert_eq!(list(&state, &actor("rival"), &asked(word, &[], 0)), Err(Code::Malformed), "{word}");
    }
    for name in ["frozen", "stranger"] {
        assert_eq!(list(&state, &actor(name), &asked("", &[], 0)), Err(Code::Forbidden), "{name}");
    }
}

/// R139: pages follow one another without a gap, also where several states end at once and where one ends in between.
#[test]
fn pages_have_an_order_that_stays() {
    let mut state = network((1..=7).map(|number| (number, awaiting(100 + u64::from(number) / 3))).collect());
    let page = |state: &State, after: &[u8]| list(state, &actor("rival"), &asked("", after, 3)).unwrap();
    let first = page(&state, &[]);
    assert_eq!(told(&first), [1, 2, 3]);
    let second = page(&state, &first.next);
    assert_eq!(told(&second), [4, 5, 6]);
    state.due.remove(&(OrderedMillis(102), numbered(6)));
    assert_eq!(told(&page(&state, &second.next)), [7], "the place that was told is gone");
    assert!(page(&state, &second.next).next.is_empty(), "and nothing follows");
    for wrong in [&first.next[1..], &[first.next.as_slice(), &[0]].concat()] {
        assert_eq!(list(&state, &actor("rival"), &asked("", wrong, 3)), Err(Code::Malformed));
    }
    let many = network((0..=255).chain(0..=255).map(|number| (number, awaiting(1))).collect());
    assert_eq!(list(&many, &actor("rival"), &asked("", &[], u32::MAX)).unwrap().tasks.len(), PAGE_MAX);
}

/// R139, R142: evidence is shown before the end of a result and after its verdict, to whoever may dispute it.
#[test]
fn a_candidate_is_shown_while_it_is_one() {
    let stages = vec![
        (1, awaiting(300)),
        (2, verifying(200)),
        (3, challenged(400)),
        (4, accepted(0)),
        (5, rejected()),
    ];
    let state = network(stages);
    let shown = |number, name: &str| open(&state, &actor(name), &numbered(number));
    assert_eq!(shown(1, "rival"), Ok(()));
    for (number, code) in [
        (2, Code::ResultNotReady),
        (3, Code::NotChallengeable),
        (4, Code::ResultNotReady),
        (5, Code::NotChallengeable),
        (6, Code::NotFound),
    ] {
        assert_eq!(shown(number, "rival"), Err(code), "{number}");
    }
    for number in 1..=6 {
        assert_eq!(shown(number, "stranger"), Err(Code::Forbidden), "{number}");
        assert_eq!(shown(number, "frozen"), Err(Code::Forbidden), "{number}");
    }
}
