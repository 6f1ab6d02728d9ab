//! The child's side: becomes an enclave, then answers one request after the other until its host closes the pipe. Before it
//! answers, it may ask its host.
//!
//! Order matters and is fixed here: measure, make or unseal keys, let the program make ready what needs more than a sandbox
//! allows, lock down, with the program's workers inside, have the boot report vouched for, forget the platform seed, answer,
//! serve. Nothing from outside is handled before the sandbox is closed (R121, R123). Who vouches is the platform's seed, or a vendor: then the enclave tells
//! its host the 64 bytes to bind and takes the evidence back.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::{PlatformId, PolicyVersion, SchemaVersion, SemanticVersion, TaskId};
use symphony_types::key::{Document, PrivateKey, Signed, SoftwareEnclave};
use zeroize::{Zeroize as _, Zeroizing};

use crate::asking::{Host, Line};
use crate::boot::{BootAnswer, Booted, Start};
use crate::frame::{self, FrameError, Kind};
use crate::keys::{EnclaveKeys, KeyError, PlatformSeed};
use crate::machine::Vouched;
use crate::measure;
use crate::report::{
    AttestationReport, BOOT_BYTES_MAX, BootReport, EnclaveRole, ModuleRun, PlatformClass, SignedBoot,
    SignedReport,
};
use crate::sandbox::{self, SandboxError};
use crate::voucher::Voucher;

/// The enclave ended for another reason than its host closing the pipe.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The pipe to the host failed.
    #[error("serving the host")]
    Frame(#[from] FrameError),
    /// The first frame did not say how to boot.
    #[error("the first frame is not a boot frame")]
    NotABoot,
    /// The frame after the wanted bytes did not hold evidence.
    #[error("the host gave no evidence of the machine")]
    NoEvidence,
    /// The own program could not be read.
    #[error("measuring the running program")]
    Measure(#[source] io::Error),
    /// Keys could not be made or recovered.
    #[error("preparing keys")]
    Keys(#[from] KeyError),
    /// The process could not be locked down.
    #[error("locking down")]
    Sandbox(#[from] SandboxError),
}

/// What a handler may use of its enclave. Clones share one set of keys, wiped with the last of them.
#[derive(Clone)]
pub struct EnclaveContext(Arc<Inner>);

struct Inner {
    keys: EnclaveKeys,
    signing: PrivateKey<SoftwareEnclave>,
    boot: BootReport,
    boot_digest: Digest,
}

/// One finished step, as the enclave states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The task.
    pub task: TaskId,
    /// The step of the task, as in [`AttestationReport::step`].
    pub step: String,
    /// The challenge that came with the request.
    pub nonce: Digest,
    /// The module that ran, where one did.
    pub module: Option<ModuleRun>,
    /// Root over the inputs.
    pub input_root: Digest,
    /// Hash of the output.
    pub output: Digest,
    /// Shapes that the inputs were read by.
    pub schema: SchemaVersion,
    /// Registry that attributes were read by.
    pub semantic: SemanticVersion,
    /// Policy that the step followed.
    pub policy: PolicyVersion,
    /// Whether the inputs are wiped.
    pub purged: bool,
}

impl EnclaveContext {
    /// The X25519 secret that opens what was sealed to this enclave.
    pub fn hpke_secret(&self) -> &[u8; 32] {
        self.0.keys.hpke_secret()
    }

    /// The secret under which tokens of one person are recognized within a task (D18).
    pub fn dedupe_secret(&self) -> &[u8; 32] {
        self.0.keys.dedupe_secret()
    }

    /// This start's report.
    pub fn boot(&self) -> &BootReport {
        &self.0.boot
    }

    /// The digest that [`AttestationReport::boot`] cites.
    pub fn boot_digest(&self) -> Digest {
        self.0.boot_digest
    }

    /// Signs for one finished step. Identity, code and platform are the enclave's own and cannot be chosen.
    pub fn sign(&self, work: Work) -> SignedReport {
        let boot = &self.0.boot;
        self.0.signing.sign(AttestationReport {
            class: boot.class,
            boot: self.0.boot_digest,
            actor: boot.actor.clone(),
            signing_key: boot.signing_key,
            measurement: boot.measurement,
            platform: boot.platform,
            task: work.task,
            step: work.step,
            nonce: work.nonce,
            module: work.module,
            input_root: work.input_root,
            output: work.output,
            schema: work.schema,
            semantic: work.semantic,
            policy: work.policy,
            purged: work.purged,
            memory_locked: MEMORY_LOCKED,
            notice: boot.class.notice().into(),
        })
    }

    /// Signs another document of this enclave, with the key that its boot report names.
    pub fn sign_document<T: Document>(&self, document: T) -> Signed<T, SoftwareEnclave> {
        self.0.signing.sign(document)
    }
}

/// The whole life of an enclave program, on standard input and output. Call first and alone in `main`, from the
/// only thread. `prepare` gets what the host told the program to make ready, such as code to compile, and nothing private;
/// `workers` starts the threads of an enclave of this role, as [`sandbox::lock_down`] describes; `handler_factory` runs inside
/// the sandbox, and its handler gets each request with the host that it may ask.
///
/// **Errors**: why the enclave ended; a refused boot was then also told to the host.
pub fn run<P, W, H>(
    prepare: impl FnOnce(&[u8]) -> P,
    workers: impl FnOnce(EnclaveRole) -> io::Result<W>,
    handler_factory: impl FnOnce(&EnclaveContext, P, W) -> H,
) -> Result<(), SessionError>
where
    H: FnMut(&[u8], &mut dyn Host) -> Vec<u8>,
{
    stay_silent_about_data();
    let (mut input, mut output) = (Pipe(io::stdin()), Pipe(io::stdout()));
    let Some(first) = frame::read(&mut input)? else { return Ok(()) };
    let first = Zeroizing::new(first);
    match start(&first, prepare, workers, &mut |wanted| evidence(&mut input, &mut output, wanted)) {
        Ok((context, prepared, workers, booted)) => {
            drop(first);
            answer(&mut output, &BootAnswer::Booted(Box::new(booted)))?;
            serve(&mut input, &mut output, handler_factory(&context, prepared, workers))
        }
        Err(error) => {
            answer(&mut output, &BootAnswer::Refused(chain_of(&error)))?;
            Err(error)
        }
    }
}

/// Answers each request until the input ends, and puts the handler's questions in between. Requests are wiped after their
/// answer. The handler has its host only while it works on a request, so nothing can be asked after the answer.
///
/// **Errors**: the pipe failed or a frame was over the limit.
pub fn serve(
    input: &mut (impl Read + Send),
    output: &mut (impl Write + Send),
    mut handler: impl FnMut(&[u8], &mut dyn Host) -> Vec<u8>,
) -> Result<(), SessionError> {
    while let Some(mut request) = frame::read(input)? {
        let mut line = Line::new(input, output);
        let response = handler(&request, &mut line);
        request.zeroize();
        line.answer(&response)?;
    }
    Ok(())
}

/// Asks the host for evidence over 64 bytes.
fn evidence(
    input: &mut impl Read,
    output: &mut impl Write,
    wanted: &[u8; 64],
) -> Result<Vouched, SessionError> {
    answer(output, &BootAnswer::Wanted(wanted.to_vec()))?;
    let given = frame::read(input)?.ok_or(SessionError::NoEvidence)?;
    if given.len() > BOOT_BYTES_MAX {
        return Err(SessionError::NoEvidence);
    }
    bcs::from_bytes(&given).map_err(|_| SessionError::NoEvidence)
}

/// Evidence over 64 bytes.
type Evidence<'a> = &'a mut dyn FnMut(&[u8; 64]) -> Result<Vouched, SessionError>;

fn start<P, W>(
    first: &[u8],
    prepare: impl FnOnce(&[u8]) -> P,
    workers: impl FnOnce(EnclaveRole) -> io::Result<W>,
    evidence: Evidence<'_>,
) -> Result<(EnclaveContext, P, W, Booted), SessionError> {
    let Start { identity, seed, nonce, sealed_keys, ready } =
        Start::from_frame(first).ok_or(SessionError::NotABoot)?;
    let measurement = measure::running().map_err(SessionError::Measure)?;
    let (keys, sealed_keys) = match (&seed, sealed_keys) {
        (Some(seed), Some(blob)) => (EnclaveKeys::unseal(&blob, seed, &identity, &measurement)?, blob),
        (Some(seed), None) => {
            let keys = EnclaveKeys::generate()?;
            let blob = keys.seal(seed, &identity, &measurement)?;
            (keys, blob)
        }
        (None, _) => (EnclaveKeys::generate()?, Vec::new()),
    };
    let prepared = prepare(&ready);
    let (lockdown, workers) = sandbox::lock_down(|| workers(identity.role))?;
    let signing = keys.signing_key();
    let class = PlatformClass::Software;
    let body = BootReport {
        class,
        role: identity.role,
        chain: identity.chain,
        node: identity.node,
        actor: identity.actor,
        hpke_key: keys.hpke_public(),
        signing_key: signing.public(),
        measurement,
        platform: PlatformId(Digest::ZERO),
        engine: engine(),
        nonce,
        vendor: None,
        notice: class.notice().into(),
    };
    let vouched = match seed {
        Some(seed) => quoted(body, &seed),
        None => vouched(body, evidence)?,
    };
    let boot = vouched.body.clone();
    let boot_digest = boot.digest();
    let context = EnclaveContext(Arc::new(Inner { keys, signing, boot, boot_digest }));
    Ok((context, prepared, workers, Booted { boot: vouched, sealed_keys, lockdown }))
}

/// Vouched for by the seed of a machine without hardware.
fn quoted(body: BootReport, seed: &PlatformSeed) -> SignedBoot {
    let body = BootReport { platform: seed.platform(), ..body };
    seed.quoting_key().sign(body).into()
}

/// Vouched for by evidence. What the host tells of it is repeated here and judged by whoever appraises: a wrong word makes a
/// report that nobody believes. A report of class `software` cannot come of it.
fn vouched(body: BootReport, evidence: Evidence<'_>) -> Result<SignedBoot, SessionError> {
    let Vouched { class, measurement, platform, word } = evidence(&body.binding().report_data())?;
    if class.vendor().is_none() {
        return Err(SessionError::NoEvidence);
    }
    let (vendor, notice) = (Some(word.digests()), class.notice().into());
    let body = BootReport { class, measurement, platform, vendor, notice, ..body };
    Ok(SignedBoot { body, voucher: Voucher::Vendor(Box::new(word)) })
}

/// The rules of this crate that shape an enclave beyond its program: release, filter and sealing suite.
fn engine() -> Digest {
    Digest::of("symphony/engine/v1", &(env!("CARGO_PKG_VERSION"), sandbox::filter::digest(), SEALING_SUITE))
}

/// A panic message may quote what was being worked on; the log gets the place only.
fn stay_silent_about_data() {
    std::panic::set_hook(Box::new(|panic| match panic.location() {
        Some(place) => eprintln!("enclave stopped at {place}"),
        None => eprintln!("enclave stopped"),
    }));
}

fn answer(output: &mut impl Write, answer: &BootAnswer) -> Result<(), SessionError> {
    Ok(frame::say(output, Kind::Answer, &canonical::to_bytes(answer))?)
}

fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// A standard stream without the buffer of the standard library, which would keep copies of secrets.
struct Pipe<F>(F);

impl<F: AsFd> Read for Pipe<F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Ok(nix::unistd::read(&self.0, into)?)
    }
}

impl<F: AsFd> Write for Pipe<F> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        Ok(nix::unistd::write(&self.0, from)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Key memory is not kept from the swap in this class.
const MEMORY_LOCKED: bool = false;
const SEALING_SUITE: &str = "x25519-hkdf-sha256-aes-256-gcm";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asking::AskError;
    use crate::frame::FRAME_BYTES_MAX;

    fn framed(bodies: &[&[u8]]) -> Vec<u8> {
        let mut pipe = Vec::new();
        bodies.iter().for_each(|body| frame::write(&mut pipe, body).unwrap());
        pipe
    }

    fn heard(mut pipe: &[u8]) -> Vec<(Kind, Vec<u8>)> {
        std::iter::from_fn(|| frame::hear(&mut pipe).unwrap()).collect()
    }

    #[test]
    fn each_frame_gets_its_answer_until_the_input_ends() {
        let mut output = Vec::new();
        let backwards =
            |request: &[u8], _: &mut dyn Host| -> Vec<u8> { request.iter().rev().copied().collect() };
        serve(&mut framed(&[b"one", b"", b"three"]).as_slice(), &mut output, backwards).unwrap();
        let expected = [b"eno".as_slice(), b"", b"eerht"].map(|body| (Kind::Answer, body.to_vec()));
        assert_eq!(heard(&output), expected);
    }

    /// R116: questions of several calls keep their order, and each call ends with its answer.
    #[test]
    fn questions_stand_between_a_request_and_its_answer() {
        let mut output = Vec::new();
        let input = framed(&[b"first", b"a", b"b", b"second", b"c"]);
        serve(&mut input.as_slice(), &mut output, |request: &[u8], host: &mut dyn Host| {
            let questions: &[&[u8]] = if request == b"first" { &[b"1", b"2"] } else { &[b"3"] };
            questions.iter().flat_map(|question| host.ask(question).unwrap()).collect()
        })
        .unwrap();
        let said = |kind, body: &[u8]| (kind, body.to_vec());
        let expected = [
            said(Kind::Question, b"1"),
            said(Kind::Question, b"2"),
            said(Kind::Answer, b"ab"),
            said(Kind::Question, b"3"),
            said(Kind::Answer, b"c"),
        ];
        assert_eq!(heard(&output), expected);
    }

    /// R116: what a handler makes of a call that its host left is told to nobody.
    #[test]
    fn a_host_that_dies_in_the_middle_gets_no_answer() {
        let whole = framed(&[b"request", b"a reply"]);
        for cut in 1..=11 {
            let mut output = Vec::new();
            let input = &whole[..whole.len() - cut];
            let ended = serve(&mut &*input, &mut output, |_: &[u8], host: &mut dyn Host| {
                assert_eq!(host.ask(b"1"), Err(AskError::Gone));
                assert_eq!(host.ask(b"2"), Err(AskError::Gone));
                b"half".to_vec()
            });
            assert!(matches!(ended, Err(SessionError::Frame(FrameError::Truncated))), "{cut}");
            assert_eq!(heard(&output), [(Kind::Question, b"1".to_vec())]);
        }
    }

    #[test]
    fn a_question_over_the_limit_is_not_put() {
        let mut output = Vec::new();
        serve(
            &mut framed(&[b"request", b"reply"]).as_slice(),
            &mut output,
            |_: &[u8], host: &mut dyn Host| {
                let long = vec![0; FRAME_BYTES_MAX];
                assert_eq!(host.ask(&long), Err(AskError::TooLong(FRAME_BYTES_MAX)));
                host.ask(b"short").unwrap()
            },
        )
        .unwrap();
        let expected = [(Kind::Question, b"short".to_vec()), (Kind::Answer, b"reply".to_vec())];
        assert_eq!(heard(&output), expected);
    }

    #[test]
    fn a_first_frame_of_rubbish_is_not_a_boot() {
        let none = &mut |_: &[u8; 64]| Err(SessionError::NoEvidence);
        let started = start(b"rubbish", |_| (), |_| Ok(()), none);
        assert!(matches!(started, Err(SessionError::NotABoot)));
    }
}
