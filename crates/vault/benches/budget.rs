//! The budget ledger of a Vault with a million people (R064, R067, R069): reserve and commit of everybody in one durable step each,
//! beside the drive's own time for bytes of that size; ten campaigns at once beside ten in turn; what enrolling costs a person as the
//! Vault fills; one person's proven statement after a thousand tasks; and the memory of the state alone.
//!
//! Physical limit: both commands write the set of people, 125 kB, and wait for the drive. The reservation reads the balances of a
//! scope, 8 MB, and those of every other scope; then it reads them again and writes a copy, since readers hold the state before. The
//! commit touches sets only.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use symphony_consensus::machine::Genesis;
use symphony_consensus::orderer::{Orderer as _, Solo};
use symphony_consensus::replay::Verify;
use symphony_protocol::artifact::{Assignment, Preparation, SignedReceipt};
use symphony_protocol::vault::consent::{ConsentChange, Statement};
use symphony_protocol::vault::ledger::Ordered;
use symphony_protocol::vault::machine::{Charter, Command, Event, State, evolve};
use symphony_protocol::vault::subjects::SubjectKey;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{PolicyVersion, TaskId, UsageScope};
use symphony_types::subjects::{SubjectIndex, SubjectSet};
use symphony_types::time::OrderedMillis;
use symphony_vault::keys::VaultKeys;
use symphony_vault::machine::VaultMachine;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::pairs::{compare, per_unit, print};
use crate::world::{World, vault_id};

#[path = "../../compute/benches/pairs/mod.rs"]
mod pairs;
#[allow(dead_code, unused_imports, clippy::unwrap_used)]
#[path = "../tests/it/world.rs"]
mod world;

fn main() {
    let people: u32 =
        std::env::var("SYMPHONY_BENCH_PEOPLE").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    weigh(people);
    let runtime = Runtime::new().expect("the system has threads for a runtime");
    let bench = runtime.block_on(Bench::new(people));
    let mut file = File::create(bench.folder.path().join("plain")).expect("the folder is writable");
    let mut next = 0;
    let mut write = move || per_unit(1, || twice(&mut file, people as usize / 8));
    let both = || {
        next += 1;
        per_unit(1, || runtime.block_on(bench.reserve_and_commit(next)))
    };
    let row = compare(("reserve and commit", both), ("the same bytes written and synced", &mut write), PAIRS);
    print(&format!("budget: {people} people in one task"), "task", &[row]);
    let mut next = PAIRS as u64;
    let before = processor();
    for _ in 0..PAIRS {
        next += 1;
        runtime.block_on(bench.reserve_and_commit(next));
    }
    let each = (processor() - before) as f64 / PAIRS as f64;
    println!("\nprocessor time of all threads, whatever else runs: {:.2} ms a task", each / 1e6);
    let mut number = || {
        next += CAMPAIGNS;
        next - CAMPAIGNS + 1..=next
    };
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        first.push(number());
        second.push(number());
    }
    let at_once = || per_unit(1, || runtime.block_on(bench.campaigns(first.pop().expect("one a pair"))));
    let in_turn = || {
        let numbers = second.pop().expect("one a pair");
        per_unit(1, || numbers.for_each(|number| runtime.block_on(bench.reserve_and_commit(number))))
    };
    let row = compare(("reserved, then committed, at once", at_once), ("in turn", in_turn), PAIRS);
    print(&format!("budget: {CAMPAIGNS} campaigns over {people} people"), "ten", &[row]);
    for task in next..TASKS {
        runtime.block_on(bench.reserve_and_commit(task + 1));
    }
    let keys = VaultKeys::open(bench.world.path()).expect("the vault's keys");
    let state = bench.journal.state();
    let prove = || {
        per_unit(1, || {
            let sign = |root| keys.signing.sign(root);
            state.ledger.prove(&vault_id(), SubjectIndex(people / 2), None, NOW, sign)
        })
    };
    let statement =
        state.ledger.prove(&vault_id(), SubjectIndex(people / 2), None, NOW, |root| keys.signing.sign(root));
    let check = || per_unit(1, || statement.check(&keys.signing.public()).expect("the statement holds"));
    let row = compare(("made by the vault", prove), ("checked by the person", check), PAIRS);
    print(
        &format!("budget: one person's statement of {} tasks", statement.entries.len()),
        "statement",
        &[row],
    );
    runtime.block_on(bench.journal.stop()).expect("the journal did not fail");
}

struct Bench {
    folder: tempfile::TempDir,
    world: World,
    journal: Arc<Solo<VaultMachine>>,
    receipt: SignedReceipt,
}

impl Bench {
    /// A Vault's journal in which everybody is enrolled, consents and has a record.
    async fn new(people: u32) -> Self {
        let mut world = World::new();
        world.populate(2).await;
        let receipt = world.prepare(1, CHARGE, u64::MAX / 2).await;
        let policy = world.governance.policies.values_mut().next().expect("a policy");
        policy.privacy.subject_cap = Epsilon(u64::MAX / 2);
        policy.privacy.scope_limits.values_mut().for_each(|limit| *limit = Epsilon(u64::MAX / 2));
        // The build's own folder is on a drive; the system's temporary folder may be memory, where nothing is durable.
        let folder =
            tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's folder is writable");
        let state = State::new(Charter::of(vault_id(), &world.governance));
        let genesis = Genesis { name: "bench".into(), state };
        let file = folder.path().join("journal.redb");
        let journal =
            Solo::open(&file, &genesis, Verify::Links, Arc::new(|| NOW)).expect("a new journal opens");
        let bench = Self { folder, world, journal: Arc::new(journal), receipt };
        println!("\nbudget: microseconds a person, in batches of {BATCH}, each command durable\n");
        println!("| people | enrolled | consent | a record |\n|---|---:|---:|---:|");
        let tenth = (people / 10).max(1);
        for from in (0..people).step_by(tenth as usize) {
            bench.populate(from..people.min(from + tenth)).await;
        }
        bench
    }

    async fn populate(&self, people: std::ops::Range<u32>) {
        let mut times = [Duration::ZERO; 3];
        for from in people.clone().step_by(BATCH) {
            for (time, command) in times.iter_mut().zip(arriving(from..people.end.min(from + BATCH as u32))) {
                let start = Instant::now();
                self.order(command).await;
                *time += start.elapsed();
            }
        }
        let [keys, consents, records] = times.map(|time| time.as_secs_f64() * 1e6 / people.len() as f64);
        println!("| {} to {} | {keys:.2} | {consents:.2} | {records:.2} |", people.start, people.end);
    }

    async fn order(&self, command: Command) {
        self.journal.order(command).await.expect("the vault takes it");
    }

    /// All at once: every reservation is asked for before any commit.
    async fn campaigns(&self, numbers: std::ops::RangeInclusive<u64>) {
        for step in [Self::reservation, Self::commit] {
            let mut waiting = JoinSet::new();
            for number in numbers.clone() {
                let (journal, command) = (Arc::clone(&self.journal), step(self, number));
                waiting.spawn(async move { journal.order(command).await.map(drop) });
            }
            for done in waiting.join_all().await {
                done.expect("the vault takes it");
            }
        }
    }

    async fn reserve_and_commit(&self, number: u64) {
        self.order(self.reservation(number)).await;
        self.order(self.commit(number)).await;
    }

    fn reservation(&self, number: u64) -> Command {
        let task = TaskId(Digest::of("bench-task", &number));
        let asked = self.world.preparation(1, CHARGE, u64::MAX / 2);
        let preparation = self.world.master.endorsed(Preparation { task, ..asked });
        Command::PrepareTask { preparation }
    }

    fn commit(&self, number: u64) -> Command {
        let task = TaskId(Digest::of("bench-task", &number));
        let mut receipt = self.receipt.clone();
        receipt.body.task = task;
        let assignment: Assignment = self.world.assignment(&receipt);
        Command::CommitTask { assignment: Box::new(self.world.master.endorsed(assignment)) }
    }
}

/// What a Vault hears of new people.
fn arriving(people: std::ops::Range<u32>) -> [Command; 3] {
    let keys = people.clone().map(|n| SubjectKey(Digest::of("bench", &n))).collect();
    let scope = marketing();
    let granted = |n| ConsentChange {
        subject: SubjectIndex(n),
        scope: scope.clone(),
        statement: Statement::Granted { expires: None },
    };
    let changes = people.clone().map(granted).collect();
    let subjects: Vec<_> = people.map(SubjectIndex).collect();
    let count = subjects.len() as u32;
    [
        Command::EnrolSubjects { keys },
        Command::RecordConsents { changes },
        Command::AppendRecords { count, root: Digest::ZERO, subjects },
    ]
}

/// Prints the memory of a state without its journal: of the people, and of tasks over all of them.
fn weigh(people: u32) {
    let before = resident();
    let mut state = State::new(Charter::of(vault_id(), &World::new().governance));
    for from in (0..people).step_by(BATCH) {
        for command in arriving(from..people.min(from + BATCH as u32)) {
            let event = match command {
                Command::EnrolSubjects { keys } => Event::SubjectsEnrolled { keys },
                Command::RecordConsents { changes } => Event::ConsentsRecorded { changes },
                Command::AppendRecords { count, root, subjects } => {
                    Event::RecordsAppended { count, root, subjects }
                }
                other => panic!("nobody arrives by {other:?}"),
            };
            evolve(&mut state, NOW, &event);
        }
    }
    let of_people = resident();
    let subjects: SubjectSet = (0..people).map(SubjectIndex).collect();
    let order = Ordered { envelope: Digest::ZERO, assignment: Digest::ZERO, attempt: 0 };
    for number in 0..TASKS {
        let task = TaskId(Digest::of("bench-task", &number));
        let reserved = Event::BudgetReserved {
            task,
            scope: marketing(),
            policy: PolicyVersion(1),
            epsilon: Epsilon(CHARGE),
            preparation: Digest::ZERO,
            subjects: subjects.clone(),
            deadline: OrderedMillis(u64::MAX),
        };
        evolve(&mut state, NOW, &reserved);
        let mut subjects = subjects.clone();
        // Every second task loses somebody in between, and so keeps two sets.
        if number % 2 == 0 {
            subjects.remove(SubjectIndex(0));
        }
        evolve(&mut state, NOW, &Event::BudgetCommitted { task, subjects, order });
    }
    let of_tasks = resident();
    println!("\nbudget: MiB of a state without its journal, before and after\n");
    println!("| nothing | {people} people | {TASKS} tasks over all of them |\n|---:|---:|---:|");
    println!("| {before} | {of_people} | {of_tasks} |");
    drop(state);
}

/// MiB of this process in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the system tells of its processes");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("of their memory too");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1_024
}

/// Nanoseconds that the threads of this process have run.
fn processor() -> u64 {
    let threads = std::fs::read_dir("/proc/self/task").expect("the system tells of its processes");
    let of_thread = |thread: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    threads.filter_map(of_thread).sum()
}

fn marketing() -> UsageScope {
    UsageScope::new("marketing").expect("a scope")
}

/// What two durable commands cannot avoid.
fn twice(file: &mut File, bytes: usize) {
    for _ in 0..2 {
        file.write_all(&vec![7; bytes]).expect("the drive takes it");
        file.sync_data().expect("the drive is there");
    }
}

const NOW: OrderedMillis = OrderedMillis(1_000);
const CHARGE: u64 = 10;
const BATCH: usize = 10_000;
const PAIRS: usize = 15;
const CAMPAIGNS: u64 = 10;
/// Of which one person's statement tells.
const TASKS: u64 = 1_000;
