//! AMD's table of certificates, which the kernel hands out beside a report: entries of a type, an offset and a length,
//! ended by an entry of zeros, then the certificates. Only what is a certificate is kept; who made it is checked later.

use crate::certificate;
use crate::evidence::CERTIFICATES_MAX;
use crate::fault::{Fault, FaultCode};

/// The certificates in a table; none in an empty one.
///
/// **Errors**: `evidence-malformed` or `too-large`.
pub(crate) fn certificates(table: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
    let mut found = Vec::new();
    if table.iter().all(|byte| *byte == 0) {
        return Ok(found);
    }
    for entry in table.chunks(ENTRY_BYTES) {
        let Some(place) = entry.get(16..ENTRY_BYTES) else {
            return Err(Fault::malformed("the table of certificates has no end"));
        };
        if entry.iter().all(|byte| *byte == 0) {
            return Ok(found);
        }
        let word = |at: usize| u32::from_le_bytes([place[at], place[at + 1], place[at + 2], place[at + 3]]);
        let (offset, length) = (word(0) as usize, word(4) as usize);
        let range = offset.checked_add(length).and_then(|end| table.get(offset..end));
        let Some(bytes) = range.filter(|_| offset >= ENTRY_BYTES) else {
            return Err(Fault::malformed("a certificate of the table lies outside it"));
        };
        if found.len() == CERTIFICATES_MAX {
            return Err(Fault::new(FaultCode::TooLarge, "number of certificates in the table"));
        }
        // The type is not read: operators put lists and files of their own into the table too, and what a certificate
        // was made for is decided by the certificate.
        if certificate::parse(bytes).is_ok() {
            found.push(bytes.to_vec());
        }
    }
    Err(Fault::malformed("the table of certificates has no end"))
}

const ENTRY_BYTES: usize = 24;
