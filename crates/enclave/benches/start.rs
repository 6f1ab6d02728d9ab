//! How long an enclave takes from the start of its process to its boot report, without a module to compile, beside a process that
//! does nothing and the measurement of the program's bytes, which every start begins with (R121, R122).

use std::path::Path;
use std::process::Command;

use symphony_tee::boot::{Boot, Identity};
use symphony_tee::host::EnclaveProcess;
use symphony_tee::keys::PlatformSeed;
use symphony_tee::machine::EnclaveMachine;
use symphony_tee::measure;
use symphony_tee::report::EnclaveRole;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, NodeId};

use crate::pairs::{compare, per_unit, print};

#[path = "../../compute/benches/pairs/mod.rs"]
mod pairs;

fn main() {
    // Another build of it, such as one without its debug information, which is most of a development build's bytes.
    let other = std::env::var_os("SYMPHONY_BENCH_ENCLAVE");
    let program = other.as_deref().map_or(Path::new(env!("CARGO_BIN_EXE_symphony-enclave")), Path::new);
    let folder = tempfile::tempdir().expect("a folder for the log");
    let log = folder.path().join("enclave.log");
    let start =
        || per_unit(1, || drop(EnclaveProcess::spawn(program, boot(), &log).expect("an enclave starts")));
    let nothing = || per_unit(1, || drop(Command::new("/bin/true").status()));
    let measured = || per_unit(1, || drop(measure::program(program)));
    let rows = [
        compare(("enclave", start), ("a process that does nothing", nothing), PAIRS),
        compare(("enclave", start), ("its program measured", measured), PAIRS),
    ];
    print("start: one enclave process, to its boot report", "start", &rows);
}

fn boot() -> Boot {
    Boot {
        identity: Identity {
            chain: "bench".into(),
            node: NodeId::new("master-1").expect("a name"),
            actor: ActorId::new("aggregator").expect("a name"),
            role: EnclaveRole::Aggregator,
        },
        machine: EnclaveMachine::Software(PlatformSeed::new([7; 32])),
        nonce: Digest([5; 32]),
        sealed_keys: None,
        ready: Vec::new(),
    }
}

/// Pairs of measurements.
const PAIRS: usize = 15;
