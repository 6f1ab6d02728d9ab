//! The words of `symphony compute`.

use std::path::PathBuf;

use clap::Subcommand;
use symphony_types::digest::Digest;
use symphony_types::id::RequestId;

use super::digest;

#[derive(Subcommand)]
pub(crate) enum Compute {
    /// List the approved modules: what they read, what they are given, what they answer
    List,
    /// Price a computation and say how much fuel it sets aside; nothing is recorded
    Quote {
        /// Computation file, JSON or TOML
        spec: PathBuf,
    },
    /// Quote, lock and submit a computation, and follow it to its end; again under the same name it has no second effect
    Submit {
        /// Computation file, JSON or TOML
        spec: PathBuf,
        /// Your name for the request; made up when absent
        #[arg(long, value_parser = RequestId::new)]
        request_id: Option<RequestId>,
        /// Do not follow it
        #[arg(long)]
        no_wait: bool,
    },
    /// Open the result of a completed computation
    Result {
        /// Task id, 64 hexadecimal digits
        #[arg(value_parser = digest)]
        task: Digest,
    },
}
