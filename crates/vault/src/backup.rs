//! Backups of a Vault into its node's standby, while it serves (R062, R066, R078), and its folder out of one.
//!
//! What a backup has and how it is brought back is in `symphony_standby`; here is who may ask for one, what must not change
//! meanwhile, and who signs and checks it.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use symphony_consensus::orderer::{Clock, Orderer as _};
use symphony_depot::config::Settings;
use symphony_protocol::governance::Governance;
use symphony_protocol::vault::backup::SignedBackup;
use symphony_standby::restore::{Restored, restore};
use symphony_standby::standby::{DATABASE, StandbyError, Watch};
use symphony_types::canonical;
use symphony_types::catalogue::Code;
use symphony_types::id::{ActorId, RequestId, VaultId};
use symphony_wire::documents;
use symphony_wire::v1::VaultAnswer;

use crate::check::{self, Part, Report};
use crate::custody::Custody;
use crate::enterprise::{Enterprise, Keeping};
use crate::ingest::Authority;
use crate::problem::Problem;
use crate::rotate::now;

impl Enterprise {
    /// Takes a backup; the answer has its number and its manifest. The same request again takes none.
    ///
    /// **Errors**: `ADM-0003` but for the Vault's operator, `VLT-0016` without a standby, `VLT-0017` when it is full or gone.
    pub(crate) async fn take_backup(
        &self,
        authority: &Authority,
        name: (&ActorId, &RequestId),
    ) -> Result<VaultAnswer, Problem> {
        let key = self.keys.keyed("symphony/backup/v1", &canonical::to_bytes(&name));
        let work = async {
            let backup = self.copied().await?;
            let (accepted, proof) = (backup.body.number, documents::encode(&backup));
            Ok(VaultAnswer { accepted, proof, ..VaultAnswer::default() })
        };
        self.once(authority, key, &self.backing, work).await
    }

    /// Takes a backup, whole or not at all. **Errors**: there is no standby, or it has no room or fails.
    pub async fn back_up(&self) -> Result<SignedBackup, Problem> {
        let _one_at_a_time = self.backing.lock().await;
        self.copied().await
    }

    async fn copied(&self) -> Result<SignedBackup, Problem> {
        let standby = self.place.standby().ok_or(Code::StandbyMissing)?;
        let head = self.journal.head();
        let moment = (self.now(), head.height, head.hash);
        let (begun, folder) = (Arc::clone(standby), self.place.folder().to_owned());
        let mut draft = blocking(move || begun.begin_backup(&folder)).await?;
        {
            let _no_merge = self.analysis.merging.lock().await;
            let _no_segment = self.analysis.writing.lock().await;
            draft.link().map_err(unavailable)?;
        }
        let vault = self.vault.clone();
        let settled = blocking(move || draft.settle(&vault, moment).map(|backup| (draft, backup)));
        let (draft, backup) = settled.await?;
        let signed = self.keys.signing.sign(backup);
        let manifest = signed.clone();
        blocking(move || draft.name(&manifest)).await?;
        tracing::info!(number = signed.body.number, height = signed.body.height, "vault.back_up");
        Ok(signed)
    }

    /// Takes a backup when the standby's log has grown so long that one saves room. **Errors**: as [`Self::back_up`].
    pub async fn back_up_when_due(&self) -> Result<(), Problem> {
        let Some(standby) = self.place.standby() else { return Ok(()) };
        let database = self.place.folder().join(DATABASE);
        let len =
            database.metadata().map_err(|error| Problem::fault("the database cannot be seen", error))?.len();
        standby.tell_room(len).map_err(unavailable)?;
        if standby.backup_due(len) { self.back_up().await.map(drop) } else { Ok(()) }
    }

    /// Whether the standby, if there is one, takes what a request writes. **Errors**: `VLT-0017`.
    pub(crate) fn ready(&self) -> Result<(), Problem> {
        self.place.standby().map_or(Ok(()), |standby| standby.ready().map_err(unavailable))
    }

    /// Gives a standby that is used for the first time its first backup. Blocks. **Errors**: as [`Self::back_up`].
    pub(crate) fn adopt_standby(&self) -> Result<(), Problem> {
        let Some(standby) = self.place.standby().filter(|standby| standby.fresh()) else { return Ok(()) };
        now("taking the first backup", self.back_up())?;
        standby.adopt(self.place.folder()).map_err(unavailable)
    }
}

/// Whose folder is brought back.
pub struct Wanted<'a> {
    /// Where its standby is.
    pub standby: &'a Path,
    /// Where the folder was, and is to be.
    pub folder: &'a Path,
    /// The Vault, and its network.
    pub vault: (&'a VaultId, &'a str),
    /// What governs.
    pub governance: &'a Governance,
    /// The backup to begin with; the newest when absent.
    pub number: Option<u64>,
    /// The store of its segments; they are in the standby when absent.
    pub segments: Option<Settings>,
}

/// Brings the folder of a Vault back out of its standby and looks at all of it before it gets its name. Blocks.
///
/// **Errors**: what is not as it was written, by name; nothing has changed then.
pub fn bring_back(
    wanted: &Wanted<'_>,
    clock: Clock,
    custody: impl FnOnce(&Path) -> anyhow::Result<Arc<dyn Custody>>,
    watch: Arc<Watch>,
) -> anyhow::Result<(u64, u64, Report)> {
    let Wanted { standby, folder, vault: (vault, network), governance, number, segments } = wanted;
    let record = governance.registry.vaults.get(*vault);
    let key = &record.with_context(|| format!("governance does not know vault {vault}"))?.key;
    let restored: Restored = restore(standby, folder, (vault, key), *number, watch)?;
    let draft = restored.draft();
    let keeping = Keeping { custody: custody(draft)?, segments: segments.clone() };
    let report = check::folder(draft, vault, network, governance, clock, keeping)?;
    report.faults.iter().for_each(|fault| tracing::warn!(%fault, "restored"));
    // The disk may have gone in the middle of an erasure, with which a start goes on.
    let going_on = report.faults.iter().filter(|fault| fault.part == Part::Erasure).count() as u64;
    if report.faults_total > going_on {
        let first = report.faults.iter().find(|fault| fault.part != Part::Erasure);
        let first = first.map(ToString::to_string).unwrap_or_default();
        anyhow::bail!("{} faults in what was brought back: {first}", report.faults_total);
    }
    let (number, frames) = (restored.backup.number, restored.frames);
    restored.name()?;
    Ok((number, frames, report))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StandbyError> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Problem::fault("taking a backup", error))?.map_err(unavailable)
}

/// The log says which place and why; the caller learns that it is the standby.
fn unavailable(error: StandbyError) -> Problem {
    tracing::error!(
        error = &error as &dyn std::error::Error,
        "the standby does not take what is to be written"
    );
    Code::StandbyUnavailable.into()
}
