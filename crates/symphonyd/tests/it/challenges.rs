//! Challenges through real processes (R101, R135, R138-R142, R237): a disputed round is computed again by the same Vaults and
//! another master's aggregator, and nobody loses budget by it.

use serde_json::json;
use symphony_sdk::client::Upload;
use symphony_sdk::shape::challenge::{Challenge, ChallengeFiling};
use symphony_types::digest::Digest;
use symphony_types::id::TaskId;

use crate::network::{Network, TURN, code, eventually};
use crate::trainings::{balance, name, populate, proven, read, spec};

const POLICY: &str = "training=600000000,subject_cap=600000000,prepare=20000,execute=30000,challenge=25000,\
                      review=60000,epoch=1000";

fn filing(round: Option<u32>, exhibits: &[u8]) -> ChallengeFiling {
    let exhibits = exhibits.iter().map(|byte| Digest::of_bytes(&[*byte]).to_string()).collect();
    ChallengeFiling { round, grounds: "I come to another model".to_owned(), exhibits }
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
async fn ruled(network: &Network, task: TaskId, filing: &ChallengeFiling) -> Challenge {
    let client = network.client("operator-vault-b");
    let filed = client.challenge(task, filing).await.unwrap();
    let number = filed.challenges.iter().position(|known| known.round == filing.round.unwrap_or(0)).unwrap();
    eventually("the masters rule", async || {
        let challenge = client.challenges(task).await.ok()?.challenges.swap_remove(number);
        challenge.filings.last().is_some_and(|filing| !filing.ruling.is_empty()).then_some(challenge)
    })
    .await
}

fn ruling(challenge: &Challenge) -> (&str, &str) {
    let filing = challenge.filings.last().unwrap();
    assert_eq!((filing.challenger.as_str(), filing.code.as_str()), ("operator:vault-b", ""));
    (filing.ruling.as_str(), challenge.state.as_str())
}

/// R101, R135, R137-R140, R142, R237, D10: rounds and evidence are looked at again and stand; what people have left cannot be
/// repeated; the result is settled with what time it had left, and everybody has lost what the rounds cost, once.
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
    for round in [2, 5] {
        let challenge = ruled(&network, task, &filing(Some(round), &[1])).await;
        assert_eq!(ruling(&challenge), ("repeated", closed), "round {round}");
    }
    let challenge = ruled(&network, task, &filing(None, &[])).await;
    assert_eq!(ruling(&challenge), ("supported", closed));
    let client = network.client("operator-vault-b");
    let nothing_new = ChallengeFiling { grounds: "all the same".to_owned(), ..filing(Some(2), &[1]) };
    assert_eq!(code(client.challenge(task, &nothing_new).await), "SET-0010");
    assert_eq!(balance(&network).await, (held, spent), "nobody loses anything by a replay");

    let withdrawn = json!({"subject": "shopper-1-0000", "scope": "training", "state": "withdrawn"});
    network.put("vault-b", Upload::Consents, "leave", &[withdrawn]).await;
    let challenge = ruled(&network, task, &filing(Some(2), &[2])).await;
    assert_eq!(ruling(&challenge), ("not_repeatable", closed));
    let steps: Vec<_> = challenge.steps.iter().map(|step| step.state.as_str()).collect();
    let first = ["opened", "reviewing", "not_confirmed", closed];
    assert_eq!(steps, [first, ["reopened", "reviewing", "not_confirmed", closed]].concat());
    assert_eq!(code(client.challenge(task, &filing(Some(3), &[])).await), "SET-0011");

    in_state(&network, task, "completed").await;
    assert_eq!(code(client.challenge(task, &filing(None, &[9])).await), "SET-0009");
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
        let challenge = ruled(&network, task, &filing(Some(round), &[])).await;
        assert_eq!(ruling(&challenge), ("repeated", "closed_without_penalty"), "round {round}");
    }
    in_state(&network, task, "completed").await;
    proven(&network.submitter("luckin"), task).await;
}
