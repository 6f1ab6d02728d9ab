//! Proofs of the journal: a true one holds, and a tampered entry, a cut or forked journal, another signer and what is out of range are
//! each refused (R031, R134, R191, R192, R195).

use symphony_protocol::governance::log::{Followed, LogUpdate};
use symphony_protocol::journal::{
    Earlier, Included, JournalEntry, JournalHead, JournalProof, entry_digest, extends, includes,
};
use symphony_protocol::machine::Event;
use symphony_sdk::audit::{Asked, Kept, ProofError, Shown, check, head};
use symphony_sdk::verify::governance_digest;
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::{EpochId, TaskId};
use symphony_types::key::{Master, PrivateKey};
use symphony_types::merkle;
use symphony_types::time::OrderedMillis;
use symphony_wire::documents::encode;

use crate::bundle::{digest, governance, keys};

/// A journal of so many entries, each of which delivers a task of its own; they fork after `fork`.
struct Journal(Vec<Vec<u8>>);

impl Journal {
    fn new(count: u64, fork: u64) -> Self {
        let mut previous = digest(1);
        let entries = (1..=count).map(|height| {
            let event = Event::ResultDelivered { task: task(height), at: OrderedMillis(height) };
            let command = if height > fork { vec![9] } else { vec![] };
            let events = canonical::to_bytes(&vec![event]);
            let entry =
                JournalEntry { height, previous, at: OrderedMillis(height), command, events, state: None };
            let bytes = canonical::to_bytes(&entry);
            previous = entry_digest(&bytes);
            bytes
        });
        Self(entries.collect())
    }

    fn leaves(&self, count: u64) -> Vec<Digest> {
        let entries = self.0.iter().take(usize::try_from(count).unwrap());
        entries.map(|bytes| merkle::leaf(&entry_digest(bytes).0)).collect()
    }

    fn head(&self, height: u64, epoch: Option<u64>) -> JournalHead {
        let (foundation, root) =
            (governance_digest(&governance(&keys())), merkle::root(&self.leaves(height)));
        JournalHead { foundation, epoch: epoch.map(EpochId), height, at: OrderedMillis(height), root }
    }

    /// The end of epoch 7 with one entry of it, and that it goes on from the end of epoch 3.
    fn proof(&self, height: u64, of: u64, since: u64) -> JournalProof {
        let (master, leaves) = (keys().master, self.leaves(height));
        let bytes = self.0[usize::try_from(of - 1).unwrap()].clone();
        let path = merkle::inclusion_proof(&leaves, usize::try_from(of - 1).unwrap()).unwrap();
        let entry = Included { height: of, digest: entry_digest(&bytes), bytes: Some(bytes), path };
        let path = merkle::consistency_proof(&leaves, usize::try_from(since).unwrap()).unwrap();
        JournalProof {
            head: master.endorsed(self.head(height, Some(7))),
            entry: Some(entry),
            earlier: Some(Earlier { head: master.endorsed(self.head(since, Some(3))), path }),
        }
    }
}

fn task(height: u64) -> TaskId {
    TaskId(Digest::of("test/task", &height))
}

fn log() -> LogUpdate {
    let keys = keys();
    let head = Followed::new(governance(&keys)).head();
    LogUpdate { entries: vec![], head: keys.master.endorsed(head) }
}

const ASKED: Asked =
    Asked { epoch: Some(EpochId(7)), since: Some(EpochId(3)), task: None, height: None, known: None };

fn checked(proof: &JournalProof, asked: &Asked) -> Result<Shown, ProofError> {
    check(&governance(&keys()), &log(), &encode(proof), asked)
}

/// R031, R192: an entry, by its task or by its place, under a head that goes on from an earlier one.
#[test]
fn a_true_proof_holds() {
    let journal = Journal::new(21, 99);
    for (of, since) in [(1, 0), (13, 8), (21, 20), (5, 21)] {
        let proof = journal.proof(21, of, since);
        let by_task = checked(&proof, &Asked { task: Some(task(of)), ..ASKED }).unwrap();
        let entry = by_task.entry.clone().unwrap();
        assert_eq!((entry.height, entry.at_ms, entry.tasks), (of, Some(of), vec![task(of).to_string()]));
        assert_eq!((by_task.head.height, by_task.earlier.clone().unwrap().height), (21, since));
        assert_eq!(checked(&proof, &Asked { height: Some(of), ..ASKED }), Ok(by_task));
    }
    let mut bare = journal.proof(21, 13, 8);
    bare.entry.as_mut().unwrap().bytes = None;
    let told = checked(&bare, &Asked { height: Some(13), ..ASKED }).unwrap().entry.unwrap();
    assert_eq!((told.height, told.at_ms), (13, None), "a place needs no content");
    assert_eq!(checked(&bare, &Asked { task: Some(task(13)), ..ASKED }), Err(ProofError::OtherEntry));
    let kept = Kept { log: log(), proof: encode(&bare) };
    assert_eq!(head(&governance(&keys()), &kept), Ok(bare.head.body));
}

/// R134, R192: an entry that was tampered with is in no journal, at no other place, and stands for no other task.
#[test]
fn a_tampered_entry_is_refused() {
    let journal = Journal::new(21, 99);
    let tampered = |change: fn(&mut Included)| {
        let mut proof = journal.proof(21, 13, 8);
        change(proof.entry.as_mut().unwrap());
        checked(&proof, &ASKED)
    };
    assert_eq!(tampered(|entry| entry.bytes.as_mut().unwrap()[60] ^= 1), Err(ProofError::NotIncluded(13)));
    let renamed = tampered(|entry| {
        let bytes = entry.bytes.as_mut().unwrap();
        bytes[60] ^= 1;
        entry.digest = entry_digest(bytes);
    });
    assert_eq!(renamed, Err(ProofError::NotIncluded(13)));
    assert_eq!(tampered(|entry| entry.height = 14), Err(ProofError::NotIncluded(14)));
    assert_eq!(tampered(|entry| entry.height = 0), Err(ProofError::NotIncluded(0)));
    assert_eq!(tampered(|entry| entry.path.truncate(1)), Err(ProofError::NotIncluded(13)));
    let proof = journal.proof(21, 13, 8);
    assert_eq!(checked(&proof, &Asked { task: Some(task(12)), ..ASKED }), Err(ProofError::OtherEntry));
    assert_eq!(checked(&proof, &Asked { height: Some(12), ..ASKED }), Err(ProofError::OtherEntry));
}

/// R191, R192: what was once endorsed stays: a journal that was cut, forked or written anew does not go on from it.
#[test]
fn a_cut_or_forked_journal_is_refused() {
    let (journal, fork) = (Journal::new(21, 99), Journal::new(21, 6));
    let mut forked = fork.proof(21, 2, 8);
    forked.earlier.as_mut().unwrap().head = keys().master.endorsed(journal.head(8, Some(3)));
    assert_eq!(checked(&forked, &ASKED), Err(ProofError::NotExtended { earlier: 8, later: 21 }));
    let mut cut = journal.proof(8, 2, 8);
    cut.earlier.as_mut().unwrap().head = keys().master.endorsed(journal.head(21, Some(3)));
    assert_eq!(checked(&cut, &ASKED), Err(ProofError::NotExtended { earlier: 21, later: 8 }));
    // A majority that signs two journals is convicted by whoever kept the first head.
    let kept = Asked { known: Some(journal.head(8, Some(3))), ..ASKED };
    assert!(checked(&journal.proof(21, 2, 8), &kept).is_ok());
    assert_eq!(checked(&fork.proof(21, 2, 8), &kept), Err(ProofError::Forked));
    let before = journal.head(8, None);
    let path = merkle::consistency_proof(&journal.leaves(21), 8).unwrap();
    assert!(extends(&before, &journal.head(21, None), &path));
    let elsewhere = JournalHead { foundation: digest(9), ..journal.head(21, None) };
    assert!(!extends(&before, &elsewhere, &path), "of another network");
}

/// R195: heads are a majority's, of this network, and of what was asked for.
#[test]
fn a_head_of_another_signer_is_refused() {
    let journal = Journal::new(21, 99);
    let stranger = PrivateKey::<Master>::from_seed(&[99; 32]);
    let mut proof = journal.proof(21, 13, 8);
    proof.head = stranger.endorsed(proof.head.body);
    assert_eq!(checked(&proof, &ASKED), Err(ProofError::Unsigned(21)));
    let mut proof = journal.proof(21, 13, 8);
    let earlier = proof.earlier.as_mut().unwrap();
    earlier.head = stranger.endorsed(earlier.head.body);
    assert_eq!(checked(&proof, &ASKED), Err(ProofError::Unsigned(8)));
    let mut proof = journal.proof(21, 13, 8);
    proof.head = keys().master.endorsed(JournalHead { foundation: digest(9), ..proof.head.body });
    assert_eq!(checked(&proof, &ASKED), Err(ProofError::Unsigned(21)));
    let proof = journal.proof(21, 13, 8);
    let other = Asked { epoch: Some(EpochId(8)), ..ASKED };
    assert_eq!(checked(&proof, &other), Err(ProofError::OtherHead));
    assert_eq!(checked(&proof, &Asked { since: Some(EpochId(4)), ..ASKED }), Err(ProofError::OtherHead));
}

/// R192: an answer that lacks what was asked for, lies beyond the journal, or is no proof at all.
#[test]
fn what_is_missing_or_out_of_range_is_refused() {
    let journal = Journal::new(21, 99);
    let mut proof = journal.proof(21, 13, 8);
    proof.entry = None;
    assert_eq!(checked(&proof, &Asked { height: Some(13), ..ASKED }), Err(ProofError::Missing));
    assert!(checked(&proof, &ASKED).is_ok());
    proof.earlier = None;
    assert_eq!(checked(&proof, &ASKED), Err(ProofError::Missing));
    let beyond = Included { height: 22, ..journal.proof(21, 21, 8).entry.unwrap() };
    assert!(!includes(&journal.head(21, None), &beyond));
    let shape = check(&governance(&keys()), &log(), &[1, 2, 3], &ASKED);
    assert!(matches!(shape, Err(ProofError::Shape(_))), "{shape:?}");
}
