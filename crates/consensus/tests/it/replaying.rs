//! Replay equals execution, from the database and from an exported file (R217).

use proptest::prelude::*;
use symphony_consensus::entry::Fault;
use symphony_consensus::journal::{Draft, Journal, JournalError, Row, export_file};
use symphony_consensus::machine::{Genesis, Machine, state_digest};
use symphony_consensus::orderer::Orderer;
use symphony_consensus::replay::{Replayed, Verify, read_export, replay};
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::time::OrderedMillis;

use crate::counter::{Command, Counter, Counts, Event, add, genesis, open, transfer};
use crate::folder;

fn replayed(bytes: &[u8]) -> Result<Replayed<Counts>, JournalError> {
    replay::<Counter, _>(read_export(bytes)?, &genesis())
}

/// R217: a cut or changed file is refused, so no other state can come of it.
#[tokio::test]
async fn every_prefix_and_every_flipped_byte_of_an_export_is_refused() {
    let (_folder, path) = folder();
    let head = crate::five(&path).await;
    let mut file = Vec::new();
    assert_eq!(export_file(&path, &mut file).unwrap(), head);
    let whole = replayed(&file).unwrap();
    assert_eq!((whole.head, state_digest(&whole.state)), (head, head.state));
    for end in 0..file.len() {
        assert!(replayed(&file[..end]).is_err(), "prefix of {end} bytes");
    }
    for index in 0..file.len() {
        let mut changed = file.clone();
        changed[index] ^= 4;
        assert!(replayed(&changed).is_err(), "byte {index}");
    }
    file.push(0);
    assert!(matches!(replayed(&file), Err(JournalError::Export("bytes after the last entry"))));
}

#[tokio::test]
async fn an_export_carries_its_genesis_and_entries() {
    let (_folder, path) = folder();
    let solo = open(&path).unwrap();
    let mut empty = Vec::new();
    solo.export(&mut empty).unwrap();
    assert_eq!(replayed(&empty).unwrap().state, Counts::default());
    solo.order(add(3, 4)).await.unwrap();
    let mut file = Vec::new();
    solo.export(&mut file).unwrap();

    let mut export = read_export(file.as_slice()).unwrap();
    assert_eq!((export.name(), export.head()), ("counters", solo.head()));
    assert_eq!(export.genesis::<Counts>().unwrap(), genesis());
    assert_eq!(export.root(), genesis().root());
    let entry = export.next_entry().unwrap().unwrap();
    assert_eq!((entry.height, entry.previous), (1, genesis().root()));
    assert_eq!(entry.command, canonical::to_bytes(&add(3, 4)));
    assert!(export.next_entry().unwrap().is_none());

    let other = Genesis { name: "others".to_owned(), ..genesis() };
    let refused = replay::<Counter, _>(read_export(file.as_slice()).unwrap(), &other);
    assert!(matches!(refused, Err(JournalError::OtherGenesis { .. })));
}

/// Writes one entry with right hashes but possibly wrong content, and opens again.
fn forged(command: Command, events: Vec<Event>, state: Option<Digest>, verify: Verify) -> Option<Fault> {
    let (_folder, path) = folder();
    let database = std::sync::Arc::new(redb::Database::create(&path).unwrap());
    let (mut journal, mut rebuilt) = Journal::<Counter>::open(database.clone(), &genesis(), verify).unwrap();
    for event in &events {
        Counter::evolve(&mut rebuilt, OrderedMillis(5), event);
    }
    let draft = Draft {
        at: OrderedMillis(5),
        command: canonical::to_bytes(&command),
        events: canonical::to_bytes(&events),
        state: Some(state.unwrap_or(state_digest(&rebuilt))),
        hook: None,
    };
    let row = Row::of(draft, &mut journal.head());
    journal.append(vec![row]).unwrap();
    match Journal::<Counter>::open(database, &genesis(), verify) {
        Ok(_) => None,
        Err(JournalError::Corrupt { height: 1, fault }) => Some(fault),
        Err(other) => panic!("another error: {other}"),
    }
}

/// R217: right hashes do not help a wrong content.
#[test]
fn a_forged_entry_is_found_by_computing_it_again() {
    let events = || vec![Event::Added { who: 1, amount: 1 }];
    for verify in [Verify::Links, Verify::Decisions, Verify::Full] {
        assert_eq!(forged(add(1, 1), events(), None, verify), None);
        assert_eq!(forged(add(1, 1), events(), Some(Digest::ZERO), verify), Some(Fault::State));
    }
    for verify in [Verify::Decisions, Verify::Full] {
        assert_eq!(forged(add(1, 2), events(), None, verify), Some(Fault::Events));
    }
    let refused = Some(Fault::Refused("only 0 there".to_owned()));
    assert_eq!(forged(transfer(1, 2, 1), events(), None, Verify::Full), refused);
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        (0..4_u16, 0..100_u64).prop_map(|(who, amount)| add(who, amount)),
        (0..4_u16, 0..4_u16, 0..150_u64).prop_map(|(from, to, amount)| transfer(from, to, amount)),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(Command::Note),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// R217: execution, plain computation, restart and replay of the export agree on every state.
    #[test]
    fn replay_equals_execution(commands in proptest::collection::vec(command(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (_folder, path) = folder();
        let solo = open(&path).unwrap();
        let mut model = Counts::default();
        runtime.block_on(async {
            for command in &commands {
                match solo.order(command.clone()).await {
                    Ok(ordered) => {
                        assert_eq!(Ok(&ordered.events), Counter::decide(&model, ordered.at, command).as_ref());
                        for event in &ordered.events {
                            Counter::evolve(&mut model, ordered.at, event);
                        }
                    }
                    Err(_) => assert!(Counter::decide(&model, OrderedMillis(0), command).is_err()),
                }
                assert_eq!(*solo.state(), model);
                let known = if solo.head().height == 0 { genesis().root() } else { state_digest(&model) };
                assert_eq!(solo.head().state, known);
            }
        });
        let head = solo.head();
        let mut file = Vec::new();
        solo.export(&mut file).unwrap();
        drop(solo);
        let again = open(&path).unwrap();
        prop_assert_eq!((again.head(), &*again.state()), (head, &model));
        let replayed = replayed(&file).unwrap();
        prop_assert_eq!((replayed.head, replayed.state), (head, model));
    }
}
