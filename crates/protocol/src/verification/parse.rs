//! The checks of a parse, one by one (R082-R084, R131, R134): the order is the masters', the statement is the Vault's, and
//! an approved enclave extracted what it states from the words that it names.

use alloc::string::String;
use alloc::vec::Vec;

use symphony_types::catalogue::Code;
use symphony_types::key::Document as _;

use super::{Appraise, Expectation, Finding, fault, software};
use crate::artifact::Verdict;
use crate::artifact::parse::{ParseEvidence, ParseOutcome};
use crate::execution::parse::{genuine, parse_nonce};
use crate::governance::Governance;

/// All checks, in a fixed order; every one is made even after one has failed.
pub fn findings(governance: &Governance, evidence: &ParseEvidence, appraise: Appraise<'_>) -> Vec<Finding> {
    let (order, statement) = (&evidence.order.body, &evidence.statement);
    let mut findings = Vec::new();
    let mut check = |check, proves, result: Result<(), (Code, String)>| {
        findings.push(Finding { check, proves, fault: result.err() });
    };
    check(
        "order-signature",
        "a majority of the registered masters gave this order",
        if governance.registry.endorsed(&evidence.order) {
            Ok(())
        } else {
            Err(fault(Code::EnvelopeInvalid, "no majority of the registered masters endorses the order"))
        },
    );
    check(
        "actors-distinct",
        "owner and verifier are two actors",
        if order.ticket.owner == governance.registry.verifier.actor {
            Err(fault(Code::ResultRejected, "the owner verifies its own record"))
        } else {
            Ok(())
        },
    );
    check(
        "parse-statement",
        "the statement is the ordered vault's, on the ordered document, and there is a record",
        match statement.body.outcome {
            ParseOutcome::Parsed { .. } if genuine(governance, order, statement) => Ok(()),
            _ => Err(fault(Code::ResultRejected, "the statement does not answer the order")),
        },
    );
    check(
        "parse-attestation",
        "an approved enclave extracted the record's commitment and quality from the words that the statement names",
        attested(governance, evidence, appraise),
    );
    findings
}

/// The verdict that the checks amount to.
pub fn verdict(governance: &Governance, evidence: &ParseEvidence, appraise: Appraise<'_>) -> Verdict {
    super::decided(
        governance,
        evidence.order.body.task,
        evidence.digest(),
        &findings(governance, evidence, appraise),
    )
}

fn attested(
    governance: &Governance,
    evidence: &ParseEvidence,
    appraise: Appraise<'_>,
) -> Result<(), (Code, String)> {
    let (order, body) = (&evidence.order.body, &evidence.statement.body);
    let vault = governance.registry.vaults.get(&order.ticket.vault);
    let vault = vault.ok_or_else(|| fault(Code::ResultRejected, order.ticket.vault.as_str()))?;
    let expectation = Expectation {
        task: order.task,
        vault: Some(order.ticket.vault.clone()),
        actor: vault.executor.clone(),
        nonce: parse_nonce(order),
        input_root: body.words,
        output: body.output(),
        measurements: order.measurements.clone(),
        governance: order.versions.governance,
        module: None,
        admitted_at: order.admitted_at,
        purged: true,
    };
    let appraised = appraise(&evidence.attestation, &expectation)?;
    if appraised.report != body.report {
        return Err(fault(Code::AttestationFailed, "the statement names another report"));
    }
    software(&appraised, order.software_admitted)
}
