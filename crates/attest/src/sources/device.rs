//! The security module of an AWS enclave, `/dev/nsm`, asked by AWS' own crate.

use std::fs::OpenOptions;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use aws_nitro_enclaves_nsm_api::api::{Request, Response};
use aws_nitro_enclaves_nsm_api::driver::nsm_process_request;
use serde_bytes::ByteBuf;

use crate::evidence::{Evidence, Format};
use crate::sources::{EvidenceSource, SourceError};

/// The device of an AWS enclave.
#[derive(Clone, Debug)]
pub struct NitroDevice {
    path: PathBuf,
}

impl NitroDevice {
    /// The enclave's own device.
    pub fn of_enclave() -> Self {
        Self::at("/dev/nsm")
    }

    /// Another device file.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl EvidenceSource for NitroDevice {
    fn evidence(&self, report_data: &[u8; 64]) -> Result<Evidence, SourceError> {
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.path)
            .map_err(|source| SourceError::File { path: self.path.clone(), source })?;
        let user_data = Some(ByteBuf::from(report_data.to_vec()));
        let request = Request::Attestation { user_data, nonce: None, public_key: None };
        answered(nsm_process_request(device.as_raw_fd(), request))
    }
}

fn answered(response: Response) -> Result<Evidence, SourceError> {
    match response {
        Response::Attestation { document } => {
            Ok(Evidence::with_table(Format::NitroDocument, &document, &[])?)
        }
        other => Err(SourceError::Module(format!("{other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use aws_nitro_enclaves_nsm_api::api::ErrorCode;

    use super::*;

    #[test]
    fn the_modules_document_becomes_evidence_and_its_refusal_an_error() {
        let document = include_bytes!("../../../../vectors/evidence/nitro.cose").to_vec();
        let evidence = answered(Response::Attestation { document: document.clone() }).unwrap();
        assert_eq!((evidence.format, evidence.body), (Format::NitroDocument, document));
        let refused = answered(Response::Error(ErrorCode::InputTooLarge)).unwrap_err();
        assert_eq!(refused.to_string(), "the security module answered Error(InputTooLarge)");
    }

    #[test]
    fn a_file_that_is_no_module_gives_no_evidence() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = NitroDevice::at(file.path()).evidence(&[1; 64]).unwrap_err();
        assert!(matches!(error, SourceError::Module(_)), "{error}");
        let error = NitroDevice::at(file.path().join("absent")).evidence(&[1; 64]).unwrap_err();
        assert!(matches!(error, SourceError::File { .. }), "{error}");
    }
}
