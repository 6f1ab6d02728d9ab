//! What a client was told happened is durable where it was told, and in every later state of everybody (R211, R212).

use super::{Invariant, Seen};
use crate::bank::Transferred;

/// Acknowledged requests with a height whose state has them.
#[derive(Default)]
pub(super) struct Acknowledged(Vec<(u64, u64)>);

impl Invariant for Acknowledged {
    fn name(&self) -> &'static str {
        "acknowledged"
    }

    fn check(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let host = seen.stepped;
        if host.honest {
            for (transfer, answer) in seen.answers {
                let Ok(ordered) = answer else { continue };
                let told = [Transferred(transfer.clone())];
                if !ordered.events.is_empty() && ordered.events != told {
                    return Err(format!(
                        "host {} answers request {} with another",
                        host.id, transfer.request
                    ));
                }
                let state = host.replica.as_ref().map(|replica| replica.chain().1);
                if !state.is_some_and(|state| state.done.contains(&transfer.request)) {
                    return Err(format!("host {} acknowledges {} without it", host.id, transfer.request));
                }
                self.0.push((transfer.request, host.height()));
            }
        }
        let Some(commit) = seen.decided else { return Ok(()) };
        match self
            .0
            .iter()
            .find(|(request, height)| *height <= commit.place.height && !commit.state.done.contains(request))
        {
            Some((request, height)) => {
                Err(format!("host {} has lost request {request} of height {height}", host.id))
            }
            None => Ok(()),
        }
    }
}
