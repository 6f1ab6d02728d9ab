//! What one master makes of bad proposals, bad votes, strangers and wrong clocks: three replicas step by step, without
//! threads, sockets or files.

use std::collections::VecDeque;
use std::sync::Arc;

use symphony_consensus::entry::Head;
use symphony_consensus::quorum::block::{BLOCK_BYTES_MAX, Block, COMMANDS_MAX, Item, VERSION, name};
use symphony_consensus::quorum::committee::{Ballot, Certificate, Committee, Seat, Step};
use symphony_consensus::quorum::core::Timing;
use symphony_consensus::quorum::guard::{LocalGuard, Memory, Rules, Strictness};
use symphony_consensus::quorum::message::{
    self, Envelope, MESSAGE_BYTES_MAX, Message, Proposal, Unreadable, Vote,
};
use symphony_consensus::quorum::replica::{Effect, Input, Moment, Pace, Place, Replica, Sealed, Submitted};
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::key::{Consensus, PrivateKey};
use symphony_types::time::OrderedMillis;

use super::counter::{Command, Counter, add, genesis, transfer};
use super::quorum::members;

const HOUR_MS: u64 = 3_600_000;
/// The time on a clock that is right, when a test starts.
const NOON_MS: u64 = 1_800_000_000_000;
const PACE: Pace = Pace {
    timing: Timing { propose_ms: 200, vote_ms: 100, repeat_ms: 100 },
    tick_ms: 300,
    drift_ms: 5_000,
    state_lag: 1_000,
};
/// Steps of time. **Units**: milliseconds.
const STEP_MS: u64 = 20;

fn founding() -> Committee {
    Committee::founding(genesis().root(), members())
}

fn key(seat: u8) -> PrivateKey<Consensus> {
    PrivateKey::from_seed(&[seat + 1; 32])
}

fn head() -> Head {
    Head::of_genesis(genesis().root())
}

/// One master: its replica, guard and clock.
struct Master {
    replica: Replica<Counter>,
    guard: LocalGuard,
    /// What its clock shows beyond the right time.
    ahead_ms: i64,
    /// The blocks that it has decided, with their proofs.
    decided: Vec<(Vec<u8>, Certificate)>,
    said: Vec<Message>,
}

impl Master {
    fn new(seat: u8, ahead_ms: i64) -> Self {
        let place = Place { height: 0, leader: Seat(0), committee: founding() };
        let rules = Rules::new(Seat(seat), founding(), Strictness::Full, Memory::default());
        let mut guard = LocalGuard::new(key(seat), None, rules);
        let at = (head(), Arc::new(genesis().state));
        let now = moment(0, ahead_ms);
        let replica = Replica::new(Seat(seat), PACE, place, at, &mut guard, now).unwrap();
        Self { replica, guard, ahead_ms, decided: Vec::new(), said: Vec::new() }
    }

    /// Takes one input and everything that follows from it; says what goes to whom.
    fn step(&mut self, input: Input<Counter>, elapsed: u64) -> Vec<(Option<Seat>, Message)> {
        let (mut inputs, mut out) = (VecDeque::from([input]), Vec::new());
        while let Some(input) = inputs.pop_front() {
            for effect in self.replica.step(input, &mut self.guard, moment(elapsed, self.ahead_ms)) {
                match effect {
                    Effect::Send(to, message) => out.push((Some(to), message)),
                    Effect::Broadcast(message) => out.push((None, message)),
                    Effect::Commit(commit, _) => {
                        let proven = |sealed: &Sealed| (sealed.block.to_vec(), sealed.certificate.clone());
                        self.decided.extend(commit.blocks.iter().map(proven));
                        inputs.push_back(Input::Committed);
                    }
                    Effect::Serve { to, after } => {
                        let page = self.decided[usize::try_from(after).unwrap()..].to_vec();
                        out.push((Some(to), Message::Decided(page)));
                    }
                    Effect::Halt(invalid) => panic!("the cluster decided what is refused here: {invalid}"),
                    _ => {}
                }
            }
        }
        self.said.extend(out.iter().map(|(_, message)| message.clone()));
        out
    }

    fn hears(&mut self, from: u8, message: Message) {
        self.step(Input::Received(Seat(from), Box::new(message)), 0);
    }

    /// Its own votes so far, by step and block.
    fn votes(&self, step: Step) -> Vec<Option<Digest>> {
        let votes = self.said.iter().filter_map(|message| match message {
            Message::Vote(vote) if vote.step == step => Some(vote.block),
            _ => None,
        });
        votes.collect()
    }
}

fn moment(elapsed: u64, ahead_ms: i64) -> Moment {
    let clock = (NOON_MS + elapsed).checked_add_signed(ahead_ms).unwrap();
    Moment { elapsed, clock: OrderedMillis(clock) }
}

/// A block of the first height that seat 0 makes.
fn block(at: u64, commands: &[Vec<u8>]) -> Block {
    let item = |(ticket, command): (usize, &Vec<u8>)| Item {
        from: Seat(0),
        ticket: ticket as u64,
        command: command.clone(),
    };
    Block {
        version: VERSION,
        height: 1,
        parent: head(),
        at: OrderedMillis(at),
        proposer: Seat(0),
        rotations: Vec::new(),
        commands: commands.iter().enumerate().map(item).collect(),
    }
}

/// A proposal as the holder of seat 0's key makes it, of whatever bytes.
fn proposal(block: Vec<u8>) -> Message {
    let named = name(&block);
    let signature = sign(0, Step::Propose, Some(named));
    let proposal = Proposal { seat: Seat(0), height: 1, round: 0, pol_round: None, block, signature };
    Message::Proposal(proposal)
}

fn sign(seat: u8, step: Step, block: Option<Digest>) -> symphony_types::key::Signature {
    let ballot = Ballot { cluster: founding().cluster, height: 1, round: 0, step, block };
    key(seat).sign(ballot).signature
}

fn vote(seat: u8, step: Step, block: Option<Digest>) -> Message {
    let signature = sign(seat, step, block);
    Message::Vote(Vote { seat: Seat(seat), height: 1, round: 0, step, block, signature })
}

fn bytes(command: &Command) -> Vec<u8> {
    canonical::to_bytes(command)
}

/// What master 1 prevotes when seat 0 proposes these bytes.
fn prevote(block: Vec<u8>) -> Option<Digest> {
    let mut master = Master::new(1, 0);
    master.hears(0, proposal(block));
    let votes = master.votes(Step::Prevote);
    assert_eq!(votes.len(), 1, "one vote in a round: {:?}", master.said);
    votes[0]
}

/// R012: a block with one command that the rules refuse gets no vote of an honest master, whoever signed it.
#[test]
fn a_proposal_with_an_invalid_command_is_voted_against() {
    let good = block(NOON_MS, &[bytes(&add(1, 5)), bytes(&transfer(1, 2, 5))]).to_bytes();
    assert_eq!(prevote(good.clone()), Some(name(&good)), "the vote does depend on the commands");
    let refused = [bytes(&add(1, 5)), bytes(&transfer(1, 2, 6))];
    let garbled = [bytes(&add(1, 5)), vec![0xff; 9]];
    for commands in [&refused, &garbled] {
        assert_eq!(prevote(block(NOON_MS, commands).to_bytes()), None);
    }
}

/// R012: nor does a block that stands elsewhere, is of another version, or is made by nobody.
#[test]
fn a_proposal_that_stands_elsewhere_is_voted_against() {
    let good = block(NOON_MS, &[bytes(&add(1, 5))]);
    let mut other_parent = good.clone();
    other_parent.parent.state = Digest([7; 32]);
    let wrong = [
        Block { height: 2, ..good.clone() },
        Block { version: VERSION + 1, ..good.clone() },
        Block { proposer: Seat(9), ..good.clone() },
        other_parent,
    ];
    for block in wrong {
        assert_eq!(prevote(block.to_bytes()), None, "{block:?}");
    }
    assert_eq!(prevote(vec![1, 2, 3]), None);
}

/// R007: more commands or bytes than a block may have.
#[test]
fn an_oversize_proposal_is_voted_against() {
    let many = vec![bytes(&add(1, 1)); COMMANDS_MAX + 1];
    assert_eq!(prevote(block(NOON_MS, &many).to_bytes()), None);
    let most = block(NOON_MS, &many[1..]).to_bytes();
    assert_eq!(prevote(most.clone()), Some(name(&most)), "the most is not too much");
    let large = block(NOON_MS, &[bytes(&Command::Note(vec![0; BLOCK_BYTES_MAX]))]).to_bytes();
    assert_eq!(prevote(large), None);
}

/// R007, R195: bytes over the limit of a message, another version, another chain: refused before anything looks inside.
#[test]
fn messages_of_strangers_are_not_read() {
    let cluster = founding().cluster;
    let envelope = |version, cluster, message| Envelope { version, cluster, message }.to_bytes();
    let status = Message::Status { height: 4 };
    let good = envelope(message::VERSION, cluster, status.clone());
    assert_eq!(Envelope::from_bytes(&good, &cluster), Ok(status.clone()));
    let other = Committee::founding(Digest([9; 32]), members()).cluster;
    let foreign = envelope(message::VERSION, other, status.clone());
    assert_eq!(Envelope::from_bytes(&foreign, &cluster), Err(Unreadable::Cluster));
    let newer = envelope(message::VERSION + 1, cluster, status);
    assert_eq!(Envelope::from_bytes(&newer, &cluster), Err(Unreadable::Version(message::VERSION + 1)));
    let oversize = envelope(message::VERSION, cluster, proposal(vec![0; MESSAGE_BYTES_MAX]));
    assert_eq!(Envelope::from_bytes(&oversize, &cluster), Err(Unreadable::Malformed));
    assert_eq!(Envelope::from_bytes(&good[..good.len() - 1], &cluster), Err(Unreadable::Malformed));
}

/// R198: a vote counts once however often it comes and whoever brings it; a vote that its seat did not sign for this
/// cluster, height and step counts never.
#[test]
fn replayed_and_forged_votes_do_not_add_up() {
    let made = block(NOON_MS, &[bytes(&add(1, 5))]).to_bytes();
    let named = Some(name(&made));
    let mut master = Master::new(1, 0);
    master.hears(0, proposal(made));
    assert_eq!(master.votes(Step::Prevote), [named]);

    let Message::Vote(signed) = vote(2, Step::Prevote, named) else { unreachable!("it is a vote") };
    let elsewhere = Ballot {
        cluster: Committee::founding(Digest([9; 32]), members()).cluster,
        ..signed.ballot(founding().cluster)
    };
    let forgeries = [
        Vote { seat: Seat(0), ..signed },
        Vote { step: Step::Precommit, ..signed },
        Vote { round: 1, ..signed },
        Vote { signature: key(2).sign(elsewhere).signature, ..signed },
        Vote { signature: key(0).sign(signed.ballot(founding().cluster)).signature, ..signed },
    ];
    for forged in forgeries {
        master.hears(2, Message::Vote(forged));
    }
    assert_eq!(master.votes(Step::Precommit), [], "no polka out of forged prevotes");
    assert_eq!(master.replica.gauges().counts.forged, 5);

    // One precommit, again and again: the own one would make two, but there is no polka yet.
    for from in [0, 2, 2, 2, 0] {
        master.hears(from, vote(2, Step::Precommit, named));
    }
    assert_eq!(master.decided.len(), 0, "one precommit is not a quorum");
    // The second prevote makes the polka, and the precommit above was kept: now there are two.
    master.hears(0, vote(2, Step::Prevote, named));
    assert_eq!(master.votes(Step::Precommit), [named]);
    assert_eq!(master.decided.len(), 1);
}

/// R198: of a height that is decided no vote matters any more.
#[test]
fn votes_of_decided_heights_change_nothing() {
    let mut cluster = Trio::new([0; 3]);
    cluster.submit(0, 1);
    cluster.runs(400);
    let heights: Vec<_> = cluster.masters.iter().map(|master| master.replica.gauges().height).collect();
    let old: Vec<_> = cluster.masters.iter().flat_map(|master| master.said.clone()).collect();
    let forged = cluster.masters[1].replica.gauges().counts.forged;
    let old = old.into_iter().filter(|message| message.height().is_some_and(|height| height < heights[1]));
    let before = cluster.masters[1].replica.held();
    for message in old.collect::<Vec<_>>() {
        for from in [0, 2] {
            cluster.masters[1].step(Input::Received(Seat(from), Box::new(message.clone())), 400);
        }
    }
    let master = &cluster.masters[1];
    assert_eq!(master.replica.gauges().height, heights[1]);
    assert_eq!(master.replica.gauges().counts.forged, forged);
    assert!(master.replica.held() <= before + 2, "nothing of it is kept");
}

/// R012: a proposal is refused when its time is further ahead than the bound, or before its parent's.
#[test]
fn a_proposal_from_the_future_is_voted_against() {
    let bound = NOON_MS + PACE.drift_ms;
    let made = |at| block(at, &[bytes(&add(1, 1))]).to_bytes();
    let (at_bound, behind) = (made(bound), made(NOON_MS - HOUR_MS));
    assert_eq!(prevote(at_bound.clone()), Some(name(&at_bound)));
    assert_eq!(prevote(behind.clone()), Some(name(&behind)), "a slow clock harms nobody");
    assert_eq!(prevote(made(bound + 1)), None);
    assert_eq!(prevote(made(NOON_MS + HOUR_MS)), None);
}

/// Three masters and everything that is on its way between them.
struct Trio {
    masters: [Master; 3],
    elapsed: u64,
    tickets: u64,
}

impl Trio {
    fn new(ahead_ms: [i64; 3]) -> Self {
        let mut seats = 0..3;
        let masters = ahead_ms.map(|ahead| Master::new(seats.next().unwrap(), ahead));
        Self { masters, elapsed: 0, tickets: 0 }
    }

    fn submit(&mut self, to: usize, amount: u64) {
        self.tickets += 1;
        let command = add(1, amount);
        let submitted = Submitted { ticket: self.tickets, bytes: bytes(&command), command };
        let out = self.masters[to].step(Input::Submit(vec![submitted]), self.elapsed);
        self.deliver(to, out);
    }

    /// Delivers what a master says, and what follows from it, at once.
    fn deliver(&mut self, from: usize, out: Vec<(Option<Seat>, Message)>) {
        let mut queue: VecDeque<_> = out.into_iter().map(|(to, message)| (from, to, message)).collect();
        while let Some((from, to, message)) = queue.pop_front() {
            for seat in (0..3).filter(|seat| *seat != from) {
                if to.is_none_or(|to| usize::from(to.0) == seat) {
                    let input = Input::Received(Seat(u8::try_from(from).unwrap()), Box::new(message.clone()));
                    let out = self.masters[seat].step(input, self.elapsed);
                    queue.extend(out.into_iter().map(|(to, message)| (seat, to, message)));
                }
            }
        }
    }

    fn runs(&mut self, ms: u64) {
        let until = self.elapsed + ms;
        while self.elapsed < until {
            self.elapsed += STEP_MS;
            for seat in 0..3 {
                let out = self.masters[seat].step(Input::Tick, self.elapsed);
                self.deliver(seat, out);
            }
        }
    }

    fn counts(&self) -> Vec<u64> {
        let states = self.masters.iter().map(|master| master.replica.chain().1);
        states.map(|state| state.of.get(&1).copied().unwrap_or(0)).collect()
    }
}

/// R007, R012: one master's clock is an hour wrong, whichever and in whichever direction, leader or not: the other two go
/// on deciding, it follows, and ordered time stays with the clocks that are right.
#[test]
fn one_wrong_clock_stops_nobody() {
    for wrong in 0..3 {
        for ahead in [HOUR_MS as i64, -(HOUR_MS as i64)] {
            let mut clocks = [0; 3];
            clocks[wrong] = ahead;
            let mut cluster = Trio::new(clocks);
            for round in 1..=10 {
                cluster.submit(round % 3, 1);
                cluster.runs(1_000);
            }
            cluster.runs(4_000);
            let counts = cluster.counts();
            assert_eq!(counts, [10; 3], "seat {wrong} is {ahead} ms ahead");
            for master in &cluster.masters {
                let at = master.replica.chain().0.at.0;
                let bound = NOON_MS + cluster.elapsed + PACE.drift_ms;
                assert!(at <= bound, "seat {wrong} ahead {ahead}: ordered time ran to {at}");
            }
        }
    }
}
