//! The port between the handler and the enclave that it runs in: keys and signatures. Implemented by the real
//! session, and by tests with keys of their own.

use symphony_tee::report::{BootReport, SignedReport};
use symphony_tee::session::{EnclaveContext, Work};
use symphony_types::key::{Document, Signed, SoftwareEnclave};

/// What a handler may use of its enclave.
pub trait Station {
    /// The report of this start.
    fn boot(&self) -> &BootReport;

    /// The seed of the key that opens what was sealed to this enclave.
    fn hpke_secret(&self) -> &[u8; 32];

    /// The secret that an aggregator derives each task's keys and seeds from (D10, D18).
    fn task_secret(&self) -> &[u8; 32];

    /// Signs for one finished step.
    fn report(&self, work: Work) -> SignedReport;

    /// Signs a document with the boot-attested key.
    fn sign<T: Document>(&self, document: T) -> Signed<T, SoftwareEnclave>;
}

impl Station for EnclaveContext {
    fn boot(&self) -> &BootReport {
        self.boot()
    }

    fn hpke_secret(&self) -> &[u8; 32] {
        self.hpke_secret()
    }

    fn task_secret(&self) -> &[u8; 32] {
        self.dedupe_secret()
    }

    fn report(&self, work: Work) -> SignedReport {
        self.sign(work)
    }

    fn sign<T: Document>(&self, document: T) -> Signed<T, SoftwareEnclave> {
        self.sign_document(document)
    }
}
