//! The port to an engine that runs modules, and how a run or the answer of one person can end (R094, R096).
//!
//! **An ending is an output, too.** If a module could end a run, or let it cost more, because of one person's record, it would
//! publish that record without noise. So what happens while a person's rows are in reach is a [`Fault`] of that person
//! alone: it contributes nothing, the run goes on, and nothing about it leaves the enclave. An [`Ending`] is decided
//! before the first row is shown to the module, from the module, the parameters and the numbers of people and rows.

use std::collections::BTreeMap;

use crate::job::Job;
use crate::module::Module;
use crate::output::Output;

/// Runs approved modules.
pub trait Engine: Send + Sync {
    /// Engine and version whose instructions are counted as fuel, such as `wasmtime-48`.
    fn fuel_schedule(&self) -> &'static str;

    /// Makes a checked module ready to run: compiles it. An enclave does this before it gives up executable memory.
    ///
    /// **Errors**: [`Ending::Engine`].
    fn prepare(&self, module: &Module) -> Result<Box<dyn Prepared>, Ending>;
}

/// A module that is ready to run.
pub trait Prepared: Send + Sync {
    /// Runs the module over all people of the job, one at a time.
    ///
    /// **Errors**: an [`Ending`], which says nothing about what stands in a record.
    fn run(&self, job: &Job<'_>) -> Result<Output, Ending>;

    /// Makes an instance and gives it back: what a person whose memory is its own costs before the first call.
    ///
    /// **Errors**: there is no room for one.
    fn instance(&self) -> Result<(), Ending>;
}

/// How a whole run ends without an output. The text of each is stable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ending {
    /// Parameters out of their declared ranges or lists.
    #[error("parameters")]
    Parameters,
    /// Columns that are not those of the declaration, or too many rows.
    #[error("inputs")]
    Inputs,
    /// The fuel for so many people and rows is more than the quote covers.
    #[error("out-of-fuel")]
    OutOfFuel,
    /// The output would have more bytes than it may.
    #[error("output-too-large")]
    OutputTooLarge,
    /// `abi_version` does not answer 1, or the module cannot be instantiated.
    #[error("wrong-abi")]
    WrongAbi,
    /// `alloc` does not answer with room for a person's rows inside the memory.
    #[error("bad-pointer")]
    BadPointer,
    /// The engine failed. Never the module's doing and never a verdict: the run is repeated elsewhere.
    #[error("engine: {0}")]
    Engine(String),
}

/// Why one person contributes nothing. The text of each is stable, and both engines find the same, but for
/// [`Fault::OutOfFuel`], which only the first engine judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Fault {
    /// The call used up its fuel.
    #[error("out-of-fuel")]
    OutOfFuel,
    /// `unreachable`: a panic of the guest.
    #[error("trap-unreachable")]
    Unreachable,
    /// A load or store outside of the memory.
    #[error("trap-memory")]
    Memory,
    /// A division by zero.
    #[error("trap-division")]
    Division,
    /// An integer that does not fit its type.
    #[error("trap-overflow")]
    Overflow,
    /// A float that is no integer.
    #[error("trap-conversion")]
    Conversion,
    /// A word that names a cell or value that is not declared.
    #[error("malformed")]
    Malformed,
}

/// How many people had which fault. Stays in the enclave.
pub type Faults = BTreeMap<Fault, u64>;
