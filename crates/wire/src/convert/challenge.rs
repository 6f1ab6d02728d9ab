//! Challenges to and from messages.

use std::collections::BTreeSet;

use symphony_protocol::artifact::challenge::{Dispute, Filing, Ruling};
use symphony_protocol::lifecycle::TaskState;
use symphony_protocol::settlement::challenge::{Challenge, ChallengeState};
use symphony_types::id::{ActorId, TaskId};
use symphony_types::time::OrderedMillis;

use super::{Refused, digest};
use crate::v1;

/// Reads what somebody disputes. **Errors**: `ADM-0001`.
pub fn filing(actor: &ActorId, message: v1::ChallengeFiling) -> Result<Filing, Refused> {
    let exhibits = message.exhibits.iter().map(|exhibit| digest(exhibit, "exhibits"));
    let exhibits = exhibits.collect::<Result<BTreeSet<_>, _>>()?;
    Ok(Filing {
        task: digest(&message.task_id, "task_id").map(TaskId)?,
        challenger: actor.clone(),
        dispute: if message.round == 0 { Dispute::Evidence } else { Dispute::Round(message.round) },
        grounds: message.grounds,
        exhibits: exhibits.into_iter().collect(),
    })
}

/// The challenges of a task as users see them.
pub fn challenges<'a>(
    (task, state): (TaskId, TaskState),
    challenges: impl Iterator<Item = (u32, &'a Challenge)>,
) -> v1::ChallengeList {
    v1::ChallengeList {
        task_id: task.0.0.to_vec(),
        task_state: state.as_str().to_owned(),
        challenges: challenges.map(|(number, known)| challenge(number, known)).collect(),
    }
}

fn challenge(number: u32, known: &Challenge) -> v1::Challenge {
    let rulings = known.rulings.iter().map(Some).chain(std::iter::repeat(None));
    let filings = known.filings.iter().zip(rulings).map(|(filing, ruling)| v1::ChallengeEntry {
        challenger: filing.challenger.to_string(),
        grounds: filing.grounds.clone(),
        exhibits: filing.exhibits.iter().map(|exhibit| exhibit.0.to_vec()).collect(),
        ruling: ruling.map_or("", ruling_word).to_owned(),
        code: match ruling {
            Some(Ruling::Confirmed(code)) => code.as_str().to_owned(),
            Some(Ruling::NotConfirmed(_)) | None => String::new(),
        },
    });
    let step = |(state, at): &(ChallengeState, OrderedMillis)| v1::ChallengeStep {
        state: state.as_str().to_owned(),
        at_ms: at.0,
    };
    v1::Challenge {
        number,
        round: match known.dispute {
            Dispute::Evidence => 0,
            Dispute::Round(round) => round,
        },
        state: known.state().map_or("", ChallengeState::as_str).to_owned(),
        filings: filings.collect(),
        steps: known.steps.iter().map(step).collect(),
    }
}

const fn ruling_word(ruling: &Ruling) -> &'static str {
    match ruling {
        Ruling::Confirmed(_) => "confirmed",
        Ruling::NotConfirmed(dismissal) => dismissal.as_str(),
    }
}
