//! The rows that go with a person (R055, R080, D12): profile, documents with what was read of them, and derived values. What stays are
//! its records under a key that is destroyed, with their commitments, and the proof that it is.

use redb::{TableDefinition, WriteTransaction};
use symphony_protocol::vault::document::SignedPersonErasure;
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, Commitment};
use symphony_types::subjects::SubjectIndex;

use super::document::erase_document;
use super::value::VALUES;
use super::{SUBJECTS, View, broken};
use crate::keys::VaultKeys;
use crate::problem::Problem;

/// A document that goes with its person.
pub struct Going {
    /// Its position among the person's.
    pub sequence: u32,
    /// Its commitment.
    pub commitment: Commitment,
    /// The record that came of it.
    pub record: Option<Commitment>,
}

/// Takes a person's rows away. **Errors**: storage.
pub fn erase_person(
    transaction: &WriteTransaction,
    subject: SubjectIndex,
    documents: &[Going],
) -> Result<(), redb::Error> {
    for Going { sequence, commitment, record } in documents {
        erase_document(transaction, (subject.0, *sequence), *commitment, *record)?;
    }
    transaction.open_table(SUBJECTS)?.remove(subject.0)?;
    let own = (subject.0, "")..(subject.0.saturating_add(1), "");
    transaction.open_table(VALUES)?.retain_in(own, |_, _| false)?;
    Ok(())
}

/// The proof that a person is erased. **Errors**: storage.
pub fn put_person_erasure(
    transaction: &WriteTransaction,
    erasure: &SignedPersonErasure,
) -> Result<(), redb::Error> {
    let bytes = canonical::to_bytes(erasure);
    transaction.open_table(ERASED)?.insert(erasure.body.subject.0, bytes.as_slice())?;
    Ok(())
}

/// Where dividends go of a person that moves away, sealed under the key for dividends: its profile goes, and what was earned here is
/// still stated here. **Errors**: keys.
pub fn moved_wallet(
    keys: &VaultKeys,
    subject: SubjectIndex,
    wallet: AccountId,
) -> Result<(SubjectIndex, Vec<u8>), Problem> {
    let sealed = keys.dividends_key().and_then(|key| key.seal(&wallet_place(subject), &wallet.0.0));
    Ok((subject, sealed.map_err(|error| Problem::fault("a wallet cannot be sealed", error))?))
}

/// The wallets of people who move away. **Errors**: storage.
pub fn put_moved_wallets(
    transaction: &WriteTransaction,
    wallets: &[(SubjectIndex, Vec<u8>)],
) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(WALLETS)?;
    for (subject, sealed) in wallets {
        table.insert(subject.0, sealed.as_slice())?;
    }
    Ok(())
}

/// Makes the tables. **Errors**: storage.
pub(super) fn make(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(ERASED)?;
    transaction.open_table(WALLETS)?;
    Ok(())
}

impl View {
    /// Where dividends of a person go that has moved away; `None` of anybody else. **Errors**: storage, or a changed byte.
    pub fn moved_wallet(
        &self,
        keys: &VaultKeys,
        subject: SubjectIndex,
    ) -> Result<Option<AccountId>, Problem> {
        let table = self.transaction.open_table(WALLETS).map_err(redb::Error::from)?;
        let Some(sealed) = table.get(subject.0).map_err(redb::Error::from)? else { return Ok(None) };
        let opened = keys.dividends_key().and_then(|key| key.open(&wallet_place(subject), sealed.value()));
        let opened = opened.map_err(|error| Problem::fault("a wallet cannot be opened", error))?;
        let account = <[u8; 32]>::try_from(opened.as_slice());
        account.map(|account| Some(AccountId(Digest(account)))).map_err(|_| broken())
    }

    /// The proof that a person is erased. **Errors**: storage.
    pub fn person_erasure(&self, subject: SubjectIndex) -> Result<Option<SignedPersonErasure>, Problem> {
        let table = self.transaction.open_table(ERASED).map_err(redb::Error::from)?;
        let Some(row) = table.get(subject.0).map_err(redb::Error::from)? else { return Ok(None) };
        let read = bcs::from_bytes(row.value()).map(Some);
        read.map_err(|error| Problem::fault("a proof of erasure is damaged", error))
    }
}

fn wallet_place(subject: SubjectIndex) -> [u8; 16] {
    let mut place = *b"moved-wallet\0\0\0\0";
    place[12..].copy_from_slice(&subject.0.to_be_bytes());
    place
}

const WALLETS: TableDefinition<'static, u32, &'static [u8]> = TableDefinition::new("vault/moved-wallets");
const ERASED: TableDefinition<'static, u32, &'static [u8]> = TableDefinition::new("vault/erased-people");
