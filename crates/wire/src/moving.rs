//! What masters carry between the two Vaults of a move (R081): canonical bytes beside what is sealed. No master can open or change it.

use serde::{Deserialize, Serialize};
use symphony_protocol::vault::moving::{SignedInvitation, SignedOffer, SignedStanding};
use symphony_types::id::VaultId;

/// What a Vault is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// The destination: an invitation for the next batch, with the boot report of its enclave.
    Invite {
        /// The source.
        from: VaultId,
    },
    /// The source: the next batch, sealed to that enclave, once what the destination has is erased.
    Offer {
        /// The invitation.
        invitation: SignedInvitation,
        /// What the destination has.
        receipt: SignedStanding,
    },
    /// The destination: take the batch.
    Accept {
        /// The source's word on it.
        offer: SignedOffer,
    },
    /// The destination: the source has nothing left.
    Close {
        /// Its word.
        last: SignedStanding,
    },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// The next batch may come.
    Invited {
        /// For which enclave.
        invitation: SignedInvitation,
        /// What is here.
        standing: SignedStanding,
    },
    /// Here it is.
    Offered {
        /// The source's word on it.
        offer: SignedOffer,
    },
    /// Where the move stands.
    Stands {
        /// In this Vault's words.
        standing: SignedStanding,
    },
}

/// What goes with either.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cargo {
    /// The batch, sealed to the destination's enclave.
    pub sealed: Vec<u8>,
    /// Boot report of the enclave that speaks, or is to be spoken to (canonical `SignedBoot`).
    pub boot: Vec<u8>,
    /// The source's attestation report on the batch.
    pub report: Vec<u8>,
}
