//! Every way that data and consents come in, up to one campaign that finds all of it (R014, R055-R058, R069, R074-R080,
//! R207, R209).

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use arrow::ipc::writer::StreamWriter;
use parquet::arrow::ArrowWriter;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use symphony_sdk::campaign::CampaignSpec;
use symphony_sdk::client::{Client, Format, Upload};
use symphony_sdk::shape::statistic::Selection;
use symphony_sdk::shape::{Operand, UploadReport};
use symphony_types::id::{RequestId, UsageScope};

use crate::network::{
    Network, Person, TURN, VAULTS, code, contact, crowd, eventually, now_ms, spec, subject,
};

/// R014, R055-R058, R069, R074-R080, R207, R209
#[tokio::test]
async fn whatever_way_it_came_in_one_campaign_finds_it() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--policy", "challenge=200"]);
    network.ready().await;
    network.upload("lines", &crowd(60)).await;
    // Numbers beyond the crowd: twenty in a Parquet file, twenty in an Arrow stream.
    let more = |from: u32, vault: usize| -> Vec<Person> {
        let person = |number| Person { number, vault, consents: true, eligible: true };
        (from..from + 20).map(person).collect()
    };
    let (parquet, arrow) = (more(1_000, 0), more(2_000, 1));
    columnar_files_are_records_like_any(&network, &parquet, Format::Parquet).await;
    columnar_files_are_records_like_any(&network, &arrow, Format::ArrowStream).await;
    let own = a_person_brings_its_own_record(&network).await;
    a_person_reads_itself_and_nobody_else(&network).await;
    the_same_record_twice_is_one_record(&network).await;
    bad_lines_are_named_and_good_ones_stay(&network).await;
    a_person_decides_at_every_vault_that_holds_it(&network).await;
    let gone = consent_is_granted_withdrawn_and_expires(&network).await;
    let found = network.submitter("luckin").run(&spec(), &request("everybody"), |_| {}).await.unwrap();
    let mut expected: Vec<String> =
        crowd(60).iter().chain(&parquet).chain(&arrow).map(contact).chain([own, line_contact()]).collect();
    expected.sort();
    let handles = found.audience.unwrap().handles;
    assert!(!handles.contains(&gone));
    assert_eq!(handles, expected);
    regulars_are_found_by_several_purchases(&network).await;
    the_best_customers_come_first(&network).await;
}

/// R046, R087, R092: who bought three times for 17.40 together within a hundred days, and never elsewhere.
async fn regulars_are_found_by_several_purchases(network: &Network) {
    let (regulars, elsewhere) = (crowd(56), crowd(3));
    let purchase = |person: &Person, merchant: &str, days: u64| {
        json!({
            "request_id": format!("{merchant}-{days}-{}", person.number).replace(' ', "-"), "subject": subject(person),
            "commerce.merchant": merchant, "commerce.amount": "5.80", "geography.city": "Singapore",
            "commerce.purchase_date": now_ms() - days * 86_400_000,
        })
    };
    for (index, vault) in VAULTS.iter().enumerate() {
        let here =
            |people: &[Person]| people.iter().filter(|of| of.vault == index).cloned().collect::<Vec<_>>();
        let again = here(&regulars)
            .into_iter()
            .flat_map(|of| [40, 50].map(|days| purchase(&of, "Luckin Coffee", days)));
        let other = here(&elsewhere).into_iter().map(|of| purchase(&of, "FairPrice", 3));
        let lines: Vec<Value> = again.chain(other).collect();
        let report = network.put(vault, Upload::Records, "regulars", &lines).await;
        assert_eq!((report.accepted, report.refused_total), (lines.len() as u64, 0), "{report:?}");
    }
    let rule = |rule: &str| Operand { rule: rule.to_owned(), ..Operand::default() };
    let at =
        |merchant: &str| Operand { text: Some(merchant.to_owned()), ..rule("commerce.merchant_purchase") };
    let thrice = vec![
        at("Luckin Coffee"),
        Operand { range: Some([0, 100]), ..rule("commerce.purchase_range") },
        Operand { at_least: Some(3), ..rule("commerce.purchase_count") },
        Operand { at_least: Some(1_740), ..rule("commerce.amount_sum") },
    ];
    let never = Selection::Not(Box::new(Selection::Record(vec![at("FairPrice")])));
    let who = Some(Selection::All(vec![Selection::Record(thrice), never]));
    let asked = CampaignSpec { operands: vec![], who, ..spec() };
    let found = network.submitter("luckin").run(&asked, &request("regulars"), |_| {}).await.unwrap();
    let mut expected: Vec<String> = regulars[elsewhere.len()..].iter().map(contact).collect();
    expected.sort();
    assert_eq!(found.audience.unwrap().handles, expected);
    let both = CampaignSpec { operands: spec().operands, ..asked };
    assert_eq!(code(network.client("luckin").quote(&both.task()).await), "ADM-0001");
}

/// R090: of more people than are wanted those who spent most, in whichever Vault they are; a ranking by what nobody asked is refused.
async fn the_best_customers_come_first(network: &Network) {
    let people = crowd(60);
    for (index, vault) in VAULTS.iter().enumerate() {
        let lines: Vec<Value> = people
            .iter()
            .filter(|of| of.vault == index)
            .map(|of| {
                json!({
                    "request_id": format!("spent-{}", of.number), "subject": subject(of),
                    "commerce.merchant": "Books & Co", "commerce.purchase_date": now_ms() - 86_400_000,
                    // In another order than their numbers.
                    "commerce.amount": format!("{}.00", 10 + of.number * 7 % 60),
                })
            })
            .collect();
        let report = network.put(vault, Upload::Records, "spent", &lines).await;
        assert_eq!(report.refused_total, 0, "{report:?}");
    }
    let rule = |rule: &str| Operand { rule: rule.to_owned(), ..Operand::default() };
    let spent = vec![
        Operand { text: Some("Books & Co".to_owned()), ..rule("commerce.merchant_purchase") },
        Operand { at_least: Some(1), ..rule("commerce.amount_sum") },
    ];
    let ranked = |rule: &str| CampaignSpec {
        operands: spent.clone(),
        cap: 54,
        rank_by: Some(rule.to_owned()),
        ..spec()
    };
    let best = ranked("commerce.amount_sum");
    let found = network.submitter("luckin").run(&best, &request("best"), |_| {}).await.unwrap();
    let mut expected: Vec<&Person> = people.iter().collect();
    expected.sort_by_key(|of| std::cmp::Reverse(of.number * 7 % 60));
    let mut expected: Vec<String> = expected[..54].iter().map(|of| contact(of)).collect();
    expected.sort();
    assert_eq!(found.audience.unwrap().handles, expected);
    let unread = ranked("commerce.purchase_count");
    assert_eq!(code(network.client("luckin").quote(&unread.task()).await), "ADM-0027");
}

/// R014, R076, R077
async fn columnar_files_are_records_like_any(network: &Network, people: &[Person], format: Format) {
    let vault = VAULTS[people[0].vault];
    let text = |value: &dyn Fn(&Person) -> String| -> ArrayRef {
        Arc::new(people.iter().map(|person| Some(value(person))).collect::<StringArray>())
    };
    let subjects = text(&subject);
    let day: ArrayRef = Arc::new(people.iter().map(|_| Some(now_ms() - 86_400_000)).collect::<UInt64Array>());
    let tables = [
        (Upload::Subjects, "subjects", vec![("subject", subjects.clone()), ("contact", text(&contact))]),
        (
            Upload::Consents,
            "consents",
            vec![
                ("subject", subjects.clone()),
                ("scope", text(&|_| "marketing".to_owned())),
                ("state", text(&|_| "granted".to_owned())),
            ],
        ),
        (
            Upload::Records,
            "records",
            vec![
                ("request_id", text(&|person| format!("table-{}", person.number))),
                ("subject", subjects),
                ("commerce.merchant", text(&|_| "Luckin Coffee".to_owned())),
                ("commerce.purchase_date", day),
                ("geography.city", text(&|_| "Singapore".to_owned())),
            ],
        ),
    ];
    let operator = network.client(&format!("operator-{vault}"));
    for (upload, kind, columns) in tables {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&table(&batch, format)).unwrap();
        let key = request(&format!("table-{kind}"));
        let sent = operator.upload(vault, upload, format, &key, file.path()).await.unwrap();
        assert_eq!((sent.accepted, sent.refused_total), (20, 0), "{:?}", sent.refused);
        // The same file under the same name is told what became of it; under another it has no effect.
        assert_eq!(operator.upload(vault, upload, format, &key, file.path()).await.unwrap(), sent);
        let other = request(&format!("table-{kind}-again"));
        let again = operator.upload(vault, upload, format, &other, file.path()).await.unwrap();
        assert_eq!((again.accepted, again.duplicates), (0, 20));
    }
}

fn table(batch: &RecordBatch, format: Format) -> Vec<u8> {
    let mut bytes = Vec::new();
    if format == Format::Parquet {
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(batch).unwrap();
        writer.close().unwrap();
    } else {
        let mut writer = StreamWriter::try_new(&mut bytes, &batch.schema()).unwrap();
        writer.write(batch).unwrap();
        writer.finish().unwrap();
    }
    bytes
}

/// R014, R074, R075, R077, R079
async fn a_person_brings_its_own_record(network: &Network) -> String {
    let person = Own::new(network, "own-person");
    let contact = "own-person@example.org".to_owned();
    let assigned = person.client.assigned().await.unwrap().vault_id;
    assert_eq!(person.client.assigned().await.unwrap().vault_id, assigned, "always the same");
    let line = json!({"subject": "own-person", "contact": contact});
    assert_eq!(person.post("subjects", "own-1", &line).await.unwrap().accepted, 1);
    let consent = json!({"subject": "own-person", "scope": "marketing", "state": "granted"});
    assert_eq!(person.post("consents", "own-2", &consent).await.unwrap().accepted, 1);
    let record = purchase("own-person", "own-record");
    let report = person.post("records", "own-3", &record).await.unwrap();
    assert_eq!((report.accepted, report.commitments.len()), (1, 1));
    let records = person.client.records("assigned", "own-person").await.unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].commitment, report.commitments[0]);
    // Other people are not a person's to bring.
    let mut foreign = record;
    foreign["subject"] = json!("person-000000");
    assert_eq!(person.post("records", "own-4", &foreign).await.unwrap_err(), "ADM-0003");
    contact
}

/// R063, R069, R079
async fn a_person_reads_itself_and_nobody_else(network: &Network) {
    let own = network.client_as("own-person", "producer");
    let budget = own.budget("assigned", "own-person").await.unwrap();
    assert!(budget.iter().all(|entry| entry.reserved_micro_epsilon + entry.committed_micro_epsilon == 0));
    for vault in VAULTS.into_iter().chain(["assigned"]) {
        assert_eq!(code(own.budget(vault, "person-000000").await), "ADM-0003");
        assert_eq!(code(own.records(vault, "person-000000").await), "ADM-0003");
        assert_eq!(code(own.consents(vault, "person-000000").await), "ADM-0003");
        assert_eq!(code(own.dividends(vault, "person-000000").await), "ADM-0003");
    }
    // An operator sees budgets, never data; a submitter sees nothing; another Vault's operator neither.
    let operator = network.client("operator-vault-a");
    operator.budget("vault-a", "person-000000").await.unwrap();
    assert_eq!(code(operator.records("vault-a", "person-000000").await), "ADM-0003");
    assert_eq!(code(network.client("luckin").budget("vault-a", "person-000000").await), "ADM-0003");
    assert_eq!(code(network.client("operator-vault-b").budget("vault-a", "person-000000").await), "ADM-0003");
}

/// R077, R080, R209
async fn the_same_record_twice_is_one_record(network: &Network) {
    let person = Own::new(network, "own-person");
    let record = purchase("own-person", "own-record");
    let first = person.post("records", "own-3", &record).await.unwrap();
    assert_eq!(first.accepted, 1, "the stored answer");
    let again = person.post("records", "own-5", &record).await.unwrap();
    assert_eq!((again.accepted, again.duplicates), (0, 1));
    assert_eq!(again.commitments, first.commitments);
    assert_eq!(person.client.records("assigned", "own-person").await.unwrap().len(), 1);
    let other = purchase("own-person", "another-record");
    assert_eq!(person.post("records", "own-3", &other).await.unwrap_err(), "ADM-0005");
}

/// R077, R080
async fn bad_lines_are_named_and_good_ones_stay(network: &Network) {
    let name = "line-person";
    let subject = json!({"subject": name, "contact": line_contact()});
    network.put("vault-c", Upload::Subjects, "line-subject", &[subject]).await;
    let consent = json!({"subject": name, "scope": "marketing", "state": "granted"});
    network.put("vault-c", Upload::Consents, "line-consent", &[consent]).await;
    let mut wrong_type = purchase(name, "line-2");
    wrong_type["commerce.purchase_date"] = json!("some day");
    let mut unknown_column = purchase(name, "line-4");
    unknown_column["commerce.star_sign"] = json!("aries");
    let lines = [
        purchase(name, "line-1"),
        wrong_type,
        purchase(name, "line-3"),
        unknown_column,
        json!([1, 2]),
        purchase("nobody-here", "line-6"),
        purchase(name, "line-7"),
    ];
    let report = network.put("vault-c", Upload::Records, "line-records", &lines).await;
    let refused: Vec<_> = report.refused.iter().map(|line| (line.line, line.code.as_str())).collect();
    assert_eq!((report.accepted, report.refused_total), (4, 3));
    assert_eq!(refused, [(2, "VLT-0001"), (5, "ADM-0001"), (6, "VLT-0002")]);
    // Nothing governed is called so: it stays local, and the operator sees it.
    assert_eq!(report.local, ["commerce.star_sign"]);
    let kept = network.client("operator-vault-c").retention("vault-c").await.unwrap();
    assert_eq!((kept.days, kept.ended, kept.kept > 0, kept.since_ms > 0), (0, 0, true, true), "{kept:?}");
    let candidates = network.client("operator-vault-c").candidates("vault-c").await.unwrap();
    let found: Vec<_> = candidates.iter().map(|one| (one.name.as_str(), one.texts, one.people)).collect();
    assert_eq!(found, [("commerce.star_sign", 1, 1)]);
    let scope = json!({"subject": name, "scope": "astrology", "state": "granted"});
    let report = network.put("vault-c", Upload::Consents, "line-scope", &[scope]).await;
    assert_eq!(report.refused[0].code, "ADM-0011");
}

/// R055, R056, R060
async fn consent_is_granted_withdrawn_and_expires(network: &Network) -> String {
    let person = Own::new(network, "fickle-person");
    let contact = "fickle-person@example.org".to_owned();
    let line = json!({"subject": "fickle-person", "contact": contact});
    person.post("subjects", "fickle-1", &line).await.unwrap();
    let record = purchase("fickle-person", "fickle-record");
    assert_eq!(person.post("records", "fickle-2", &record).await.unwrap().accepted, 1);
    let marketing = UsageScope::new("marketing").unwrap();
    let state = async || {
        let consents = person.client.consents("assigned", "fickle-person").await.unwrap();
        consents.into_iter().find(|entry| entry.usage_scope == "marketing").map(|entry| entry.state)
    };
    assert_eq!(state().await, None);
    let client = &person.client;
    assert_eq!(client.grant(&marketing, None, &request("grant-1")).await.unwrap().accepted, 1);
    assert_eq!(state().await.unwrap(), "granted");
    assert_eq!(client.withdraw(&marketing, &request("withdraw-1")).await.unwrap().accepted, 1);
    assert_eq!(state().await.unwrap(), "withdrawn");
    // An old grant that arrives again is an old grant.
    client.grant(&marketing, None, &request("grant-1")).await.unwrap();
    assert_eq!(state().await.unwrap(), "withdrawn");
    client.grant(&marketing, Some(now_ms() + 1_000), &request("grant-2")).await.unwrap();
    eventually("the consent expires", async || (state().await? == "expired").then_some(())).await;
    let astrology = UsageScope::new("astrology").unwrap();
    assert_eq!(code(client.grant(&astrology, None, &request("grant-3")).await), "ADM-0011");
    contact
}

/// R055, R057, R079: an operator put the person into a Vault that its name is not assigned to.
async fn a_person_decides_at_every_vault_that_holds_it(network: &Network) {
    let (name, marketing) = ("guest-person", UsageScope::new("marketing").unwrap());
    let client = network.client_as(name, "producer");
    let assigned = client.assigned().await.unwrap().vault_id;
    let vault = VAULTS.into_iter().find(|vault| *vault != assigned).unwrap();
    let line = json!({"subject": name, "contact": "guest-person@example.org"});
    network.put(vault, Upload::Subjects, "guest", &[line]).await;
    let state = async || {
        let consents = client.consents(vault, name).await.unwrap();
        consents.into_iter().find(|entry| entry.usage_scope == "marketing").map(|entry| entry.state)
    };
    assert_eq!(code(client.grant(&marketing, None, &request("guest-0")).await), "VLT-0002");
    let granted = client.grant_at(vault, name, &marketing, None, &request("guest-1")).await.unwrap();
    assert_eq!((granted.accepted, state().await.as_deref()), (1, Some("granted")));
    // Nobody else decides for it, and it for nobody else.
    let other = network.client_as("own-person", "producer");
    for (by, of) in [(&other, name), (&client, "own-person"), (&network.client("luckin"), name)] {
        assert_eq!(code(by.withdraw_at(vault, of, &marketing, &request("guest-2")).await), "ADM-0003");
    }
    assert_eq!(state().await.as_deref(), Some("granted"));
    let withdrawn = client.withdraw_at(vault, name, &marketing, &request("guest-3")).await.unwrap();
    assert_eq!((withdrawn.accepted, state().await.as_deref()), (1, Some("withdrawn")));
}

/// A person with a token of its own, which may send one JSON object at a time.
struct Own {
    client: Client,
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Own {
    fn new(network: &Network, name: &str) -> Self {
        let roots = reqwest::Certificate::from_pem_bundle(&network.ca()).unwrap();
        Self {
            client: network.client_as(name, "producer"),
            http: reqwest::Client::builder().tls_certs_only(roots).build().unwrap(),
            base: network.gateway(),
            token: network.token(name, "producer", 600),
        }
    }

    /// Sends one object to the assigned Vault; a refusal is its code.
    async fn post(&self, kind: &str, key: &str, body: &Value) -> Result<UploadReport, String> {
        let request = self.http.post(format!("{}/v1/vaults/assigned/{kind}", self.base));
        let request = request.bearer_auth(&self.token).header("idempotency-key", key);
        let answer =
            request.header(CONTENT_TYPE, "application/json").body(body.to_string()).send().await.unwrap();
        let accepted = answer.status().is_success();
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        if accepted {
            Ok(serde_json::from_value(answer).unwrap())
        } else {
            Err(answer["code"].as_str().unwrap().to_owned())
        }
    }
}

fn purchase(subject: &str, request: &str) -> Value {
    json!({
        "request_id": request, "subject": subject, "commerce.merchant": "Luckin Coffee",
        "commerce.purchase_date": now_ms() / 86_400_000 * 86_400_000 - 86_400_000, "geography.city": "Singapore",
    })
}

fn line_contact() -> String {
    "line-person@example.org".to_owned()
}

fn request(name: &str) -> RequestId {
    RequestId::new(name).unwrap()
}
