//! The first engine: Wasmtime, which compiles a module to machine code inside the enclave (R094).
//!
//! Code is compiled from the measured bytes, never loaded as code. All of it is made in [`Engine::prepare`], with one call of
//! the module, so that an enclave can give up executable memory behind it; running needs none. Instances come
//! out of a pool and go back with their memory cleared. There is no clock: fuel alone ends a call.

use wasmparser::WasmFeatures;
use wasmtime::{
    Config, Engine as Compiler, Error, Extern, InstanceAllocationStrategy, InstancePre, Linker, Memory,
    Module as Code, ModuleExport, OptLevel, PoolingAllocationConfig, Store, Strategy, Trap, TypedFunc,
};

use crate::engine::{Ending, Engine, Fault, Prepared};
use crate::guest::{Guest, Source, Stop, drive, probe};
use crate::job::Job;
use crate::module::{FEATURES, MEMORY_PAGES_MAX, Module};
use crate::output::Output;
use symphony_protocol::artifact::module::Declaration;

/// The compiler and its pool of instances.
pub struct Compiled(Compiler);

impl Compiled {
    /// A pool for so many runs at a time.
    ///
    /// **Errors**: [`Ending::Engine`] when the machine has no room for the pool.
    pub fn new(runs_max: u32) -> Result<Self, Ending> {
        let mut pool = PoolingAllocationConfig::new();
        // One instance serves a run; a second one is made while the module is probed.
        let instances = runs_max.saturating_mul(2);
        pool.total_core_instances(instances)
            .total_memories(instances)
            .total_tables(0)
            .max_memories_per_module(1)
            .max_tables_per_module(0)
            .max_memory_size(MEMORY_BYTES_MAX)
            .linear_memory_keep_resident(KEEP_RESIDENT_BYTES);
        let mut config = Config::new();
        config
            .strategy(Strategy::Cranelift)
            .cranelift_opt_level(OptLevel::Speed)
            .cranelift_nan_canonicalization(true)
            .consume_fuel(true)
            .max_wasm_stack(STACK_BYTES_MAX)
            .memory_init_cow(false)
            .wasm_backtrace_max_frames(None)
            .wasm_features(WasmFeatures::WASM3.difference(FEATURES.union(WasmFeatures::FLOATS)), false)
            .concurrency_support(false)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        Compiler::new(&config).map(Self).map_err(|error| failed(&error))
    }
}

impl Engine for Compiled {
    fn fuel_schedule(&self) -> &'static str {
        "wasmtime-48"
    }

    fn prepare(&self, module: &Module) -> Result<Box<dyn Prepared>, Ending> {
        let code = Code::new(&self.0, module.bytes()).map_err(|error| failed(&error))?;
        let start = Linker::new(&self.0).instantiate_pre(&code).map_err(|error| failed(&error))?;
        let export = |name| code.get_export_index(name).ok_or_else(|| Ending::Engine(format!("no {name}")));
        let loaded = Loaded {
            compiler: self.0.clone(),
            start,
            exports: Exports {
                memory: export("memory")?,
                abi_version: export("abi_version")?,
                alloc: export("alloc")?,
                run: export("run")?,
            },
            declaration: module.declaration().clone(),
        };
        probe(&loaded, module.declaration())?;
        Ok(Box::new(loaded))
    }
}

struct Loaded {
    compiler: Compiler,
    start: InstancePre<()>,
    exports: Exports,
    declaration: Declaration,
}

/// Where the exports of a module are, so that no instance looks for them by name.
struct Exports {
    memory: ModuleExport,
    abi_version: ModuleExport,
    alloc: ModuleExport,
    run: ModuleExport,
}

impl Prepared for Loaded {
    fn run(&self, job: &Job<'_>) -> Result<Output, Ending> {
        drive(self, &self.declaration, job)
    }

    fn instance(&self) -> Result<(), Ending> {
        self.guest().map(drop)
    }
}

impl Source for Loaded {
    type Guest<'a> = Running;

    fn guest(&self) -> Result<Running, Ending> {
        let mut store = Store::new(&self.compiler, ());
        let failed = |error: Error| failed(&error);
        store.set_fuel(START_FUEL).map_err(failed)?;
        let instance = match self.start.instantiate(&mut store) {
            Ok(instance) => instance,
            // A data segment outside of the memory.
            Err(error) if error.downcast_ref::<Trap>().is_some() => return Err(Ending::WrongAbi),
            Err(error) => return Err(failed(error)),
        };
        let Exports { memory, abi_version, alloc, run } = &self.exports;
        let mut found = |export, what: &str| {
            let found = instance.get_module_export(&mut store, export);
            found.ok_or_else(|| Ending::Engine(format!("no {what}")))
        };
        let function = |found: Extern, what: &str| {
            found.into_func().ok_or_else(|| Ending::Engine(format!("{what} is no function")))
        };
        let memory = found(memory, "memory")?.into_memory();
        let memory = memory.ok_or_else(|| Ending::Engine("no memory".into()))?;
        let (abi_version, alloc) = (found(abi_version, "abi_version")?, found(alloc, "alloc")?);
        let run = function(found(run, "run")?, "run")?.typed(&store).map_err(failed)?;
        let alloc = function(alloc, "alloc")?.typed(&store).map_err(failed)?;
        let abi_version = function(abi_version, "abi_version")?.typed(&store).map_err(failed)?;
        Ok(Running { store, memory, abi_version, alloc, run })
    }

    fn fuel(&self, declared: u64) -> u64 {
        declared
    }
}

struct Running {
    store: Store<()>,
    memory: Memory,
    abi_version: TypedFunc<(), i32>,
    alloc: TypedFunc<i32, i32>,
    run: TypedFunc<(i32, i32, i32), i64>,
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
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Stop::Fault(Fault::OutOfFuel),
        Some(Trap::UnreachableCodeReached) => Stop::Fault(Fault::Unreachable),
        Some(Trap::MemoryOutOfBounds) => Stop::Fault(Fault::Memory),
        Some(Trap::IntegerDivisionByZero) => Stop::Fault(Fault::Division),
        Some(Trap::IntegerOverflow) => Stop::Fault(Fault::Overflow),
        Some(Trap::BadConversionToInteger) => Stop::Fault(Fault::Conversion),
        // A checked module has no table, no atomics and no chain of calls that is too deep.
        Some(_) | None => Stop::Engine(failed(&error)),
    }
}

fn failed(error: &Error) -> Ending {
    Ending::Engine(format!("{error:#}"))
}

/// Bytes of the largest memory.
const MEMORY_BYTES_MAX: usize = MEMORY_PAGES_MAX as usize * (64 << 10);
/// Bytes of an instance's memory that are cleared by writing rather than by giving the pages back.
const KEEP_RESIDENT_BYTES: usize = 1 << 20;
/// Bytes of stack for calls: many times what a checked module needs.
const STACK_BYTES_MAX: usize = 512 << 10;
/// Fuel before a call is made.
const START_FUEL: u64 = 1 << 30;
