//! Words of a prepared picture, recognised by Tesseract (R083). It is given grey pixels that this process made itself,
//! never the bytes of a document.

use std::fmt::Write as _;
use std::path::PathBuf;

use image::GrayImage;
use symphony_compute::parse::layout::Word;
use symphony_compute::parse::tsv;

use crate::prepare::Prepared;
use crate::protocol::{INSTALL_TESSERACT, Limits, MODEL, Programs, Refusal};
use crate::tool::{self, Call, Deadline};

/// How Tesseract divides a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Division {
    /// As the command line does by default.
    Automatic,
    /// One column of lines of varied sizes.
    Column,
    /// One block of lines.
    Block,
}

/// What recognition needs beside the picture.
pub(crate) struct Engine<'a> {
    pub(crate) programs: &'a Programs,
    pub(crate) limits: &'a Limits,
    pub(crate) deadline: Deadline,
}

impl Engine<'_> {
    /// The words of a prepared page, in page coordinates.
    ///
    /// **Errors**: Tesseract is missing, gave up or was late.
    pub(crate) fn words(&self, prepared: &Prepared, division: Division) -> Result<Vec<Word>, Refusal> {
        let table = self.table(&prepared.picture, division)?;
        let mut words = tsv::words(&table, 0);
        words.iter_mut().for_each(|word| word.at = prepared.back(word.at));
        Ok(words)
    }

    fn table(&self, picture: &GrayImage, division: Division) -> Result<String, Refusal> {
        let tessdata = &self.programs.tessdata;
        if !self.programs.tesseract.exists() || !tessdata.join(MODEL).exists() {
            return Err(Refusal::EngineMissing(INSTALL_TESSERACT.into()));
        }
        let folder = tessdata.to_string_lossy().into_owned();
        let mut args = vec!["stdin", "stdout", "--tessdata-dir", &folder, "-l", "eng", "--dpi", "200"];
        match division {
            Division::Automatic => {}
            Division::Column => args.extend(["--psm", "4", "-c", "tessedit_do_invert=0"]),
            Division::Block => args.extend(["--psm", "6", "-c", "tessedit_do_invert=0"]),
        }
        args.extend(["-c", "tessedit_create_tsv=1"]);
        let reads: Vec<PathBuf> = vec![tessdata.clone()];
        let input = portable(picture);
        let call = Call {
            program: &self.programs.tesseract,
            args: &args,
            reads: &reads,
            input: &input,
            output_max: TABLE_BYTES_MAX,
        };
        let (printed, content) = tool::run(&call, self.limits, self.deadline)?;
        if !content {
            return Err(Refusal::GaveUp("tesseract".into()));
        }
        Ok(String::from_utf8_lossy(&printed).into_owned())
    }
}

/// The plainest form of a grey picture (PGM).
fn portable(picture: &GrayImage) -> Vec<u8> {
    let mut head = String::new();
    let _ = writeln!(head, "P5 {} {} 255", picture.width(), picture.height());
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(picture.as_raw());
    bytes
}

/// Bytes of the table of one page.
const TABLE_BYTES_MAX: usize = 4 << 20;
