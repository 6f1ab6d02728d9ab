//! The network as its masters show it, side by side (R195, R212): who answers, how far each is, and whether their heads
//! are equal. This is the one answer that is not confirmed as a whole: it has to say what is wrong when the masters do
//! not agree, so it names each one's word.

use std::time::Duration;

use futures::future::join_all;
use symphony_types::catalogue::Code;
use symphony_types::id::NodeId;
use symphony_wire::caller::Caller;
use symphony_wire::v1::{MasterHealth, Status, StatusRequest};
use tokio::time::{sleep, timeout};

use crate::confirm::majority;
use crate::gateway::Gateway;
use crate::masters::{Client, heard};
use crate::problem::Problem;

/// How long a master may take to say how it is.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);
/// Under load masters are asked at different heights; they are asked again so often to meet them at one.
const ATTEMPTS: u32 = 4;
/// Pause between two of these.
const PAUSE: Duration = Duration::from_millis(25);

/// What each master says, `None` where it does not.
type Said = Vec<(NodeId, Option<Status>)>;

impl Gateway {
    /// Asks every master how it is. **Errors**: `GOV-0003` when no master answers.
    pub(crate) async fn get_status(&self, caller: &Caller) -> Result<Status, Problem> {
        let mut said = self.ask_all(caller).await;
        for _ in 1..ATTEMPTS {
            if same_height(&said) {
                break;
            }
            sleep(PAUSE).await;
            said = self.ask_all(caller).await;
        }
        compared(said).ok_or_else(|| Problem::new(Code::Unavailable, "no master answers"))
    }

    async fn ask_all(&self, caller: &Caller) -> Said {
        let ask = |(node, mut client): (&NodeId, Client)| {
            let (node, request) = (node.clone(), self.name(caller, "GetStatus", StatusRequest {}));
            async move {
                let answer = timeout(STATUS_TIMEOUT, client.get_status(request)).await;
                let status = match answer.map(heard) {
                    Ok(Ok(status)) => Some(status),
                    Ok(Err(problem)) => {
                        tracing::debug!(%node, code = %problem.code, "a master does not say how it is");
                        None
                    }
                    Err(_) => {
                        tracing::debug!(%node, "a master does not answer in time");
                        None
                    }
                };
                (node, status)
            }
        };
        join_all(self.masters.all().map(ask)).await
    }
}

fn same_height(said: &Said) -> bool {
    let mut heights = said.iter().filter_map(|(_, status)| Some(status.as_ref()?.height));
    heights.next().is_none_or(|first| heights.all(|height| height == first))
}

/// The status of the network out of its masters'; `None` when there is none.
fn compared(said: Said) -> Option<Status> {
    let masters = said.len();
    let answers: Vec<&Status> = said.iter().filter_map(|(_, status)| status.as_ref()).collect();
    let shown = |one: &Status| answers.iter().filter(|other| head(other) == head(one)).count();
    // What most show, and of these the furthest; without a majority the furthest that a majority has reached.
    let agreed = answers.iter().filter(|one| shown(one) >= majority(masters)).max_by_key(|one| one.height);
    let mut by_height = answers.clone();
    by_height.sort_by_key(|one| std::cmp::Reverse(one.height));
    let reached = by_height.get(majority(masters).min(by_height.len()).checked_sub(1)?)?;
    let mut status = (*agreed.unwrap_or(reached)).clone();
    for node in &mut status.nodes {
        let reaches =
            |one: &&Status| one.nodes.iter().any(|other| other.node == node.node && other.reachable);
        node.reachable = answers.iter().all(reaches);
    }
    status.masters = u32::try_from(masters).unwrap_or(u32::MAX);
    status.master_nodes = said.iter().map(|(node, own)| line(node, own.as_ref(), agreed.copied())).collect();
    Some(status)
}

fn head(status: &Status) -> (u64, &[u8]) {
    (status.height, &status.state_hash)
}

/// One master's line: what it says of itself under the name that its certificate proves.
fn line(node: &NodeId, own: Option<&Status>, agreed: Option<&Status>) -> MasterHealth {
    let unknown = MasterHealth { node: node.to_string(), head: "unknown".to_owned(), ..Default::default() };
    let Some(own) = own else { return unknown };
    let compared = match agreed {
        None => "unknown",
        Some(agreed) if head(agreed) == head(own) => "equal",
        Some(agreed) if own.height < agreed.height => "behind",
        Some(agreed) if own.height > agreed.height => "ahead",
        Some(_) => "differs",
    };
    let itself = own.master_nodes.first().cloned().unwrap_or_default();
    MasterHealth {
        node: node.to_string(),
        reachable: true,
        height: own.height,
        state_hash: own.state_hash.clone(),
        head: compared.to_owned(),
        ..itself
    }
}

#[cfg(test)]
mod tests {
    use symphony_wire::v1::NodeHealth;

    use super::*;

    fn said(answers: [Option<(u64, u8)>; 3]) -> Said {
        let status = |(height, hash): (u64, u8), number: usize| Status {
            height,
            state_hash: vec![hash],
            nodes: vec![NodeHealth {
                node: "vault-a".to_owned(),
                reachable: hash != 9,
                ..Default::default()
            }],
            master_nodes: vec![MasterHealth {
                node: "master-2".to_owned(),
                leader: number == 0,
                ..Default::default()
            }],
            ..Default::default()
        };
        let named = answers.into_iter().enumerate().map(|(number, answer)| {
            let node = NodeId::new(&format!("master-{}", number + 1)).unwrap();
            (node, answer.map(|answer| status(answer, number)))
        });
        named.collect()
    }

    fn heads(status: &Status) -> Vec<&str> {
        status.master_nodes.iter().map(|master| master.head.as_str()).collect()
    }

    /// R195: the masters stand side by side under the names of their certificates.
    #[test]
    fn every_master_has_its_line() {
        let status = compared(said([Some((7, 1)), Some((7, 1)), None])).unwrap();
        assert_eq!((status.masters, status.height), (3, 7));
        let names: Vec<_> = status.master_nodes.iter().map(|master| master.node.as_str()).collect();
        assert_eq!(names, ["master-1", "master-2", "master-3"]);
        assert_eq!(heads(&status), ["equal", "equal", "unknown"]);
        let reachable: Vec<_> = status.master_nodes.iter().map(|master| master.reachable).collect();
        assert_eq!(reachable, [true, true, false]);
        assert!(status.master_nodes[0].leader && !status.master_nodes[1].leader);
    }

    /// R197: a master that is behind, ahead or on another history is told from the others.
    #[test]
    fn heads_are_compared_with_the_majoritys() {
        let status = compared(said([Some((7, 1)), Some((5, 1)), Some((7, 1))])).unwrap();
        assert_eq!(heads(&status), ["equal", "behind", "equal"]);
        let status = compared(said([Some((8, 3)), Some((7, 1)), Some((7, 1))])).unwrap();
        assert_eq!((heads(&status), status.height), (vec!["ahead", "equal", "equal"], 7));
        let status = compared(said([Some((7, 1)), Some((7, 1)), Some((7, 9))])).unwrap();
        assert_eq!(heads(&status), ["equal", "equal", "differs"]);
        assert!(!status.nodes[0].reachable, "a vault is reachable when every master reaches it");
    }

    /// R196: without a majority the furthest height that one has reached is shown, and nothing is called equal.
    #[test]
    fn without_a_majority_nothing_is_called_equal() {
        let status = compared(said([Some((9, 1)), Some((7, 2)), Some((8, 3))])).unwrap();
        assert_eq!((status.height, heads(&status)), (8, vec!["unknown"; 3]));
        let status = compared(said([None, Some((7, 2)), None])).unwrap();
        assert_eq!((status.height, heads(&status)), (7, vec!["unknown"; 3]));
        assert!(compared(said([None, None, None])).is_none());
    }
}
