//! The same campaign over real retail purchases: the Complete Journey (CC0). Stores are dealt to three Vaults,
//! households are people, "bought soft drinks within 30 days of a date in the data". The eligible set is computed
//! plainly from the files, in a few lines that share nothing with the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Result;
use symphony_sdk::campaign::CampaignSpec;
use symphony_sdk::shape::Operand;

use crate::purchases::{Purchase, purchases};
use crate::{Case, Files};

/// A slice of 800 households is small: a Vault with fewer than 20 buyers stays silent, not one with fewer than 50.
pub(crate) const POLICY: &str = "minimum=20";
const VAULTS: [&str; 3] = ["vault-a", "vault-b", "vault-c"];
const CATEGORY: &str = "SOFT DRINKS";
/// The evaluation time, within the year of the data: 2017-07-01T00:00:00Z.
const EVALUATED_AT_MS: u64 = 1_498_867_200_000;

/// Reads the data, writes upload files, and computes the plain answer.
pub(crate) fn case(data: &Path, folder: &Path) -> Result<Case> {
    let purchases = purchases(data)?;
    let eligible = eligible(&purchases);
    let withdrawn = eligible_but_withdrawn(&purchases);
    let mut files = BTreeMap::new();
    for (index, vault) in VAULTS.iter().enumerate() {
        let path = |kind: &str| folder.join(format!("{vault}-{kind}.jsonl"));
        let set = Files {
            subjects: path("subjects"),
            early: path("early"),
            consents: path("consents"),
            records: path("records"),
        };
        write(
            &set,
            purchases.iter().enumerate().filter(|(_, purchase)| purchase.store as usize % 3 == index),
        )?;
        files.insert((*vault).to_owned(), set);
    }
    Ok(Case {
        files,
        spec: spec(),
        eligible: eligible.into_iter().map(contact).collect(),
        excluded: vec![("consent withdrawn", withdrawn)],
        exhausts: None,
    })
}

/// Households with a purchase of the category in the window that did not withdraw: the plain computation.
fn eligible(purchases: &[Purchase]) -> BTreeSet<u32> {
    buyers(purchases).into_iter().filter(|household| !withdrew(*household)).collect()
}

fn eligible_but_withdrawn(purchases: &[Purchase]) -> usize {
    buyers(purchases).into_iter().filter(|household| withdrew(*household)).count()
}

fn buyers(purchases: &[Purchase]) -> BTreeSet<u32> {
    // RFC 3339 texts of one form order as their times do: 2017-06-01T00:00:00Z to 2017-07-01T00:00:00Z.
    let window = "2017-06-01T00:00:00Z".."2017-07-01T00:00:01Z";
    let bought =
        |purchase: &&Purchase| purchase.category == CATEGORY && window.contains(&purchase.date.as_str());
    purchases.iter().filter(bought).map(|purchase| purchase.household).collect()
}

/// Every seventh household withdrew its consent.
const fn withdrew(household: u32) -> bool {
    household.is_multiple_of(7)
}

fn contact(household: u32) -> String {
    format!("household-{household}@example.com")
}

fn write<'a>(files: &Files, purchases: impl Iterator<Item = (usize, &'a Purchase)>) -> Result<()> {
    let create = |path: &Path| -> Result<_> { Ok(BufWriter::new(File::create(path)?)) };
    let mut records = create(&files.records)?;
    let mut households = BTreeSet::new();
    for (line, purchase) in purchases {
        let Purchase { household, category, date, cents, .. } = purchase;
        households.insert(*household);
        let record = serde_json::json!({
            "request_id": format!("line-{line}"),
            "subject": format!("household-{household}"),
            "commerce.category": category,
            "commerce.purchase_date": date,
            "commerce.amount": format!("{}.{:02}", cents / 100, cents % 100),
        });
        writeln!(records, "{record}")?;
    }
    let (mut subjects, mut consents) = (create(&files.subjects)?, create(&files.consents)?);
    for household in households {
        let subject = format!("household-{household}");
        writeln!(subjects, "{}", serde_json::json!({"subject": subject, "contact": contact(household)}))?;
        let say = |state| serde_json::json!({"subject": subject, "scope": "marketing", "state": state});
        writeln!(consents, "{}", say("granted"))?;
        if withdrew(household) {
            writeln!(consents, "{}", say("withdrawn"))?;
        }
    }
    for mut file in [records, subjects, consents, create(&files.early)?] {
        file.flush()?;
    }
    Ok(())
}

fn spec() -> CampaignSpec {
    let rule = |rule: &str| Operand { rule: rule.to_owned(), ..Operand::default() };
    CampaignSpec {
        usage_scope: "marketing".to_owned(),
        vaults: VAULTS.map(str::to_owned).into(),
        quorum: 3,
        operands: vec![
            Operand { texts: Some(vec![CATEGORY.to_owned()]), ..rule("commerce.category_purchase") },
            Operand { days: Some(30), ..rule("commerce.purchase_recency") },
        ],
        who: None,
        output: "identity.contact_handle".to_owned(),
        cap: 5_000,
        rank_by: None,
        evaluate_at_ms: Some(EVALUATED_AT_MS),
    }
}
