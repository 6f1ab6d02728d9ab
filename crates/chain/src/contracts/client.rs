//! The client: submits, finds out what became of a transaction, reads. Every outcome has one next step:
//!
//! | the node says | it means | next |
//! |---|---|---|
//! | executed | done | nothing |
//! | executed, failed | refused for good, its number is used | another may be signed |
//! | pending, or not known and not expired | alive | the same bytes again |
//! | not known, and the node's own time is past the expiry | dead | another may be signed |
//! | not known, expired so long ago that it may have been pruned, its number used | undecided | somebody looks |
//! | refuses the bytes | no effect, unless they were sent before | ask for the fate |
//! | it is behind what this client saw | a lagging node | ask again |
//! | fewer versions at a later time, or another transaction at a known place | a reset chain | stop until an operator accepts it |
//! | another number of the chain | a wrong network | stop |

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, EpochId, LockRef};
use symphony_types::time::{DAY_MS, OrderedMillis};

use super::call::{Entry, bytes, tier};
use super::fullnode::{Answered, FullNode, Head, Refused};
use super::read::{self, Values};
use super::sponsor::Sponsor;
use super::{Deployment, transaction};
use crate::ledger::escrow::Lock;
use crate::ledger::query::{Account, Answer, Fate, Funds, Query};
use crate::ledger::reward::BatchRecord;
use crate::ledger::{Abort, Receipt};
use crate::port::{ChainError, Request, Response, Transport};
use crate::refusal::{Refusal, Unsponsored};
use crate::transaction::{Anchor, ChainTerms, Draft, Sponsorship, Submission, Tier, Track};

/// The contracts through one full node.
pub struct Contracts {
    node: FullNode,
    deployment: Deployment,
    sponsor: Option<Sponsor>,
    wait: Duration,
    /// Keeps [`Mark`] over restarts.
    file: PathBuf,
    mark: Mutex<Mark>,
}

/// How far the chain was seen, and one transaction of it, so that another chain under its name is found out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    version: u64,
    time: u64,
    known: Option<(u64, Digest)>,
}

/// What became of a transaction that the node knows.
enum Seen {
    Committed(Result<Receipt, Refusal>),
    Pending,
    /// The node does not know it, at this place.
    Absent(Head),
}

impl Contracts {
    /// The contracts of a deployment through the node at `url`; what was seen of the chain is kept in `folder`.
    ///
    /// **Errors**: the URL is none, or the folder cannot be used.
    pub fn open(url: &str, deployment: Deployment, folder: &Path) -> Result<Self, ChainError> {
        let unusable = |error: io::Error| ChainError::Unreachable(format!("{}: {error}", folder.display()));
        fs::create_dir_all(folder).map_err(unusable)?;
        let file = folder.join(MARK_FILE);
        let mark = match fs::read(&file) {
            Ok(bytes) => bcs::from_bytes(&bytes).map_err(|_| ChainError::Garbled)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Mark::default(),
            Err(error) => return Err(unusable(error)),
        };
        let node = FullNode::new(url)?;
        Ok(Self { node, deployment, sponsor: None, wait: WAIT, file, mark: Mutex::new(mark) })
    }

    /// The same, with an account that pays the gas of members' calls.
    #[must_use]
    pub fn sponsored(self, sponsor: Sponsor) -> Self {
        Self { sponsor: Some(sponsor), ..self }
    }

    /// The same, with another time that a submission waits for its execution before its outcome is called unknown.
    #[must_use]
    pub fn waiting(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Serves one request of the port.
    pub async fn respond(&self, request: Request) -> Result<Response, ChainError> {
        let refused = |answer| match answer {
            Err(ChainError::Refused(refusal)) => Ok(Response::Refused(refusal)),
            other => other,
        };
        match request {
            Request::Query(query) => Ok(Response::Answer(self.answer(&query).await?)),
            Request::Submit(Submission::Ledger(_)) => Ok(Response::Refused(Abort::WrongChain.into())),
            Request::Submit(Submission::Contracts(signed)) => {
                refused(self.submit(signed).await.map(Response::Executed))
            }
        }
    }

    /// Has a transaction executed and waits until it is.
    async fn submit(&self, signed: Vec<u8>) -> Result<Receipt, ChainError> {
        self.check_chain().await?;
        let hash = transaction::hash(&signed);
        match self.seen(hash).await? {
            Seen::Committed(outcome) => return outcome.map_err(ChainError::Refused),
            Seen::Pending => {}
            Seen::Absent(_) => self.hand_in(signed).await?,
        }
        let begun = Instant::now();
        while begun.elapsed() < self.wait {
            if let Seen::Committed(outcome) = self.seen(hash).await? {
                return outcome.map_err(ChainError::Refused);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Err(ChainError::Unreachable("the transaction is not confirmed yet".to_owned()))
    }

    async fn hand_in(&self, signed: Vec<u8>) -> Result<(), ChainError> {
        match self.node.submit(signed).await?.body {
            Ok(_) => Ok(()),
            Err(refused) if refused.says("mempool") => {
                Err(ChainError::Unreachable("the chain is congested".to_owned()))
            }
            Err(refused) => Err(ChainError::Refused(refused.of_submission())),
        }
    }

    async fn seen(&self, hash: Digest) -> Result<Seen, ChainError> {
        let Answered { head, body } = self.current(self.node.by_hash(hash).await?)?;
        match body {
            Err(refused) if refused.status == NOT_FOUND => Ok(Seen::Absent(head)),
            Err(refused) => Err(ChainError::Unreachable(refused.message)),
            Ok(told) if told["type"] == PENDING => Ok(Seen::Pending),
            Ok(told) => {
                let version = read::number(&told["version"]).ok_or(ChainError::Garbled)?;
                let time = read::number(&told["timestamp"]).ok_or(ChainError::Garbled)?;
                if told["success"] == true {
                    self.remember(version, hash)?;
                    let at = OrderedMillis(time / 1_000);
                    return Ok(Seen::Committed(Ok(Receipt { hash, version, at, events: vec![] })));
                }
                let status = told["vm_status"].as_str().unwrap_or_default();
                Ok(Seen::Committed(Err(failure(status))))
            }
        }
    }

    async fn fate(&self, track: &Track) -> Result<Fate, ChainError> {
        let head = match self.seen(track.hash).await? {
            Seen::Committed(Ok(receipt)) => return Ok(Fate::Executed(receipt)),
            Seen::Committed(Err(refusal)) => return Ok(Fate::Refused(refusal)),
            Seen::Pending => return Ok(Fate::Alive),
            Seen::Absent(head) => head,
        };
        if head.time < track.expires {
            return Ok(Fate::Alive);
        }
        if head.time < track.expires.plus(KEPT_MS) || self.sequence(track.sender).await? <= track.sequence {
            return Ok(Fate::Dead);
        }
        Ok(Fate::Undecided)
    }

    async fn answer(&self, query: &Query) -> Result<Answer, ChainError> {
        Ok(match query {
            Query::Terms => Answer::Terms(self.terms().await?),
            Query::Fate(track) => Answer::Fate(self.fate(track).await?),
            Query::Receipt(hash) => Answer::Receipt(match self.seen(*hash).await? {
                Seen::Committed(Ok(receipt)) => Some(receipt),
                Seen::Committed(Err(_)) | Seen::Pending | Seen::Absent(_) => None,
            }),
            Query::Lock(lock) => Answer::Lock(self.lock(*lock).await?),
            Query::Account(account) => Answer::Account(self.account(*account).await?),
            Query::Staked => Answer::Staked(self.staked().await?),
            Query::Anchor(task) => {
                let found = self.view("reward", "anchor_of", vec![bytes(task)]).await?.digests();
                let root = found.ok_or(ChainError::Garbled)?.first().copied();
                Answer::Anchor(root.map(|settlement_root| Anchor { task: *task, settlement_root }))
            }
            Query::Tree(vault, epoch) => {
                let found = self.find("reward", "tree", vec![bytes(vault), bytes(epoch)]).await?;
                Answer::Tree(found.map(|values| read::tree(values).ok_or(ChainError::Garbled)).transpose()?)
            }
            Query::Claimed(vault, epoch, index) => {
                let args = vec![bytes(vault), bytes(epoch), bytes(index)];
                let claimed = self.view("reward", "is_claimed", args).await?.flag();
                Answer::Claimed(claimed.ok_or(ChainError::Garbled)?)
            }
            Query::Batch(batch_id) => Answer::Batch(self.batch(*batch_id).await?),
            Query::Epoch(epoch) => Answer::Epoch(self.epoch(*epoch).await?),
            Query::Funds => Answer::Funds(self.funds().await?),
            Query::Carry(vault) => {
                let kept = self.view("reward", "carry", vec![bytes(vault)]).await?.sym();
                Answer::Carry(kept.ok_or(ChainError::Garbled)?)
            }
            Query::Inflation => {
                let minting = read::minting(self.view("inflation", "epochs", vec![]).await?);
                Answer::Inflation(minting.ok_or(ChainError::Garbled)?)
            }
            Query::NodesPaid(epoch) => {
                let paid = self.view("inflation", "is_paid", vec![bytes(epoch)]).await?.flag();
                Answer::NodesPaid(paid.ok_or(ChainError::Garbled)?)
            }
            Query::Sponsorship(draft) => Answer::Sponsorship(match self.sponsorship(draft).await {
                Err(ChainError::Refused(refusal)) => Err(refusal),
                other => Ok(other?),
            }),
        })
    }

    async fn terms(&self) -> Result<ChainTerms, ChainError> {
        let (gas_price, _) = self.gas_price().await?;
        Ok(ChainTerms::Contracts { deployment: self.deployment.clone(), gas_price })
    }

    /// What a unit of gas costs, and how far the chain was then.
    async fn gas_price(&self) -> Result<(u64, Head), ChainError> {
        let answer = self.current(self.node.gas_price().await?)?;
        let gas_price = answer.value()?["gas_estimate"].as_u64().ok_or(ChainError::Garbled)?;
        Ok((gas_price, answer.head))
    }

    /// The sponsor's word for a draft that the chain would execute as it is now.
    async fn sponsorship(&self, draft: &Draft) -> Result<Sponsorship, ChainError> {
        let refused = |reason: Unsponsored| ChainError::Refused(reason.into());
        let sponsor = self.sponsor.as_ref().ok_or_else(|| refused(Unsponsored::Nobody))?;
        let (gas_price, Head { time, .. }) = self.gas_price().await?;
        sponsor.judge(draft, time, gas_price).map_err(refused)?;
        let unsigned = transaction::unsigned(&self.deployment, draft, sponsor.key());
        match self.current(self.node.simulate(unsigned).await?)?.body {
            Err(said) => return Err(ChainError::Refused(said.of_submission())),
            Ok(told) if told[0]["success"] == true => {}
            Ok(told) => {
                let status = told[0]["vm_status"].as_str().unwrap_or_default();
                return Err(ChainError::Refused(failure(status)));
            }
        }
        sponsor.sign(&self.deployment, draft, time).map_err(refused)
    }

    async fn lock(&self, lock: LockRef) -> Result<Option<Lock>, ChainError> {
        let Some(got) = self.find("escrow", "get", vec![bytes(&lock)]).await? else { return Ok(None) };
        let settlement = self.find("escrow", "settlement", vec![bytes(&lock)]).await?;
        read::lock(lock, got, settlement).ok_or(ChainError::Garbled).map(Some)
    }

    async fn account(&self, account: AccountId) -> Result<Account, ChainError> {
        let balance = self.view("sym", "balance", vec![bytes(&account)]).await?.sym();
        let mut stakes = BTreeMap::new();
        for one in [Tier::Master, Tier::Enterprise, Tier::Producer] {
            let values = self.view("staking", "stake", vec![bytes(&account), bytes(&tier(one))]).await?;
            let stake = read::stake(values).ok_or(ChainError::Garbled)?;
            if stake.deposit.0 > 0 || stake.cooling.0 > 0 {
                stakes.insert(one, stake);
            }
        }
        let sequence = self.sequence(account).await?;
        Ok(Account { balance: balance.ok_or(ChainError::Garbled)?, sequence, stakes })
    }

    /// How many transactions an account sent; none when the chain does not know it.
    async fn sequence(&self, account: AccountId) -> Result<u64, ChainError> {
        let answer = self.current(self.node.account(account).await?)?;
        match &answer.body {
            Err(refused) if refused.status == NOT_FOUND => Ok(0),
            _ => read::number(&answer.value()?["sequence_number"]).ok_or(ChainError::Garbled),
        }
    }

    async fn staked(&self) -> Result<BTreeSet<AccountId>, ChainError> {
        let of = bytes(&tier(Tier::Producer));
        let members = self.view("staking", "member_count", vec![of.clone()]).await?.number();
        let members = members.ok_or(ChainError::Garbled)?;
        let mut staked = BTreeSet::new();
        for from in (0..members).step_by(STAKED_PAGE) {
            let args = vec![of.clone(), bytes(&from), bytes(&(STAKED_PAGE as u64))];
            let page = self.view("staking", "staked", args).await?.digests();
            staked.extend(page.ok_or(ChainError::Garbled)?.into_iter().map(AccountId));
        }
        Ok(staked)
    }

    async fn batch(&self, batch_id: Digest) -> Result<Option<BatchRecord>, ChainError> {
        let args = vec![bytes(&batch_id)];
        let executed = read::executed(self.view("reward", "batch", args.clone()).await?);
        let Some((bytes, epoch)) = executed.ok_or(ChainError::Garbled)? else { return Ok(None) };
        let totals = read::totals(self.view("reward", "batch_totals", args).await?);
        Ok(Some(BatchRecord { batch_id, bytes, epoch, totals: totals.ok_or(ChainError::Garbled)? }))
    }

    async fn epoch(&self, epoch: EpochId) -> Result<Vec<BatchRecord>, ChainError> {
        let ids = self.view("reward", "epoch", vec![bytes(&epoch)]).await?.digests();
        let mut records = Vec::new();
        for id in ids.ok_or(ChainError::Garbled)? {
            records.push(self.batch(id).await?.ok_or(ChainError::Garbled)?);
        }
        records.sort_by_key(|record| record.batch_id);
        Ok(records)
    }

    async fn funds(&self) -> Result<Funds, ChainError> {
        let minted = self.view("sym", "minted", vec![]).await?.sym();
        let treasury = self.view("treasury", "balance", vec![]).await?.sym();
        let mut held = self.view("reward", "holdings", vec![]).await?;
        let (pool, incentives) = (held.sym(), held.sym());
        let known =
            (|| Some(Funds { minted: minted?, treasury: treasury?, pool: pool?, incentives: incentives? }))();
        known.ok_or(ChainError::Garbled)
    }

    async fn view(
        &self,
        module: &'static str,
        function: &'static str,
        args: Vec<Vec<u8>>,
    ) -> Result<Values, ChainError> {
        self.find(module, function, args).await?.ok_or(ChainError::Garbled)
    }

    /// As [`Self::view`]; `None` when the contracts do not have what is asked for.
    async fn find(
        &self,
        module: &'static str,
        function: &'static str,
        args: Vec<Vec<u8>>,
    ) -> Result<Option<Values>, ChainError> {
        let entry = Entry::new(module, function, args);
        let answer = self.current(self.node.view(&self.deployment, entry).await?)?;
        match answer.body {
            Ok(body) => Values::of(body).map(Some).ok_or(ChainError::Garbled),
            Err(refused) if read::missing(&refused) => Ok(None),
            Err(refused) => Err(ChainError::Unreachable(refused.message)),
        }
    }

    /// An answer of a node that is on this chain and not behind.
    fn current(&self, answer: Answered) -> Result<Answered, ChainError> {
        let Head { number, version, time } = answer.head;
        if number != self.deployment.number {
            return Err(Abort::WrongChain.into());
        }
        let mut mark = self.mark.lock().unwrap_or_else(PoisonError::into_inner);
        if version >= mark.version {
            (mark.version, mark.time) = (version, mark.time.max(time.0));
            return Ok(answer);
        }
        if time.0 > mark.time {
            return Err(reset());
        }
        Err(ChainError::Unreachable("the node is behind the chain".to_owned()))
    }

    /// Keeps the first transaction that was seen executed, which another chain does not have at its place.
    fn remember(&self, version: u64, hash: Digest) -> Result<(), ChainError> {
        let mut mark = self.mark.lock().unwrap_or_else(PoisonError::into_inner);
        if mark.known.is_some() {
            return Ok(());
        }
        mark.known = Some((version, hash));
        // Half a file would be refused at the next start, so it is moved into its place.
        let part = self.file.with_extension("part");
        let written =
            fs::write(&part, canonical::to_bytes(&*mark)).and_then(|()| fs::rename(&part, &self.file));
        written.map_err(|error| ChainError::Unreachable(format!("{}: {error}", self.file.display())))
    }

    /// Whether the chain is the one that was seen before.
    async fn check_chain(&self) -> Result<(), ChainError> {
        let known = self.mark.lock().unwrap_or_else(PoisonError::into_inner).known;
        let Some((version, hash)) = known else {
            return self.current(self.node.ledger().await?).map(|_| ());
        };
        let answer = self.current(self.node.by_version(version).await?)?;
        match &answer.body {
            Ok(told) if read::digest(&told["hash"]) != Some(hash) => Err(reset()),
            // What was pruned is no sign of another chain.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

#[async_trait]
impl Transport for Contracts {
    async fn call(&self, request: Vec<u8>) -> Result<Vec<u8>, ChainError> {
        let request = Request::from_bytes(&request).ok_or(ChainError::Garbled)?;
        Ok(self.respond(request).await?.to_bytes())
    }
}

impl Answered {
    fn value(&self) -> Result<&Value, ChainError> {
        self.body.as_ref().map_err(|refused| ChainError::Unreachable(refused.message.clone()))
    }
}

impl Refused {
    fn says(&self, word: &str) -> bool {
        self.code.contains(word) || self.message.contains(word)
    }

    /// Why a transaction was not taken.
    fn of_submission(&self) -> Refusal {
        let said = |words: [&str; 2]| words.iter().any(|word| self.says(word));
        if said(["SEQUENCE_NUMBER_TOO_OLD", "sequence_number_too_old"]) {
            Abort::SequenceUsed.into()
        } else if said(["SEQUENCE_NUMBER_TOO_NEW", "SEQUENCE_NUMBER_TOO_BIG"]) {
            Abort::SequenceAhead.into()
        } else if said(["TRANSACTION_EXPIRED", "transaction_expired"]) {
            Abort::Expired.into()
        } else if said(["BAD_CHAIN_ID", "bad_chain_id"]) {
            Abort::WrongChain.into()
        } else if said(["INVALID_SIGNATURE", "INVALID_AUTH_KEY"]) {
            Abort::SignatureInvalid.into()
        } else if said(["INSUFFICIENT_BALANCE_FOR_TRANSACTION_FEE", "SENDING_ACCOUNT_DOES_NOT_EXIST"]) {
            Refusal::GasMissing
        } else {
            Refusal::Chain(self.message.clone())
        }
    }
}

/// Why an executed transaction failed.
fn failure(status: &str) -> Refusal {
    match read::reason(status) {
        Some(reason) => Refusal::of_reason(reason),
        None => Refusal::Chain(status.chars().take(STATUS_MAX).collect()),
    }
}

fn reset() -> ChainError {
    ChainError::Unreachable(format!(
        "the chain is not the one that was seen before: nothing is sent until an operator removes {MARK_FILE}"
    ))
}

impl From<Abort> for ChainError {
    fn from(abort: Abort) -> Self {
        Self::Refused(abort.into())
    }
}

const MARK_FILE: &str = "chain-seen.bcs";
const PENDING: &str = "pending_transaction";
const NOT_FOUND: u16 = 404;
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Longer than Aptos takes, shorter than a transaction lives.
const WAIT: Duration = Duration::from_secs(20);
/// For how long a full node keeps transactions at least, by its default settings.
const KEPT_MS: u64 = DAY_MS;
const STAKED_PAGE: usize = 1_000;
const STATUS_MAX: usize = 400;
