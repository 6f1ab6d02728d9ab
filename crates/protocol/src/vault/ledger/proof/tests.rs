//! Every person's statement of a random ledger is the ledger's own, and a changed one is not believed.

use alloc::{format, vec};

use proptest::prelude::*;
use symphony_types::canonical;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::PolicyVersion;
use symphony_types::key::PrivateKey;
use symphony_types::subjects::SubjectSet;

use super::super::{Drawn, MovementKind, Ordered, Reservation};
use super::*;
use crate::artifact::training::Extra;

/// More than two blocks.
const PEOPLE: u32 = 9_000;
const NOW: OrderedMillis = OrderedMillis(77);

fn vault() -> (VaultId, PrivateKey<Vault>) {
    (VaultId::new("north").unwrap(), PrivateKey::from_seed(&[3; 32]))
}

fn scope(text: &str) -> UsageScope {
    UsageScope::new(text).unwrap()
}

fn task(number: u64) -> TaskId {
    TaskId(Digest::of("test", &number))
}

fn order(number: u64) -> Ordered {
    let digest = Digest::of("order", &number);
    Ordered { envelope: digest, assignment: digest, attempt: 1 }
}

/// A reservation of some people, and what becomes of it.
#[derive(Clone, Debug)]
struct Story {
    training: bool,
    epsilon: u64,
    people: Vec<u32>,
    /// Of those, who is left in the end.
    stay: Vec<bool>,
    end: u8,
}

fn stories() -> impl Strategy<Value = Vec<Story>> {
    let people = proptest::collection::vec(0..PEOPLE, 0..12);
    let story = (any::<bool>(), 2u64..50, people, proptest::collection::vec(any::<bool>(), 12), 0u8..6);
    let story = story.prop_map(|(training, epsilon, people, stay, end)| Story {
        training,
        epsilon,
        people,
        stay,
        end,
    });
    proptest::collection::vec(story, 0..20)
}

fn told(stories: &[Story]) -> Ledger {
    let mut ledger = Ledger::default();
    for (number, story) in (0..).zip(stories) {
        let (task, at) = (task(number), OrderedMillis(number));
        let people: SubjectSet = story.people.iter().copied().map(SubjectIndex).collect();
        let stay: SubjectSet = story
            .people
            .iter()
            .zip(&story.stay)
            .filter(|(_, stay)| **stay)
            .map(|(who, _)| SubjectIndex(*who))
            .collect();
        let reservation = Reservation {
            scope: scope(if story.training { "training" } else { "marketing" }),
            policy: PolicyVersion(1),
            epsilon: Epsilon(story.epsilon),
            preparation: Digest::of("preparation", &number),
            subjects: people,
            deadline: OrderedMillis(1_000),
        };
        ledger.reserve(task, reservation, at);
        let drawn = |round, spent| Drawn {
            spent: Epsilon(spent),
            round,
            order: order(number),
            release: Digest::ZERO,
            extra: Extra::default(),
        };
        match story.end {
            0 => {}
            1 => ledger.commit(&task, &stay, order(number), at),
            2 => ledger.release(&task, at),
            3 => ledger.expire(&task, at),
            4 => {
                ledger.draw(&task, None, drawn(1, 1), at);
                ledger.draw(&task, Some(&stay), drawn(2, story.epsilon - 1), at);
            }
            _ => {
                ledger.draw(&task, Some(&stay), drawn(1, story.epsilon / 2), at);
                ledger.release(&task, at);
            }
        }
    }
    ledger
}

fn shown(ledger: &Ledger, subject: u32, after: Option<TaskId>) -> ProvenStatement {
    let (vault, key) = vault();
    ledger.prove(&vault, SubjectIndex(subject), after, NOW, |root| key.sign(root))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// R063, R069: what is proven is the history, page by page, and it explains the balances.
    #[test]
    fn what_a_person_is_shown_is_what_happened(stories in stories(), stranger in 0..2 * PEOPLE) {
        let (ledger, (name, key)) = (told(&stories), vault());
        let people: BTreeSet<u32> = stories.iter().flat_map(|story| story.people.iter().copied()).collect();
        prop_assert_eq!(ledger.unexplained(), vec![]);
        for person in people.into_iter().chain([stranger]) {
            let statement = shown(&ledger, person, None);
            let bytes = canonical::to_bytes(&statement);
            prop_assert_eq!(&bcs::from_bytes::<ProvenStatement>(&bytes).unwrap(), &statement);
            prop_assert_eq!(&statement.root.body, &ledger.root(&name, NOW));
            let lines = statement.check(&key.public()).unwrap();
            prop_assert_eq!(explain(&statement.balances, &lines), Ok(()));
            for of in ["marketing", "training"].map(scope) {
                let mut own: Vec<_> = lines.iter().filter(|(s, _)| *s == of).map(|(_, line)| *line).collect();
                own.sort_by_key(|line| line.at);
                let known = ledger.movements(&of, SubjectIndex(person));
                let nothing = |line: &&Movement| line.epsilon > Epsilon::ZERO || line.kind == MovementKind::Reserve;
                prop_assert_eq!(own.iter().filter(nothing).count(), known.iter().filter(nothing).count());
            }
            if let Some(first) = statement.entries.first() {
                let rest = shown(&ledger, person, Some(first.task));
                prop_assert_eq!(&rest.entries[..], &statement.entries[1..]);
            }
        }
    }

    /// R069: an entry that is left out, changed, somebody else's or under another root is noticed.
    #[test]
    fn a_statement_that_was_changed_is_not_believed(stories in stories(), pick in any::<prop::sample::Index>(), flip in any::<prop::sample::Index>()) {
        let ledger = told(&stories);
        let people: Vec<u32> = stories.iter().flat_map(|story| story.people.iter().copied()).collect();
        prop_assume!(!people.is_empty());
        let person = people[pick.index(people.len())];
        let (statement, key) = (shown(&ledger, person, None), vault().1.public());
        let lines = statement.check(&key).unwrap();
        let stranger = PrivateKey::<Vault>::from_seed(&[4; 32]).public();
        prop_assert_eq!(statement.check(&stranger), Err(ProofFault::Signature));
        for place in 0..statement.entries.len() {
            let mut without = statement.clone();
            let gone = without.entries.remove(place);
            let rest = without.check(&key).unwrap();
            // What was given back whole leaves no trace in a balance, and costs nothing.
            let noticed = explain(&without.balances, &rest).is_err();
            prop_assert_eq!(noticed, net(&lines, gone.task) != (0, 0));
            let mut twice = statement.clone();
            twice.entries.insert(place, gone);
            prop_assert!(matches!(twice.check(&key), Err(ProofFault::Foreign(_))));
        }
        let mut bytes = canonical::to_bytes(&statement);
        let place = flip.index(bytes.len());
        bytes[place] ^= 1;
        if let Ok(changed) = bcs::from_bytes::<ProvenStatement>(&bytes) {
            let believed = changed.check(&key).and_then(|told| explain(&changed.balances, &told).map(|()| told));
            // What a reader learns is the same, or it is refused; whether there are more pages is not part of what is proven.
            prop_assert!(believed.is_err() || believed == Ok(lines), "{place}");
        }
    }
}

/// What a task still holds and has consumed of the person.
fn net(lines: &[(UsageScope, Movement)], task: TaskId) -> (u64, u64) {
    let sum = |kind| -> u64 {
        lines
            .iter()
            .filter(|(_, line)| line.task == task && line.kind == kind)
            .map(|(_, line)| line.epsilon.0)
            .sum()
    };
    let (reserve, commit, release) =
        (sum(MovementKind::Reserve), sum(MovementKind::Commit), sum(MovementKind::Release));
    (reserve - commit - release, commit)
}

#[test]
fn a_fault_says_what_is_wrong() {
    let said =
        [ProofFault::Signature, ProofFault::Entry(task(1)), ProofFault::Unexplained(scope("marketing"))];
    let said = said.map(|fault| format!("{fault}"));
    assert!(said[0].contains("sign") && said[1].contains("root") && said[2].contains("marketing"));
}
