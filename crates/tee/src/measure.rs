//! What a program is: SHA-256 of its file (R120, R121). Child and host compute it alike.

use std::io;
use std::path::Path;

use symphony_types::digest::Digest;
use symphony_types::id::Measurement;

/// Measures a program. **Errors**: the file cannot be read.
pub fn program(path: &Path) -> io::Result<Measurement> {
    Ok(Measurement(Digest::of_bytes(&std::fs::read(path)?)))
}

/// Measures the running program. Works before the sandbox closes only. **Errors**: as [`program`].
pub fn running() -> io::Result<Measurement> {
    program(Path::new("/proc/self/exe"))
}
