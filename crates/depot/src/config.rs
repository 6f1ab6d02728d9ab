//! Which store of objects a Vault's segments are in, as its node's configuration says it, and the credentials for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use object_store::path::Path as StorePath;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::depot::DepotError;

/// The table `segments_store` of a node's configuration. It has no secret in it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// Where the store answers, as `https://objects.example.org`; Amazon's own address of the region when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The region that requests are signed for.
    #[serde(default = "region")]
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// What the names of objects begin with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// A TOML file with `access_key_id`, `secret_access_key` and, if there is one, `session_token`; without it they are taken from
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN` of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<PathBuf>,
    /// A file of certificates, PEM, that the store's own may rest on besides those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Allows an endpoint without TLS: whoever is on the way sees which objects are read, and can hold them back.
    #[serde(default)]
    pub plain_http: bool,
    /// Sealed bytes that are kept in memory after they were read. **Units**: bytes.
    #[serde(default = "cache_bytes")]
    pub cache_bytes: u64,
}

fn region() -> String {
    "us-east-1".to_owned()
}

const fn cache_bytes() -> u64 {
    256 << 20
}

/// A store with what it takes to use it.
#[derive(Clone)]
pub struct Settings {
    pub(crate) endpoint: Option<String>,
    pub(crate) region: String,
    pub(crate) bucket: String,
    pub(crate) prefix: StorePath,
    pub(crate) credentials: Credentials,
    pub(crate) ca: Option<Vec<u8>>,
    pub(crate) cache_bytes: usize,
    /// How long a store is waited for.
    pub patience: Patience,
}

/// What requests are signed with. Wiped on drop, and printed by nobody.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) session_token: Option<String>,
}

impl Drop for Credentials {
    fn drop(&mut self) {
        self.secret_access_key.zeroize();
        self.session_token.zeroize();
    }
}

/// How long a store is waited for, and how often it is asked again.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For one request and its whole answer.
    pub request: Duration,
    /// How often a request is repeated that failed on the way or by the store's fault.
    pub retries: usize,
    /// Since the first request: nothing is repeated after that.
    pub all: Duration,
    /// Before the first repetition; it grows with each.
    pub pause: Duration,
    /// After a segment could not be written: until then uploads leave their records waiting without trying.
    pub rest: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(20),
            retries: 4,
            all: Duration::from_secs(20),
            pause: Duration::from_millis(100),
            rest: Duration::from_secs(30),
        }
    }
}

impl StoreConfig {
    /// The same with the files' paths taken from this folder.
    pub fn based(mut self, folder: &Path) -> Self {
        for file in [&mut self.credentials_file, &mut self.ca_file] {
            *file = file.take().map(|file| folder.join(file));
        }
        self
    }

    /// With what the files or the environment have. **Errors**: [`DepotError::Config`], [`DepotError::File`]; neither tells a secret.
    pub fn settings(&self) -> Result<Settings, DepotError> {
        let wrong = |what: &str| DepotError::Config(what.to_owned());
        match &self.endpoint {
            Some(endpoint) if endpoint.starts_with("https://") => {}
            Some(endpoint) if endpoint.starts_with("http://") && self.plain_http => {}
            Some(endpoint) if endpoint.starts_with("http://") => {
                return Err(wrong("the endpoint has no TLS, and plain_http is not set"));
            }
            Some(_) => return Err(wrong("the endpoint begins with neither https:// nor http://")),
            None => {}
        }
        if self.bucket.is_empty() || self.bucket.contains('/') {
            return Err(wrong("the bucket has no name, or a slash in it"));
        }
        let prefix = StorePath::parse(&self.prefix);
        let prefix = prefix.map_err(|error| DepotError::Config(format!("the prefix: {error}")))?;
        let cache_bytes = usize::try_from(self.cache_bytes);
        let ca = self.ca_file.as_ref().map(|file| fs::read(file).map_err(DepotError::file(file)));
        Ok(Settings {
            endpoint: self.endpoint.as_ref().map(|endpoint| endpoint.trim_end_matches('/').to_owned()),
            region: self.region.clone(),
            bucket: self.bucket.clone(),
            prefix,
            credentials: self.credentials()?,
            ca: ca.transpose()?,
            cache_bytes: cache_bytes.map_err(|_| wrong("cache_bytes is more than there can be"))?,
            patience: Patience::default(),
        })
    }

    fn credentials(&self) -> Result<Credentials, DepotError> {
        let Some(file) = &self.credentials_file else { return from_environment() };
        let text = fs::read_to_string(file).map_err(DepotError::file(file))?;
        let text = Zeroizing::new(text);
        // The parser's own words would show the line.
        let damaged = || {
            let keys = "access_key_id, secret_access_key and perhaps session_token";
            DepotError::Config(format!("{} is not a TOML file of {keys}", file.display()))
        };
        toml::from_str(&text).map_err(|_| damaged())
    }
}

fn from_environment() -> Result<Credentials, DepotError> {
    let named = |name: &str| {
        let absent = || DepotError::Config(format!("no credentials_file is named, and {name} is not set"));
        std::env::var(name).map_err(|_| absent())
    };
    Ok(Credentials {
        access_key_id: named("AWS_ACCESS_KEY_ID")?,
        secret_access_key: named("AWS_SECRET_ACCESS_KEY")?,
        session_token: std::env::var("AWS_SESSION_TOKEN").ok(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn refused(text: &str) -> String {
        let config: StoreConfig = toml::from_str(text).unwrap();
        config.settings().err().unwrap().to_string()
    }

    /// R230: a store that cannot be meant is refused in words, and no refusal tells a secret.
    #[test]
    fn what_does_not_hold_together_is_refused_without_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credentials");
        fs::write(&file, "access_key_id = \"name\"\nsecret_access_key = hush-hush\n").unwrap();
        let with = |lines: &str| format!("{lines}\ncredentials_file = {:?}", file.display().to_string());
        assert!(refused(&with("bucket = \"b\"\nendpoint = \"http://h\"")).contains("plain_http"));
        assert!(refused(&with("bucket = \"b\"\nendpoint = \"h\"")).contains("https://"));
        assert!(refused(&with("bucket = \"a/b\"")).contains("bucket"));
        assert!(refused(&with("bucket = \"b\"\nprefix = \"a//b\"")).contains("prefix"));
        let damaged = refused(&with("bucket = \"b\""));
        assert!(damaged.contains("secret_access_key and") && !damaged.contains("hush"), "{damaged}");
        assert!(toml::from_str::<StoreConfig>("bucket = \"b\"\nsecret_access_key = \"x\"").is_err());
        fs::write(&file, "access_key_id = \"name\"\nsecret_access_key = \"hush-hush\"\n").unwrap();
        let config: StoreConfig =
            toml::from_str("bucket = \"b\"\ncredentials_file = \"credentials\"").unwrap();
        let settings = config.based(folder.path()).settings().unwrap();
        assert_eq!(settings.credentials.secret_access_key, "hush-hush");
        assert_eq!(settings.cache_bytes, 256 << 20);
    }
}
