//! The Move contracts: fetch the compiler and the VM, build, test, compare the ABI, try the official clients, measure, serve.
//!
//! Compiler and VM are two libraries of one npm package whose licence (BSL 1.1) allows any use but production. They are downloaded
//! into the user's cache, compared with pinned digests, and loaded by the development chain's own process, never by this one.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, anyhow, ensure};
use symphony_types::digest::Digest;
use xtask::repo;

use crate::cargo;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Task,
}

#[derive(clap::Subcommand)]
enum Task {
    /// Downloads the compiler and the VM into the cache
    Fetch,
    /// Builds the contracts, over the stand-in or over the framework in `APTOS_FRAMEWORK_DIR`; the bytecode is the same
    Build,
    /// Runs the Move unit tests, then compares the contracts with the reference ledger
    Test {
        /// Only Move unit tests whose name holds this, and no comparison
        filter: Option<String>,
    },
    /// Compares ABI and bytecode of the contracts with what is committed
    Abi {
        /// Writes them instead
        #[arg(long)]
        write: bool,
    },
    /// Has the official clients in Rust, Python and TypeScript run one script against the development chain
    Clients,
    /// Runs a network of real processes with its money in the contracts
    Network,
    /// Measures claims, a batch of 1,000 payees, transfers and the time to a confirmation
    Bench,
    /// Serves a development chain until it is stopped
    Serve {
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:8090")]
        listen: String,
    },
    /// Format and lints of the development chain, which is a workspace of its own
    Check,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.command {
        Task::Fetch => Tool::ready().map(|tool| println!("move: the tool is in {}", tool.shown())),
        Task::Build => compare_bytecode(&build(&Tool::ready()?)?, false),
        Task::Test { filter } => test(filter.as_deref()),
        Task::Abi { write } => abi(*write),
        Task::Clients => clients(),
        Task::Network => network(),
        Task::Bench => bench(),
        Task::Serve { listen } => serve(listen),
        Task::Check => check(),
    }
}

/// The two libraries.
struct Tool {
    compiler: PathBuf,
    vm: PathBuf,
}

impl Tool {
    /// Finds or downloads the tool. **Errors**: why it cannot be had, or that it is another one.
    fn ready() -> Result<Self> {
        Self::find()?
    }

    /// As [`Self::ready`], but that it cannot be had is no error yet. **Errors**: what is there is not what is pinned.
    fn find() -> Result<Result<Self>> {
        let end = match (env::consts::OS, env::consts::ARCH) {
            ("linux", "x86_64") => "x86_64.so",
            ("linux", "aarch64") => "aarch64.so",
            ("macos", _) => "dylib",
            (system, machine) => return Ok(Err(anyhow!("the tool is not made for {system} on {machine}"))),
        };
        let folder = work_folder().join("tool").join(VERSION);
        let library = folder.join("package").join("library");
        let tool = Self {
            compiler: library.join(format!("libcompiler.{end}")),
            vm: library.join(format!("libmovevm.{end}")),
        };
        if !tool.compiler.is_file() || !tool.vm.is_file() {
            match downloaded(&folder) {
                Ok(archive) => unpacked(&archive, &folder)?,
                Err(reason) => return Ok(Err(reason)),
            }
        }
        for path in [&tool.compiler, &tool.vm] {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let pinned = LIBRARIES.iter().find(|(known, _)| *known == name).map(|(_, digest)| *digest);
            check_digest(path, pinned.context("a library without a pinned digest")?)?;
        }
        Ok(Ok(tool))
    }

    fn shown(&self) -> String {
        self.vm.parent().unwrap_or(&self.vm).display().to_string()
    }
}

/// Scripts of the package are not run: they would download more.
fn downloaded(folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).context("making the tool's folder")?;
    println!(
        "move: downloading {PACKAGE}@{VERSION}, 59 MB; its licence is BSL 1.1: development and tests only"
    );
    let mut pack = Command::new("npm");
    pack.args(["pack", "--ignore-scripts", "--silent", &format!("{PACKAGE}@{VERSION}")]).current_dir(folder);
    cargo::output(&mut pack).context("npm cannot have the tool")?;
    Ok(folder.join(format!("initia-builder.js-{VERSION}.tgz")))
}

fn unpacked(archive: &Path, folder: &Path) -> Result<()> {
    check_digest(archive, ARCHIVE)?;
    cargo::output(Command::new("tar").arg("xzf").arg(archive).current_dir(folder))
        .context("unpacking the tool")?;
    fs::remove_file(archive).context("removing the archive")
}

fn check_digest(path: &Path, pinned: &str) -> Result<()> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let measured = Digest::of_bytes(&bytes).to_hex();
    ensure!(measured == pinned, "{} has the digest {measured}, pinned is {pinned}", path.display());
    Ok(())
}

/// Copies both packages into the build folder, so that nothing is written beside the sources, and builds them there.
fn build(tool: &Tool) -> Result<PathBuf> {
    build_devchain()?;
    let packages = prepared()?;
    for package in [STAND_IN, CONTRACTS] {
        let mut build = devchain();
        build.arg("build").arg("--compiler").arg(&tool.compiler).arg(packages.join(package));
        cargo::run(build.env("RUST_BACKTRACE", "0"))?;
    }
    Ok(packages)
}

/// The two packages, the contracts with a manifest for the stand-in or for the framework in `APTOS_FRAMEWORK_DIR`.
fn prepared() -> Result<PathBuf> {
    let packages = work_folder().join("packages");
    if packages.exists() {
        fs::remove_dir_all(&packages).context("removing the packages of the last build")?;
    }
    for package in [STAND_IN, CONTRACTS] {
        copied(&repo::root().join("contracts").join(package), &packages.join(package))?;
    }
    let framework = match env::var_os("APTOS_FRAMEWORK_DIR").filter(|folder| !folder.is_empty()) {
        Some(folder) => {
            let folder = PathBuf::from(folder).canonicalize().context("APTOS_FRAMEWORK_DIR")?;
            println!("move: over the framework in {}", folder.display());
            folder.display().to_string()
        }
        None => format!("../{STAND_IN}"),
    };
    let manifest = format!(
        "[package]\nname = \"Symphony\"\nversion = \"0.1.0\"\n\n[addresses]\nsymphony = \"{ADDRESS}\"\n\
         deployer = \"{DEPLOYER}\"\n\n[dependencies]\nAptosFramework = {{ local = \"{framework}\" }}\n"
    );
    fs::write(packages.join(CONTRACTS).join("Move.toml"), manifest).context("writing the manifest")?;
    Ok(packages)
}

fn copied(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).context("making a package's folder")?;
    for entry in fs::read_dir(from).with_context(|| format!("listing {}", from.display()))? {
        let entry = entry?;
        let (path, place) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copied(&path, &place)?;
        } else {
            fs::copy(&path, &place).with_context(|| format!("copying {}", path.display()))?;
        }
    }
    Ok(())
}

fn test(filter: Option<&str>) -> Result<()> {
    let tool = match Tool::find()? {
        Ok(tool) => tool,
        Err(reason) => {
            println!("skipped: {reason:#}");
            println!(
                "skipped: not run: the Move unit tests, the comparison with the reference ledger, the ABI"
            );
            return Ok(());
        }
    };
    let packages = build(&tool)?;
    let mut unit = devchain();
    unit.arg("test").arg("--compiler").arg(&tool.compiler).arg(packages.join(CONTRACTS));
    if let Some(filter) = filter {
        return cargo::run(unit.arg("--filter").arg(filter).env("RUST_BACKTRACE", "0"));
    }
    cargo::run(unit.env("RUST_BACKTRACE", "0"))?;
    // The unit tests leave modules with test code in them.
    build(&tool)?;
    compare_abi(&tool, &packages, false)?;
    let mut rust = devchain_cargo(["test", "--locked", "--", "--include-ignored"]);
    rust.env("SYMPHONY_MOVE_VM", &tool.vm).env("SYMPHONY_MOVE_PACKAGES", &packages);
    cargo::run(&mut rust)
}

fn abi(write: bool) -> Result<()> {
    let tool = Tool::ready()?;
    let packages = build(&tool)?;
    compare_abi(&tool, &packages, write)
}

fn compare_abi(tool: &Tool, packages: &Path, write: bool) -> Result<()> {
    let mut abi = devchain();
    with_tool(abi.arg("abi"), tool, packages).arg(repo::root().join("contracts").join("abi"));
    if write {
        abi.arg("--write");
    }
    cargo::run(&mut abi)?;
    compare_bytecode(packages, write)
}

/// The digest of all modules: the same on every machine and over every framework with the same public signatures.
fn compare_bytecode(packages: &Path, write: bool) -> Result<()> {
    let folder = packages.join(CONTRACTS).join("build/Symphony/bytecode_modules");
    let mut modules = BTreeMap::new();
    for entry in fs::read_dir(&folder).context("listing the built modules")? {
        let path = entry?.path();
        // Beside the contracts lie their dependencies, in a folder of their own.
        if path.extension().is_some_and(|end| end == "mv") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            modules.insert(name, fs::read(&path).context("reading a module")?);
        }
    }
    let digest = Digest::of("symphony.contracts.v1", &modules).to_hex();
    let pinned = repo::root().join("contracts").join("bytecode.txt");
    if write {
        fs::write(&pinned, format!("{digest}\n")).context("writing the digest of the bytecode")?;
    }
    let there = fs::read_to_string(&pinned).context("reading the digest of the bytecode")?;
    ensure!(
        there.trim() == digest,
        "the bytecode is {digest}, committed is {}; if it should be: cargo xtask move abi --write",
        there.trim()
    );
    println!("move: {} modules, bytecode {digest}", modules.len());
    Ok(())
}

fn clients() -> Result<()> {
    let tool = Tool::ready()?;
    let packages = build(&tool)?;
    let folder = work_folder().join("clients");
    let mut node = Node::start(&tool, &packages, "127.0.0.1:0")?;
    let rust = devchain().args(["client", &node.url, "31"]).output().context("the Rust client")?;
    ensure!(rust.status.success(), "the Rust client: {}", String::from_utf8_lossy(&rust.stderr));
    let expected = facts(&rust.stdout)?;
    println!("clients: Rust: {expected}");
    let scripts = repo::root().join("crates/devchain/clients");
    match python(&folder) {
        Err(reason) => println!("skipped: the Python client was not run: {reason:#}"),
        Ok(libraries) => {
            let mut script = Command::new("python3");
            script.arg(scripts.join("facts.py")).args([&node.url, &node.contracts, "32"]);
            same("Python", script.env("PYTHONPATH", libraries), &expected)?;
        }
    }
    match node_modules(&folder) {
        Err(reason) => println!("skipped: the TypeScript client was not run: {reason:#}"),
        Ok(libraries) => {
            let mut script = Command::new("node");
            script.arg(scripts.join("facts.mjs")).args([&node.url, &node.contracts, "33"]);
            same("TypeScript", script.env("SYMPHONY_CLIENTS", libraries), &expected)?;
        }
    }
    node.stop()
}

fn same(client: &str, script: &mut Command, expected: &serde_json::Value) -> Result<()> {
    let printed = cargo::output(script).with_context(|| format!("the {client} client"))?;
    let found = facts(&printed)?;
    ensure!(found == *expected, "the {client} client finds {found}");
    println!("clients: {client}: the same");
    Ok(())
}

/// The last line that a client printed.
fn facts(printed: &[u8]) -> Result<serde_json::Value> {
    let text = String::from_utf8_lossy(printed);
    let line = text.lines().last().context("a client printed nothing")?;
    serde_json::from_str(line).with_context(|| format!("a client printed {line}"))
}

fn python(folder: &Path) -> Result<PathBuf> {
    let libraries = folder.join("python");
    if !libraries.join("aptos_sdk").is_dir() {
        let mut install = Command::new("python3");
        install.args(["-m", "pip", "install", "--quiet", PYTHON_CLIENT, "--target"]).arg(&libraries);
        cargo::output(&mut install).context("pip cannot have the client")?;
    }
    Ok(libraries)
}

fn node_modules(folder: &Path) -> Result<PathBuf> {
    let place = folder.join("node");
    if !place.join("node_modules/@aptos-labs/ts-sdk").is_dir() {
        fs::create_dir_all(&place).context("making the client's folder")?;
        let mut install = Command::new("npm");
        install.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--prefix"]);
        cargo::output(install.arg(&place).arg(NODE_CLIENT)).context("npm cannot have the client")?;
    }
    Ok(place)
}

/// A development chain in a process of its own.
struct Node {
    process: Child,
    contracts: String,
    url: String,
}

impl Node {
    fn start(tool: &Tool, packages: &Path, listen: &str) -> Result<Self> {
        let mut serve = devchain();
        with_tool(serve.arg("serve"), tool, packages).args(["--listen", listen]).stdout(Stdio::piped());
        let mut process = serve.spawn().context("starting the development chain")?;
        let output = process.stdout.take().context("the development chain has no output")?;
        let mut lines = BufReader::new(output).lines();
        let mut next = |mark: &str| -> Result<String> {
            let line = lines.next().context("the development chain ended")?.context("reading its output")?;
            line.strip_prefix(mark).map(str::to_owned).with_context(|| format!("it says {line}"))
        };
        let (contracts, url) = (next("contracts ")?, next("listening ")?);
        Ok(Self { process, contracts, url })
    }

    fn stop(&mut self) -> Result<()> {
        self.process.kill().context("stopping the development chain")?;
        self.process.wait().context("stopping the development chain")?;
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // After `stop` there is nothing left to end.
        let _ = self.stop();
    }
}

fn network() -> Result<()> {
    let [_, tool @ ..] = environment()?;
    cargo::build_bins()?;
    let test = "money::a_campaign_is_paid_by_the_contracts";
    let mut run = cargo::cargo(["test", "--locked", "--workspace", "--test", "it", test]);
    cargo::run(run.envs(tool).args(["--", "--include-ignored"]))
}

fn bench() -> Result<()> {
    let tool = Tool::ready()?;
    let packages = build(&tool)?;
    let mut bench = devchain();
    cargo::run(with_tool(bench.arg("bench"), &tool, &packages))
}

fn serve(listen: &str) -> Result<()> {
    let tool = Tool::ready()?;
    let packages = build(&tool)?;
    let mut serve = devchain();
    cargo::run(with_tool(serve.arg("serve"), &tool, &packages).args(["--listen", listen]))
}

/// What `symphonyd dev --chain move` reads from its environment, once the tool is there and everything is built.
pub(crate) fn environment() -> Result<[(&'static str, PathBuf); 3]> {
    let tool = Tool::ready()?;
    let packages = build(&tool)?;
    Ok([
        ("SYMPHONY_CHAIN", "move".into()),
        ("SYMPHONY_MOVE_VM", tool.vm),
        ("SYMPHONY_MOVE_PACKAGES", packages),
    ])
}

fn check() -> Result<()> {
    format(false)?;
    cargo::run(devchain_cargo(["clippy", "--all-targets", "--locked"]).args(["--", "-D", "warnings"]))
}

/// Writes or checks the format of the development chain, which needs no build.
pub(crate) fn format(write: bool) -> Result<()> {
    let mut format = devchain_cargo(["fmt"]);
    if !write {
        format.arg("--check");
    }
    cargo::run(&mut format)
}

fn build_devchain() -> Result<()> {
    cargo::run(&mut devchain_cargo(["build", "--quiet", "--locked"]))
}

fn devchain_cargo<const N: usize>(args: [&str; N]) -> Command {
    let mut command = cargo::cargo(args);
    command.current_dir(repo::root().join("crates/devchain"));
    command
}

fn devchain() -> Command {
    cargo::program("symphony-devchain")
}

fn with_tool<'a>(command: &'a mut Command, tool: &Tool, packages: &Path) -> &'a mut Command {
    command.arg("--vm").arg(&tool.vm).arg("--packages").arg(packages)
}

fn work_folder() -> PathBuf {
    repo::target_dir().unwrap_or_else(|| repo::root().join("target")).join("move")
}

const PACKAGE: &str = "@initia/builder.js";
const VERSION: &str = "0.2.12";
const ARCHIVE: &str = "5673ac3c30333586365b05a3185561cca8220f6f91e162d20adc41c645951b56";
const LIBRARIES: [(&str, &str); 6] = [
    ("libcompiler.x86_64.so", "5f16fe2eeebdc2b460d73707791a09f27c45909c03b47f22061475bbbd923102"),
    ("libmovevm.x86_64.so", "17ae2c91248e642a246eb792f6a568d86f10ca1881f9d8c228da8da80dc7c0cb"),
    ("libcompiler.aarch64.so", "5c3317b6d805bedcd5e865cb19cd29af6bbf3e404d82d0f39decbd957a16e5e8"),
    ("libmovevm.aarch64.so", "c4ed4053ac8652869480cf76773007a38215595d8d084cd59e05d3d666099267"),
    ("libcompiler.dylib", "4e10ec3c2dbc8d05ac103ec837ff232931805ec65a772b5e38074984de4909a2"),
    ("libmovevm.dylib", "b7fe6f4a8994dbda2138d67be3dfa4e99d00825f6c95cc9341b44dca1219d28a"),
];
const PYTHON_CLIENT: &str = "aptos-sdk==0.11.0";
const NODE_CLIENT: &str = "@aptos-labs/ts-sdk@7.3.0";
const STAND_IN: &str = "framework-standin";
const CONTRACTS: &str = "symphony";
/// Who deploys on a development chain, and the resource account of it and the seed `symphony`.
const DEPLOYER: &str = "0xd";
const ADDRESS: &str = "0xa02d5a01053fc7de3eed459801e90f2e2cfcab199bdec3a261a3237e3e0bdb02";
