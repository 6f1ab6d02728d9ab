//! Modules as a Vault keeps them: the bytes that governance approved, and the values that stay here (R094-R096, R129).

use std::cmp::Reverse;

use symphony_protocol::artifact::TaskEnvelope;
use symphony_protocol::artifact::module::OutputShape;
use symphony_protocol::governance::approval::ApprovedModule;
use symphony_protocol::governance::change::Change;
use symphony_protocol::governance::log::LogEntry;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::subjects::SubjectIndex;
use symphony_wasm::catalogue;
use symphony_wire::documents;
use symphony_wire::enclave::ModuleCode;

use crate::enterprise::Enterprise;
use crate::problem::Problem;
use crate::store::value::{DerivedRow, DerivedValue};

impl Enterprise {
    /// The module of an order, if it has one. **Errors**: `ADM-0030` when governance does not approve it, or no more.
    pub(crate) fn module(&self, envelope: &TaskEnvelope) -> Result<Option<ModuleCode>, Problem> {
        let Some(plan) = envelope.plan.compute() else { return Ok(None) };
        let followed = self.followed();
        let registry = &followed.governance().registry;
        let known = registry.modules.get(&plan.code);
        let runs = registry.runs(&plan.code, envelope.versions.governance);
        let known = known.filter(|known| runs && known.declaration == plan.declaration);
        let known = known.ok_or(Code::ModuleUnknown)?;
        let module = self.code_of(&plan.code, known)?;
        module.map(Some).ok_or_else(|| Problem::refused(Code::ModuleUnknown, "its bytes are not here"))
    }

    /// The modules that are approved now, the latest first. **Errors**: storage.
    pub fn approved_modules(&self) -> Result<Vec<ModuleCode>, Problem> {
        let followed = self.followed();
        let known = followed.governance().registry.modules.iter();
        let mut known: Vec<_> = known.filter(|(_, module)| module.revoked.is_none()).collect();
        known.sort_by_key(|(_, module)| Reverse(module.approved.sequence));
        let modules: Result<Vec<_>, _> =
            known.into_iter().map(|(code, module)| self.code_of(code, module)).collect();
        Ok(modules?.into_iter().flatten().collect())
    }

    fn code_of(&self, code: &Digest, module: &ApprovedModule) -> Result<Option<ModuleCode>, Problem> {
        let bytes = match module.approved.sequence.0 {
            // What the network was founded with comes with the program.
            0 => founded(code)?,
            _ => self.approved(code)?,
        };
        Ok(bytes.map(|code| ModuleCode { code, declaration: module.declaration.clone() }))
    }

    /// The bytes that the proposal of a module carried.
    fn approved(&self, code: &Digest) -> Result<Option<Vec<u8>>, Problem> {
        for bytes in self.store.read()?.governance()? {
            let entry: LogEntry = documents::decode(&bytes)
                .map_err(|error| Problem::fault("an entry of the governance log is damaged", error))?;
            if let Change::ApproveModule { code: bytes, .. } = entry.proposal.body.change
                && Digest::of_bytes(&bytes) == *code
            {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// The values that a module found, each under its person's key. **Errors**: storage.
    pub(crate) fn derived(
        &self,
        envelope: &TaskEnvelope,
        values: &[(SubjectIndex, u64)],
    ) -> Result<Vec<DerivedRow>, Problem> {
        let Some(plan) = envelope.plan.compute() else { return Ok(vec![]) };
        let mut keys = self.keys.reader();
        let mut rows = Vec::with_capacity(values.len());
        for (subject, value) in values {
            let label = match &plan.declaration.output {
                OutputShape::Label(labels) => {
                    usize::try_from(*value).ok().and_then(|at| labels.get(at)).cloned()
                }
                OutputShape::Aggregate(_) | OutputShape::Number { .. } => None,
            };
            let found = DerivedValue {
                module: plan.declaration.name.clone(),
                version: plan.declaration.version,
                code: plan.code,
                task: envelope.task,
                evaluated_at: plan.evaluated_at,
                value: *value,
                label,
            };
            let row = keys.key(*subject).and_then(|key| DerivedRow::new(&key, *subject, &found));
            rows.push(row.map_err(|error| Problem::fault("a derived value cannot be sealed", error))?);
        }
        Ok(rows)
    }
}

fn founded(code: &Digest) -> Result<Option<Vec<u8>>, Problem> {
    let built = catalogue::built().map_err(|error| Problem::fault("the catalogue of modules", error))?;
    Ok(built.into_iter().find(|module| module.measurement == *code).map(|module| module.bytes.to_vec()))
}
