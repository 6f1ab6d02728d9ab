//! What a master sees of a chain and endorses of it, on the reference ledger: batches that are done, forgotten, cut short and
//! submitted again (R006, R071, R195, R219, R220).

use std::sync::Mutex;

use async_trait::async_trait;
use symphony_chain::ledger::inflation::Schedule;
use symphony_chain::ledger::{Genesis, Parameters, Roles, State as Ledger, TierTerms};
use symphony_chain::port::{Chain, ChainError, RemoteChain, Transport, respond};
use symphony_chain::transaction::{Call, ChainId, PayoutBatch, Transaction};
use symphony_protocol::artifact::adjustment::{
    Adjustment, AdjustmentStep, Drift, DriftKind, DriftSubject, Repair,
};
use symphony_protocol::artifact::parse::{
    ParseOrder, ParseOutcome, ParseSettlement, ParseStatement, ParseTicket,
};
use symphony_protocol::machine::{Event, ParseStage, ParseTask, evolve};
use symphony_protocol::reconcile::chain::{anchoring, drifts};
use symphony_protocol::settlement::parse::settlement_root;
use symphony_protocol::settlement::payout::{
    Payee, PayoutConfirmation, PayoutEvidence, PayoutInstructionSet, Subsidy,
};
use symphony_types::canonical::to_bytes;
use symphony_types::id::Commitment;
use symphony_types::key::{Payout, Verifier, Wallet};

use super::*;
use crate::batches::batches;
use crate::reconcile::sight::{Anchors, of_epoch};

const EPOCH: EpochId = EpochId(3);
const NOW: OrderedMillis = OrderedMillis(1_000_000);

/// The reference ledger, called as another process is.
struct Host(Mutex<Ledger>);

#[async_trait]
impl Transport for Host {
    async fn call(&self, request: Vec<u8>) -> Result<Vec<u8>, ChainError> {
        Ok(respond(&mut self.0.lock().unwrap(), NOW, &request))
    }
}

type Hosted = RemoteChain<Host>;

fn wallet() -> PrivateKey<Wallet> {
    PrivateKey::from_seed(&[60; 32])
}

fn named() -> ChainId {
    ChainId::new("test").unwrap()
}

fn empty() -> Hosted {
    let terms = TierTerms { minimum: Sym(1), cooldown_ms: 1 };
    let genesis = Genesis {
        chain: named(),
        balances: BTreeMap::new(),
        treasury: Sym(500),
        pool: Sym(50),
        incentives: Sym(1_000),
        inflation: Schedule {
            start: OrderedMillis(0),
            epoch_ms: 1,
            epochs_per_step: 1,
            rates: vec![],
            treasury: Bps(0),
        },
        roles: Roles {
            payout: wallet().public().account(),
            slasher: AccountId(digest(61)),
            recorder: AccountId(digest(63)),
            treasury: [PrivateKey::from_seed(&[62; 32]).public()].into(),
            treasury_threshold: 1,
        },
        parameters: Parameters {
            master: terms,
            enterprise: terms,
            producer: terms,
            lock_ms_min: 1,
            transaction_ms_max: 10_000,
            receipt_ms: 10_000,
            payees_per_tree_min: 2,
            quorum: Bps(5_000),
        },
    };
    RemoteChain::new(Host(Mutex::new(Ledger::new(genesis).unwrap())))
}

/// What the payout service submits of instructions that are one batch, with a change that a chain might make.
async fn submit(chain: &Hosted, set: &PayoutInstructionSet, change: impl FnOnce(&mut PayoutBatch)) {
    let mut parts = batches(set).unwrap();
    assert_eq!(parts.len(), 1);
    change(&mut parts[0]);
    execute(chain, parts.remove(0)).await;
}

async fn execute(chain: &Hosted, batch: PayoutBatch) {
    let sequence = chain.account(wallet().public().account()).await.unwrap().sequence;
    let call = Call::Payout(batch);
    let transaction = Transaction::sign(&wallet(), named(), sequence, NOW.plus(1_000), call);
    chain.submit(transaction.into()).await.unwrap();
}

fn settled(name: u8) -> ParseTask {
    let task = TaskId(digest(name));
    let ticket = ParseTicket {
        vault: vault("a"),
        document: Commitment(digest(name)),
        owner: actor("owner"),
        request: RequestId::new("r").unwrap(),
        expires: NOW,
    };
    let order = ParseOrder {
        task,
        ticket,
        versions: VERSIONS,
        epoch: EPOCH,
        admitted_at: OrderedMillis(0),
        execute_by: NOW,
        measurements: vec![],
        software_admitted: true,
    };
    let statement = PrivateKey::<Vault>::from_seed(&[2; 32]).sign(ParseStatement {
        task,
        vault: vault("a"),
        document: Commitment(digest(name)),
        outcome: ParseOutcome::Refused(Code::RecordInvalid),
        reader: Digest::ZERO,
        words: Digest::ZERO,
        report: Digest::ZERO,
        ledger_head: Digest::ZERO,
    });
    let verdict = PrivateKey::<Verifier>::from_seed(&[21; 32]).sign(Verdict {
        task,
        verifier: actor("verifier"),
        decision: Decision::Accepted,
        evidence: Digest::ZERO,
        reasons: vec![],
    });
    let share = |class, amount| Share {
        class,
        vault: None,
        recipient: actor("somebody"),
        account: AccountId(digest(63)),
        amount: Sym(amount),
    };
    let settlement = ParseSettlement {
        task,
        versions: VERSIONS,
        epoch: EPOCH,
        order: order.digest(),
        statement: statement.body.digest(),
        verdict: verdict.body.digest(),
        subsidy: Sym(70),
        shares: vec![share(RecipientClass::Executor, 50), share(RecipientClass::Verifier, 20)],
        software: true,
        finalized_at: NOW,
    };
    let root = settlement_root(&settlement);
    let stage = ParseStage::Completed { statement, verdict, settlement, root };
    ParseTask { order, stage, since: NOW }
}

/// A state whose epoch is issued with two settled parses, and the instructions.
fn issued() -> (State, PayoutInstructionSet) {
    let mut state = State::genesis(governance());
    let mut parses = vec![];
    for name in [70, 71] {
        let parse = settled(name);
        if let ParseStage::Completed { settlement, .. } = &parse.stage {
            parses.push(settlement.clone());
        }
        state.parses.insert(parse.order.task, parse);
    }
    let refunds = Table::new();
    let all = Settled {
        contexts: [].into_iter(),
        parses: parses.iter(),
        refunds: &refunds,
        forfeits: &refunds,
        slashes: &Table::new(),
    };
    let set = instructions(EPOCH, all, &Table::new(), &[]).unwrap();
    let stage = EpochStage::Issued(set.clone(), vec![]);
    state.epochs.insert(EPOCH, EpochAccount { stage, ..EpochAccount::default() });
    (state, set)
}

fn confirmed() -> (State, PayoutInstructionSet) {
    let (state, set) = issued();
    (paid(state, &set), set)
}

/// The state with the confirmation of instructions.
fn paid(mut state: State, set: &PayoutInstructionSet) -> State {
    let body = PayoutConfirmation { epoch: EPOCH, batch: set.digest(), transaction: digest(64), version: 9 };
    let confirmation = PrivateKey::<Payout>::from_seed(&[23; 32]).sign(body);
    let evidence = PayoutEvidence { instructions: set.clone(), statements: vec![], confirmation };
    let stage = EpochStage::Confirmed(evidence);
    state.epochs.insert(EPOCH, EpochAccount { stage, ..EpochAccount::default() });
    state
}

async fn found(chain: &Hosted, state: &State) -> Vec<Drift> {
    drifts(state, EPOCH, &of_epoch(chain, state, EPOCH, Anchors::All).await.unwrap())
}

async fn kinds(chain: &Hosted, state: &State) -> Vec<DriftKind> {
    found(chain, state).await.iter().map(|drift| drift.kind).collect()
}

/// R173, R219: a batch that the chain did as it was told has not drifted; until it is confirmed, its confirmation is missing.
#[tokio::test]
async fn a_batch_that_was_done_has_not_drifted() {
    let ((waiting, set), (paid, _)) = (issued(), confirmed());
    let chain = empty();
    assert_eq!(kinds(&chain, &waiting).await, []);
    submit(&chain, &set, |_| {}).await;
    assert_eq!(kinds(&chain, &waiting).await, [DriftKind::MissingConfirmation]);
    assert_eq!(kinds(&chain, &paid).await, []);
    let seen = of_epoch(&chain, &paid, EPOCH, Anchors::One(set.anchors[0].0)).await.unwrap();
    assert_eq!(seen.anchors, [set.anchors[0]].into());
    assert!(of_epoch(&chain, &paid, EPOCH, Anchors::None).await.unwrap().anchors.is_empty());
}

/// R006, R219: a chain that forgot everything is told again, and once is enough; the masters' records are what they were.
#[tokio::test]
async fn a_chain_that_forgot_is_told_again() {
    let (paid, set) = confirmed();
    let before = to_bytes(&paid);
    let chain = empty();
    let drifts = found(&chain, &paid).await;
    assert_eq!(drifts.len(), 1);
    assert_eq!((drifts[0].kind, drifts[0].kind.repair()), (DriftKind::LostConfirmation, Repair::Resubmit));
    assert_eq!(drifts[0].there, "no such batch");
    assert_eq!(of_state(&paid, &Subject::Payout(EPOCH)), Some(set.digest()), "others stand behind it again");
    for _ in 0..2 {
        submit(&chain, &set, |_| {}).await;
        assert_eq!(kinds(&chain, &paid).await, []);
        assert_eq!(chain.epoch(EPOCH).await.unwrap().len(), 1);
    }
    assert_eq!(to_bytes(&paid), before);
}

/// R150, R219: a root that a batch left out is anchored by a batch of its own, which the chain takes and which moves nothing.
#[tokio::test]
async fn a_missing_root_is_anchored_alone() {
    let (paid, set) = confirmed();
    let chain = empty();
    submit(&chain, &set, |batch| batch.anchors.truncate(1)).await;
    let (task, root) = set.anchors[1];
    let drifts = found(&chain, &paid).await;
    assert_eq!(drifts.len(), 1);
    assert_eq!(
        (drifts[0].kind, &drifts[0].subject),
        (DriftKind::AnchorAbsent, &DriftSubject::Anchor(EPOCH, task))
    );
    let alone = anchoring(&paid, EPOCH, &task).unwrap();
    assert_eq!(alone.anchors, [(task, root)]);
    let endorsed = Subject::Anchoring(EPOCH, task);
    assert_eq!(of_state(&paid, &endorsed), Some(alone.digest()));
    assert_eq!(of_state(&paid, &Subject::Anchoring(EPOCH, TaskId(digest(1)))), None);
    assert_eq!(of_state(&paid, &Subject::Anchoring(EpochId(4), task)), None);
    let funds = chain.funds().await.unwrap();
    for _ in 0..2 {
        submit(&chain, &alone, |_| {}).await;
        assert_eq!(kinds(&chain, &paid).await, []);
        assert_eq!(chain.funds().await.unwrap(), funds);
    }
}

/// R150, R219: another root stays, because a chain writes a root once; the record says so.
#[tokio::test]
async fn another_root_is_only_recorded() {
    let (paid, set) = confirmed();
    let chain = empty();
    submit(&chain, &set, |batch| batch.anchors[0].settlement_root = Digest::ZERO).await;
    let drifts = found(&chain, &paid).await;
    assert_eq!(drifts.len(), 1);
    assert_eq!((drifts[0].kind, drifts[0].kind.repair()), (DriftKind::AnchorConflict, Repair::Record));
}

/// R173, R219: a batch that nobody issued, another sum and another epoch are found on the chain itself.
#[tokio::test]
async fn what_the_chain_did_otherwise_is_found() {
    let (paid, set) = confirmed();
    let chain = empty();
    submit(&chain, &set, |_| {}).await;
    submit(&chain, &PayoutInstructionSet { epoch: EPOCH, ..PayoutInstructionSet::empty(EpochId(9)) }, |_| {})
        .await;
    assert_eq!(kinds(&chain, &paid).await, [DriftKind::DuplicateSubmission]);

    let chain = empty();
    submit(&chain, &set, |batch| {
        batch.payees[0].amount.0 -= 1;
        batch.treasury.0 += 1;
    })
    .await;
    assert_eq!(kinds(&chain, &paid).await, [DriftKind::RewardTotals]);

    let chain = empty();
    submit(&chain, &set, |batch| batch.epoch = EpochId(4)).await;
    assert_eq!(kinds(&chain, &paid).await, [DriftKind::EpochMismatch]);

    let chain = empty();
    submit(&chain, &set, |batch| {
        batch.payees.clear();
        batch.subsidies.clear();
    })
    .await;
    assert_eq!(kinds(&chain, &paid).await, [DriftKind::IncompleteBatch]);
}

/// R169, R173: an epoch that took several batches is compared as the one that it is; a batch that is missing shows.
#[tokio::test]
async fn an_epoch_in_several_batches_is_compared_as_one() {
    let tasks: Vec<TaskId> = (0..1_000_u64).map(|number| TaskId(Digest::of("task", &number))).collect();
    let set = PayoutInstructionSet {
        subsidies: tasks.iter().map(|task| Subsidy { task: *task, amount: Sym(1) }).collect(),
        payees: vec![Payee {
            account: AccountId(digest(63)),
            class: RecipientClass::Executor,
            amount: Sym(900),
        }],
        treasury: Sym(60),
        pool_return: Sym(40),
        anchors: tasks.iter().map(|task| (*task, Digest::of("root", task))).collect(),
        ..PayoutInstructionSet::empty(EPOCH)
    };
    let state = paid(State::genesis(governance()), &set);
    let parts = batches(&set).unwrap();
    assert!(parts.len() > 2);
    let chain = empty();
    for part in &parts[1..] {
        execute(&chain, part.clone()).await;
    }
    assert!(kinds(&chain, &state).await.contains(&DriftKind::RewardTotals));
    execute(&chain, parts[0].clone()).await;
    assert_eq!(kinds(&chain, &state).await, []);
}

/// R071, R195: a reserve of a task that nobody knows is released while a finding of a majority stands, and not otherwise.
#[test]
fn a_reserve_of_no_task_is_released_on_a_finding() {
    let mut state = State::genesis(governance());
    let of = |state: &State, name: &str| of_state(state, &Subject::Release(task(), vault(name)));
    assert_eq!(of(&state, "a"), None);
    let adjustment = |step| Adjustment {
        drift: Drift {
            kind: DriftKind::BudgetOrphaned,
            subject: DriftSubject::Budget(task(), vault("a")),
            here: "unknown".to_owned(),
            there: "reserved".to_owned(),
        },
        occurrence: 1,
        step,
        repair: Repair::Release,
    };
    let recorded =
        |number, step| Event::AdjustmentRecorded { number, adjustment: adjustment(step), epoch: EPOCH };
    evolve(&mut state, NOW, &recorded(1, AdjustmentStep::Found));
    assert_eq!(of(&state, "a"), Some(Release { task: task(), vault: vault("a") }.digest()));
    assert_eq!(of(&state, "b"), None, "nothing was found there");
    let mut known = state.clone();
    known
        .requests
        .insert(task(), Submission { fingerprint: digest(9), answer: Answer::Preparing(admission()) });
    assert_eq!(of(&known, "a"), None, "the task is known now");
    evolve(&mut state, NOW, &recorded(2, AdjustmentStep::Settled));
    assert_eq!(of(&state, "a"), None);
}
