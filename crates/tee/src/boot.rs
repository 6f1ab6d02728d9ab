//! The first exchange between host and enclave: who the enclave is to be, and its answer with a voucher (R121, R123). Where a
//! vendor is to vouch, the enclave first tells what the evidence must bind, and the host hands it the evidence.

use serde::{Deserialize, Serialize};
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, NodeId};
use zeroize::Zeroizing;

use crate::keys::PlatformSeed;
use crate::machine::EnclaveMachine;
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
    /// What it rests on. Stays with the host but for the seed of a machine without hardware.
    pub machine: EnclaveMachine,
    /// Stands in the boot report.
    pub nonce: Digest,
    /// The keys of an earlier start; without them the enclave makes new ones. On hardware it always does.
    pub sealed_keys: Option<Vec<u8>>,
    /// What the program makes ready before it is locked down, in a shape of its own. Nothing private.
    pub ready: Vec<u8>,
}

/// What of [`Boot`] reaches the enclave.
pub(crate) struct Start {
    pub(crate) identity: Identity,
    /// The simulated machine; none where a vendor vouches.
    pub(crate) seed: Option<PlatformSeed>,
    pub(crate) nonce: Digest,
    pub(crate) sealed_keys: Option<Vec<u8>>,
    pub(crate) ready: Vec<u8>,
}

impl Boot {
    /// The first frame. Wiped on drop.
    pub(crate) fn to_frame(&self) -> Zeroizing<Vec<u8>> {
        let rest = canonical::to_bytes(&(&self.identity, self.nonce, &self.sealed_keys, &self.ready));
        let mut frame = Zeroizing::new(Vec::with_capacity(1 + SEED_LEN + rest.len()));
        match &self.machine {
            EnclaveMachine::Software(seed) => {
                frame.push(SOFTWARE);
                frame.extend_from_slice(seed.expose());
            }
            EnclaveMachine::Vendor(_) => frame.push(VENDOR),
        }
        frame.extend_from_slice(&rest);
        frame
    }
}

impl Start {
    /// Reads the first frame; `None` when it is not one.
    pub(crate) fn from_frame(frame: &[u8]) -> Option<Self> {
        let (kind, rest) = frame.split_first()?;
        let (seed, rest) = match *kind {
            SOFTWARE => {
                let (seed, rest) = rest.split_first_chunk::<SEED_LEN>()?;
                (Some(PlatformSeed::new(*seed)), rest)
            }
            VENDOR => (None, rest),
            _ => return None,
        };
        let (identity, nonce, sealed_keys, ready) = bcs::from_bytes(rest).ok()?;
        Some(Self { identity, seed, nonce, sealed_keys, ready })
    }
}

/// What a started enclave hands back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booted {
    /// The boot report with what vouches for it.
    pub boot: SignedBoot,
    /// The enclave's keys for its next start; the host stores them and cannot use them. Empty on hardware: keys end with the
    /// process, because no vendor's sealing is used.
    pub sealed_keys: Vec<u8>,
    /// What the sandbox holds and what it did not get.
    pub lockdown: LockedDown,
}

/// The answer to the first frame, and to the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum BootAnswer {
    /// The enclave has its keys, is locked down, and wants evidence that binds these 64 bytes.
    Wanted(Vec<u8>),
    /// The enclave runs, locked down.
    Booted(Box<Booted>),
    /// It will not run, and why.
    Refused(String),
}

const SEED_LEN: usize = 32;
/// The kinds of a first frame.
const SOFTWARE: u8 = 1;
const VENDOR: u8 = 2;

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
                machine: EnclaveMachine::Software(PlatformSeed::new([9; 32])),
                nonce: Digest([3; 32]),
                sealed_keys,
                ready: vec![5; 40],
            };
            let frame = boot.to_frame();
            let again = Start::from_frame(&frame).unwrap();
            assert_eq!(again.identity, boot.identity);
            assert_eq!(again.nonce, boot.nonce);
            assert_eq!(again.ready, boot.ready);
            assert_eq!(again.sealed_keys, boot.sealed_keys);
            assert_eq!(again.seed.unwrap().expose(), &[9; 32]);
            for length in 0..frame.len() {
                assert!(Start::from_frame(&frame[..length]).is_none());
            }
        }
    }
}
