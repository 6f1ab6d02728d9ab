//! Everything of a Vault moves to another: what arrives, what is left, what is refused, and crashes between the steps.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prost::Message as _;
use symphony_protocol::artifact::DividendRequest;
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::change::Change;
use symphony_protocol::governance::registry::{Actor, VaultRecord};
use symphony_protocol::machine::MoveClosing;
use symphony_protocol::vault::moving::{SignedInvitation, SignedOffer, SignedStanding};
use symphony_reader::host::Reader;
use symphony_tee::measure;
use symphony_tee::report::EnclaveRole;
use symphony_types::amount::Sym;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, EpochId, Measurement, VaultId};
use symphony_types::key::{PrivateKey, Vault};
use symphony_types::time::OrderedMillis;
use symphony_vault::agent::Agent;
use symphony_vault::check::{self, Report};
use symphony_vault::enterprise::{Enterprise, Quota};
use symphony_vault::keys::VaultKeys;
use symphony_vault::moving::Step;
use symphony_vault::problem::Problem;
use symphony_wire::enclave::purpose;
use symphony_wire::moving::{Ask, Cargo, Told};
use symphony_wire::sealed::{self, SealingKey};
use symphony_wire::signing::{CONTEXT_OPERATION, sign_bytes};
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{
    ErasePerson, ListReceipts, PutReceipt, ReadBudget, ReadConsents, ReadDividends, ReadReceipt,
    SignedOperation, VaultAnswer, VaultOperation,
};
use tempfile::TempDir;

use crate::governing::told as update;
use crate::world::*;

/// Two Vaults with their enclaves, under a council that moves everything of the first to the second.
struct Pair {
    world: World,
    folder: TempDir,
    south: Option<Arc<Enterprise>>,
    quota: Quota,
    agents: Arc<Agents>,
}

/// Enclaves of one program: they have nothing of a Vault's between two calls.
struct Agents {
    north: Arc<Agent>,
    south: Arc<Agent>,
    aggregator: Agent,
    measurement: Measurement,
    _elsewhere: TempDir,
}

const STEPS: [Step; 10] = [
    Step::Sealed,
    Step::Offered,
    Step::Opened,
    Step::Keyed,
    Step::Admitted,
    Step::Confirmed,
    Step::Overwritten,
    Step::Emptied,
    Step::Ended,
    Step::Closed,
];

fn agents() -> Arc<Agents> {
    let program = program("symphony-enclave");
    let measurement = measure::program(&program).unwrap();
    let world = World::with(&[measurement]);
    let elsewhere = TempDir::new().unwrap();
    let start = |name: &str, role| {
        let folder = elsewhere.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        agent(&world, &program, &folder, name, role)
    };
    let north = Arc::new(start("acme-executor", EnclaveRole::Slice));
    let south = Arc::new(start("other-executor", EnclaveRole::Slice));
    let aggregator = start("aggregator", EnclaveRole::Aggregator);
    Arc::new(Agents { north, south, aggregator, measurement, _elsewhere: elsewhere })
}

fn south_id() -> VaultId {
    VaultId::new("south").unwrap()
}

impl Pair {
    fn new(agents: &Arc<Agents>) -> Self {
        let folder = TempDir::new().unwrap();
        let keys = VaultKeys::open(folder.path()).unwrap();
        let record = VaultRecord {
            operator: actor("other"),
            executor: actor("other-executor"),
            key: keys.signing.public(),
            sealing_key: keys.sealing.public().to_vec(),
        };
        drop(keys);
        let world = World::governed(&[agents.measurement], |governance| {
            governance.registry.vaults.insert(south_id(), record);
            for name in ["acme", "acme-executor", "other", "other-executor"] {
                let account = AccountId(Digest::of_bytes(name.as_bytes()));
                let active = Actor { account, roles: [].into(), scopes: [].into(), suspended: false };
                governance.registry.actors.insert(actor(name), active);
            }
        });
        let mut pair = Self { world, folder, south: None, quota: QUOTA, agents: Arc::clone(agents) };
        pair.reopen();
        pair
    }

    /// Ends both Vaults without a word and opens them again.
    fn reopen(&mut self) {
        self.close();
        self.world.reopen();
        let now = Arc::clone(&self.world.now);
        let clock = Arc::new(move || OrderedMillis(now.load(Ordering::SeqCst)));
        let reader = Reader::start(self.world.reader.clone()).unwrap();
        let governance = self.world.governance.clone();
        let quota = self.quota;
        let opened =
            Enterprise::open(self.folder.path(), south_id(), NETWORK, governance, clock, quota, reader);
        self.south = Some(Arc::new(opened.unwrap()));
    }

    fn close(&mut self) {
        self.world.close();
        if let Some(south) = self.south.take() {
            assert_eq!(Arc::strong_count(&south), 1, "somebody else holds the vault");
        }
    }

    fn south(&self) -> &Arc<Enterprise> {
        self.south.as_ref().unwrap()
    }

    /// Has both know that the council decided.
    fn decide(&self) {
        let log = update(&self.world, &[], moving());
        self.world.vault().follow(&log).unwrap();
        self.south().follow(&log).unwrap();
    }

    async fn ask_south(&self, who: (&str, &str), request: &str, operation: Operation) -> VaultAnswer {
        let message = VaultOperation {
            vault_id: south_id().as_str().into(),
            ..self.world.message(who, request, operation)
        };
        let operation = message.encode_to_vec();
        let signature = sign_bytes(&self.world.gateway, CONTEXT_OPERATION, &operation).to_vec();
        let signed = SignedOperation { operation, signature }.encode_to_vec();
        let key = &self.world.governance.registry.vaults[&south_id()].sealing_key;
        let sealed = sealed::seal(key, purpose::OPERATION, south_id().as_str().as_bytes(), &signed).unwrap();
        let answer = Arc::clone(self.south()).operate(sealed).await.unwrap();
        let key = SealingKey::from_seed(&[5; 32]);
        let answer = key.open(purpose::ANSWER, south_id().as_str().as_bytes(), &answer).unwrap();
        VaultAnswer::decode(answer.as_slice()).unwrap()
    }

    async fn step_north(&self, ask: Ask, cargo: Cargo) -> Result<(Told, Cargo), Problem> {
        Arc::clone(self.world.vault()).step_of_move(Arc::clone(&self.agents.north), ask, cargo).await
    }

    async fn step_south(&self, ask: Ask, cargo: Cargo) -> Result<(Told, Cargo), Problem> {
        Arc::clone(self.south()).step_of_move(Arc::clone(&self.agents.south), ask, cargo).await
    }

    /// The next batch on its way; else the source's word that nothing is left.
    async fn offered(&self) -> Result<Result<(Ask, Cargo), SignedStanding>, Problem> {
        let (told, boot) = self.step_south(Ask::Invite { from: vault_id() }, Cargo::default()).await?;
        let Told::Invited { invitation, standing } = told else { panic!("{told:?}") };
        let (told, cargo) = self.step_north(Ask::Offer { invitation, receipt: standing }, boot).await?;
        Ok(match told {
            Told::Offered { offer } => Ok((Ask::Accept { offer }, cargo)),
            Told::Stands { standing } => Err(standing),
            Told::Invited { .. } => panic!("{told:?}"),
        })
    }

    /// What a master does, from wherever the move is; `times` each step.
    async fn carried(&self, times: usize) -> Result<MoveClosing, Problem> {
        loop {
            for _ in 1..times {
                drop(self.offered().await?);
            }
            match self.offered().await? {
                Ok((accept, cargo)) => {
                    for _ in 0..times {
                        self.step_south(accept.clone(), cargo.clone()).await?;
                    }
                }
                Err(source) => {
                    let mut closed = None;
                    for _ in 0..times {
                        let ask = Ask::Close { last: source.clone() };
                        closed = Some(self.step_south(ask, Cargo::default()).await?.0);
                    }
                    let Some(Told::Stands { standing: destination }) = closed else { panic!("{closed:?}") };
                    return Ok(MoveClosing { source, destination });
                }
            }
        }
    }

    /// People `p0..`, one of them with more records and a receipt, who spent budget in a task.
    async fn populate(&self, people: u32) -> Vec<Facts> {
        self.world.populate(people).await;
        let more = |n: u32| coffee(2).replace("coffee-2", &format!("more-{n}"));
        let done = self.world.ask(OPERATOR, "more", put_records(&lines(5, more))).await;
        assert_eq!(done.accepted, 5, "{done:?}");
        let content = content();
        let kept =
            self.world.ask(("p1", "producer"), "r", Operation::PutReceipt(PutReceipt { content })).await;
        assert_eq!(kept.accepted, 1, "{kept:?}");
        let receipt = self.world.prepare(1, 10, 5_000).await;
        let order = assign(&self.world, &self.agents.aggregator, &self.agents.north, 1, &receipt);
        Arc::clone(self.world.vault()).assign(Arc::clone(&self.agents.north), order).await.unwrap();
        let mut known = Vec::new();
        for n in 0..people {
            let person = format!("p{n}");
            let facts =
                facts(async |who, operation| self.world.ask(who, "read", operation).await, &person).await;
            assert_eq!((facts.committed, facts.consents), (10, 1));
            known.push(facts);
        }
        known
    }

    async fn at_south(&self, person: &str) -> Facts {
        facts(async |who, operation| self.ask_south(who, "read", operation).await, person).await
    }

    /// Nothing is left at the source that opens, and both Vaults are sound.
    fn looked_at(&mut self, people: u32) -> (Report, Report) {
        let keys = self.world.path().join("people.keys");
        self.close();
        assert!(fs::read(keys).unwrap().iter().all(|byte| *byte == 0), "a key is left");
        let report = |folder: &Path, vault| {
            let clock = Arc::new(|| OrderedMillis(1_000_000));
            let governance = &self.world.governance;
            check::folder(folder, &vault, NETWORK, governance, clock, self.world.keeping()).unwrap()
        };
        let (north, south) = (report(self.world.path(), vault_id()), report(self.folder.path(), south_id()));
        for report in [&north, &south] {
            assert_eq!(report.faults, vec![], "{report:?}");
        }
        assert_eq!((north.people, north.erased_people), (0, u64::from(people)), "{north:?}");
        (north, south)
    }
}

/// What a person sees of itself.
#[derive(Debug, PartialEq, Eq)]
struct Facts {
    records: Vec<(Vec<u8>, String)>,
    committed: u64,
    consents: usize,
    receipts: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>,
}

async fn facts(ask: impl AsyncFn((&str, &str), Operation) -> VaultAnswer, person: &str) -> Facts {
    let who = (person, "producer");
    let records = ask(who, read_records(person)).await.records.into_iter();
    let budget = Operation::ReadBudget(ReadBudget { subject: person.into(), ..ReadBudget::default() });
    let budget = ask(who, budget).await.budget;
    let committed = budget.iter().find(|entry| entry.usage_scope.is_empty());
    let consents = Operation::ReadConsents(ReadConsents { subject: person.into() });
    let consents = ask(who, consents).await.consents.len();
    let listed = Operation::ListReceipts(ListReceipts { limit: 10, ..ListReceipts::default() });
    let mut receipts = Vec::new();
    for known in ask(who, listed).await.receipts {
        let read = ReadReceipt { receipt_id: known.receipt_id.clone(), content: true };
        let read = ask(who, Operation::ReadReceipt(read)).await;
        receipts.push((known.receipt_id, read.receipts[0].salt.clone(), read.content));
    }
    Facts {
        records: records.map(|record| (record.commitment, record.json)).collect(),
        committed: committed.map_or(0, |entry| entry.committed_micro_epsilon),
        consents,
        receipts,
    }
}

fn content() -> Vec<u8> {
    [b"\xff\xd8\xff\xe0".as_slice(), b"a receipt"].concat()
}

fn moving() -> Change {
    Change::MoveVault { from: vault_id(), to: south_id() }
}

fn after(world: &World) -> Governance {
    let log = update(world, &[], moving());
    symphony_protocol::governance::log::replay(&world.governance, &log.entries).unwrap()
}

/// R014, R058, R061, R066, R077, R081: records, receipts and what was spent arrive under the same commitments and salts; consents do
/// not, and nothing of anybody is used until the person consents anew; at the source nothing is left; both say so.
#[tokio::test]
async fn everything_moves_and_nothing_is_left() {
    let agents = agents();
    let mut pair = Pair::new(&agents);
    let before = pair.populate(10).await;
    pair.decide();
    let closing = pair.carried(2).await.unwrap();
    closing.check(&after(&pair.world)).unwrap();
    let said = &closing.source.body;
    assert_eq!((said.people.0, said.records.0, said.documents.0), (8, 8, 1), "buckets, as masters see them");
    assert_eq!(pair.carried(1).await.unwrap(), closing, "the same again");

    let who = ("p1", "producer");
    assert_eq!(pair.world.ask(who, "read", read_records("p1")).await.code, Code::SubjectUnknown.as_str());
    for (n, before) in before.iter().enumerate() {
        let person = format!("p{n}");
        let here = pair.at_south(&person).await;
        assert_eq!(here, Facts { consents: 0, ..before.records_of(before) }, "{person}");
    }
    let (state, now) = (pair.south().state(), OrderedMillis(2_000));
    let marketing = symphony_types::id::UsageScope::new("marketing").unwrap();
    assert_eq!(state.coverage(&marketing, now).0, 0, "R061: nobody consented here");
    assert_eq!(state.ledger.unexplained(), []);
    let consent = r#"{"subject":"p1","scope":"marketing","state":"granted"}"#;
    assert_eq!(pair.ask_south(who, "consent", put_consents(consent)).await.accepted, 1);
    assert_eq!(pair.south().state().coverage(&marketing, now).0, 1);

    let (north, south) = pair.looked_at(10);
    assert_eq!((north.records, north.erased_records), (0, 15), "{north:?}");
    assert_eq!((south.people, south.records, south.documents, south.entries), (10, 15, 1, 1), "{south:?}");
    pair.reopen();
    assert_eq!(pair.carried(1).await.unwrap().source.body, closing.source.body, "after a restart as well");
}

impl Facts {
    fn records_of(&self, other: &Self) -> Self {
        Self {
            records: other.records.clone(),
            committed: self.committed,
            consents: 0,
            receipts: other.receipts.clone(),
        }
    }
}

/// R081: whatever step fails or is the last before a crash of both Vaults, going on ends with everything there once, and nothing here.
#[tokio::test]
async fn a_move_goes_on_after_every_step() {
    let agents = agents();
    for crash in [false, true] {
        for step in STEPS {
            let mut pair = Pair::new(&agents);
            let before = pair.populate(4).await;
            pair.decide();
            // In the middle: the first time, and once something has moved.
            for skip in 0..2 {
                let stopped = Arc::new(AtomicBool::new(false));
                let seen = Arc::new(std::sync::atomic::AtomicU32::new(0));
                for vault in [pair.world.vault(), pair.south()] {
                    let (stopped, seen) = (Arc::clone(&stopped), Arc::clone(&seen));
                    vault.limit_move_batches(3);
                    vault.watch_moves(Arc::new(move |now| {
                        let hit = now == step
                            && seen.fetch_add(1, Ordering::SeqCst) == skip
                            && !stopped.swap(true, Ordering::SeqCst);
                        if hit { Err(io::Error::other("stopped here")) } else { Ok(()) }
                    }));
                }
                let carried = pair.carried(1).await;
                let once = matches!(step, Step::Emptied | Step::Ended | Step::Closed) && skip == 1;
                assert_eq!(carried.is_err(), !once, "{step:?} {skip}");
                if crash {
                    pair.reopen();
                }
            }
            for vault in [pair.world.vault(), pair.south()] {
                vault.watch_moves(Arc::new(|_| Ok(())));
                vault.limit_move_batches(3);
            }
            let closing = pair.carried(1).await.unwrap();
            closing.check(&after(&pair.world)).unwrap();
            for (n, before) in before.iter().enumerate() {
                let here = pair.at_south(&format!("p{n}")).await;
                assert_eq!(here, before.records_of(before), "{step:?}, crash: {crash}, p{n}");
            }
            let (_, south) = pair.looked_at(4);
            assert_eq!((south.people, south.records, south.documents), (4, 9, 1), "{step:?} {south:?}");
        }
    }
}

/// R079, R081, R120, R121, R123, R129: nothing is sealed to an enclave that is not the destination's own and approved, and nothing is
/// taken that the source's did not seal for this very invitation; whatever is refused changes nothing.
#[tokio::test]
async fn strangers_get_nothing_and_bring_nothing() {
    let agents = agents();
    let pair = Pair::new(&agents);
    pair.populate(3).await;
    let undecided = pair.step_south(Ask::Invite { from: vault_id() }, Cargo::default()).await;
    assert_eq!(undecided.unwrap_err().code(), Code::MoveConflict);
    pair.decide();
    let (told, boot) = pair.step_south(Ask::Invite { from: vault_id() }, Cargo::default()).await.unwrap();
    let Told::Invited { invitation, standing } = told else { panic!("{told:?}") };
    let offer = async |invitation: &SignedInvitation, boot: &Cargo| {
        let ask = Ask::Offer { invitation: invitation.clone(), receipt: standing.clone() };
        pair.step_north(ask, boot.clone()).await
    };
    let code = |told: Result<(Told, Cargo), Problem>| told.unwrap_err().code();
    let other = PrivateKey::<Vault>::from_seed(&[77; 32]).sign(invitation.body.clone());
    assert_eq!(code(offer(&other, &boot).await), Code::Forbidden);
    for stranger in [agents.aggregator.boot(), agents.north.boot()] {
        let cargo = Cargo { boot: stranger, ..Cargo::default() };
        assert_eq!(code(offer(&invitation, &cargo).await), Code::AttestationFailed);
    }
    assert_eq!(code(offer(&invitation, &Cargo::default()).await), Code::AttestationMissing);
    assert!(pair.world.vault().state().moves.out.is_none(), "nothing has begun");

    let (told, cargo) = offer(&invitation, &boot).await.unwrap();
    let Told::Offered { offer: good } = told else { panic!("{told:?}") };
    let accept = async |offer: &SignedOffer, cargo: &Cargo| {
        pair.step_south(Ask::Accept { offer: offer.clone() }, cargo.clone()).await
    };
    let forged = PrivateKey::<Vault>::from_seed(&[77; 32]).sign(good.body.clone());
    assert_eq!(code(accept(&forged, &cargo).await), Code::Forbidden);
    let mut bent = cargo.clone();
    bent.sealed[40] ^= 1;
    assert_eq!(code(accept(&good, &bent).await), Code::SealInvalid);
    let stranger = Cargo { boot: agents.south.boot(), ..cargo.clone() };
    assert_eq!(code(accept(&good, &stranger).await), Code::AttestationFailed);
    assert_eq!(pair.south().state().subjects.len(), 0, "nothing is here");
    // Somebody revokes the code while the batch is on its way: it is not opened any more.
    let decided = update(&pair.world, &[], moving());
    let revoked =
        update(&pair.world, &decided.entries, Change::RevokeMeasurement { measurement: agents.measurement });
    pair.south().follow(&revoked).unwrap();
    pair.world.vault().follow(&revoked).unwrap();
    assert_eq!(code(accept(&good, &cargo).await), Code::AttestationFailed);
    let (_, boot) = pair.step_south(Ask::Invite { from: vault_id() }, Cargo::default()).await.unwrap();
    assert_eq!(code(offer(&invitation, &boot).await), Code::AttestationFailed);
    let here = pair.world.vault().state();
    assert_eq!((here.subjects.len(), here.subjects.erased().len()), (3, 0), "and everything is still there");
}

/// R066, R081: a move waits while a task holds budget, and while the destination has no room; then it goes on.
#[tokio::test]
async fn a_move_waits_for_tasks_and_for_room() {
    let agents = agents();
    let mut pair = Pair::new(&agents);
    pair.populate(3).await;
    pair.quota.records_max = 5;
    pair.reopen();
    pair.world.prepare(2, 5, 4_000).await;
    pair.decide();
    assert_eq!(pair.carried(1).await.unwrap_err().code(), Code::MoveWaits);
    let refused = pair.world.prepare(3, 5, 4_000).await;
    assert_eq!(refused.body.refusal, Some(Code::VaultMoving));
    let record = pair.world.ask(OPERATOR, "late", put_records(&coffee(0))).await;
    assert_eq!(record.code, Code::VaultMoving.as_str());
    pair.world.at(4_000);
    assert_eq!(pair.carried(1).await.unwrap_err().code(), Code::VaultFull);
    assert_eq!(pair.carried(1).await.unwrap_err().code(), Code::VaultFull, "as often as it is tried");
    assert_eq!(pair.world.vault().state().subjects.erased().len(), 0);
    let person = ("p0", "producer");
    let erase = Operation::ErasePerson(ErasePerson { subject: "p0".into() });
    assert_eq!(pair.world.ask(person, "erase", erase).await.code, Code::MoveWaits.as_str());
    pair.quota = QUOTA;
    pair.reopen();
    pair.carried(1).await.unwrap();
    pair.looked_at(3);
}

/// R061, R081, R187: a move waits while one of its Vaults is suspended, and goes on from where it was.
#[tokio::test]
async fn a_move_waits_for_a_suspended_vault() {
    let agents = agents();
    let mut pair = Pair::new(&agents);
    pair.populate(3).await;
    pair.decide();
    let decided = update(&pair.world, &[], moving());
    let mut log = decided.entries;
    for side in [vault_id(), south_id()] {
        let frozen = update(&pair.world, &log, Change::SuspendNode { vault: side.clone() });
        let back = update(&pair.world, &frozen.entries, Change::ReinstateNode { vault: side });
        for vault in [pair.world.vault(), pair.south()] {
            vault.follow(&frozen).unwrap();
        }
        assert_eq!(pair.carried(1).await.unwrap_err().code(), Code::VaultSuspended);
        for vault in [pair.world.vault(), pair.south()] {
            vault.follow(&back).unwrap();
        }
        log = back.entries;
    }
    pair.carried(1).await.unwrap();
    pair.looked_at(3);
}

/// R055, R066, R068, R081: who is registered at the destination keeps its profile and has both Vaults' records and the sum of both
/// budgets; who is erased there on the way is not brought back; what was earned at the source is still stated there.
#[tokio::test]
async fn who_is_known_there_is_one_person_with_both() {
    let agents = agents();
    let mut pair = Pair::new(&agents);
    let before = pair.populate(4).await;
    let person = r#"{"subject":"p1","contact":"new@example.org"}"#;
    assert_eq!(pair.ask_south(("other", "operator"), "p1", put_subjects(person)).await.accepted, 1);
    let own = coffee(1).replace("5.80", "7.00");
    assert_eq!(pair.ask_south(("p1", "producer"), "own", put_records(&own)).await.accepted, 1);
    pair.decide();
    for vault in [pair.world.vault(), pair.south()] {
        vault.limit_move_batches(3);
    }
    // The third person comes in parts: after its first it is erased at the destination.
    while pair.south().state().subjects.len() < 3 {
        let Ok((accept, cargo)) = pair.offered().await.unwrap() else { panic!("all of it came") };
        pair.step_south(accept, cargo).await.unwrap();
    }
    let erase = Operation::ErasePerson(ErasePerson { subject: "p2".into() });
    assert_eq!(pair.ask_south(("p2", "producer"), "erase", erase).await.code, "");
    pair.carried(1).await.unwrap();
    let gone = pair.ask_south(("p2", "producer"), "read", read_records("p2")).await;
    assert_eq!(gone.code, Code::SubjectUnknown.as_str());
    let both = pair.at_south("p1").await;
    assert_eq!((both.records.len(), both.committed, both.receipts.len()), (2, 10, 1));
    assert!(before[1].records.iter().all(|record| both.records.contains(record)));
    let request = pair.world.master.endorsed(DividendRequest {
        vault: vault_id(),
        epoch: EpochId(3),
        shares: vec![(task(1), Sym(500))],
        carried_in: Sym(0),
        payees_min: 2,
        staked: vec![],
    });
    let statement = pair.world.vault().close_dividends(request).await.unwrap().body;
    assert_eq!(statement.payees, 4, "those who moved as well");
    let read = Operation::ReadDividends(ReadDividends { subject: "p1".into() });
    assert_eq!(pair.world.ask(("p1", "producer"), "read", read.clone()).await.dividends.len(), 1);
    assert_eq!(pair.world.ask(("p3", "producer"), "read", read).await.code, Code::Forbidden.as_str());
    let (_, south) = pair.looked_at(4);
    assert_eq!((south.people, south.erased_people), (3, 1), "{south:?}");
}
