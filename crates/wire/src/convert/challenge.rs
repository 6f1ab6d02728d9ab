//! Challenges to and from messages.

use std::collections::BTreeSet;

use symphony_protocol::artifact::challenge::{Dispute, Filing, Ruling};
use symphony_protocol::artifact::penalty::{Capacity, Penalty};
use symphony_protocol::lifecycle::TaskState;
use symphony_protocol::settlement::challenge::{Challenge, ChallengeState};
use symphony_types::amount::Sym;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, LockRef, PolicyVersion, TaskId};
use symphony_types::key::Document as _;
use symphony_types::time::OrderedMillis;

use super::{Refused, digest};
use crate::v1;

/// Reads what somebody disputes, and the lock of its bond. **Errors**: `ADM-0001`, `SET-0015`.
pub fn filing(actor: &ActorId, message: v1::ChallengeFiling) -> Result<(Filing, LockRef), Refused> {
    let lock = match message.bond_lock_ref.as_slice() {
        [] => return Err((Code::BondMissing, "bond_lock_ref is missing".to_owned())),
        bytes => LockRef(digest(bytes, "bond_lock_ref")?),
    };
    let exhibits = message.exhibits.iter().map(|exhibit| digest(exhibit, "exhibits"));
    let exhibits = exhibits.collect::<Result<BTreeSet<_>, _>>()?;
    let filing = Filing {
        task: digest(&message.task_id, "task_id").map(TaskId)?,
        challenger: actor.clone(),
        dispute: if message.round == 0 { Dispute::Evidence } else { Dispute::Round(message.round) },
        result: digest(&message.result, "result")?,
        grounds: message.grounds,
        exhibits: exhibits.into_iter().collect(),
    };
    Ok((filing, lock))
}

/// What may be disputed of a task, and what that takes.
pub struct Disputable {
    /// Digest of the aggregate; `None` when nothing may be disputed.
    pub result: Option<Digest>,
    /// What a filing locks.
    pub bond: Sym,
    /// How long the lock must still last. **Units**: milliseconds.
    pub bond_ms: u64,
    /// The policy that says so.
    pub policy: PolicyVersion,
}

/// The challenges of a task as users see them.
pub fn challenges<'a>(
    (task, state): (TaskId, TaskState),
    terms: &Disputable,
    challenges: impl Iterator<Item = (u32, &'a Challenge)>,
    penalties: impl Iterator<Item = &'a Penalty>,
) -> v1::ChallengeList {
    v1::ChallengeList {
        task_id: task.0.0.to_vec(),
        task_state: state.as_str().to_owned(),
        challenges: challenges.map(|(number, known)| challenge(number, known)).collect(),
        result: terms.result.map_or_else(Vec::new, |result| result.0.to_vec()),
        bond_base: terms.bond.0,
        bond_ms: terms.bond_ms,
        policy_version: terms.policy.0,
        penalties: penalties.map(penalty).collect(),
    }
}

fn challenge(number: u32, known: &Challenge) -> v1::Challenge {
    let rulings = known.rulings.iter().map(Some).chain(std::iter::repeat(None));
    let filings = known.filings.iter().zip(&known.bonds).zip(rulings);
    let filings = filings.map(|((filing, bond), ruling)| v1::ChallengeEntry {
        challenger: filing.challenger.to_string(),
        grounds: filing.grounds.clone(),
        exhibits: filing.exhibits.iter().map(|exhibit| exhibit.0.to_vec()).collect(),
        ruling: ruling.map_or("", ruling_word).to_owned(),
        code: match ruling {
            Some(Ruling::Confirmed(code)) => code.as_str().to_owned(),
            Some(Ruling::NotConfirmed(_)) | None => String::new(),
        },
        bond: match ruling {
            None => "held",
            Some(ruling) if ruling.costs_bond() => "lost",
            Some(_) => "returned",
        }
        .to_owned(),
        bond_base: bond.amount.0,
        bond_lock_ref: bond.lock.0.0.to_vec(),
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

fn penalty(penalty: &Penalty) -> v1::Penalty {
    let liable = penalty.liable.iter().map(|liable| v1::Liability {
        capacity: liable.capacity.as_str().to_owned(),
        vault_id: match &liable.capacity {
            Capacity::Executor(vault) => vault.to_string(),
            Capacity::Aggregator | Capacity::Verifier => String::new(),
        },
        actor: liable.actor.to_string(),
        amount_base: liable.amount.0,
    });
    v1::Penalty {
        challenge: penalty.challenge,
        record: penalty.digest().0.to_vec(),
        fault: penalty.fault.as_str().to_owned(),
        code: penalty.code.as_str().to_owned(),
        withheld_base: penalty.withheld.0,
        liable: liable.collect(),
    }
}

const fn ruling_word(ruling: &Ruling) -> &'static str {
    match ruling {
        Ruling::Confirmed(_) => "confirmed",
        Ruling::NotConfirmed(dismissal) => dismissal.as_str(),
    }
}
