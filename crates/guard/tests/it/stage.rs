//! A cluster of three with one real guard process for seat 0; the other two seats sign whatever a test wants.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use symphony_consensus::quorum::committee::{
    Ballot, Certificate, Committee, GuardBoot, Member, Rotation, Seat, Step,
};
use symphony_consensus::quorum::guard::{Ask, VoteGuard as _};
use symphony_consensus::quorum::socket::RemoteGuard;
use symphony_tee::keys::PlatformSeed;
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::NodeId;
use symphony_types::key::{Consensus, PrivateKey};

pub(crate) const A: Option<Digest> = Some(Digest([0xa; 32]));
pub(crate) const B: Option<Digest> = Some(Digest([0xb; 32]));

pub(crate) fn key(seat: u8) -> PrivateKey<Consensus> {
    PrivateKey::from_seed(&[seat + 1; 32])
}

pub(crate) fn platform(seat: u8) -> PlatformSeed {
    PlatformSeed::new([seat + 101; 32])
}

pub(crate) fn founding() -> Committee {
    let member = |seat: u8| Member {
        node: NodeId::new(&format!("master-{}", seat + 1)).unwrap(),
        key: key(seat).public(),
        platform: platform(seat).public(),
        since: 1,
        boot: None,
    };
    Committee::founding(Digest([7; 32]), (0..3).map(member).collect())
}

pub(crate) fn ask(height: u64, round: u32, step: Step, block: Option<Digest>) -> Ask {
    Ask { height, round, step, block, polka: None }
}

/// A precommit with the prevotes of seats 1 and 2.
pub(crate) fn precommit(height: u64, round: u32, block: Option<Digest>) -> Ask {
    let step = Step::Prevote;
    let ballot = Ballot { cluster: founding().cluster, height, round, step, block };
    let signatures = [1, 2].map(|seat| (Seat(seat), key(seat).sign(ballot).signature)).to_vec();
    let polka = Some(Certificate { height, round, step, block: block.unwrap(), signatures });
    Ask { polka, ..ask(height, round, Step::Precommit, block) }
}

/// The folder of a guard that may be started many times.
pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new(admission: &str) -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        fs::write(bench.path("committee.bcs"), canonical::to_bytes(&founding())).unwrap();
        fs::write(bench.path("platform.seed"), platform(0).expose().map(|b| format!("{b:02x}")).concat())
            .unwrap();
        bench.put_founding_seed();
        bench.admit(admission);
        bench
    }

    /// Writes the configuration.
    pub(crate) fn admit(&self, admission: &str) {
        let text = format!(
            "node = \"master-1\"\nseat = 0\ncommittee = \"committee.bcs\"\nplatform_seed = \"platform.seed\"\n\
             founding_seed = \"founding.seed\"\nsocket = \"run/guard.sock\"\nstate = \"state\"\n\
             admission = \"{admission}\"\n"
        );
        fs::write(self.path("guard.toml"), text).unwrap();
    }

    pub(crate) fn put_founding_seed(&self) {
        fs::write(self.path("founding.seed"), "01".repeat(32)).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn host(&self) -> RemoteGuard {
        RemoteGuard::new(&self.path("run/guard.sock"), founding().cluster, Seat(0))
    }

    fn spawn(&self) -> Child {
        Command::new(env!("CARGO_BIN_EXE_symphony-guard"))
            .arg("--supervised")
            .arg("--config")
            .arg(self.path("guard.toml"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(fs::File::create(self.path("log")).unwrap()))
            .spawn()
            .unwrap()
    }

    /// Starts the guard and waits until it serves.
    pub(crate) fn start(&self) -> Running {
        let mut child = self.spawn();
        let lifeline = child.stdin.take();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert!(ready.starts_with("guard of master-1 ready: "), "{ready:?}: {}", self.log());
        Running { child, lifeline, ready }
    }

    /// Starts a guard that does not come up, and returns what it says.
    pub(crate) fn refused(&self) -> String {
        let mut child = self.spawn();
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(!child.wait().unwrap().success());
        assert_eq!(said, "");
        self.log()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }
}

/// A guard that runs; killed on drop.
pub(crate) struct Running {
    pub(crate) child: Child,
    lifeline: Option<ChildStdin>,
    pub(crate) ready: String,
}

impl Running {
    /// SIGKILL, as a power cut without the disk.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What the supervisor's end does.
    pub(crate) fn orphan(mut self) -> ExitStatus {
        self.lifeline = None;
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The committee after the cluster has admitted this guard's new key in a block of `height`.
pub(crate) fn admitted(host: &mut RemoteGuard, height: u64) -> Committee {
    let boot = host.identity().unwrap().boot.expect("a new key says of itself what it is");
    assert!(boot.verify(&platform(0).public()));
    founding().rotated(height, &[Rotation { seat: Seat(0), boot }]).unwrap()
}

/// The committee after seat 1 has got a new key in the block of height 1.
pub(crate) fn rotated() -> Committee {
    let boot = platform(1).quoting_key().sign(GuardBoot {
        cluster: founding().cluster,
        node: founding().members[1].node.clone(),
        key: key(11).public(),
        nonce: Digest([1; 32]),
    });
    founding().rotated(1, &[Rotation { seat: Seat(1), boot }]).unwrap()
}
