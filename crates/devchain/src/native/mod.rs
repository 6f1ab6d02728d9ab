//! The only module that is not safe Rust: the C interface of the two libraries of `@initia/builder.js` (their `bindings.h`
//! names every type here). Everything above sees bytes in, bytes or a text of refusal out.
//!
//! What the safety arguments below rest on: a view passed in is read during the call only; a vector handed out is owned by
//! who gets it and freed once, by the library that made it; callbacks run on the calling thread, within the call.
#![allow(unsafe_code)]

mod compiler;
mod vm;

use std::ffi::OsStr;

use anyhow::{Context, Result, bail};
use libloading::Library;

pub(crate) use compiler::CompilerLibrary;
pub(crate) use vm::{Storage, VmLibrary};

/// Bytes of the caller, for the length of one call.
#[repr(C)]
struct View {
    is_nil: bool,
    bytes: *const u8,
    len: usize,
}

impl View {
    fn of(bytes: &[u8]) -> Self {
        Self { is_nil: false, bytes: bytes.as_ptr(), len: bytes.len() }
    }
}

/// Bytes of the library, which it must free itself.
#[repr(C)]
struct Owned {
    is_none: bool,
    bytes: *mut u8,
    len: usize,
    capacity: usize,
}

impl Owned {
    const fn none() -> Self {
        Self { is_none: true, bytes: std::ptr::null_mut(), len: 0, capacity: 0 }
    }

    fn to_vec(&self) -> Option<Vec<u8>> {
        if self.is_none {
            return None;
        }
        if self.bytes.is_null() || self.len == 0 {
            return Some(Vec::new());
        }
        // SAFETY: the library says that `len` bytes at `bytes` are its own and initialised; they are copied before it is
        // asked to free them.
        Some(unsafe { std::slice::from_raw_parts(self.bytes, self.len) }.to_vec())
    }
}

type Free = unsafe extern "C" fn(Owned);

/// Loads a library. It aborts the process on bytes that it cannot decode, which is why nothing but this tool's own process may.
fn load(path: &OsStr) -> Result<Library> {
    // SAFETY: loading runs the library's initialisers. Its digest was compared with the pinned one; what it is trusted with is
    // this process, which holds no key.
    unsafe { Library::new(path) }.with_context(|| format!("loading {}", path.to_string_lossy()))
}

/// The function of that name.
///
/// SAFETY for callers: `F` must be the function's type in `bindings.h`.
unsafe fn symbol<F: Copy>(library: &Library, name: &str) -> Result<F> {
    // SAFETY: the caller vouches for the type; the pointer is used only while the library is kept.
    let found = unsafe { library.get::<F>(name.as_bytes()) };
    Ok(*found.with_context(|| format!("the library has no function {name}"))?)
}

/// What a call gave: bytes, or the text of its refusal. Frees both.
fn outcome(free: Free, result: Owned, refusal: Owned) -> Result<Vec<u8>> {
    let (bytes, text) = (result.to_vec(), refusal.to_vec());
    for vector in [result, refusal].into_iter().filter(|vector| !vector.is_none) {
        // SAFETY: both were made by the library, were handed to us, and are dropped here once.
        unsafe { free(vector) };
    }
    match text {
        Some(text) => bail!("{}", String::from_utf8_lossy(&text)),
        None => bytes.context("the library gave neither bytes nor a refusal"),
    }
}
