//! Operations that the caller seals to its Vault itself: gateway and masters pass on what they cannot read, and the answer
//! comes back sealed to the caller (R082, R234).
//!
//! Which Vault it is, and its key, follow from a governance that the caller trusts, never from the gateway: whoever could name
//! either could read along. The gateway still proves who asks, as for every other operation.

use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message as _;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;
use symphony_protocol::governance::Governance;
use symphony_types::catalogue;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, RequestId, VaultId};
use symphony_wire::enclave::{between, purpose};
use symphony_wire::sealed::{SealingKey, seal};
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{
    self, DrawReceipt, ErasePerson, ListReceipts, ParseReceipt, PutReceipt, ReadAttributes, ReadReceipt,
    ReadRecords, VaultAnswer, VaultOperation,
};

use crate::client::{Client, ClientError, body, patiently};
use crate::receipts::Uploaded;
use crate::shape::{
    AttributeEntry, ReadBox, ReadCheck, ReadField, ReadItem, ReceiptEntry, ReceiptReading, RecordEntry, Task,
};

/// What tells the caller its Vault and the Vault's key.
#[derive(Debug)]
pub(crate) struct Trust {
    governance: Governance,
    actor: ActorId,
}

impl Trust {
    pub(crate) fn new(governance: Governance, actor: ActorId) -> Self {
        Self { governance, actor }
    }

    /// Whether these are the caller's own data at its assigned Vault.
    pub(crate) fn covers(&self, vault: &str, subject: &str) -> bool {
        let assigned = self.governance.registry.assigned(&self.actor).map(VaultId::as_str);
        subject == self.actor.as_str() && (vault == ASSIGNED || Some(vault) == assigned)
    }
}

impl Client {
    /// Runs one of the caller's operations at its assigned Vault, sealed anew for each attempt. The same name has one effect,
    /// as long as the operation has one. **Errors**: the refusal of the Vault, or of who passes the operation on.
    pub(crate) async fn own(
        &self,
        trust: &Trust,
        name: &RequestId,
        operation: Operation,
    ) -> Result<VaultAnswer, ClientError> {
        patiently(async || self.own_once(trust, name, operation.clone()).await).await
    }

    async fn own_once(
        &self,
        trust: &Trust,
        name: &RequestId,
        operation: Operation,
    ) -> Result<VaultAnswer, ClientError> {
        let registry = &trust.governance.registry;
        let assigned = registry.assigned(&trust.actor);
        let Some((vault, registered)) = assigned.and_then(|vault| registry.vaults.get_key_value(vault))
        else {
            return Err(ClientError::Config("the trusted governance has no vault".to_owned()));
        };
        let reply = SealingKey::from_seed(&rand::random());
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let operation = VaultOperation {
            actor: trust.actor.as_str().to_owned(),
            roles: Vec::new(),
            request_id: name.as_str().to_owned(),
            vault_id: vault.as_str().to_owned(),
            expires_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX).saturating_add(LIFETIME_MS),
            reply_key: reply.public().to_vec(),
            operation: Some(operation),
        };
        let place = between(vault, &trust.actor);
        let operation = operation.encode_to_vec();
        let sealed = seal(&registered.sealing_key, purpose::OWN_OPERATION, &place, &operation)
            .map_err(|fault| ClientError::Config(format!("sealing to the vault: {fault}")))?;
        let path = ["vaults", vault.as_str(), "operations"];
        let request = self.request(Method::POST, &path).header(CONTENT_TYPE, "application/octet-stream");
        let answer = body(self.once(request.body(sealed)).await?).await?;
        let answer = reply
            .open(purpose::OWN_ANSWER, &place, &answer)
            .map_err(|fault| garbled(&format!("opening the vault's answer: {fault}")))?;
        let answer = VaultAnswer::decode(answer.as_slice()).map_err(|_| garbled("the vault's answer"))?;
        if answer.code.is_empty() { Ok(answer) } else { Err(refused(answer)) }
    }

    /// One operation on receipts that changes nothing or has one effect whatever its name, and the receipt that it answers
    /// with.
    pub(crate) async fn own_receipt(
        &self,
        trust: &Trust,
        operation: Operation,
    ) -> Result<(ReceiptEntry, VaultAnswer), ClientError> {
        let mut answer = self.own(trust, &unique()?, operation).await?;
        Ok((one(&mut answer)?, answer))
    }

    pub(crate) async fn own_upload(
        &self,
        trust: &Trust,
        content: &[u8],
        name: &RequestId,
    ) -> Result<Uploaded, ClientError> {
        let put = Operation::PutReceipt(PutReceipt { content: content.to_vec() });
        let mut answer = self.own(trust, name, put).await?;
        Ok(Uploaded { receipt: one(&mut answer)?, duplicate: answer.duplicates > 0 })
    }

    pub(crate) async fn own_content(&self, trust: &Trust, id: Digest) -> Result<Vec<u8>, ClientError> {
        let read = ReadReceipt { receipt_id: id.0.to_vec(), content: true };
        Ok(self.own_receipt(trust, Operation::ReadReceipt(read)).await?.1.content)
    }

    pub(crate) async fn own_drawing(&self, trust: &Trust, draw: DrawReceipt) -> Result<Vec<u8>, ClientError> {
        Ok(self.own(trust, &unique()?, Operation::DrawReceipt(draw)).await?.content)
    }

    /// Receipts after one, in the order that they came in.
    pub(crate) async fn own_page(
        &self,
        trust: &Trust,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ReceiptEntry>, ClientError> {
        let after = after.and_then(Digest::from_hex).map(|after| after.0.to_vec()).unwrap_or_default();
        let list = ListReceipts { after, limit: u32::try_from(limit).unwrap_or(u32::MAX) };
        let answer = self.own(trust, &unique()?, Operation::ListReceipts(list)).await?;
        Ok(answer.receipts.into_iter().map(ReceiptEntry::from).collect())
    }

    /// The caller's own records there.
    pub(crate) async fn own_records(&self, trust: &Trust) -> Result<Vec<RecordEntry>, ClientError> {
        let read = ReadRecords { subject: trust.actor.as_str().to_owned(), limit: RECORDS_MAX };
        let answer = self.own(trust, &unique()?, Operation::ReadRecords(read)).await?;
        let entry = |record: v1::RecordEntry| RecordEntry {
            commitment: hex::encode(record.commitment),
            json: record.json,
        };
        Ok(answer.records.into_iter().map(entry).collect())
    }

    /// What modules found of the caller there.
    pub(crate) async fn own_attributes(&self, trust: &Trust) -> Result<Vec<AttributeEntry>, ClientError> {
        let read = ReadAttributes { subject: trust.actor.as_str().to_owned() };
        let answer = self.own(trust, &unique()?, Operation::ReadAttributes(read)).await?;
        let entry = |one: v1::AttributeEntry| AttributeEntry {
            module: one.module,
            version: one.version,
            code: hex::encode(one.code),
            task_id: hex::encode(one.task_id),
            evaluated_at_ms: one.evaluated_at_ms,
            value: one.value,
            label: one.label,
        };
        Ok(answer.attributes.into_iter().map(entry).collect())
    }

    /// Erases the caller there; the Vault's proof.
    pub(crate) async fn own_erasure(&self, trust: &Trust) -> Result<Vec<u8>, ClientError> {
        let erase = ErasePerson { subject: trust.actor.as_str().to_owned() };
        Ok(self.own(trust, &unique()?, Operation::ErasePerson(erase)).await?.proof)
    }

    /// The Vault's ticket, then the task that it is good for.
    pub(crate) async fn own_parse(
        &self,
        trust: &Trust,
        id: Digest,
        name: &RequestId,
    ) -> Result<Task, ClientError> {
        let parse = ParseReceipt { receipt_id: id.0.to_vec() };
        let ticket = self.own(trust, name, Operation::ParseReceipt(parse)).await?.ticket;
        let body = json!({"ticket": hex::encode(ticket)});
        self.repeat(|| self.request(Method::POST, &["parses"]).json(&body)).await
    }
}

/// A name for what needs none.
fn unique() -> Result<RequestId, ClientError> {
    RequestId::new(&hex::encode(rand::random::<[u8; 16]>())).map_err(|_| garbled("a name of random digits"))
}

fn garbled(what: &str) -> ClientError {
    ClientError::Garbled(what.to_owned())
}

fn refused(answer: VaultAnswer) -> ClientError {
    let Some(code) = catalogue::by_str(&answer.code) else {
        return garbled("a refusal without a known code");
    };
    ClientError::refused(code, answer.detail)
}

fn one(answer: &mut VaultAnswer) -> Result<ReceiptEntry, ClientError> {
    match answer.receipts.pop() {
        Some(receipt) if answer.receipts.is_empty() => Ok(receipt.into()),
        _ => Err(garbled("not one receipt in the vault's answer")),
    }
}

impl From<v1::ReceiptEntry> for ReceiptEntry {
    fn from(entry: v1::ReceiptEntry) -> Self {
        Self {
            receipt_id: hex::encode(entry.receipt_id),
            state: entry.state,
            media_type: entry.media_type,
            size_bytes: entry.size_bytes,
            uploaded_ms: entry.uploaded_ms,
            erased_ms: entry.erased_ms,
            content_digest: hex::encode(entry.content_digest),
            salt: hex::encode(entry.salt),
            reading: entry.reading.map(ReceiptReading::from),
        }
    }
}

impl From<v1::ReceiptReading> for ReceiptReading {
    fn from(reading: v1::ReceiptReading) -> Self {
        let holds = |check: v1::ReadCheck| ReadCheck { name: check.name, holds: check.holds };
        Self {
            task_id: hex::encode(reading.task_id),
            code: reading.code,
            record_commitment: hex::encode(reading.record_commitment),
            extractor: reading.extractor,
            fields: reading.fields.into_iter().map(ReadField::from).collect(),
            items: reading.items.into_iter().map(ReadItem::from).collect(),
            checks: reading.checks.into_iter().map(holds).collect(),
            completeness_bps: reading.completeness_bps,
            checks_bps: reading.checks_bps,
            confidence_bps: reading.confidence_bps,
        }
    }
}

impl From<v1::ReadField> for ReadField {
    fn from(field: v1::ReadField) -> Self {
        Self {
            name: field.name,
            value: field.value,
            confidence_bps: field.confidence_bps,
            attribute: field.attribute,
            at: field.at.map(ReadBox::from),
            corrected: field.corrected,
        }
    }
}

impl From<v1::ReadItem> for ReadItem {
    fn from(item: v1::ReadItem) -> Self {
        Self {
            description: item.description,
            quantity_milli: item.quantity_milli,
            unit_price_cents: item.unit_price_cents,
            amount_cents: item.amount_cents,
            confidence_bps: item.confidence_bps,
            at: item.at.map(ReadBox::from),
        }
    }
}

impl From<v1::ReadBox> for ReadBox {
    fn from(at: v1::ReadBox) -> Self {
        Self { page: at.page, left: at.left, top: at.top, width: at.width, height: at.height }
    }
}

/// Stands for the Vault of the caller's own data.
const ASSIGNED: &str = "assigned";
/// Records that one answer lists.
const RECORDS_MAX: u32 = 1_000;
/// How long an operation is good for after the caller made it; its clock may be as far behind. **Units**: milliseconds.
const LIFETIME_MS: u64 = 300_000;
