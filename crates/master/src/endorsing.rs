//! Collecting the endorsements of a majority of the masters for documents of this one (R195). One question to each other
//! master for all documents of an effect; alone, a master asks nobody.

use std::future::Future;

use futures::stream::{FuturesUnordered, StreamExt as _};
use symphony_types::key::{Document, Endorsed, Endorsement, Master, PublicKey, Signature};
use symphony_wire::documents::encode;
use symphony_wire::status::problem_of;
use symphony_wire::v1::EndorseRequest;

use crate::claim::{Claim, Subject};
use crate::effects::Fault;
use crate::node::Node;
use crate::peers::MASTER_TIMEOUT;

/// Documents of one kind with the endorsements of a majority. **Errors**: [`Fault::Again`] when too few masters say the
/// same; after a moment they may.
pub async fn endorsed<T: Document>(
    node: &Node,
    documents: Vec<(Subject, T)>,
) -> Result<Vec<Endorsed<T, Master>>, Fault> {
    let (subjects, bodies): (Vec<_>, Vec<_>) = documents.into_iter().unzip();
    let claims = subjects.into_iter().zip(&bodies);
    let claims = claims.map(|(subject, body)| Claim { subject, document: body.digest() }).collect();
    let endorsements = endorsements(node, claims).await?;
    let whole = bodies.into_iter().zip(endorsements);
    Ok(whole.map(|(body, endorsements)| Endorsed { body, endorsements }).collect())
}

/// Endorsements of a majority for each claim, this master's own first. **Errors**: as [`endorsed`].
pub async fn endorsements(node: &Node, claims: Vec<Claim>) -> Result<Vec<Vec<Endorsement<Master>>>, Fault> {
    let state = node.state();
    let registry = &state.governance.registry;
    let own = claims.iter().map(|claim| vec![node.endorse(&claim.document)]).collect();
    let encoded: Vec<Vec<u8>> = claims.iter().map(encode).collect();
    let others = node.peers.masters().filter_map(|name| Some((name, *registry.masters.get(name)?)));
    let asked = others.map(|(name, key)| {
        let claims = encoded.clone();
        async move {
            let answer = ask(node, name, claims).await;
            if let Err(detail) = &answer {
                tracing::debug!(master = %name, detail, "a master does not endorse");
            }
            (key, answer)
        }
    });
    gather(&claims, own, registry.master_quorum(), asked).await.map_err(Fault::Again)
}

async fn ask(
    node: &Node,
    master: &symphony_types::id::NodeId,
    claims: Vec<Vec<u8>>,
) -> Result<Vec<Signature>, String> {
    let mut client = node.peers.master(master).ok_or("no address")?;
    let mut request = tonic::Request::new(EndorseRequest { claims });
    request.set_timeout(MASTER_TIMEOUT);
    let answer = client.endorse(request).await.map_err(|status| {
        let (code, detail) = problem_of(&status);
        format!("{code}: {detail}")
    })?;
    let signature = |bytes: Vec<u8>| Some(Signature(bytes.try_into().ok()?));
    let signatures = answer.into_inner().signatures.into_iter().map(signature).collect::<Option<Vec<_>>>();
    signatures.ok_or_else(|| "a signature has 64 bytes".to_owned())
}

/// Asks until as many masters as the quorum stand behind all claims. An answer counts whole or not at all, and only by
/// signatures of that master's own key; nobody waits for the others then. **Errors**: how many it were.
pub(crate) async fn gather<F>(
    claims: &[Claim],
    mut endorsements: Vec<Vec<Endorsement<Master>>>,
    quorum: usize,
    asked: impl Iterator<Item = F>,
) -> Result<Vec<Vec<Endorsement<Master>>>, String>
where
    F: Future<Output = (PublicKey<Master>, Result<Vec<Signature>, String>)>,
{
    let mut behind = 1;
    if behind >= quorum {
        return Ok(endorsements);
    }
    let mut answers: FuturesUnordered<F> = asked.collect();
    let mut refusals = Vec::new();
    while let Some((key, answer)) = answers.next().await {
        let signatures = match answer {
            Ok(signatures) => signatures,
            Err(detail) => {
                refusals.push(detail);
                continue;
            }
        };
        let holds = signatures.len() == claims.len()
            && claims.iter().zip(&signatures).all(|(claim, one)| key.verifies(&claim.document, one));
        if !holds {
            refusals.push("a signature does not hold".to_owned());
            continue;
        }
        for (all, signature) in endorsements.iter_mut().zip(signatures) {
            all.push(Endorsement { key, signature });
        }
        behind += 1;
        if behind >= quorum {
            return Ok(endorsements);
        }
    }
    Err(format!("{behind} of the {quorum} masters that must endorse do: {}", refusals.join("; ")))
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use symphony_types::digest::Digest;
    use symphony_types::id::{EpochId, TaskId};
    use symphony_types::key::PrivateKey;

    use super::*;

    fn key(name: u8) -> PrivateKey<Master> {
        PrivateKey::from_seed(&[name; 32])
    }

    fn claims() -> Vec<Claim> {
        let claim = |subject, byte| Claim { subject, document: Digest([byte; 32]) };
        vec![claim(Subject::Payout(EpochId(1)), 1), claim(Subject::Envelope(TaskId(Digest::ZERO)), 2)]
    }

    type Answer = (PublicKey<Master>, Result<Vec<Signature>, String>);

    fn signs(name: u8, digests: &[u8]) -> Answer {
        let signed = digests.iter().map(|byte| key(name).endorse(&Digest([*byte; 32])).signature);
        (key(name).public(), Ok(signed.collect()))
    }

    fn silent(name: u8) -> Answer {
        (key(name).public(), Err("silence".to_owned()))
    }

    fn gathered(quorum: usize, answers: Vec<Answer>) -> Result<Vec<Vec<Endorsement<Master>>>, String> {
        let own = claims().iter().map(|claim| vec![key(1).endorse(&claim.document)]).collect();
        let asked = answers.into_iter().map(ready);
        futures::executor::block_on(gather(&claims(), own, quorum, asked))
    }

    /// R195: two of three stand behind every document of the batch, whichever of the others it is.
    #[test]
    fn one_other_master_is_enough() {
        for answers in [
            vec![signs(2, &[1, 2]), silent(3)],
            vec![silent(2), signs(3, &[1, 2])],
            vec![signs(2, &[1, 2]), signs(3, &[1, 2])],
        ] {
            let all = gathered(2, answers).unwrap();
            assert_eq!(all.len(), 2);
            for (endorsements, claim) in all.iter().zip(claims()) {
                assert_eq!(endorsements.len(), 2);
                assert!(endorsements.iter().all(|one| one.key.verifies(&claim.document, &one.signature)));
            }
        }
    }

    /// R196: with both others down nothing is endorsed.
    #[test]
    fn without_the_others_nothing_is_endorsed() {
        assert!(gathered(2, vec![silent(2), silent(3)]).is_err());
        assert!(gathered(2, vec![]).is_err());
    }

    /// R195: a master that signs less, something else or under another name does not count.
    #[test]
    fn a_lying_master_does_not_count() {
        let borrowed = (key(2).public(), signs(3, &[1, 2]).1);
        for lie in [signs(2, &[1]), signs(2, &[2, 1]), signs(2, &[1, 2, 3]), signs(2, &[]), borrowed] {
            assert!(gathered(2, vec![lie.clone(), silent(3)]).is_err());
            assert!(gathered(2, vec![lie, signs(3, &[1, 2])]).is_ok());
        }
    }

    /// R195: a cluster of one asks nobody.
    #[test]
    fn one_master_alone_asks_nobody() {
        let own = vec![vec![key(1).endorse(&Digest([1; 32]))]];
        let never = std::iter::from_fn(|| -> Option<std::future::Pending<Answer>> { panic!("asked") });
        let alone = futures::executor::block_on(gather(&claims()[..1], own.clone(), 1, never)).unwrap();
        assert_eq!(alone, own);
    }
}
