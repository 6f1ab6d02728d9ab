//! Checks a module before any engine sees it (R095): its measurement, its size, what it exports, that it imports
//! nothing, and that no instruction of it depends on the machine, the engine or the person before.
//!
//! An instruction passes only if it belongs to the small set of features that are switched on here; everything that
//! can differ between machines (threads, relaxed SIMD) or between engines (recursion as deep as the stack goes) is out. A
//! module is refused for its bytes and its declaration alone, so every node refuses alike.

use symphony_types::digest::Digest;
use symphony_types::limits::MODULE_BYTES_MAX;
use wasmparser::{
    BinaryReaderError, ExternalKind, FuncToValidate, FuncValidatorAllocations, FunctionBody,
    MemorySectionReader, Operator, Parser, Payload, ValType, ValidPayload, Validator, ValidatorResources,
    WasmFeatures,
};

use crate::calls::Calls;
use symphony_protocol::artifact::module::{Declaration, FloatMode, Isolation, Unsound};

/// A module that may be loaded. There is no other way to get one than [`Module::check`].
#[derive(Clone, Debug)]
pub struct Module {
    bytes: Vec<u8>,
    declaration: Declaration,
    measurement: Digest,
}

/// Why a module is refused. The text of each is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its hash is not the approved one.
    #[error("measurement")]
    Measurement,
    /// More bytes than a module may have.
    #[error("too-many-bytes")]
    Bytes,
    /// More functions, code, locals or data than a module may have.
    #[error("too-large")]
    Size,
    /// Not a module of the features that are allowed.
    #[error("invalid")]
    Invalid,
    /// It imports something.
    #[error("imports")]
    Imports,
    /// It exports something else than `memory`, `abi_version`, `alloc` and `run` with their types.
    #[error("exports")]
    Exports,
    /// Not one memory with a maximum of 64 MiB at most.
    #[error("memory")]
    Memory,
    /// It has a start function.
    #[error("start")]
    Start,
    /// It has a table, calls through one, or calls itself, or too deep: how deep a stack goes differs between engines.
    #[error("calls")]
    Calls,
    /// It has floats and does not declare them.
    #[error("floats")]
    Floats,
    /// It declares to be pure and has an instruction that changes memory or a global.
    #[error("writes")]
    Writes,
    /// What it declares cannot be.
    #[error("declaration")]
    Declaration,
}

impl From<Unsound> for Refused {
    fn from(_: Unsound) -> Self {
        Self::Declaration
    }
}

impl Module {
    /// Checks `bytes` against the approved measurement (SHA-256 of the bytes) and declaration.
    ///
    /// **Errors**: the first reason why they are refused.
    pub fn check(bytes: &[u8], declaration: &Declaration, approved: &Digest) -> Result<Self, Refused> {
        if bytes.len() > MODULE_BYTES_MAX {
            return Err(Refused::Bytes);
        }
        let measurement = Digest::of_bytes(bytes);
        if measurement != *approved {
            return Err(Refused::Measurement);
        }
        declaration.check()?;
        inspect(bytes, declaration)?;
        Ok(Self { bytes: bytes.to_vec(), declaration: declaration.clone(), measurement })
    }

    /// The bytes that were checked.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The declaration that they were checked against.
    pub fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    /// SHA-256 of the bytes.
    pub fn measurement(&self) -> &Digest {
        &self.measurement
    }
}

fn inspect(bytes: &[u8], declaration: &Declaration) -> Result<(), Refused> {
    match declaration.float_mode {
        FloatMode::Canonical => walk(bytes, declaration, FEATURES.union(WasmFeatures::FLOATS)),
        FloatMode::None => match walk(bytes, declaration, FEATURES) {
            // Only to tell the reason: with floats it would be valid.
            Err(Refused::Invalid) if validates(bytes, FEATURES.union(WasmFeatures::FLOATS)) => {
                Err(Refused::Floats)
            }
            found => found,
        },
    }
}

fn validates(bytes: &[u8], features: WasmFeatures) -> bool {
    Validator::new_with_features(features).validate_all(bytes).is_ok()
}

fn walk(bytes: &[u8], declaration: &Declaration, features: WasmFeatures) -> Result<(), Refused> {
    let mut validator = Validator::new_with_features(features);
    let mut parts = Parts::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|_| Refused::Invalid)?;
        parts.section(&payload)?;
        match validator.payload(&payload).map_err(|_| Refused::Invalid)? {
            ValidPayload::Func(function, body) => parts.function(function, &body, declaration.isolation)?,
            ValidPayload::Ok | ValidPayload::Parser(_) | ValidPayload::End(_) => {}
        }
    }
    parts.finish()
}

/// What has been seen of a module.
#[derive(Default)]
struct Parts {
    signatures: Vec<(Vec<ValType>, Vec<ValType>)>,
    types: Vec<u32>,
    exports: Vec<(String, ExternalKind, u32)>,
    memories: u32,
    data_bytes: usize,
    calls: Calls,
}

impl Parts {
    fn section(&mut self, payload: &Payload<'_>) -> Result<(), Refused> {
        match payload {
            Payload::ImportSection(imports) if imports.count() > 0 => Err(Refused::Imports),
            Payload::StartSection { .. } => Err(Refused::Start),
            Payload::TableSection(tables) if tables.count() > 0 => Err(Refused::Calls),
            Payload::ElementSection(elements) if elements.count() > 0 => Err(Refused::Calls),
            Payload::TypeSection(types) => {
                at_most(types.count(), TYPES_MAX)?;
                for kind in types.clone().into_iter_err_on_gc_types() {
                    let kind = kind.map_err(|_| Refused::Invalid)?;
                    self.signatures.push((kind.params().to_vec(), kind.results().to_vec()));
                }
                Ok(())
            }
            Payload::FunctionSection(functions) => {
                at_most(functions.count(), FUNCTIONS_MAX)?;
                for kind in functions.clone() {
                    self.types.push(kind.map_err(|_| Refused::Invalid)?);
                }
                Ok(())
            }
            Payload::GlobalSection(globals) => at_most(globals.count(), GLOBALS_MAX),
            Payload::MemorySection(memories) => self.memory(memories),
            Payload::ExportSection(exports) => {
                if exports.count() != EXPORTS.len() as u32 + 1 {
                    return Err(Refused::Exports);
                }
                for export in exports.clone() {
                    let export = export.map_err(|_| Refused::Invalid)?;
                    self.exports.push((export.name.to_owned(), export.kind, export.index));
                }
                Ok(())
            }
            Payload::DataSection(data) => {
                at_most(data.count(), DATA_SEGMENTS_MAX)?;
                for segment in data.clone() {
                    self.data_bytes += segment.map_err(|_| Refused::Invalid)?.data.len();
                }
                if self.data_bytes > DATA_BYTES_MAX { Err(Refused::Size) } else { Ok(()) }
            }
            // Every other section is the validator's: it refuses those of features that are off, and custom ones
            // mean nothing.
            _ => Ok(()),
        }
    }

    fn memory(&mut self, memories: &MemorySectionReader<'_>) -> Result<(), Refused> {
        for memory in memories.clone() {
            let memory = memory.map_err(|_| Refused::Invalid)?;
            let bounded = memory.maximum.is_some_and(|pages| pages <= MEMORY_PAGES_MAX);
            if !bounded || memory.memory64 || memory.shared || memory.page_size_log2.is_some() {
                return Err(Refused::Memory);
            }
            self.memories += 1;
        }
        Ok(())
    }

    fn function(
        &mut self,
        function: FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'_>,
        isolation: Isolation,
    ) -> Result<(), Refused> {
        let invalid = |_: BinaryReaderError| Refused::Invalid;
        let index = function.index;
        let mut validator = function.into_validator(FuncValidatorAllocations::default());
        validator.read_locals(&mut body.get_binary_reader()).map_err(invalid)?;
        at_most(validator.len_locals(), LOCALS_MAX)?;
        let mut height = 0;
        let mut operators = body.get_operators_reader().map_err(invalid)?;
        while !operators.eof() {
            let (operator, at) = operators.read_with_offset().map_err(invalid)?;
            validator.op(at, &operator).map_err(invalid)?;
            height = height.max(validator.operand_stack_height());
            if isolation == Isolation::Pure && writes(&operator) {
                return Err(Refused::Writes);
            }
            match operator {
                Operator::Call { function_index } => self.calls.call(index, function_index),
                Operator::CallIndirect { .. } => return Err(Refused::Calls),
                _ => {}
            }
        }
        operators.finish().map_err(invalid)?;
        self.calls.function(index, validator.len_locals() + height);
        Ok(())
    }

    fn finish(self) -> Result<(), Refused> {
        if self.memories != 1 {
            return Err(Refused::Memory);
        }
        if !self.exports.iter().any(|(name, kind, _)| name == "memory" && *kind == ExternalKind::Memory) {
            return Err(Refused::Exports);
        }
        for (name, parameters, results) in EXPORTS {
            let of_name = |(other, kind, _): &&(String, ExternalKind, u32)| {
                other == name && *kind == ExternalKind::Func
            };
            let index = self.exports.iter().find(of_name).map(|(_, _, index)| *index as usize);
            let signature = index
                .and_then(|index| self.types.get(index))
                .and_then(|kind| self.signatures.get(*kind as usize));
            if !signature.is_some_and(|(takes, gives)| takes == parameters && gives == results) {
                return Err(Refused::Exports);
            }
        }
        if self.calls.fit(STACK_VALUES_MAX) { Ok(()) } else { Err(Refused::Calls) }
    }
}

/// Whether an instruction changes anything that outlives the call. Complete for [`FEATURES`]: a test walks through all
/// instructions of the library.
fn writes(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::I32Store { .. }
            | Operator::I64Store { .. }
            | Operator::F32Store { .. }
            | Operator::F64Store { .. }
            | Operator::I32Store8 { .. }
            | Operator::I32Store16 { .. }
            | Operator::I64Store8 { .. }
            | Operator::I64Store16 { .. }
            | Operator::I64Store32 { .. }
            | Operator::V128Store { .. }
            | Operator::V128Store8Lane { .. }
            | Operator::V128Store16Lane { .. }
            | Operator::V128Store32Lane { .. }
            | Operator::V128Store64Lane { .. }
            | Operator::MemoryGrow { .. }
            | Operator::MemoryFill { .. }
            | Operator::MemoryCopy { .. }
            | Operator::MemoryInit { .. }
            | Operator::DataDrop { .. }
            | Operator::ElemDrop { .. }
            | Operator::TableInit { .. }
            | Operator::TableCopy { .. }
            | Operator::GlobalSet { .. }
    )
}

fn at_most(count: u32, max: u32) -> Result<(), Refused> {
    if count <= max { Ok(()) } else { Err(Refused::Size) }
}

/// The features of version 1: integers, SIMD without its relaxed part, and what compilers take for granted. Without bulk
/// memory: one such instruction costs one unit of fuel on one engine, whatever it moves.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::GC_TYPES
    .union(WasmFeatures::MUTABLE_GLOBAL)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::SIMD);

/// The functions of `sym-kernel/1`: name, parameters, results.
const EXPORTS: [(&str, &[ValType], &[ValType]); 3] = [
    ("abi_version", &[], &[ValType::I32]),
    ("alloc", &[ValType::I32], &[ValType::I32]),
    ("run", &[ValType::I32, ValType::I32, ValType::I32], &[ValType::I64]),
];

/// Pages of a module's memory: 64 MiB.
pub const MEMORY_PAGES_MAX: u64 = 1024;
const TYPES_MAX: u32 = 1024;
const FUNCTIONS_MAX: u32 = 4096;
const GLOBALS_MAX: u32 = 256;
const LOCALS_MAX: u32 = 4096;
const DATA_SEGMENTS_MAX: u32 = 256;
const DATA_BYTES_MAX: usize = 1 << 20;
/// Values that the deepest chain of calls holds at once. Both engines have room for many times as much, so that
/// neither ever meets the end of its stack.
const STACK_VALUES_MAX: u64 = 8192;

#[cfg(test)]
mod tests;
