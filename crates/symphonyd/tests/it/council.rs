//! The council of a running network brings a second enclave program into force beside the first and revokes the first, with
//! real processes on both programs (R120, R128, R129, R130, R191, R194).

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use symphony_protocol::evidence::EndorsedBundle;
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::approval::Purpose;
use symphony_protocol::governance::change::Change;
use symphony_protocol::governance::proposal::Motion;
use symphony_sdk::campaign::Submitter;
use symphony_sdk::client::Client;
use symphony_sdk::council::{Member, checked, proven};
use symphony_sdk::secret;
use symphony_sdk::verify::{governance_digest, verify};
use symphony_tee::measure;
use symphony_tee::report::SignedBoot;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, GovernanceSequence, Measurement, RequestId, TaskId};
use symphony_types::key::{Governance as CouncilKey, PrivateKey};
use symphony_wire::documents::decode;

use crate::network::{Network, TURN, code, crowd, eventually, spec};

/// Members who must vote for it, of three.
const ENOUGH: [&str; 2] = ["council-1", "council-2"];
const POLICY: &str = "challenge=200,epoch=1500,timelock=100,marketing=900000000,subject_cap=900000000";

/// What the network was founded with.
pub(crate) fn founded(network: &Network) -> Governance {
    symphony_sdk::erasure::governance(&fs::read(network.dir.join("governance.bcs")).unwrap()).unwrap()
}

struct Voter {
    name: ActorId,
    key: PrivateKey<CouncilKey>,
    client: Client,
}

fn voter(network: &Network, name: &str) -> Voter {
    let seed = secret::read(&network.dir.join("clients").join(name).join("council.key")).unwrap();
    let key = PrivateKey::from_seed(&seed);
    Voter { name: ActorId::new(name).unwrap(), key, client: network.client(name) }
}

impl Voter {
    async fn moves(&self, motion: impl FnOnce(&Member<'_>) -> Motion) -> String {
        let member = Member { name: &self.name, key: &self.key };
        self.client.govern(&motion(&member)).await.unwrap().state
    }
}

/// Proposes a change, has enough members vote for it, and waits until it is enacted.
pub(crate) async fn enact(network: &Network, change: Change) {
    enact_as(network, change, "the next release").await;
}

/// The same, for this reason.
pub(crate) async fn enact_as(network: &Network, change: Change, summary: &str) {
    let foundation = governance_digest(&founded(network));
    let first = voter(network, ENOUGH[0]);
    let known = first.client.governance().await.unwrap();
    let number = known.council.iter().find(|member| member.member == ENOUGH[0]).unwrap().number + 1;
    let member = Member { name: &first.name, key: &first.key };
    let (motion, proposal) = member.proposes(foundation, number, change, summary.to_owned(), None);
    assert_eq!(first.client.govern(&motion).await.unwrap().state, "open");
    assert_eq!(first.client.govern(&motion).await.unwrap().state, "open", "the same again changes nothing");
    for name in ENOUGH {
        voter(network, name).moves(|member| member.votes(proposal, true)).await;
    }
    let id = proposal.to_hex();
    eventually("the change is enacted", async || {
        let known = first.client.governance().await.ok()?;
        let state = known.proposals.into_iter().find(|one| one.proposal_id == id)?.state;
        (state == "executed").then_some(())
    })
    .await;
}

/// The same program with another measurement.
fn next_program(network: &Network) -> (PathBuf, Measurement) {
    let program = Path::new(env!("CARGO_BIN_EXE_symphonyd")).with_file_name("symphony-enclave");
    let copy = network.dir.join("symphony-enclave-next");
    fs::copy(program, &copy).unwrap();
    fs::OpenOptions::new().append(true).open(&copy).unwrap().write_all(b"next").unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    let measurement = measure::program(&copy).unwrap();
    (copy, measurement)
}

/// Has a node run another enclave program from its next start on, and starts it again.
async fn upgrade(network: &Network, node: &str, program: &Path) {
    let path = network.dir.join(node).join("node.toml");
    let mut table: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
    table.insert("enclave".to_owned(), program.to_str().unwrap().into());
    fs::write(path, table.to_string()).unwrap();
    let former = network.pid(node);
    assert!(Command::new("kill").arg(former.to_string()).status().unwrap().success());
    eventually("the node is started again", async || (network.pid(node) != former).then_some(())).await;
}

fn request(name: &str) -> RequestId {
    RequestId::new(name).unwrap()
}

/// The evidence of a task: it verifies under the founding governance. The code that the task was admitted with, and the code
/// that made its slices.
async fn proved(
    network: &Network,
    luckin: &Submitter,
    task: TaskId,
    sequence: u64,
) -> (Vec<Measurement>, BTreeSet<Measurement>) {
    let bytes = luckin.client.evidence(task).await.unwrap();
    let report = verify(&bytes, Some(governance_digest(&founded(network))));
    assert!(report.passed() && report.pinned, "{:?}", report.failed().collect::<Vec<_>>());
    assert!(report.software, "R130: what the enclaves are is in the evidence");
    assert_eq!(report.sequence, sequence);
    let bundle: EndorsedBundle = decode(&bytes).unwrap();
    let evidence = &bundle.body.evidence;
    let boot = |boot: &[u8]| decode::<SignedBoot>(boot).unwrap().body.measurement;
    let used = evidence.result.slices.iter().map(|(_, attestation)| boot(&attestation.boot));
    (evidence.envelope.body.coordination.measurements.clone(), used.collect())
}

/// R120, R128, R129, R130, R191, R194
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_program_comes_by_votes_and_the_first_is_revoked() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--policy", POLICY]);
    network.ready().await;
    network.upload("people", &crowd(55)).await;
    let luckin = network.submitter("luckin");
    let (program, next) = next_program(&network);
    let old = *founded(&network).registry.measurements.keys().next().unwrap();
    let register = Change::RegisterMeasurement {
        measurement: next,
        purpose: Purpose::Any,
        recipe: Digest::of_bytes(b"the recipe of the next release"),
    };

    // A task is under way while the council votes; it ends under what it was admitted with.
    let (started, running) = tokio::sync::oneshot::channel();
    let mut started = Some(started);
    let first = request("first");
    let spec = spec();
    let campaign = luckin.run(&spec, &first, |_| {
        if let Some(started) = started.take() {
            started.send(()).unwrap();
        }
    });
    let votes = async {
        running.await.unwrap();
        enact(&network, register).await;
        enact(&network, Change::ActivateMeasurement { measurement: next }).await;
    };
    let (first, ()) = tokio::join!(campaign, votes);
    let first = first.unwrap().task;
    assert_eq!(first.state, "completed");
    let (admitted, used) = proved(&network, &luckin, first.task_id, 0).await;
    assert_eq!((admitted, used), (vec![old], [old].into()));

    // Both programs in parallel: one Vault has the next, the others and the aggregators the first.
    upgrade(&network, "enterprise-vault-b", &program).await;
    network.ready().await;
    let second = luckin.run(&spec, &request("second"), |_| {}).await.unwrap().task;
    assert_eq!((second.state.as_str(), second.returned), ("completed", 165));
    let (admitted, used) = proved(&network, &luckin, second.task_id, 2).await;
    assert_eq!(admitted.into_iter().collect::<BTreeSet<_>>(), [old, next].into());
    assert_eq!(used, [old, next].into());

    // The first is revoked: nothing new is sealed to it, and what is finished still verifies.
    enact(&network, Change::RevokeMeasurement { measurement: old }).await;
    let refused = luckin.run(&spec, &request("third"), |_| {}).await;
    let ended = refused.map(|delivered| delivered.task.state);
    assert!(!matches!(&ended, Ok(state) if state == "completed"), "{ended:?}");
    for (task, sequence) in [(first.task_id, 0), (second.task_id, 2)] {
        proved(&network, &luckin, task, sequence).await;
    }

    // With the next program everywhere the network works again, under it alone.
    for node in
        network.masters().iter().map(String::as_str).chain(["enterprise-vault-a", "enterprise-vault-c"])
    {
        upgrade(&network, node, &program).await;
    }
    network.ready().await;
    let fourth = luckin.run(&spec, &request("fourth"), |_| {}).await.unwrap().task;
    assert_eq!((fourth.state.as_str(), fourth.returned), ("completed", 165));
    let (admitted, used) = proved(&network, &luckin, fourth.task_id, 3).await;
    assert_eq!((admitted, used), (vec![next], [next].into()));

    the_log_proves_itself(&network).await;
}

/// R194: the log is checked against what the network was founded with, entry by entry; nobody but a member is heard.
async fn the_log_proves_itself(network: &Network) {
    let (trusted, client) = (founded(network), network.client("luckin"));
    let log = client.governance_log().await.unwrap();
    let followed = checked(&trusted, &log).unwrap();
    assert_eq!((log.entries.len(), followed.governance().sequence), (3, GovernanceSequence(3)));
    let mut bent = log.clone();
    bent.entries[2].votes.pop();
    assert!(checked(&trusted, &bent).is_err());
    for entry in &log.entries {
        let proof = client.governance_proof(entry.sequence, 0).await.unwrap();
        let (shown, head) = proven(&trusted, &proof, None).unwrap();
        assert_eq!((&shown, head), (entry, followed.head()));
    }
    assert_eq!(code(client.governance_proof(GovernanceSequence(4), 0).await), "ADM-0004");
    let stranger = Voter {
        name: ActorId::new("luckin").unwrap(),
        key: PrivateKey::from_seed(&[7; 32]),
        client: network.client("luckin"),
    };
    let member = Member { name: &stranger.name, key: &stranger.key };
    let change =
        Change::RevokeMeasurement { measurement: *trusted.registry.measurements.keys().next().unwrap() };
    let (motion, _) = member.proposes(governance_digest(&trusted), 1, change, String::new(), None);
    assert_eq!(code(stranger.client.govern(&motion).await), "ADM-0003");
}
