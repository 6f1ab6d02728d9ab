//! Closes an epoch's dividends: attribution stays here, the statement goes to the master (R161, R162, D7).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use symphony_protocol::artifact::{DividendRequest, SignedDividends};
use symphony_protocol::vault::authorize;
use symphony_protocol::vault::dividend::{self, Carried, Closing, Terms, Usage};
use symphony_protocol::vault::machine::Command;
use symphony_types::catalogue::Code;
use symphony_types::id::{AccountId, TaskId};
use symphony_types::key::{Endorsed, Master};
use symphony_types::subjects::SubjectIndex;

use crate::enterprise::Enterprise;
use crate::problem::Problem;
use crate::store::segment::remove_marks;
use crate::store::{self, View};

impl Enterprise {
    /// Builds and notes the dividend tree of an epoch; the same statement for the same question.
    ///
    /// **Errors**: not endorsed by the masters, for another Vault, or at odds with an earlier epoch.
    pub async fn close_dividends(
        &self,
        request: Endorsed<DividendRequest, Master>,
    ) -> Result<SignedDividends, Problem> {
        authorize::endorsed(&request, &self.governance.registry.masters)?;
        authorize::addressed(&request.body.vault, &self.vault)?;
        let _one_at_a_time = self.computing.lock().await;
        let (body, digest) = (request.body.clone(), request.body.question());
        if let Some(closed) = self.state().epochs.get(&body.epoch) {
            if closed.request != digest {
                return Err(Code::IdempotencyConflict.into());
            }
            return Ok(self.keys.signing.sign(closed.statement.clone()));
        }
        let closing = self.closing(&body).await?;
        let mut counted: Vec<TaskId> = body.shares.iter().map(|(task, _)| *task).collect();
        let abandoned = self.abandoned(&counted).await?;
        counted.extend(abandoned.iter().map(|(task, _)| *task));
        let statement = closing.statement.clone();
        let sealed = store::seal_closing(&self.keys, body.epoch, &closing);
        let sealed = sealed.map_err(|error| Problem::fault("dividends cannot be sealed", error))?;
        let command = Command::CloseEpoch {
            request: digest,
            carried_in: body.carried_in,
            statement: statement.clone(),
        };
        let hook = move |transaction: &redb::WriteTransaction| {
            for (task, usage) in &abandoned {
                store::put_usage(transaction, task, usage)?;
            }
            remove_marks(transaction, &counted)?;
            store::put_closing(transaction, body.epoch, &sealed)
        };
        self.journal.order_with(command, hook).await?;
        self.tending.ask();
        Ok(self.keys.signing.sign(statement))
    }

    async fn closing(&self, request: &DividendRequest) -> Result<Closing, Problem> {
        let (state, view) = (self.state(), self.store.read()?);
        let carried = match state.epochs.last_key_value() {
            None => Carried::default(),
            Some((epoch, _)) => {
                view.closing(&self.keys, *epoch)?.map(|last| last.carried).unwrap_or_default()
            }
        };
        let mut usage = BTreeMap::new();
        for (task, _) in &request.shares {
            match view.usage(task)? {
                Some(mut used) => {
                    self.used_of_segments(task, &mut used).await?;
                    usage.insert(*task, used);
                }
                None => tracing::warn!(task = %task, "a share is for a task without a transcript here"),
            }
        }
        let mut wallets = BTreeMap::new();
        let used = usage.values().flat_map(|used| used.records.iter().map(|(subject, _)| *subject));
        for subject in used.chain(carried.people.iter().map(|(subject, _)| *subject)) {
            if let Entry::Vacant(vacant) = wallets.entry(subject) {
                vacant.insert(self.wallet(&view, subject)?);
            }
        }
        let policy = state.charter.policy(state.charter.calendar.version_in(request.epoch))?;
        let terms = Terms { payees_min: policy.dividend_payees_min, unstaked: policy.unstaked };
        let wallet = |subject: SubjectIndex| wallets.get(&subject).copied().flatten();
        Ok(dividend::close(request, terms, &carried, &usage, wallet)?)
    }

    /// Tasks besides these that will hardly be paid any more, because they were to be computed long ago and several epochs were
    /// closed without them, with all that they used: should one be paid after all, it needs no segment for that.
    async fn abandoned(&self, counted: &[TaskId]) -> Result<Vec<(TaskId, Usage)>, Problem> {
        let (view, now, closed) = (self.store.read()?, self.now(), self.state().epochs.len() as u64);
        let mut abandoned = Vec::new();
        for (task, mark) in view.marks()? {
            let late = now > mark.until && closed >= mark.closed.saturating_add(EPOCHS_KEPT);
            if !late || counted.contains(&task) {
                continue;
            }
            let mut usage = view.usage(&task)?.unwrap_or_default();
            self.used_of_segments(&task, &mut usage).await?;
            abandoned.push((task, usage));
        }
        Ok(abandoned)
    }

    fn wallet(&self, view: &View, subject: SubjectIndex) -> Result<Option<AccountId>, Problem> {
        // The wallet of who is erased went with its profile; what was for it returns to the pool. That of who moved away is kept.
        if self.state().subjects.erased().contains(subject) {
            return view.moved_wallet(&self.keys, subject);
        }
        Ok(view.profile(self.keys.data_key(subject), subject)?.wallet)
    }
}

/// Epochs that are closed without a task before what it read is released.
const EPOCHS_KEPT: u64 = 2;
