//! What a person may read of itself: budget, consents, records, dividends (R063, R069, R077, R079).
//!
//! The operator may read a person's budget statement and nothing else of it. While the Vault is suspended the operator reads nothing of
//! records or of what was found in them.

use symphony_protocol::vault::consent::Standing;
use symphony_protocol::vault::dividend;
use symphony_protocol::vault::ledger::{Balance, Movement};
use symphony_types::canonical;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{AccountId, EpochId, SubjectId, TaskId};
use symphony_types::merkle;
use symphony_types::subjects::{SubjectIndex, SubjectSet};
use symphony_types::time::OrderedMillis;
use symphony_wire::v1::{
    AttributeEntry, BudgetEntry, BudgetMovement, ConsentEntry, DividendEntry, ReadLeaves, RecordEntry,
    VaultAnswer,
};

use crate::enterprise::Enterprise;
use crate::ingest::Authority;
use crate::problem::Problem;
use crate::store::View;
use crate::store::value::DerivedValue;

/// Leaves of a dividend tree in one answer: 48 bytes each.
const LEAVES_MAX: usize = 20_000;

impl Enterprise {
    /// A person's budget under the active policy.
    pub(crate) fn read_budget(&self, authority: &Authority, subject: &str) -> Result<VaultAnswer, Problem> {
        let subject = match authority {
            Authority::Operator => self.enrolled(subject)?,
            Authority::Own(_) => self.own(authority, subject)?,
        };
        let state = self.state();
        let privacy = &state.charter.policy_at(self.now())?.privacy;
        let total = (state.ledger.in_total(subject), privacy.subject_cap);
        let mut budget = vec![entry(String::new(), total, vec![])];
        for (scope, limit) in &privacy.scope_limits {
            let movements = state.ledger.movements(scope, subject).iter().map(movement).collect();
            let balance = (state.ledger.in_scope(scope, subject), *limit);
            budget.push(entry(scope.as_str().to_owned(), balance, movements));
        }
        Ok(VaultAnswer { budget, ..VaultAnswer::default() })
    }

    /// A page of what spends a person's budget, provable against the root of the ledger (R069).
    pub(crate) fn prove_budget(
        &self,
        authority: &Authority,
        subject: &str,
        after: &[u8],
    ) -> Result<VaultAnswer, Problem> {
        let subject = match authority {
            Authority::Operator => self.enrolled(subject)?,
            Authority::Own(_) => self.own(authority, subject)?,
        };
        let after = match after {
            [] => None,
            task => Some(TaskId(Digest(task.try_into().map_err(|_| Code::Malformed)?))),
        };
        let sign = |root| self.keys.signing.sign(root);
        let statement = self.state().ledger.prove(&self.vault, subject, after, self.now(), sign);
        Ok(VaultAnswer { proof: canonical::to_bytes(&statement), ..VaultAnswer::default() })
    }

    /// What a person said about the use of its data.
    pub(crate) fn read_consents(&self, authority: &Authority, subject: &str) -> Result<VaultAnswer, Problem> {
        let subject = self.own(authority, subject)?;
        let (state, now) = (self.state(), self.now());
        let consents = state.consents.of_subject(subject);
        let mut consents: Vec<_> =
            consents.filter_map(|(scope, word)| consent(scope.as_str(), word, now)).collect();
        if self.serves().is_err() {
            let granted = consents.iter_mut().filter(|entry| entry.state == GRANTED);
            granted.for_each(|entry| entry.state = "suspended".to_owned());
        }
        Ok(VaultAnswer { consents, ..VaultAnswer::default() })
    }

    /// A person's records, as its commitments were computed over them.
    pub(crate) fn read_records(
        &self,
        authority: &Authority,
        subject: &str,
        limit: u32,
    ) -> Result<VaultAnswer, Problem> {
        let subject = self.own(authority, subject)?;
        let limit = limit.clamp(1, RECORDS_MAX) as usize;
        let mut records = Vec::new();
        let people: SubjectSet = [subject].into_iter().collect();
        self.store.read()?.each_record(&self.keys, &self.slots, &people, |_, commitment, record| {
            if records.len() < limit {
                let json = serde_json::to_string(record);
                let json = json.map_err(|error| Problem::fault("a record cannot be shown", error))?;
                records.push(RecordEntry { commitment: commitment.0.0.to_vec(), json });
            }
            Ok(())
        })?;
        Ok(VaultAnswer { records, ..VaultAnswer::default() })
    }

    /// What modules found of a person: for that person, and for the operator, whom the Vault works for.
    pub(crate) fn read_attributes(
        &self,
        authority: &Authority,
        subject: &str,
    ) -> Result<VaultAnswer, Problem> {
        let subject = match authority {
            Authority::Operator => {
                self.serves()?;
                self.enrolled(subject)?
            }
            Authority::Own(_) => self.own(authority, subject)?,
        };
        let view = self.store.read()?;
        let key = self.keys.data_key(subject);
        let key = key.map_err(|error| Problem::fault("a person's key cannot be opened", error))?;
        let entry = |value: DerivedValue| AttributeEntry {
            module: value.module.to_string(),
            version: value.version,
            code: value.code.0.to_vec(),
            task_id: value.task.0.0.to_vec(),
            evaluated_at_ms: value.evaluated_at.0,
            value: value.value,
            label: value.label.unwrap_or_default(),
        };
        let attributes = view.derived(&key, subject)?.into_iter().map(entry).collect();
        Ok(VaultAnswer { attributes, ..VaultAnswer::default() })
    }

    /// What a person may claim, with the proof that the chain asks for.
    pub(crate) fn read_dividends(
        &self,
        authority: &Authority,
        subject: &str,
    ) -> Result<VaultAnswer, Problem> {
        let view = self.store.read()?;
        let mut dividends = Vec::new();
        let Some(wallet) = self.wallet_of(authority, &view, subject)? else {
            return Ok(VaultAnswer::default());
        };
        for (epoch, closed) in &self.state().epochs {
            let Some(closing) = view.closing(&self.keys, *epoch)? else { continue };
            let Ok(place) = closing.leaves.binary_search_by_key(&wallet, |leaf| leaf.account) else {
                continue;
            };
            let leaf = &closing.leaves[place];
            let path = merkle::inclusion_proof(&dividend::hashes(&closing.leaves), place).unwrap_or_default();
            dividends.push(DividendEntry {
                epoch_id: epoch.0,
                index: leaf.index,
                amount: leaf.amount.0,
                account: leaf.account.0.0.to_vec(),
                path: path.iter().map(|hash| hash.0.to_vec()).collect(),
                root: closed.statement.root.0.to_vec(),
                payees: closed.statement.payees,
            });
        }
        Ok(VaultAnswer { dividends, ..VaultAnswer::default() })
    }

    /// Who is paid what by the tree of an epoch, for the operator: what it publishes a root of can be added up again (R161, R168). No
    /// one else sees the leaves of others (R162). **Errors**: `ADM-0003`, `ADM-0004` for an epoch without a statement, or storage.
    pub(crate) fn read_leaves(
        &self,
        authority: &Authority,
        asked: &ReadLeaves,
    ) -> Result<VaultAnswer, Problem> {
        if *authority != Authority::Operator {
            return Err(Code::Forbidden.into());
        }
        let closing = self.store.read()?.closing(&self.keys, EpochId(asked.epoch))?;
        let leaves = closing.ok_or(Code::NotFound)?.leaves;
        let from = usize::try_from(asked.from).unwrap_or(usize::MAX);
        let content = leaves.iter().skip(from).take(LEAVES_MAX).flat_map(canonical::to_bytes).collect();
        Ok(VaultAnswer { content, accepted: leaves.len() as u64, ..VaultAnswer::default() })
    }

    /// Where the caller's dividends go, be it that it has moved to another Vault since it earned them here. **Errors**: `ADM-0003` for
    /// anybody else's, `VLT-0002`.
    fn wallet_of(
        &self,
        authority: &Authority,
        view: &View,
        subject: &str,
    ) -> Result<Option<AccountId>, Problem> {
        let unknown = match self.own(authority, subject) {
            Ok(subject) => return Ok(view.profile(self.keys.data_key(subject), subject)?.wallet),
            Err(problem) => problem,
        };
        if unknown.code() != Code::SubjectUnknown {
            return Err(unknown);
        }
        let id = SubjectId::new(subject).map_err(|_| Code::Malformed)?;
        let former = self.state().subjects.former(&self.keys.subject_key(&id)).ok_or(Code::SubjectUnknown)?;
        view.moved_wallet(&self.keys, former)?.map(Some).ok_or(unknown)
    }

    /// The caller's own index. **Errors**: `ADM-0003` for anybody else's, `VLT-0002`.
    fn own(&self, authority: &Authority, subject: &str) -> Result<SubjectIndex, Problem> {
        match authority {
            Authority::Own(own) if own.as_str() == subject => self.enrolled(subject),
            Authority::Own(_) | Authority::Operator => Err(Code::Forbidden.into()),
        }
    }

    /// A person's index. **Errors**: `VLT-0002`.
    pub(crate) fn enrolled(&self, subject: &str) -> Result<SubjectIndex, Problem> {
        let subject = SubjectId::new(subject).map_err(|_| Code::Malformed)?;
        Ok(self.state().subjects.find(&self.keys.subject_key(&subject)).ok_or(Code::SubjectUnknown)?)
    }
}

fn entry(
    usage_scope: String,
    (balance, limit): (Balance, Epsilon),
    movements: Vec<BudgetMovement>,
) -> BudgetEntry {
    BudgetEntry {
        usage_scope,
        limit_micro_epsilon: limit.0,
        reserved_micro_epsilon: balance.reserved.0,
        committed_micro_epsilon: balance.committed.0,
        movements,
    }
}

fn movement(line: &Movement) -> BudgetMovement {
    BudgetMovement {
        task_id: line.task.0.0.to_vec(),
        kind: line.kind.name().to_owned(),
        micro_epsilon: line.epsilon.0,
        at_ms: line.at.0,
    }
}

fn consent(scope: &str, word: Standing, now: OrderedMillis) -> Option<ConsentEntry> {
    let (state, since, expires) = match word {
        Standing::Silent => return None,
        Standing::Granted { since, expires } if word.allows(now) => (GRANTED, since, expires),
        Standing::Granted { since, expires } => ("expired", since, expires),
        Standing::Withdrawn { since } => ("withdrawn", since, None),
    };
    Some(ConsentEntry {
        usage_scope: scope.to_owned(),
        state: state.to_owned(),
        since_ms: since.0,
        expires_ms: expires.map_or(0, |end| end.0),
    })
}

/// Of a consent that holds.
const GRANTED: &str = "granted";
/// Records of one answer.
const RECORDS_MAX: u32 = 1_000;
