//! `symphony tee`: evidence of trusted hardware, explained without a network and without trust in any node (R121, R123).

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use symphony_attest::inspect::inspect;
use symphony_types::time::OrderedMillis;

use super::args::Tee;
use super::run::{Session, UNVERIFIED, Usage};
use super::show;

impl Session {
    /// Explains a file. It ends well only if a vendor vouches for it and nothing speaks against it.
    pub(super) fn tee(&self, command: Tee) -> Result<ExitCode> {
        let Tee::Inspect { file, collateral, at } = command;
        let evidence = read(&file)?;
        let collateral = collateral.iter().map(|file| read(file)).collect::<Result<Vec<_>>>()?;
        let collateral: Vec<&[u8]> = collateral.iter().map(Vec::as_slice).collect();
        let inspection = inspect(&evidence, &collateral, at.map_or_else(now, Ok)?)
            .map_err(|fault| Usage(format!("{}: {fault}", file.display())))?;
        show::print(self.json, &inspection, |inspection| inspection.to_string().trim_end().to_owned());
        Ok(if inspection.is_good() { ExitCode::SUCCESS } else { ExitCode::from(UNVERIFIED) })
    }
}

/// A file, up to one byte more than any that is explained.
fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .with_context(|| format!("reading {}", path.display()))?;
    Ok(bytes)
}

fn now() -> Result<OrderedMillis> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(OrderedMillis(u64::try_from(since.as_millis()).context("the clock is far ahead")?))
}

const FILE_BYTES_MAX: u64 = 512 << 10;
