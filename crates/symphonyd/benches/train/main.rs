//! Trainings against their peers, in one run: rounds a second and quality, beside scikit-learn and Flower on the same
//! households (R097-R099; README.md beside this file).
//!
//! | figure | ours | against |
//! |---|---|---|
//! | one pass of the kernel | 100,000 people, 50 features, clipped | an epoch of scikit-learn's SGD |
//! | AUC without noise | the kernels, clipped, over the three Vaults' rows | scikit-learn over all rows |
//! | AUC at epsilon 8, 4, 1 | the same with noise, mean over seeds | ours without noise |
//! | seconds a round, 100,000 people | the platform, features out of records | one pass of the kernel alone over a matrix of that size |
//! | seconds a round | three masters, three Vaults, mutual TLS, consensus, attestation, noise | Flower's deployment and its simulation |
//!
//! Needs the Complete Journey data (`SYMPHONY_DATA_DIR`, or `../shared/data`) and a Python with `requirements.txt`
//! installed (`SYMPHONY_TRAIN_PYTHON`), but for the 100,000 people, who are invented; it says what is missing.
//! `-- --without-flower` leaves Flower out, `-- --only-crowd` everything but the 100,000 people.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

#[allow(dead_code, reason = "made for another benchmark, which uses more")]
#[path = "../consensus/cpu.rs"]
mod cpu;
mod crowd;
mod epoch;
#[allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "made for tests, which use more"
)]
#[path = "../../tests/it/network.rs"]
mod network;
mod rounds;
mod rows;

fn main() -> Result<()> {
    // What cargo hands to every benchmark is not for this one.
    let asked = |option: &str| std::env::args().any(|argument| argument == option);
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(crowd::report())?;
    if asked("--only-crowd") {
        return Ok(());
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/train");
    let Some(tools) = Tools::find(&here) else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let (records, tables) = (folder.path().join("records"), folder.path().join("rows"));
    tools.run("prepare.py", &[&records])?;
    let rows_option = PathBuf::from("--rows");
    let figures = tools.run("baseline.py", &[&records, &rows_option, &tables])?;
    for task in ["propensity", "coupon"] {
        let spec: Value = serde_json::from_slice(&std::fs::read(here.join(task).with_extension("json"))?)?;
        let rows = rows::Rows::read(&tables.join(task).with_extension("csv"))?;
        rows::report(task, &spec, &rows, &figures["tasks"][task])?;
    }
    let epoch = tools.run("epoch.py", &[])?;
    epoch::report(epoch["seconds"].as_f64().context("the seconds of an epoch")?)?;
    let spec = std::fs::read(here.join("propensity.json"))?;
    let ours = runtime.block_on(rounds::measure(&records, &spec))?;
    ours.print();
    if asked("--without-flower") {
        return Ok(());
    }
    let flower = tools.run("flower.py", &[&tables.join("propensity.csv")])?;
    ours.against(&flower);
    Ok(())
}

/// What runs the programs beside this file.
struct Tools {
    python: PathBuf,
    here: PathBuf,
    data: PathBuf,
}

impl Tools {
    /// `None` after saying what is missing.
    fn find(here: &Path) -> Option<Self> {
        let data = std::env::var_os("SYMPHONY_DATA_DIR")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from)
            .join("completejourney");
        if !data.is_dir() {
            println!("skipped: {} is absent; SYMPHONY_DATA_DIR names the folder of data", data.display());
            return None;
        }
        let Some(python) = std::env::var_os("SYMPHONY_TRAIN_PYTHON") else {
            println!(
                "skipped: SYMPHONY_TRAIN_PYTHON names a Python with {}/requirements.txt",
                here.display()
            );
            return None;
        };
        Some(Self { python: python.into(), here: here.to_owned(), data })
    }

    /// Runs a program and reads the JSON that it prints. **Errors**: it fails.
    fn run(&self, program: &str, arguments: &[&PathBuf]) -> Result<Value> {
        let mut command = Command::new(&self.python);
        command.arg(self.here.join(program)).args(arguments);
        if program == "prepare.py" {
            command.arg("--data").arg(&self.data);
        }
        let output = command.output().with_context(|| format!("running {program}"))?;
        ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).with_context(|| format!("what {program} printed"))
    }
}
