//! The words for trainings and for the models that come of them.

use std::path::PathBuf;

use clap::Subcommand;
use symphony_types::digest::Digest;
use symphony_types::id::RequestId;

use super::digest;

#[derive(Subcommand)]
pub(crate) enum Train {
    /// Price a training and say how many rounds a person's budget allows; nothing is recorded
    Quote {
        /// Training file, JSON or TOML
        spec: PathBuf,
        /// Steps that each Vault takes by itself in a round, instead of what the file says
        #[arg(long, value_name = "NUMBER")]
        local_steps: Option<u32>,
    },
    /// Quote, lock and submit a training, and follow it to its end; again under the same name it has no second effect
    Submit {
        /// Training file, JSON or TOML
        spec: PathBuf,
        /// Steps that each Vault takes by itself in a round, instead of what the file says
        #[arg(long, value_name = "NUMBER")]
        local_steps: Option<u32>,
        /// Your name for the request; made up when absent
        #[arg(long, value_parser = RequestId::new)]
        request_id: Option<RequestId>,
        /// Do not follow it
        #[arg(long, conflicts_with = "plot")]
        no_wait: bool,
        /// Write the curve of quality and log loss to this SVG file
        #[arg(long, value_name = "FILE")]
        plot: Option<PathBuf>,
    },
    /// Follow a training to its end
    Watch {
        /// Task id, 64 hexadecimal digits
        #[arg(value_parser = digest)]
        task: Digest,
        /// Write the curve of quality and log loss to this SVG file
        #[arg(long, value_name = "FILE")]
        plot: Option<PathBuf>,
    },
    /// Open the result of a completed training; `model add` keeps it
    Result {
        /// Task id, 64 hexadecimal digits
        #[arg(value_parser = digest)]
        task: Digest,
    },
}

#[derive(Subcommand)]
pub(crate) enum Model {
    /// Fetch the model of a completed training with its evidence, check both and keep them
    Add {
        /// Task id, 64 hexadecimal digits
        #[arg(value_parser = digest)]
        task: Digest,
        /// Digest of the governance that you expect
        #[arg(long, value_name = "HEX", value_parser = digest)]
        governance: Option<Digest>,
        /// Keep the transcripts of all steps as well, from which the training can be repeated
        #[arg(long)]
        with_steps: bool,
    },
    /// List models, each checked
    List,
    /// Show the card of a model
    Show {
        /// Task id, 64 hexadecimal digits
        #[arg(value_parser = digest)]
        task: Digest,
    },
    /// Check models against their evidence, without a network and without trust in any node
    Verify {
        /// Task id, 64 hexadecimal digits; all models when absent
        #[arg(value_parser = digest)]
        task: Option<Digest>,
        /// Digest of the governance that you expect
        #[arg(long, value_name = "HEX", value_parser = digest)]
        governance: Option<Digest>,
    },
    /// Use a model on people of your own
    Predict {
        /// Task id, 64 hexadecimal digits
        #[arg(value_parser = digest)]
        task: Digest,
        /// JSON or comma-separated rows: a number a feature; for affinity JSON, items with values
        people: PathBuf,
        /// The numbers are scaled already
        #[arg(long)]
        scaled: bool,
    },
}
