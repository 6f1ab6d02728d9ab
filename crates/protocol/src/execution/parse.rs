//! The answer to a parse (R082-R084): the Vault's own statement on the document that was ordered.

use symphony_types::digest::Digest;
use symphony_types::key::Document as _;

use crate::artifact::parse::{ParseOrder, SignedParse};
use crate::governance::Governance;

/// The nonce of the extraction's attestation report: bound to the order, so that a report serves this task only.
pub fn parse_nonce(order: &ParseOrder) -> Digest {
    Digest::of("symphony/parse-nonce/v1", &order.digest())
}

/// Whether a statement is the ordered Vault's, on the ordered document.
pub fn genuine(governance: &Governance, order: &ParseOrder, statement: &SignedParse) -> bool {
    let (body, ticket) = (&statement.body, &order.ticket);
    governance.registry.vaults.get(&ticket.vault).is_some_and(|vault| statement.verify(&vault.key))
        && body.task == order.task
        && body.vault == ticket.vault
        && body.document == ticket.document
}
