//! Generated data: people in three Vaults, some in two, with purchases, consents and used-up budgets spread so
//! that every rule of exclusion keeps somebody out. The same seed gives the same data but for the dates, which
//! count back from now.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use symphony_sdk::campaign::CampaignSpec;
use symphony_sdk::shape::Operand;

use crate::{Case, Files};

/// One earlier campaign uses up what the first people to consent allow for marketing.
pub(crate) const POLICY: &str = "marketing=700000";
const VAULTS: [&str; 3] = ["vault-a", "vault-b", "vault-c"];
const MERCHANTS: [&str; 8] = [
    "Luckin Coffee",
    "Ya Kun Kaya Toast",
    "FairPrice",
    "Guardian",
    "Popular",
    "Uniqlo",
    "Old Chang Kee",
    "Cold Storage",
];
const CATEGORIES: [&str; 8] =
    ["coffee", "coffee", "grocery", "pharmacy", "books", "apparel", "snacks", "grocery"];
const CITIES: [&str; 5] = ["Singapore", "Singapore", "Johor Bahru", "Kuala Lumpur", "Jakarta"];
const DAY_MS: u64 = 86_400_000;
/// Purchases lie within this many days before now.
const HISTORY_DAYS: u64 = 120;

/// What a person said about marketing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Consent {
    /// Before the other brand's campaign, which uses the budget up.
    Early,
    Granted,
    Never,
    Withdrawn,
    Expired,
}

/// A splitmix64 stream: small, seeded, the same everywhere.
struct Stream(u64);

impl Stream {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// One Vault's files being written.
struct Writers {
    subjects: BufWriter<File>,
    early: BufWriter<File>,
    consents: BufWriter<File>,
    records: BufWriter<File>,
}

/// Makes the data and the plain answer.
pub(crate) fn case(people: u32, purchases: u32, seed: u64, folder: &Path) -> Result<Case> {
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let mut stream = Stream(seed);
    let mut files = BTreeMap::new();
    let mut writers = Vec::new();
    for vault in VAULTS {
        let path = |kind: &str| folder.join(format!("{vault}-{kind}.jsonl"));
        let set = Files {
            subjects: path("subjects"),
            early: path("early"),
            consents: path("consents"),
            records: path("records"),
        };
        let create = |path: &Path| -> Result<_> { Ok(BufWriter::new(File::create(path)?)) };
        writers.push(Writers {
            subjects: create(&set.subjects)?,
            early: create(&set.early)?,
            consents: create(&set.consents)?,
            records: create(&set.records)?,
        });
        files.insert(vault.to_owned(), set);
    }
    let mut eligible = BTreeSet::new();
    let mut kept_out: BTreeMap<&'static str, BTreeSet<u32>> = BTreeMap::new();
    for person in 0..people {
        let contact = format!("+65 8{person:07}");
        let consent = consent(&mut stream);
        let home = (person % 3) as usize;
        // Every tenth person shops where two Vaults see it.
        let homes: &[usize] = if person % 10 == 0 { &[home, (home + 1) % 3] } else { &[home] };
        for vault in homes {
            enrol(&mut writers[*vault], person, &contact, consent, now)?;
        }
        let mut qualifies = false;
        for purchase in 0..purchases {
            let vault = homes[(purchase as usize) % homes.len()];
            qualifies |= record(&mut writers[vault], person, purchase, now, &mut stream)?;
        }
        if qualifies {
            match consent {
                Consent::Granted => {
                    eligible.insert(contact);
                }
                Consent::Early => drop(kept_out.entry("budget exhausted").or_default().insert(person)),
                Consent::Never => drop(kept_out.entry("never consented").or_default().insert(person)),
                Consent::Withdrawn => drop(kept_out.entry("consent withdrawn").or_default().insert(person)),
                Consent::Expired => drop(kept_out.entry("consent expired").or_default().insert(person)),
            }
        }
    }
    for mut writer in writers {
        for file in [&mut writer.subjects, &mut writer.early, &mut writer.consents, &mut writer.records] {
            file.flush()?;
        }
    }
    Ok(Case {
        files,
        spec: spec("Luckin Coffee", now),
        eligible,
        excluded: kept_out.into_iter().map(|(why, people)| (why, people.len())).collect(),
        exhausts: Some(spec("FairPrice", now)),
    })
}

fn consent(stream: &mut Stream) -> Consent {
    match stream.below(100) {
        0..80 => Consent::Granted,
        80..86 => Consent::Early,
        86..91 => Consent::Never,
        91..96 => Consent::Withdrawn,
        _ => Consent::Expired,
    }
}

fn enrol(writer: &mut Writers, person: u32, contact: &str, consent: Consent, now: u64) -> Result<()> {
    let wallet = format!("{:064x}", u128::from(person) + 1);
    writeln!(
        writer.subjects,
        r#"{{"subject":"person-{person:06}","contact":"{contact}","wallet":"{wallet}"}}"#
    )?;
    let mut say = |state: &str, expires: &str| {
        writeln!(
            writer.consents,
            r#"{{"subject":"person-{person:06}","scope":"marketing","state":"{state}"{expires}}}"#
        )
    };
    match consent {
        Consent::Granted => say("granted", "")?,
        Consent::Early => writeln!(
            writer.early,
            r#"{{"subject":"person-{person:06}","scope":"marketing","state":"granted"}}"#
        )?,
        Consent::Never => {}
        Consent::Withdrawn => {
            say("granted", "")?;
            say("withdrawn", "")?;
        }
        Consent::Expired => {
            let expires = format!(r#","expires_at":{}"#, now + 500);
            say("granted", &expires)?;
        }
    }
    Ok(())
}

/// Writes one purchase; says whether it makes its person eligible.
fn record(writer: &mut Writers, person: u32, purchase: u32, now: u64, stream: &mut Stream) -> Result<bool> {
    let merchant = stream.below(MERCHANTS.len() as u64) as usize;
    let city = CITIES[stream.below(CITIES.len() as u64) as usize];
    let age = stream.below(HISTORY_DAYS * DAY_MS);
    let cents = 300 + stream.below(4_000);
    writeln!(
        writer.records,
        r#"{{"request_id":"p{person:06}-{purchase:02}","subject":"person-{person:06}","commerce.merchant":"{}","commerce.category":"{}","commerce.purchase_date":{},"commerce.amount":"{}.{:02}","geography.city":"{city}"}}"#,
        MERCHANTS[merchant],
        CATEGORIES[merchant],
        now - age,
        cents / 100,
        cents % 100,
    )?;
    Ok(merchant == 0 && city == "Singapore" && age <= 30 * DAY_MS)
}

fn spec(merchant: &str, now: u64) -> CampaignSpec {
    let rule = |rule: &str| Operand { rule: rule.to_owned(), ..Operand::default() };
    CampaignSpec {
        usage_scope: "marketing".to_owned(),
        vaults: VAULTS.map(str::to_owned).into(),
        quorum: 3,
        operands: vec![
            Operand { text: Some(merchant.to_owned()), ..rule("commerce.merchant_purchase") },
            Operand { days: Some(30), ..rule("commerce.purchase_recency") },
            Operand { text: Some("Singapore".to_owned()), ..rule("geography.city_eligibility") },
        ],
        who: None,
        output: "identity.contact_handle".to_owned(),
        cap: 5_000,
        rank_by: None,
        evaluate_at_ms: Some(now),
    }
}
