//! Writes what a machine can write: the generated files, then the format of all code.

use anyhow::Result;

use crate::{api, cargo, contracts, generated, proto};

pub(crate) fn run() -> Result<()> {
    generated::write(&proto::generate()?)?;
    api::write()?;
    cargo::run(&mut cargo::cargo(["fmt", "--all"]))?;
    contracts::format(true)
}
