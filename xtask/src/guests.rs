//! Builds the guest modules from source and compares them with those that are committed (R095).
//!
//! The toolchain that workspace members are built with has no target for modules, so the packages of Debian that
//! `guests/modules.toml` names are downloaded into the user's cache and unpacked there; nothing is installed. `core` comes out of
//! its sources, with the same flags, and no registry is asked. Each module is built from two folders, and both must give the
//! same bytes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use symphony_types::digest::Digest;
use xtask::repo;

use crate::cargo;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Writes modules and digests instead of comparing
    #[arg(long)]
    write: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let catalogue = Catalogue::read()?;
    let toolchain = Toolchain::ready(&catalogue)?;
    let here = repo::root().join("guests");
    let work = work_folder();
    let copy = work.join("copied").join("elsewhere");
    copied(&here, &copy, &catalogue)?;
    let mut differing = Vec::new();
    for name in catalogue.modules.keys() {
        let bytes = toolchain.module(name, &here, &work.join("first"))?;
        let again = toolchain.module(name, &copy, &work.join("second"))?;
        ensure!(bytes == again, "{name}: two folders give different bytes");
        println!("{name}: {} bytes, {}", bytes.len(), Digest::of_bytes(&bytes));
        if args.write {
            fs::write(built(name), &bytes).with_context(|| format!("writing {name}.wasm"))?;
        } else if fs::read(built(name)).ok().as_deref() != Some(bytes.as_slice()) {
            differing.push(name.as_str());
        }
    }
    if args.write {
        catalogue.write_digests()?;
        return verify();
    }
    if !differing.is_empty() {
        let names = differing.join(", ");
        bail!("not what the sources give: {names}; if it should be: cargo xtask guests --write");
    }
    verify()
}

/// Compares committed modules and sources with their digests, without a build.
pub(crate) fn verify() -> Result<()> {
    let catalogue = Catalogue::read()?;
    for (name, digests) in &catalogue.modules {
        let bytes = fs::read(built(name)).with_context(|| format!("reading {name}.wasm"))?;
        let measured = Digest::of_bytes(&bytes).to_hex();
        ensure!(
            digests.module == measured,
            "{name}.wasm is not the module of guests/modules.toml: {measured}"
        );
        let source = catalogue.source(name)?;
        let stale =
            format!("the sources of {name} or the recipe have changed; build it: cargo xtask guests --write");
        ensure!(digests.source == source, stale);
    }
    let there = fs::read_dir(repo::root().join("guests/built")).context("listing guests/built")?;
    ensure!(
        there.count() == catalogue.modules.len(),
        "guests/built has files that no module of the catalogue is"
    );
    Ok(())
}

/// What `guests/modules.toml` says about how modules are built.
struct Catalogue {
    text: String,
    packages: Vec<String>,
    rustc: Vec<String>,
    linker: Vec<String>,
    /// In the order of their names.
    modules: BTreeMap<String, Digests>,
}

struct Digests {
    module: String,
    source: String,
}

impl Catalogue {
    fn read() -> Result<Self> {
        let text = fs::read_to_string(catalogue_path()).context("reading guests/modules.toml")?;
        let table: toml::Table = text.parse().context("reading guests/modules.toml")?;
        let recipe = table.get("recipe").context("guests/modules.toml has no recipe")?;
        let list = |key: &str| -> Result<Vec<String>> {
            let values = recipe.get(key).and_then(toml::Value::as_array);
            let values = values.with_context(|| format!("the recipe has no {key}"))?;
            values.iter().map(|value| text_of(Some(value), key)).collect()
        };
        let (packages, rustc, linker) = (list("packages")?, list("rustc")?, list("linker")?);
        let mut modules = BTreeMap::new();
        for entry in table.get("module").and_then(toml::Value::as_array).context("no modules")? {
            let name = text_of(entry.get("declaration").and_then(|table| table.get("name")), "name")?;
            let module = text_of(entry.get("sha256"), "sha256")?;
            let source = text_of(entry.get("source"), "source")?;
            modules.insert(name, Digests { module, source });
        }
        Ok(Self { text, packages, rustc, linker, modules })
    }

    /// The digest of everything that a module is made of: its sources, those of the ABI, the recipe.
    fn source(&self, name: &str) -> Result<String> {
        let mut parts = Vec::new();
        for path in sources(&repo::root().join("guests"), name)? {
            let bytes = fs::read(repo::root().join("guests").join(&path));
            let bytes = bytes.with_context(|| format!("reading {}", path.display()))?;
            parts.push((path.to_string_lossy().into_owned(), bytes));
        }
        let recipe = (&self.packages, &self.rustc, &self.linker);
        Ok(Digest::of("symphony.guest-source.v1", &(parts, recipe)).to_hex())
    }

    /// Puts the digests of what is there into the two lines of each module.
    fn write_digests(&self) -> Result<()> {
        let names: Vec<String> = self
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"').map(str::to_owned))
            .collect();
        let (mut modules, mut of_sources) = (names.iter(), names.iter());
        let mut out = String::new();
        for line in self.text.lines() {
            if line.starts_with("sha256 = ") {
                let name = modules.next().context("a digest without a module")?;
                let bytes = fs::read(built(name)).with_context(|| format!("reading {name}.wasm"))?;
                out += &format!("sha256 = \"{}\"\n", Digest::of_bytes(&bytes));
            } else if line.starts_with("source = ") {
                let name = of_sources.next().context("a digest without a module")?;
                out += &format!("source = \"{}\"\n", self.source(name)?);
            } else {
                out += line;
                out.push('\n');
            }
        }
        fs::write(catalogue_path(), out).context("writing guests/modules.toml")
    }
}

/// Compiler and linker, unpacked, with `core` built by them.
struct Toolchain {
    root: PathBuf,
    libraries: PathBuf,
    rustc: Vec<String>,
    linker: Vec<String>,
}

impl Toolchain {
    fn ready(catalogue: &Catalogue) -> Result<Self> {
        let packages = Digest::of("symphony.guest-packages.v1", &catalogue.packages).to_hex();
        let root = work_folder().join("toolchain").join(&packages[..16]);
        if !root.join(DONE).is_file() {
            unpack(&catalogue.packages, &root)?;
        }
        let flags = Digest::of("symphony.guest-flags.v1", &catalogue.rustc).to_hex();
        let libraries = root.join("libraries").join(&flags[..16]);
        let (rustc, linker) = (catalogue.rustc.clone(), catalogue.linker.clone());
        let toolchain = Self { root, libraries, rustc, linker };
        if !toolchain.libraries.join(DONE).is_file() {
            toolchain.build_libraries()?;
        }
        Ok(toolchain)
    }

    fn build_libraries(&self) -> Result<()> {
        println!("building core for modules; once for this recipe");
        fs::create_dir_all(&self.libraries).context("making the folder of libraries")?;
        let library = self.root.join(LIBRARY_SOURCES);
        let whole = ["-Zforce-unstable-if-unmarked", "--cap-lints=allow", "--crate-type=rlib"];
        let mut core = self.compiler();
        core.args(whole).arg("--crate-name=core").arg(library.join("core/src/lib.rs"));
        cargo::output(core.arg("--out-dir").arg(&self.libraries))?;
        let mut builtins = self.compiler();
        builtins.args(whole).arg("--crate-name=compiler_builtins").args(self.externs(&["core"]));
        for feature in ["compiler-builtins", "mem", "unmangled-names"] {
            builtins.arg("--cfg").arg(format!("feature=\"{feature}\""));
        }
        builtins.arg(library.join("compiler-builtins/compiler-builtins/src/lib.rs"));
        cargo::output(builtins.arg("--out-dir").arg(&self.libraries))?;
        fs::write(self.libraries.join(DONE), "").context("noting that libraries are built")
    }

    /// One module out of the sources in `guests`; what is made on the way goes to `out`.
    fn module(&self, name: &str, guests: &Path, out: &Path) -> Result<Vec<u8>> {
        fs::create_dir_all(out).context("making the folder of objects")?;
        let mut abi = self.compiler();
        abi.args(["--crate-name=symphony_guest_abi", "--crate-type=rlib"]);
        abi.args(self.externs(&["core", "compiler_builtins"])).arg(guests.join("abi/src/lib.rs"));
        cargo::output(abi.arg("--out-dir").arg(out))?;
        let object = out.join(format!("{name}.o"));
        let mut guest = self.compiler();
        guest.args([format!("--crate-name=symphony_guest_{name}"), "--crate-type=lib".into()]);
        guest.args(self.externs(&["core", "compiler_builtins"]));
        guest.arg(joined("--extern=symphony_guest_abi=", &out.join("libsymphony_guest_abi.rlib")));
        guest.arg(joined("--emit=obj=", &object)).arg(guests.join(name).join("src/lib.rs"));
        cargo::output(&mut guest)?;
        let module = out.join(format!("{name}.wasm"));
        let mut link = self.program(LINKER);
        link.args(&self.linker).arg(&object).arg(self.libraries.join("libcompiler_builtins.rlib"));
        cargo::output(link.arg("-o").arg(&module))?;
        fs::read(&module).with_context(|| format!("reading the new {name}.wasm"))
    }

    fn compiler(&self) -> Command {
        let mut command = self.program(COMPILER);
        command.env("RUSTC_BOOTSTRAP", "1").args(&self.rustc).arg("-L").arg(&self.libraries);
        command
    }

    fn externs(&self, names: &[&str]) -> Vec<OsString> {
        let path = |name: &&str| self.libraries.join(format!("lib{name}.rlib"));
        names.iter().map(|name| joined(&format!("--extern={name}="), &path(name))).collect()
    }

    fn program(&self, path: &str) -> Command {
        let mut command = Command::new(self.root.join(path));
        command.env("LD_LIBRARY_PATH", self.root.join(SHARED_LIBRARIES));
        command
    }
}

/// Downloads packages by the package manager and unpacks them into a folder of their own.
fn unpack(packages: &[String], root: &Path) -> Result<()> {
    let downloads = root.join("packages");
    fs::create_dir_all(&downloads).context("making the folder of packages")?;
    println!("downloading {}", packages.join(" "));
    let mut download = Command::new("apt-get");
    download.arg("download").args(packages).current_dir(&downloads);
    cargo::output(&mut download).with_context(|| {
        let names = packages.join(" ");
        format!("these packages of Debian 12 are missing: {names}; `apt-get update` may make them known")
    })?;
    let mut files: Vec<PathBuf> = fs::read_dir(&downloads)
        .context("listing the packages")?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    for file in &files {
        cargo::output(Command::new("dpkg").arg("-x").arg(file).arg(root))?;
    }
    fs::write(root.join(DONE), "").context("noting that packages are unpacked")
}

/// The sources of a guest and of the ABI, as paths below the folder of guests, sorted.
fn sources(guests: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for krate in ["abi", name] {
        let mut folders = vec![PathBuf::from(krate).join("src")];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(guests.join(&folder));
            for entry in entries.with_context(|| format!("listing {}", folder.display()))? {
                let entry = entry?;
                let path = folder.join(entry.file_name());
                if entry.file_type()?.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
    }
    found.sort();
    Ok(found)
}

fn copied(from: &Path, to: &Path, catalogue: &Catalogue) -> Result<()> {
    for name in catalogue.modules.keys() {
        for path in sources(from, name)? {
            let place = to.join(&path);
            fs::create_dir_all(place.parent().unwrap_or(to)).context("making the folder of the copy")?;
            fs::copy(from.join(&path), &place).with_context(|| format!("copying {}", path.display()))?;
        }
    }
    Ok(())
}

fn text_of(value: Option<&toml::Value>, key: &str) -> Result<String> {
    let text = value.and_then(toml::Value::as_str);
    text.map(str::to_owned).with_context(|| format!("guests/modules.toml: {key} is no text"))
}

fn joined(prefix: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(prefix);
    argument.push(path);
    argument
}

fn built(name: &str) -> PathBuf {
    repo::root().join("guests/built").join(format!("{name}.wasm"))
}

fn catalogue_path() -> PathBuf {
    repo::root().join("guests/modules.toml")
}

fn work_folder() -> PathBuf {
    repo::target_dir().unwrap_or_else(|| repo::root().join("target")).join("guests")
}

const COMPILER: &str = "usr/bin/rustc";
const LINKER: &str = "usr/lib/llvm-14/bin/wasm-ld";
const SHARED_LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
const LIBRARY_SOURCES: &str = "usr/src/rustc-1.96.0/library";
const DONE: &str = "done";
