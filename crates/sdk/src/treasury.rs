//! The treasury's side (R178): what its signers approve, as files that travel between them, and the release that enough
//! approvals make. Signers' keys serve for nothing else.

use std::fs;
use std::io;
use std::path::Path;

use symphony_chain::ledger::query::{Answer, Funds, Minting, Query};
use symphony_chain::transaction::{Approval, Release};
use symphony_types::key::{PrivateKey, Treasury};
use symphony_wire::documents::{decode, encode};
use thiserror::Error;

use crate::client::{Client, ClientError};
use crate::secret::{self, SecretError};

/// Approvals cannot be made or read.
#[derive(Debug, Error)]
pub enum TreasuryError {
    /// The signer's key cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A file cannot be read or written.
    #[error("the approval in {0}")]
    File(String, #[source] io::Error),
    /// A file is no approval.
    #[error("{0} is no approval of a treasury's signer")]
    Malformed(String),
    /// Approvals are of different releases, or none or too many are there.
    #[error("the approvals are not of one release")]
    Different,
}

/// Signs a release and writes the approval down. **Errors**: [`TreasuryError`].
pub fn approve(key: &Path, release: Release, out: &Path) -> Result<Approval, TreasuryError> {
    let key = PrivateKey::<Treasury>::from_seed(&*secret::read(key)?);
    let approval = key.sign(release);
    fs::write(out, encode(&approval)).map_err(|error| TreasuryError::File(shown(out), error))?;
    Ok(approval)
}

/// Reads approvals, which are of one release. Whether they are of the treasury's signers is the chain's to say.
/// **Errors**: [`TreasuryError`].
pub fn approvals(files: &[impl AsRef<Path>]) -> Result<(Release, Vec<Approval>), TreasuryError> {
    if files.len() > SIGNERS_MAX {
        return Err(TreasuryError::Different);
    }
    let read = |file: &Path| {
        let bytes = fs::read(file).map_err(|error| TreasuryError::File(shown(file), error))?;
        let approval = decode::<Approval>(&bytes).ok().filter(|approval| approval.verify(&approval.key));
        approval.ok_or_else(|| TreasuryError::Malformed(shown(file)))
    };
    let approvals: Vec<Approval> = files.iter().map(|file| read(file.as_ref())).collect::<Result<_, _>>()?;
    let release = approvals.first().map(|approval| approval.body.clone());
    let release = release.filter(|release| approvals.iter().all(|approval| approval.body == *release));
    Ok((release.ok_or(TreasuryError::Different)?, approvals))
}

/// Where the protocol's own money is. **Errors**: [`ClientError`].
pub async fn funds(client: &Client) -> Result<Funds, ClientError> {
    match client.query(Query::Funds).await? {
        Answer::Funds(funds) => Ok(funds),
        other => Err(ClientError::Garbled(format!("{other:?} does not say where money is"))),
    }
}

/// How far the schedule of inflation is. **Errors**: [`ClientError`].
pub async fn minting(client: &Client) -> Result<Minting, ClientError> {
    match client.query(Query::Inflation).await? {
        Answer::Inflation(minting) => Ok(minting),
        other => Err(ClientError::Garbled(format!("{other:?} does not say what is minted"))),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Signers of a treasury.
const SIGNERS_MAX: usize = 16;
