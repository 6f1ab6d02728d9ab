//! The council of a running network makes versions of meaning: a new attribute is taken by every Vault and asked for by everybody from its epoch on,
//! and how a task's names were resolved is shown from its evidence (R044, R045, R050, R052, R053, R054, R190).

use serde_json::json;
use symphony_protocol::governance::change::Change;
use symphony_protocol::governance::meaning::{Amendment, between};
use symphony_protocol::governance::semantics::*;
use symphony_sdk::client::Upload;
use symphony_sdk::council::checked;
use symphony_sdk::semantics::{explain, read, read_amendment, written, written_amendment};
use symphony_sdk::shape::Operand;
use symphony_sdk::verify::governance_digest;
use symphony_types::catalogue::Code;
use symphony_types::id::{AttributeName, RequestId, RuleName, SemanticVersion};

use crate::council::{enact_as, founded};
use crate::network::{Network, Person, TURN, VAULTS, crowd, eventually, spec, subject};

const POLICY: &str = "challenge=200,epoch=1500,timelock=100,marketing=900000000,subject_cap=900000000";
const TIER: &str = "commerce.loyalty_tier";

/// What the council makes of the last version, through the files that people write; what it gives as its reason follows from the amendment.
pub(crate) async fn amend(
    network: &Network,
    version: u32,
    summary: impl FnOnce(&Amendment) -> String,
    change: impl FnOnce(&mut Semantics),
) {
    let luckin = network.submitter("luckin");
    let log = luckin.client.governance_log().await.unwrap();
    let known = checked(&founded(network), &log).unwrap();
    let (_, last) = known.governance().meanings.last();
    let mut next = read(&written(last)).unwrap();
    assert_eq!(&next, last, "what is written is what is read");
    change(&mut next);
    let amendment = read_amendment(&written_amendment(&between(last, &next))).unwrap();
    let version = SemanticVersion(version);
    let summary = summary(&amendment);
    enact_as(network, Change::AmendMeaning { version, amendment: Box::new(amendment) }, &summary).await;
    eventually("the version is in force", async || {
        (luckin.client.status().await.ok()?.semantic_version == version.0).then_some(())
    })
    .await;
}

/// Everybody's tier, as another record: the columns that stay local.
async fn tiers(network: &Network, people: &[Person]) -> Vec<String> {
    let mut local = Vec::new();
    for (index, vault) in VAULTS.iter().enumerate() {
        let line = |person: &Person| json!({"request_id": format!("tier-{}", person.number), "subject": subject(person), TIER: " GOLD"});
        let lines: Vec<_> = people.iter().filter(|person| person.vault == index).map(line).collect();
        let done = network.put(vault, Upload::Records, "tiers", &lines).await;
        assert_eq!(done.refused_total, 0, "{done:?}");
        local.extend(done.local);
    }
    local
}

/// A new attribute is registered, and admits no task; Vaults take its values; active it is asked for like any other, and the evidence of each
/// task shows what its names meant when it was admitted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_attribute_is_registered_used_and_explained() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--policy", POLICY]);
    network.ready().await;
    let people = crowd(55);
    network.upload("people", &people).await;
    let luckin = network.submitter("luckin");
    let first = luckin.run(&spec(), &RequestId::new("first").unwrap(), |_| {}).await.unwrap().task;

    let name = AttributeName::new(TIER).unwrap();
    amend(
        &network,
        2,
        |_| "a tier".to_owned(),
        |next| {
            let category = next.attributes[&AttributeName::new("commerce.category").unwrap()].clone();
            let registered = Attribute { lifecycle: AttributeLifecycle::Registered, ..category };
            next.attributes.insert(name.clone(), registered);
            let (kind, cross_domain_policy) = (RuleKind::Equality, CrossDomainPolicy::Allowed);
            let is = Rule { attribute: name.clone(), kind, cross_domain_policy };
            next.rules.insert(RuleName::new("commerce.tier_is").unwrap(), is);
        },
    )
    .await;
    assert_eq!(tiers(&network, &people).await, Vec::<String>::new(), "it is governed");
    let mut gold = spec();
    let asked =
        Operand { rule: "commerce.tier_is".to_owned(), text: Some("gold".to_owned()), ..Operand::default() };
    gold.operands = vec![asked];
    let early = luckin.run(&gold, &RequestId::new("early").unwrap(), |_| {}).await.unwrap_err();
    assert!(early.to_string().contains(Code::AttributeUnknown.as_str()), "{early}");

    amend(
        &network,
        3,
        |_| "a tier".to_owned(),
        |next| {
            next.attributes.get_mut(&name).unwrap().lifecycle = AttributeLifecycle::Active;
        },
    )
    .await;
    let second = luckin.run(&gold, &RequestId::new("gold").unwrap(), |_| {}).await.unwrap();
    assert_eq!(second.task.state, "completed");
    let trusted = governance_digest(&founded(&network));
    let evidence = luckin.client.evidence(second.task.task_id).await.unwrap();
    let shown = explain(&evidence, trusted).unwrap();
    assert_eq!(shown.semantic_version, 3);
    let steps: Vec<_> = shown
        .steps
        .iter()
        .map(|step| (step.rule.as_deref(), step.attribute.as_str(), step.defined_in, step.asks.as_str()))
        .collect();
    let delivered = (None, "identity.contact_handle", 1, "is delivered of those who are selected");
    assert_eq!(steps, [(Some("commerce.tier_is"), TIER, 2, "is gold"), delivered]);
    // What was settled before is explained by the version of its time, in the same bytes.
    let evidence = luckin.client.evidence(first.task_id).await.unwrap();
    let before = explain(&evidence, trusted).unwrap();
    assert_eq!((before.semantic_version, before.steps.len()), (1, 4));
    assert!(explain(&evidence[1..], trusted).is_err());
}
