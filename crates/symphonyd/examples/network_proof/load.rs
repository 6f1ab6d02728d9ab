//! Campaigns as real clients run them, several at once and one after the other, each tried again until it is answered;
//! and the people in the Vaults whom they are about.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use symphony_protocol::artifact::AudienceResult;
use symphony_sdk::campaign::{CampaignError, CampaignSpec, Submitter};
use symphony_sdk::client::{ClientError, Format, Upload};
use symphony_sdk::shape::{Operand, SubmitTaskRequest, Task};
use symphony_sdk::wallet::WalletError;
use symphony_types::catalogue::Code;
use symphony_types::id::{RequestId, TaskId};
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::cast::{Cast, VAULTS};
use crate::faults::now_ms;

/// People in each Vault: so many that noise never suppresses a result.
const CROWD: u32 = 60;
/// Pause before a call is made again.
const RETRY_PAUSE: Duration = Duration::from_millis(150);
/// How long one call of a campaign may be tried again.
const PATIENCE: Duration = Duration::from_secs(180);
/// Pause of a lane after a campaign, so that the load leaves the machine room for the faults.
const BREATH: Duration = Duration::from_millis(50);

/// A person, by number.
pub(crate) fn subject(number: u32) -> String {
    format!("person-{number:06}")
}

fn contact(number: u32) -> String {
    format!("+65 8{number:07}")
}

/// The people of a Vault, by their index among [`VAULTS`].
pub(crate) fn people(vault: usize) -> impl Iterator<Item = u32> {
    (0..CROWD * 3).filter(move |number| *number as usize % 3 == vault)
}

/// The contacts that every campaign must deliver.
pub(crate) fn audience() -> Vec<String> {
    let mut contacts: Vec<_> = (0..CROWD * 3).map(contact).collect();
    contacts.sort();
    contacts
}

/// Puts the people into the Vaults.
pub(crate) async fn upload(cast: &Cast, folder: &std::path::Path) -> Result<()> {
    let day = now_ms() - 5 * 86_400_000;
    for (index, vault) in VAULTS.iter().enumerate() {
        let operator = cast.client(&format!("operator-{vault}"))?;
        let lines = |line: &dyn Fn(u32) -> Value| people(index).map(|n| line(n).to_string() + "\n").collect();
        let subjects: String = lines(&|n| json!({"subject": subject(n), "contact": contact(n)}));
        let consents: String =
            lines(&|n| json!({"subject": subject(n), "scope": "marketing", "state": "granted"}));
        let records: String = lines(&|n| {
            json!({
                "request_id": format!("record-{n}"), "subject": subject(n),
                "commerce.merchant": "Luckin Coffee", "commerce.category": "coffee",
                "commerce.purchase_date": day, "commerce.amount": "5.80", "geography.city": "Singapore",
            })
        });
        for (upload, kind, text) in [
            (Upload::Subjects, "subjects", subjects),
            (Upload::Consents, "consents", consents),
            (Upload::Records, "records", records),
        ] {
            let path = folder.join(format!("{vault}-{kind}"));
            std::fs::File::create(&path)?.write_all(text.as_bytes())?;
            let report =
                operator.upload(vault, upload, Format::JsonLines, &RequestId::new(kind)?, &path).await?;
            ensure!(report.refused_total == 0, "{vault} {kind}: {:?}", report.refused);
        }
    }
    Ok(())
}

fn spec() -> CampaignSpec {
    let rule = |rule: &str| Operand { rule: rule.to_owned(), ..Operand::default() };
    CampaignSpec {
        usage_scope: "marketing".to_owned(),
        vaults: VAULTS.map(str::to_owned).into(),
        quorum: 3,
        operands: vec![
            Operand { text: Some("Luckin Coffee".to_owned()), ..rule("commerce.merchant_purchase") },
            Operand { days: Some(30), ..rule("commerce.purchase_recency") },
            Operand { text: Some("Singapore".to_owned()), ..rule("geography.city_eligibility") },
        ],
        who: None,
        output: "identity.contact_handle".to_owned(),
        cap: 5_000,
        rank_by: None,
        evaluate_at_ms: None,
    }
}

/// What the platform acknowledged, and what became of it.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// Who was told that a task is admitted, by task.
    pub(crate) acknowledged: BTreeMap<TaskId, &'static str>,
    /// Results that were delivered.
    pub(crate) delivered: BTreeMap<TaskId, AudienceResult>,
    /// Tasks that were refused because the Vaults were not prepared in time, as their submitters were told.
    pub(crate) refused: u64,
    /// Calls that were made again.
    pub(crate) retries: u64,
    /// The longest time from the first try of a submission to its acknowledgement.
    pub(crate) slowest: Duration,
    /// What should not have happened.
    pub(crate) findings: Vec<String>,
}

/// One submitter with everything that its lanes share.
pub(crate) struct Brand {
    pub(crate) name: &'static str,
    pub(crate) submitter: Submitter,
    /// The numbers of one account follow each other.
    wallet: Mutex<()>,
}

impl Brand {
    pub(crate) fn open(cast: &Cast, name: &'static str) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { name, submitter: cast.submitter(name)?, wallet: Mutex::new(()) }))
    }
}

/// Runs campaigns until told to stop. The last one is finished.
pub(crate) async fn lane(brand: Arc<Brand>, lane: u32, book: Arc<Mutex<Book>>, stop: Arc<AtomicBool>) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let request = format!("{}-{lane}-{number}", brand.name);
        if let Err(error) = campaign(&brand, &request, &book).await {
            book.lock().await.findings.push(format!("{request}: {error:#}"));
        }
        number += 1;
        sleep(BREATH).await;
    }
}

async fn campaign(brand: &Brand, request: &str, book: &Mutex<Book>) -> Result<()> {
    let (submitter, request) = (&brand.submitter, RequestId::new(request)?);
    let lock = {
        let _turn = brand.wallet.lock().await;
        persistently(book, async || submitter.lock(&spec(), &request, |_| {}).await).await?
    };
    let order = SubmitTaskRequest {
        request_id: request.to_string(),
        spec: spec().task(),
        budget_lock_ref: lock.to_string(),
        recipient_key: hex::encode(submitter.recipient.public()),
    };
    let started = Instant::now();
    let submit = async || match submitter.client.submit(&order).await {
        // Said once and for all of this request: nothing was admitted, and the lock goes back.
        Err(ClientError::Refused(problem)) if problem.code == Code::QuorumNotPrepared.as_str() => Ok(None),
        answer => answer.map(Some).map_err(CampaignError::from),
    };
    let Some(task): Option<Task> = persistently(book, submit).await? else {
        book.lock().await.refused += 1;
        return Ok(());
    };
    {
        let mut book = book.lock().await;
        book.acknowledged.insert(task.task_id, brand.name);
        book.slowest = book.slowest.max(started.elapsed());
    }
    let watch = async || submitter.client.watch(task.task_id, |_| {}).await.map_err(CampaignError::from);
    let task = persistently(book, watch).await?;
    if task.state != "completed" {
        return Ok(());
    }
    let result = async || submitter.client.result(task.task_id).await.map_err(CampaignError::from);
    let result = persistently(book, result).await?;
    let audience = submitter.recipient.open(task.task_id, &result.sealed).context("opening the result")?;
    book.lock().await.delivered.insert(task.task_id, audience);
    Ok(())
}

/// Makes a call again until it is answered, as a client does whose connection breaks (R209). **Errors**: an answer that
/// no retry can help, or none for [`PATIENCE`].
async fn persistently<T>(
    book: &Mutex<Book>,
    mut attempt: impl AsyncFnMut() -> Result<T, CampaignError>,
) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let error = match attempt().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let passes = match &error {
            CampaignError::Client(error) | CampaignError::Wallet(WalletError::Client(error)) => match error {
                ClientError::Refused(problem) => problem.retryable,
                ClientError::Unreachable(_) | ClientError::Garbled(_) => true,
                ClientError::Config(_) | ClientError::File(_) => false,
            },
            _ => false,
        };
        if !passes || Instant::now() > deadline {
            bail!("{error}");
        }
        book.lock().await.retries += 1;
        sleep(RETRY_PAUSE).await;
    }
}
