//! DuckDB in a process of its own: one line asks, one line answers with the time that it took inside.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

pub(crate) struct Duck {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

pub(crate) struct Answer {
    pub(crate) took: Duration,
    pub(crate) people: u64,
    pub(crate) latest: u128,
}

impl Duck {
    /// `None` without a Python that has DuckDB.
    pub(crate) fn start(folder: &Path) -> Option<Self> {
        let python = std::env::var_os("SYMPHONY_VAULT_PYTHON")?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../segments/benches/campaign/duck.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let asks = child.stdin.take()?;
        let mut answers = BufReader::new(child.stdout.take()?);
        let mut ready = String::new();
        answers.read_line(&mut ready).ok()?;
        let version = serde_json::from_str::<Value>(&ready).ok()?;
        println!("DuckDB {}, {} bytes in its own Parquet files.", version["version"], version["own_bytes"]);
        Some(Self { child, asks, answers })
    }

    pub(crate) fn ask(&mut self, question: &str, data: &str) -> Answer {
        let answer = self.line(&format!("{question} {data}"));
        let whole = |field: &str| {
            answer[field].as_str().and_then(|text| text.parse().ok()).expect("the script gives a number")
        };
        Answer {
            took: Duration::from_nanos(answer["nanos"].as_u64().expect("the script gives a time")),
            people: whole("people") as u64,
            latest: whole("latest"),
        }
    }

    /// Lets go of what it has read.
    pub(crate) fn reopen(&mut self) {
        self.line("reopen");
    }

    fn line(&mut self, ask: &str) -> Value {
        writeln!(self.asks, "{ask}").and_then(|()| self.asks.flush()).expect("DuckDB is there");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("DuckDB answers");
        serde_json::from_str(&line).expect("DuckDB answers in JSON")
    }
}

impl Drop for Duck {
    fn drop(&mut self) {
        // It ends by itself once nobody asks; its end is not waited for beyond that.
        let _ = writeln!(self.asks, "end");
        let _ = self.asks.flush();
        let _ = self.child.wait();
    }
}
