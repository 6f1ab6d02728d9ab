//! Parts of a round as they come, piece by piece, into the one vector of sums that an aggregator's enclave keeps until the
//! round is combined (R099): what it holds does not grow with the number of Vaults.
//!
//! | piece | answer |
//! |---|---|
//! | the next of its part | added |
//! | not the one that the bundle names, not the Vault's enclave's, beyond what its people can make | the Vault is named, and the whole round is let go: it is ordered again without it |
//!
//! An enclave that is started again has none of it, says so at the next piece, and the round is ordered again.

use std::collections::BTreeMap;

use symphony_compute::train::gathering::Gathering;
use symphony_compute::train::part::Part;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{TaskId, VaultId};
use symphony_types::key::Document as _;
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, Manifest};
use zeroize::Zeroizing;

use super::combine::{Halt, Round};
use super::stage;
use crate::handler::Handler;
use crate::refusal::Refusal;
use crate::station::Station;

/// Rounds that are being added up, one of a training, the latest used last.
#[derive(Default)]
pub(crate) struct Open(Vec<(TaskId, Digest, Sums)>);

/// What has been added of a round.
pub(super) struct Sums {
    pub(super) gathering: Gathering,
    /// The key of the learner that the round begins with, once its first Vault has brought it.
    pub(super) key: Option<Zeroizing<[u8; 32]>>,
    parts: BTreeMap<VaultId, Incoming>,
}

/// A part of which pieces have come.
struct Incoming {
    bundle: Digest,
    next: usize,
    whole: bool,
}

impl Open {
    /// The sums of an order, which are not kept any longer.
    fn take(&mut self, order: &Digest) -> Option<Sums> {
        let at = self.0.iter().position(|(_, known, _)| known == order)?;
        Some(self.0.remove(at).2)
    }

    /// Keeps the sums of an order, and lets go of those of another order of the same training.
    fn keep(&mut self, task: TaskId, order: Digest, sums: Sums) {
        self.0.retain(|(known, ..)| *known != task);
        self.0.push((task, order, sums));
        if self.0.len() > OPEN_MAX {
            self.0.remove(0);
        }
    }
}

/// A piece of a part, as a host hands it over.
pub(crate) struct Piece<'a> {
    pub(crate) vault: &'a VaultId,
    pub(crate) boot: &'a [u8],
    pub(crate) bundle: &'a [u8],
    pub(crate) sealed: &'a [u8],
}

/// Adds the next piece of a part.
pub(crate) fn add<S: Station>(
    handler: &Handler<S>,
    round: &Round<'_>,
    piece: &Piece<'_>,
) -> Result<Answer, Refusal> {
    if round.aggregators.helper.is_some() {
        return Err(Refusal::new(Code::EnvelopeInvalid, "two aggregators combine the round"));
    }
    if !round.order.vaults.contains(piece.vault) {
        return Err(Refusal::new(Code::EnvelopeInvalid, "the vault is not of this round"));
    }
    let order = round.order.digest();
    let mut open = handler.open();
    let mut sums = open.take(&order).unwrap_or_else(|| Sums::new(round));
    match sums.add(handler, round, piece) {
        Ok(()) => {
            open.keep(round.order.envelope.task, order, sums);
            Ok(Answer::Added)
        }
        Err(halt) => halt.answer(),
    }
}

/// The sums of a round of which every part is there. They are not kept any longer. **Errors**: `GOV-0003` when something
/// is missing.
pub(super) fn whole<S: Station>(
    handler: &Handler<S>,
    round: &Round<'_>,
    bundles: &[(VaultId, Vec<u8>)],
) -> Result<Sums, Refusal> {
    let sums = handler.open().take(&round.order.digest());
    let sums = sums.filter(|sums| bundles.iter().all(|(vault, bundle)| sums.holds(vault, bundle)));
    sums.ok_or_else(lost)
}

/// What a host is told that must begin anew: this enclave was started again, or has let the round go for another.
fn lost() -> Refusal {
    Refusal::new(Code::Unavailable, "parts of the round are not here")
}

impl Sums {
    fn new(round: &Round<'_>) -> Self {
        let stage = stage(round.plan, &round.position, round.order);
        Self { gathering: Gathering::new(&stage), key: None, parts: BTreeMap::new() }
    }

    fn holds(&self, vault: &VaultId, bundle: &[u8]) -> bool {
        let part = self.parts.get(vault);
        part.is_some_and(|part| part.whole && part.bundle == Digest::of_bytes(bundle))
    }

    fn add<S: Station>(
        &mut self,
        handler: &Handler<S>,
        round: &Round<'_>,
        piece: &Piece<'_>,
    ) -> Result<(), Halt> {
        let vault = piece.vault;
        let halt = |detail: &str| Halt::Part(vault.clone(), detail.into());
        let bundle = Digest::of_bytes(piece.bundle);
        let new = || Incoming { bundle, next: 0, whole: false };
        let incoming = self.parts.entry(vault.clone()).or_insert_with(new);
        let manifest: Manifest =
            documents::decode(piece.bundle).map_err(|_| halt("the bundle is malformed"))?;
        let digest = Digest::of_bytes(piece.sealed);
        if incoming.bundle != bundle || manifest.pieces.get(incoming.next) != Some(&digest) {
            if incoming.next == 0 && manifest.pieces.contains(&digest) {
                return Err(lost().into());
            }
            return Err(halt("the piece is not the bundle's next"));
        }
        let number = incoming.next;
        (incoming.next, incoming.whole) = (number + 1, number + 1 == manifest.pieces.len());
        let whole = incoming.whole;
        let gathering = &mut self.gathering;
        let added = if number == 0 {
            let part: Part = round.open(handler, (vault, number), piece.boot, piece.sealed)?;
            if round.order.vaults.first() == Some(vault) {
                self.key = part.learner.map(Zeroizing::new);
            }
            let stage = stage(round.plan, &round.position, round.order);
            if whole { gathering.add(&stage, vault, &part) } else { gathering.begin(&stage, vault, &part) }
        } else {
            let sums: Zeroizing<Vec<i64>> =
                Zeroizing::new(round.open(handler, (vault, number), piece.boot, piece.sealed)?);
            gathering.more(vault, &sums, whole)
        };
        added.map_err(|error| halt(&error.to_string()))
    }
}

/// Rounds of different trainings that an aggregator adds up at once; the oldest is let go for another.
const OPEN_MAX: usize = 16;
