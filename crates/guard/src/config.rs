//! How one guard runs: its seat, its files, and what a restart makes of it (R230). Unknown keys are errors.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use symphony_consensus::quorum::committee::{Committee, Member, SEATS_MAX, Seat};
use symphony_consensus::quorum::socket::Admission;
use symphony_types::id::NodeId;
use zeroize::Zeroizing;

/// The configuration file of a guard.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardConfig {
    /// The master that it votes for.
    pub node: NodeId,
    /// The master's place in the committee, counted from zero.
    pub seat: u8,
    /// Canonical bytes of the committee that the cluster was founded with.
    pub committee: PathBuf,
    /// The seed of the machine's platform key, in hexadecimal.
    pub platform_seed: PathBuf,
    /// The seed of the seat's founding key, in hexadecimal. Removed at the first start.
    pub founding_seed: PathBuf,
    /// Where the master connects.
    pub socket: PathBuf,
    /// The guard's own folder.
    pub state: PathBuf,
    /// What a restart makes of it.
    pub admission: Admission,
}

/// The configuration, or a file that it names, is not usable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("reading {0}")]
    Read(PathBuf, #[source] std::io::Error),
    /// The file is no configuration.
    #[error("reading {0}")]
    Syntax(PathBuf, #[source] Box<toml::de::Error>),
    /// The file holds no founding committee.
    #[error("{0} is not a founding committee")]
    Committee(PathBuf),
    /// The committee has another master in that seat.
    #[error("{0} is not in seat {1} of the committee")]
    Seat(NodeId, u8),
    /// The file holds no seed.
    #[error("{0} does not hold a seed of 32 bytes")]
    Seed(PathBuf),
}

impl GuardConfig {
    /// Reads a file. Relative paths are taken from its folder. **Errors**: unreadable, an unknown key, a wrong type.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|error| ConfigError::Read(path.into(), error))?;
        let mut config: Self =
            toml::from_str(&text).map_err(|error| ConfigError::Syntax(path.into(), Box::new(error)))?;
        let base = path.parent().unwrap_or_else(|| Path::new("."));
        let paths = [
            &mut config.committee,
            &mut config.platform_seed,
            &mut config.founding_seed,
            &mut config.socket,
            &mut config.state,
        ];
        for path in paths {
            *path = base.join(&*path);
        }
        Ok(config)
    }

    /// The founding committee and the member that this guard votes for. **Errors**: there is none such.
    pub fn founding(&self) -> Result<(Committee, Member), ConfigError> {
        let bytes =
            fs::read(&self.committee).map_err(|error| ConfigError::Read(self.committee.clone(), error))?;
        let committee: Committee =
            bcs::from_bytes(&bytes).map_err(|_| ConfigError::Committee(self.committee.clone()))?;
        let founding = committee.members.len() <= SEATS_MAX
            && committee.members.iter().all(|member| member.boot.is_none());
        if !founding {
            return Err(ConfigError::Committee(self.committee.clone()));
        }
        match committee.member(Seat(self.seat)) {
            Some(member) if member.node == self.node => {
                let member = member.clone();
                Ok((committee, member))
            }
            _ => Err(ConfigError::Seat(self.node.clone(), self.seat)),
        }
    }
}

/// The seed in a file; `None` when there is no file. **Errors**: it cannot be read, or holds none.
pub fn seed(path: &Path) -> Result<Option<Zeroizing<[u8; 32]>>, ConfigError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ConfigError::Read(path.into(), error)),
    };
    let mut seed = Zeroizing::new([0; 32]);
    match hex::decode_to_slice(text.trim(), seed.as_mut_slice()) {
        Ok(()) => Ok(Some(seed)),
        Err(_) => Err(ConfigError::Seed(path.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R230: the sample configuration of the repository is valid.
    #[test]
    fn the_sample_file_is_valid() {
        let folder = Path::new("../../config");
        let config = GuardConfig::load(&folder.join("guard.toml")).unwrap();
        assert_eq!(config.admission, Admission::Strict);
        assert_eq!(config.state, folder.join("master-1/guard"));
    }

    /// R230
    #[test]
    fn an_unknown_key_and_an_unknown_admission_are_errors() {
        let sample = include_str!("../../../config/guard.toml").to_owned();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guard.toml");
        for (text, word) in [
            (format!("{sample}\nclass = \"hardware\"\n"), "class"),
            (sample.replace("\"strict\"", "\"lenient\""), "lenient"),
        ] {
            fs::write(&path, text).unwrap();
            let ConfigError::Syntax(_, error) = GuardConfig::load(&path).unwrap_err() else {
                panic!("another error")
            };
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn a_seed_is_64_digits_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed");
        assert!(seed(&path).unwrap().is_none());
        fs::write(&path, format!("{}\n", "07".repeat(32))).unwrap();
        assert_eq!(*seed(&path).unwrap().unwrap(), [7; 32]);
        for wrong in ["", "07", &"07".repeat(33), &"0g".repeat(32)] {
            fs::write(&path, wrong).unwrap();
            assert!(matches!(seed(&path), Err(ConfigError::Seed(_))), "{wrong}");
        }
    }
}
