//! The payout service has penalties executed by the staking contract (R143), as the one account that may. A slash is executed
//! once by its reference, takes what is there and no more, and never keeps anybody from being paid.

use symphony_chain::ledger::Abort;
use symphony_chain::outbox::{Outbox, OutboxError};
use symphony_chain::port::{Chain, ChainError};
use symphony_chain::refusal::Refusal;
use symphony_chain::transaction::{Call, Tier};
use symphony_protocol::artifact::penalty::Slash;
use symphony_types::time::OrderedMillis;

/// Executes what is left of these, or finds it executed. **Errors**: [`OutboxError`]; the same again goes on.
pub(super) async fn slash(
    outbox: &Outbox,
    chain: &impl Chain,
    slashes: &[Slash],
    now: OrderedMillis,
) -> Result<(), OutboxError> {
    for Slash { account, amount, reference } in slashes {
        // Whoever vouches for results is a node of the network's own.
        let call =
            Call::Slash { account: *account, tier: Tier::Master, amount: *amount, reference: *reference };
        match outbox.execute(chain, &format!("slash-{reference}"), call, now).await {
            Ok(_) => tracing::warn!(%reference, "stake is slashed"),
            Err(OutboxError::Chain(ChainError::Refused(Refusal::Abort(abort)))) if over(abort) => {
                tracing::warn!(%reference, %abort, "nothing is left to slash");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether a refusal means that nothing is left to do.
const fn over(abort: Abort) -> bool {
    matches!(abort, Abort::StakeMissing | Abort::SlashRepeated)
}

#[cfg(test)]
mod tests;
