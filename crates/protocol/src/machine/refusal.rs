//! Why a command will not happen.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;

/// A command that will not happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Why, by code.
    pub code: Code,
    /// Why, in words.
    pub detail: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl core::error::Error for Refusal {}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self { code, detail: String::from(code.title()) }
    }
}
