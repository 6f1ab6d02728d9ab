//! The first exchange between host and enclave: who the enclave is to be, and its signed answer (R121, R123).

use serde::{Deserialize, Serialize};
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, NodeId};
use zeroize::Zeroizing;

use crate::keys::PlatformSeed;
use crate::report::{EnclaveRole, SignedBoot};
use crate::sandbox::LockedDown;

/// Whom an enclave serves and as what. Its sealed keys are bound to this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The name of the network.
    pub chain: String,
    /// The node that starts it.
    pub node: NodeId,
    /// The actor that answers for it.
    pub actor: ActorId,
    /// What it is there for.
    pub role: EnclaveRole,
}

/// What the host tells a new enclave. Has no `Debug`: it holds the platform seed.
#[derive(Clone)]
pub struct Boot {
    /// Whom the enclave serves.
    pub identity: Identity,
    /// The simulated machine. Hardware classes will not have this field.
    pub platform_seed: PlatformSeed,
    /// Stands in the boot report.
    pub nonce: Digest,
    /// The keys of an earlier start; without them the enclave makes new ones.
    pub sealed_keys: Option<Vec<u8>>,
    /// What the program makes ready before it is locked down, in a shape of its own. Nothing private.
    pub ready: Vec<u8>,
}

impl Boot {
    /// The first frame. Wiped on drop.
    pub(crate) fn to_frame(&self) -> Zeroizing<Vec<u8>> {
        let rest = canonical::to_bytes(&(&self.identity, self.nonce, &self.sealed_keys, &self.ready));
        let mut frame = Zeroizing::new(Vec::with_capacity(SEED_LEN + rest.len()));
        frame.extend_from_slice(self.platform_seed.expose());
        frame.extend_from_slice(&rest);
        frame
    }

    /// Reads the first frame; `None` when it is not one.
    pub(crate) fn from_frame(frame: &[u8]) -> Option<Self> {
        let (seed, rest) = frame.split_first_chunk::<SEED_LEN>()?;
        let (identity, nonce, sealed_keys, ready) = bcs::from_bytes(rest).ok()?;
        Some(Self { identity, platform_seed: PlatformSeed::new(*seed), nonce, sealed_keys, ready })
    }
}

/// What a started enclave hands back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booted {
    /// The boot report with the platform's quote.
    pub boot: SignedBoot,
    /// The enclave's keys for its next start; the host stores them and cannot use them.
    pub sealed_keys: Vec<u8>,
    /// What the sandbox holds and what it did not get.
    pub lockdown: LockedDown,
}

/// The answer to the first frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum BootAnswer {
    /// The enclave runs, locked down.
    Booted(Box<Booted>),
    /// It will not run, and why.
    Refused(String),
}

const SEED_LEN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_frame_comes_back_whole_and_never_from_a_part_of_it() {
        for sealed_keys in [None, Some(vec![7; 144])] {
            let boot = Boot {
                identity: Identity {
                    chain: "test".into(),
                    node: NodeId::new("vault-a").unwrap(),
                    actor: ActorId::new("bank").unwrap(),
                    role: EnclaveRole::Slice,
                },
                platform_seed: PlatformSeed::new([9; 32]),
                nonce: Digest([3; 32]),
                sealed_keys,
                ready: vec![5; 40],
            };
            let frame = boot.to_frame();
            let again = Boot::from_frame(&frame).unwrap();
            assert_eq!(again.identity, boot.identity);
            assert_eq!(again.nonce, boot.nonce);
            assert_eq!(again.ready, boot.ready);
            assert_eq!(again.sealed_keys, boot.sealed_keys);
            assert_eq!(again.platform_seed.expose(), boot.platform_seed.expose());
            for length in 0..frame.len() {
                assert!(Boot::from_frame(&frame[..length]).is_none());
            }
        }
    }
}
