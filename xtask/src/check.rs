//! The read-only gate: every check runs, each prints one line, and one failure fails the gate.

use anyhow::{Result, bail};

use crate::{api, cargo, contracts, generated, guests, proto};

type Check = fn() -> Result<()>;

pub(crate) fn run() -> Result<()> {
    let checks: [(&str, Check); 6] = [
        ("format", format),
        ("lints", lints),
        ("layers and tidy", guards),
        ("generated code (proto)", protos),
        ("generated files (api, errors)", api::verify),
        ("guest modules", guests::verify),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        match check() {
            Ok(()) => println!("check: {name}: ok"),
            Err(error) => {
                println!("check: {name}: FAILED: {error:#}");
                failed.push(name);
            }
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    println!("check: all ok");
    Ok(())
}

fn format() -> Result<()> {
    cargo::run(&mut cargo::cargo(["fmt", "--all", "--check"]))?;
    contracts::format(false)
}

fn lints() -> Result<()> {
    cargo::run(&mut cargo::cargo([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))
}

fn guards() -> Result<()> {
    cargo::run(&mut cargo::cargo([
        "test",
        "--quiet",
        "--locked",
        "--workspace",
        "--test",
        "layers",
        "--test",
        "tidy",
    ]))
}

fn protos() -> Result<()> {
    generated::verify(&proto::generate()?, "proto")
}
