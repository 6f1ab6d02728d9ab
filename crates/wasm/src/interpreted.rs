//! The second engine: the interpreter wasmi, written independently of the first, for replays in a challenge (R096).
//!
//! It answers with the same bytes. Its fuel counts other things, so it gives a call many times what the first engine
//! gives and judges nobody out of fuel: a replay leaves out the people that a run on the first engine's kind found so.

use wasmi::{
    CompilationMode, Config, Engine as Interpreter, Error, Instance, Linker, Memory, Module as Code, Store,
    TrapCode, TypedFunc,
};

use crate::engine::{Ending, Engine, Fault, Prepared};
use crate::guest::{Guest, Source, Stop, drive, probe};
use crate::job::Job;
use crate::module::Module;
use crate::output::Output;
use symphony_protocol::artifact::module::Declaration;

/// The interpreter.
pub struct Interpreted(Interpreter);

impl Interpreted {
    /// An interpreter with the features that a module may have.
    pub fn new() -> Self {
        let mut config = Config::default();
        config
            .wasm_mutable_global(true)
            .wasm_sign_extension(true)
            .wasm_saturating_float_to_int(true)
            .wasm_multi_value(true)
            .wasm_bulk_memory(false)
            .wasm_simd(true)
            .wasm_reference_types(false)
            .wasm_multi_memory(false)
            .wasm_tail_call(false)
            .wasm_extended_const(false)
            .wasm_custom_page_sizes(false)
            .wasm_wide_arithmetic(false)
            .wasm_relaxed_simd(false)
            .allow_start_fn(false)
            .ignore_custom_sections(true)
            .consume_fuel(true)
            .set_max_stack_height(STACK_BYTES_MAX)
            .compilation_mode(CompilationMode::Eager);
        Self(Interpreter::new(&config))
    }
}

impl Default for Interpreted {
    fn default() -> Self {
        Self::new()
    }
}

impl Engine for Interpreted {
    fn fuel_schedule(&self) -> &'static str {
        "wasmi-2"
    }

    fn prepare(&self, module: &Module) -> Result<Box<dyn Prepared>, Ending> {
        let code = Code::new(&self.0, module.bytes()).map_err(|error| failed(&error))?;
        let translated =
            Translated { linker: Linker::new(&self.0), code, declaration: module.declaration().clone() };
        probe(&translated, module.declaration())?;
        Ok(Box::new(translated))
    }
}

struct Translated {
    linker: Linker<()>,
    code: Code,
    declaration: Declaration,
}

impl Prepared for Translated {
    fn run(&self, job: &Job<'_>) -> Result<Output, Ending> {
        drive(self, &self.declaration, job)
    }

    fn instance(&self) -> Result<(), Ending> {
        self.guest().map(drop)
    }
}

impl Source for Translated {
    type Guest<'a> = Running;

    fn guest(&self) -> Result<Running, Ending> {
        let mut store = Store::new(self.linker.engine(), ());
        store.set_fuel(START_FUEL).map_err(|error| failed(&error))?;
        let instance = match self.linker.instantiate_and_start(&mut store, &self.code) {
            Ok(instance) => instance,
            // A data segment outside of the memory.
            Err(error) if error.as_trap_code().is_some() => return Err(Ending::WrongAbi),
            Err(error) => return Err(failed(&error)),
        };
        Running::new(store, &instance).map_err(|error| failed(&error))
    }

    fn fuel(&self, declared: u64) -> u64 {
        declared.saturating_mul(FUEL_FACTOR)
    }
}

struct Running {
    store: Store<()>,
    memory: Memory,
    abi_version: TypedFunc<(), i32>,
    alloc: TypedFunc<i32, i32>,
    run: TypedFunc<(i32, i32, i32), i64>,
}

impl Running {
    fn new(store: Store<()>, instance: &Instance) -> Result<Self, Error> {
        let memory = instance.get_memory(&store, "memory").ok_or_else(|| Error::new("no memory"))?;
        let abi_version = instance.get_typed_func(&store, "abi_version")?;
        let alloc = instance.get_typed_func(&store, "alloc")?;
        let run = instance.get_typed_func(&store, "run")?;
        Ok(Self { store, memory, abi_version, alloc, run })
    }
}

impl Guest for Running {
    fn memory(&mut self) -> &mut [u8] {
        self.memory.data_mut(&mut self.store)
    }

    fn abi_version(&mut self, fuel: u64) -> Result<i32, Stop> {
        self.store.set_fuel(fuel).map_err(stopped)?;
        self.abi_version.call(&mut self.store, ()).map_err(stopped)
    }

    fn alloc(&mut self, bytes: u32, fuel: u64) -> Result<u32, Stop> {
        self.store.set_fuel(fuel).map_err(stopped)?;
        let at = self.alloc.call(&mut self.store, bytes.cast_signed()).map_err(stopped)?;
        Ok(at.cast_unsigned())
    }

    fn run(&mut self, at: u32, rows: u32, step: u32, fuel: u64) -> (Result<i64, Stop>, u64) {
        if let Err(error) = self.store.set_fuel(fuel) {
            return (Err(stopped(error)), 0);
        }
        let arguments = (at.cast_signed(), rows.cast_signed(), step.cast_signed());
        let word = self.run.call(&mut self.store, arguments).map_err(stopped);
        let left = self.store.get_fuel().unwrap_or(0);
        (word, fuel.saturating_sub(left))
    }
}

fn stopped(error: Error) -> Stop {
    let Some(code) = error.as_trap_code() else { return Stop::Engine(failed(&error)) };
    match code {
        TrapCode::OutOfFuel => Stop::Fault(Fault::OutOfFuel),
        TrapCode::UnreachableCodeReached => Stop::Fault(Fault::Unreachable),
        TrapCode::MemoryOutOfBounds => Stop::Fault(Fault::Memory),
        TrapCode::IntegerDivisionByZero => Stop::Fault(Fault::Division),
        TrapCode::IntegerOverflow => Stop::Fault(Fault::Overflow),
        TrapCode::BadConversionToInteger => Stop::Fault(Fault::Conversion),
        // A checked module has no table and no chain of calls that is too deep.
        _ => Stop::Engine(failed(&error)),
    }
}

fn failed(error: &Error) -> Ending {
    Ending::Engine(error.to_string())
}

/// Bytes of values that calls may hold: many times what a checked module needs.
const STACK_BYTES_MAX: usize = 4 << 20;
/// Fuel before a call is made.
const START_FUEL: u64 = 1 << 30;
/// The two engines count alike within a factor of two; this ends a loop and judges nobody.
const FUEL_FACTOR: u64 = 16;
