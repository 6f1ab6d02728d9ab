//! Who bought what: people made up from a seed, each with a taste that past and future purchases share; or the real
//! households of the Complete Journey, dealt to three Vaults by store.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use symphony_sdk::shape::Operand;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::history::{AHEAD_DAYS, Consent, DAY_MS, Person, Purchase, Question, VAULTS};
use crate::purchases::purchases;

const BRAND: &str = "Luckin Coffee";
const OTHERS: [&str; 6] = ["Toast Box", "FairPrice", "Guardian", "Popular", "Uniqlo", "Cold Storage"];
const CATEGORY: &str = "SOFT DRINKS";
/// Days of generated purchases before the evaluation time.
const HISTORY_DAYS: u64 = 120;
/// Within the year of the data: 2017-09-01T00:00:00Z.
const REAL_EVALUATED_AT_MS: u64 = 1_504_224_000_000;

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

    /// Even in 0..1.
    fn even(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Most people seldom buy of the brand and few do often; how often stays the same before and after the evaluation time.
pub(crate) fn invented(count: u32, seed: u64) -> Result<(Vec<Person>, Question)> {
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let evaluated_at_ms = now - u64::from(AHEAD_DAYS) * DAY_MS;
    let first = evaluated_at_ms - HISTORY_DAYS * DAY_MS;
    let mut stream = Stream(seed);
    let people = (0..count).map(|number| {
        let taste = stream.even().powi(3) * 0.15;
        let others = 0.02 + stream.even() * 0.08;
        let consent = match stream.below(100) {
            0..85 => Consent::Training,
            85..95 => Consent::Marketing,
            _ => Consent::Nothing,
        };
        let mut purchases = Vec::new();
        for day in 0..HISTORY_DAYS + u64::from(AHEAD_DAYS) {
            let at_ms = first + day * DAY_MS + stream.below(DAY_MS);
            let draw = stream.even();
            let other = OTHERS[stream.below(OTHERS.len() as u64) as usize];
            let cents = 300 + stream.below(1_500);
            if draw < taste + others {
                let what = if draw < taste { BRAND } else { other }.to_owned();
                purchases.push(Purchase { at_ms, what, cents });
            }
        }
        let vault = number as usize % VAULTS.len();
        Person { name: format!("person-{number:06}"), vault, consent, purchases }
    });
    let condition = Operand {
        rule: "commerce.merchant_purchase".to_owned(),
        text: Some(BRAND.to_owned()),
        ..Operand::default()
    };
    let question = Question {
        attribute: "merchant",
        condition,
        wanted: BRAND,
        evaluated_at_ms,
        rounds: 40,
        evaluate_every: 10,
        noise: 12.0,
        evaluation_noise: 4.0,
        accept_from: 0.6,
        tolerance: Some(0.1),
    };
    Ok((people.collect(), question))
}

/// Real households with all their purchases, each at the Vault of the store that it is first seen in. Every seventh consents to campaigns only.
pub(crate) fn real(data: &Path) -> Result<(Vec<Person>, Question)> {
    let mut households: BTreeMap<u32, (u32, Vec<Purchase>)> = BTreeMap::new();
    for purchase in purchases(data)? {
        let at = OffsetDateTime::parse(&purchase.date, &Rfc3339)?.unix_timestamp();
        let at_ms = u64::try_from(at)? * 1_000;
        let bought = Purchase { at_ms, what: purchase.category, cents: purchase.cents };
        let (_, purchases) = households.entry(purchase.household).or_insert((purchase.store, Vec::new()));
        purchases.push(bought);
    }
    let people = households.into_iter().map(|(household, (store, purchases))| Person {
        name: format!("household-{household}"),
        vault: store as usize % VAULTS.len(),
        consent: if household.is_multiple_of(7) { Consent::Marketing } else { Consent::Training },
        purchases,
    });
    let condition = Operand {
        rule: "commerce.category_purchase".to_owned(),
        texts: Some(vec![CATEGORY.to_owned()]),
        ..Operand::default()
    };
    let question = Question {
        attribute: "category",
        condition,
        wanted: CATEGORY,
        evaluated_at_ms: REAL_EVALUATED_AT_MS,
        rounds: 30,
        evaluate_every: 30,
        noise: 8.0,
        evaluation_noise: 2.0,
        // So few households are held out that under such noise their quality says little.
        accept_from: 0.0,
        tolerance: None,
    };
    Ok((people.collect(), question))
}
