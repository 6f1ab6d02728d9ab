//! What a chain does to those who depend on it, on command: each fault happens to so many submissions, or until it is lifted.

use serde::{Deserialize, Serialize};

/// Faults that are still to happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Submissions that are turned away because too many wait.
    pub full: u32,
    /// Submissions that never arrive: no answer, no execution.
    pub drop_requests: u32,
    /// Submissions that are executed, but whose answer never arrives.
    pub drop_answers: u32,
    /// Submissions that are accepted and then forgotten, so that they expire.
    pub forget: u32,
    /// How long an accepted submission waits for its execution.
    pub delay_ms: u64,
    /// Reads answer as of the moment when this was set.
    pub lag: bool,
}

/// What happens to one submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives, is executed and answered.
    Served,
    /// It is turned away: too many wait.
    TurnedAway,
    /// It never arrives.
    RequestDropped,
    /// It is executed and never answered.
    AnswerDropped,
    /// It is answered and never executed.
    Forgotten,
}

impl Faults {
    /// The fate of the next submission.
    pub const fn next(&mut self) -> Fate {
        if self.full > 0 {
            self.full -= 1;
            return Fate::TurnedAway;
        }
        if self.drop_requests > 0 {
            self.drop_requests -= 1;
            return Fate::RequestDropped;
        }
        if self.drop_answers > 0 {
            self.drop_answers -= 1;
            return Fate::AnswerDropped;
        }
        if self.forget > 0 {
            self.forget -= 1;
            return Fate::Forgotten;
        }
        Fate::Served
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_happens_as_often_as_it_was_ordered() {
        let mut faults =
            Faults { full: 1, drop_requests: 1, drop_answers: 1, forget: 1, ..Faults::default() };
        let fates = [(); 5].map(|()| faults.next());
        let expected =
            [Fate::TurnedAway, Fate::RequestDropped, Fate::AnswerDropped, Fate::Forgotten, Fate::Served];
        assert_eq!(fates, expected);
    }
}
