//! `symphony wallet`, `stake`, `unstake`, `rewards`, `claim` and `treasury`: SYM, as its owner and as the treasury's signers.

use anyhow::Result;
use serde_json::json;
use symphony_chain::ledger::query::Account;
use symphony_chain::transaction::{ProposalKind, Release, Tier, VoteResult};
use symphony_sdk::client::Client;
use symphony_sdk::shape::DividendEntry;
use symphony_sdk::treasury;
use symphony_sdk::wallet::{self, Wallet};
use symphony_types::amount::Sym;
use symphony_types::id::{AccountId, LockRef, VaultId};
use symphony_types::key::Document as _;

use super::args::Person;
use super::args::money::{Released, Treasury, Wallet as Command};
use super::run::{ASSIGNED, Session, Usage};
use super::show;

impl Session {
    pub(super) async fn wallet(&self, command: Command) -> Result<()> {
        if matches!(command, Command::New) {
            let wallet = Wallet::create(self.profile.wallet_file()?, self.profile.chain()?)?;
            self.key("account", &wallet.account().to_string());
            return Ok(());
        }
        let (client, wallet) = (self.profile.client()?, self.profile.wallet()?);
        let executed = match command {
            Command::New | Command::Show => {
                let held = wallet.holding(&client).await?;
                self.account(wallet.account(), &held);
                return Ok(());
            }
            Command::Transfer { to, amount } => wallet.transfer(&client, AccountId(to), amount).await?,
            Command::Reclaim { lock } => wallet.reclaim(&client, LockRef(lock)).await?,
        };
        self.key("transaction", &executed.hash.to_string());
        Ok(())
    }

    pub(super) async fn stake(&self, tier: Tier, amount: Sym) -> Result<()> {
        let executed = self.profile.wallet()?.stake(&self.profile.client()?, tier, amount).await?;
        self.key("transaction", &executed.hash.to_string());
        Ok(())
    }

    pub(super) async fn unstake(&self, tier: Tier, amount: Option<Sym>) -> Result<()> {
        let (client, wallet) = (self.profile.client()?, self.profile.wallet()?);
        let executed = match amount {
            Some(amount) => wallet.unstake(&client, tier, amount).await?,
            None => wallet.withdraw(&client, tier).await?,
        };
        self.key("transaction", &executed.hash.to_string());
        Ok(())
    }

    pub(super) async fn rewards(&self, person: &Person) -> Result<()> {
        let client = self.profile.client()?;
        let (vault, dividends) = self.dividends(&client, person).await?;
        let mut rewards = Vec::new();
        for dividend in dividends {
            let claimed = wallet::claimed(&client, &vault, &dividend).await?;
            rewards.push((dividend, claimed));
        }
        let answer: Vec<_> = rewards
            .iter()
            .map(|(dividend, claimed)| json!({"vault": vault, "dividend": dividend, "claimed": claimed}))
            .collect();
        show::print(self.json, &answer, |_| {
            let rows = rewards.iter().map(|(dividend, claimed)| {
                let epoch = dividend.epoch_id.to_string();
                [epoch, show::sym(dividend.amount), show::yes(*claimed).to_owned(), dividend.account.clone()]
            });
            show::table(["epoch", "SYM", "taken", "account"], rows)
        });
        Ok(())
    }

    pub(super) async fn claim(&self, person: &Person) -> Result<()> {
        let (client, wallet) = (self.profile.client()?, self.profile.wallet()?);
        let (vault, dividends) = self.dividends(&client, person).await?;
        let own = wallet.account().to_string();
        let mut claimed = Vec::new();
        for dividend in dividends.into_iter().filter(|dividend| dividend.account == own) {
            if wallet.claim(&client, &vault, &dividend).await?.is_some() {
                claimed.push(dividend);
            }
        }
        show::print(self.json, &claimed, |claimed| {
            let rows = claimed.iter();
            let rows = rows.map(|dividend| [dividend.epoch_id.to_string(), show::sym(dividend.amount)]);
            show::table(["claimed epoch", "SYM"], rows)
        });
        Ok(())
    }

    /// A person's dividends, with the name of their Vault.
    async fn dividends(&self, client: &Client, person: &Person) -> Result<(VaultId, Vec<DividendEntry>)> {
        let subject = self.profile.subject(person.subject.as_deref())?;
        let dividends = client.dividends(&person.vault, subject).await?;
        let vault = match person.vault.as_str() {
            ASSIGNED => client.assigned().await?.vault_id,
            named => named.to_owned(),
        };
        Ok((VaultId::new(&vault).map_err(|error| Usage(format!("vault: {error}")))?, dividends))
    }

    pub(super) async fn treasury(&self, command: Treasury) -> Result<()> {
        match command {
            Treasury::Show => {
                let client = self.profile.client()?;
                let (funds, minting) = (treasury::funds(&client).await?, treasury::minting(&client).await?);
                let places = [
                    ("minted", funds.minted),
                    ("treasury", funds.treasury),
                    ("pool", funds.pool),
                    ("incentives", funds.incentives),
                ];
                let mut answer: serde_json::Map<_, _> = places
                    .iter()
                    .map(|(place, sym)| ((*place).to_owned(), json!(sym.0.to_string())))
                    .collect();
                answer.insert(
                    "minting".to_owned(),
                    json!({"next": minting.next, "ends": minting.ends, "due_ms": minting.due.0}),
                );
                let next = if minting.next < minting.ends {
                    format!("epoch {} of {}", minting.next + 1, minting.ends)
                } else {
                    "nothing: the schedule has ended".to_owned()
                };
                show::print(self.json, &answer, |_| {
                    let rows = places.map(|(place, sym)| [place.to_owned(), show::sym(sym)]);
                    show::table(["", "SYM"], rows.into_iter().chain([["minted next".to_owned(), next]]))
                });
            }
            Treasury::Record { release, votes_for, votes_against, eligible } => {
                let release = self.released(&release)?;
                let (proposal, kind, payload) = (release.proposal, ProposalKind::Release, release.digest());
                let result = VoteResult { proposal, kind, payload, votes_for, votes_against, eligible };
                let executed = self.profile.wallet()?.record(&self.profile.client()?, result).await?;
                self.key("transaction", &executed.hash.to_string());
            }
            Treasury::Approve { release, signer, out } => {
                let approval = treasury::approve(&signer, self.released(&release)?, &out)?;
                self.key("signer", &hex::encode(approval.key.as_bytes()));
            }
            Treasury::Release { approvals } => {
                let (release, approvals) = treasury::approvals(&approvals)?;
                let (client, wallet) = (self.profile.client()?, self.profile.wallet()?);
                let executed = wallet.release(&client, release, approvals).await?;
                self.key("transaction", &executed.hash.to_string());
            }
        }
        Ok(())
    }

    fn released(&self, asked: &Released) -> Result<Release> {
        let (amount, proposal) = (asked.amount, asked.proposal);
        Ok(Release { chain: self.profile.chain()?, to: AccountId(asked.to), amount, proposal })
    }

    fn account(&self, account: AccountId, held: &Account) {
        let stakes = held.stakes.iter().map(|(tier, stake)| {
            json!({"tier": format!("{tier:?}").to_lowercase(), "deposit": stake.deposit.0.to_string(),
                "cooling": stake.cooling.0.to_string(), "matures_ms": stake.matures.0})
        });
        let answer = json!({"account": account.to_string(), "balance": held.balance.0.to_string(),
            "sequence": held.sequence, "stakes": stakes.collect::<Vec<_>>()});
        show::print(self.json, &answer, |_| {
            let rows = held.stakes.iter().flat_map(|(tier, stake)| {
                let tier = format!("{tier:?}").to_lowercase();
                let cooling = (stake.cooling > Sym::ZERO)
                    .then(|| [format!("cooling {tier}"), show::sym(stake.cooling)]);
                [Some([format!("stake {tier}"), show::sym(stake.deposit)]), cooling].into_iter().flatten()
            });
            let head = [
                ["account".to_owned(), account.to_string()],
                ["balance".to_owned(), show::sym(held.balance)],
            ];
            show::table(["", ""], head.into_iter().chain(rows))
        });
    }
}
