//! Modules in an enclave: made ready before it is locked down, run over one Vault's material, and run once more by the
//! second engine when a result is disputed (R094-R096, R127).

use std::collections::BTreeMap;

use symphony_compute::cells::Sums;
use symphony_compute::material::Material;
use symphony_compute::modules::{Cohort, ModuleError, derived};
use symphony_protocol::artifact::Assignment;
use symphony_protocol::artifact::compute::ComputePlan;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::subjects::SubjectIndex;
use symphony_wasm::compiled::Compiled;
use symphony_wasm::engine::{Ending, Engine as _, Prepared};
use symphony_wasm::interpreted::Interpreted;
use symphony_wasm::module::Module;
use symphony_wire::documents;
use symphony_wire::enclave::ModuleCode;

use crate::handler::Handler;
use crate::refusal::Refusal;
use crate::station::Station;

/// The modules of an enclave, by the SHA-256 of their bytes.
#[derive(Default)]
pub struct Modules(BTreeMap<Digest, Result<Ready, String>>);

/// One module on both engines.
pub(crate) struct Ready {
    first: Box<dyn Prepared>,
    second: Box<dyn Prepared>,
}

impl Modules {
    /// Checks and compiles what a host wants ready: a canonical list of [`ModuleCode`]. Call before executable memory is
    /// given up. A module that cannot be loaded is kept with its reason, so that a task of it is refused and no other.
    pub fn prepare(ready: &[u8]) -> Self {
        if ready.is_empty() {
            return Self::default();
        }
        let wanted: Vec<ModuleCode> = documents::decode(ready).unwrap_or_default();
        let first = Compiled::new(RUNS_MAX);
        let load = |module: &ModuleCode| -> Result<Ready, String> {
            let measured = Digest::of_bytes(&module.code);
            let module = Module::check(&module.code, &module.declaration, &measured);
            let module = module.map_err(|refused| refused.to_string())?;
            let first = first.as_ref().map_err(Ending::to_string)?;
            let (first, second) = (first.prepare(&module), Interpreted::new().prepare(&module));
            let ended = |ending: Ending| ending.to_string();
            Ok(Ready { first: first.map_err(ended)?, second: second.map_err(ended)? })
        };
        Self(wanted.iter().map(|module| (Digest::of_bytes(&module.code), load(module))).collect())
    }

    /// How many were wanted.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none was wanted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A module; `None` when it was not made ready. **Errors**: `GOV-0016` when it cannot be loaded.
    pub(crate) fn get(&self, code: &Digest) -> Result<Option<&Ready>, Refusal> {
        let known = self.0.get(code).map(Result::as_ref).transpose();
        known.map_err(|why| Refusal::new(Code::ModuleRefused, format!("the module is refused: {why}")))
    }
}

/// Runs the module of an order. Where the order is one of a review, the second engine runs it as well, and its answer is
/// told: the first one finds again who is out of fuel, the second leaves those out, and what differs from the disputed result
/// on either of them shows (R140).
///
/// **Errors**: `VLT-0001` for records that do not fit, `EXE-0012` for an ending of the run.
pub(crate) fn evaluate<S: Station>(
    handler: &Handler<S>,
    order: &Assignment,
    plan: &ComputePlan,
    module: &Ready,
    material: &Material,
) -> Result<(Sums, Vec<(SubjectIndex, u64)>), Refusal> {
    let cohort = Cohort::read(plan, material).map_err(refused)?;
    let mut output = cohort.run(plan, &*module.first, &[]).map_err(refused)?;
    if order.review {
        output = cohort.run(plan, &*module.second, &output.out_of_fuel).map_err(refused)?;
    }
    let seed = handler.secret(SEED_TAG, order.envelope.task, order.vault.as_str().as_bytes());
    let sums = cohort.sums(order.envelope.task, &order.vault, plan, &output, *seed);
    Ok((sums, derived(plan, &output)))
}

fn refused(error: ModuleError) -> Refusal {
    let code = match &error {
        ModuleError::Records(_) | ModuleError::Rows(_) => Code::RecordInvalid,
        // Never the module's doing: the host tries again, or another Vault's slice serves.
        ModuleError::Ending(Ending::Engine(_)) => Code::Internal,
        ModuleError::Ending(_) => Code::ModuleStopped,
    };
    Refusal::new(code, error.to_string())
}

/// The engine that runs are counted by.
pub(crate) const FUEL_SCHEDULE: &str = "wasmtime-48";
/// An enclave answers one call at a time.
const RUNS_MAX: u32 = 1;
const SEED_TAG: &str = "symphony/module-seed/v1";
