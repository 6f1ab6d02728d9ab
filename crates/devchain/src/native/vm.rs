//! The Move VM. It reads and writes state through callbacks into a [`Storage`] of the caller, and hands over what a transaction
//! wrote only after the transaction succeeded.

use std::ffi::c_void;
use std::path::Path;

use anyhow::{Result, ensure};
use libloading::Library;

use super::{Free, Owned, View, load, outcome, symbol};

/// Where the VM's state is. Keys are an address, a byte for the kind, and the tag or key in canonical bytes.
pub(crate) trait Storage {
    fn read(&mut self, key: &[u8]) -> Option<Vec<u8>>;
    fn write(&mut self, key: &[u8], value: &[u8]);
    fn remove(&mut self, key: &[u8]);
}

/// What callbacks need: the storage, and the library's way to make a vector.
struct Host<'a> {
    storage: &'a mut dyn Storage,
    make: Make,
}

/// Bytes of the library, for the length of one callback.
#[repr(C)]
struct Slice {
    is_none: bool,
    bytes: *const u8,
    len: usize,
}

#[repr(C)]
struct Iterators {
    call: u64,
    index: u64,
    next: *const c_void,
    prefix_len: usize,
}

#[repr(C)]
struct Db {
    state: *mut c_void,
    read: extern "C" fn(*mut c_void, Slice, *mut Owned, *mut Owned) -> i32,
    write: extern "C" fn(*mut c_void, Slice, Slice, *mut Owned) -> i32,
    remove: extern "C" fn(*mut c_void, Slice, *mut Owned) -> i32,
    scan: extern "C" fn(*mut c_void, Slice, Slice, Slice, i32, *mut Iterators, *mut Owned) -> i32,
}

/// Questions to the chain around the VM. The contracts and the stand-in framework ask none, so each is answered as unimplemented.
#[repr(C)]
struct Api {
    state: *const c_void,
    functions: [extern "C" fn() -> i32; 6],
}

type Make = unsafe extern "C" fn(bool, *const u8, usize) -> Owned;
type Allocate = unsafe extern "C" fn(View) -> *mut c_void;
type Release = unsafe extern "C" fn(*mut c_void);
type Initialize = unsafe extern "C" fn(*mut c_void, Db, Api, View, View, View, *mut Owned) -> Owned;
type Execute = unsafe extern "C" fn(*mut c_void, *mut u64, Db, Api, View, View, View, *mut Owned) -> Owned;
type Look = unsafe extern "C" fn(*mut c_void, *mut u64, Db, Api, View, View, *mut Owned) -> Owned;
type DecodeModule = unsafe extern "C" fn(*mut Owned, View) -> Owned;
type DecodeResource = unsafe extern "C" fn(Db, *mut Owned, View, View) -> Owned;

struct Functions {
    make: Make,
    free: Free,
    allocate: Allocate,
    release: Release,
    initialize: Initialize,
    execute: Execute,
    look: Look,
    decode_module: DecodeModule,
    decode_resource: DecodeResource,
}

/// The VM's library with one VM in it.
pub(crate) struct VmLibrary {
    vm: *mut c_void,
    functions: Functions,
    // Last: the functions above live as long as it does.
    _library: Library,
}

// SAFETY: the VM has no thread-local state; every call takes it exclusively (`&mut self`).
unsafe impl Send for VmLibrary {}

impl Drop for VmLibrary {
    fn drop(&mut self) {
        // SAFETY: made by `allocate_vm`, released once, before the library is.
        unsafe { (self.functions.release)(self.vm) };
    }
}

impl VmLibrary {
    /// Loads the library and makes a VM as `config`, in canonical bytes, says.
    pub(crate) fn load(path: &Path, config: &[u8]) -> Result<Self> {
        let library = load(path.as_os_str())?;
        // SAFETY: the types are those of `bindings.h`.
        let functions = unsafe {
            Functions {
                make: symbol(&library, "new_unmanaged_vector")?,
                free: symbol(&library, "destroy_unmanaged_vector")?,
                allocate: symbol(&library, "allocate_vm")?,
                release: symbol(&library, "release_vm")?,
                initialize: symbol(&library, "initialize")?,
                execute: symbol(&library, "execute_contract")?,
                look: symbol(&library, "execute_view_function")?,
                decode_module: symbol(&library, "decode_module_bytes")?,
                decode_resource: symbol(&library, "decode_move_resource")?,
            }
        };
        // SAFETY: the view outlives the call.
        let vm = unsafe { (functions.allocate)(View::of(config)) };
        ensure!(!vm.is_null(), "the library made no VM");
        Ok(Self { vm, functions, _library: library })
    }

    /// Publishes the first modules.
    pub(crate) fn initialize(
        &mut self,
        storage: &mut dyn Storage,
        [env, modules, publishers]: [&[u8]; 3],
    ) -> Result<Vec<u8>> {
        let mut host = Host { storage, make: self.functions.make };
        let (mut refusal, db) = (Owned::none(), db(&mut host));
        let [env, modules, publishers] = [env, modules, publishers].map(View::of);
        // SAFETY: the VM is ours alone; host, views and the place for the refusal outlive the call.
        let result = unsafe {
            (self.functions.initialize)(self.vm, db, API, env, modules, publishers, &raw mut refusal)
        };
        outcome(self.functions.free, result, refusal)
    }

    /// Executes an entry function; `gas` is what may be used, and afterwards what is left.
    pub(crate) fn execute(
        &mut self,
        storage: &mut dyn Storage,
        gas: &mut u64,
        [env, senders, function]: [&[u8]; 3],
    ) -> Result<Vec<u8>> {
        let mut host = Host { storage, make: self.functions.make };
        let (mut refusal, db) = (Owned::none(), db(&mut host));
        let [env, senders, function] = [env, senders, function].map(View::of);
        // SAFETY: as above; `gas` is a number of ours.
        let result = unsafe {
            (self.functions.execute)(self.vm, gas, db, API, env, senders, function, &raw mut refusal)
        };
        outcome(self.functions.free, result, refusal)
    }

    /// Calls a view function.
    pub(crate) fn look(
        &mut self,
        storage: &mut dyn Storage,
        gas: &mut u64,
        [env, function]: [&[u8]; 2],
    ) -> Result<Vec<u8>> {
        let mut host = Host { storage, make: self.functions.make };
        let (mut refusal, db) = (Owned::none(), db(&mut host));
        let [env, function] = [env, function].map(View::of);
        // SAFETY: as above.
        let result = unsafe { (self.functions.look)(self.vm, gas, db, API, env, function, &raw mut refusal) };
        outcome(self.functions.free, result, refusal)
    }

    /// The ABI of a compiled module, as JSON.
    pub(crate) fn decode_module(&self, module: &[u8]) -> Result<Vec<u8>> {
        let mut refusal = Owned::none();
        // SAFETY: view and refusal outlive the call.
        let result = unsafe { (self.functions.decode_module)(&raw mut refusal, View::of(module)) };
        outcome(self.functions.free, result, refusal)
    }

    /// A resource as JSON; its type is read from the modules in `storage`.
    pub(crate) fn decode_resource(
        &mut self,
        storage: &mut dyn Storage,
        tag: &[u8],
        bytes: &[u8],
    ) -> Result<Vec<u8>> {
        let mut host = Host { storage, make: self.functions.make };
        let (mut refusal, db) = (Owned::none(), db(&mut host));
        let (tag, bytes) = (View::of(tag), View::of(bytes));
        // SAFETY: host, views and refusal outlive the call.
        let result = unsafe { (self.functions.decode_resource)(db, &raw mut refusal, tag, bytes) };
        outcome(self.functions.free, result, refusal)
    }
}

fn db(host: &mut Host<'_>) -> Db {
    Db { state: std::ptr::from_mut(host).cast(), read, write, remove, scan }
}

const API: Api = Api { state: std::ptr::null(), functions: [unanswered; 6] };
const OK: i32 = 0;
const BAD_ARGUMENT: i32 = 2;
const UNIMPLEMENTED: i32 = 5;

/// The bytes of a slice; the library keeps them for the length of the callback.
///
/// SAFETY for callers: only with a slice that the library passed to the running callback.
unsafe fn bytes<'a>(slice: &Slice) -> &'a [u8] {
    if slice.is_none || slice.bytes.is_null() {
        return &[];
    }
    // SAFETY: the caller vouches for it.
    unsafe { std::slice::from_raw_parts(slice.bytes, slice.len) }
}

extern "C" fn read(state: *mut c_void, key: Slice, out: *mut Owned, _refusal: *mut Owned) -> i32 {
    if state.is_null() || out.is_null() {
        return BAD_ARGUMENT;
    }
    // SAFETY: `state` is the `Host` of the call that this runs in, and nobody else uses it meanwhile.
    let (host, key) = unsafe { (&mut *state.cast::<Host<'_>>(), bytes(&key)) };
    if let Some(value) = host.storage.read(key) {
        // SAFETY: the library copies the value into a vector of its own and takes it over through `out`, which was none.
        unsafe { *out = (host.make)(false, value.as_ptr(), value.len()) };
    }
    OK
}

extern "C" fn write(state: *mut c_void, key: Slice, value: Slice, _refusal: *mut Owned) -> i32 {
    if state.is_null() {
        return BAD_ARGUMENT;
    }
    // SAFETY: as in `read`.
    let (host, key, value) = unsafe { (&mut *state.cast::<Host<'_>>(), bytes(&key), bytes(&value)) };
    host.storage.write(key, value);
    OK
}

extern "C" fn remove(state: *mut c_void, key: Slice, _refusal: *mut Owned) -> i32 {
    if state.is_null() {
        return BAD_ARGUMENT;
    }
    // SAFETY: as in `read`.
    let (host, key) = unsafe { (&mut *state.cast::<Host<'_>>(), bytes(&key)) };
    host.storage.remove(key);
    OK
}

/// Aptos' tables cannot be iterated, so no contract does.
extern "C" fn scan(
    _state: *mut c_void,
    _prefix: Slice,
    _start: Slice,
    _end: Slice,
    _order: i32,
    _out: *mut Iterators,
    _refusal: *mut Owned,
) -> i32 {
    UNIMPLEMENTED
}

/// Ignores its arguments: by the C convention the caller passes and removes them.
extern "C" fn unanswered() -> i32 {
    UNIMPLEMENTED
}
