//! `symphony watch`: follow one task, or look at every result before it is final and dispute what does not hold.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;
use symphony_sdk::verify::governance_digest;
use symphony_sdk::watching::{Notes, Observation, Opinion, Passed, WatchError, Watcher};
use symphony_types::id::TaskId;
use symphony_types::time::OrderedMillis;
use tokio::time::sleep;

use super::args::Watch;
use super::run::{REFUSED, Session, UNVERIFIED};
use super::show::{self, Progress};

/// Between two passes; windows are minutes and more.
const PAUSE: Duration = Duration::from_secs(5);
/// The longest time that may be asked for: a hundred years.
const SECONDS_MAX: u64 = 100 * 365 * 86_400;

impl Session {
    /// Ends with 3 when a result was found that does not hold, else with 1 when one could not be looked at.
    pub(super) async fn watch(&self, watch: Watch) -> Result<ExitCode> {
        if let Some(task) = watch.task {
            let mut progress = Progress::new();
            let task = self.profile.client()?.watch(TaskId(task), |task| progress.show(task)).await?;
            show::print(self.json, &task, show::task);
            return Ok(ExitCode::SUCCESS);
        }
        let client = self.profile.client()?;
        let trusted = governance_digest(&self.profile.trusted()?);
        let challenger = watch.challenge.then(|| self.profile.submitter()).transpose()?;
        let notes = watch.cursor.as_deref().map(Notes::open).transpose()?.unwrap_or_default();
        let since = OrderedMillis(watch.since);
        let until =
            watch.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds.min(SECONDS_MAX)));
        let mut watcher = Watcher::new(&client, trusted, since, challenger.as_ref(), notes).ending(until);
        let mut found = false;
        loop {
            let passed = watcher.pass(|seen| {
                found |= matches!(seen.opinion, Opinion::Wrong | Opinion::Doubtful);
                self.observed(seen);
            });
            let passed = passed.await;
            let missed = passed.as_ref().map_or(true, |passed| passed.missed > 0);
            match passed {
                Ok(passed) if watch.once => self.passed(&passed),
                Ok(_) => {}
                Err(error) if watch.once || error.lasting() => return Err(error.into()),
                Err(error) => self.unreached(&error),
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if watch.once || left.is_some_and(|left| left.is_zero()) {
                return Ok(match (found, missed) {
                    (true, _) => ExitCode::from(UNVERIFIED),
                    (false, true) => ExitCode::from(REFUSED),
                    (false, false) => ExitCode::SUCCESS,
                });
            }
            sleep(left.map_or(PAUSE, |left| left.min(PAUSE))).await;
        }
    }

    fn observed(&self, seen: &Observation) {
        show::print(self.json, seen, |seen| {
            let word = match seen.opinion {
                Opinion::Holds => "holds so far",
                Opinion::Wrong => "WRONG",
                Opinion::Doubtful => "DOUBTFUL",
                Opinion::Missed => "not looked at",
            };
            let challenge =
                seen.challenge.as_ref().map_or_else(String::new, |what| format!("; challenge {what}"));
            format!("{} {word} {}{challenge}", seen.task, seen.grounds).trim_end().to_owned()
        });
    }

    fn passed(&self, passed: &Passed) {
        show::print(self.json, passed, |passed| {
            let Passed { open, looked, found, missed, filed } = passed;
            format!(
                "{open} not final, {looked} checked now, {found} do not hold, {missed} not looked at, {filed} disputed"
            )
        });
    }

    fn unreached(&self, error: &WatchError) {
        let error = error.to_string();
        show::print(self.json, &json!({ "trying_again": error }), |_| format!("trying again: {error}"));
    }
}
