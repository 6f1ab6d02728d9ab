//! Three masters with their guards as six processes of this machine, made as `symphonyd dev` makes a network. All of
//! them are killed on drop.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use symphony_types::canonical;
use symphony_types::id::NodeId;
use symphony_wire::tls::authority::Authority;
use symphony_wire::tls::{self, Channel, Credentials, NodeRole, Peer};
use symphony_wire::v1::Blob;
use symphony_wire::v1::master_node_client::MasterNodeClient;

use crate::cpu;
use crate::load::{self, Sample, Span};
use crate::member;
use crate::network::Network;
use crate::report::Measured;
use crate::workload::Workload;

/// Masters of a cluster.
pub(crate) const MASTERS: usize = 3;
/// The longest that a process may take to say anything but the end of a load.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running cluster.
pub(crate) struct Cluster {
    dir: PathBuf,
    network: Network,
    members: Vec<Option<Running>>,
    /// Loads so far: each has a name of its own.
    runs: usize,
    _folder: tempfile::TempDir,
}

/// Where a master stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Commands in its journal.
    pub(crate) height: u64,
    /// Whether it makes the next block.
    pub(crate) leads: bool,
}

impl Cluster {
    /// Makes a network in a new folder.
    pub(crate) fn create(folder: &Path, admission: &str) -> Result<Self> {
        let folder = tempfile::tempdir_in(folder).context("the folder is not writable")?;
        let dir = folder.path().join("n");
        create(&dir, admission)?;
        let network = Network::load(&dir.join("network.bcs"))?;
        ensure!(network.masters.len() == MASTERS, "a network of {MASTERS} masters");
        Ok(Self { dir, network, members: Vec::new(), runs: 0, _folder: folder })
    }

    /// Makes a network in a new folder and starts its masters and guards.
    pub(crate) fn start(folder: &Path, admission: &str) -> Result<Self> {
        let mut cluster = Self::create(folder, admission)?;
        for seat in 0..MASTERS {
            let running = cluster.spawn(seat)?;
            cluster.members.push(Some(running));
        }
        for seat in 0..MASTERS {
            cluster.ready(seat)?;
        }
        Ok(cluster)
    }

    /// Measures clients inside the masters: one client at the leader, more of them spread over all masters.
    pub(crate) fn measure_inside(&mut self, clients: usize, span: Span) -> Result<Measured> {
        let spread = if clients == 1 { vec![(self.leader()?, 1)] } else { spread(clients, &[0, 1, 2]) };
        let before = cpu::used(&self.processes());
        let from = load::now();
        let samples = self.load(&spread, span.whole())?;
        let used = cpu::used(&self.processes()) - before;
        Ok(Measured::new(samples, from, span, used, Duration::ZERO))
    }

    /// Measures the same clients in this process, each call over mutual TLS.
    pub(crate) async fn measure_called(&mut self, clients: usize, span: Span) -> Result<Measured> {
        let doors = self.doors()?;
        let doors = if clients == 1 { vec![doors[self.leader()?].clone()] } else { doors };
        let run = self.run();
        let workload = Workload::new(&self.dir, &self.network.governance, &self.network.masters[0], &run)?;
        let (before, own, from) = (cpu::used(&self.processes()), cpu::own(), load::now());
        let ask = move |client: usize, count| {
            let (mut door, order) = (doors[client % doors.len()].clone(), workload.order(client, count));
            async move {
                let blob = Blob { address: None, content: canonical::to_bytes(&order?) };
                door.put_blob(blob).await?;
                Ok(())
            }
        };
        let samples = load::run(clients, span.whole(), ask).await?;
        let used = cpu::used(&self.processes()) - before;
        Ok(Measured::new(samples, from, span, used, cpu::own() - own))
    }

    /// Starts clients at some masters and waits until they end. **Errors**: any command that was not ordered.
    pub(crate) fn load(&mut self, spread: &[(usize, usize)], length: Duration) -> Result<Vec<Sample>> {
        let started = self.begin(spread, length)?;
        self.end(started, length)
    }

    /// Starts clients at some masters: seats and numbers of clients.
    pub(crate) fn begin(
        &mut self,
        spread: &[(usize, usize)],
        length: Duration,
    ) -> Result<Vec<(usize, PathBuf)>> {
        let run = self.run();
        let mut started = Vec::new();
        for (seat, clients) in spread {
            let file = self.dir.join(format!("{run}-{seat}.samples"));
            let line = format!("load {run}-{seat} {clients} {} {}", length.as_millis(), file.display());
            self.member(*seat)?.say(&line)?;
            started.push((*seat, file));
        }
        Ok(started)
    }

    /// Waits for the ends of loads and collects what the clients saw.
    pub(crate) fn end(&mut self, started: Vec<(usize, PathBuf)>, length: Duration) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        for (seat, file) in started {
            let answer = self.member(seat)?.hear(length + PATIENCE)?;
            ensure!(answer == "done", "the load on a master: {answer}");
            samples.extend(member::samples(&file)?);
        }
        Ok(samples)
    }

    /// Where a master stands. No load may have ended unheard there.
    pub(crate) fn place(&mut self, seat: usize) -> Result<Place> {
        let member = self.member(seat)?;
        member.say("where")?;
        let answer = member.hear(PATIENCE)?;
        let words: Vec<&str> = answer.split_whitespace().collect();
        let ["at", height, leads] = words[..] else { bail!("a master says {answer:?}") };
        Ok(Place { height: height.parse()?, leads: leads.parse()? })
    }

    /// The seat that leads. **Errors**: none does.
    pub(crate) fn leader(&mut self) -> Result<usize> {
        for seat in 0..MASTERS {
            if self.place(seat)?.leads {
                return Ok(seat);
            }
        }
        bail!("no master leads")
    }

    /// Kills a master and its guard as a power cut would.
    pub(crate) fn kill(&mut self, seat: usize) {
        self.members[seat] = None;
    }

    /// Starts a killed master and its guard again, with an empty disk but for keys and configuration, and waits until
    /// it has begun to listen.
    pub(crate) fn restart_empty(&mut self, seat: usize) -> Result<()> {
        let own = self.dir.join(self.network.masters[seat].as_str());
        fs::remove_dir_all(own.join("data"))?;
        fs::remove_dir_all(own.join("guard/state"))?;
        self.members[seat] = Some(self.spawn(seat)?);
        self.ready(seat)
    }

    /// Bytes of one command on the wire.
    pub(crate) fn command_bytes(&self) -> Result<usize> {
        Workload::new(&self.dir, &self.network.governance, &self.network.masters[0], "c9")?.bytes()
    }

    fn run(&mut self) -> String {
        self.runs += 1;
        format!("r{}", self.runs)
    }

    fn doors(&self) -> Result<Vec<MasterNodeClient<Channel>>> {
        let credentials = client(&Authority::open(&self.dir.join("authority"))?, &self.dir)?;
        let door = |node: &NodeId| {
            let (node, address) = self.network.place(node)?;
            let channel = tls::connect(address, &credentials, Peer { role: NodeRole::Master, node })?;
            Ok(MasterNodeClient::new(channel))
        };
        self.network.masters.iter().map(door).collect()
    }

    /// Masters and guards that live.
    fn processes(&self) -> Vec<u32> {
        let members = self.members.iter().flatten();
        members.flat_map(|running| [running.master.0.id(), running.guard.0.id()]).collect()
    }

    fn member(&mut self, seat: usize) -> Result<&mut Running> {
        self.members[seat].as_mut().context("the master was killed")
    }

    fn ready(&mut self, seat: usize) -> Result<()> {
        let answer = self.member(seat)?.hear(PATIENCE)?;
        ensure!(answer == "ready", "a master says {answer:?}");
        Ok(())
    }

    fn spawn(&self, seat: usize) -> Result<Running> {
        let node = self.network.masters[seat].as_str();
        let log = |name: &str| File::options().create(true).append(true).open(self.dir.join(name));
        let program = Path::new(env!("CARGO_BIN_EXE_symphonyd")).with_file_name("symphony-guard");
        ensure!(program.exists(), "symphony-guard is not built: `cargo xtask bench` builds it");
        let guard = Command::new(program)
            .args(["--supervised", "--config"])
            .arg(self.dir.join(node).join("guard/guard.toml"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log(&format!("{node}-guard.log"))?)
            .spawn()
            .context("starting a guard")?;
        let mut master = Command::new(std::env::current_exe()?)
            .args(["member", "--node", node, "--dir"])
            .arg(&self.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log(&format!("{node}.log"))?)
            .spawn()
            .context("starting a master")?;
        let input = master.stdin.take().context("a master has an input")?;
        let output = master.stdout.take().context("a master has an output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            // Ends with the process, or with whoever listens.
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Ok(Running { guard: Ended(guard), master: Ended(master), input, lines })
    }
}

/// A master and its guard.
struct Running {
    guard: Ended,
    master: Ended,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Running {
    fn say(&mut self, line: &str) -> Result<()> {
        writeln!(self.input, "{line}").context("a master has ended")
    }

    fn hear(&mut self, patience: Duration) -> Result<String> {
        self.lines.recv_timeout(patience).context("a master says nothing")
    }
}

/// A process that does not outlive this value.
pub(crate) struct Ended(pub(crate) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The credentials of the one process that all clients of a measurement live in.
pub(crate) fn client(authority: &Authority, dir: &Path) -> Result<Credentials> {
    let peer = Peer { role: NodeRole::Gateway, node: NodeId::new("clients")? };
    let folder = dir.join("caller");
    authority.issue(&peer, &["127.0.0.1"], &folder)?;
    Ok(Credentials::load(&folder)?)
}

/// Clients spread evenly over seats.
pub(crate) fn spread(clients: usize, seats: &[usize]) -> Vec<(usize, usize)> {
    let share = |(index, seat): (usize, &usize)| {
        (*seat, clients / seats.len() + usize::from(index < clients % seats.len()))
    };
    seats.iter().enumerate().map(share).collect()
}

/// Makes keys, certificates, committee and governance as a development network has them.
fn create(dir: &Path, admission: &str) -> Result<()> {
    let made = Command::new(env!("CARGO_BIN_EXE_symphonyd"))
        .args(["dev", "--create-only", "--masters", "3", "--vaults", "1", "--dir"])
        .arg(dir)
        .stdin(Stdio::null())
        .output()
        .context("starting symphonyd")?;
    ensure!(made.status.success(), "making a network: {}", String::from_utf8_lossy(&made.stderr));
    for seat in 1..=MASTERS {
        let file = dir.join(format!("master-{seat}/guard/guard.toml"));
        let mut config: toml::Table = fs::read_to_string(&file)?.parse()?;
        config.insert("admission".to_owned(), admission.into());
        fs::write(&file, config.to_string())?;
    }
    Ok(())
}
