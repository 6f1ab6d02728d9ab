//! The budget ledger of a Vault with a million people (R064, R067, R069): reserve and commit of everybody in one durable step each,
//! beside the drive's own time for bytes of that size, and one person's proven statement after a thousand tasks.
//!
//! Physical limit: both commands write the set of people, 125 kB, and wait for the drive; between them lie a pass over consents and
//! two over balances, 32 MB of memory each.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use symphony_consensus::machine::Genesis;
use symphony_consensus::orderer::{Orderer as _, Solo};
use symphony_consensus::replay::Verify;
use symphony_protocol::artifact::{Assignment, Preparation, SignedReceipt};
use symphony_protocol::vault::consent::{ConsentChange, Statement};
use symphony_protocol::vault::machine::{Charter, Command, State};
use symphony_protocol::vault::subjects::SubjectKey;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{TaskId, UsageScope};
use symphony_types::subjects::SubjectIndex;
use symphony_types::time::OrderedMillis;
use symphony_vault::keys::VaultKeys;
use symphony_vault::machine::VaultMachine;
use tokio::runtime::Runtime;

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
    for task in PAIRS..TASKS {
        runtime.block_on(bench.reserve_and_commit(task as u64 + 1));
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
    journal: Solo<VaultMachine>,
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
        let bench = Self { folder, world, journal, receipt };
        for from in (0..people).step_by(BATCH) {
            let batch = from..people.min(from + BATCH as u32);
            let keys = batch.clone().map(|n| SubjectKey(Digest::of("bench", &n))).collect();
            bench.order(Command::EnrolSubjects { keys }).await;
            let scope = UsageScope::new("marketing").expect("a scope");
            let granted = |n| ConsentChange {
                subject: SubjectIndex(n),
                scope: scope.clone(),
                statement: Statement::Granted { expires: None },
            };
            bench.order(Command::RecordConsents { changes: batch.clone().map(granted).collect() }).await;
            let subjects: Vec<_> = batch.map(SubjectIndex).collect();
            let count = subjects.len() as u32;
            bench.order(Command::AppendRecords { count, root: Digest::ZERO, subjects }).await;
        }
        bench
    }

    async fn order(&self, command: Command) {
        self.journal.order(command).await.expect("the vault takes it");
    }

    async fn reserve_and_commit(&self, number: u64) {
        let task = TaskId(Digest::of("bench-task", &number));
        let asked = self.world.preparation(1, CHARGE, u64::MAX / 2);
        let preparation = self.world.master.endorsed(Preparation { task, ..asked });
        self.order(Command::PrepareTask { preparation }).await;
        let mut receipt = self.receipt.clone();
        receipt.body.task = task;
        let assignment: Assignment = self.world.assignment(&receipt);
        self.order(Command::CommitTask { assignment: Box::new(self.world.master.endorsed(assignment)) })
            .await;
    }
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
/// Of which one person's statement tells.
const TASKS: usize = 1_000;
