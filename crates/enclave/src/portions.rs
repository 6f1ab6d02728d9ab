//! A slice's segments in portions: each of a Vault's enclaves reads one of them, and seals what it found to the enclave that finishes
//! the slice, which judges it first (R087, R110, R121, R126).
//!
//! Pieces pass the host, which has ciphertext. Both enclaves are of one Vault and of one program, and work on one order.

use std::collections::BTreeMap;

use symphony_protocol::artifact::{Assignment, EndorsedAssignment};
use symphony_segments::handed::{Handed, input_root};
use symphony_segments::segment::SegmentId;
use symphony_segments::statistic::Found;
use symphony_tee::appraise::{Expected, appraise};
use symphony_tee::asking::Host;
use symphony_tee::governed::Admitted;
use symphony_tee::report::{BootReport, EnclaveRole, scan_step};
use symphony_tee::session::Work;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::key::{Document as _, Master, PublicKey};
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, Dealt, EXECUTORS_MAX, Findings, PIECES_MAX, Question, purpose};
use symphony_wire::sealed::seal;
use zeroize::Zeroizing;

use crate::handler::Handler;
use crate::refusal::{Refusal, admit_boot, boot_of, policy_of, report_of, unbelieved};
use crate::segments::{self, Roots};
use crate::slice::endorsed;
use crate::station::Station;

/// What a portion says of people, for the enclave that finishes the slice.
pub(crate) fn scan<S: Station>(
    handler: &Handler<S>,
    host: &mut dyn Host,
    assignment: &EndorsedAssignment,
    portion: &[u8],
    (finisher, policy): (&[u8], &[u8]),
    masters: &[PublicKey<Master>],
) -> Result<Answer, Refusal> {
    let order = endorsed(assignment, masters)?;
    let envelope = &order.envelope;
    let finisher = admit_boot(finisher, policy, envelope, EnclaveRole::Slice)?;
    colleague(handler, &finisher)?;
    let (roots, input_root, pieces) = scanned(handler, host, order, portion, &finisher)?;
    // Keys, records and what was found are gone by here.
    let report = handler.station.report(Work {
        task: envelope.task,
        step: scan_step(&order.vault),
        nonce: order.digest(),
        module: None,
        input_root,
        output: together(&pieces),
        schema: envelope.versions.schema,
        semantic: envelope.versions.semantic,
        policy: envelope.versions.policy,
        purged: true,
    });
    let segments = roots.into_iter().map(|(segment, root)| (segment.0, root)).collect();
    Ok(Answer::Scanned(Findings { segments, pieces, report: documents::encode(&report) }))
}

/// Reads a portion and has the host keep what was found, sealed: the segments, the root of what was read, and the digests of the pieces.
fn scanned<S: Station>(
    handler: &Handler<S>,
    host: &mut dyn Host,
    order: &Assignment,
    portion: &[u8],
    finisher: &BootReport,
) -> Result<(Roots, Digest, Vec<Digest>), Refusal> {
    let handed = segments::open(handler, order, purpose::PORTION, portion)?;
    let (found, roots) = segments::find(handler, host, order, &handed)?;
    let mut kept = Vec::new();
    for (number, piece) in (0_u32..).zip(found.pieces(ENTRIES)) {
        if kept.len() == PIECES_MAX {
            return Err(Refusal::new(Code::BodyTooLarge, "too much is found in a portion"));
        }
        let plain = Zeroizing::new(documents::encode(&piece));
        let piece = seal(&finisher.hpke_key, purpose::FINDINGS, &place(order, number), &plain)
            .map_err(|error| Refusal::new(Code::SealInvalid, error.to_string()))?;
        let digest = Digest::of_bytes(&piece);
        let reply = host.ask(&documents::encode(&Question::Keep { piece }));
        if reply.is_ok_and(|reply| reply == digest.0) {
            kept.push(digest);
        } else {
            return Err(Refusal::new(Code::BodyTooLarge, "the host does not keep what is found"));
        }
    }
    let root = input_root(NONE_BESIDE, &roots, &handed.permitted);
    Ok((roots, root, kept))
}

/// Visits what other enclaves found in portions of these segments, once all of them are judged and have each segment once.
pub(crate) fn gather<S: Station>(
    handler: &Handler<S>,
    host: &mut dyn Host,
    order: &Assignment,
    (handed, dealt): (&Handed, &Dealt),
    visit: &mut dyn FnMut(Found),
) -> Result<Roots, Refusal> {
    let refuse = |detail| Refusal::new(Code::Malformed, detail);
    let portions = &dealt.portions;
    if portions.len() > EXECUTORS_MAX || portions.iter().any(|(_, found)| found.pieces.len() > PIECES_MAX) {
        return Err(refuse("too many portions or pieces"));
    }
    let mut roots = BTreeMap::new();
    for (boot, findings) in portions {
        let read = believed(handler, order, handed, &dealt.policy, (boot, findings))?;
        for (segment, root) in read {
            if roots.insert(segment, root).is_some() {
                return Err(refuse("two portions have the same segment"));
            }
        }
    }
    if !handed.segments.iter().map(|segment| &segment.id).eq(roots.keys()) {
        return Err(refuse("the portions are not the segments of the slice"));
    }
    for (portion, (_, findings)) in (0_u32..).zip(portions) {
        for (number, digest) in (0_u32..).zip(&findings.pieces) {
            let found = piece(handler, host, order, (portion, number), digest)?;
            if !found.is_of(&handed.permitted) {
                return Err(refuse("a piece is of somebody else"));
            }
            visit(found);
        }
    }
    Ok(roots.into_iter().collect())
}

/// The segments that another enclave of this Vault has read for this order, when it is to be believed.
fn believed<S: Station>(
    handler: &Handler<S>,
    order: &Assignment,
    handed: &Handed,
    policy: &[u8],
    (boot, findings): (&[u8], &Findings),
) -> Result<Roots, Refusal> {
    let (boot, report, mut policy) = (boot_of(boot)?, report_of(&findings.report)?, policy_of(policy)?);
    Admitted::of(&order.envelope).narrow(&mut policy);
    colleague(handler, &boot.body)?;
    let roots: Roots = findings.segments.iter().map(|(segment, root)| (SegmentId(*segment), *root)).collect();
    let expected = Expected {
        task: order.envelope.task,
        step: scan_step(&order.vault),
        nonce: order.digest(),
        input_root: Some(input_root(NONE_BESIDE, &roots, &handed.permitted)),
        output: together(&findings.pieces),
        actor: boot.body.actor.clone(),
        role: EnclaveRole::Slice,
        module: None,
        purged: true,
    };
    appraise(&boot, &report, &policy, &expected).map_err(|reasons| unbelieved("a portion", &reasons))?;
    Ok(roots)
}

/// Whether a start is of another enclave of the same Vault, of the same program.
fn colleague<S: Station>(handler: &Handler<S>, other: &BootReport) -> Result<(), Refusal> {
    let own = handler.station.boot();
    if other.actor == own.actor && other.measurement == own.measurement {
        return Ok(());
    }
    Err(Refusal::new(Code::AttestationFailed, "the other enclave is not of this vault and this program"))
}

/// One piece of what was found in a portion, as the host kept it.
fn piece<S: Station>(
    handler: &Handler<S>,
    host: &mut dyn Host,
    order: &Assignment,
    (portion, piece): (u32, u32),
    digest: &Digest,
) -> Result<Found, Refusal> {
    let refuse = |detail| Refusal::new(Code::SealInvalid, detail);
    let sealed = host.ask(&documents::encode(&Question::Piece { portion, piece }));
    let sealed = sealed.ok().filter(|sealed| Digest::of_bytes(sealed) == *digest);
    let sealed = sealed.ok_or_else(|| refuse("a piece was not given"))?;
    let opened = handler.sealing.open(purpose::FINDINGS, &place(order, piece), &sealed);
    let opened = Zeroizing::new(opened.map_err(|_| refuse("a piece does not open"))?);
    documents::decode(&opened).map_err(|_| refuse("a piece is malformed"))
}

/// What a piece is sealed under: its order, and which piece it is.
fn place(order: &Assignment, number: u32) -> Vec<u8> {
    documents::encode(&(order.digest(), number))
}

/// What an enclave reports of all pieces of its portion.
fn together(pieces: &[Digest]) -> Digest {
    Digest::of("symphony/findings/v1", &pieces)
}

/// A portion has no records beside segments.
const NONE_BESIDE: Digest = Digest::ZERO;
/// Entries of one piece, of 25 bytes at most each.
const ENTRIES: usize = 1 << 19;
