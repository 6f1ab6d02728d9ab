//! Two aggregators that combine a round on shares (R093, R113): the first asks, the second checks and answers, the first
//! ends the round. Between them goes one message each way, sealed from enclave to enclave; neither keeps anything, and
//! neither ever holds what a Vault's people sum up to.
//!
//! | step | enclave | in | out |
//! |---|---|---|---|
//! | ask | first | its half of each part | for each Vault a first word, and the key of the proofs |
//! | help | second | its half of each part, the first words | for each Vault an answer, and its noised share |
//! | combine | first | its half of each part, answers and share | the round |

use symphony_compute::train::TrainError;
use symphony_compute::train::gathering::Combined;
use symphony_compute::train::sharing::{Half, Key, Role, Share};
use symphony_compute::train::step::Learner;
use symphony_protocol::artifact::HelperShare;
use symphony_protocol::execution::training::helper_nonce;
use symphony_tee::report::BootReport;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::VaultId;
use symphony_types::key::Document as _;
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, Gathered, Helped, Manifest, ShareWord, SignedShareWord, purpose};
use symphony_wire::sealed::seal;
use zeroize::Zeroizing;

use super::combine::{Halt, Round, failed};
use super::sharing;
use crate::aggregate::{commitment, reported};
use crate::handler::Handler;
use crate::refusal::Refusal;
use crate::station::Station;

/// What the first aggregator asks: the key of the proofs, and a first word for each Vault.
type Asked = (Key, Vec<Vec<u8>>);
/// What the second answers: a word for each Vault, its share, and what may be known of its seed.
type Whole = (Vec<Vec<u8>>, Share, Digest);
/// Or the Vault whose part it cannot use, and why.
type Answered = Result<Whole, (VaultId, String)>;

/// The first aggregator's question about a round.
pub(crate) fn ask<S: Station>(handler: &Handler<S>, gathered: &Gathered) -> Result<Answer, Refusal> {
    let round = Round::gathered(handler, gathered, Role::Leader)?;
    match asked(handler, &round, gathered) {
        Ok(message) => Ok(Answer::Asked { message }),
        Err(halt) => halt.answer(),
    }
}

fn asked<S: Station>(handler: &Handler<S>, round: &Round<'_>, gathered: &Gathered) -> Result<Vec<u8>, Halt> {
    let sharing = sharing(round.plan, &round.position, round.order).map_err(failed)?;
    let key = key(handler, round);
    let mut words = Vec::with_capacity(round.order.vaults.len());
    for (vault, half) in halves(handler, round, gathered, Role::Leader) {
        words.push(sharing.ask(&key, vault, &half?).map_err(|error| unusable(vault, &error))?);
    }
    let helper = round.aggregators.helper.as_ref().ok_or_else(alone)?;
    Ok(tell(handler, round, helper, purpose::ASK, &documents::encode(&(*key, words)))?)
}

/// The second aggregator's work on a round.
pub(crate) fn help<S: Station>(
    handler: &Handler<S>,
    gathered: &Gathered,
    asked: &[u8],
) -> Result<Answer, Refusal> {
    let round = Round::gathered(handler, gathered, Role::Helper)?;
    let answered: Answered = match added(handler, &round, gathered, asked) {
        Ok(whole) => Ok(whole),
        // Its host could name any Vault; that it was the enclave is known by the seal alone.
        Err(Halt::Part(vault, detail)) => Err((vault, detail)),
        Err(Halt::Refused(refusal)) => return Err(refusal),
    };
    let first = &round.aggregators.first;
    let sealed = tell(handler, &round, first, purpose::HELP, &documents::encode(&answered))?;
    let envelope = &round.order.envelope;
    let nonce = helper_nonce(&envelope.digest(), &round.position);
    let made = (&gathered.bundles[..], Digest::of_bytes(&sealed));
    // Halves wiped themselves when they were added, and nothing of the round stays here.
    let report = reported(handler, envelope, nonce, made);
    Ok(Answer::Helped(Helped { sealed, report }))
}

fn added<S: Station>(
    handler: &Handler<S>,
    round: &Round<'_>,
    gathered: &Gathered,
    asked: &[u8],
) -> Result<Whole, Halt> {
    let sharing = sharing(round.plan, &round.position, round.order).map_err(failed)?;
    let asked = heard(handler, round, &round.aggregators.first, (purpose::ASK, asked))?;
    let (key, words): Asked = documents::decode(&asked).map_err(|_| garbled())?;
    let (key, mut sum) = (Zeroizing::new(key), sharing.sum());
    let mut answers = Vec::with_capacity(words.len());
    let mut words = words.iter();
    for (vault, half) in halves(handler, round, gathered, Role::Helper) {
        let word = words.next().ok_or_else(garbled)?;
        let answer = sharing.answer(&key, (vault, &half?), word, &mut sum);
        answers.push(answer.map_err(|error| unusable(vault, &error))?);
    }
    let (share, seed) = sharing.noised(Role::Helper, sum).map_err(failed)?;
    Ok((answers, share, commitment(&seed)))
}

/// The first aggregator's end of a round.
pub(super) fn combine<S: Station>(
    handler: &Handler<S>,
    round: &Round<'_>,
    gathered: &Gathered,
    helped: &Helped,
) -> Result<(Learner, Combined, HelperShare), Halt> {
    let sharing = sharing(round.plan, &round.position, round.order).map_err(failed)?;
    let helper = round.aggregators.helper.as_ref().ok_or_else(alone)?;
    let answered = heard(handler, round, helper, (purpose::HELP, &helped.sealed))?;
    let answered: Answered = documents::decode(&answered).map_err(|_| garbled())?;
    let (answers, share, seed) = answered.map_err(|(vault, detail)| Halt::Part(vault, detail))?;
    let (key, mut sum, mut learner_key) = (key(handler, round), sharing.sum(), None);
    let mut answers = answers.iter();
    for (vault, half) in halves(handler, round, gathered, Role::Leader) {
        let (half, answer) = (half?, answers.next().ok_or_else(garbled)?);
        if round.order.vaults.first() == Some(vault) {
            learner_key = half.learner.map(Zeroizing::new);
        }
        sharing.close(&key, (vault, &half), answer, &mut sum).map_err(|error| unusable(vault, &error))?;
    }
    let learner = round.learner(gathered, learner_key.as_deref())?;
    let (own, own_seed) = sharing.noised(Role::Leader, sum).map_err(failed)?;
    let combined =
        sharing.combine(&learner, round.order.vaults.len(), (&own, own_seed), &share).map_err(failed)?;
    let [share, report] = [&helped.sealed, &helped.report].map(|bytes| Digest::of_bytes(bytes));
    Ok((learner, combined, HelperShare { share, seed, report }))
}

/// The halves of all Vaults for one role, each opened when it is its turn.
fn halves<'a, S: Station>(
    handler: &'a Handler<S>,
    round: &'a Round<'_>,
    gathered: &'a Gathered,
    role: Role,
) -> impl Iterator<Item = (&'a VaultId, Result<Half, Halt>)> {
    let Gathered { bundles, halves, slices, .. } = gathered;
    bundles.iter().zip(halves).map(move |((vault, bundle), sealed)| {
        let halt = |detail: &str| Halt::Part(vault.clone(), detail.into());
        let manifest = documents::decode(bundle).map_err(|_| halt("the bundle is malformed"));
        let half = manifest.and_then(|Manifest { pieces }| {
            if pieces.len() != 2 || pieces[role as usize] != Digest::of_bytes(sealed) {
                return Err(halt("the half is not the bundle's"));
            }
            let boot = slices.iter().find(|(slice, _)| slice == vault);
            let (_, boot) = boot.ok_or_else(|| halt("its enclave is not known"))?;
            round.open(handler, (vault, role as usize), boot, sealed)
        });
        (vault, half)
    })
}

/// Seals a message to the other aggregator, with this enclave's word that it is its own.
fn tell<S: Station>(
    handler: &Handler<S>,
    round: &Round<'_>,
    to: &BootReport,
    purpose: &str,
    message: &[u8],
) -> Result<Vec<u8>, Refusal> {
    let order = round.order.digest();
    let word = handler.station.sign(ShareWord { order, message: Digest::of_bytes(message) });
    let plaintext = Zeroizing::new(documents::encode(&(message, word)));
    seal(&to.hpke_key, purpose, &documents::encode(&order), &plaintext)
        .map_err(|error| Refusal::new(Code::SealInvalid, error.to_string()))
}

/// What the other aggregator sealed to this one about this round.
fn heard<S: Station>(
    handler: &Handler<S>,
    round: &Round<'_>,
    from: &BootReport,
    (purpose, sealed): (&str, &[u8]),
) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let order = round.order.digest();
    let opened = handler.sealing.open(purpose, &documents::encode(&order), sealed);
    let opened = Zeroizing::new(opened.map_err(|_| garbled())?);
    let (message, word): (Vec<u8>, SignedShareWord) = documents::decode(&opened).map_err(|_| garbled())?;
    let message = Zeroizing::new(message);
    let expected = ShareWord { order, message: Digest::of_bytes(&message) };
    if word.body != expected || !word.verify(&from.signing_key) {
        return Err(garbled());
    }
    Ok(message)
}

/// The key of the proofs of a round: the same when the first aggregator ends what it asked.
fn key<S: Station>(handler: &Handler<S>, round: &Round<'_>) -> Zeroizing<Key> {
    handler.secret(KEY_TAG, round.order.envelope.task, &round.order.digest().0)
}

fn unusable(vault: &VaultId, error: &TrainError) -> Halt {
    Halt::Part(vault.clone(), error.to_string())
}

fn alone() -> Refusal {
    Refusal::new(Code::EnvelopeInvalid, "the plan has one aggregator")
}

fn garbled() -> Refusal {
    Refusal::new(Code::Unavailable, "the word of the other aggregator is not its own or not whole")
}

const KEY_TAG: &str = "symphony/training-proof-key/v1";
