//! A caller's operation on a Vault: signed by the gateway, sealed to the Vault, its answer opened here (R014).
//!
//! Masters carry both and can read neither (R002). Plaintext lives in this process's memory only, for the time
//! of one operation, and never in the log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prost::Message;
use symphony_types::catalogue::Code;
use symphony_types::id::{RequestId, VaultId};
use symphony_wire::caller::Caller;
use symphony_wire::enclave::purpose;
use symphony_wire::sealed::{SealingKey, seal};
use symphony_wire::signing::{CONTEXT_OPERATION, sign_bytes};
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{
    SealedRequest, SealedResponse, SignedOperation, VaultAnswer, VaultEntry, VaultOperation,
};

use crate::gateway::{Gateway, now};
use crate::problem::Problem;

/// Stands for the Vault that a caller's own uploads go to.
pub(crate) const ASSIGNED: &str = "assigned";
/// How long an operation is good for. **Units**: milliseconds.
const OPERATION_LIFETIME_MS: u64 = 120_000;
/// How long the list of Vaults is believed.
const DIRECTORY_LIFETIME: Duration = Duration::from_secs(5);

/// A Vault that operations can be sealed to.
#[derive(Clone, Debug)]
pub(crate) struct SealedVault {
    id: VaultId,
    key: Vec<u8>,
}

/// The Vaults as last listed by a majority of the masters.
#[derive(Default)]
pub(crate) struct VaultDirectory {
    listed: Mutex<Option<(Instant, BTreeMap<String, SealedVault>)>>,
}

impl VaultDirectory {
    /// `None` when the list is too old, or does not have the Vault: it may have been admitted since.
    fn find(&self, name: &str) -> Option<SealedVault> {
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, vaults) = listed.as_ref()?;
        vaults.get(name).filter(|_| at.elapsed() < DIRECTORY_LIFETIME).cloned()
    }

    fn replace(&self, vaults: BTreeMap<String, SealedVault>) {
        *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), vaults));
    }
}

impl Gateway {
    /// The Vault of a name, or the caller's assigned one. **Errors**: `ADM-0012`, or the master's refusal.
    pub(crate) async fn vault(&self, caller: &Caller, name: &str) -> Result<SealedVault, Problem> {
        if name == ASSIGNED {
            return sealed_vault(self.assign_vault(caller).await?);
        }
        let found = match self.vaults.find(name) {
            Some(found) => Some(found),
            None => self.listed_vaults(caller).await?.remove(name),
        };
        found.ok_or_else(|| Problem::new(Code::VaultUnknown, "no approved vault has this name"))
    }

    async fn listed_vaults(&self, caller: &Caller) -> Result<BTreeMap<String, SealedVault>, Problem> {
        let mut vaults = BTreeMap::new();
        for entry in self.list_vaults(caller).await?.vaults {
            vaults.insert(entry.vault_id.clone(), sealed_vault(entry)?);
        }
        self.vaults.replace(vaults.clone());
        Ok(vaults)
    }

    /// Runs one operation in the caller's name. **Errors**: the refusal of the Vault or of the master.
    pub(crate) async fn operate(
        self: &Arc<Self>,
        caller: &Caller,
        vault: &SealedVault,
        request_id: &RequestId,
        operation: Operation,
    ) -> Result<VaultAnswer, Problem> {
        let reply = SealingKey::from_seed(&rand::random());
        let operation = VaultOperation {
            actor: caller.actor.as_str().to_owned(),
            roles: caller.roles.clone(),
            request_id: request_id.as_str().to_owned(),
            vault_id: vault.id.as_str().to_owned(),
            expires_ms: now().plus(OPERATION_LIFETIME_MS).0,
            reply_key: reply.public().to_vec(),
            operation: Some(operation),
        };
        let (gateway, recipient) = (Arc::clone(self), vault.clone());
        // Encrypting a megabyte would hold up other requests of this thread.
        let sealed = tokio::task::spawn_blocking(move || gateway.seal(&recipient, &operation))
            .await
            .map_err(|_| Problem::new(Code::Internal, "sealing the operation"))??;
        let message = SealedRequest { vault_id: vault.id.as_str().to_owned(), sealed };
        // Bytes that do not open are a master's fault; another one may bring the Vault's.
        let open = |answer: SealedResponse| {
            let answer = reply.open(purpose::ANSWER, vault.id.as_str().as_bytes(), &answer.sealed).map_err(
                |fault| Problem::new(Code::SealInvalid, format!("opening the vault's answer: {fault}")),
            )?;
            VaultAnswer::decode(answer.as_slice())
                .map_err(|_| Problem::new(Code::SealInvalid, "the vault's answer is malformed"))
        };
        let answer = self.relay(caller, message, open).await?;
        if answer.code.is_empty() { Ok(answer) } else { Err(Problem::told(&answer.code, &answer.detail)) }
    }

    fn seal(&self, vault: &SealedVault, operation: &VaultOperation) -> Result<Vec<u8>, Problem> {
        let operation = operation.encode_to_vec();
        let signature = sign_bytes(&self.key, CONTEXT_OPERATION, &operation).to_vec();
        let signed = SignedOperation { operation, signature }.encode_to_vec();
        seal(&vault.key, purpose::OPERATION, vault.id.as_str().as_bytes(), &signed)
            .map_err(|fault| Problem::new(Code::VaultUnavailable, format!("sealing to the vault: {fault}")))
    }
}

fn sealed_vault(entry: VaultEntry) -> Result<SealedVault, Problem> {
    let id = VaultId::new(&entry.vault_id)
        .map_err(|_| Problem::new(Code::Internal, "the master named a vault that is no name"))?;
    Ok(SealedVault { id, key: entry.sealing_key })
}
