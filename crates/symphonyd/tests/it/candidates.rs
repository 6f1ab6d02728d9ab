//! A column that no governed attribute is for is found in all Vaults of a running network, pooled, proposed and promoted (R044, R050, R051,
//! R193).

use std::time::{Duration, Instant};

use serde_json::json;
use symphony_protocol::governance::semantics::*;
use symphony_sdk::client::Upload;
use symphony_sdk::semantics::{PromotionError, promoted};
use symphony_sdk::shape::candidates::{CandidatePool, PooledCandidate};
use symphony_types::catalogue::Code;
use symphony_types::id::AttributeName;

use crate::meanings::amend;
use crate::network::{Network, Person, TURN, VAULTS, code, crowd, subject};

/// A report costs so much that its noise is small beside the people of a test, of budgets that are large enough for many.
const POLICY: &str = "challenge=200,epoch=1500,timelock=100,marketing=900000000,research=900000000,\
                      subject_cap=9000000000,candidates_epsilon=64000000,candidates_people=13";
const TIER: &str = "commerce.loyalty_tier";
const ALONE: &str = "shoe.size";

/// A purchase of everybody with a tier, and at the last Vault with one more column: the columns that stay local, by Vault.
async fn purchases(network: &Network, people: &[Person], round: u32) -> Vec<Vec<String>> {
    let mut local = Vec::new();
    for (index, vault) in VAULTS.iter().enumerate() {
        let line = |person: &Person| {
            let mut line = json!({
                "request_id": format!("tier-{round}-{}", person.number), "subject": subject(person),
                "commerce.merchant": "Luckin Coffee", TIER: "GOLD",
            });
            if index == 2 {
                line[ALONE] = json!(44);
            }
            line
        };
        let lines: Vec<_> = people.iter().filter(|person| person.vault == index).map(line).collect();
        let done = network.put(vault, Upload::Records, &format!("tiers-{round}"), &lines).await;
        assert_eq!(done.refused_total, 0, "{done:?}");
        local.push(done.local);
    }
    local
}

/// The pools of all epochs that there are.
async fn pools(network: &Network) -> Vec<CandidatePool> {
    let client = network.client("council-1");
    let Ok(last) = client.candidate_pool(None).await else { return vec![] };
    let mut pools = Vec::new();
    for epoch in last.epochs {
        // The first ones go when their time is over.
        pools.extend(client.candidate_pool(Some(epoch)).await);
    }
    pools
}

/// Purchases in one epoch after the other, until all Vaults had some in the same: its pool.
async fn found(network: &Network, people: &[Person]) -> CandidatePool {
    for round in 0..8 {
        assert_eq!(purchases(network, people, round).await, [vec![TIER], vec![TIER], vec![TIER, ALONE]]);
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        while Instant::now() < deadline {
            ticks.tick().await;
            let pools = pools(network).await;
            let names = pools.iter().flat_map(|pool| &pool.candidates).map(|one| one.name.as_str());
            assert!(names.clone().all(|name| name == TIER), "one Vault's own is shown: {pools:?}");
            if let Some(pool) = pools.into_iter().find(|pool| !pool.candidates.is_empty()) {
                return pool;
            }
        }
    }
    panic!("nothing was pooled");
}

/// The candidate of all Vaults shows, that of one does not; proposed with what was found and promoted, it is a candidate nowhere any more and
/// the next record has it as governed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_of_all_vaults_is_found_proposed_and_governed() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--policy", POLICY]);
    network.ready().await;
    let luckin = network.client("luckin");
    assert_eq!(code(luckin.candidate_pool(None).await), Code::NotFound.as_str());
    let stranger = network.client_as("somebody", "submitter");
    assert_eq!(code(stranger.candidate_pool(None).await), Code::Forbidden.as_str());
    let people = crowd(20);
    network.upload("people", &people).await;
    for (index, vault) in VAULTS.iter().enumerate() {
        let here = people.iter().filter(|person| person.vault == index);
        let line =
            |person: &Person| json!({"subject": subject(person), "scope": "research", "state": "granted"});
        let done =
            network.put(vault, Upload::Consents, "research", &here.map(line).collect::<Vec<_>>()).await;
        assert_eq!((done.accepted, done.refused_total), (20, 0), "{done:?}");
    }
    let pool = found(&network, &people).await;
    let [PooledCandidate { kind, vaults, people: counted, agreement, epochs, .. }] =
        pool.candidates.as_slice()
    else {
        panic!("{pool:?}");
    };
    assert_eq!((kind.as_str(), *vaults, *epochs >= 1, pool.vaults_min), ("text", 3, true, 3));
    assert!((40..=80).contains(counted) && *agreement > 9_000, "{pool:?}");

    let name = AttributeName::new(TIER).unwrap();
    let mut why = String::new();
    let reason = |amendment: &_| {
        let shoes = AttributeName::new(ALONE).unwrap();
        assert!(matches!(promoted(&pool, &shoes, amendment, ""), Err(PromotionError::Absent(_))));
        why = promoted(&pool, &name, amendment, "shops want it").unwrap();
        why.clone()
    };
    amend(&network, 2, reason, |next| {
        let category = next.attributes[&AttributeName::new("commerce.category").unwrap()].clone();
        let registered = Attribute { lifecycle: AttributeLifecycle::Registered, ..category };
        next.attributes.insert(name.clone(), registered);
    })
    .await;
    let proposals = luckin.governance().await.unwrap().proposals;
    assert!(proposals.iter().any(|proposal| proposal.summary == why), "{proposals:?}");
    assert!(why.starts_with("shops want it (candidate commerce.loyalty_tier in epoch "), "{why}");
    assert!(why.contains("text, 3 vaults, about "), "{why}");

    let governed: [Vec<String>; 3] = [vec![], vec![], vec![ALONE.to_owned()]];
    assert_eq!(purchases(&network, &people, 99).await, governed);
    for (vault, local) in VAULTS.iter().zip(governed) {
        let candidates = network.client(&format!("operator-{vault}")).candidates(vault).await.unwrap();
        assert_eq!(candidates.into_iter().map(|one| one.name).collect::<Vec<_>>(), local);
    }
}
