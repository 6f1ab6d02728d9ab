//! The programs outside Rust that reading documents needs: found, or installed where this may be done, or named.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

/// Each program that is started, and the package of Debian that has it.
const PROGRAMS: [(&str, &str); 3] =
    [("tesseract", "tesseract-ocr"), ("pdftotext", "poppler-utils"), ("pdftoppm", "poppler-utils")];
/// The packages, with the engine's model.
const PACKAGES: [&str; 3] = ["tesseract-ocr", "tesseract-ocr-eng", "poppler-utils"];

/// Sees that all of them are there. **Errors**: what is missing, and how to get it.
pub(crate) fn ensure() -> Result<()> {
    let missing: Vec<_> = PROGRAMS.iter().filter(|(program, _)| !there(program)).collect();
    if missing.is_empty() || installed() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
    bail!("{} not found; install them: apt-get install {}", names.join(", "), PACKAGES.join(" "))
}

fn there(program: &str) -> bool {
    let mut version = Command::new(program);
    version.arg("-v").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok()
}

/// Installs the packages where the caller may; the package manager says why not.
fn installed() -> bool {
    eprintln!("installing {} for reading documents", PACKAGES.join(" "));
    let mut install = Command::new("apt-get");
    install
        .args(["install", "--yes", "--no-install-recommends"])
        .args(PACKAGES)
        .env("DEBIAN_FRONTEND", "noninteractive");
    let run =
        |command: &mut Command| command.stdin(Stdio::null()).status().is_ok_and(|status| status.success());
    // The list of packages may be absent or old.
    run(&mut install) || (run(Command::new("apt-get").arg("update")) && run(&mut install))
}
