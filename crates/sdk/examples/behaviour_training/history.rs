//! What people bought, as upload files for the Vaults; and the same features and labels computed plainly, in a few lines
//! that share nothing with the engine.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;
use symphony_sdk::shape::Operand;
use symphony_sdk::training::{Feature, Label, Model, Privacy, Scale, Settings, TrainingSpec};

pub(crate) const VAULTS: [&str; 3] = ["vault-a", "vault-b", "vault-c"];
pub(crate) const DAY_MS: u64 = 86_400_000;
/// Features look back so far.
const WINDOW_DAYS: u32 = 90;
/// The label looks ahead so far.
pub(crate) const AHEAD_DAYS: u32 = 28;

/// What somebody consented to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consent {
    Training,
    /// To campaigns, not to trainings.
    Marketing,
    Nothing,
}

/// Somebody with purchases.
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) vault: usize,
    pub(crate) consent: Consent,
    pub(crate) purchases: Vec<Purchase>,
}

/// One of them.
pub(crate) struct Purchase {
    pub(crate) at_ms: u64,
    /// What the label asks for: a merchant, or a category.
    pub(crate) what: String,
    pub(crate) cents: u64,
}

/// What is to be predicted, and when.
pub(crate) struct Question {
    /// `merchant` or `category`.
    pub(crate) attribute: &'static str,
    /// The rule that compares it.
    pub(crate) condition: Operand,
    pub(crate) wanted: &'static str,
    pub(crate) evaluated_at_ms: u64,
    pub(crate) rounds: u32,
    pub(crate) evaluate_every: u32,
    /// Of each step.
    pub(crate) noise: f64,
    pub(crate) evaluation_noise: f64,
    pub(crate) accept_from: f64,
    /// How far the noised quality may be from the plain computation's; nothing is said of too few people.
    pub(crate) tolerance: Option<f64>,
}

/// Upload files of one Vault.
pub(crate) struct Files {
    pub(crate) subjects: PathBuf,
    pub(crate) consents: PathBuf,
    pub(crate) records: PathBuf,
}

/// Writes the upload files by Vault.
pub(crate) fn write(
    people: &[Person],
    question: &Question,
    folder: &Path,
) -> Result<BTreeMap<String, Files>> {
    let mut files = BTreeMap::new();
    for (at, vault) in VAULTS.iter().enumerate() {
        let path = |kind: &str| folder.join(format!("{vault}-{kind}.jsonl"));
        let set = Files { subjects: path("subjects"), consents: path("consents"), records: path("records") };
        let create = |path: &Path| -> Result<_> { Ok(BufWriter::new(File::create(path)?)) };
        let (mut subjects, mut consents, mut records) =
            (create(&set.subjects)?, create(&set.consents)?, create(&set.records)?);
        for person in people.iter().filter(|person| person.vault == at) {
            let Person { name, consent, purchases, .. } = person;
            writeln!(subjects, "{}", json!({"subject": name, "contact": format!("{name}@example.org")}))?;
            let scope = match consent {
                Consent::Training => Some("training"),
                Consent::Marketing => Some("marketing"),
                Consent::Nothing => None,
            };
            if let Some(scope) = scope {
                writeln!(consents, "{}", json!({"subject": name, "scope": scope, "state": "granted"}))?;
            }
            for (number, purchase) in purchases.iter().enumerate() {
                let Purchase { at_ms, what, cents } = purchase;
                let mut record = json!({
                    "request_id": format!("{name}-{number}"),
                    "subject": name,
                    "commerce.purchase_date": at_ms,
                    "commerce.amount": format!("{}.{:02}", cents / 100, cents % 100),
                });
                record[format!("commerce.{}", question.attribute)] = json!(what);
                writeln!(records, "{record}")?;
            }
        }
        for mut file in [subjects, consents, records] {
            file.flush()?;
        }
        files.insert((*vault).to_owned(), set);
    }
    Ok(files)
}

/// The training that answers a question: how long ago, how often, how much and what share of what is wanted, and how
/// often anything.
pub(crate) fn spec(question: &Question) -> TrainingSpec {
    let feature = |family: &str, attribute: bool, filtered: bool, scale| Feature {
        family: family.to_owned(),
        attribute: attribute.then(|| "commerce.amount".to_owned()),
        filter: if filtered { vec![question.condition.clone()] } else { Vec::new() },
        days: WINDOW_DAYS,
        scale,
    };
    let scale = |logarithm, centre, spread| Scale { logarithm, centre, spread, bound: 3.0 };
    TrainingSpec {
        usage_scope: "training".to_owned(),
        vaults: VAULTS.map(str::to_owned).into(),
        quorum: 2,
        model: Model::Logistic { local: None },
        time: "commerce.purchase_date".to_owned(),
        cohort: Vec::new(),
        features: vec![
            feature("recency", false, true, scale(false, 45.0, 30.0)),
            feature("frequency", false, true, scale(true, 1.0, 1.0)),
            feature("frequency", false, false, scale(true, 2.5, 1.0)),
            feature("sum", true, true, scale(true, 2.0, 1.5)),
            feature("share", true, true, scale(false, 0.2, 0.25)),
        ],
        label: Some(Label { condition: vec![question.condition.clone()], days: AHEAD_DAYS }),
        settings: Settings {
            clip: 1.5,
            learning_rate: 1.0,
            momentum: 0.5,
            penalty: 0.0001,
            ridge: 0.1,
            unlisted: 0.0,
        },
        privacy: Privacy {
            noise: question.noise,
            sampling: 1.0,
            evaluation_noise: question.evaluation_noise,
            delta: 1e-5,
        },
        rounds: question.rounds,
        evaluate_every: question.evaluate_every,
        patience: 0,
        held_out: 0.2,
        accept_from: question.accept_from,
        evaluate_at_ms: Some(question.evaluated_at_ms),
    }
}

/// The raw features of a person, in the order of [`spec`], and whether the label holds.
pub(crate) fn row(person: &Person, question: &Question) -> (Vec<f64>, bool) {
    let at = question.evaluated_at_ms;
    let (since, until) = (at - u64::from(WINDOW_DAYS) * DAY_MS, at + u64::from(AHEAD_DAYS) * DAY_MS);
    let before = || person.purchases.iter().filter(|one| (since..=at).contains(&one.at_ms));
    let wanted = || before().filter(|one| one.what == question.wanted);
    let units = |cents: u64| cents as f64 / 100.0;
    let latest = wanted().map(|one| one.at_ms).max();
    let recency = latest.map_or(f64::from(WINDOW_DAYS), |latest| (at - latest) as f64 / DAY_MS as f64);
    let (sum, all) = (units(wanted().map(|one| one.cents).sum()), units(before().map(|one| one.cents).sum()));
    let share = if all > 0.0 { sum / all } else { 0.0 };
    let label = person
        .purchases
        .iter()
        .any(|one| one.what == question.wanted && one.at_ms > at && one.at_ms <= until);
    (vec![recency, wanted().count() as f64, before().count() as f64, sum, share], label)
}

/// The chance that somebody with the label has a higher score than somebody without; ties count half.
pub(crate) fn auc(scored: &[(f64, bool)]) -> f64 {
    let mut order: Vec<_> = scored.to_vec();
    order.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (mut below, mut wins, mut positives) = (0.0, 0.0, 0.0);
    for same in order.chunk_by(|one, other| one.0 == other.0) {
        let with = same.iter().filter(|(_, label)| *label).count() as f64;
        let without = same.len() as f64 - with;
        wins += with * (below + without / 2.0);
        below += without;
        positives += with;
    }
    wins / (positives * below)
}
