//! Compiles Move packages and runs their unit tests, in this process: a caller starts one process for each.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::native::CompilerLibrary;

/// What the compiler takes, in its own order.
#[derive(Serialize)]
struct Arguments {
    package_path: Option<String>,
    verbose: bool,
    build: Build,
}

#[derive(Serialize)]
struct Build {
    dev_mode: bool,
    test_mode: bool,
    generate_docs: bool,
    generate_abis: bool,
    install_dir: Option<String>,
    force_recompilation: bool,
    fetch_deps_only: bool,
    skip_fetch_latest_git_deps: bool,
    bytecode_version: u32,
    compiler_version: String,
    language_version: String,
    additional_named_addresses: Vec<(String, [u8; 32])>,
}

#[derive(Serialize)]
struct TestOptions {
    filter: Option<String>,
    report_statistics: bool,
    report_storage_on_error: bool,
    ignore_compile_warnings: bool,
    compute_coverage: bool,
}

fn arguments(package: &Path, test_mode: bool) -> Vec<u8> {
    let path = package.to_string_lossy().into_owned();
    let build = Build {
        dev_mode: test_mode,
        test_mode,
        generate_docs: false,
        generate_abis: false,
        // What is made lies in `build` beside the manifest.
        install_dir: Some(path.clone()),
        force_recompilation: false,
        fetch_deps_only: false,
        skip_fetch_latest_git_deps: true,
        bytecode_version: 7,
        compiler_version: "2.1".into(),
        language_version: "2.1".into(),
        additional_named_addresses: Vec::new(),
    };
    bcs::to_bytes(&Arguments { package_path: Some(path), verbose: false, build })
        .expect("texts and numbers have canonical bytes")
}

/// Builds the package in a folder; what is compiled lies in `build/<name>/bytecode_modules` of it.
pub fn build(library: &Path, package: &Path) -> Result<()> {
    CompilerLibrary::load(library)?.build(&arguments(package, false)).context("building the Move package")?;
    Ok(())
}

/// Runs the unit tests of a package, those whose name holds `filter` when there is one. They print what they find.
pub fn test(library: &Path, package: &Path, filter: Option<String>) -> Result<()> {
    let options = TestOptions {
        filter,
        report_statistics: false,
        report_storage_on_error: false,
        ignore_compile_warnings: false,
        compute_coverage: false,
    };
    let options = bcs::to_bytes(&options).context("encoding the options")?;
    CompilerLibrary::load(library)?.test(&arguments(package, true), &options).context("Move unit tests")?;
    Ok(())
}

/// The compiled modules of a package without its dependencies, by name.
pub fn modules(package: &Path, name: &str) -> Result<BTreeMap<String, Vec<u8>>> {
    let folder = package.join("build").join(name).join("bytecode_modules");
    compiled(&folder)
}

/// The compiled modules in one folder, by name.
pub fn compiled(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut modules = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "mv") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            modules.insert(name, fs::read(&path)?);
        }
    }
    Ok(modules)
}
