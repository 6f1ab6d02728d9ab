//! The steps of a task as they are confirmed (R195, R207): all masters are followed, and a step is shown once a majority
//! has shown it. A broken stream is opened again; the watcher is told when too few masters can be followed.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{SelectAll, unfold};
use futures::{Stream, StreamExt};
use symphony_types::catalogue::Code;
use symphony_wire::caller::Caller;
use symphony_wire::v1::{Task, TaskRef};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::Streaming;

use crate::confirm::majority;
use crate::gateway::Gateway;
use crate::masters::{Client, heard};
use crate::problem::Problem;

/// Pause before a stream that broke is opened again; after failures it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(100);
/// The longest of these pauses.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long a majority may fail to show the same before the watcher is told.
const PATIENCE: Duration = Duration::from_secs(15);
/// Unconfirmed steps of one master that are kept; a task has fewer.
const STEPS_MAX: usize = 64;

/// Steps of a task for its watcher.
pub(crate) type Steps = Pin<Box<dyn Stream<Item = Result<Task, Problem>> + Send>>;

/// Follows one of the caller's tasks until it is terminal; holds the `place` as long. **Errors**: the confirmed
/// refusal to show the task at all.
pub(crate) async fn watch(
    gateway: Arc<Gateway>,
    caller: Caller,
    task: TaskRef,
    place: OwnedSemaphorePermit,
) -> Result<Steps, Problem> {
    gateway.get_task(&caller, task.clone()).await?;
    let mut lines = Lines::new();
    let mut masters = 0;
    for (number, (_, client)) in gateway.masters.all().enumerate() {
        let line = Line { gateway: Arc::clone(&gateway), caller: caller.clone(), task: task.clone(), client };
        lines.push(Box::pin(line.follow().map(move |news| (number, news))));
        masters += 1;
    }
    let started =
        Watched { lines, shown: Shown::new(masters), unsettled: Some(Instant::now()), ended: false };
    Ok(Box::pin(unfold((started, place), |(mut watched, place)| async move {
        watched.next().await.map(|step| (step, (watched, place)))
    })))
}

/// What one master's stream brings.
enum News {
    Step(Box<Task>),
    Lost,
}

/// The stream of one master, opened again whenever it ends.
struct Line {
    gateway: Arc<Gateway>,
    caller: Caller,
    task: TaskRef,
    client: Client,
}

impl Line {
    fn follow(self) -> impl Stream<Item = News> + Send {
        unfold((self, None, Duration::ZERO), |(mut line, open, pause)| async move {
            let mut steps: Streaming<Task> = match open {
                Some(steps) => steps,
                None => {
                    sleep(pause).await;
                    match line.open().await {
                        Ok(steps) => steps,
                        Err(_) => return Some((News::Lost, (line, None, longer(pause)))),
                    }
                }
            };
            match steps.message().await {
                Ok(Some(task)) => Some((News::Step(Box::new(task)), (line, Some(steps), Duration::ZERO))),
                Ok(None) | Err(_) => Some((News::Lost, (line, None, longer(pause)))),
            }
        })
    }

    async fn open(&mut self) -> Result<Streaming<Task>, Problem> {
        let request = self.gateway.name(&self.caller, "WatchTask", self.task.clone());
        heard(self.client.watch_task(request).await)
    }
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).clamp(PAUSE, PAUSE_MAX)
}

type Lines = SelectAll<Pin<Box<dyn Stream<Item = (usize, News)> + Send>>>;

/// All streams of one task and what came of them.
struct Watched {
    lines: Lines,
    shown: Shown,
    /// Since when no majority shows the last confirmed step.
    unsettled: Option<Instant>,
    ended: bool,
}

impl Watched {
    async fn next(&mut self) -> Option<Result<Task, Problem>> {
        if self.ended {
            return None;
        }
        loop {
            let give_up = self.unsettled.map(|since| since + PATIENCE);
            let news = tokio::select! {
                news = self.lines.next() => news,
                () = sleep_until(give_up.unwrap_or_else(Instant::now)), if give_up.is_some() => None,
            };
            let Some((master, news)) = news else {
                self.ended = true;
                return Some(Err(self.shown.missing()));
            };
            let confirmed = match news {
                News::Step(task) => self.shown.step(master, *task),
                News::Lost => {
                    self.shown.lost(master);
                    None
                }
            };
            self.unsettled = match (self.shown.settled(), self.unsettled) {
                (true, _) => None,
                (false, since) => Some(since.unwrap_or_else(Instant::now)),
            };
            if let Some(task) = confirmed {
                self.ended = terminal(&task.state);
                return Some(Ok(task));
            }
        }
    }
}

/// Whether nothing follows on a state.
fn terminal(state: &str) -> bool {
    matches!(state, "completed" | "rejected" | "timed_out" | "admission_refused")
}

/// What every master has shown, and what of it a majority has.
struct Shown {
    /// Steps that are not confirmed yet, by master, oldest first.
    waiting: Vec<VecDeque<Task>>,
    /// The last step of each master that can be followed.
    last: Vec<Option<Task>>,
    confirmed: VecDeque<Task>,
}

impl Shown {
    fn new(masters: usize) -> Self {
        Self {
            waiting: vec![VecDeque::new(); masters],
            last: vec![None; masters],
            confirmed: VecDeque::new(),
        }
    }

    /// Takes a step of one master; gives it back when it is the one that makes the majority. Steps come in the order
    /// of the honest masters, each once: what they showed before a confirmed step is passed over.
    fn step(&mut self, master: usize, task: Task) -> Option<Task> {
        self.last[master] = Some(task.clone());
        if self.confirmed.contains(&task) {
            return None;
        }
        push(&mut self.waiting[master], task.clone());
        let showing = self.waiting.iter().filter(|waiting| waiting.contains(&task)).count();
        if showing < majority(self.waiting.len()) {
            return None;
        }
        for waiting in &mut self.waiting {
            if let Some(at) = waiting.iter().position(|step| *step == task) {
                waiting.drain(..=at);
            }
        }
        push(&mut self.confirmed, task.clone());
        Some(task)
    }

    fn lost(&mut self, master: usize) {
        self.last[master] = None;
    }

    /// Whether a majority shows the last confirmed step now.
    fn settled(&self) -> bool {
        let Some(confirmed) = self.confirmed.back() else { return false };
        let showing = self.last.iter().flatten().filter(|last| *last == confirmed).count();
        showing >= majority(self.last.len())
    }

    fn missing(&self) -> Problem {
        if self.last.iter().flatten().count() >= majority(self.last.len()) {
            Problem::new(Code::Undecided, "the masters do not agree about the task yet")
        } else {
            Problem::new(Code::Unavailable, "too few masters can be followed")
        }
    }
}

fn push(steps: &mut VecDeque<Task>, task: Task) {
    if steps.len() >= STEPS_MAX {
        steps.pop_front();
    }
    steps.push_back(task);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(state: &str) -> Task {
        Task { state: state.to_owned(), ..Task::default() }
    }

    fn play(masters: usize, steps: &[(usize, &str)]) -> Vec<String> {
        let mut shown = Shown::new(masters);
        let confirmed = steps.iter().filter_map(|(master, state)| shown.step(*master, task(state)));
        confirmed.map(|task| task.state).collect()
    }

    /// R195: a step is shown when a second master shows it, once, in the masters' order.
    #[test]
    fn steps_are_shown_when_a_majority_has_shown_them() {
        let steps =
            [(0, "a"), (0, "b"), (1, "a"), (2, "a"), (1, "b"), (0, "c"), (2, "b"), (2, "c"), (1, "c")];
        assert_eq!(play(3, &steps), ["a", "b", "c"]);
        assert_eq!(play(1, &[(0, "a"), (0, "b"), (0, "b")]), ["a", "b"]);
    }

    /// R195: steps that one master left out are passed over; it never goes back.
    #[test]
    fn a_step_that_was_passed_over_is_not_shown_later() {
        let steps = [(0, "a"), (0, "b"), (1, "b"), (2, "a"), (2, "b")];
        assert_eq!(play(3, &steps), ["b"]);
    }

    /// R195: what one master shows alone is not shown, nor can it bring an old step back.
    #[test]
    fn a_lying_master_shows_nothing() {
        let steps =
            [(0, "lie"), (1, "a"), (0, "a"), (2, "b"), (0, "completed"), (1, "b"), (0, "a"), (2, "a")];
        assert_eq!(play(3, &steps), ["a", "b"]);
    }

    /// R196: with one master lost the others suffice; with two the watcher is told.
    #[test]
    fn a_watch_is_settled_while_a_majority_shows_the_same() {
        let mut shown = Shown::new(3);
        assert!(!shown.settled());
        assert_eq!(shown.missing().code, Code::Unavailable);
        shown.step(0, task("a"));
        shown.step(1, task("a"));
        assert!(shown.settled());
        shown.step(1, task("b"));
        assert!(!shown.settled());
        assert_eq!(shown.missing().code, Code::Undecided);
        shown.step(2, task("b"));
        assert!(shown.settled());
        shown.lost(0);
        assert!(shown.settled());
        shown.lost(1);
        assert!(!shown.settled());
        assert_eq!(shown.missing().code, Code::Unavailable);
    }

    /// R204: a master that never stops talking fills no memory.
    #[test]
    fn what_is_kept_of_a_talkative_master_is_bounded() {
        let mut shown = Shown::new(3);
        for number in 0..1_000 {
            shown.step(0, task(&number.to_string()));
        }
        assert_eq!(shown.waiting[0].len(), STEPS_MAX);
    }
}
