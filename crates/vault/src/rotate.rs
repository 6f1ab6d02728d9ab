//! Rotation of the Vault's key while the Vault serves (R076): a new key, every slot wrapped anew under it in place, and the end of the
//! old one.
//!
//! People's slots are replaced some thousand at a time, so that reading and enrolling go on between; documents are wrapped under their
//! person and stay as they are. Whatever is wrapped says under which key, so a crash leaves a mixture that opens, and the next start
//! goes on. The old key is destroyed when nothing is under it.

use symphony_types::canonical;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, RequestId};
use symphony_wire::v1::VaultAnswer;
use tokio::sync::Mutex;

use crate::enterprise::Enterprise;
use crate::ingest::Authority;
use crate::keys::KeyError;
use crate::problem::Problem;

impl Enterprise {
    /// Rotates the Vault's key; the answer has how many keys were wrapped anew. The same request again rotates nothing.
    ///
    /// **Errors**: `ADM-0003` but for the Vault's operator, or a key that does not open: then the old key stays.
    pub(crate) async fn rotate_key(
        &self,
        authority: &Authority,
        name: (&ActorId, &RequestId),
    ) -> Result<VaultAnswer, Problem> {
        let key = self.keys.keyed("symphony/rotation/v1", &canonical::to_bytes(&name));
        let work = async {
            {
                // Whoever wraps a key does so under these: afterwards everything new is under the new key.
                let _no_person = self.ingesting.lock().await;
                let _no_merge = self.analysis.merging.lock().await;
                let _no_segment = self.analysis.writing.lock().await;
                self.keys.ring.advance().map_err(failed)?;
            }
            Ok(VaultAnswer { accepted: self.rewrap().await?, ..VaultAnswer::default() })
        };
        self.once(authority, key, &self.upkeep, work).await
    }

    /// Does what the Vault's operator asks under a name, one at a time; the same again has the same answer and does nothing.
    ///
    /// **Errors**: `ADM-0003` for anybody else, or those of the work, which may be asked for again.
    pub(crate) async fn once(
        &self,
        authority: &Authority,
        name: Digest,
        turn: &Mutex<()>,
        work: impl Future<Output = Result<VaultAnswer, Problem>>,
    ) -> Result<VaultAnswer, Problem> {
        if *authority != Authority::Operator {
            return Err(Code::Forbidden.into());
        }
        self.answer_once((name, name), turn, work).await
    }

    /// Wraps what is not under the latest key, and destroys every other. **Errors**: a key does not open, or the file system.
    async fn rewrap(&self) -> Result<u64, Problem> {
        let people = self.keys.rewrap().map_err(failed)?;
        let segments = {
            let _no_merge = self.analysis.merging.lock().await;
            let _no_segment = self.analysis.writing.lock().await;
            self.analysis.rewrap()?
        };
        self.keys.ring.settle().map_err(failed)?;
        Ok(people + segments)
    }

    /// Goes on with what a crash interrupted. Blocks. **Errors**: storage, or a key that does not open.
    pub(crate) fn resume(&self) -> Result<(), Problem> {
        let rotating = self.keys.ring.rotating();
        let rewriting = !self.analysis.segmented().catalogue.to_rewrite().is_empty();
        if !rotating && !rewriting {
            return Ok(());
        }
        let work = async {
            if rotating {
                self.rewrap().await?;
            }
            match self.rewrite().await {
                // Nobody reads what is left, and the next erasure or start goes on.
                Err(problem) if problem.code() == Code::SegmentsUnavailable => Ok(()),
                rewritten => rewritten,
            }
        };
        now("going on with what a crash interrupted", work)
    }
}

/// Does something to its end, `doing` which nothing else happens. Whoever opens a Vault may stand in a runtime already, in which no other
/// can be entered. **Errors**: those of the work, or it panicked.
pub(crate) fn now<T: Send>(
    doing: &'static str,
    work: impl Future<Output = Result<T, Problem>> + Send,
) -> Result<T, Problem> {
    let run = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map(|runtime| runtime.block_on(work))
    };
    let done = std::thread::scope(|scope| scope.spawn(run).join());
    let done = done.map_err(|_| Problem::fault(doing, "it panicked"))?;
    done.map_err(|error| Problem::fault(doing, error))?
}

fn failed(error: KeyError) -> Problem {
    Problem::fault("the vault's key cannot be rotated", error)
}
