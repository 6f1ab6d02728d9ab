//! Making evidence, against a folder that answers as the kernel's does.
//!
//! The fake's files are pipes, so that reader and writer meet at each one and no test waits for time to pass.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use symphony_attest::collateral::Collateral;
use symphony_attest::evidence::{Evidence, Format};
use symphony_attest::fault::FaultCode;
use symphony_attest::sources::{EvidenceSource as _, ReportFolder, SourceError};
use symphony_attest::verify::verify;

use crate::samples::{SNP, SNP_KEY, SUMMER_2025, TDX};
use crate::verified::table;

/// Answers one request: generation before, what is bound, report, table, provider, generation after.
struct Device {
    folder: PathBuf,
    report: Vec<u8>,
    table: Option<Vec<u8>>,
    provider: &'static str,
    /// What the generation grows by, for each request.
    steps: Vec<u64>,
}

impl Device {
    /// Serves as many requests as there are steps; gives back what was bound by each.
    fn serve(self) -> JoinHandle<Vec<Vec<u8>>> {
        let entry = self.folder.join("symphony");
        fs::create_dir(&entry).unwrap();
        for name in ["generation", "inblob", "outblob", "provider"] {
            mkfifo(&entry.join(name), Mode::S_IRWXU).unwrap();
        }
        if self.table.is_some() {
            mkfifo(&entry.join("auxblob"), Mode::S_IRWXU).unwrap();
        }
        thread::spawn(move || {
            let mut generation = 41;
            let mut bound = Vec::new();
            for step in &self.steps {
                say(&entry, "generation", format!("{generation}\n").as_bytes());
                let mut bytes = Vec::new();
                fs::File::open(entry.join("inblob")).unwrap().read_to_end(&mut bytes).unwrap();
                bound.push(bytes);
                say(&entry, "outblob", &self.report);
                if let Some(table) = &self.table {
                    say(&entry, "auxblob", table);
                }
                say(&entry, "provider", format!("{}\n", self.provider).as_bytes());
                generation += step;
                say(&entry, "generation", format!("{generation}\n").as_bytes());
            }
            bound
        })
    }
}

/// Answers one reader. The next one meets a fresh pipe, so that it cannot read what follows as well.
fn say(entry: &Path, name: &str, bytes: &[u8]) {
    let mut pipe = OpenOptions::new().write(true).open(entry.join(name)).unwrap();
    let fresh = entry.join("fresh");
    mkfifo(&fresh, Mode::S_IRWXU).unwrap();
    fs::rename(fresh, entry.join(name)).unwrap();
    pipe.write_all(bytes).unwrap();
}

/// R121 R123
#[test]
fn a_report_and_its_certificates_come_out_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device {
        folder: folder.path().to_owned(),
        report: SNP.to_vec(),
        table: Some(table(&[SNP_KEY])),
        provider: "sev_guest",
        steps: vec![1],
    };
    let served = device.serve();
    let evidence = ReportFolder::at(folder.path()).evidence(&[7; 64]).unwrap();
    assert_eq!(served.join().unwrap(), [vec![7; 64]]);
    verify(&evidence, &Collateral::None, SUMMER_2025).unwrap();
}

#[test]
fn a_provider_without_a_table_gives_a_quote() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device {
        folder: folder.path().to_owned(),
        report: TDX.to_vec(),
        table: None,
        provider: "tdx_guest",
        steps: vec![1],
    };
    let served = device.serve();
    let evidence = ReportFolder::at(folder.path()).evidence(&[7; 64]).unwrap();
    served.join().unwrap();
    assert_eq!(evidence, Evidence { format: Format::IntelQuote, body: TDX.to_vec(), certificates: vec![] });
}

/// R123: a report that may bind another writer's bytes is not used.
#[test]
fn a_disturbed_report_is_asked_for_again_and_then_given_up() {
    let serve = |steps: &[u64]| {
        let folder = tempfile::tempdir().unwrap();
        let device = Device {
            folder: folder.path().to_owned(),
            report: SNP.to_vec(),
            table: None,
            provider: "sev_guest",
            steps: steps.to_vec(),
        };
        let served = device.serve();
        let evidence = ReportFolder::at(folder.path()).evidence(&[7; 64]);
        assert_eq!(served.join().unwrap().len(), steps.len());
        evidence
    };
    assert!(serve(&[2, 1]).is_ok());
    assert!(matches!(serve(&[2, 0, 3]), Err(SourceError::Disturbed(3))));
}

#[test]
fn reports_that_are_too_long_or_of_an_unknown_provider_are_refused() {
    let answer = |report: Vec<u8>, provider: &'static str, until: &str| {
        let folder = tempfile::tempdir().unwrap();
        let entry = folder.path().join("symphony");
        fs::create_dir(&entry).unwrap();
        for (name, bytes) in [
            ("generation", b"4".as_slice()),
            ("inblob", b""),
            ("outblob", &report),
            ("provider", provider.as_bytes()),
        ] {
            fs::write(entry.join(name), bytes).unwrap();
        }
        let error = ReportFolder::at(folder.path()).evidence(&[7; 64]).unwrap_err();
        assert!(error.to_string().contains(until), "{error}");
        error
    };
    let long = answer(vec![0; 17 << 10], "sev_guest", "outblob");
    assert!(matches!(long, SourceError::TooLong(_)));
    // Without the kernel behind the files the generation stands still, so nothing is believed.
    answer(SNP.to_vec(), "sev_guest", "3 times");
    let folder = tempfile::tempdir().unwrap();
    let device = Device {
        folder: folder.path().to_owned(),
        report: SNP.to_vec(),
        table: None,
        provider: "arm_cca_guest",
        steps: vec![1],
    };
    let served = device.serve();
    let error = ReportFolder::at(folder.path()).evidence(&[7; 64]).unwrap_err();
    served.join().unwrap();
    assert!(matches!(error, SourceError::Provider(ref name) if name == "arm_cca_guest"), "{error}");
}

#[test]
fn a_machine_without_the_folder_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let error = ReportFolder::at(folder.path().join("absent")).evidence(&[7; 64]).unwrap_err();
    assert!(matches!(error, SourceError::File { .. }), "{error}");
    assert_eq!(Evidence::read(&[]).unwrap_err().code, FaultCode::Unrecognised);
}
