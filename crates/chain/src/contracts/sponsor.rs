//! The sponsor of fees: an account that pays the gas of members' calls, so that whoever has SYM needs no coin of the chain. It
//! pays only for what a member has to call to take part, only what the chain would execute as it is, and so much a day.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use symphony_types::id::AccountId;
use symphony_types::key::{PrivateKey, PublicKey, Wallet};
use symphony_types::time::{DAY_MS, OrderedMillis};

use super::{Deployment, transaction};
use crate::refusal::Unsponsored;
use crate::transaction::{Call, Draft, Sponsorship};

/// Whose gas a sponsor pays, counted anew each day of the chain and with each start of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SponsorLimits {
    /// Calls of one account a day.
    pub per_account: u32,
    /// Calls of all accounts together a day.
    pub per_day: u32,
}

/// An account that pays.
pub struct Sponsor {
    key: PrivateKey<Wallet>,
    limits: SponsorLimits,
    today: Mutex<Today>,
}

#[derive(Default)]
struct Today {
    day: u64,
    all: u32,
    by_account: BTreeMap<AccountId, u32>,
}

impl Sponsor {
    /// The account that `key` controls.
    pub fn new(key: PrivateKey<Wallet>, limits: SponsorLimits) -> Self {
        Self { key, limits, today: Mutex::default() }
    }

    pub(super) fn key(&self) -> PublicKey<Wallet> {
        self.key.public()
    }

    /// Whether a draft is of a kind that is paid for, at the chain's time and price.
    pub(super) fn judge(&self, draft: &Draft, now: OrderedMillis, gas_price: u64) -> Result<(), Unsponsored> {
        if !takes_part(&draft.call) {
            return Err(Unsponsored::Call);
        }
        if draft.gas_price > gas_price.saturating_mul(2) {
            return Err(Unsponsored::Price);
        }
        if draft.expires > now.plus(LIFE_MS_MAX) {
            return Err(Unsponsored::Expiry);
        }
        Ok(())
    }

    /// Counts a draft and signs it.
    pub(super) fn sign(
        &self,
        deployment: &Deployment,
        draft: &Draft,
        now: OrderedMillis,
    ) -> Result<Sponsorship, Unsponsored> {
        self.count(draft.key.account(), now)?;
        Ok(transaction::sponsor(&self.key, deployment, draft))
    }

    fn count(&self, account: AccountId, now: OrderedMillis) -> Result<(), Unsponsored> {
        let mut today = self.today.lock().unwrap_or_else(PoisonError::into_inner);
        let day = now.0 / DAY_MS;
        if today.day != day {
            *today = Today { day, ..Today::default() };
        }
        let own = today.by_account.get(&account).copied().unwrap_or(0);
        if own >= self.limits.per_account || today.all >= self.limits.per_day {
            return Err(Unsponsored::Limit);
        }
        today.all += 1;
        today.by_account.insert(account, own + 1);
        Ok(())
    }
}

/// Calls that a member makes for itself: a submitter's locks, anybody's stake, a producer's dividends.
const fn takes_part(call: &Call) -> bool {
    match call {
        Call::EscrowLock { .. }
        | Call::EscrowReclaim { .. }
        | Call::StakeDeposit { .. }
        | Call::StakeWithdrawRequest { .. }
        | Call::StakeWithdraw { .. }
        | Call::ClaimDividend { .. } => true,
        Call::Transfer { .. }
        | Call::Slash { .. }
        | Call::Payout(_)
        | Call::PayNodes { .. }
        | Call::TreasuryRelease { .. }
        | Call::RecordVote(_)
        | Call::MintEpoch => false,
    }
}

/// How long a sponsored transaction may be executed at most.
const LIFE_MS_MAX: u64 = 10 * 60_000;

#[cfg(test)]
mod tests {
    use symphony_types::amount::Sym;
    use symphony_types::digest::Digest;

    use super::*;
    use crate::transaction::{ChainId, Tier};

    const NOW: OrderedMillis = OrderedMillis(20 * DAY_MS);

    fn wallet(seed: u8) -> PrivateKey<Wallet> {
        PrivateKey::from_seed(&[seed; 32])
    }

    fn draft(seed: u8, call: Call) -> Draft {
        Draft { key: wallet(seed).public(), sequence: 0, gas_price: 100, expires: NOW.plus(60_000), call }
    }

    fn staking() -> Call {
        Call::StakeDeposit { tier: Tier::Producer, amount: Sym(1) }
    }

    fn sponsor() -> Sponsor {
        Sponsor::new(wallet(9), SponsorLimits { per_account: 2, per_day: 3 })
    }

    /// R176: what is not a member's own call, too dear or too long alive is not paid for.
    #[test]
    fn a_draft_is_judged_by_call_price_and_life() {
        let sponsor = sponsor();
        assert_eq!(sponsor.judge(&draft(1, staking()), NOW, 50), Ok(()));
        let paying = Call::Transfer { to: wallet(2).public().account(), amount: Sym(1) };
        assert_eq!(sponsor.judge(&draft(1, paying), NOW, 100), Err(Unsponsored::Call));
        assert_eq!(sponsor.judge(&draft(1, Call::MintEpoch), NOW, 100), Err(Unsponsored::Call));
        assert_eq!(sponsor.judge(&draft(1, staking()), NOW, 49), Err(Unsponsored::Price));
        let long = Draft { expires: NOW.plus(LIFE_MS_MAX + 1), ..draft(1, staking()) };
        assert_eq!(sponsor.judge(&long, NOW, 100), Err(Unsponsored::Expiry));
    }

    /// So many of one account, so many of all, and anew the next day.
    #[test]
    fn so_much_is_paid_a_day() {
        let sponsor = sponsor();
        let deployment = Deployment::by(ChainId::new("test").unwrap(), 4, AccountId(Digest([13; 32])));
        let sign = |seed, now| sponsor.sign(&deployment, &draft(seed, staking()), now).map(|_| ());
        assert_eq!([sign(1, NOW), sign(1, NOW)], [Ok(()); 2]);
        assert_eq!(sign(1, NOW), Err(Unsponsored::Limit), "the account's");
        assert_eq!(sign(2, NOW), Ok(()));
        assert_eq!(sign(3, NOW), Err(Unsponsored::Limit), "everybody's");
        assert_eq!(sign(1, NOW.plus(DAY_MS)), Ok(()));
    }
}
