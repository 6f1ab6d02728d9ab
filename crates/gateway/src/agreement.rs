//! What of an answer must be equal at two masters, and what is each one's own.
//!
//! Everything that follows from the ordered state must be equal: tasks, results, evidence, prices, keys. A master's own
//! are the reachability of Vaults and their coverage (its last health round), the moment a quote is made at (its clock),
//! its endorsement of a bundle, and which sealed results lie on its disk.

use symphony_types::digest::Digest;
use symphony_wire::evidence;
use symphony_wire::v1::{
    CandidatePool, ChainAccount, ChainBytes, ChallengeList, EpochPage, EvidenceBundle, GovernanceLog,
    GovernanceProof, GovernanceView, JournalProof, ProposalEntry, Quote, Reconciliation, SealedResponse,
    SealedStep, Task, TaskList, TaskResult, VaultAnswer, VaultCoverage, VaultEntry, VaultList,
};

use crate::confirm::Agree;

/// How far the clocks of two masters may be apart for a quote. **Units**: milliseconds.
const CLOCKS_APART_MS: u64 = 5_000;

/// A task is equal in every field: all of them follow from the state.
impl Agree for Task {
    fn agrees(&self, other: &Self) -> bool {
        self == other
    }
}

/// A page is equal in every field: all of them follow from the state.
impl Agree for TaskList {
    fn agrees(&self, other: &Self) -> bool {
        self == other
    }
}

/// Challenges are equal in every field: all of them follow from the state.
impl Agree for ChallengeList {
    fn agrees(&self, other: &Self) -> bool {
        self == other
    }
}

/// Prices, versions and the asked Vaults are equal; the lock's end differs by no more than clocks may.
impl Agree for Quote {
    fn agrees(&self, other: &Self) -> bool {
        let governed = |quote: &Self| {
            let vaults: Vec<_> = quote.coverage.iter().map(|entry| entry.vault_id.clone()).collect();
            (Self { coverage: Vec::new(), lock_until_ms: 0, ..quote.clone() }, vaults)
        };
        governed(self) == governed(other)
            && self.lock_until_ms.abs_diff(other.lock_until_ms) <= CLOCKS_APART_MS
    }

    /// The later end, so that no master finds the lock too short; the smaller reach of those that know one.
    fn join(&mut self, other: Self) {
        self.lock_until_ms = self.lock_until_ms.max(other.lock_until_ms);
        for (mine, others) in self.coverage.iter_mut().zip(other.coverage) {
            join_coverage(mine, others);
        }
    }
}

fn join_coverage(mine: &mut VaultCoverage, others: VaultCoverage) {
    match (mine.reachable, others.reachable) {
        (true, true) => mine.consented_bucket = mine.consented_bucket.min(others.consented_bucket),
        (false, true) => *mine = others,
        (true | false, false) => {}
    }
}

/// Equal but for the sealed bytes, which are those of the digest that the state holds.
impl Agree for TaskResult {
    fn agrees(&self, other: &Self) -> bool {
        let settled = |result: &Self| Self { sealed: Vec::new(), ..result.clone() };
        settled(self) == settled(other)
    }

    fn join(&mut self, other: Self) {
        if !self.complete() {
            self.sealed = other.sealed;
        }
    }

    fn complete(&self) -> bool {
        Digest::of_bytes(&self.sealed).0 == self.sealed_digest[..]
    }
}

/// As a result: equal by the digest that the state holds.
impl Agree for SealedStep {
    fn agrees(&self, other: &Self) -> bool {
        self.sealed_digest == other.sealed_digest
    }

    fn join(&mut self, other: Self) {
        if !self.complete() {
            self.sealed = other.sealed;
        }
    }

    fn complete(&self) -> bool {
        Digest::of_bytes(&self.sealed).0 == self.sealed_digest[..]
    }
}

/// Equal but for the masters' endorsements and for the evidence's bytes, which are those that the verdict is about.
/// Bundles of a form that this gateway does not know are equal byte for byte.
impl Agree for EvidenceBundle {
    fn agrees(&self, other: &Self) -> bool {
        let content = evidence::content(&self.bundle);
        self == other || content.is_some() && content == evidence::content(&other.bundle)
    }

    fn join(&mut self, other: Self) {
        if !self.complete() {
            self.bundle = other.bundle;
        }
    }

    fn complete(&self) -> bool {
        evidence::complete(&self.bundle)
    }
}

/// Names, operators and keys are equal; reachable is what any of them reaches.
impl Agree for VaultEntry {
    fn agrees(&self, other: &Self) -> bool {
        let governed = |entry: &Self| Self { reachable: false, ..entry.clone() };
        governed(self) == governed(other)
    }

    fn join(&mut self, other: Self) {
        self.reachable |= other.reachable;
    }
}

/// The same Vaults in the same order.
impl Agree for VaultList {
    fn agrees(&self, other: &Self) -> bool {
        self.vaults.len() == other.vaults.len()
            && self.vaults.iter().zip(&other.vaults).all(|(one, other)| one.agrees(other))
    }

    fn join(&mut self, other: Self) {
        for (mine, others) in self.vaults.iter_mut().zip(other.vaults) {
            mine.join(others);
        }
    }
}

/// What the chain says is equal byte for byte.
impl Agree for ChainBytes {
    fn agrees(&self, other: &Self) -> bool {
        self == other
    }
}

impl Agree for ChainAccount {
    fn agrees(&self, other: &Self) -> bool {
        self == other
    }
}

/// Reports are ordered; a master that is behind catches up.
impl Agree for CandidatePool {
    fn agrees(&self, other: &Self) -> bool {
        self == other
    }
}

/// Findings and records are ordered. When a master compared last is its own: the earliest of those asked is told, so that
/// nobody makes it look fresher than it is, and it was complete if it was for all.
impl Agree for Reconciliation {
    fn agrees(&self, other: &Self) -> bool {
        let ordered = |one: &Self| Self { compared_ms: 0, complete: false, ..one.clone() };
        ordered(self) == ordered(other)
    }

    fn join(&mut self, other: Self) {
        self.compared_ms = self.compared_ms.min(other.compared_ms);
        self.complete &= other.complete;
    }
}

/// Votes and time move it; masters that are behind catch up.
impl Agree for ProposalEntry {
    fn agrees(&self, other: &Self) -> bool {
        self == other
    }
}

/// The whole of it.
impl Agree for GovernanceView {
    fn agrees(&self, other: &Self) -> bool {
        self == other
    }
}

/// The entries; each head carries its own endorsements, which the client checks.
impl Agree for GovernanceLog {
    fn agrees(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

/// As of the log.
impl Agree for GovernanceProof {
    fn agrees(&self, other: &Self) -> bool {
        let proof = |proof: &Self| Self { head: Vec::new(), ..proof.clone() };
        proof(self) == proof(other)
    }
}

/// All but the endorsements of the record, which the client checks.
impl Agree for EpochPage {
    fn agrees(&self, other: &Self) -> bool {
        let told = |page: &Self| Self { record: Vec::new(), ..page.clone() };
        told(self) == told(other)
    }
}

/// Its heads carry the endorsements of a majority, and the client checks those and every path: a lie is found there, and a second
/// master could only be at another height.
impl Agree for JournalProof {
    fn agrees(&self, other: &Self) -> bool {
        self == other
    }

    fn stands_alone(&self) -> bool {
        true
    }
}

/// Sealed by the Vault to whoever asked: only the Vault can have made it, and no two are equal.
impl Agree for SealedResponse {
    fn agrees(&self, other: &Self) -> bool {
        self == other
    }

    fn stands_alone(&self) -> bool {
        true
    }
}

/// Opened here with a key that only the Vault was shown, inside the sealed operation.
impl Agree for VaultAnswer {
    fn agrees(&self, other: &Self) -> bool {
        self == other
    }

    fn stands_alone(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(sealed: &[u8]) -> TaskResult {
        let sealed_digest = Digest::of_bytes(b"sealed").0.to_vec();
        TaskResult { sealed: sealed.to_vec(), sealed_digest, returned: 9, ..Default::default() }
    }

    /// R195: sealed bytes count by the digest that a majority vouches for, whoever brings them.
    #[test]
    fn a_results_bytes_are_those_of_its_digest() {
        let (mut absent, lie, whole) = (result(b""), result(b"other"), result(b"sealed"));
        assert!(absent.agrees(&whole) && lie.agrees(&whole));
        assert!(!absent.complete() && !lie.complete() && whole.complete());
        absent.join(lie);
        assert!(!absent.complete());
        absent.join(whole);
        assert!(absent.complete());
        absent.join(result(b"again other"));
        assert_eq!(absent.sealed, b"sealed");
        let other = TaskResult { returned: 8, ..result(b"sealed") };
        assert!(!absent.agrees(&other));
    }

    /// R104, R195: likewise the transcript of a step.
    #[test]
    fn a_steps_bytes_are_those_of_its_digest() {
        let digest = |bytes: &[u8]| Digest::of_bytes(bytes).0.to_vec();
        let step = |sealed: &[u8]| SealedStep { sealed: sealed.to_vec(), sealed_digest: digest(b"step") };
        let (mut absent, lie, whole) = (step(b""), step(b"other"), step(b"step"));
        assert!(absent.agrees(&whole) && !absent.complete() && !lie.complete() && whole.complete());
        absent.join(lie);
        assert!(!absent.complete());
        absent.join(whole);
        absent.join(step(b"again other"));
        assert_eq!(absent.sealed, b"step");
        let another = SealedStep { sealed: b"other".to_vec(), sealed_digest: digest(b"other") };
        assert!(another.complete() && !another.agrees(&absent), "whole, but of another digest");
    }

    /// R195: any difference in a task is one.
    #[test]
    fn tasks_are_equal_in_every_field() {
        let task = Task { state: "completed".to_owned(), updated_ms: 7, ..Default::default() };
        assert!(task.agrees(&task.clone()));
        assert!(!task.agrees(&Task { updated_ms: 8, ..task.clone() }));
        assert!(!task.agrees(&Task { refunded: 1, ..task.clone() }));
    }

    fn quote(lock_until_ms: u64, bucket: u64, reachable: bool) -> Quote {
        let entry = VaultCoverage { vault_id: "a".to_owned(), consented_bucket: bucket, reachable };
        Quote { policy_version: 1, lock_until_ms, coverage: vec![entry], ..Default::default() }
    }

    /// R195: what a master knows by itself may differ; what governs may not.
    #[test]
    fn quotes_differ_by_clocks_and_health_only() {
        let mut quoted = quote(10_000, 64, true);
        assert!(quoted.agrees(&quote(15_000, 0, false)) && !quoted.agrees(&quote(15_001, 64, true)));
        assert!(!quoted.agrees(&Quote { policy_version: 2, ..quote(10_000, 64, true) }));
        assert!(!quoted.agrees(&Quote { coverage: Vec::new(), ..quote(10_000, 64, true) }));
        quoted.join(quote(12_000, 32, true));
        quoted.join(quote(9_000, 0, false));
        assert_eq!(quoted, quote(12_000, 32, true));
        let mut unknown = quote(1, 0, false);
        unknown.join(quote(1, 16, true));
        assert_eq!(unknown, quote(1, 16, true));
    }

    /// R195, R220: records that a master shows alone are no records; when it compared is its own.
    #[test]
    fn reconciliations_differ_by_the_time_of_the_comparison_only() {
        let told = |compared_ms, complete, total| Reconciliation {
            compared_ms,
            complete,
            total,
            ..Default::default()
        };
        let mut first = told(9, true, 3);
        assert!(first.agrees(&told(7, false, 3)) && !first.agrees(&told(9, true, 4)));
        first.join(told(12, true, 3));
        assert_eq!(first, told(9, true, 3));
        first.join(told(7, false, 3));
        assert_eq!(first, told(7, false, 3));
    }

    /// R195: a key that one master shows alone is not sealed to.
    #[test]
    fn vaults_are_equal_but_for_their_reachability() {
        let entry = |key: u8, reachable| VaultEntry {
            vault_id: "a".to_owned(),
            operator: "o".to_owned(),
            sealing_key: vec![key],
            reachable,
            ..VaultEntry::default()
        };
        let mut list = VaultList { vaults: vec![entry(1, false)] };
        assert!(!list.agrees(&VaultList { vaults: vec![entry(2, false)] }));
        assert!(!list.agrees(&VaultList::default()));
        let seen = VaultList { vaults: vec![entry(1, true)] };
        assert!(list.agrees(&seen));
        list.join(seen);
        assert!(list.vaults[0].reachable);
        // R061: whether a Vault is suspended is nobody's word alone.
        let frozen = VaultEntry { status: "suspended".to_owned(), ..entry(1, true) };
        assert!(!list.agrees(&VaultList { vaults: vec![frozen] }));
    }
}
