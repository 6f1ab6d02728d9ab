//! `symphony settle`: the payout of a closed epoch, computed again on this machine.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use serde::de::DeserializeOwned;
use symphony_sdk::settle::{DividendLeaves, EpochBundle, EpochReport, on_chain, verify};
use symphony_types::id::EpochId;
use symphony_types::limits::SEALED_BYTES_MAX;
use symphony_wire::documents::{decode, encode};

use super::args::governance::Settle;
use super::run::{NOT_FINAL, Session, UNVERIFIED, Usage};
use super::show::{self, table};

impl Session {
    pub(super) async fn settle(&self, command: Settle) -> Result<ExitCode> {
        let Settle::Verify { epoch, file, leaves, on_chain: chain, out } = command;
        let (trusted, epoch) = (self.profile.trusted()?, EpochId(epoch));
        let trees: Vec<DividendLeaves> = leaves.iter().map(|file| kept(file)).collect::<Result<_>>()?;
        let bundle: EpochBundle = match &file {
            Some(file) => kept(file)?,
            None => self.profile.client()?.epoch(epoch).await?,
        };
        if let Some(out) = out {
            let bytes = encode(&bundle);
            ensure!(
                bytes.len() <= SEALED_BYTES_MAX,
                "the epoch is too large for a file: {} bytes",
                bytes.len()
            );
            std::fs::write(&out, bytes).with_context(|| format!("writing {}", out.display()))?;
        }
        let mut report = verify(&trusted, epoch, &bundle, &trees);
        if chain {
            on_chain(&self.profile.client()?, &bundle, &mut report).await?;
        }
        show::print(self.json, &report, lines);
        Ok(match report.passed() {
            false => ExitCode::from(UNVERIFIED),
            true if !report.paid => ExitCode::from(NOT_FINAL),
            true => ExitCode::SUCCESS,
        })
    }
}

fn kept<T: DeserializeOwned>(file: &Path) -> Result<T> {
    let bytes = std::fs::read(file).map_err(|error| Usage(format!("reading {}: {error}", file.display())))?;
    Ok(decode(&bytes).map_err(|error| Usage(format!("reading {}: {error}", file.display())))?)
}

fn lines(report: &EpochReport) -> String {
    let rows = report.checks.iter().map(|check| {
        let mark = if check.fault.is_none() { "✓" } else { "✗" };
        let says =
            check.fault.as_ref().map_or_else(|| check.proves.to_owned(), |fault| format!("FAILED: {fault}"));
        [mark.to_owned(), check.name.to_owned(), says]
    });
    let mut lines = vec![table(["", "check", "proves"], rows)];
    lines.push(format!("epoch       {}, {} settled", report.epoch, report.settled));
    lines.push(format!("batch       {}", report.batch));
    lines.push(format!(
        "base units  {} charged, {} for producers, {} for the treasury",
        report.charged, report.dividends, report.treasury
    ));
    if report.leaves > 0 {
        lines.push(format!("leaves      {} added up", report.leaves));
    }
    lines.push(match (report.passed(), report.paid) {
        (false, _) => "NOT VERIFIED".to_owned(),
        (true, false) => "holds so far, NOT PAID: the chain has not confirmed it yet".to_owned(),
        (true, true) => "verified".to_owned(),
    });
    lines.join("\n")
}
