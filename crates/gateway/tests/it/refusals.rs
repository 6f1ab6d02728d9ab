//! Every refusal of the edge is a problem document with its catalogue code (R204, R210).

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use symphony_gateway::config::Limits;
use symphony_types::catalogue;

use crate::stage::{Part, Stage, claims, issuer_key, jwks, sign, token};

const JSON: &str = "application/json";

async fn refused(request: RequestBuilder, code: &str) -> Value {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let text = response.text().await.unwrap();
    assert_eq!(headers["content-type"], "application/problem+json", "{status} {text}");
    let body: Value = serde_json::from_str(&text).unwrap();
    let expected = catalogue::by_str(code).unwrap();
    assert_eq!(body["code"], code, "{body}");
    assert_eq!(body["type"], format!("urn:symphony:error:{code}"));
    assert_eq!(body["title"], expected.title());
    assert_eq!(body["status"], expected.http());
    assert_eq!(status, expected.http());
    assert_eq!(body["retryable"], expected.retry());
    let id = headers["x-request-id"].to_str().unwrap();
    assert_eq!(body["instance"], format!("urn:symphony:request:{id}"));
    assert!(!body["detail"].as_str().unwrap().is_empty());
    body
}

fn spec() -> Value {
    json!({
        "task_class": "query", "usage_scope": "marketing", "vault_ids": ["vault-1"], "minimum_vault_quorum": 1,
        "operands": [{ "rule": "commerce.purchase_recency", "days": 30 }],
        "output_attribute": "identity.contact_handle", "audience_cap": 5000,
    })
}

/// R210
#[tokio::test]
async fn unreadable_bodies_are_malformed() {
    let stage = Stage::open().await;
    let quote = |body: String| stage.post("/v1/quotes", JSON, body);
    refused(quote("{".into()), "ADM-0001").await;
    refused(quote(String::new()), "ADM-0001").await;
    refused(quote("\u{0}".into()), "ADM-0001").await;
    for (field, value) in
        [("audience_cap", json!("5000")), ("audience_cap", json!(-1)), ("operands", json!({}))]
    {
        let mut wrong = spec();
        wrong[field] = value;
        refused(quote(wrong.to_string()), "ADM-0001").await;
    }
    let mut unknown = spec();
    unknown["surprise"] = json!(1);
    let body = refused(quote(unknown.to_string()), "ADM-0001").await;
    assert!(body["detail"].as_str().unwrap().contains("surprise"));
    let mut two = spec();
    two["operands"][0]["text"] = json!("coffee");
    refused(quote(two.to_string()), "ADM-0001").await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let body = refused(quote(deep), "ADM-0001").await;
    assert!(body["detail"].as_str().unwrap().contains("nested deeper"));
    refused(stage.get("/v1/tasks/xyz"), "ADM-0001").await;
    refused(stage.get("/v1/vaults/assigned/subjects/a%20b/budget"), "ADM-0001").await;
    assert!(stage.seen.lock().unwrap().callers.is_empty(), "none of them reached the master");
}

/// R204, R210
#[tokio::test]
async fn sizes_media_paths_and_methods_are_checked() {
    let stage = Stage::open().await;
    refused(stage.post("/v1/quotes", JSON, vec![b' '; (64 << 10) + 1]), "ADM-0017").await;
    refused(stage.post("/v1/chain/queries", "application/octet-stream", vec![0; (1 << 20) + 1]), "ADM-0017")
        .await;
    refused(stage.post("/v1/quotes", "text/plain", spec().to_string()), "ADM-0021").await;
    refused(stage.request(Method::POST, "/v1/quotes").body(spec().to_string()), "ADM-0021").await;
    refused(stage.post("/v1/vaults/vault-1/records", "text/csv", "a,b"), "ADM-0021").await;
    refused(stage.get("/v2/nothing"), "ADM-0004").await;
    refused(
        stage.get("/v1/tasks/0000000000000000000000000000000000000000000000000000000000000000"),
        "ADM-0004",
    )
    .await;
    let response = stage.request(Method::DELETE, "/v1/quotes").send().await.unwrap();
    assert_eq!(response.headers()["allow"], "POST");
    refused(stage.request(Method::DELETE, "/v1/quotes"), "ADM-0024").await;
    refused(stage.get("/v1/vaults/other/subjects/alice/budget"), "ADM-0012").await;
    refused(stage.get("/v1/vaults/vault-1/subjects/bob/budget"), "ADM-0003").await;
}

/// R203
#[tokio::test]
async fn only_the_issuers_own_fresh_tokens_prove_a_caller() {
    let stage = Stage::open().await;
    let url = format!("{}/v1/status", stage.url);
    refused(stage.client.get(&url), "ADM-0002").await;
    refused(stage.client.get(&url).header("authorization", "Basic YTpi"), "ADM-0002").await;

    let good = token(|_| {});
    let mut parts = good.split('.');
    let (_, payload, signature) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    let other = token(|claims| claims["sub"] = json!("mallory"));
    let header = good.split('.').next().unwrap();
    let public = jwks()["keys"][0]["x"].as_str().unwrap().to_owned();
    let wrong = [
        "nonsense".to_owned(),
        "a.b.c".to_owned(),
        "x".repeat(10_000),
        token(|claims| claims["exp"] = json!(1_000_000)),
        token(|claims| claims["nbf"] = json!(9_000_000_000_u64)),
        token(|claims| claims["iss"] = json!("https://other.test")),
        token(|claims| claims["aud"] = json!("other")),
        token(|claims| claims["sub"] = json!("no name!")),
        token(|claims| claims["roles"] = json!("operator")),
        token(|claims| {
            claims.as_object_mut().unwrap().remove("exp");
        }),
        token(|claims| {
            claims.as_object_mut().unwrap().remove("aud");
        }),
        sign(Algorithm::EdDSA, &issuer_key(6), &claims(|_| {})),
        sign(Algorithm::HS256, &EncodingKey::from_secret(public.as_bytes()), &claims(|_| {})),
        format!("{header}.{}.{signature}", other.split('.').nth(1).unwrap()),
        // {"alg":"none"} and {"alg":"none","kid":"k1"}
        format!("eyJhbGciOiJub25lIn0.{payload}."),
        format!("eyJhbGciOiJub25lIiwia2lkIjoiazEifQ.{payload}."),
    ];
    for token in wrong {
        refused(stage.client.get(&url).bearer_auth(token), "ADM-0002").await;
    }
    let response = stage.client.get(&url).send().await.unwrap();
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    assert!(stage.seen.lock().unwrap().callers.is_empty());
    assert_eq!(stage.client.get(&url).bearer_auth(good).send().await.unwrap().status(), 200);
}

/// R204
#[tokio::test]
async fn too_many_requests_of_one_caller_leave_others_alone() {
    let limits = Limits { requests_per_second: 1, burst: 3, ..Limits::default() };
    let stage = Stage::with(limits).await;
    let mut served = 0;
    while stage.get("/healthz").send().await.unwrap().status() == 200 {
        served += 1;
        assert!(served < 50);
    }
    assert!(served >= 3);
    let wait =
        stage.get("/healthz").send().await.unwrap().headers()["retry-after"].to_str().unwrap().to_owned();
    assert!(wait.parse::<u64>().unwrap() >= 1);
    refused(stage.get("/healthz"), "ADM-0018").await;
    let other = token(|claims| claims["sub"] = json!("bob"));
    let response =
        stage.client.get(format!("{}/healthz", stage.url)).bearer_auth(other).send().await.unwrap();
    assert_eq!(response.status(), 200);
}

/// R204
#[tokio::test]
async fn a_connection_that_does_not_speak_is_closed() {
    let stage = Stage::with(Limits { head: Duration::from_millis(200), ..Limits::default() }).await;
    for sent in ["", "GET /healthz HTTP/1.1\r\nhost: loc"] {
        let (address, certificate) = (stage.address, stage.certificate.clone());
        let closed = tokio::task::spawn_blocking(move || {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(certificate.into()).unwrap();
            let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
            let name = "localhost".try_into().unwrap();
            let tls = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
            let socket = std::net::TcpStream::connect(address).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut stream = rustls::StreamOwned::new(tls, socket);
            stream.write_all(sent.as_bytes()).unwrap();
            stream.flush().unwrap();
            let mut answer = Vec::new();
            // However the connection ends, it ends; only the read timeout means that it stayed open.
            let open = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
            stream.read_to_end(&mut answer).map_or_else(|fault| !open.contains(&fault.kind()), |_| true)
        });
        assert!(closed.await.unwrap(), "after {sent:?}");
    }
}

/// R210
#[tokio::test]
async fn a_master_that_is_away_is_unavailable() {
    let stage = Stage::among(&[Part::Away], Limits::default()).await;
    let body = refused(stage.get("/v1/vaults"), "GOV-0003").await;
    assert_eq!(body["detail"], body["title"], "nothing of the inner network is told");
    let body = refused(stage.get("/v1/status"), "GOV-0003").await;
    assert_eq!(body["detail"], "no master answers");
}

/// R204
#[tokio::test]
async fn the_gateway_ends_when_it_is_told_to() {
    let stage = Stage::open().await;
    assert_eq!(stage.get("/healthz").send().await.unwrap().status(), 200);
    stage.stop.send(()).unwrap();
    stage.ended.await.unwrap().unwrap();
    assert!(stage.client.get(format!("{}/healthz", stage.url)).send().await.is_err());
}
