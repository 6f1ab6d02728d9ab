//! A driver that plays everyone around the machine: masters, Vaults with reservations, an aggregator's enclave, a
//! verifier, a payout service and a chain with locks ([`crate::rounds`] has the rounds of trainings, [`crate::attest`] the
//! attestations). It owes what the machine leases to the master that is up, and
//! knows what is reserved, locked and waiting, by its own books.

use std::collections::{BTreeMap, BTreeSet};

use symphony_protocol::admission::envelope::PrepareAnswer;
use symphony_protocol::artifact::parse::ParseOutcome;
use symphony_protocol::artifact::training::Environment;
use symphony_protocol::artifact::*;
use symphony_protocol::execution::aggregate::{self, AttestedAggregate, aggregate_nonce};
use symphony_protocol::execution::coordinate::{accepted, slice_nonce};
use symphony_protocol::execution::failure::{Step, TaskFailure};
use symphony_protocol::governance::Governance;
use symphony_protocol::lifecycle::{Stage, Task};
use symphony_protocol::machine::{
    Answer, Command, Effect, Event, Lease, Order, Refusal, State, decide, effect_for, evolve,
};
use symphony_protocol::settlement::payout::{
    EpochStage, PayoutConfirmation, PayoutInstructionSet, dividend_request,
};
use symphony_protocol::verification;
use symphony_types::amount::{Sym, sum};
use symphony_types::canonical::to_bytes;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{EpochId, LockRef, NodeId, TaskId, VaultId};
use symphony_types::key::{Document, Master, Payout, Vault, Verifier};
use symphony_types::merkle;
use symphony_types::time::OrderedMillis;

use crate::attest::{aggregate_expectation, appraise, attest, slice_attestation};
use crate::parse;
use crate::rounds::{self, Course};
use crate::stage::{self, START, enclave, key};

/// What a party does when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Its duty.
    Serve,
    /// Says no.
    Refuse,
    /// Says nothing, though it did its duty at home.
    Mumble,
    /// Nothing at all.
    Sleep,
}

/// Who does what in one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    /// Each Vault at admission.
    pub prepare: [Act; 3],
    /// Each Vault at execution.
    pub slice: [Act; 3],
    /// The aggregator.
    pub aggregate: Act,
    /// The Vault of a parse.
    pub parse: Act,
    /// The verifier.
    pub verify: Act,
    /// The masters when they look again: serve finds that the result stands, refuse that it is wrong.
    pub review: Act,
    /// Each Vault at the close of an epoch.
    pub dividends: [Act; 3],
    /// What the aggregation releases.
    pub outcome: Outcome,
    /// How the rounds of a training go.
    pub course: Course,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            prepare: [Act::Serve; 3],
            slice: [Act::Serve; 3],
            aggregate: Act::Serve,
            parse: Act::Serve,
            verify: Act::Serve,
            review: Act::Serve,
            dividends: [Act::Serve; 3],
            outcome: Outcome::Audience { returned: 4_321 },
            course: Course::default(),
        }
    }
}

/// How a run is disturbed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Disturbance {
    /// Every command comes twice, and every effect is done twice.
    pub twice: bool,
    /// The master forgets its effects before every step and begins again from its state.
    pub crash_always: bool,
    /// It does so before this step only.
    pub crash_at: Option<usize>,
    /// It dies for good before this step, and the next master is up.
    pub replaced_at: Option<usize>,
}

/// The masters, by number.
pub(crate) fn master(number: usize) -> NodeId {
    NodeId::new(&format!("master-{number}")).unwrap()
}

/// The machine and everyone around it.
#[derive(Clone)]
pub(crate) struct World {
    pub state: State,
    pub now: OrderedMillis,
    /// The master that is up: commands are ordered through it, and what is leased to it gets done.
    pub by: NodeId,
    pub script: Script,
    /// Whether every order is looked at from all sides, which takes time that grows with the state.
    pub watched: bool,
    /// Events with their times, as a journal has them.
    pub log: Vec<(OrderedMillis, Event)>,
    /// Commands that had an effect.
    pub commands: Vec<Command>,
    /// The same as a journal has them.
    pub journal: Vec<(OrderedMillis, Order, Vec<Event>)>,
    /// What the machine's events have given to the master that is up, and it has not done.
    pub owed: BTreeSet<Effect>,
    /// Releases that were ever leased, with the end of their lease while it stands.
    releases: BTreeMap<Effect, Option<OrderedMillis>>,
    /// Reservations that stand at the Vaults, with their deadlines.
    pub reserved: BTreeMap<(TaskId, VaultId), OrderedMillis>,
    /// Reservations that became charges.
    pub committed: BTreeSet<(TaskId, VaultId)>,
    /// What the rounds of trainings drew of a person's reservation.
    pub drawn: BTreeMap<(TaskId, VaultId), Epsilon>,
    /// Locks on the chain.
    pub locked: BTreeMap<LockRef, Sym>,
    /// Contributor money that the chain holds as carried.
    pub waiting: BTreeMap<VaultId, Sym>,
    /// Batches that the chain has done.
    pub batches: BTreeMap<EpochId, Digest>,
}

/// The stage's governance, with trainings combined in this environment.
pub(crate) fn governance(environment: Environment) -> Governance {
    let mut governance = stage::governance();
    for policy in governance.policies.values_mut() {
        policy.train.environment = environment;
    }
    governance
}

impl World {
    pub(crate) fn new(script: Script) -> Self {
        Self {
            state: State::genesis(governance(script.course.environment)),
            now: START,
            by: master(1),
            script,
            watched: true,
            log: vec![],
            commands: vec![],
            journal: vec![],
            owed: BTreeSet::new(),
            releases: BTreeMap::new(),
            reserved: BTreeMap::new(),
            committed: BTreeSet::new(),
            drawn: BTreeMap::new(),
            locked: BTreeMap::new(),
            waiting: BTreeMap::new(),
            batches: BTreeMap::new(),
        }
    }

    /// The machine of a network of three masters, of which two make a majority.
    pub(crate) fn of_three(script: Script) -> Self {
        let mut world = Self::new(script);
        world.state.governance.registry.masters = stage::masters(3);
        world
    }

    /// Orders a command through the master that is up: decide, evolve, collect effects.
    pub(crate) fn order(&mut self, command: &Command) -> Result<Vec<Event>, Refusal> {
        let order = Order { by: self.by.clone(), command: command.clone() };
        assert_eq!(bcs::from_bytes(&to_bytes(&order)), Ok(order.clone()));
        let bytes = |state: &State, watched| if watched { to_bytes(state) } else { vec![] };
        let before = bytes(&self.state, self.watched);
        let events = match decide(&self.state, self.now, &order) {
            Ok(events) => events,
            Err(refusal) => {
                assert_eq!(bytes(&self.state, self.watched), before, "decide changes nothing");
                return Err(refusal);
            }
        };
        for event in &events {
            self.follow_lease(event);
            evolve(&mut self.state, self.now, event);
            self.owed.extend(effect_for(&self.by, event).cloned());
            if self.watched {
                self.log.push((self.now, event.clone()));
            }
        }
        self.owed.retain(|effect| self.state.holds(&self.by, effect));
        if self.watched {
            self.check_leases(command);
            self.check_derived();
        }
        if !events.is_empty() {
            self.commands.push(command.clone());
            self.journal.push((self.now, order, events.clone()));
        }
        Ok(events)
    }

    /// R196: a lease is new, or passes on one that had run out, to the master that ordered it, or to another if that one
    /// has said that it cannot; one whose holder has said so passes on before. A release is leased once and dropped when
    /// its time has passed.
    fn follow_lease(&mut self, event: &Event) {
        match event {
            Event::EffectLeased { effect, lease: Lease { runner, attempt, until } } => {
                assert_eq!(*until, self.now.plus(stage::LEASE_MS));
                let task = effect.task().and_then(|task| self.state.tasks.get(&task));
                let unable = |master| task.is_some_and(|task| task.failures.contains_key(master));
                match self.state.leases.get(effect) {
                    Some(before) => {
                        // Whoever made what is under review passes it on, and has said nothing against the task.
                        let review = matches!(effect, Effect::Review(_));
                        let lapsed = before.until <= self.now;
                        assert!(lapsed || review || unable(&before.runner), "{before:?}");
                        assert!(lapsed && *runner == self.by || !unable(runner));
                        assert_eq!(*attempt, before.attempt + 1);
                    }
                    None => assert_eq!((runner, *attempt), (&self.by, 0)),
                }
                if effect.once() {
                    assert_eq!(self.releases.insert(effect.clone(), Some(*until)), None, "leased once");
                }
            }
            Event::LeaseDropped { effect } => {
                let until = self.releases.insert(effect.clone(), None).flatten();
                assert!(until.is_some_and(|until| until <= self.now), "{effect:?} is dropped early");
            }
            _ => {}
        }
    }

    /// R217: the index of what is due and the digest are those of a state that was read from its bytes.
    fn check_derived(&mut self) {
        assert!(self.state.due_agrees(), "{:?}", self.state.due);
        let mut again: State = bcs::from_bytes(&to_bytes(&self.state)).unwrap();
        assert_eq!(self.state.digest(), again.digest());
    }

    /// R196, R217: leased is what the state owes and the releases whose time has not passed, and nothing else; once
    /// time has advanced, no lease is in the past.
    fn check_leases(&self, command: &Command) {
        assert!(self.state.leases_agree(), "{:?}", self.state.leases);
        let releases = self.state.leases.iter().filter(|(effect, _)| effect.once());
        let standing = self.releases.iter().filter_map(|(effect, until)| Some((effect, (*until)?)));
        assert!(standing.eq(releases.map(|(effect, lease)| (effect, lease.until))));
        if *command == Command::AdvanceTime {
            assert!(self.state.leases.values().all(|lease| lease.until > self.now));
        }
        let due = self.state.timer();
        assert!(self.state.leases.values().all(|lease| due.is_some_and(|due| due <= lease.until)));
    }

    /// Locks on the chain and submits.
    pub(crate) fn submit(&mut self, request: &TaskRequest, amount: Sym) -> Result<Vec<Event>, Refusal> {
        let fact = stage::lock(request, amount);
        self.locked.insert(fact.lock, amount);
        self.order(&self.submission(request, fact))
    }

    /// The submission of a request with a lock that a majority of the masters saw.
    pub(crate) fn submission(&self, request: &TaskRequest, fact: LockFact) -> Command {
        let lock = fact.lock;
        let fact = Some(stage::endorsed(&self.state.governance.registry, fact));
        Command::SubmitTask { request: request.clone(), lock, fact }
    }

    /// The word of the master that is up, in a network of one under any name, that it cannot do a step.
    pub(crate) fn failure(&self, task: &TaskId, step: Step, code: Code) -> Command {
        let masters = &self.state.governance.registry.masters;
        let alone = masters.keys().next().filter(|_| masters.len() == 1);
        failure(alone.unwrap_or(&self.by), task, step, code)
    }

    /// The report of an aggregate that a majority of the masters found attested.
    pub(crate) fn aggregated(&self, aggregate: SignedAggregate) -> Command {
        let aggregate = AttestedAggregate { aggregate };
        Command::RecordAggregate { aggregate: stage::endorsed(&self.state.governance.registry, aggregate) }
    }

    pub(crate) fn advance(&mut self, to: OrderedMillis) -> Vec<Event> {
        self.now = to;
        self.expire();
        self.order(&Command::AdvanceTime).unwrap()
    }

    /// A reservation ends by itself at its deadline.
    pub(crate) fn expire(&mut self) {
        self.reserved.retain(|_, deadline| *deadline > self.now);
    }

    pub(crate) fn task(&self, task: &TaskId) -> &Task {
        &self.state.tasks[task]
    }

    /// Runs until nothing is owed and no timer is left.
    pub(crate) fn run(&mut self, disturbance: Disturbance) {
        for step in 0.. {
            assert!(step < 500, "the run does not end: {:?}", self.owed);
            if disturbance.replaced_at == Some(step) {
                self.replace(master(2));
            }
            if disturbance.crash_always || disturbance.crash_at == Some(step) {
                self.crash();
            }
            self.same_debts();
            if !self.step(disturbance.twice) {
                let Some(due) = self.state.timer() else { break };
                let before = self.state.clone();
                self.advance(due.max(self.now));
                assert_ne!(before, self.state, "a timer that is due changes something");
            }
        }
        self.now = self.now.plus(stage::EPOCH_MS);
        self.expire();
    }

    /// Does one owed effect that its party answers; says whether there was one.
    pub(crate) fn step(&mut self, twice: bool) -> bool {
        let owed: Vec<Effect> = self.owed.iter().cloned().collect();
        for effect in owed {
            if twice {
                self.perform(&effect);
            }
            let Some(command) = self.perform(&effect) else { continue };
            self.order(&command).unwrap_or_else(|refusal| panic!("{effect:?}: {refusal}"));
            if twice {
                assert_eq!(self.order(&command), Ok(vec![]), "{effect:?} reported twice");
            }
            return true;
        }
        false
    }

    /// The process dies and starts again from what is stored.
    pub(crate) fn crash(&mut self) {
        self.state = bcs::from_bytes(&to_bytes(&self.state)).unwrap();
        self.owed = self.state.held_by(&self.by).cloned().collect();
    }

    /// Another master is up instead, with the same state.
    pub(crate) fn replace(&mut self, by: NodeId) {
        self.by = by;
        self.crash();
    }

    /// A running master and a restarted one owe the same, but for releases that were done already.
    fn same_debts(&self) {
        let running: BTreeSet<_> = self.owed.iter().filter(|effect| !effect.once()).collect();
        let restarted: BTreeSet<_> = self.state.held_by(&self.by).filter(|effect| !effect.once()).collect();
        assert_eq!(running, restarted, "R217: events and state agree");
    }

    /// Does what an effect asks; the report, unless the party is silent.
    pub(crate) fn perform(&mut self, effect: &Effect) -> Option<Command> {
        match effect {
            Effect::PrepareTask(task) => Some(self.prepare(task)),
            Effect::ReleaseBudget(task, vaults) => {
                for vault in vaults {
                    self.reserved.remove(&(*task, vault.clone()));
                }
                self.owed.remove(effect);
                None
            }
            Effect::AssignSlices(task) => self.slices(task),
            Effect::Aggregate(task) => match self.script.aggregate {
                Act::Serve => Some(self.combine(task)),
                Act::Refuse => Some(self.failure(task, Step::Aggregate, Code::AggregationFailed)),
                Act::Mumble | Act::Sleep => None,
            },
            Effect::Train(task) => self.train(task),
            Effect::Parse(task) => self.parse(task),
            Effect::Verify(task) => match self.script.verify {
                Act::Serve => Some(Command::RecordVerdict { verdict: self.verdict(task) }),
                Act::Refuse => {
                    let mut verdict = self.verdict(task).body;
                    verdict.decision = Decision::Rejected(Code::ResultRejected);
                    Some(Command::RecordVerdict { verdict: key::<Verifier>("verifier").sign(verdict) })
                }
                Act::Mumble | Act::Sleep => None,
            },
            Effect::Review(task) => match self.script.review {
                Act::Serve => Some(self.found(task, true)),
                Act::Refuse => Some(self.found(task, false)),
                Act::Mumble | Act::Sleep => None,
            },
            Effect::CloseDividends(epoch) => {
                Some(Command::RecordDividends { epoch: *epoch, statements: self.statements(*epoch) })
            }
            Effect::Pay(epoch) => Some(self.pay(*epoch)),
            Effect::Move(from) => {
                let known = &self.state.governance.registry.moves[from];
                let closing = crate::council::moves::closing(known.since.by, from, &known.to);
                Some(Command::RecordMove { closing })
            }
        }
    }

    fn prepare(&mut self, task: &TaskId) -> Command {
        let Answer::Preparing(admission) = &self.state.requests[task].answer else { panic!("not asked") };
        let mut answers = vec![];
        for vault in &admission.vaults {
            let act = if self.suspended(vault) { Act::Refuse } else { self.script.prepare[index(vault)] };
            let asked = admission.preparation(vault);
            if matches!(act, Act::Serve | Act::Mumble) && !self.committed.contains(&(*task, vault.clone())) {
                self.reserved.insert((*task, vault.clone()), asked.deadline);
            }
            answers.push(match act {
                Act::Serve => PrepareAnswer::Receipt(receipt(&asked, None)),
                Act::Refuse => PrepareAnswer::Receipt(receipt(&asked, Some(Code::VaultFull))),
                Act::Mumble | Act::Sleep => PrepareAnswer::Silent(vault.clone()),
            });
        }
        Command::RecordPreparations { task: *task, answers }
    }

    fn slices(&mut self, task: &TaskId) -> Option<Command> {
        let envelope = self.task(task).envelope.clone();
        let mut slices = vec![];
        let mut silent = 0;
        for vault in &envelope.coordination.participating_vault_ids {
            let place = (*task, vault.clone());
            let act = if self.suspended(vault) { Act::Refuse } else { self.script.slice[index(vault)] };
            if matches!(act, Act::Serve | Act::Mumble) && self.reserved.remove(&place).is_some() {
                self.committed.insert(place.clone());
            }
            match act {
                Act::Serve => slices.push(slice(&envelope, vault)),
                Act::Refuse => {}
                Act::Mumble | Act::Sleep => silent += 1,
            }
        }
        // Without any answer the runner waits, and the stage runs out of time.
        let all = envelope.coordination.participating_vault_ids.len();
        (silent < all).then(|| match accepted(&self.state.governance, &envelope, &slices) {
            Ok(_) => Command::RecordSlices { task: *task, slices },
            Err(code) => self.failure(task, Step::Slices, code),
        })
    }

    /// Whether a Vault follows the log to its own suspension: it takes nothing and computes nothing.
    pub(crate) fn suspended(&self, vault: &VaultId) -> bool {
        self.state.governance.registry.suspensions.contains_key(vault)
    }

    /// What an honest master reports of an aggregation: it looks at the aggregate first.
    fn combine(&self, task: &TaskId) -> Command {
        let Task { envelope, stage: Stage::Aggregating { slices, .. }, .. } = self.task(task) else {
            panic!("nothing to aggregate")
        };
        let aggregate = self.aggregate(task);
        match aggregate::check(envelope, slices, &aggregate) {
            Ok(()) => self.aggregated(aggregate),
            Err(code) => self.failure(task, Step::Aggregate, code),
        }
    }

    pub(crate) fn aggregate(&self, task: &TaskId) -> SignedAggregate {
        let Task { envelope, stage: Stage::Aggregating { slices, .. }, .. } = self.task(task) else {
            panic!("nothing to aggregate")
        };
        aggregate(envelope, slices, self.script.outcome)
    }

    /// All that the nodes say of a task that is being verified.
    pub(crate) fn evidence(&self, task: &TaskId) -> Evidence {
        let known = self.task(task);
        let Stage::Verifying { slices, aggregate, .. } = &known.stage else { panic!("nothing to verify") };
        let envelope = stage::endorsed(&self.state.governance.registry, known.envelope.clone());
        if known.envelope.plan.training().is_some() {
            let rounds = self.state.earlier_rounds_of(task);
            return Evidence { envelope, ..rounds::evidence(known, &rounds, slices, aggregate) };
        }
        Evidence { envelope, ..evidence(known, slices, aggregate) }
    }

    /// What the Vault of a parse states.
    fn parse(&self, task: &TaskId) -> Option<Command> {
        let order = &self.state.parses[task].order;
        let statement = match self.script.parse {
            Act::Serve => parse::statement(order, parse::read()),
            Act::Refuse => parse::statement(order, ParseOutcome::Refused(Code::RecordInvalid)),
            Act::Mumble | Act::Sleep => return None,
        };
        Some(Command::RecordParse { statement })
    }

    pub(crate) fn verdict(&self, task: &TaskId) -> SignedVerdict {
        if let Some(known) = self.state.parses.get(task) {
            let evidence = parse::evidence(&self.state.governance.registry, known);
            let verdict = verification::parse::verdict(&self.state.governance, &evidence, &parse::appraise);
            return key::<Verifier>("verifier").sign(verdict);
        }
        let verdict = verification::verdict(&self.state.governance, &self.evidence(task), &appraise);
        key::<Verifier>("verifier").sign(verdict)
    }

    /// What the Vaults state of an epoch, by the script.
    pub(crate) fn statements(&self, epoch: EpochId) -> Vec<SignedDividends> {
        let mut statements = vec![];
        for (vault, account) in &self.state.contributors {
            let Some(act) = place_of(vault).map(|at| self.script.dividends[at]) else { continue };
            let request = dividend_request(&self.state.governance, vault, epoch, account);
            let shares = request.shares.iter().map(|(_, share)| *share);
            let allotted = sum(shares.chain([request.carried_in])).unwrap();
            match act {
                Act::Serve => statements.push(dividends(vault, epoch, allotted, false)),
                Act::Refuse => statements.push(dividends(vault, epoch, allotted, true)),
                Act::Mumble | Act::Sleep => {}
            }
        }
        statements
    }

    /// The chain does a batch once, and its books stay even.
    fn pay(&mut self, epoch: EpochId) -> Command {
        let instructions = match &self.state.epochs[&epoch].stage {
            EpochStage::Issued(instructions, _) => instructions.clone(),
            other => panic!("nothing to pay: {other:?}"),
        };
        let batch = instructions.digest();
        match self.batches.insert(epoch, batch) {
            Some(done) => assert_eq!(done, batch, "R172: a batch does not change"),
            None => self.settle(&instructions),
        }
        let transaction = Digest::of("test/transaction", &batch);
        let body = PayoutConfirmation { epoch, batch, transaction, version: 7 };
        Command::RecordPayout { confirmation: key::<Payout>("payout").sign(body) }
    }

    fn settle(&mut self, set: &PayoutInstructionSet) {
        let mut charged = Sym::ZERO;
        for settlement in &set.settlements {
            let locked = self.locked.remove(&settlement.lock).expect("R176: a lock is resolved once");
            assert_eq!(settlement.charged.checked_add(settlement.refunded), Some(locked), "R156, D5");
            charged = charged.checked_add(settlement.charged).unwrap();
        }
        assert_conserved(set);
        for carry in &set.carries {
            let held = self.waiting.insert(carry.vault.clone(), carry.into).unwrap_or_default();
            assert_eq!(held, carry.out_of, "the chain holds what the master thinks it holds");
        }
    }
}

/// A master's word that it cannot do a step of a task.
pub(crate) fn failure(master: &NodeId, task: &TaskId, step: Step, code: Code) -> Command {
    let failure = TaskFailure { task: *task, step, code };
    Command::RecordFailure { failure: key::<Master>(master.as_str()).sign(failure) }
}

/// R158, R161, R169, D7: what comes in goes out, to the base unit.
pub(crate) fn assert_conserved(set: &PayoutInstructionSet) {
    let all = |amounts: Vec<Sym>| sum(amounts).unwrap();
    let come = all(set
        .settlements
        .iter()
        .map(|settlement| settlement.charged)
        .chain(set.subsidies.iter().map(|subsidy| subsidy.amount))
        .chain(set.carries.iter().map(|carry| carry.out_of))
        .collect());
    let gone = all(set
        .payees
        .iter()
        .map(|payee| payee.amount)
        .chain(set.dividends.iter().map(|tree| tree.total))
        .chain(set.carries.iter().map(|carry| carry.into))
        .chain([set.pool_return, set.treasury])
        .collect());
    assert_eq!(come, gone, "{set:?}");
}

/// A statement that pays most, returns some to the pool, or carries everything.
pub(crate) fn dividends(vault: &VaultId, epoch: EpochId, allotted: Sym, carry: bool) -> SignedDividends {
    let carried = if carry { allotted } else { Sym::ZERO };
    let paid = Sym(allotted.0 - carried.0);
    let pool_return = Sym(paid.0 / 3);
    let total = Sym(paid.0 - pool_return.0);
    let payees = if total == Sym::ZERO { 0 } else { 25 };
    let root = if payees == 0 { merkle::root(&[]) } else { Digest::of("test/tree", &(vault, epoch)) };
    let vault_key = key::<Vault>(vault.as_str());
    vault_key.sign(DividendStatement {
        vault: vault.clone(),
        epoch,
        allotted,
        root,
        payees,
        total,
        pool_return,
        carried,
    })
}

pub(crate) fn receipt(asked: &Preparation, refusal: Option<Code>) -> SignedReceipt {
    key::<Vault>(asked.vault.as_str()).sign(ReserveReceipt {
        task: asked.task,
        vault: asked.vault.clone(),
        refusal,
        epsilon: asked.epsilon,
        coverage: Bucket::of(100_000),
        deadline: asked.deadline,
        ledger_head: Digest::of("test/ledger", &asked.vault),
    })
}

/// The slice of a Vault that used as many records as its place in the world says.
pub(crate) fn slice(envelope: &TaskEnvelope, vault: &VaultId) -> SignedSlice {
    let mut header = SliceHeader {
        task: envelope.task,
        vault: vault.clone(),
        nonce: slice_nonce(envelope, vault),
        attempt: 0,
        epsilon: envelope.charge.per_subject().unwrap(),
        coverage: Bucket::of(90_000),
        records: Bucket::of(1_000 << index(vault)),
        input_root: Digest::of("test/input", vault),
        bundle: Digest::of("test/bundle", &(envelope.task, vault)),
        report: Digest::ZERO,
        ledger_head: Digest::of("test/head", vault),
    };
    header.report = Digest::of_bytes(&slice_attestation(envelope, &header).report);
    key::<Vault>(vault.as_str()).sign(header)
}

pub(crate) fn aggregate(
    envelope: &TaskEnvelope,
    slices: &[SignedSlice],
    outcome: Outcome,
) -> SignedAggregate {
    let header = AggregateHeader {
        task: envelope.task,
        aggregator: envelope.coordination.aggregator.clone(),
        inputs: slices.iter().map(|slice| (slice.body.vault.clone(), slice.body.bundle)).collect(),
        outcome,
        result: Digest::of("test/result", &envelope.task),
        seed: Digest::of("test/seed", &envelope.task),
        report: Digest::ZERO,
        helper: None,
    };
    signed_aggregate(envelope, aggregate_nonce(envelope), slices, header)
}

/// A header with the report on it, in the name of the aggregator's enclave.
pub(crate) fn signed_aggregate(
    envelope: &TaskEnvelope,
    nonce: Digest,
    slices: &[SignedSlice],
    mut header: AggregateHeader,
) -> SignedAggregate {
    let attestation = attest(&aggregate_expectation(envelope, slices, &header, nonce));
    header.report = Digest::of_bytes(&attestation.report);
    enclave().sign(header)
}

/// The evidence of a task with these slices and this aggregate.
pub(crate) fn evidence(task: &Task, slices: &[SignedSlice], aggregate: &SignedAggregate) -> Evidence {
    let envelope = &task.envelope;
    Evidence {
        envelope: key::<Master>("master-1").endorsed(envelope.clone()),
        receipts: task.receipts.clone(),
        rounds: vec![],
        result: Combined {
            slices: slices
                .iter()
                .map(|slice| (slice.clone(), slice_attestation(envelope, &slice.body)))
                .collect(),
            aggregate: (
                aggregate.clone(),
                attest(&aggregate_expectation(envelope, slices, &aggregate.body, aggregate_nonce(envelope))),
            ),
            helper: None,
        },
    }
}

pub(crate) fn index(vault: &VaultId) -> usize {
    place_of(vault).expect("a vault of the world")
}

fn place_of(vault: &VaultId) -> Option<usize> {
    stage::VAULTS.iter().position(|name| *name == vault.as_str())
}
