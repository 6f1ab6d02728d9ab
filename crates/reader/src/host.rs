//! The Vault's side: starts a reading process for each document, gives it time, and believes only what fits (R082, R084).
//!
//! Calls block; a Vault makes one per core. Whatever happens to the process, the caller gets an answer: the process and
//! what it started end with the call.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use symphony_compute::parse::expense::EXTRACTOR;
use symphony_compute::parse::layout::Region;
use symphony_tee::frame::{self, FrameError};
use symphony_tee::measure;
use symphony_types::digest::Digest;

use crate::protocol::{
    Answer, INSTALL_POPPLER, INSTALL_TESSERACT, Limits, MODEL, Measured, Programs, Reading, Refusal, Request,
    Setup,
};

/// A document was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The document's own fault, or its limits; the person may be told.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The program cannot be read or started.
    #[error("starting the reader")]
    Start(#[source] io::Error),
    /// The installation cannot confine the process.
    #[error("the reader cannot work here: {0}")]
    Fault(String),
    /// The process answered something else than what was asked.
    #[error("the reader's answer is malformed")]
    Malformed,
}

/// How documents are read.
#[derive(Clone, Debug)]
pub struct Config {
    /// The program `symphony-reader`.
    pub reader: PathBuf,
    /// What one document may cost.
    pub limits: Limits,
    /// The foreign programs.
    pub programs: Programs,
}

impl Config {
    /// The reader at `reader`, with the usual limits and programs.
    pub fn new(reader: PathBuf) -> Self {
        Self { reader, limits: Limits::default(), programs: Programs::default() }
    }
}

/// Reads documents.
#[derive(Clone, Debug)]
pub struct Reader {
    config: Config,
    measured: Measured,
}

impl Reader {
    /// Measures the programs; starts nothing yet.
    ///
    /// **Errors**: the reader's program cannot be read.
    pub fn start(config: Config) -> Result<Self, ReadError> {
        let own = measure::program(&config.reader).map_err(ReadError::Start)?;
        let of = |path: &Path| measure::program(path).ok().map(|measurement| measurement.0);
        let measured = Measured {
            reader: Some(own.0),
            tesseract: of(&config.programs.tesseract),
            model: of(&config.programs.tessdata.join(MODEL)),
            pdftotext: of(&config.programs.pdftotext),
            pdftoppm: of(&config.programs.pdftoppm),
            extractor: EXTRACTOR,
        };
        Ok(Self { config, measured })
    }

    /// What is installed and would be used.
    pub fn measured(&self) -> &Measured {
        &self.measured
    }

    /// One digest over all programs, the model and the rules: what a governed measurement would name.
    pub fn measurement(&self) -> Digest {
        Digest::of("symphony/reader/v1", &self.measured)
    }

    /// What is missing on this machine, in words that say how to install it; nothing if all is there.
    pub fn missing(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        if self.measured.tesseract.is_none() || self.measured.model.is_none() {
            missing.push(INSTALL_TESSERACT);
        }
        if self.measured.pdftotext.is_none() || self.measured.pdftoppm.is_none() {
            missing.push(INSTALL_POPPLER);
        }
        missing
    }

    /// Whether all is there that a picture, or a PDF, may need.
    pub fn reads(&self, pdf: bool) -> bool {
        let Measured { tesseract, model, pdftotext, pdftoppm, .. } = &self.measured;
        tesseract.is_some() && model.is_some() && (!pdf || pdftotext.is_some() && pdftoppm.is_some())
    }

    /// Reads a document. Blocks, at most a little longer than the limit of time.
    ///
    /// **Errors**: [`ReadError`]; no process is left then.
    pub fn read(&self, document: &[u8]) -> Result<Reading, ReadError> {
        self.reading(Request::Read, document)
    }

    /// Reads a document without preparation and second looks: the baseline of the benchmark.
    ///
    /// **Errors**: as [`Self::read`].
    pub fn read_plain(&self, document: &[u8]) -> Result<Reading, ReadError> {
        self.reading(Request::ReadPlain, document)
    }

    /// The picture of a page with a box around each of `places` (see `Expense::places`); the bytes of a PNG.
    ///
    /// **Errors**: as [`Self::read`].
    pub fn annotate(
        &self,
        document: &[u8],
        page: u16,
        places: &[(&str, Region)],
    ) -> Result<Vec<u8>, ReadError> {
        let places = places.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect();
        match self.ask(Request::Annotate { page, places }, document)? {
            Answer::Drawn(png) => Ok(png),
            _ => Err(ReadError::Malformed),
        }
    }

    fn reading(&self, request: Request, document: &[u8]) -> Result<Reading, ReadError> {
        match self.ask(request, document)? {
            Answer::Read(reading) if reading.measured.extractor == EXTRACTOR => {
                Ok(Reading { measured: self.measured.clone(), ..*reading })
            }
            _ => Err(ReadError::Malformed),
        }
    }

    fn ask(&self, request: Request, document: &[u8]) -> Result<Answer, ReadError> {
        let limits = &self.config.limits;
        if document.len() > limits.bytes_max as usize {
            return Err(Refusal::TooLarge(limits.bytes_max).into());
        }
        let setup = Setup { request, limits: limits.clone(), programs: self.config.programs.clone() };
        let setup = bcs::to_bytes(&setup).map_err(|_| ReadError::Malformed)?;
        let mut child = Command::new(&self.config.reader)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(ReadError::Start)?;
        let answered = converse(&mut child, &setup, document, limits);
        // Already gone is as good as ended.
        let _ = child.kill();
        child.wait().map_err(ReadError::Start)?;
        match answered? {
            Answer::Refused(refusal) => Err(refusal.into()),
            Answer::Fault(fault) => Err(ReadError::Fault(fault)),
            answer => Ok(answer),
        }
    }
}

/// Gives the process its frames and waits for its answer. The thread of the pipes ends with the process.
fn converse(child: &mut Child, setup: &[u8], document: &[u8], limits: &Limits) -> Result<Answer, ReadError> {
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(ReadError::Malformed);
    };
    let died = || Refusal::GaveUp("symphony-reader".into());
    let wall = Duration::from_millis(u64::from(limits.wall_ms) + GRACE_MS);
    std::thread::scope(|scope| {
        let (tell, told) = mpsc::sync_channel(1);
        scope.spawn(move || {
            let mut output = output.take(ANSWER_BYTES_MAX);
            // A reader that stopped listening has a reason, and the answer tells it.
            let _ = frame::write(&mut input, setup).and_then(|()| frame::write(&mut input, document));
            let _ = input.flush();
            let _ = tell.send(frame::read(&mut output));
        });
        let answer = match told.recv_timeout(wall) {
            Ok(Ok(Some(answer))) => bcs::from_bytes(&answer).map_err(|_| ReadError::Malformed),
            Ok(Err(FrameError::TooLong(_))) => Err(ReadError::Malformed),
            Ok(_) => Err(died().into()),
            Err(_) => Err(Refusal::TimedOut(limits.wall_ms).into()),
        };
        if answer.is_err() {
            // So that the pipes close and the thread ends.
            let _ = child.kill();
        }
        answer
    })
}

/// How much longer than its limit the process may take to say that it was late.
const GRACE_MS: u64 = 2_000;
/// Bytes of an answer: a picture with boxes is the largest.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
