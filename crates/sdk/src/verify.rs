//! The evidence of a settled task, checked by somebody who trusts no node and has no network (R118, R134, R135, R208).
//!
//! A result that awaits its end has a bundle of its own kind, with the same checks of the result and none of a settlement (R139): what
//! passes them holds so far, and is not final.
//!
//! Everything is recomputed from the bundle: signatures, attestation, receipts, fee, shares, root, payout. What remains
//! to be believed is the governance inside it, whose digest is printed so that it can be pinned: keys, prices and approved
//! code all come from there.

pub(crate) mod payout;

use std::cell::RefCell;
use std::ops::Range;

use serde::Serialize;
use symphony_attest::appraise::Tier;
use symphony_attest::claims::Class;
use symphony_protocol::artifact::{Attestation, Decision, Evidence, SignedVerdict};
use symphony_protocol::evidence::{CandidateBundle, EndorsedBundle, EndorsedCandidate, EvidenceBundle};
use symphony_protocol::governance::Governance;
pub use symphony_protocol::governance::log::governance_digest;
use symphony_protocol::governance::log::{LogEntry, replay};
use symphony_protocol::settlement::finalize::{self, Settled};
use symphony_protocol::settlement::verdict;
use symphony_protocol::verification::{Expectation, findings};
use symphony_tee::governed::{self, Standing};
use symphony_types::amount;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::key::Document as _;
use symphony_wire::documents::decode;

/// One check of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// What holds when it passes.
    pub proves: &'static str,
    /// Why it failed.
    pub fault: Option<String>,
}

/// How a result stands of which a bundle is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Finality {
    /// The bytes are no bundle.
    #[default]
    Unknown,
    /// It was settled.
    Final,
    /// It may still be disputed, and becomes final then unless it is.
    Candidate {
        /// When.
        final_ms: u64,
    },
}

/// What a bundle proves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The task, in hexadecimal digits; empty when the bundle cannot be read.
    pub task: String,
    /// Digest of the aggregate that it is about, as challenges name it; empty likewise.
    pub result: String,
    /// Whether the result is final.
    pub finality: Finality,
    /// The digest of the governance that the network was founded with.
    pub governance: String,
    /// How many changes of it everything was judged by.
    pub sequence: u64,
    /// Whether that digest was the expected one.
    pub pinned: bool,
    /// Whether an enclave without hardware behind it may have served the task (R130).
    pub software: bool,
    /// Whether the payout is part of the evidence.
    pub paid: bool,
    /// What stands behind each attestation that was found good, in the order of the evidence.
    pub enclaves: Vec<EnclaveStanding>,
    /// The checks, in order. Those that could not be made after a failure are left out.
    pub checks: Vec<Check>,
    /// Which of the checks are the verifier's own, and those that every master makes again when the evidence is disputed.
    #[serde(skip)]
    judged: Range<usize>,
}

/// What stands behind one attestation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EnclaveStanding {
    /// The Vault of a slice; nothing for an aggregation.
    pub vault: Option<String>,
    /// The class of the machine.
    pub class: String,
    /// Kind of hardware that vouches, or that is played in development.
    pub hardware: Option<&'static str>,
    /// How far it may be relied on: `affirming` or `warning`.
    pub tier: &'static str,
    /// Digest of the evidence that it rests on.
    pub evidence: Option<String>,
    /// Digest of the collateral that the evidence was verified with.
    pub collateral: Option<String>,
}

impl EnclaveStanding {
    fn of(expectation: &Expectation, standing: &Standing) -> Self {
        let digests = standing.vendor;
        Self {
            vault: expectation.vault.as_ref().map(ToString::to_string),
            class: standing.class.as_str().to_owned(),
            hardware: standing.class.vendor().map(Class::as_str),
            tier: match standing.tier {
                Tier::Affirming => "affirming",
                Tier::Warning => "warning",
                Tier::Contraindicated => "contraindicated",
            },
            evidence: digests.map(|digests| digests.evidence.to_hex()),
            collateral: digests.map(|digests| digests.collateral.to_hex()),
        }
    }
}

impl Report {
    /// Whether every check passed.
    pub fn passed(&self) -> bool {
        !self.checks.is_empty() && self.failed().next().is_none()
    }

    /// The checks that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.fault.is_some())
    }

    /// Whether a majority of the masters of the expected governance vouches for what the bundle shows, whatever that is: the checks
    /// of the bundle itself and of its order pass. Without it, whoever brought the bundle may have made it.
    pub fn vouched(&self) -> bool {
        let own = self.checks.get(..self.judged.start).unwrap_or_default();
        self.pinned && !self.judged.is_empty() && own.iter().all(|check| check.fault.is_none())
    }

    /// The first check that fails of those that every master makes again when the evidence is disputed, if the registered verifier
    /// accepted exactly this evidence. Else a master may lack a part of it now, and have it in a review.
    pub fn disputable(&self) -> Option<&Check> {
        if self.failed().any(|check| [VERDICT, ACCEPTED].contains(&check.name)) {
            return None;
        }
        let judged = self.checks.get(self.judged.clone()).unwrap_or_default();
        judged.iter().find(|check| check.fault.is_some())
    }

    fn check(&mut self, name: &'static str, proves: &'static str, result: Result<(), String>) {
        self.checks.push(Check { name, proves, fault: result.err() });
    }
}

/// Makes every check of the bundle of a settled task; that of a candidate is none. `trusted` is the governance that the caller
/// expects.
pub fn verify(bytes: &[u8], trusted: Option<Digest>) -> Report {
    let mut report = Report::default();
    let bundle: EndorsedBundle = match decode(bytes) {
        Ok(bundle) => bundle,
        Err(error) => {
            let of_candidate = decode::<EndorsedCandidate>(bytes).is_ok();
            let fault = if of_candidate { NOT_SETTLED.to_owned() } else { error.to_string() };
            report.check("decode", DECODE, Err(fault));
            return report;
        }
    };
    report.check("decode", DECODE, Ok(()));
    let body = &bundle.body;
    report.finality = Finality::Final;
    report.paid = body.payout.is_some();
    let endorsed = body.governance.registry.endorsed(&bundle);
    let shown = Shown::of_settled(body);
    if let Some(governed) = shown.judged(&mut report, endorsed, trusted) {
        shown.verdict(&mut report, &governed);
        if let Some(settled) = settled_by(&mut report, body) {
            settlement_checks(&mut report, body, &settled);
            if let Some(evidence) = &body.payout {
                payout::checks(&mut report, body, &settled, evidence);
            }
        }
    }
    report
}

/// Makes every check of the bundle of a candidate, as [`verify`] does of a settled task.
pub fn candidate(bytes: &[u8], trusted: Option<Digest>) -> Report {
    let mut report = Report::default();
    let bundle: EndorsedCandidate = match decode(bytes) {
        Ok(bundle) => bundle,
        Err(error) => {
            report.check("decode", DECODE_CANDIDATE, Err(error.to_string()));
            return report;
        }
    };
    report.check("decode", DECODE_CANDIDATE, Ok(()));
    let body = &bundle.body;
    report.finality = Finality::Candidate { final_ms: body.final_at.0 };
    let endorsed = body.governance.registry.endorsed(&bundle);
    let shown = Shown::of_candidate(body);
    if let Some(governed) = shown.judged(&mut report, endorsed, trusted) {
        shown.verdict(&mut report, &governed);
    }
    report
}

/// Makes the checks of whichever of the two bundles the bytes are.
pub fn either(bytes: &[u8], trusted: Option<Digest>) -> Report {
    if decode::<EndorsedCandidate>(bytes).is_ok() {
        candidate(bytes, trusted)
    } else {
        verify(bytes, trusted)
    }
}

/// What the bundle of a candidate shows, and that of a settled task as well.
struct Shown<'a> {
    network: &'a str,
    governance: &'a Governance,
    changes: &'a [LogEntry],
    evidence: &'a Evidence,
    verdict: &'a SignedVerdict,
}

impl<'a> Shown<'a> {
    fn of_settled(bundle: &'a EvidenceBundle) -> Self {
        let EvidenceBundle { network, governance, changes, evidence, verdict, .. } = bundle;
        Self { network, governance, changes, evidence, verdict }
    }

    fn of_candidate(bundle: &'a CandidateBundle) -> Self {
        let CandidateBundle { network, governance, changes, evidence, verdict, final_at: _ } = bundle;
        Self { network, governance, changes, evidence, verdict }
    }

    /// Whether the bundle is what it says, and whether the result is right; what governed it, unless that cannot be told.
    fn judged(&self, report: &mut Report, endorsed: bool, trusted: Option<Digest>) -> Option<Governance> {
        report.check(
            "bundle-signature",
            "a majority of the registered masters vouches for every bit of this bundle",
            held(endorsed, "no majority of the registered masters endorses it"),
        );
        let digest = governance_digest(self.governance);
        let envelope = &self.evidence.envelope.body;
        report.task = envelope.task.to_string();
        report.result = self.evidence.result.aggregate.0.body.digest().to_string();
        report.governance = digest.to_string();
        report.software = envelope.coordination.software_admitted;
        if let Some(trusted) = trusted {
            report.pinned = digest == trusted;
            let fault = format!("the bundle's governance is {digest}");
            report.check(
                "governance-pinned",
                "this is the governance that was expected",
                held(report.pinned, &fault),
            );
        }
        let sound = self.governance.check().map_err(str::to_owned);
        let judgeable = sound.is_ok();
        report.check("governance-sound", "policies are complete and every share is inside its band", sound);
        if !judgeable {
            return None;
        }
        let governed = self.governed(report)?;
        self.result(report, &governed);
        Some(governed)
    }

    /// What governed when the task was admitted: the founding governance and every change that the council enacted since, each
    /// counted again (R128, R129). `None` when it cannot be told.
    fn governed(&self, report: &mut Report) -> Option<Governance> {
        let admitted = self.evidence.envelope.body.versions.governance;
        let governed = replay(self.governance, self.changes).map_err(told).and_then(|governed| {
            held(governed.sequence == admitted, "the changes are not those before the task's admission")?;
            Ok(governed)
        });
        report.sequence = admitted.0;
        let told = governed.as_ref().map(|_| ()).map_err(Clone::clone);
        report.check(
            "governance-log",
            "the council voted for every change before the task was admitted, and nothing else was changed",
            told,
        );
        governed.ok()
    }

    /// The verifier's own checks again.
    fn result(&self, report: &mut Report, governance: &Governance) {
        let enclaves = RefCell::new(Vec::new());
        let judge = |attestation: &Attestation, expectation: &Expectation| {
            let judged = governed::judge_standing(self.network, governance, attestation, expectation);
            let (appraised, standing) = judged?;
            enclaves.borrow_mut().push(EnclaveStanding::of(expectation, &standing));
            Ok(appraised)
        };
        let findings = findings(governance, self.evidence, &judge);
        report.enclaves = enclaves.into_inner();
        let own = findings.iter().take_while(|finding| finding.check == ORDER).count();
        let first = report.checks.len() + own;
        for finding in findings {
            let fault = finding.fault.map(|(code, detail)| format!("{code}: {detail}"));
            report.checks.push(Check { name: finding.check, proves: finding.proves, fault });
        }
        report.judged = first..report.checks.len();
    }

    /// What the verifier said.
    fn verdict(&self, report: &mut Report, governance: &Governance) {
        let Self { evidence, verdict, .. } = self;
        report.check(
            VERDICT,
            "the registered verifier, who did not compute the result, decided on this task",
            verdict::check(governance, &evidence.envelope.body, verdict).map_err(told),
        );
        report.check(
            "verdict-accepted",
            "the verifier accepted the result",
            held(
                verdict.body.decision == Decision::Accepted && verdict.body.reasons.is_empty(),
                "it was rejected",
            ),
        );
        report.check(
            ACCEPTED,
            "the verifier looked at exactly this evidence",
            held(verdict.body.evidence == evidence.digest(), "the verdict is about other evidence"),
        );
    }
}

/// What governed when the task was settled, as far as policies and epochs go (R188, R190). `None` when it cannot be told.
fn settled_by(report: &mut Report, bundle: &EvidenceBundle) -> Option<Governance> {
    let entries: Vec<_> = bundle.changes.iter().chain(&bundle.later).cloned().collect();
    let governed = replay(&bundle.governance, &entries).map_err(told).and_then(|governed| {
        let in_time = bundle.later.iter().all(|entry| entry.at <= bundle.context.finalized_at);
        held(in_time, "a change is later than the settlement")?;
        Ok(governed)
    });
    let told = governed.as_ref().map(|_| ()).map_err(Clone::clone);
    report.check(
        "governance-policies",
        "the council voted for every policy that was in force until the settlement",
        told,
    );
    governed.ok()
}

/// Whether the settlement follows from the result.
fn settlement_checks(report: &mut Report, bundle: &EvidenceBundle, governance: &Governance) {
    let EvidenceBundle { evidence, verdict, context, root, .. } = bundle;
    let envelope = &evidence.envelope.body;
    let slices = evidence.result.headers();
    let aggregate = &evidence.result.aggregate.0;
    let rounds: Vec<_> =
        evidence.rounds.iter().map(|round| (round.headers(), round.aggregate.0.clone())).collect();
    let settled = Settled { envelope, rounds: &rounds, slices: &slices, aggregate };
    let fee = settled.charged(governance);
    report.check(
        "fee",
        "the fee is the policy's price of what was delivered",
        fee.map_err(told).and_then(|fee| held(fee == context.fee, "the fee is another")),
    );
    let at = context.finalized_at;
    let recomputed = finalize::context(governance, &settled, verdict, at);
    report.check(
        "settlement-context",
        "everything that was settled follows from the order, the slices, the aggregate and the verdict",
        recomputed.map_err(told).and_then(|again| held(again == *context, "the recomputed context differs")),
    );
    let shared = amount::sum(context.shares.iter().map(|share| share.amount));
    report.check(
        "shares",
        "the shares sum to the fee, to the last base unit",
        held(shared == Some(context.fee.total), "the shares do not sum to the fee"),
    );
    let returned = context.locked.checked_sub(context.fee.total);
    report.check(
        "refund",
        "what was locked and not charged goes back",
        held(
            returned == Some(context.refunded) && context.locked == envelope.locked,
            "the refund is not the lock without the fee",
        ),
    );
    report.check(
        "settlement-root",
        "the root commits to exactly this settlement",
        held(finalize::settlement_root(context) == *root, "the recomputed root differs"),
    );
}

pub(crate) fn held(holds: bool, fault: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(fault.to_owned()) }
}

pub(crate) fn told(code: Code) -> String {
    format!("{code}: {}", code.title())
}

/// The check of the order's endorsements: no digest covers them, so that whoever brought the bundle can have changed them.
const ORDER: &str = "envelope-signature";
/// The checks that the verifier spoke, and of what.
const VERDICT: &str = "verdict-signature";
const ACCEPTED: &str = "verdict-evidence";
const DECODE: &str = "the bytes are the canonical form of one evidence bundle";
const DECODE_CANDIDATE: &str = "the bytes are the canonical form of the evidence bundle of one candidate";
const NOT_SETTLED: &str = "this is the evidence of a candidate, which is not final";
