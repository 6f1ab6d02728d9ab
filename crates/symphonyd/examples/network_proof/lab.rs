//! Where the masters stand: each in a network namespace of its own behind one bridge, so that its wires can be cut and
//! slowed, with a disk that can be full; or all on loopback where this machine does not allow that.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The masters, by number.
pub(crate) const MASTERS: [u8; 3] = [1, 2, 3];
/// What a slow wire does where the kernel can delay packets.
const NETEM: &str = "netem delay 80ms 40ms loss 8%";
/// What a slow wire does elsewhere: a narrow one with a short queue delays, then loses.
const TBF: &str = "tbf rate 192kbit burst 4kb latency 200ms";

/// The room of a master's disk.
const ROOM: &str = "2g";

/// The machine's network as the proof uses it, and disks that can be full. Removed on drop.
pub(crate) struct Lab {
    wires: Option<Wires>,
    disks: Vec<PathBuf>,
}

/// Namespaces, a bridge, and what slows a wire here.
struct Wires {
    prefix: u32,
    slow: &'static str,
}

impl Lab {
    /// Makes the namespaces. Where that is not allowed, says so and stays on loopback.
    pub(crate) fn open() -> Self {
        let mut wires = Wires { prefix: std::process::id(), slow: NETEM };
        let made = wires.make();
        let lab = Self { wires: Some(wires), disks: Vec::new() };
        match made {
            Ok(()) => lab,
            Err(error) => {
                println!("no network namespaces here ({error:#}): all on loopback, kills only, no cut wires");
                drop(lab);
                Self { wires: None, disks: Vec::new() }
            }
        }
    }

    /// Whether wires can be cut.
    pub(crate) fn wired(&self) -> bool {
        self.wires.is_some()
    }

    /// What the lab is, in a word.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.wires {
            None => "loopback",
            Some(wires) if wires.slow == NETEM => "three network namespaces, netem",
            Some(_) => "three network namespaces, tbf (the kernel has no netem)",
        }
    }

    /// The address of a node that does not listen on loopback.
    pub(crate) fn hosts(&self, others: &[&str]) -> BTreeMap<String, IpAddr> {
        let Some(wires) = &self.wires else { return BTreeMap::new() };
        let masters = MASTERS.map(|master| (format!("master-{master}"), wires.address(10 + master)));
        let others = others.iter().map(|node| ((*node).to_owned(), wires.address(1)));
        masters.into_iter().chain(others).collect()
    }

    /// A command that runs where a master stands.
    pub(crate) fn at(&self, master: u8, program: &Path) -> Command {
        let Some(wires) = &self.wires else { return Command::new(program) };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &wires.namespace(master)]).arg(program);
        command
    }

    /// Gives each master a disk of its own for its data, below the network's folder; on loopback it has none.
    pub(crate) fn disks(&mut self, dir: &Path) -> Result<()> {
        for master in MASTERS.iter().filter(|_| self.wires.is_some()) {
            let folder = dir.join(format!("master-{master}/data"));
            std::fs::create_dir_all(&folder)?;
            run(&format!("mount -t tmpfs -o size={ROOM} symphony {}", folder.display()))?;
            self.disks.push(folder);
        }
        Ok(())
    }

    /// Takes all free room from a master's disk, or gives it back.
    pub(crate) fn fill(&self, master: u8, full: bool) -> Result<()> {
        let Some(folder) = self.disks.get(usize::from(master) - 1) else { return Ok(()) };
        let folder = folder.display();
        if !full {
            return run(&format!("mount -o remount,size={ROOM} {folder}"));
        }
        let mut taken = Ok(());
        for _ in 0..20 {
            let used = output(&format!("df -k --output=used {folder}"))?;
            let used: u64 = used.lines().last().unwrap_or_default().trim().parse()?;
            // The master may write between the two: then less than what is used is asked for, and refused.
            taken = run(&format!("mount -o remount,size={used}k {folder}"));
            if taken.is_ok() {
                break;
            }
        }
        taken
    }

    /// Cuts a master off from everybody, or joins it again.
    pub(crate) fn cut(&self, master: u8, cut: bool) -> Result<()> {
        let Some(wires) = &self.wires else { return Ok(()) };
        run(&format!("ip link set {} {}", wires.port(master), if cut { "down" } else { "up" }))
    }

    /// Cuts what one master sends to another, or lets it through again.
    pub(crate) fn deafen(&self, from: u8, to: u8, cut: bool) -> Result<()> {
        let Some(wires) = &self.wires else { return Ok(()) };
        let (verb, to) = (if cut { "add" } else { "del" }, wires.address(10 + to));
        run(&format!("ip -n {} route {verb} blackhole {to}/32", wires.namespace(from)))
    }

    /// Makes a master's wire slow and lossy in both directions, or as before.
    pub(crate) fn slow(&self, master: u8, slow: bool) -> Result<()> {
        let Some(wires) = &self.wires else { return Ok(()) };
        wires.shape(master, slow)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for folder in &self.disks {
            quietly(&format!("umount {}", folder.display()));
        }
        let Some(wires) = &self.wires else { return };
        for master in MASTERS {
            quietly(&format!("ip link del {}", wires.port(master)));
            quietly(&format!("ip netns del {}", wires.namespace(master)));
        }
        quietly(&format!("ip link del {}", wires.bridge()));
    }
}

impl Wires {
    fn make(&mut self) -> Result<()> {
        let (bridge, address) = (self.bridge(), self.address(1));
        run(&format!("ip link add {bridge} type bridge"))?;
        run(&format!("ip addr add {address}/24 dev {bridge}"))?;
        run(&format!("ip link set {bridge} up"))?;
        for master in MASTERS {
            let (namespace, port) = (self.namespace(master), self.port(master));
            let address = self.address(10 + master);
            run(&format!("ip netns add {namespace}"))?;
            run(&format!("ip link add {port} type veth peer name wire netns {namespace}"))?;
            run(&format!("ip link set {port} master {bridge} up"))?;
            run(&format!("ip -n {namespace} link set lo up"))?;
            run(&format!("ip -n {namespace} addr add {address}/24 dev wire"))?;
            run(&format!("ip -n {namespace} link set wire up"))?;
        }
        if self.shape(1, true).is_err() {
            self.slow = TBF;
            self.shape(1, true).context("neither netem nor tbf")?;
        }
        self.shape(1, false)
    }

    fn shape(&self, master: u8, slow: bool) -> Result<()> {
        let (namespace, port) = (self.namespace(master), self.port(master));
        let (verb, how) = if slow { ("add", self.slow) } else { ("del", "") };
        let outward = run(&format!("tc qdisc {verb} dev {port} root {how}"));
        let inward = run(&format!("tc -n {namespace} qdisc {verb} dev wire root {how}"));
        outward.and(inward)
    }

    fn namespace(&self, master: u8) -> String {
        format!("symphony-{}-{master}", self.prefix)
    }

    /// The bridge's end of a master's wire; a device's name has 15 characters at most.
    fn port(&self, master: u8) -> String {
        format!("sy{}-{master}", self.prefix)
    }

    fn bridge(&self) -> String {
        format!("sy{}", self.prefix)
    }

    /// Of the range that is set aside for measuring networks.
    fn address(&self, host: u8) -> IpAddr {
        Ipv4Addr::new(198, 18, (self.prefix % 251) as u8, host).into()
    }
}

fn run(line: &str) -> Result<()> {
    output(line).map(drop)
}

/// Runs a command and gives what it prints. **Errors**: it does not succeed.
fn output(line: &str) -> Result<String> {
    let mut words = line.split_whitespace();
    let program = words.next().context("an empty command")?;
    let output = Command::new(program).args(words).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("running {program}"))?;
    ensure!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8(output.stdout)?)
}

/// For taking away what may not be there.
fn quietly(line: &str) {
    // What is not there cannot be taken away.
    let _ = run(line);
}
