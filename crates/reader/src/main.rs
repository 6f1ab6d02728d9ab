//! `symphony-reader`: reads one document that its starter gives it, and nothing else (R082, R083).

use std::io::{stdin, stdout};
use std::process::ExitCode;

use symphony_reader::{process, tool};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    if let Some(fault) = tool::trampoline(&args) {
        eprintln!("{fault}");
        return ExitCode::FAILURE;
    }
    match process::serve(&mut stdin().lock(), &mut stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("symphony-reader serves a vault over standard input and output: {error}");
            ExitCode::FAILURE
        }
    }
}
