//! What a program is: SHA-256 of its file (R120, R121). Child and host compute it alike.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use symphony_types::digest::Digest;
use symphony_types::id::Measurement;

/// Measures a program. **Errors**: the file cannot be read.
pub fn program(path: &Path) -> io::Result<Measurement> {
    let mut file = File::open(path)?;
    let (mut hasher, mut part) = (Sha256::new(), vec![0; PART_LEN]);
    loop {
        match file.read(&mut part) {
            Ok(0) => return Ok(Measurement(Digest(hasher.finalize().into()))),
            Ok(length) => hasher.update(&part[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Measures the running program. Works before the sandbox closes only. **Errors**: as [`program`].
pub fn running() -> io::Result<Measurement> {
    program(Path::new("/proc/self/exe"))
}

/// Bytes read at once: a part stays in the processor's cache, and no memory as large as the program is filled.
const PART_LEN: usize = 256 << 10;
