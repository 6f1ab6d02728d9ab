//! Bulk that survives the loss of a master (R196, R211): before a command that names blobs is ordered, a majority of the
//! masters has them; a master that lacks one gets it from the others.

use futures::stream::{FuturesUnordered, StreamExt as _};
use symphony_protocol::governance::registry::majority;
use symphony_tee::governed;
use symphony_types::digest::Digest;
use symphony_types::id::NodeId;
use symphony_wire::status::problem_of;
use symphony_wire::v1;

use crate::blobs::{Kind, Place};
use crate::node::Node;
use crate::peers::BULK_TIMEOUT;

/// A blob with its place.
pub type Blob = (Place, Vec<u8>);

/// Keeps blobs here and at so many others that a majority has them. A boot report comes after the report that names it.
/// **Errors**: the disk, or too few masters took them.
pub async fn secure(node: &Node, blobs: &[Blob]) -> Result<(), String> {
    for (place, bytes) in blobs {
        node.blobs.put(place, bytes).map_err(|error| error.to_string())?;
    }
    let needed = majority(node.state().governance.registry.masters.len()) - 1;
    let mut taking: FuturesUnordered<_> = match needed {
        0 => return Ok(()),
        _ => node.peers.masters().map(|master| hand(node, master, blobs)).collect(),
    };
    let (mut taken, mut refusals) = (0, Vec::new());
    while let Some(outcome) = taking.next().await {
        match outcome {
            Ok(()) => taken += 1,
            Err(detail) => refusals.push(detail),
        }
        if taken == needed {
            return Ok(());
        }
    }
    Err(format!("{taken} of {needed} other masters keep the bulk: {}", refusals.join("; ")))
}

async fn hand(node: &Node, master: &NodeId, blobs: &[Blob]) -> Result<(), String> {
    let mut client = node.peers.master(master).ok_or("no address")?;
    for (place, bytes) in blobs {
        let blob = v1::Blob { address: Some(address(place)), content: bytes.clone() };
        let mut request = tonic::Request::new(blob);
        request.set_timeout(BULK_TIMEOUT);
        client.put_blob(request).await.map_err(|status| {
            let (code, detail) = problem_of(&status);
            format!("{master}: {code}: {detail}")
        })?;
    }
    Ok(())
}

/// A blob, from here or from another master; `None` when nobody has it. What comes from elsewhere is kept.
pub async fn get(node: &Node, place: &Place) -> Option<Vec<u8>> {
    if let Some(bytes) = node.blobs.get(place).filter(|bytes| belongs(node, place, bytes)) {
        return Some(bytes);
    }
    // All are asked at once: one that is silent must not hold up what another has.
    let mut fetching: FuturesUnordered<_> =
        node.peers.masters().map(async |master| (master, fetch(node, master, place).await)).collect();
    while let Some((master, bytes)) = fetching.next().await {
        let Some(bytes) = bytes else { continue };
        if belongs(node, place, &bytes) {
            if let Err(error) = node.blobs.put(place, &bytes) {
                tracing::warn!(%error, "a blob of another master could not be kept");
            }
            return Some(bytes);
        }
        tracing::warn!(%master, ?place, "a master gave another blob than the one that was asked for");
    }
    None
}

async fn fetch(node: &Node, master: &NodeId, place: &Place) -> Option<Vec<u8>> {
    let mut client = node.peers.master(master)?;
    let mut request = tonic::Request::new(address(place));
    request.set_timeout(BULK_TIMEOUT);
    match client.get_blob(request).await {
        Ok(blob) => Some(blob.into_inner().content),
        Err(status) => {
            tracing::debug!(%master, detail = status.message(), "a master does not give a blob");
            None
        }
    }
}

/// Whether bytes are the blob of a place. Most are known by their digest; a boot report by the attestation report that
/// names it, which must be here first, and by its platform's signature.
pub fn belongs(node: &Node, place: &Place, bytes: &[u8]) -> bool {
    let Some(named_by) = place.kind.named_by() else { return Digest::of_bytes(bytes) == place.digest };
    let report = Place { kind: named_by, ..place.clone() };
    let report = node.blobs.get(&report).filter(|report| Digest::of_bytes(report) == place.digest);
    report.is_some_and(|report| governed::names(&node.state().governance, &report, bytes))
}

fn address(place: &Place) -> v1::BlobRef {
    v1::BlobRef {
        task_id: place.task.0.0.to_vec(),
        kind: place.kind.word().to_owned(),
        vault_id: place.kind.vault().map(ToString::to_string).unwrap_or_default(),
        round: place.kind.round(),
        digest: place.digest.0.to_vec(),
    }
}

/// The place that an address means; `None` when it is none.
pub fn place(address: &v1::BlobRef) -> Option<Place> {
    Some(Place {
        task: symphony_types::id::TaskId(digest(&address.task_id)?),
        kind: Kind::parse(&address.kind, &address.vault_id, address.round)?,
        digest: digest(&address.digest)?,
    })
}

fn digest(bytes: &[u8]) -> Option<Digest> {
    bytes.try_into().ok().map(Digest)
}

#[cfg(test)]
mod tests {
    use symphony_types::id::{TaskId, VaultId};

    use super::*;

    /// R211: an address means the same place on every master, and bytes that mean none are refused.
    #[test]
    fn a_place_survives_its_address() {
        let place_of = |kind| Place { task: TaskId(Digest([1; 32])), kind, digest: Digest([2; 32]) };
        let there = place_of(Kind::SliceBoot(VaultId::new("a").unwrap()));
        assert_eq!(place(&address(&there)), Some(there));
        let good = address(&place_of(Kind::Result));
        let wrong = [
            v1::BlobRef { task_id: vec![1; 31], ..good.clone() },
            v1::BlobRef { digest: vec![], ..good.clone() },
            v1::BlobRef { kind: "task-keys".to_owned(), ..good.clone() },
            v1::BlobRef { vault_id: "a".to_owned(), ..good },
        ];
        assert!(wrong.iter().all(|address| place(address).is_none()));
    }
}
