//! `symphony receipt`: a person's receipts at its own Vault (R074-R080, R207). [`super::parse`] has them read.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use symphony_sdk::receipts::{Uploaded, committed};
use symphony_sdk::shape::ReceiptEntry;
use symphony_types::digest::Digest;
use symphony_types::id::SubjectId;
use symphony_types::limits::DOCUMENT_BYTES_MAX;
use tokio::io::AsyncReadExt as _;

use super::args::Receipt;
use super::parse::Wanted;
use super::run::{REFUSED, Session, refusal, unique};
use super::{reading, show};

impl Session {
    pub(super) async fn receipt(&self, command: Receipt) -> Result<ExitCode> {
        match command {
            Receipt::Upload { files, parse: false } => return self.upload_receipts(&files).await,
            Receipt::Upload { files, parse: true } => {
                return self.parse_receipts(files.into_iter().map(Wanted::File).collect()).await;
            }
            Receipt::Parse { ids } => {
                return self.parse_receipts(ids.into_iter().map(Wanted::Receipt).collect()).await;
            }
            Receipt::List => {
                let receipts = self.profile.own_client()?.receipts().await?;
                show::print(self.json, &receipts, |receipts| table(receipts));
            }
            Receipt::Show { id, out, drawing, page } => {
                let drawing = drawing.as_deref().map(|file| (file, page));
                self.show_receipt(id, out.as_deref(), drawing).await?;
            }
            Receipt::Correct { id, corrections } => {
                let corrections = corrections.into_iter().collect();
                let receipt = self.profile.own_client()?.correct_receipt(id, &corrections).await?;
                show::print(self.json, &receipt, |receipt| {
                    receipt.reading.as_ref().map(reading::whole).unwrap_or_default()
                });
            }
            Receipt::Erase { id, out } => self.erase_receipt(id, out.as_deref()).await?,
            Receipt::CheckErasure(proof) => return self.check_receipt(&proof),
        }
        Ok(ExitCode::SUCCESS)
    }

    /// One line a file as soon as it is answered, or one JSON list at the end.
    async fn upload_receipts(&self, files: &[PathBuf]) -> Result<ExitCode> {
        let client = self.profile.own_client()?;
        let bar = bar(files.len(), self.json);
        let (mut results, mut refused) = (Vec::new(), false);
        for file in files {
            bar.set_message(file.display().to_string());
            let key = unique("receipt")?;
            let uploaded = match read(file).await {
                Ok(content) => client.upload_receipt(&content, &key).await.map_err(anyhow::Error::new),
                Err(error) => Err(anyhow::Error::new(error).context("reading the file")),
            };
            refused |= uploaded.is_err();
            if self.json {
                results.push(result(file, &uploaded));
            } else {
                bar.suspend(|| println!("{}", line(file, &uploaded)));
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        if self.json {
            show::print(true, &results, |_| String::new());
        }
        Ok(if refused { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS })
    }

    async fn show_receipt(
        &self,
        id: Digest,
        out: Option<&Path>,
        drawing: Option<(&Path, u32)>,
    ) -> Result<()> {
        let client = self.profile.own_client()?;
        let receipt = client.receipt(id).await?;
        if receipt.state != ERASED {
            let content = client.receipt_content(id).await?;
            if Digest::of_bytes(&content).to_hex() != receipt.content_digest {
                bail!("the content is not the one that the receipt names");
            }
            // Whose receipt it is must be known to compute the commitment.
            if let Ok(actor) = self.profile.actor()
                && !SubjectId::new(actor.as_str()).is_ok_and(|person| committed(&receipt, &person, &content))
            {
                bail!("the receipt's id is not the commitment of its content");
            }
            if let Some(out) = out {
                std::fs::write(out, content).with_context(|| format!("writing {}", out.display()))?;
            }
        } else if out.is_some() || drawing.is_some() {
            bail!("the receipt is erased: there is no content");
        }
        if let Some((file, page)) = drawing {
            let picture = client.receipt_drawing(id, page).await?;
            std::fs::write(file, picture).with_context(|| format!("writing {}", file.display()))?;
        }
        show::print(self.json, &receipt, |receipt| {
            let known = table(std::slice::from_ref(receipt));
            let reading = receipt.reading.as_ref().map(|reading| format!("\n{}", reading::whole(reading)));
            known + &reading.unwrap_or_default()
        });
        Ok(())
    }

    async fn erase_receipt(&self, id: Digest, out: Option<&Path>) -> Result<()> {
        let erased = self.profile.own_client()?.erase_receipt(id).await?;
        if let Some(out) = out {
            std::fs::write(out, &erased.proof).with_context(|| format!("writing {}", out.display()))?;
        }
        show::print(self.json, &erased, |erased| format!("erased {}", erased.receipt.receipt_id));
        Ok(())
    }
}

/// A file's content; of one that is too large no more than shows it.
pub(super) async fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let file = tokio::fs::File::open(file).await?;
    file.take(DOCUMENT_BYTES_MAX as u64 + 1).read_to_end(&mut content).await?;
    Ok(content)
}

/// A bar on a terminal; nothing on a pipe.
pub(super) fn bar(files: usize, json: bool) -> ProgressBar {
    if json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}");
    ProgressBar::new(files as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn line(file: &Path, uploaded: &Result<Uploaded>) -> String {
    let file = file.display();
    match uploaded {
        Ok(uploaded) => {
            let word = if uploaded.duplicate { "known" } else { "stored" };
            format!("{word:<7} {} {file}", uploaded.receipt.receipt_id)
        }
        Err(error) => match error.chain().find_map(refusal) {
            Some(problem) => format!("refused {} {} {file}", problem.code, problem.title),
            None => format!("failed  {error:#} {file}"),
        },
    }
}

fn result(file: &Path, uploaded: &Result<Uploaded>) -> Value {
    match uploaded {
        Ok(uploaded) => json!({"file": file, "receipt": uploaded.receipt, "duplicate": uploaded.duplicate}),
        Err(error) => match error.chain().find_map(refusal) {
            Some(problem) => json!({"file": file, "problem": problem}),
            None => json!({"file": file, "error": format!("{error:#}")}),
        },
    }
}

fn table(receipts: &[ReceiptEntry]) -> String {
    let rows = receipts.iter().map(|receipt| {
        [
            receipt.receipt_id.clone(),
            receipt.state.clone(),
            receipt.media_type.clone(),
            receipt.size_bytes.to_string(),
            receipt.uploaded_ms.to_string(),
            reading::merchant(receipt),
            reading::date(receipt),
            reading::total(receipt),
        ]
    });
    let head = ["receipt", "state", "type", "bytes", "uploaded (ms)", "merchant", "date", "total"];
    show::table(head, rows)
}

const ERASED: &str = "erased";
