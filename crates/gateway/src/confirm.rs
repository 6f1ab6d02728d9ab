//! When an answer counts: a majority of the masters gave it (R195, R196, R221). No master's word is enough alone.
//!
//! As many masters are asked as must agree, more when one is silent or says something else, and all of them again
//! while one that is behind catches up. What cannot be confirmed in time is refused as `GOV-0005`, or as `GOV-0003`
//! where too few answer; both may be tried again. Questions must bear repetition.

use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use symphony_types::catalogue::Code;
use tokio::time::{Instant, sleep_until, timeout};

use crate::problem::Problem;

/// The first pause before all masters are asked again; doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(10);
/// The longest of these pauses.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// An answer that can be compared with another master's.
pub(crate) trait Agree: Clone + Send + Sync {
    /// Whether both say the same in all that must be equal.
    fn agrees(&self, other: &Self) -> bool;

    /// Adds what another master said beyond that.
    fn join(&mut self, _other: Self) {}

    /// Whether nothing is missing that only some masters hold.
    fn complete(&self) -> bool {
        true
    }

    /// Whether the answer proves itself, so that no second master is needed.
    fn stands_alone(&self) -> bool {
        false
    }
}

/// The masters, as seen by one question.
pub(crate) trait Port: Sync {
    /// What they answer.
    type Answer: Agree;

    /// The masters in the order in which to ask them.
    fn masters(&self) -> Vec<usize>;

    /// Asks one. **Errors**: its refusal; `GOV-0003` and `GOV-0004` count as no answer.
    fn ask(&self, master: usize) -> impl Future<Output = Result<Self::Answer, Problem>> + Send;

    /// Learns that a master did not answer in its time.
    fn silent(&self, master: usize);
}

/// How patient a question is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Ask one master first and the others to confirm it, instead of a majority at once.
    pub(crate) one_first: bool,
    /// A master that takes longer does not hold up the others.
    pub(crate) widen_after: Duration,
    /// How long masters that cannot be reached are tried again.
    pub(crate) patience: Duration,
    /// When the question ends without an answer.
    pub(crate) deadline: Duration,
}

/// More than half.
pub(crate) const fn majority(masters: usize) -> usize {
    masters / 2 + 1
}

/// Asks until a majority gives the equal answer, or the equal refusal. **Errors**: that refusal; `GOV-0005` when
/// they do not agree in time; `GOV-0003` when too few answer.
pub(crate) async fn confirmed<P: Port>(port: &P, pace: &Pace) -> Result<P::Answer, Problem> {
    let order = port.masters();
    let mut poll = Poll::new(order.len());
    // Past the deadline the poll says what is missing.
    let decided = timeout(pace.deadline, gather(port, pace, &order, &mut poll)).await.unwrap_or_default();
    for (place, master) in order.iter().enumerate() {
        if poll.was_silent(place, pace.widen_after) {
            port.silent(*master);
        }
    }
    decided.unwrap_or_else(|| Err(poll.undecided()))
}

async fn gather<P: Port>(
    port: &P,
    pace: &Pace,
    order: &[usize],
    poll: &mut Poll<P::Answer>,
) -> Option<Result<P::Answer, Problem>> {
    let call = |place: usize| {
        let master = order[place];
        async move { (place, port.ask(master).await) }
    };
    let mut calls = FuturesUnordered::new();
    let mut unasked: VecDeque<usize> = (0..order.len()).collect();
    let first = if pace.one_first { 1 } else { majority(order.len()) };
    for place in unasked.drain(..first.min(order.len())) {
        calls.push(call(poll.asks(place)));
    }
    let started = Instant::now();
    let mut widen_at = started + pace.widen_after;
    let mut pause = PAUSE;
    let mut again_at = None;
    loop {
        tokio::select! {
            Some((place, outcome)) = calls.next() => {
                poll.hear(place, outcome);
                if let Some(decided) = poll.decided() {
                    return Some(decided);
                }
                while poll.needs_more()
                    && let Some(place) = unasked.pop_front()
                {
                    calls.push(call(poll.asks(place)));
                }
                if poll.unreachable() && started.elapsed() >= pace.patience {
                    return None;
                }
                if unasked.is_empty() && again_at.is_none() {
                    again_at = Some(Instant::now() + pause);
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
            () = sleep_until(widen_at), if !unasked.is_empty() => {
                widen_at += pace.widen_after;
                if let Some(place) = unasked.pop_front() {
                    calls.push(call(poll.asks(place)));
                }
            }
            () = sleep_until(again_at.unwrap_or(started)), if again_at.is_some() => {
                again_at = None;
                for place in 0..order.len() {
                    if poll.waits(place) {
                        calls.push(call(poll.asks(place)));
                    }
                }
            }
            // No master is known.
            else => return None,
        }
    }
}

/// What a master said last.
enum Said<A> {
    Answer(A),
    Refusal(Problem),
    Nothing(Problem),
}

/// What all masters said so far, by their place in the order of asking.
struct Poll<A> {
    said: Vec<Option<Said<A>>>,
    asked: Vec<Option<Instant>>,
}

impl<A: Agree> Poll<A> {
    fn new(masters: usize) -> Self {
        Self { said: (0..masters).map(|_| None).collect(), asked: vec![None; masters] }
    }

    fn asks(&mut self, place: usize) -> usize {
        self.asked[place] = Some(Instant::now());
        place
    }

    fn hear(&mut self, place: usize, outcome: Result<A, Problem>) {
        self.asked[place] = None;
        self.said[place] = Some(match outcome {
            Ok(answer) => Said::Answer(answer),
            Err(problem) if matches!(problem.code, Code::Unavailable | Code::Internal) => {
                Said::Nothing(problem)
            }
            Err(problem) => Said::Refusal(problem),
        });
    }

    /// Whether a master is not being asked at the moment.
    fn waits(&self, place: usize) -> bool {
        self.asked[place].is_none()
    }

    fn was_silent(&self, place: usize, after: Duration) -> bool {
        matches!(self.said[place], Some(Said::Nothing(_)))
            || self.asked[place].is_some_and(|asked| asked.elapsed() >= after)
    }

    /// The places that say the same as one of them, itself included.
    fn group(&self, place: usize) -> Vec<usize> {
        let same = |other: &usize| match (&self.said[place], &self.said[*other]) {
            (Some(Said::Answer(one)), Some(Said::Answer(other))) => one.agrees(other),
            (Some(Said::Refusal(one)), Some(Said::Refusal(other))) => one.code == other.code,
            _ => false,
        };
        (0..self.said.len()).filter(same).collect()
    }

    fn decided(&self) -> Option<Result<A, Problem>> {
        for place in 0..self.said.len() {
            match &self.said[place] {
                Some(Said::Answer(answer)) => {
                    let group = self.group(place);
                    if group.len() < majority(self.said.len()) && !answer.stands_alone() {
                        continue;
                    }
                    let joined = self.joined(answer.clone(), place, &group);
                    if joined.complete() {
                        return Some(Ok(joined));
                    }
                }
                Some(Said::Refusal(problem)) if self.group(place).len() >= majority(self.said.len()) => {
                    return Some(Err(problem.clone()));
                }
                Some(Said::Refusal(_) | Said::Nothing(_)) | None => {}
            }
        }
        None
    }

    fn joined(&self, mut answer: A, place: usize, group: &[usize]) -> A {
        for other in group.iter().filter(|other| **other != place) {
            if let Some(Said::Answer(other)) = &self.said[*other] {
                answer.join(other.clone());
            }
        }
        answer
    }

    /// Whether those that are being asked cannot make a majority with those that agree.
    fn needs_more(&self) -> bool {
        let agreed = (0..self.said.len()).map(|place| self.group(place).len()).max().unwrap_or_default();
        let asked = self.asked.iter().flatten().count();
        agreed >= majority(self.said.len()) || agreed + asked < majority(self.said.len())
    }

    fn heard(&self) -> usize {
        self.said.iter().filter(|said| matches!(said, Some(Said::Answer(_) | Said::Refusal(_)))).count()
    }

    /// Whether every master was asked, and too few of them can be reached.
    fn unreachable(&self) -> bool {
        self.asked.iter().all(Option::is_none) && self.heard() < majority(self.said.len())
    }

    fn undecided(&self) -> Problem {
        let (masters, heard) = (self.said.len(), self.heard());
        if heard >= majority(masters) {
            return Problem::new(
                Code::Undecided,
                "the masters do not agree yet, the request may be repeated",
            );
        }
        match &self.said[..] {
            [Some(Said::Nothing(problem))] => problem.clone(),
            _ => Problem::new(
                Code::Unavailable,
                format!("{heard} of {masters} masters answer, {} must", majority(masters)),
            ),
        }
    }
}

#[cfg(test)]
mod tests;
