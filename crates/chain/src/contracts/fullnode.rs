//! A full node's REST API: the few routes that the client needs, each answer with how far the node is. A node that is behind
//! what this client has seen is not believed.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde_json::Value;
use symphony_types::digest::Digest;
use symphony_types::id::AccountId;
use symphony_types::time::OrderedMillis;

use super::Deployment;
use super::call::{Entry, bytes};
use super::transaction::EntryFunction;
use crate::port::ChainError;

/// How far a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The chain's number.
    pub(super) number: u8,
    /// The last version that it has.
    pub(super) version: u64,
    /// The time of that version.
    pub(super) time: OrderedMillis,
}

/// What a node answered, and how far it was then.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) head: Head,
    pub(super) body: Result<Value, Refused>,
}

/// A node's refusal, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
}

/// A full node.
#[derive(Clone, Debug)]
pub(super) struct FullNode {
    http: Client,
    base: Url,
}

impl FullNode {
    /// The node at `url`, such as `https://fullnode.testnet.aptoslabs.com/v1`. **Errors**: no such URL.
    pub(super) fn new(url: &str) -> Result<Self, ChainError> {
        let wrong = |detail: String| ChainError::Unreachable(format!("{url}: {detail}"));
        let base = Url::parse(&format!("{}/", url.trim_end_matches('/')))
            .map_err(|error| wrong(error.to_string()))?;
        // The first provider of the process stays.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = Client::builder().timeout(CALL_TIMEOUT).connect_timeout(CONNECT_TIMEOUT).build();
        Ok(Self { http: http.map_err(|error| wrong(error.to_string()))?, base })
    }

    /// Where the chain is.
    pub(super) async fn ledger(&self) -> Result<Answered, ChainError> {
        self.send(self.http.get(self.base.clone())).await
    }

    /// A transaction by its hash.
    pub(super) async fn by_hash(&self, hash: Digest) -> Result<Answered, ChainError> {
        self.get(&format!("transactions/by_hash/0x{hash}")).await
    }

    /// A transaction by its place.
    pub(super) async fn by_version(&self, version: u64) -> Result<Answered, ChainError> {
        self.get(&format!("transactions/by_version/{version}")).await
    }

    /// An account's own record.
    pub(super) async fn account(&self, account: AccountId) -> Result<Answered, ChainError> {
        self.get(&format!("accounts/0x{}", account.0)).await
    }

    /// What a unit of gas costs.
    pub(super) async fn gas_price(&self) -> Result<Answered, ChainError> {
        self.get("estimate_gas_price").await
    }

    /// Hands a signed transaction in.
    pub(super) async fn submit(&self, signed: Vec<u8>) -> Result<Answered, ChainError> {
        let request = self.http.post(self.url("transactions")?).header(CONTENT_TYPE, SIGNED_TRANSACTION);
        self.send(request.body(signed)).await
    }

    /// What a transaction would do now; the answer is a list of one.
    pub(super) async fn simulate(&self, unsigned: Vec<u8>) -> Result<Answered, ChainError> {
        let request = self.http.post(self.url("transactions/simulate")?);
        self.send(request.header(CONTENT_TYPE, SIGNED_TRANSACTION).body(unsigned)).await
    }

    /// Reads by a view function of the contracts; the answer is a list of what it returns.
    pub(super) async fn view(&self, deployment: &Deployment, entry: Entry) -> Result<Answered, ChainError> {
        let body = bytes(&EntryFunction::new(deployment, entry));
        self.send(self.http.post(self.url("view")?).header(CONTENT_TYPE, VIEW_FUNCTION).body(body)).await
    }

    async fn get(&self, path: &str) -> Result<Answered, ChainError> {
        self.send(self.http.get(self.url(path)?)).await
    }

    fn url(&self, path: &str) -> Result<Url, ChainError> {
        self.base.join(path).map_err(|error| ChainError::Unreachable(error.to_string()))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answered, ChainError> {
        let lost = |error: reqwest::Error| ChainError::Unreachable(error.without_url().to_string());
        let mut response = request.header(ACCEPT, "application/json").send().await.map_err(lost)?;
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            return Err(ChainError::Unreachable(format!("the node answers {status}")));
        }
        let head = head(response.headers()).ok_or(ChainError::Garbled)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(ChainError::Garbled);
            }
            body.extend_from_slice(&chunk);
        }
        let value: Value = serde_json::from_slice(&body).map_err(|_| ChainError::Garbled)?;
        let text = |name: &str| value[name].as_str().unwrap_or_default().chars().take(TEXT_MAX).collect();
        let body = if status.is_success() {
            Ok(value)
        } else {
            Err(Refused { status: status.as_u16(), code: text("error_code"), message: text("message") })
        };
        Ok(Answered { head, body })
    }
}

fn head(headers: &HeaderMap) -> Option<Head> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
    Some(Head {
        number: u8::try_from(number("x-aptos-chain-id")?).ok()?,
        version: number("x-aptos-ledger-version")?,
        time: OrderedMillis(number("x-aptos-ledger-timestampusec")? / 1_000),
    })
}

const SIGNED_TRANSACTION: &str = "application/x.aptos.signed_transaction+bcs";
const VIEW_FUNCTION: &str = "application/x.aptos.view_function+bcs";
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A transaction of the largest batch has some thousand events.
const ANSWER_BYTES_MAX: usize = 16 << 20;
const TEXT_MAX: usize = 400;
