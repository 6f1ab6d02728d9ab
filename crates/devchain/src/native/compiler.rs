//! The Move compiler and unit-test runner. They print to this process' output; the result says only whether they succeeded.

use std::path::Path;

use anyhow::Result;
use libloading::Library;

use super::{Free, Owned, View, load, outcome, symbol};

type Build = unsafe extern "C" fn(*mut Owned, View) -> Owned;
type Test = unsafe extern "C" fn(*mut Owned, View, View) -> Owned;

/// The compiler's library.
pub(crate) struct CompilerLibrary {
    build: Build,
    test: Test,
    free: Free,
    // Last: the functions above live as long as it does.
    _library: Library,
}

impl CompilerLibrary {
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let library = load(path.as_os_str())?;
        // SAFETY: the types are those of `bindings_compiler.h`.
        let (build, test, free) = unsafe {
            let build = symbol(&library, "build_move_package")?;
            let test = symbol(&library, "test_move_package")?;
            (build, test, symbol(&library, "destroy_unmanaged_vector")?)
        };
        Ok(Self { build, test, free, _library: library })
    }

    /// Builds the package that `arguments` name, in canonical bytes.
    pub(crate) fn build(&self, arguments: &[u8]) -> Result<Vec<u8>> {
        let mut refusal = Owned::none();
        // SAFETY: the view and the place for the refusal outlive the call.
        let result = unsafe { (self.build)(&raw mut refusal, View::of(arguments)) };
        outcome(self.free, result, refusal)
    }

    /// Runs the unit tests of a package.
    pub(crate) fn test(&self, arguments: &[u8], options: &[u8]) -> Result<Vec<u8>> {
        let mut refusal = Owned::none();
        // SAFETY: as above.
        let result = unsafe { (self.test)(&raw mut refusal, View::of(arguments), View::of(options)) };
        outcome(self.free, result, refusal)
    }
}
