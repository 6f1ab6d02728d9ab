//! Where a receipt was printed, and in which currency (R083): names of countries, states and cities, legal forms,
//! names of taxes and signs of money each point somewhere.

use crate::parse::certainty::{self, Points, Pool};
use crate::parse::expense::Field;
use crate::parse::{Reading, spelling};

/// Where a sale took place.
pub(crate) struct Place {
    pub(crate) country: Option<Field<String>>,
    pub(crate) city: Option<Field<String>>,
}

impl Place {
    /// Whether dates of that country begin with the month.
    pub(crate) fn month_first(&self) -> bool {
        self.country.as_ref().is_some_and(|country| country.value == "US")
    }
}

/// The best-supported country and city.
pub(crate) fn of(readings: &[Reading]) -> Place {
    let mut countries: Pool<String> = Pool::default();
    let mut cities: Pool<String> = Pool::default();
    for (number, reading) in readings.iter().enumerate() {
        let mut votes: Vec<(&str, Points)> = Vec::new();
        for row in &reading.rows {
            for (words, country, points) in SIGNS {
                if words.iter().any(|word| says_exactly(&row.folded, word)) {
                    vote(&mut votes, country, *points);
                }
            }
            for (word, country, city) in CITIES {
                if says_exactly(&row.folded, word) {
                    vote(&mut votes, country, 2);
                    cities.add(number, (*city).to_owned(), 3 + Points::from(row.bps() / 5_000), Some(row.at));
                }
            }
        }
        for (country, points) in votes {
            countries.add(number, country.to_owned(), points.min(8), None);
        }
    }
    let country = countries.best(&certainty::PLACE);
    Place { country, city: cities.best(&certainty::PLACE) }
}

/// The currency by its sign, or else by the country.
pub(crate) fn currency(readings: &[Reading], place: &Place) -> Option<Field<String>> {
    let country = place.country.as_ref();
    let mut pool: Pool<String> = Pool::default();
    for (number, reading) in readings.iter().enumerate() {
        for row in &reading.rows {
            for word in row.folded.split_whitespace() {
                let sign = word.trim_matches(|c: char| c.is_ascii_digit() || ".,:()-*".contains(c));
                if let Some((_, currency)) = MONEY.iter().find(|(money, _)| *money == sign) {
                    let home = country.is_some_and(|country| home(&country.value) == Some(*currency));
                    pool.add(number, (*currency).to_owned(), 4 + 3 * Points::from(home), Some(row.at));
                }
            }
        }
        if let Some(currency) = country.and_then(|country| home(&country.value)) {
            pool.add(number, currency.to_owned(), 5, None);
        }
    }
    pool.best(&certainty::PLACE)
}

fn home(country: &str) -> Option<&'static str> {
    HOME.iter().find(|(code, _)| *code == country).map(|(_, currency)| *currency)
}

fn vote<'a>(votes: &mut Vec<(&'a str, Points)>, country: &'a str, points: Points) {
    match votes.iter_mut().find(|(known, _)| *known == country) {
        Some((_, sum)) => *sum += points,
        None => votes.push((country, points)),
    }
}

fn says_exactly(folded: &str, phrase: &str) -> bool {
    let (words, wanted): (Vec<&str>, Vec<&str>) = (spelling::words(folded), phrase.split(' ').collect());
    words.windows(wanted.len()).any(|window| window == wanted)
}

const MONEY: &[(&str, &str)] = &[
    ("RM", "MYR"),
    ("MYR", "MYR"),
    ("S$", "SGD"),
    ("SGD", "SGD"),
    ("RP", "IDR"),
    ("IDR", "IDR"),
    ("€", "EUR"),
    ("EUR", "EUR"),
    ("£", "GBP"),
    ("GBP", "GBP"),
    ("USD", "USD"),
    ("US$", "USD"),
    ("THB", "THB"),
    ("฿", "THB"),
    ("HK$", "HKD"),
    ("HKD", "HKD"),
    ("PHP", "PHP"),
    ("₱", "PHP"),
    ("INR", "INR"),
    ("₹", "INR"),
    ("AUD", "AUD"),
    ("A$", "AUD"),
    ("NT$", "TWD"),
    ("CHF", "CHF"),
    ("JPY", "JPY"),
    ("CAD", "CAD"),
    ("VND", "VND"),
];

const HOME: &[(&str, &str)] = &[
    ("MY", "MYR"),
    ("SG", "SGD"),
    ("ID", "IDR"),
    ("US", "USD"),
    ("GB", "GBP"),
    ("DE", "EUR"),
    ("FR", "EUR"),
    ("IT", "EUR"),
    ("ES", "EUR"),
    ("NL", "EUR"),
    ("TH", "THB"),
    ("HK", "HKD"),
    ("PH", "PHP"),
    ("IN", "INR"),
    ("AU", "AUD"),
    ("TW", "TWD"),
    ("CH", "CHF"),
    ("JP", "JPY"),
    ("CA", "CAD"),
    ("VN", "VND"),
    ("AT", "EUR"),
];

const SIGNS: &[(&[&str], &str, Points)] = &[
    (
        &[
            "MALAYSIA",
            "SDN BHD",
            "BERHAD",
            "SELANGOR",
            "JOHOR",
            "PERAK",
            "PAHANG",
            "KEDAH",
            "KELANTAN",
            "TERENGGANU",
            "NEGERI SEMBILAN",
            "MELAKA",
            "PERLIS",
            "SABAH",
            "SARAWAK",
            "W PERSEKUTUAN",
            "WILAYAH PERSEKUTUAN",
        ],
        "MY",
        3,
    ),
    (&["RM", "JALAN", "JLN", "TAMAN", "SST", "BHD", "TUNAI", "BAKI"], "MY", 1),
    (&["SINGAPORE", "PTE LTD", "SGD", "NETS"], "SG", 3),
    (&["INDONESIA", "TBK", "NPWP", "PPN"], "ID", 3),
    (&["UNITED STATES", "USA", "SALES TAX"], "US", 3),
    (&["UNITED KINGDOM", "ENGLAND", "SCOTLAND", "WALES", "VAT NO"], "GB", 3),
    (&["DEUTSCHLAND", "GERMANY", "GMBH", "MWST", "STEUER"], "DE", 3),
    (&["FRANCE", "TVA", "SIRET"], "FR", 3),
    (&["ITALIA", "IVA", "SCONTRINO"], "IT", 3),
    (&["ESPANA", "ESPAÑA"], "ES", 3),
    (&["NEDERLAND", "BTW"], "NL", 3),
    (&["THAILAND", "THB"], "TH", 3),
    (&["HONG KONG", "HKD"], "HK", 3),
    (&["PHILIPPINES", "PHP"], "PH", 3),
    (&["INDIA", "GSTIN", "CGST", "SGST", "INR"], "IN", 3),
    (&["AUSTRALIA", "ABN", "PTY LTD", "AUD"], "AU", 3),
    (&["TAIWAN"], "TW", 3),
    (&["SCHWEIZ", "SUISSE", "CHF"], "CH", 3),
    (&["JAPAN", "JPY"], "JP", 3),
    (&["CANADA", "HST", "CAD"], "CA", 3),
    (&["OSTERREICH", "ÖSTERREICH"], "AT", 3),
    (&["VIETNAM", "VND"], "VN", 3),
];

const CITIES: &[(&str, &str, &str)] = &[
    ("KUALA LUMPUR", "MY", "Kuala Lumpur"),
    ("JOHOR BAHRU", "MY", "Johor Bahru"),
    ("PETALING JAYA", "MY", "Petaling Jaya"),
    ("SHAH ALAM", "MY", "Shah Alam"),
    ("SUBANG JAYA", "MY", "Subang Jaya"),
    ("KLANG", "MY", "Klang"),
    ("PUCHONG", "MY", "Puchong"),
    ("SERI KEMBANGAN", "MY", "Seri Kembangan"),
    ("KAJANG", "MY", "Kajang"),
    ("IPOH", "MY", "Ipoh"),
    ("GEORGE TOWN", "MY", "George Town"),
    ("PULAU PINANG", "MY", "George Town"),
    ("PENANG", "MY", "George Town"),
    ("SEREMBAN", "MY", "Seremban"),
    ("KUANTAN", "MY", "Kuantan"),
    ("KOTA KINABALU", "MY", "Kota Kinabalu"),
    ("KUCHING", "MY", "Kuching"),
    ("ALOR SETAR", "MY", "Alor Setar"),
    ("PUTRAJAYA", "MY", "Putrajaya"),
    ("CYBERJAYA", "MY", "Cyberjaya"),
    ("CHERAS", "MY", "Kuala Lumpur"),
    ("KEPONG", "MY", "Kuala Lumpur"),
    ("BATU PAHAT", "MY", "Batu Pahat"),
    ("SKUDAI", "MY", "Skudai"),
    ("RAWANG", "MY", "Rawang"),
    ("SETIA ALAM", "MY", "Shah Alam"),
    ("AMPANG", "MY", "Ampang"),
    ("SINGAPORE", "SG", "Singapore"),
    ("JAKARTA", "ID", "Jakarta"),
    ("BANDUNG", "ID", "Bandung"),
    ("SURABAYA", "ID", "Surabaya"),
    ("DENPASAR", "ID", "Denpasar"),
    ("MEDAN", "ID", "Medan"),
    ("NEW YORK", "US", "New York"),
    ("LOS ANGELES", "US", "Los Angeles"),
    ("CHICAGO", "US", "Chicago"),
    ("SAN FRANCISCO", "US", "San Francisco"),
    ("SEATTLE", "US", "Seattle"),
    ("BOSTON", "US", "Boston"),
    ("HOUSTON", "US", "Houston"),
    ("LONDON", "GB", "London"),
    ("MANCHESTER", "GB", "Manchester"),
    ("BIRMINGHAM", "GB", "Birmingham"),
    ("EDINBURGH", "GB", "Edinburgh"),
    ("BERLIN", "DE", "Berlin"),
    ("MUNCHEN", "DE", "Munich"),
    ("MÜNCHEN", "DE", "Munich"),
    ("HAMBURG", "DE", "Hamburg"),
    ("KOLN", "DE", "Cologne"),
    ("KÖLN", "DE", "Cologne"),
    ("FRANKFURT", "DE", "Frankfurt"),
    ("STUTTGART", "DE", "Stuttgart"),
    ("LEIPZIG", "DE", "Leipzig"),
    ("WIEN", "AT", "Vienna"),
    ("ZURICH", "CH", "Zurich"),
    ("ZÜRICH", "CH", "Zurich"),
    ("PARIS", "FR", "Paris"),
    ("LYON", "FR", "Lyon"),
    ("MARSEILLE", "FR", "Marseille"),
    ("ROMA", "IT", "Rome"),
    ("MILANO", "IT", "Milan"),
    ("TORINO", "IT", "Turin"),
    ("MADRID", "ES", "Madrid"),
    ("BARCELONA", "ES", "Barcelona"),
    ("AMSTERDAM", "NL", "Amsterdam"),
    ("ROTTERDAM", "NL", "Rotterdam"),
    ("BANGKOK", "TH", "Bangkok"),
    ("HONG KONG", "HK", "Hong Kong"),
    ("KOWLOON", "HK", "Hong Kong"),
    ("MANILA", "PH", "Manila"),
    ("MAKATI", "PH", "Makati"),
    ("MUMBAI", "IN", "Mumbai"),
    ("DELHI", "IN", "Delhi"),
    ("BENGALURU", "IN", "Bengaluru"),
    ("BANGALORE", "IN", "Bengaluru"),
    ("CHENNAI", "IN", "Chennai"),
    ("SYDNEY", "AU", "Sydney"),
    ("MELBOURNE", "AU", "Melbourne"),
    ("BRISBANE", "AU", "Brisbane"),
    ("PERTH", "AU", "Perth"),
    ("TAIPEI", "TW", "Taipei"),
    ("TOKYO", "JP", "Tokyo"),
    ("OSAKA", "JP", "Osaka"),
    ("TORONTO", "CA", "Toronto"),
    ("VANCOUVER", "CA", "Vancouver"),
    ("MONTREAL", "CA", "Montreal"),
    ("HANOI", "VN", "Hanoi"),
];
