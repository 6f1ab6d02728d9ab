//! What a command acts with: `client.toml` of the profile's folder, replaced by options and environment.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use symphony_chain::transaction::ChainId;
use symphony_protocol::governance::Governance;
use symphony_sdk::client::Client;
use symphony_sdk::erasure;
use symphony_sdk::recipient::Recipient;
use symphony_sdk::submission::Submitter;
use symphony_sdk::wallet::Wallet;
use symphony_types::id::ActorId;
use symphony_types::key::{Governance as CouncilKey, PrivateKey};

use super::args::Connection;
use super::run::Usage;

/// The file of a profile; relative paths start at its folder.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    gateway: Option<String>,
    ca: Option<PathBuf>,
    token_file: Option<PathBuf>,
    wallet: Option<PathBuf>,
    sponsored: bool,
    recipient: Option<PathBuf>,
    trust: Option<PathBuf>,
    council: Option<PathBuf>,
    models: Option<PathBuf>,
    actor: Option<ActorId>,
    chain: Option<String>,
}

/// A profile with everything replaced.
pub(super) struct Profile(Connection);

impl Profile {
    /// Reads the profile's file, if there is one. **Errors**: it is not of this shape.
    pub(super) fn read(mut given: Connection) -> Result<Self> {
        let Some(folder) = given.profile.take() else { return Ok(Self(given)) };
        let path = folder.join("client.toml");
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Usage(format!("reading {}: {error}", path.display())))?;
        let file: File =
            toml::from_str(&text).map_err(|error| Usage(format!("reading {}: {error}", path.display())))?;
        let inside = |path: Option<PathBuf>| path.map(|path| folder.join(path));
        let token_file = given.token_file.or_else(|| inside(file.token_file));
        Ok(Self(Connection {
            profile: None,
            gateway: given.gateway.or(file.gateway),
            ca: given.ca.or_else(|| inside(file.ca)),
            token: given.token,
            token_file,
            actor: given.actor.or(file.actor),
            wallet: given.wallet.or_else(|| inside(file.wallet)),
            sponsored: given.sponsored || file.sponsored,
            recipient: given.recipient.or_else(|| inside(file.recipient)),
            trust: given.trust.or_else(|| inside(file.trust)),
            council: given.council.or_else(|| inside(file.council)),
            models: given.models.or_else(|| inside(Some(file.models.unwrap_or_else(|| "models".into())))),
            chain: given.chain.or(file.chain),
        }))
    }

    /// The client of the gateway.
    pub(super) fn client(&self) -> Result<Client> {
        let url = wanted(self.0.gateway.as_ref(), "gateway")?;
        let ca = self.0.ca.as_ref().map(|path| read(path)).transpose()?;
        let token = match (&self.0.token, &self.0.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(path)) => Some(String::from_utf8(read(path)?).context("reading the token")?),
            (None, None) => None,
        };
        Ok(Client::new(url, ca.as_deref(), token.as_deref())?)
    }

    /// The same, for the caller's own receipts and records: sealed to its Vault, if there is a governance to trust.
    pub(super) fn own_client(&self) -> Result<Client> {
        let (client, Some(path)) = (self.client()?, &self.0.trust) else { return self.client() };
        let governance = std::fs::read(path).map_err(|error| error.to_string());
        let governance =
            governance.and_then(|bytes| erasure::governance(&bytes).map_err(|fault| fault.to_string()));
        let governance =
            governance.map_err(|fault| Usage(format!("trusting {}: {fault}", path.display())))?;
        Ok(client.sealing(governance, self.actor()?.clone()))
    }

    /// The governance that the caller trusts: what the network was founded with.
    pub(super) fn trusted(&self) -> Result<Governance> {
        let path = wanted(self.0.trust.as_ref(), "trust")?;
        Ok(erasure::governance(&read(path)?)
            .map_err(|fault| Usage(format!("trusting {}: {fault}", path.display())))?)
    }

    /// A council member's key.
    pub(super) fn council(&self) -> Result<PrivateKey<CouncilKey>> {
        let seed = symphony_sdk::secret::read(wanted(self.0.council.as_ref(), "council")?)?;
        Ok(PrivateKey::from_seed(&seed))
    }

    /// Who asks.
    pub(super) fn actor(&self) -> Result<&ActorId> {
        wanted(self.0.actor.as_ref(), "actor")
    }

    /// The person asked about: the one named, else the caller.
    pub(super) fn subject<'a>(&'a self, named: Option<&'a str>) -> Result<&'a str> {
        named.map_or_else(|| self.actor().map(ActorId::as_str), Ok)
    }

    /// The wallet.
    pub(super) fn wallet(&self) -> Result<Wallet> {
        let wallet = Wallet::open(self.wallet_file()?, self.chain()?)?;
        Ok(if self.0.sponsored { wallet.sponsored() } else { wallet })
    }

    /// The file of the wallet.
    pub(super) fn wallet_file(&self) -> Result<&PathBuf> {
        wanted(self.0.wallet.as_ref(), "wallet")
    }

    /// The chain's name.
    pub(super) fn chain(&self) -> Result<ChainId> {
        let name = wanted(self.0.chain.as_ref(), "chain")?;
        Ok(ChainId::new(name).map_err(|error| Usage(format!("chain: {error}")))?)
    }

    /// The key that opens results.
    pub(super) fn recipient(&self) -> Result<Recipient> {
        Ok(Recipient::open_file(self.recipient_file()?)?)
    }

    /// Its file.
    pub(super) fn recipient_file(&self) -> Result<&PathBuf> {
        wanted(self.0.recipient.as_ref(), "recipient")
    }

    /// The folder of trained models.
    pub(super) fn models(&self) -> Result<&PathBuf> {
        wanted(self.0.models.as_ref(), "models")
    }

    /// Everything that a submitter needs.
    pub(super) fn submitter(&self) -> Result<Submitter> {
        Ok(Submitter {
            client: self.client()?,
            wallet: self.wallet()?,
            recipient: self.recipient()?,
            actor: self.actor()?.clone(),
        })
    }
}

fn wanted<'a, T>(value: Option<&'a T>, name: &str) -> Result<&'a T> {
    Ok(value.ok_or_else(|| Usage(format!("--{name} is needed, or {name} in the profile's client.toml")))?)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_replace_the_profile_and_its_paths_start_at_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let text = "gateway = 'https://one.example'\nwallet = 'wallet.seed'\nactor = 'luckin'\nchain = 'dev'";
        std::fs::write(folder.path().join("client.toml"), text).unwrap();
        let given = || Connection { profile: Some(folder.path().to_owned()), ..Connection::default() };
        let profile = Profile::read(Connection { chain: Some("other".to_owned()), ..given() }).unwrap();
        assert_eq!(profile.chain().unwrap().as_str(), "other");
        assert_eq!(profile.wallet_file().unwrap(), &folder.path().join("wallet.seed"));
        assert_eq!(profile.models().unwrap(), &folder.path().join("models"));
        assert_eq!(profile.subject(None).unwrap(), "luckin");
        assert!(profile.recipient_file().unwrap_err().is::<Usage>());
        std::fs::write(folder.path().join("client.toml"), "gatewayy = 'x'").unwrap();
        assert!(Profile::read(given()).is_err());
    }
}
