//! Tokens of a development network: an issuer with a key of its own, so that the gateway verifies them like any
//! other issuer's (R203). A production network names its own issuer and never runs this.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ED25519};
use serde::Serialize;
use symphony_wire::tls::authority::write_secret;

/// The development issuer's name.
pub(crate) const ISSUER: &str = "https://issuer.symphony.internal";
/// What its tokens are for.
pub(crate) const AUDIENCE: &str = "symphony";
/// The key's id in the key set.
const KEY_ID: &str = "development";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The development network's folder
    #[arg(long)]
    dir: PathBuf,
    /// The identity that the token proves
    #[arg(long)]
    actor: String,
    /// Roles in the token
    #[arg(long, value_delimiter = ',', default_value = "producer")]
    roles: Vec<String>,
    /// How long the token is valid, in seconds
    #[arg(long, default_value_t = 86_400)]
    seconds: u64,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    roles: &'a [String],
    iss: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

/// Prints a token. **Errors**: the folder has no issuer.
pub(crate) fn run(args: &Args) -> Result<()> {
    println!("{}", mint(&args.dir, &args.actor, &args.roles, args.seconds)?);
    Ok(())
}

/// Makes the issuer of a network: its private key and the public key set. **Errors**: those of the file system.
pub(crate) fn create_issuer(dir: &Path) -> Result<()> {
    let folder = dir.join("issuer");
    fs::create_dir_all(&folder)?;
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    write_secret(&folder.join("issuer.key"), &key.serialize_pem())?;
    let jwks = serde_json::json!({"keys": [{
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": KEY_ID,
        "x": base64_url(key.public_key_raw()),
    }]});
    fs::write(folder.join("jwks.json"), serde_json::to_string_pretty(&jwks)?)?;
    Ok(())
}

/// A token of the network's issuer. **Errors**: the folder has no issuer.
pub(crate) fn mint(dir: &Path, actor: &str, roles: &[String], seconds: u64) -> Result<String> {
    let pem = fs::read(dir.join("issuer/issuer.key")).context("reading the development issuer's key")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = Claims { sub: actor, roles, iss: ISSUER, aud: AUDIENCE, iat: now, exp: now + seconds };
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(KEY_ID.to_owned());
    Ok(encode(&header, &claims, &EncodingKey::from_ed_pem(&pem)?)?)
}

/// Base64 for URLs without padding (RFC 4648 section 5), for the one public key of the key set.
fn base64_url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(group >> (18 - 6 * index) & 63) as usize]));
        }
    }
    text
}
