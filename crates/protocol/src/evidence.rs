//! The self-contained evidence bundle of one settled task (R134, R208): everything that a stranger needs to
//! repeat every check without a network and without trust in any node. Before the settlement there is another document, so that
//! nobody takes one for the other (R139).

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::digest::Digest;
use symphony_types::key::{Document, Endorsed, Master};
use symphony_types::time::OrderedMillis;

use crate::artifact::{Evidence, SettlementContext, SignedVerdict};
use crate::governance::Governance;
use crate::governance::log::LogEntry;
use crate::settlement::payout::PayoutEvidence;

/// One settled task with all that it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceBundle {
    /// The network.
    pub network: String,
    /// What the network was founded with: policies, keys, approved code, meaning. Its digest names the network.
    pub governance: Governance,
    /// What the council changed before the task was admitted.
    pub changes: Vec<LogEntry>,
    /// What it changed from then until the task was settled, as far as that tells the epoch and the policy of the settlement:
    /// nothing unless it adopted a policy.
    pub later: Vec<LogEntry>,
    /// What the verifier looked at.
    pub evidence: Evidence,
    /// What it decided.
    pub verdict: SignedVerdict,
    /// What was settled.
    pub context: SettlementContext,
    /// Its root.
    pub root: Digest,
    /// How the epoch was paid; absent before.
    pub payout: Option<PayoutEvidence>,
}

impl Document for EvidenceBundle {
    const TAG: &'static str = "symphony/evidence-bundle/v4";

    /// Of everything, with the evidence by its own digest: see [`Evidence`].
    fn digest(&self) -> Digest {
        let Self { network, governance, changes, later, evidence, verdict, context, root, payout } = self;
        let changed = (changes, later);
        Digest::of(
            Self::TAG,
            &(network, governance, changed, evidence.digest(), verdict, context, root, payout),
        )
    }
}

/// A bundle that masters endorse, so that not one bit of it can be exchanged unseen.
pub type EndorsedBundle = Endorsed<EvidenceBundle, Master>;

/// One result that awaits its end with all that it rests on: what its bundle will show, but for the settlement, which is not yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateBundle {
    /// When the result becomes final unless somebody disputes it. First, so that these bytes are no [`EvidenceBundle`].
    pub final_at: OrderedMillis,
    /// The network.
    pub network: String,
    /// What the network was founded with.
    pub governance: Governance,
    /// What the council changed before the task was admitted.
    pub changes: Vec<LogEntry>,
    /// What the verifier looked at.
    pub evidence: Evidence,
    /// What it decided.
    pub verdict: SignedVerdict,
}

impl Document for CandidateBundle {
    const TAG: &'static str = "symphony/candidate-bundle/v1";

    /// Of everything, with the evidence by its own digest: see [`Evidence`].
    fn digest(&self) -> Digest {
        let Self { final_at, network, governance, changes, evidence, verdict } = self;
        Digest::of(Self::TAG, &(final_at, network, governance, changes, evidence.digest(), verdict))
    }
}

/// A candidate that masters endorse.
pub type EndorsedCandidate = Endorsed<CandidateBundle, Master>;
