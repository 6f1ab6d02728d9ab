//! Bundles and logs under a governance that the council has changed: every vote is counted again (R128, R129, R191, R194).

use symphony_protocol::governance::Governance;
use symphony_protocol::governance::approval::Purpose;
use symphony_protocol::governance::change::Change;
use symphony_protocol::governance::log::{Followed, LogEntry, LogUpdate};
use symphony_protocol::governance::proposal::Motion;
use symphony_sdk::council::{LogError, Member, checked, proven};
use symphony_sdk::shape::governance::GovernanceProof;
use symphony_sdk::verify::{Report, governance_digest, verify};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{GovernanceSequence, Measurement, PolicyVersion};
use symphony_types::merkle;
use symphony_types::time::OrderedMillis;
use symphony_wire::documents::encode;

use crate::bundle::{Keys, bundle_after, digest, governance, keys, member};

/// The log after one more change, which all three members voted for.
fn after(founded: &Governance, mut log: Vec<LogEntry>, change: Change) -> Vec<LogEntry> {
    let mut followed = Followed::new(founded.clone());
    log.iter().for_each(|entry| followed.enact(entry).unwrap());
    let head = followed.head();
    let (name, key) = member(1);
    let proposer = Member { name: &name, key: &key };
    let number = head.sequence.0 + 1;
    let (motion, id) = proposer.proposes(head.foundation, number, change, "a test".to_owned(), None);
    let Motion::Propose(proposal) = motion else { panic!("a proposal is a proposal") };
    let votes = (1..=3).map(member).map(|(name, key)| {
        let Motion::Vote(vote) = (Member { name: &name, key: &key }).votes(id, true) else { panic!() };
        vote
    });
    log.push(LogEntry {
        sequence: GovernanceSequence(number),
        previous: head.last,
        proposal: *proposal,
        policy: PolicyVersion(1),
        at: OrderedMillis(500 + number),
        votes: votes.collect(),
    });
    log
}

fn register(byte: u8) -> Change {
    Change::RegisterMeasurement {
        measurement: Measurement(digest(byte)),
        purpose: Purpose::Any,
        recipe: digest(byte),
    }
}

fn update(keys: &Keys, founded: &Governance, entries: Vec<LogEntry>) -> LogUpdate {
    let mut followed = Followed::new(founded.clone());
    entries.iter().for_each(|entry| followed.enact(entry).unwrap());
    LogUpdate { entries, head: keys.master.endorsed(followed.head()) }
}

fn failed(report: &Report) -> Vec<&'static str> {
    report.failed().map(|check| check.name).collect()
}

/// R128, R129: a bundle is judged by what governed when its task was admitted, and the digest to pin stays that of the
/// founding governance.
#[test]
fn a_bundle_is_judged_by_what_governed_at_admission() {
    let keys = keys();
    let founded = governance(&keys);
    let report = |changes: Vec<LogEntry>| {
        let bundle = bundle_after(&keys, changes);
        verify(&encode(&keys.master.endorsed(bundle)), Some(governance_digest(&founded)))
    };
    let known = after(&founded, vec![], register(21));
    let good = report(known.clone());
    assert_eq!((failed(&good), good.sequence), (vec![], 1));
    let revoke = Change::RevokeMeasurement { measurement: Measurement(digest(20)) };
    let late = report(after(&founded, known, revoke));
    assert_eq!(failed(&late), ["slice-attestations", "aggregate-attestation"]);
}

/// R191, R194: changes that the council did not carry, or not all of them, end the checks.
#[test]
fn changes_that_do_not_verify_are_named() {
    let keys = keys();
    let founded = governance(&keys);
    type Bend = fn(&mut Vec<LogEntry>);
    let bends: [Bend; 4] = [
        |changes| changes.clear(),
        |changes| drop(changes.pop()),
        |changes| changes[1].votes.truncate(1),
        |changes| changes[0].proposal.body.change = register(33),
    ];
    for bend in bends {
        let changes = after(&founded, after(&founded, vec![], register(21)), register(22));
        let mut bundle = bundle_after(&keys, changes);
        bend(&mut bundle.changes);
        let report = verify(&encode(&keys.master.endorsed(bundle)), None);
        assert_eq!(failed(&report), ["governance-log"]);
    }
}

/// R194, R195: a log is believed when the council carried each entry and the masters endorse its head; a proof when it leads
/// from the entry to that head and from an earlier log to this one.
#[test]
fn a_log_and_its_proofs_are_checked() {
    let keys = keys();
    let founded = governance(&keys);
    let one = after(&founded, vec![], register(21));
    let three = after(&founded, after(&founded, one.clone(), register(22)), register(23));
    let (earlier, log) = (update(&keys, &founded, one), update(&keys, &founded, three.clone()));
    let known = checked(&founded, &earlier).unwrap().head();
    assert_eq!(checked(&founded, &log).unwrap().head(), log.head.body);
    let mut unendorsed = log.clone();
    unendorsed.head.endorsements.clear();
    assert_eq!(checked(&founded, &unendorsed), Err(LogError::Unproven(Code::GovernanceForged)));

    let leaves: Vec<_> = three.iter().map(LogEntry::leaf).collect();
    let texts = |path: Vec<Digest>| path.iter().map(Digest::to_hex).collect();
    let proof = |at: usize| GovernanceProof {
        entry: hex::encode(encode(&three[at])),
        inclusion: texts(merkle::inclusion_proof(&leaves, at).unwrap()),
        consistency: texts(merkle::consistency_proof(&leaves, 1).unwrap()),
        head: hex::encode(encode(&log.head)),
    };
    for (at, entry) in three.iter().enumerate() {
        let shown = proven(&founded, &proof(at), Some(&known)).unwrap();
        assert_eq!(shown, (entry.clone(), log.head.body));
    }
    let borrowed = GovernanceProof { entry: proof(1).entry, ..proof(0) };
    assert_eq!(proven(&founded, &borrowed, None), Err(LogError::NotIncluded));
    let other = update(&keys, &founded, after(&founded, vec![], register(99))).head.body;
    assert_eq!(proven(&founded, &proof(0), Some(&other)), Err(LogError::NotExtended));
    let alone = GovernanceProof { head: hex::encode(encode(&unendorsed.head)), ..proof(0) };
    assert!(matches!(proven(&founded, &alone, None), Err(LogError::Unproven(_))));
    let garbled = GovernanceProof { head: "no digits".to_owned(), ..proof(0) };
    assert!(matches!(proven(&founded, &garbled, None), Err(LogError::Shape(_))));
}
