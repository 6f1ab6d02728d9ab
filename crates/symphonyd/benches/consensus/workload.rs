//! The command that clients want ordered: a submission whose lock is too small for what it asks.
//!
//! It is what a client of a master really sends, it passes every check of admission up to the price, and it is
//! recorded with its refund, so that the state grows by it and nothing outside is owed. A submission that is admitted
//! leases work to Vaults that this cluster does not have, and only 10,000 of those may be open. The lock carries the word
//! of a majority of the masters, which clients here give in their names; every master checks it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use symphony_protocol::artifact::selection::Selection;
use symphony_protocol::artifact::{Argument, AudienceQuery, LockFact, Operand, TaskRequest, Work};
use symphony_protocol::governance::Governance;
use symphony_protocol::machine::{Command, Order};
use symphony_types::amount::Sym;
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, AttributeName, LockRef, NodeId, RequestId, RuleName, UsageScope, VaultId};
use symphony_types::key::{Document as _, Endorsed, Master, PrivateKey};
use symphony_types::time::OrderedMillis;

use crate::keys;

/// Makes commands that all differ.
#[derive(Clone)]
pub(crate) struct Workload {
    request: TaskRequest,
    fact: LockFact,
    by: NodeId,
    run: String,
    /// A majority of the masters' keys.
    endorsing: Arc<[PrivateKey<Master>]>,
}

impl Workload {
    /// Submissions through one master; `run` tells them from those of every other workload.
    /// **Errors**: the network in that folder is no development network, whose submitter and keys are known.
    pub(crate) fn new(dir: &Path, governance: &Governance, by: &NodeId, run: &str) -> Result<Self> {
        let submitter = ActorId::new("luckin")?;
        let actor = governance.registry.actors.get(&submitter).context("the network has no submitter")?;
        let city = Operand {
            rule: RuleName::new("geography.city_eligibility")?,
            argument: Argument::Text("Singapore".to_owned()),
        };
        let request = TaskRequest {
            request: RequestId::new(run)?,
            submitter,
            scope: UsageScope::new("marketing")?,
            vaults: vec![VaultId::new("vault-a")?],
            quorum: 1,
            work: Work::Audience(AudienceQuery {
                who: Selection::Record(vec![city]),
                output: AttributeName::new("identity.contact_handle")?,
                cap: 100,
                rank_by: None,
                evaluate_at: None,
            }),
            recipient: vec![7; 32],
        };
        let fact = LockFact {
            lock: LockRef(Digest([0; 32])),
            owner: actor.account,
            purpose: Digest([0; 32]),
            amount: Sym(1),
            expires: OrderedMillis(u64::MAX),
        };
        let majority = governance.registry.masters.keys().take(governance.registry.master_quorum());
        let key = |node: &NodeId| {
            let seed = keys::seed(&dir.join(node.as_str()).join("keys/master.seed"))?;
            Ok(PrivateKey::from_seed(&seed))
        };
        let endorsing = majority.map(key).collect::<Result<_>>()?;
        Ok(Self { request, fact, by: by.clone(), run: run.to_owned(), endorsing })
    }

    /// The command that a client asks for as its `count`th.
    pub(crate) fn order(&self, client: usize, count: u64) -> Result<Order> {
        let mut request = self.request.clone();
        request.request = RequestId::new(&format!("{}-{client}-{count}", self.run))?;
        let purpose = request.lock_purpose();
        // Locks are told apart by their reference; the purpose is as good as any.
        let lock = LockRef(purpose);
        let body = LockFact { lock, purpose, ..self.fact };
        let digest = body.digest();
        let endorsements = self.endorsing.iter().map(|key| key.endorse(&digest)).collect();
        let fact = Some(Endorsed { body, endorsements });
        Ok(Order { by: self.by.clone(), command: Command::SubmitTask { request, lock, fact } })
    }

    /// Canonical bytes of one command.
    pub(crate) fn bytes(&self) -> Result<usize> {
        Ok(canonical::to_bytes(&self.order(0, 0)?).len())
    }
}
