//! What the Vault and the reading process say to each other: a setup, a document, an answer, each one frame of
//! `symphony_tee::frame` (R082, R083).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use symphony_compute::parse::expense::Expense;
use symphony_compute::parse::layout::Region;
use symphony_compute::parse::{NotAReceipt, Scan};
use symphony_tee::sandbox::LockedDown;
use symphony_types::digest::Digest;

/// What a reader may spend on one document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of the document.
    pub bytes_max: u32,
    /// Pages of a PDF.
    pub pages_max: u16,
    /// Pixels of one page.
    pub pixels_max: u32,
    /// Wall clock of the whole reading. **Units**: milliseconds.
    pub wall_ms: u32,
    /// Processor time of one foreign program. **Units**: seconds.
    pub cpu_seconds: u32,
    /// Address space of the process and of each foreign program. **Units**: bytes.
    pub memory_bytes: u64,
}

/// The foreign programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Programs {
    /// Tesseract 5.
    pub tesseract: PathBuf,
    /// The folder of its models; `eng.traineddata` is used.
    pub tessdata: PathBuf,
    /// poppler's `pdftotext`; without it a PDF is refused.
    pub pdftotext: PathBuf,
    /// poppler's `pdftoppm`; without it a scanned PDF is refused.
    pub pdftoppm: PathBuf,
}

/// What is asked of the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Read the document that follows.
    Read,
    /// Read it as it is, without preparation and second looks: the baseline of the benchmark.
    ReadPlain,
    /// Draw boxes on one page of the document that follows; the answer is a PNG.
    Annotate {
        /// The page, from 0.
        page: u16,
        /// What to draw a box around, with the name of the field.
        places: Vec<(String, Region)>,
    },
}

/// The first frame: how to read, said by the Vault and trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// What is asked.
    pub request: Request,
    /// What it may cost.
    pub limits: Limits,
    /// What may be started.
    pub programs: Programs,
}

/// What kind of document it was, by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A JPEG picture.
    Jpeg,
    /// A PNG picture.
    Png,
    /// A PDF with a text layer.
    PdfText,
    /// A PDF of pictures.
    PdfScan,
}

/// A page as its boxes count it: upright, in pixels of the picture (tenths of a point for a PDF with text).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageSize {
    /// From the left to the right edge.
    pub width: u32,
    /// From the upper to the lower edge.
    pub height: u32,
}

/// What identifies everything that had a part in a reading, so that it can be evidence (R084).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// SHA-256 of the program `symphony-reader`.
    pub reader: Option<Digest>,
    /// SHA-256 of Tesseract's program, if it is installed.
    pub tesseract: Option<Digest>,
    /// SHA-256 of the model `eng.traineddata`.
    pub model: Option<Digest>,
    /// SHA-256 of `pdftotext`, if it is installed.
    pub pdftotext: Option<Digest>,
    /// SHA-256 of `pdftoppm`, if it is installed.
    pub pdftoppm: Option<Digest>,
    /// The version of the extraction rules.
    pub extractor: u32,
}

/// A document that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// What the document was.
    pub kind: Kind,
    /// Its pages.
    pub pages: Vec<PageSize>,
    /// The words of each recognition, in page coordinates.
    pub scans: Vec<Scan>,
    /// What they tell.
    pub expense: Expense,
    /// How many recognitions it took: 0 for a text layer.
    pub looks: u8,
    /// How the process was locked down. Not part of the canonical record.
    pub locked: LockedDown,
    /// What had a part in it; filled in by the Vault's side.
    pub measured: Measured,
}

/// Why a document was not read. An expected answer: the person may be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// More bytes than allowed.
    #[error("the document is larger than {0} bytes")]
    TooLarge(u32),
    /// More pages than allowed.
    #[error("the document has more than {0} pages")]
    TooManyPages(u16),
    /// More pixels than allowed.
    #[error("a page has more than {0} pixels")]
    TooManyPixels(u32),
    /// Neither JPEG, PNG nor PDF, or something beside it.
    #[error("the document is no JPEG, PNG or PDF alone")]
    NotADocument,
    /// A document that is damaged or empty.
    #[error("the document cannot be decoded")]
    Unreadable,
    /// A document without a receipt on it.
    #[error("the document is no receipt: {0}")]
    NotAReceipt(NotAReceipt),
    /// The time was up.
    #[error("reading took longer than {0} ms")]
    TimedOut(u32),
    /// A foreign program needed more than it may have, or failed.
    #[error("{0} gave up on the document")]
    GaveUp(String),
    /// A foreign program is absent; says how to get it.
    #[error("{0}")]
    EngineMissing(String),
}

/// The last frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The document was read.
    Read(Box<Reading>),
    /// A PNG.
    Drawn(Vec<u8>),
    /// It was not.
    Refused(Refusal),
    /// The process could not be locked down or asked; a fault of the installation.
    Fault(String),
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: 20 << 20,
            pages_max: 8,
            pixels_max: 50_000_000,
            wall_ms: 30_000,
            cpu_seconds: 20,
            memory_bytes: 1 << 30,
        }
    }
}

impl Default for Programs {
    fn default() -> Self {
        let tessdata = TESSDATA.iter().map(PathBuf::from).find(|folder| folder.join(MODEL).exists());
        Self {
            tesseract: "/usr/bin/tesseract".into(),
            tessdata: tessdata.unwrap_or_else(|| TESSDATA[0].into()),
            pdftotext: "/usr/bin/pdftotext".into(),
            pdftoppm: "/usr/bin/pdftoppm".into(),
        }
    }
}

/// The model that is used.
pub const MODEL: &str = "eng.traineddata";

/// How to get Tesseract.
pub const INSTALL_TESSERACT: &str =
    "tesseract or its english model is missing: install the packages tesseract-ocr and tesseract-ocr-eng";

/// How to get poppler.
pub const INSTALL_POPPLER: &str = "pdftotext or pdftoppm is missing: install the package poppler-utils";

/// Where distributions keep the models.
const TESSDATA: &[&str] =
    &["/usr/share/tesseract-ocr/5/tessdata", "/usr/share/tessdata", "/usr/share/tesseract/tessdata"];
