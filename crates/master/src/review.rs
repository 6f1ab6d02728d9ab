//! Looks at a disputed result again (R129, R135, R140-R142): every master judges the evidence itself, and a disputed round of
//! a training, or the run of a module, is computed again, by the same Vaults and with the aggregator of another master than
//! the one that ran it; a module on the second engine.
//!
//! | what is found | by whom it is believed |
//! |---|---|
//! | the evidence supports the result, or not | each master judges it for itself before it endorses |
//! | the round as it was computed again | each master appraises its attestations before it endorses |
//! | a Vault cannot compute it again | the Vault's own signature |

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use symphony_protocol::artifact::challenge::{Dispute, Finding, Replay, SignedReplayRefusal};
use symphony_protocol::artifact::training::{Round, RoundOrder};
use symphony_protocol::artifact::{Assignment, Decision};
use symphony_protocol::execution::failure::{Step, TaskFailure};
use symphony_protocol::lifecycle::training::Position;
use symphony_protocol::lifecycle::{Stage, Task};
use symphony_protocol::machine::{Command, Effect, State};
use symphony_protocol::settlement::challenge::{self, Challenge};
use symphony_protocol::verification;
use symphony_tee::governed;
use symphony_tee::report::SignedBoot;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{NodeId, TaskId, VaultId};
use symphony_types::key::{Document as _, Endorsement, Master};
use symphony_wire::documents::decode;
use symphony_wire::status::problem_of;
use symphony_wire::v1::SliceResult;

use crate::admission::left;
use crate::bulk;
use crate::claim::{Claim, Subject};
use crate::cluster::{Doubt, UNSEEN};
use crate::effects::Fault;
use crate::endorsing::{endorsed, endorsements};
use crate::execution;
use crate::node::Node;
use crate::orders::Ordered;
use crate::round::{self, Begins};
use crate::settlement;
use crate::training::{self, Part};

/// Looks at a challenged task again and reports what is found. **Errors**: [`Fault`].
pub async fn review(node: &Arc<Node>, task: &TaskId) -> Result<(), Fault> {
    let state = node.state();
    let Some((known, number, disputed)) = disputed(&state, task) else { return Ok(()) };
    let claim = Claim { subject: Subject::Envelope(*task), document: known.envelope.digest() };
    let order = endorsements(node, vec![claim]).await?.pop().unwrap_or_default();
    let decision = judged(node, &state, known, order.clone()).await;
    let replay = match (decision, disputed.dispute) {
        (Decision::Accepted, Dispute::Round(round)) => {
            let recorded = state.disputed(known, round);
            let recorded = recorded.ok_or_else(|| Fault::Again("the round is not known".to_owned()))?;
            if own(node, &state, known, &recorded).await {
                let failure = TaskFailure { task: *task, step: Step::Review, code: Code::Forbidden };
                return Ok(node.order(Command::RecordFailure { failure: node.sign(failure) }).await?);
            }
            match known.envelope.plan.trains() {
                true => again(node, &state, known, &recorded).await?,
                false => run_again(node, &state, known, &recorded).await?,
            }
        }
        (Decision::Accepted, Dispute::Evidence) | (Decision::Rejected(_), _) => Replay::None,
    };
    let filing = u32::try_from(disputed.filings.len()).unwrap_or(u32::MAX);
    let finding = Finding { task: *task, challenge: number, filing, decision, replay };
    let subject = Subject::Finding(Box::new(finding.clone()), order);
    let finding = endorsed(node, vec![(subject, finding)]).await?.pop();
    let finding = finding.ok_or_else(|| Fault::Again("the finding was not endorsed".to_owned()))?;
    Ok(node.order(Command::RecordFinding { finding }).await?)
}

/// Where the round stood that is disputed; `None` when none is.
pub(crate) fn position(state: &State, known: &Task) -> Option<Position> {
    match disputed(state, &known.envelope.task)?.2.dispute {
        Dispute::Round(round) => state.position_at(known, round),
        Dispute::Evidence => None,
    }
}

/// The digest of a finding that this master has come to as well.
pub(crate) async fn attested(
    node: &Node,
    state: &State,
    finding: &Finding,
    order: &[Endorsement<Master>],
) -> Result<Digest, Doubt> {
    let (known, number, disputed) = disputed(state, &finding.task).ok_or(UNSEEN)?;
    if (finding.challenge, finding.filing as usize) != (number, disputed.filings.len()) {
        return Err(UNSEEN);
    }
    if judged(node, state, known, order.to_vec()).await != finding.decision {
        return Err(Doubt::Other("this master judges the evidence otherwise"));
    }
    let recorded = || match disputed.dispute {
        Dispute::Round(round) => state.disputed(known, round).ok_or(UNSEEN),
        Dispute::Evidence => Err(UNSEEN),
    };
    match &finding.replay {
        Replay::None => {}
        Replay::Computed(replay) => {
            if !challenge::anew(&recorded()?, replay) {
                return Err(Doubt::Wrong(
                    Code::AggregationFailed,
                    "the round is not computed again".to_owned(),
                ));
            }
            if known.envelope.plan.trains() {
                let position = position(state, known).ok_or(UNSEEN)?;
                round::appraised(node, state, known, position, replay).await?;
            } else {
                run_appraised(node, state, known, replay).await?;
            }
        }
        Replay::Refused(refusal) => {
            if !challenge::spoken(&state.governance, &recorded()?, refusal) {
                return Err(Doubt::Wrong(Code::Forbidden, "no vault of the round refuses".to_owned()));
            }
        }
    }
    Ok(finding.digest())
}

/// A task under review, which of its challenges that is, and the challenge.
fn disputed<'a>(state: &'a State, task: &TaskId) -> Option<(&'a Task, u32, &'a Challenge)> {
    let known = state.tasks.get(task)?;
    let Stage::Challenged { challenge, .. } = known.stage else { return None };
    Some((known, challenge, state.challenges.get(&(*task, challenge))?))
}

/// What the evidence of a task supports, whatever the verifier said.
async fn judged(node: &Node, state: &State, known: &Task, order: Vec<Endorsement<Master>>) -> Decision {
    let Some((slices, aggregate)) = settlement::verifying(known) else {
        return Decision::Rejected(Code::ResultRejected);
    };
    let evidence = settlement::evidence(node, known, slices, aggregate, order).await;
    let appraise = |attestation: &_, expectation: &_| {
        governed::judge(&node.network, &state.governance, attestation, expectation)
    };
    verification::verdict(&state.governance, &evidence, &appraise).decision
}

/// Whether this master's own aggregator made a round, and another master has not been asked yet.
async fn own(node: &Node, state: &State, known: &Task, recorded: &Round) -> bool {
    let lease = state.leases.get(&Effect::Review(recorded.task));
    let first = lease.is_some_and(|lease| lease.attempt == 0);
    first
        && state.governance.registry.masters.len() > 1
        && ran(node, known, recorded).await == Some(node.id.clone())
}

/// The master whose aggregator made a round.
async fn ran(node: &Node, known: &Task, recorded: &Round) -> Option<NodeId> {
    let boot = match known.envelope.plan.trains() {
        true => round::bulk_of(node, recorded).await?.aggregate.boot,
        false => settlement::attestation_of(node, &recorded.aggregate).await.boot,
    };
    SignedBoot::from_canonical(&boot).map(|boot| boot.body.node)
}

/// Has a recorded round computed again. **Errors**: [`Fault`].
async fn again(node: &Arc<Node>, state: &State, known: &Task, recorded: &Round) -> Result<Replay, Fault> {
    let position = state.position_at(known, recorded.round);
    let position = position.ok_or_else(|| Fault::Again("the round has no place".to_owned()))?;
    let vaults = recorded.slices.iter().map(|slice| slice.body.vault.clone()).collect();
    let ordered = training::order(node, known, position, vaults).await?;
    let order = &ordered.order;
    let begins = round::begins(node, state, known, &position).await?;
    let mut parts = match parts(node, known, &ordered, &begins).await? {
        Ok(parts) => parts,
        Err(refusal) => return Ok(Replay::Refused(refusal)),
    };
    let combined = training::combine(node, state, known, order, begins.learner, &mut parts).await?;
    let combined =
        combined.map_err(|(vault, code, detail)| Fault::Again(format!("{vault}: {code}: {detail}")))?;
    let (round, blobs) = training::made(node, order, &parts, combined, recorded.absent.clone());
    bulk::secure(node, &blobs).await.map_err(Fault::Again)?;
    Ok(Replay::Computed(round))
}

/// Has the disputed run of a module made again. **Errors**: [`Fault`].
async fn run_again(node: &Arc<Node>, state: &State, known: &Task, recorded: &Round) -> Result<Replay, Fault> {
    let over = || Fault::Again("the time of the review is over".to_owned());
    let until = known.timer().and_then(left).ok_or_else(over)?;
    let vaults: Vec<_> = recorded.slices.iter().map(|slice| slice.body.vault.clone()).collect();
    let orders = execution::assignments(node, state, &known.envelope, &vaults).await?;
    let asked = orders.iter().map(async |ordered| {
        let vault = &ordered.order.body.vault;
        let first = slice(node, ordered, until).await;
        match first {
            Err((code, _)) if ordered.renewed(node, vault, code).await => slice(node, ordered, until).await,
            first => first,
        }
    });
    let (mut slices, mut bundles) = (Vec::new(), Vec::new());
    for (ordered, answer) in orders.iter().zip(join_all(asked).await) {
        let vault = &ordered.order.body.vault;
        match answer.map_err(|(code, detail)| Fault::Again(format!("{vault}: {code}: {detail}")))? {
            Ok(part) => {
                bundles.push((vault.clone(), part.bundle.clone()));
                let kept = execution::keep(node, &ordered.order.body, part).await;
                slices.push(kept.map_err(|detail| Fault::Again(format!("{vault}: {detail}")))?);
            }
            Err(refusal) => return Ok(Replay::Refused(refusal)),
        }
    }
    let aggregate = execution::combined(node, state, &known.envelope, bundles).await?;
    let Round { task, round, .. } = *recorded;
    Ok(Replay::Computed(Round { task, round, slices, aggregate, bulk: Digest::ZERO, absent: vec![] }))
}

/// A Vault's slice once more, or its word that it cannot.
async fn slice(
    node: &Node,
    ordered: &Ordered<Assignment>,
    timeout: Duration,
) -> Result<Result<SliceResult, SignedReplayRefusal>, (Code, String)> {
    let vault = &ordered.order.body.vault;
    let mut client = node.peers.vault(vault).map_err(|code| (code, vault.to_string()))?;
    let mut request = tonic::Request::new(ordered.message());
    request.set_timeout(timeout);
    let answer = tokio::time::timeout(timeout, client.replay_slice(request)).await;
    let answer = answer.map_err(|_| (Code::VaultUnavailable, "it takes too long".to_owned()))?;
    let answer = answer.map_err(|status| problem_of(&status))?.into_inner();
    match answer.part {
        Some(part) => Ok(Ok(part)),
        None => decode(&answer.refusal).map(Err).map_err(|error| (Code::ResultRejected, error.to_string())),
    }
}

/// Whether a run that another master had made again is good, and this master holds what shows it.
async fn run_appraised(node: &Node, state: &State, known: &Task, replay: &Round) -> Result<(), Doubt> {
    let combined = settlement::combined(node, &replay.slices, &replay.aggregate).await;
    let appraise = |attestation: &_, expected: &_| {
        governed::judge(&node.network, &state.governance, attestation, expected)
    };
    verification::run(&state.governance, &known.envelope, &combined, &appraise)
        .map_err(|(code, detail)| Doubt::Wrong(code, detail))
}

/// The parts of all Vaults of a round once more, or the word of one that cannot. **Errors**: [`Fault::Again`].
async fn parts(
    node: &Node,
    known: &Task,
    ordered: &Ordered<RoundOrder>,
    begins: &Begins,
) -> Result<Result<Vec<Part>, SignedReplayRefusal>, Fault> {
    let vaults = &ordered.order.body.vaults;
    let over = || Fault::Again("the time of the review is over".to_owned());
    let until = known.timer().and_then(left).ok_or_else(over)?;
    let asked = vaults.iter().map(async |vault| {
        let first = part(node, vault, ordered, begins, until).await;
        match first {
            Err((code, _)) if ordered.renewed(node, vault, code).await => {
                part(node, vault, ordered, begins, until).await
            }
            first => first,
        }
    });
    let mut parts = Vec::new();
    for (vault, answer) in vaults.iter().zip(join_all(asked).await) {
        match answer.map_err(|(code, detail)| Fault::Again(format!("{vault}: {code}: {detail}")))? {
            Ok(part) => parts.push(part),
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
    Ok(Ok(parts))
}

async fn part(
    node: &Node,
    vault: &VaultId,
    ordered: &Ordered<RoundOrder>,
    begins: &Begins,
    timeout: Duration,
) -> Result<Result<Part, SignedReplayRefusal>, (Code, String)> {
    let mut client = node.peers.vault(vault).map_err(|code| (code, vault.to_string()))?;
    let mut request = tonic::Request::new(begins.assignment(vault, ordered.message()));
    request.set_timeout(timeout);
    let answer = tokio::time::timeout(timeout, client.replay_round(request)).await;
    let answer = answer.map_err(|_| (Code::VaultUnavailable, "it takes too long".to_owned()))?;
    let answer = answer.map_err(|status| problem_of(&status))?.into_inner();
    match answer.part {
        Some(part) => training::checked(node, vault, &ordered.order, part).map(Ok),
        None => decode(&answer.refusal).map(Err).map_err(|error| (Code::ResultRejected, error.to_string())),
    }
}
