//! The simulated cluster: one queue of events in simulated time, and what each of them does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use symphony_consensus::orderer::OrderError;
use symphony_consensus::quorum::committee::{Committee, Member, Seat, Step};
use symphony_consensus::quorum::conflict::Conflict;
use symphony_consensus::quorum::guard::{Ask, Refusal, VoteGuard as _};
use symphony_consensus::quorum::message::{Envelope, Message, VERSION};
use symphony_consensus::quorum::replica::{Answer, Commit, Effect, Input, Submitted};
use symphony_types::canonical;
use symphony_types::id::NodeId;
use symphony_types::key::{Consensus, PrivateKey, SoftwarePlatform};

use crate::bank::{Bank, Transfer, genesis};
use crate::chance::Chance;
use crate::forger::Forger;
use crate::guards::{Given, Guard, Return};
use crate::host::{Clock, Host, Write};
use crate::invariants::{self, Invariant, Seen, Violation};
use crate::network::{HostId, Network, Weather};
use crate::scenario::{Control, Fault, Scenario, Theme};
use crate::trace::Trace;
use crate::workload::{Fate, PATIENCE_MS, Workload};

/// Blocks of one served page.
const PAGE_LEN_MAX: usize = 8;

enum Event {
    Deliver { from: HostId, to: HostId, bytes: Arc<[u8]> },
    Tick { host: HostId, life: u64 },
    Durable { host: HostId, life: u64 },
    Client,
    Retry(u64),
    Fault(Fault),
    Forge,
}

/// Everything that there is.
pub struct World {
    /// What goes wrong.
    pub scenario: Scenario,
    /// The true time. **Units**: milliseconds.
    pub now: u64,
    /// All hosts; a two-faced master has two.
    pub hosts: Vec<Host>,
    /// One guard a seat.
    pub guards: Vec<Guard>,
    /// The network.
    pub network: Network,
    /// What happened.
    pub trace: Trace,
    /// The clients.
    pub workload: Workload,
    /// Every proof of a double vote that a host made.
    pub accused: Vec<Conflict>,
    /// States that hosts took from others.
    pub joined: u64,
    /// Clients have new requests.
    pub busy: bool,
    founding: Committee,
    chance: Chance,
    queue: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    invariants: Vec<Box<dyn Invariant>>,
    forger: Option<Forger>,
    disturbed: [u64; 3],
}

/// What one step of a replica did.
#[derive(Default)]
struct Done {
    decided: Option<Arc<Commit<Bank>>>,
    answers: Vec<(Transfer, Answer<Bank>)>,
    given: Vec<Given>,
    refused: Vec<(Ask, Refusal)>,
    accused: Vec<Conflict>,
    halted: Option<String>,
}

impl World {
    /// A cluster that starts now. `readable` keeps the trace as lines.
    pub fn new(scenario: Scenario, readable: bool) -> Self {
        let mut chance = Chance::new(scenario.seed);
        let seeds: Vec<_> = (0..3).map(|_| (chance.seed(), chance.seed())).collect();
        let founding = Committee::founding(genesis().root(), seeds.iter().zip(0..).map(member).collect());
        let guards = (0..)
            .map(Seat)
            .zip(&seeds)
            .map(|(seat, seeds)| Guard::new(seat, founding.clone(), scenario.control.strictness, *seeds));
        let guards: Vec<_> = guards.collect();
        let mut world = Self {
            now: 0,
            hosts: Vec::new(),
            guards,
            network: Network::new(BTreeSet::new()),
            trace: Trace::new(readable),
            workload: Workload::default(),
            accused: Vec::new(),
            joined: 0,
            busy: true,
            chance,
            queue: BTreeMap::new(),
            sequence: 0,
            invariants: match scenario.control {
                Control::SOUND => invariants::all(&founding),
                _ => invariants::agreement_only(),
            },
            forger: scenario.liar.map(|seat| Forger::new(seat, founding.clone())),
            founding,
            disturbed: [0; 3],
            scenario,
        };
        world.people();
        world
    }

    /// Makes the hosts and plans what is known to come.
    fn people(&mut self) {
        for seat in (0..3).map(Seat) {
            let clock = self.clock();
            self.hosts.push(Host::new(usize::from(seat.0), seat, clock));
        }
        if let Some(liar) = self.scenario.liar {
            let face = usize::from(liar.0);
            self.hosts[face].honest = false;
            match self.scenario.theme {
                Theme::TwoFaced => {
                    let mut other = Host::new(3, liar, self.hosts[face].clock);
                    other.honest = false;
                    self.hosts.push(other);
                    let peers: Vec<_> = (0..3).filter(|host| *host != face).collect();
                    let apart = [(face, peers[1]), (3, peers[0]), (face, 3)];
                    let strangers = apart.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]).collect();
                    self.network = Network::new(strangers);
                }
                Theme::BadLeader => self.guards[face].holds_proposals = true,
                _ => {}
            }
        }
        for (at, fault) in self.scenario.faults.clone() {
            self.plan(at, Event::Fault(fault));
        }
        self.plan(50, Event::Client);
        if matches!(self.scenario.theme, Theme::Forger | Theme::BadLeader) {
            self.plan(60, Event::Forge);
        }
        for host in 0..self.hosts.len() {
            self.plan(0, Event::Fault(Fault::Up(host)));
        }
    }

    fn clock(&mut self) -> Clock {
        let skew = self.chance.below(300).cast_signed() - 150;
        let rate = self.chance.below(400).cast_signed() - 200;
        Clock { skew_ms: skew, rate }
    }

    fn plan(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.queue.insert((at.max(self.now), self.sequence), event);
    }

    /// Lets time pass up to a moment. **Errors**: the first invariant that breaks.
    pub fn run_until(&mut self, end: u64) -> Result<(), Violation> {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.happens(event)?;
        }
        self.now = end;
        Ok(())
    }

    fn happens(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Deliver { from, to, bytes } => self.deliver(from, to, &bytes),
            Event::Tick { host, life } => {
                let due = self.hosts[host].life == life && self.hosts[host].ticking == Some(self.now);
                if !due || self.hosts[host].writing.is_some() {
                    return Ok(());
                }
                self.hosts[host].ticking = None;
                self.step(host, Input::Tick, None)
            }
            Event::Durable { host, life } => {
                let alive = self.hosts[host].life == life;
                let Some(write) = self.hosts[host].writing.take_if(|_| alive) else { return Ok(()) };
                self.hosts[host].disk.write(&write);
                let commit = match write {
                    Write::Commit(commit) => Some(commit),
                    Write::State(_) => {
                        self.joined += 1;
                        None
                    }
                };
                self.step(host, Input::Committed, commit)
            }
            Event::Client => {
                if self.busy {
                    let transfer = self.workload.draw(&mut self.chance);
                    self.submit(transfer.request)?;
                }
                let pause = self.chance.between(10, 90);
                self.plan(self.now + pause, Event::Client);
                Ok(())
            }
            Event::Retry(request) => self.submit(request),
            Event::Fault(fault) => self.fault(fault),
            Event::Forge => self.forge(),
        }
    }

    /// A client asks some host, and asks again later if nobody answers.
    fn submit(&mut self, request: u64) -> Result<(), Violation> {
        let Some(transfer) = self.workload.transfer(request).cloned() else { return Ok(()) };
        if self.workload.fate(request) != Fate::Open {
            return Ok(());
        }
        self.plan(self.now + PATIENCE_MS, Event::Retry(request));
        let host = self.chance.index(self.hosts.len());
        if self.hosts[host].replica.is_none() {
            return Ok(());
        }
        let ticket = self.hosts[host].next_ticket();
        self.hosts[host].waiting.insert(ticket, request);
        let bytes = canonical::to_bytes(&transfer);
        self.trace.line(self.now, format_args!("{host} is asked for {request} as {ticket}"));
        self.step(host, Input::Submit(vec![Submitted { ticket, command: transfer, bytes }]), None)
    }

    fn deliver(&mut self, from: HostId, to: HostId, bytes: &[u8]) -> Result<(), Violation> {
        if self.hosts[to].replica.is_none() {
            return Ok(());
        }
        let message = match Envelope::from_bytes(bytes, &self.founding.cluster) {
            Ok(message) => message,
            Err(error) => {
                self.trace.line(self.now, format_args!("{from}->{to} unreadable: {error}"));
                return Ok(());
            }
        };
        let seat = self.hosts[from].seat;
        if let Some(forger) = self.forger.as_mut()
            && !self.hosts[to].honest
        {
            forger.hears(&message);
        }
        self.trace.line(self.now, format_args!("{from}->{to} {}", brief(&message)));
        self.step(to, Input::Received(seat, Box::new(message)), None)
    }

    /// One input of one replica, everything that follows, and all invariants.
    fn step(
        &mut self,
        id: HostId,
        input: Input<Bank>,
        durable: Option<Arc<Commit<Bank>>>,
    ) -> Result<(), Violation> {
        let ticked = matches!(input, Input::Tick);
        let (host, now) = (&mut self.hosts[id], self.now);
        let moment = host.moment(now);
        let Some(replica) = host.replica.as_mut() else { return Ok(()) };
        let guard = &mut self.guards[usize::from(host.seat.0)];
        let effects = replica.step(input, guard, moment);
        let mut done = Done {
            given: std::mem::take(&mut guard.given),
            refused: std::mem::take(&mut guard.refused),
            ..Done::default()
        };
        for effect in effects {
            self.perform(id, effect, &mut done);
        }
        self.accused.extend(done.accused.iter().cloned());
        if let Some(commit) = &done.decided {
            let at = now + self.hosts[id].disk_ms;
            let life = self.hosts[id].life;
            self.trace.line(now, format_args!("{id} decides {} {:?}", commit.place.height, commit.head));
            self.hosts[id].writing = Some(Write::Commit(Arc::clone(commit)));
            self.plan(at, Event::Durable { host: id, life });
        }
        self.plan_tick(id);
        self.inspect(id, ticked, durable.as_deref(), &done)
    }

    fn perform(&mut self, id: HostId, effect: Effect<Bank>, done: &mut Done) {
        match effect {
            Effect::Send(to, message) => self.send(id, to, &message),
            Effect::Broadcast(message) => self.broadcast(id, message),
            Effect::Commit(commit, _) => done.decided = Some(commit),
            Effect::Install(joined) => {
                self.trace.line(self.now, format_args!("{id} takes the state of {}", joined.place.height));
                let (at, life) = (self.now + self.hosts[id].disk_ms, self.hosts[id].life);
                self.hosts[id].writing = Some(Write::State(joined));
                self.plan(at, Event::Durable { host: id, life });
            }
            Effect::ServeState { to, after, part, .. } => {
                let message = match self.hosts[id].disk.part(after, part) {
                    Some(part) => Message::State(Box::new(part)),
                    None => self.page(id, after),
                };
                self.send(id, to, &message);
            }
            Effect::Serve { to, after } => {
                let message = match self.page(id, after) {
                    Message::Decided(page) if page.is_empty() => self.hosts[id].disk.part(after, 0),
                    page => return self.send(id, to, &page),
                };
                if let Some(part) = message {
                    self.send(id, to, &Message::State(Box::new(part)));
                }
            }
            Effect::Accuse(conflict) => done.accused.push(conflict),
            Effect::Answer(ticket, answer) => {
                let Some(request) = self.hosts[id].waiting.remove(&ticket) else { return };
                let Some(transfer) = self.workload.transfer(request).cloned() else { return };
                let fate = match &answer {
                    Ok(_) => Some(Fate::Done),
                    Err(OrderError::Refused(_)) => Some(Fate::Refused),
                    Err(_) => None,
                };
                self.trace.line(self.now, format_args!("{id} answers {request}: {fate:?}"));
                if let Some(fate) = fate.filter(|_| self.hosts[id].honest) {
                    self.workload.answered(request, fate);
                }
                done.answers.push((transfer, answer));
            }
            Effect::Halt(invalid) => done.halted = Some(invalid.to_string()),
        }
    }

    /// Says something to all others; a bad leader says something else.
    fn broadcast(&mut self, id: HostId, message: Message) {
        let seat = self.hosts[id].seat;
        let guard = &mut self.guards[usize::from(seat.0)];
        let message = match (message, &self.forger) {
            (Message::Proposal(proposal), Some(forger)) if guard.holds_proposals && proposal.seat == seat => {
                match forger.tamper(proposal, guard, &mut self.chance) {
                    Some(proposal) => Message::Proposal(proposal),
                    None => return,
                }
            }
            (message, _) => message,
        };
        let bytes = self.pack(message.clone());
        let vote = matches!(message, Message::Vote(_) | Message::Skip(_));
        self.hide(id, &message);
        for to in (0..self.hosts.len()).filter(|to| *to != id) {
            // A two-faced master shows its votes to everybody at times, so that rounds go on.
            let leaks = vote && !self.hosts[id].honest && self.chance.hits(700);
            if self.hosts[to].seat != seat {
                if leaks || self.network.knows(id, to) {
                    self.carry(id, to, &bytes);
                }
            } else if leaks && let Some(peer) = self.peer_of(to) {
                // Its other face believes that it heard them from its peer.
                self.carry(peer, to, &bytes);
            }
        }
    }

    /// A face that has helped its peer to a decision falls silent at times, before its guard moves to the next
    /// height: so the other face may try its luck at this one.
    fn hide(&mut self, face: HostId, message: &Message) {
        let decides =
            matches!(message, Message::Vote(vote) if vote.step == Step::Precommit && vote.block.is_some());
        let lies = self.scenario.theme == Theme::TwoFaced && !self.hosts[face].honest;
        if lies && decides && self.chance.hits(200) {
            let back = self.now + self.chance.between(400, 1_500);
            self.plan(self.now, Event::Fault(Fault::Down(face, false)));
            self.plan(back, Event::Fault(Fault::Up(face)));
        }
    }

    /// The honest host that a face speaks with.
    fn peer_of(&self, face: HostId) -> Option<HostId> {
        (0..self.hosts.len()).find(|host| self.hosts[*host].honest && self.network.knows(face, *host))
    }

    fn send(&mut self, id: HostId, seat: Seat, message: &Message) {
        let bytes = self.pack(message.clone());
        for to in 0..self.hosts.len() {
            if self.hosts[to].seat == seat && self.network.knows(id, to) {
                self.carry(id, to, &bytes);
            }
        }
    }

    fn pack(&self, message: Message) -> Arc<[u8]> {
        Arc::from(Envelope { version: VERSION, cluster: self.founding.cluster, message }.to_bytes())
    }

    fn carry(&mut self, from: HostId, to: HostId, bytes: &Arc<[u8]>) {
        for delay in self.network.delays(from, to, &mut self.chance) {
            self.plan(self.now + delay, Event::Deliver { from, to, bytes: Arc::clone(bytes) });
        }
    }

    /// Decided blocks of a host after a height, if it has them.
    fn page(&self, id: HostId, after: u64) -> Message {
        let blocks = self.hosts[id].disk.blocks.iter().skip_while(|sealed| sealed.height <= after);
        let page = blocks.zip(after + 1..).take_while(|(sealed, height)| sealed.height == *height);
        let page =
            page.take(PAGE_LEN_MAX).map(|(sealed, _)| (sealed.block.to_vec(), sealed.certificate.clone()));
        Message::Decided(page.collect())
    }

    fn plan_tick(&mut self, id: HostId) {
        let host = &mut self.hosts[id];
        let Some(replica) = host.replica.as_ref().filter(|_| host.writing.is_none()) else { return };
        let at = host.when(replica.deadline()).max(self.now + 1);
        if host.ticking != Some(at) && at < u64::MAX / 2 {
            host.ticking = Some(at);
            let life = host.life;
            self.plan(at, Event::Tick { host: id, life });
        }
    }

    fn inspect(
        &mut self,
        id: HostId,
        ticked: bool,
        durable: Option<&Commit<Bank>>,
        done: &Done,
    ) -> Result<(), Violation> {
        if let Some(why) = &done.halted {
            return Err(Violation { invariant: "halt", what: format!("host {id} stops: {why}") });
        }
        let seat = usize::from(self.hosts[id].seat.0);
        let seen = Seen {
            now: self.now,
            hosts: &self.hosts,
            stepped: &self.hosts[id],
            ticked,
            decided: done.decided.as_deref(),
            durable,
            given: &done.given,
            refused: &done.refused,
            accused: &done.accused,
            disturbed: self.disturbed[seat],
            answers: &done.answers,
        };
        for invariant in &mut self.invariants {
            invariant.check(&seen).map_err(|what| Violation { invariant: invariant.name(), what })?;
        }
        Ok(())
    }

    fn fault(&mut self, fault: Fault) -> Result<(), Violation> {
        self.trace.line(self.now, format_args!("{fault:?}"));
        match fault {
            Fault::Down(host, written) => self.hosts[host].crash(written),
            Fault::Up(host) => return self.up(host),
            Fault::RollBack(host, share) => {
                let disk = &mut self.hosts[host].disk;
                let share = usize::try_from(share).unwrap_or(0);
                disk.roll_back(disk.blocks.len() * share / 100);
            }
            Fault::GuardDown(seat) => self.guards[usize::from(seat.0)].crash(),
            Fault::GuardUp(seat, how) => return self.guard_up(seat, how),
            Fault::Cut(from, to, both) => self.network.cut(from, to, both),
            Fault::Heal => self.network.heal(),
            Fault::SlowDisk(host, write) => self.hosts[host].disk_ms = write,
            Fault::Change(weather) => self.network.weather = weather,
            Fault::Jump(host, skew) => self.hosts[host].clock.skew_ms = skew,
        }
        Ok(())
    }

    fn up(&mut self, id: HostId) -> Result<(), Violation> {
        let host = &mut self.hosts[id];
        if host.replica.is_some() {
            return Ok(());
        }
        let seat = usize::from(host.seat.0);
        let guard = &mut self.guards[seat];
        host.start(&self.founding, guard, self.now).map_err(|what| Violation { invariant: "start", what })?;
        self.disturb(seat);
        self.plan_tick(id);
        Ok(())
    }

    /// What a guard signed before now may refuse what its host asks.
    fn disturb(&mut self, seat: usize) {
        if let Ok(memory) = self.guards[seat].memory() {
            self.disturbed[seat] = self.disturbed[seat].max(memory.height);
        }
    }

    fn guard_up(&mut self, seat: Seat, how: Return) -> Result<(), Violation> {
        let index = usize::from(seat.0);
        // Only one guard at a time may be without a seat.
        let how = if how == Return::NewKey && !self.settled() { Return::Trusted } else { how };
        let fresh = self.chance.seed();
        self.guards[index].come_back(how, fresh);
        self.disturb(index);
        for id in 0..self.hosts.len() {
            if self.hosts[id].seat != seat {
                continue;
            }
            if how == Return::NewKey {
                self.hosts[id].crash(true);
            }
            // A guard that came back knows the founding committee until its host hears a first refusal and tells it the one in
            // force: at the height under way, or at the one after if that is being committed.
            self.disturbed[index] = self.disturbed[index].max(self.hosts[id].height() + 2);
            self.up(id)?;
        }
        Ok(())
    }

    /// Whether every master knows the key of every guard.
    pub fn settled(&self) -> bool {
        self.hosts.iter().filter_map(|host| host.replica.as_ref()).all(|replica| {
            replica
                .committee()
                .members
                .iter()
                .zip(&self.guards)
                .all(|(member, guard)| member.key == guard.key())
        })
    }

    fn forge(&mut self) -> Result<(), Violation> {
        let Some(liar) = self.scenario.liar.map(|seat| usize::from(seat.0)) else { return Ok(()) };
        if self.hosts[liar].honest {
            return Ok(());
        }
        let pause = self.chance.between(3, 30);
        self.plan(self.now + pause, Event::Forge);
        let Some(forger) = &self.forger else { return Ok(()) };
        if self.chance.hits(200)
            && let Some(message) = forger.misattribute(&mut self.chance)
        {
            let victim = self.hosts[(liar + 1 + self.chance.index(2)) % 3].seat;
            self.trace.line(self.now, format_args!("{liar} believes {victim} said {}", brief(&message)));
            return self.step(liar, Input::Received(victim, Box::new(message)), None);
        }
        let height = self.hosts[liar].height();
        let bytes: Arc<[u8]> = Arc::from(forger.forge(height, &mut self.chance));
        let to = (liar + 1 + self.chance.index(2)) % 3;
        self.carry(liar, to, &bytes);
        Ok(())
    }

    /// Turns all faults off, and the liar into an honest master.
    pub fn calm(&mut self) -> Result<(), Violation> {
        self.trace.line(self.now, format_args!("calm"));
        self.queue.retain(|_, event| !matches!(event, Event::Fault(_) | Event::Forge));
        self.network.heal();
        self.network.introduce_all();
        self.network.weather = Weather::FAIR;
        if self.hosts.len() > 3 {
            self.hosts[3].crash(true);
            self.hosts.truncate(3);
            self.queue.retain(|_, event| !event_of(event, 3));
        }
        for guard in &mut self.guards {
            guard.holds_proposals = false;
        }
        for id in 0..3 {
            let liar = !self.hosts[id].honest;
            self.hosts[id].disk_ms = 1;
            self.hosts[id].clock.skew_ms = self.hosts[id].clock.skew_ms.clamp(-150, 150);
            if liar {
                self.hosts[id].crash(true);
                self.hosts[id].honest = true;
            }
            let seat = self.hosts[id].seat;
            if !self.guards[usize::from(seat.0)].is_up() {
                self.guard_up(seat, Return::Trusted)?;
            }
            self.up(id)?;
        }
        Ok(())
    }
}

fn event_of(event: &Event, host: HostId) -> bool {
    match event {
        Event::Deliver { from, to, .. } => *from == host || *to == host,
        Event::Tick { host: of, .. } | Event::Durable { host: of, .. } => *of == host,
        Event::Client | Event::Retry(_) | Event::Fault(_) | Event::Forge => false,
    }
}

fn member((seeds, number): (&([u8; 32], [u8; 32]), usize)) -> Member {
    let node = NodeId::new(&format!("master-{number}"));
    Member {
        node: node.unwrap_or_else(|_| unreachable!("invariant: a letter and a digit are a name")),
        key: PrivateKey::<Consensus>::from_seed(&seeds.0).public(),
        platform: PrivateKey::<SoftwarePlatform>::from_seed(&seeds.1).public(),
        since: 0,
        boot: None,
    }
}

/// A message in one line.
fn brief(message: &Message) -> String {
    match message {
        Message::Proposal(p) => {
            let name = symphony_consensus::quorum::block::name(&p.block);
            format!(
                "proposal {}/{} pol {:?} {} by {}",
                p.height,
                p.round,
                p.pol_round,
                short(Some(name)),
                p.seat
            )
        }
        Message::Vote(v) => format!("{:?} {}/{} {} by {}", v.step, v.height, v.round, short(v.block), v.seat),
        Message::Polka(c) => format!("polka {}/{} {}", c.height, c.round, short(Some(c.block))),
        Message::Skip(s) => format!("skip {}/{} of {}", s.height, s.round, s.votes.len()),
        Message::Forward(page) => format!("forward {:?}", page.iter().map(|(t, _)| *t).collect::<Vec<_>>()),
        Message::Dropped { tickets, height } => format!("dropped {tickets:?} at {height}"),
        Message::Rotate(rotation) => format!("rotate {} to {:?}", rotation.seat, rotation.boot.body.key),
        Message::Status { height } => format!("status {height}"),
        Message::Ask { after } => format!("ask after {after}"),
        Message::AskState { after, part, .. } => format!("ask part {part} of a state after {after}"),
        Message::State(part) => {
            format!("part {} of {} of the state of {}", part.part, part.parts, part.head.height)
        }
        Message::Decided(page) => {
            format!(
                "decided {:?}",
                page.iter().map(|(_, certificate)| certificate.height).collect::<Vec<_>>()
            )
        }
    }
}

fn short(block: Option<symphony_types::digest::Digest>) -> String {
    block.map_or_else(|| "nil".to_owned(), |block| block.to_hex()[..8].to_owned())
}
