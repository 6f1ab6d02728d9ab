//! Watchers of a network of real processes (R139, R140, R142, R208): whoever may dispute a result sees its evidence before it is
//! final, nobody else does, and an honest network is not disputed.

use symphony_protocol::evidence::{EndorsedBundle, EndorsedCandidate};
use symphony_sdk::verify::{Finality, candidate, governance_digest, verify};
use symphony_sdk::watching::{Notes, Opinion, Passed, Watcher};
use symphony_types::digest::Digest;
use symphony_types::id::{RequestId, TaskId};
use symphony_types::key::Document as _;
use symphony_types::time::OrderedMillis;
use symphony_wire::documents::decode;

use crate::network::{Network, TURN, code, crowd, eventually, spec};

const POLICY: &str = "challenge=40000,review=60000,epoch=1500";

fn trusted(network: &Network) -> Digest {
    let bytes = std::fs::read(network.dir.join("governance.bcs")).unwrap();
    governance_digest(&symphony_sdk::erasure::governance(&bytes).unwrap())
}

/// A campaign whose result may be disputed.
async fn awaited(network: &Network) -> TaskId {
    let luckin = network.submitter("luckin");
    let task = luckin.submit(&spec(), &RequestId::new("coupon").unwrap(), |_| {}).await.unwrap().task_id;
    in_state(network, task, "awaiting_settlement").await;
    task
}

async fn in_state(network: &Network, task: TaskId, state: &str) {
    let client = network.client("luckin");
    eventually(state, async || (client.task(task).await.ok()?.state == state).then_some(())).await;
}

/// R139, R140, R142, R208, R032: of three masters a majority vouches for the evidence of a result that is not final; the same evidence and
/// verdict are settled. A watcher that may dispute finds nothing to dispute, and locks no bond.
#[tokio::test(flavor = "multi_thread")]
async fn an_honest_result_is_watched_and_not_disputed() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--masters", "3", "--policy", POLICY]);
    network.ready().await;
    network.upload("crowd", &crowd(30)).await;
    let task = awaited(&network).await;
    let rival = network.submitter("brand-b");
    let purse = rival.wallet.holding(&rival.client).await.unwrap().balance;

    let listed = rival.client.open_tasks("awaiting_settlement", "").await.unwrap();
    let [entry] = listed.tasks.as_slice() else { panic!("{listed:?}") };
    assert_eq!((entry.task_id.clone(), entry.task_class.as_str()), (task.to_string(), "query"));
    let bytes = rival.client.candidate(task).await.unwrap();
    let report = candidate(&bytes, Some(trusted(&network)));
    assert!(report.passed() && report.vouched(), "{:?}", report.failed().collect::<Vec<_>>());
    assert_eq!(report.finality, Finality::Candidate { final_ms: entry.until_ms });
    assert!(!verify(&bytes, None).passed(), "it is no settlement");
    nobody_else_sees(&network, task).await;

    let notes = network.dir.join("cursor.json");
    let mut watcher = Watcher::new(
        &rival.client,
        trusted(&network),
        OrderedMillis(0),
        Some(&rival),
        Notes::open(&notes).unwrap(),
    );
    let mut opinions = Vec::new();
    let passed = watcher.pass(|seen| opinions.push(seen.opinion)).await.unwrap();
    assert_eq!(
        (passed, opinions.as_slice()),
        (Passed { open: 1, looked: 1, ..Passed::default() }, [Opinion::Holds].as_slice())
    );
    let file = notes.to_str().unwrap();
    let (code, said) = network.symphony("brand-b", &["watch", "--once", "--challenge", "--cursor", file]);
    assert!(code == 0 && said.contains("1 not final, 0 checked now, 0 do not hold"), "{code}: {said}");
    let kept = network.dir.join("candidate.bundle");
    let (out, named) = (kept.to_str().unwrap(), task.to_string());
    let (code, said) =
        network.symphony("brand-b", &["evidence", "export", "--candidate", &named, "--out", out]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = network.symphony("brand-b", &["verify", out]);
    assert!(code == 5 && said.contains("holds so far, NOT FINAL"), "{code}: {said}");
    assert!(rival.client.challenges(task).await.unwrap().challenges.is_empty());
    assert_eq!(rival.wallet.holding(&rival.client).await.unwrap().balance, purse, "no bond is locked");

    in_state(&network, task, "completed").await;
    settled_as_shown(&network, task, &bytes).await;
    assert_eq!(watcher.pass(|_| {}).await.unwrap(), Passed::default(), "what is final is not watched");
}

/// What others may not see before the end, and after it.
async fn nobody_else_sees(network: &Network, task: TaskId) {
    let stranger = network.client_as("nobody-we-know", "brand");
    assert_eq!(code(stranger.open_tasks("", "").await), "ADM-0003");
    assert_eq!(code(stranger.candidate(task).await), "ADM-0003");
    let rival = network.client("brand-b");
    assert_eq!(code(rival.task(task).await), "ADM-0004", "the task itself is its submitter's");
    assert_eq!(code(rival.evidence(task).await), "ADM-0004");
    assert_eq!(code(rival.result(task).await), "ADM-0004");
    assert_eq!(code(rival.candidate(TaskId(Digest::ZERO)).await), "ADM-0004");
    assert_eq!(code(rival.open_tasks("completed", "").await), "ADM-0001");
}

/// The bundle of the settlement has the evidence and the verdict of the candidate, and all else that it showed.
async fn settled_as_shown(network: &Network, task: TaskId, shown: &[u8]) {
    let settled = network.client("luckin").evidence(task).await.unwrap();
    let settled: EndorsedBundle = decode(&settled).unwrap();
    let shown: EndorsedCandidate = decode(shown).unwrap();
    let (settled, shown) = (settled.body, shown.body);
    assert_eq!(settled.evidence.digest(), shown.evidence.digest());
    assert_eq!((settled.verdict, settled.network), (shown.verdict, shown.network));
    assert_eq!((settled.governance, settled.changes), (shown.governance, shown.changes));
    assert!(settled.context.finalized_at >= shown.final_at);
    let rival = network.client("brand-b");
    assert_eq!(code(rival.candidate(task).await), "SET-0009");
    assert_eq!(code(rival.evidence(task).await), "ADM-0004", "it is its submitter's to show");
}
