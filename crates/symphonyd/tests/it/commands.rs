//! The command line against a whole network: people and numbers asked for in files, as the guide shows them, and how long a Vault
//! keeps what it has (R021, R076, R080, R088, R090, R209).

use std::fs;

use serde_json::{Value, json};
use symphony_sdk::client::Upload;

use crate::network::{Network, TURN, contact, crowd, now_ms, subject};
use crate::people::symphonyd;

/// What a command prints, and the code that it ends with; of a refusal, the problem.
fn asked(network: &Network, profile: &str, words: &[&str]) -> (i32, Value) {
    let (code, said) = network.symphony(profile, &[&["--json"], words].concat());
    let shown = said.find('{').and_then(|at| {
        let mut values = serde_json::Deserializer::from_str(&said[at..]).into_iter::<Value>();
        values.next()?.ok()
    });
    (code, shown.unwrap_or_else(|| panic!("{code}: {said}")))
}

/// R021, R076, R080, R088, R090: a count, a histogram and an audience of the best customers out of files; what cannot be answered is
/// refused before anything is locked; a Vault's operator sees how long records are kept.
#[tokio::test(flavor = "multi_thread")]
async fn queries_are_files_and_retention_is_shown() {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("network");
    assert!(symphonyd(&["dev", "--create-only", "--masters", "1", "--dir"], &dir).status.success());
    let config = dir.join("enterprise-vault-a/node.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}\n[retention]\ndays = 400\n")).unwrap();
    let network = Network::start_in(&dir, &["--masters", "1"]);
    network.ready().await;
    let people = crowd(60);
    network.upload("crowd", &people).await;
    for (index, vault) in ["vault-a", "vault-b", "vault-c"].into_iter().enumerate() {
        let spent = people.iter().filter(|person| person.vault == index).map(|person| {
            json!({
                "request_id": format!("spent-{}", person.number), "subject": subject(person),
                "commerce.merchant": "Books & Co", "commerce.category": "books",
                "commerce.purchase_date": now_ms() - 86_400_000,
                "commerce.amount": format!("{}.00", 10 + person.number),
            })
        });
        let report = network.put(vault, Upload::Records, "spent", &spent.collect::<Vec<_>>()).await;
        assert_eq!(report.refused_total, 0, "{report:?}");
    }
    let file = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, format!("{EVERYWHERE}{text}")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let submit = |spec: &str| {
        let (code, answer) = asked(&network, "luckin", &["submit", spec, "--wait"]);
        assert_eq!((code, answer["task"]["state"].as_str()), (0, Some("completed")), "{answer}");
        answer
    };

    let (code, quote) = asked(&network, "luckin", &["quote", &file("count.toml", COUNT)]);
    assert_eq!((code, quote["noised_micro_epsilon"].as_u64()), (0, Some(1_000_000)), "{quote}");
    let counted = submit(&file("count.toml", COUNT));
    let noised = counted["statistic"]["cells"][0]["noised"].as_i64().unwrap();
    assert!((noised - 180).abs() < 70, "noise of scale three is off by seventy about never: {counted}");
    let grouped = submit(&file("groups.toml", GROUPS));
    let cells = grouped["statistic"]["cells"].as_array().unwrap();
    let names: Vec<_> = cells.iter().map(|cell| cell["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["books", "coffee"], "{grouped}");

    let best = submit(&file("best.toml", BEST));
    let mut expected: Vec<String> = people[people.len() - 54..].iter().map(contact).collect();
    expected.sort();
    assert_eq!(best["audience"]["handles"], json!(expected));

    let hopeless = file("hopeless.toml", &BEST.replace("cap = 54", "cap = 49"));
    let unranked = file(
        "unranked.toml",
        &BEST.replace("rank_by = \"commerce.amount_sum\"", "rank_by = \"commerce.purchase_count\""),
    );
    for (spec, refusal) in [(hopeless, "ADM-0014"), (unranked, "ADM-0027")] {
        let (code, said) = network.symphony("luckin", &["submit", &spec, "--wait"]);
        assert!(code != 0 && said.contains(refusal), "{code}: {said}");
    }

    let (code, kept) = asked(&network, "operator-vault-a", &["vault", "retention", "--vault", "vault-a"]);
    assert_eq!((code, kept["days"].as_u64(), kept["kept"].as_u64()), (0, Some(400), Some(120)), "{kept}");
    let (code, kept) = asked(&network, "operator-vault-b", &["vault", "retention", "--vault", "vault-b"]);
    assert_eq!((code, kept["days"].as_u64()), (0, Some(0)), "for good: {kept}");
    let (code, said) = network.symphony("operator-vault-b", &["vault", "retention", "--vault", "vault-a"]);
    assert!(code != 0 && said.contains("ADM-0003"), "{code}: {said}");
}

const EVERYWHERE: &str = r#"
    usage_scope = "marketing"
    vaults = ["vault-a", "vault-b", "vault-c"]
    quorum = 3
"#;

const COUNT: &str = r#"
    output = "count"
    epsilon = 1.0
    [who]
    all = [
        { record = [
            { rule = "commerce.purchase_range", range = [0, 30] },
            { rule = "commerce.purchase_count", at_least = 2 },
            { rule = "commerce.amount_sum", at_least = 1500 },
        ] },
        { not = { record = [{ rule = "commerce.merchant_purchase", text = "FairPrice" }] } },
    ]
"#;

const GROUPS: &str = r#"
    output = { histogram = { attribute = "commerce.category", groups = ["coffee", "books"], groups_each = 2 } }
    epsilon = 1.0
    who = { record = [{ rule = "commerce.purchase_recency", days = 30 }] }
"#;

const BEST: &str = r#"
    output = "identity.contact_handle"
    cap = 54
    rank_by = "commerce.amount_sum"
    operands = [
        { rule = "commerce.merchant_purchase", text = "Books & Co" },
        { rule = "commerce.amount_sum", at_least = 1 },
    ]
"#;
