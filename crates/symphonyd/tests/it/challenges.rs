//! Challenges through real processes (R101, R135, R138-R142, R237): a disputed round is computed again by the same Vaults and
//! another master's aggregator, and nobody loses budget by it.

use serde_json::json;
use symphony_chain::ledger::escrow::LockState;
use symphony_chain::ledger::query::{Answer, Query};
use symphony_sdk::challenge::Objection;
use symphony_sdk::client::Upload;
use symphony_sdk::shape::challenge::{Challenge, ChallengeFiling};
use symphony_sdk::submission::SubmissionError;
use symphony_types::amount::Sym;
use symphony_types::digest::Digest;
use symphony_types::id::{LockRef, TaskId};

use crate::network::{Network, TURN, code, eventually};
use crate::trainings::{balance, name, populate, proven, read, spec};

const POLICY: &str = "training=600000000,subject_cap=600000000,prepare=20000,execute=30000,challenge=25000,\
                      review=60000,epoch=1000";

fn objection(round: Option<u32>, exhibits: &[u8]) -> Objection {
    let exhibits = exhibits.iter().map(|byte| Digest::of_bytes(&[*byte])).collect();
    Objection { round, grounds: "I come to another model".to_owned(), exhibits }
}

/// A lock that nobody made.
const NO_LOCK: &str = "abababababababababababababababababababababababababababababababab";

/// What the platform says to a filing that its client would not send; it names a lock that is none.
async fn sent(network: &Network, task: TaskId, objection: &Objection, bond: &str) -> String {
    let client = network.client("brand-b");
    let result = client.challenges(task).await.unwrap().result;
    let filing = ChallengeFiling {
        round: objection.round,
        grounds: objection.grounds.clone(),
        exhibits: objection.exhibits.iter().map(ToString::to_string).collect(),
        result: if result.is_empty() { "00".repeat(32) } else { result },
        bond_lock_ref: bond.to_owned(),
    };
    code(client.challenge(task, &filing).await)
}

/// What became of the bonds of a task on the chain: charged and given back, in the order of the filings.
async fn bonds(network: &Network, task: TaskId) -> Vec<(Sym, Sym)> {
    let client = network.client("brand-b");
    let list = client.challenges(task).await.unwrap();
    let mut resolved = Vec::new();
    for entry in list.challenges.iter().flat_map(|known| &known.filings) {
        let lock = LockRef(Digest::from_hex(&entry.bond_lock_ref).unwrap());
        let (charged, refunded) = eventually("the bond is resolved", async || {
            let Answer::Lock(Some(lock)) = client.query(Query::Lock(lock)).await.ok()? else { return None };
            match lock.state {
                LockState::Settled { charged, refunded, .. } => Some((charged, refunded)),
                LockState::Held | LockState::Reclaimed => None,
            }
        })
        .await;
        assert_eq!(entry.bond, if charged == Sym::ZERO { "returned" } else { "lost" });
        resolved.push((charged, refunded));
    }
    resolved
}

/// The code of a refusal.
pub fn refused<T: std::fmt::Debug>(answer: Result<T, SubmissionError>) -> String {
    match answer {
        Err(SubmissionError::Client(error)) => code::<T>(Err(error)),
        other => panic!("no refusal: {other:?}"),
    }
}

/// A training whose result may be disputed.
async fn trained(network: &Network, rounds: u32) -> TaskId {
    let submitter = network.submitter("luckin");
    let task = submitter.submit(&read(spec(rounds)), &name("disputed"), |_| ()).await.unwrap();
    in_state(network, task.task_id, "awaiting_settlement").await;
    task.task_id
}

async fn in_state(network: &Network, task: TaskId, state: &str) {
    let client = network.client("luckin");
    eventually(state, async || (client.task(task).await.ok()?.state == state).then_some(())).await;
}

/// Files a dispute and waits for its end.
pub async fn ruled(network: &Network, task: TaskId, objection: &Objection) -> Challenge {
    let rival = network.submitter("brand-b");
    let filed = rival.challenge(task, objection).await.unwrap();
    let number =
        filed.challenges.iter().position(|known| known.round == objection.round.unwrap_or(0)).unwrap();
    let client = rival.client;
    eventually("the masters rule", async || {
        let challenge = client.challenges(task).await.ok()?.challenges.swap_remove(number);
        challenge.filings.last().is_some_and(|filing| !filing.ruling.is_empty()).then_some(challenge)
    })
    .await
}

fn ruling(challenge: &Challenge) -> (&str, &str) {
    let filing = challenge.filings.last().unwrap();
    assert_eq!((filing.challenger.as_str(), filing.code.as_str()), ("brand-b", ""));
    (filing.ruling.as_str(), challenge.state.as_str())
}

/// R101, R135, R137-R140, R142, R237, D10: rounds and evidence are looked at again and stand; what people have left cannot be
/// repeated; the result is settled with what time it had left, and everybody has lost what the rounds cost, once. R143, R176: a bond
/// is lost where the result stands and goes back where nobody could tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_disputed_training_is_computed_again_and_settled() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--masters", "3", "--policy", POLICY]);
    network.ready().await;
    populate(&network, "training").await;
    let task = trained(&network, 4).await;
    let (held, spent) = eventually("the rest is given back", async || {
        let (held, spent) = balance(&network).await;
        (held == 0).then_some((held, spent))
    })
    .await;
    let closed = "closed_without_penalty";
    let first = objection(Some(2), &[1]);
    assert_eq!(sent(&network, task, &first, NO_LOCK).await, "SET-0015");
    for round in [2, 5] {
        let challenge = ruled(&network, task, &objection(Some(round), &[1])).await;
        assert_eq!(ruling(&challenge), ("repeated", closed), "round {round}");
    }
    let challenge = ruled(&network, task, &objection(None, &[])).await;
    assert_eq!(ruling(&challenge), ("supported", closed));
    let rival = network.submitter("brand-b");
    let nothing_new = Objection { grounds: "all the same".to_owned(), ..objection(Some(2), &[1]) };
    let purse = async || rival.wallet.holding(&rival.client).await.unwrap().balance;
    let before = purse().await;
    assert_eq!(refused(rival.challenge(task, &nothing_new).await), "SET-0010");
    assert_eq!(sent(&network, task, &nothing_new, NO_LOCK).await, "SET-0010");
    rival.challenge(task, &first).await.unwrap();
    assert_eq!(purse().await, before, "what is refused or repeated locks nothing");
    assert_eq!(balance(&network).await, (held, spent), "nobody loses anything by a replay");

    let withdrawn = json!({"subject": "shopper-1-0000", "scope": "training", "state": "withdrawn"});
    network.put("vault-b", Upload::Consents, "leave", &[withdrawn]).await;
    let challenge = ruled(&network, task, &objection(Some(2), &[2])).await;
    assert_eq!(ruling(&challenge), ("not_repeatable", closed));
    let steps: Vec<_> = challenge.steps.iter().map(|step| step.state.as_str()).collect();
    let first = ["opened", "reviewing", "not_confirmed", closed];
    assert_eq!(steps, [first, ["reopened", "reviewing", "not_confirmed", closed]].concat());
    assert_eq!(refused(rival.challenge(task, &objection(Some(3), &[])).await), "SET-0011");
    assert_eq!(sent(&network, task, &objection(Some(3), &[]), NO_LOCK).await, "SET-0011");

    in_state(&network, task, "completed").await;
    assert_eq!(refused(rival.challenge(task, &objection(None, &[9])).await), "SET-0009");
    assert_eq!(sent(&network, task, &objection(None, &[9]), NO_LOCK).await, "SET-0009");
    // In the order of the challenges: the second round twice, the fifth, the evidence.
    let bond = rival.client.challenges(task).await.unwrap().bond_base;
    let (lost, returned) = ((bond, Sym::ZERO), (Sym::ZERO, bond));
    assert_eq!(bonds(&network, task).await, [lost, returned, lost, lost]);
    proven(&network.submitter("luckin"), task).await;
    assert_eq!(balance(&network).await, (held, spent));
}

/// R113, R135: the rounds of two aggregators on shares are computed again as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_disputed_training_on_shares_is_computed_again() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--masters", "3", "--policy", &format!("{POLICY},environment=mpc")]);
    network.ready().await;
    populate(&network, "training").await;
    let task = trained(&network, 3).await;
    for round in [1, 3, 4] {
        let challenge = ruled(&network, task, &objection(Some(round), &[])).await;
        assert_eq!(ruling(&challenge), ("repeated", "closed_without_penalty"), "round {round}");
    }
    in_state(&network, task, "completed").await;
    proven(&network.submitter("luckin"), task).await;
}
