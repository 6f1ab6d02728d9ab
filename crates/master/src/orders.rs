//! Orders to Vaults, with the word of a majority on the order and on where governance stands (R129, R195).
//!
//! A Vault computes nothing for an order that rests on another state of governance than it knows. So a master first brings a
//! Vault that is behind up to date; an order that was endorsed before a change is endorsed again after it.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use symphony_protocol::governance::log::Standing;
use symphony_types::catalogue::Code;
use symphony_types::id::VaultId;
use symphony_types::key::{Document, Endorsed, Endorsement, Master};
use symphony_wire::documents::encode;
use symphony_wire::v1::SignedDocument;

use crate::claim::{Claim, Subject};
use crate::effects::Fault;
use crate::endorsing::endorsements;
use crate::following;
use crate::node::Node;

/// An endorsed order.
pub(crate) struct Ordered<T: Document> {
    /// The order.
    pub order: Endorsed<T, Master>,
    claim: Claim,
    standing: Mutex<Vec<u8>>,
}

/// Documents of one kind as orders. **Errors**: [`Fault::Again`] when too few masters say the same.
pub(crate) async fn ordered<T: Document>(
    node: &Node,
    documents: Vec<(Subject, T)>,
) -> Result<Vec<Ordered<T>>, Fault> {
    let mut orders = Vec::with_capacity(documents.len());
    let mut claims = Vec::with_capacity(documents.len() * 2);
    for (subject, body) in documents {
        let claim = Claim { subject, document: body.digest() };
        let standing = node.state().proposals.log.standing(claim.document);
        claims.push(claim.clone());
        claims.push(about(&standing));
        orders.push((body, claim, standing));
    }
    let mut endorsements = endorsements(node, claims).await?.into_iter();
    let mut next = || endorsements.next().unwrap_or_default();
    let whole = orders.into_iter().map(|(body, claim, standing)| Ordered {
        order: Endorsed { body, endorsements: next() },
        claim,
        standing: Mutex::new(stated(standing, next())),
    });
    Ok(whole.collect())
}

impl<T: Document + Serialize> Ordered<T> {
    /// The message to the Vault.
    pub(crate) fn message(&self) -> SignedDocument {
        SignedDocument { document: encode(&self.order), standing: self.standing() }
    }

    /// Where governance stood when it was endorsed, with the word of a majority.
    pub(crate) fn standing(&self) -> Vec<u8> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// After a refusal: where the Vault and the order know different states of governance, brings the Vault up to date and has
    /// the order endorsed as of now. Whether the same order may be sent again at once.
    pub(crate) async fn renewed(&self, node: &Node, vault: &VaultId, code: Code) -> bool {
        if code != Code::GovernanceBehind {
            return false;
        }
        if let Err(fault) = following::bring(node, vault).await {
            tracing::warn!(%vault, %fault, "a vault cannot follow governance");
            return false;
        }
        let standing = node.state().proposals.log.standing(self.claim.document);
        match endorsements(node, vec![self.claim.clone(), about(&standing)]).await {
            Ok(mut endorsed) => {
                let stated = stated(standing, endorsed.pop().unwrap_or_default());
                *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = stated;
                true
            }
            Err(_) => false,
        }
    }
}

fn about(standing: &Standing) -> Claim {
    Claim { subject: Subject::Standing(standing.order), document: standing.digest() }
}

fn stated(body: Standing, endorsements: Vec<Endorsement<Master>>) -> Vec<u8> {
    encode(&Endorsed { body, endorsements })
}
