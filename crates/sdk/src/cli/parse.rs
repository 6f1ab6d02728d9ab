//! `symphony receipt upload --parse` and `symphony receipt parse`: receipts are sent, their parses followed to the end, and
//! what was read is shown side by side (R083, R207, R234).

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use symphony_sdk::client::{Client, ClientError};
use symphony_sdk::shape::{ReceiptEntry, Task};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::TaskId;

use super::receipt::{bar, read};
use super::run::{REFUSED, Session, refusal, unique};
use super::{reading, show};

/// What is to be read.
pub(super) enum Wanted {
    File(PathBuf),
    Receipt(Digest),
}

/// One of them on its way.
struct Way {
    wanted: Wanted,
    receipt: Option<ReceiptEntry>,
    duplicate: bool,
    /// The parse, while it is not followed to its end.
    open: Option<TaskId>,
    task: Option<Task>,
    fault: Option<anyhow::Error>,
}

impl Session {
    /// A table of all of them at the end, or one JSON list; refusals on standard error as they come.
    pub(super) async fn parse_receipts(&self, wanted: Vec<Wanted>) -> Result<ExitCode> {
        let client = self.profile.own_client()?;
        let bar = bar(wanted.len(), self.json);
        let mut wanted = wanted.into_iter();
        let (mut ways, mut under_way) = (Vec::new(), VecDeque::new());
        loop {
            // A Vault reads a few at a time, and a parse that waits too long for its turn times out.
            let next = if under_way.len() < UNDER_WAY_MAX { wanted.next() } else { None };
            match next {
                Some(wanted) => {
                    let mut way = Way::new(wanted);
                    bar.set_message(way.name());
                    way.begin(&client).await;
                    under_way.push_back(way);
                }
                None => {
                    let Some(mut way) = under_way.pop_front() else { break };
                    way.end(&client, &bar).await;
                    if let (Some(fault), false) = (way.failed(), self.json) {
                        bar.suspend(|| eprintln!("{fault} {}", way.name()));
                    }
                    ways.push(way);
                    bar.inc(1);
                }
            }
        }
        bar.finish_and_clear();
        let results: Vec<Value> = ways.iter().map(Way::result).collect();
        show::print(self.json, &results, |_| table(&ways));
        let failed = ways.iter().any(|way| way.failed().is_some());
        Ok(if failed { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS })
    }
}

impl Way {
    const fn new(wanted: Wanted) -> Self {
        Self { wanted, receipt: None, duplicate: false, open: None, task: None, fault: None }
    }

    fn name(&self) -> String {
        match &self.wanted {
            Wanted::File(file) => file.display().to_string(),
            Wanted::Receipt(id) => id.to_hex(),
        }
    }

    /// The receipt's id, once it is known.
    fn id(&self) -> Option<Digest> {
        match &self.wanted {
            Wanted::File(_) => Digest::from_hex(&self.receipt.as_ref()?.receipt_id),
            Wanted::Receipt(id) => Some(*id),
        }
    }

    /// Has it admitted.
    async fn begin(&mut self, client: &Client) {
        match self.admitted(client).await {
            Ok(task) => self.open = Some(task),
            Err(fault) => self.fault = Some(fault),
        }
    }

    async fn admitted(&mut self, client: &Client) -> Result<TaskId> {
        let key = unique("parse")?;
        let file = match &self.wanted {
            Wanted::File(file) => file,
            Wanted::Receipt(id) => return Ok(client.parse_receipt(*id, &key).await?.task_id),
        };
        let content = read(file).await.context("reading the file")?;
        let parsing = client.upload_and_parse_receipt(&content, &key).await?;
        self.receipt = Some(parsing.uploaded.receipt);
        self.duplicate = parsing.uploaded.duplicate;
        Ok(parsing.task.map_err(ClientError::Refused)?)
    }

    /// Follows the parse, if there is one, and looks at what was read.
    async fn end(&mut self, client: &Client, bar: &ProgressBar) {
        if let Some(task) = self.open.take() {
            let name = self.name();
            let followed = client.watch(task, |task| bar.set_message(format!("{name} {}", task.state))).await;
            match followed {
                Ok(task) => self.task = Some(task),
                Err(fault) => self.fault = Some(fault.into()),
            }
        }
        let Some(id) = self.id() else { return };
        match client.receipt(id).await {
            Ok(receipt) => self.receipt = Some(receipt),
            // The first fault is the one to be told.
            Err(fault) => self.fault = self.fault.take().or_else(|| Some(fault.into())),
        }
    }

    /// Whether it was refused because it was read before, and what was read is there. Another picture of the same
    /// receipt has no reading of its own.
    fn known(&self) -> bool {
        let reading = self.receipt.as_ref().and_then(|receipt| receipt.reading.as_ref());
        let code = match (&self.fault, &self.task) {
            (Some(fault), _) => fault.chain().find_map(refusal).map(|problem| problem.code.as_str()),
            (None, task) => task.as_ref().map(|task| task.code.as_str()),
        };
        code == Some(Code::ReceiptKnown.as_str()) && reading.is_some_and(|reading| reading.code.is_empty())
    }

    /// Why there is no reading, in words.
    fn failed(&self) -> Option<String> {
        if self.known() {
            return None;
        }
        match (&self.fault, &self.task) {
            (Some(fault), _) => Some(match fault.chain().find_map(refusal) {
                Some(problem) => format!("refused {}", reading::reason(&problem.code)),
                None => format!("failed {fault:#}"),
            }),
            (None, Some(task)) if task.state != COMPLETED => {
                Some(format!("{} {}", reading::plain(&task.state), reading::reason(&task.code)))
            }
            (None, _) => None,
        }
    }

    fn state(&self) -> String {
        let ended = if self.known() { "known" } else { COMPLETED };
        self.failed().unwrap_or_else(|| ended.to_owned())
    }

    fn result(&self) -> Value {
        let mut result = json!({"receipt": self.receipt, "duplicate": self.duplicate, "task": self.task});
        if let Wanted::File(file) = &self.wanted {
            result["file"] = json!(file);
        }
        if let Some(fault) = &self.fault {
            match fault.chain().find_map(refusal) {
                Some(problem) => result["problem"] = json!(problem),
                None => result["error"] = json!(format!("{fault:#}")),
            }
        }
        result
    }
}

fn table(ways: &[Way]) -> String {
    let rows = ways.iter().map(|way| {
        let receipt = way.receipt.as_ref();
        let said = |field: fn(&ReceiptEntry) -> String| receipt.map(field).unwrap_or_default();
        let reading = receipt.and_then(|receipt| receipt.reading.as_ref());
        let read = reading.filter(|reading| reading.code.is_empty());
        let [complete, checks, sure] = read.map(reading::score).unwrap_or_default();
        [
            way.name(),
            said(reading::merchant),
            said(reading::date),
            said(reading::total),
            said(reading::city),
            complete,
            checks,
            sure,
            way.state(),
        ]
    });
    let name = match ways.first().map(|way| &way.wanted) {
        Some(Wanted::Receipt(_)) => "receipt",
        Some(Wanted::File(_)) | None => "file",
    };
    let head = [name, "merchant", "date", "total", "city", "complete", "checks", "sure", "state"];
    show::table(head, rows)
}

/// Parses that are under way at once.
const UNDER_WAY_MAX: usize = 8;
const COMPLETED: &str = "completed";
