//! Builds the book with mdbook where it is installed; the pages are plain markdown and read well without.

use std::io::ErrorKind;
use std::process::Command;

use anyhow::{Context, Result, bail};
use xtask::repo;

pub(crate) fn run() -> Result<()> {
    let mut command = Command::new("mdbook");
    command.arg("build").arg(repo::root().join("docs"));
    if let Some(target) = repo::target_dir() {
        let book = target.join("book");
        println!("building into {}", book.display());
        command.arg("--dest-dir").arg(book);
    }
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("mdbook build docs failed: {status}"),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("mdbook is not installed: `cargo install mdbook` gets it.");
            println!("The pages are plain markdown; start with docs/src/SUMMARY.md.");
            Ok(())
        }
        Err(error) => Err(error).context("starting mdbook"),
    }
}
