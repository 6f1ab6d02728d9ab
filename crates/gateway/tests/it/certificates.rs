//! The public certificate changes while users are served (R206).

use std::path::Path;
use std::time::{Duration, Instant};

use rcgen::{CertifiedKey, KeyPair};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

use crate::stage::Stage;

fn pair() -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap()
}

fn put(folder: &Path, certificate: &CertifiedKey<KeyPair>, key: &CertifiedKey<KeyPair>) {
    std::fs::write(folder.join("cert.pem"), certificate.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.signing_key.serialize_pem()).unwrap();
}

/// Whether a new connection is shown this certificate.
async fn shows(stage: &Stage, pem: &str) -> bool {
    let root = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([root]).resolve("localhost", stage.address);
    let answer = client.build().unwrap().get(format!("{}/healthz", stage.url)).send().await;
    answer.is_ok_and(|answer| answer.status() == 200)
}

/// R206: a certificate without its key is refused and the former one is shown on; one that fits is shown to new
/// connections. An upload that began before goes on over its own connection and is answered.
#[tokio::test]
async fn the_public_certificate_is_replaced_while_an_upload_is_under_way() {
    let stage = Stage::open().await;
    let former = std::fs::read_to_string(stage.folder().join("cert.pem")).unwrap();
    let (lines, stream) = mpsc::channel::<String>(1);
    let body = ReceiverStream::new(stream).map(Ok::<_, std::io::Error>);
    let upload =
        stage.post("/v1/vaults/vault-1/records", "application/x-ndjson", reqwest::Body::wrap_stream(body));
    let upload = tokio::spawn(upload.send());
    lines.send("{\"line\":1}\n".to_owned()).await.unwrap();
    lines.send("{\"line\":2}\n".to_owned()).await.unwrap();
    let (new, other) = (pair(), pair());
    put(stage.folder(), &new, &other);
    let mut looks = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..25 {
        looks.tick().await;
        assert!(shows(&stage, &former).await, "half of a pair counts");
    }
    put(stage.folder(), &new, &new);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !shows(&stage, &new.cert.pem()).await {
        assert!(Instant::now() < deadline, "the new certificate is never shown");
        looks.tick().await;
    }
    assert!(!shows(&stage, &former).await && !upload.is_finished());
    lines.send("{\"line\":3}\n".to_owned()).await.unwrap();
    drop(lines);
    assert_eq!(upload.await.unwrap().unwrap().status(), 200);
}
