//! The same random operations on the reference ledger and on the contracts in the VM: equal events, equal aborts, equal balances.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use symphony_chain::ledger::Abort;
use symphony_chain::ledger::query::{Answer, Query, answer};
use symphony_chain::transaction::{
    Anchor, Call, Carry, DividendTree, EscrowSettlement, Payee, PayoutBatch, ProposalKind, RecipientClass,
    Release, Subsidy, Tier, VoteResult, lock_ref,
};
use symphony_types::amount::{Sym, split};
use symphony_types::dividend::DividendLeaf;
use symphony_types::id::{EpochId, LockRef, PolicyVersion, TaskId};
use symphony_types::key::Document as _;
use symphony_types::merkle;

use crate::tool::artifacts;
use crate::world::*;

#[derive(Clone, Debug)]
enum Step {
    Pay(u8, u8, u64),
    Lock(u8, usize, u64, u64),
    Reclaim(u8, usize),
    Stake(usize, Tier, u64),
    Unstake(usize, Tier, u64),
    Withdraw(usize, Tier),
    Slash(u8, usize, Tier, u64, usize),
    Settle(usize, u64, [u64; 5], Flaw),
    Claim(usize, usize, usize, u64),
    Release(u64, usize, Vec<u8>, bool),
    Vote(u8, u64, usize, [u64; 3], ProposalKind),
    Mint(u8),
    Nodes(u8, u64, u64),
    Wait(u64),
}

/// What is wrong with a batch.
#[derive(Clone, Copy, Debug)]
enum Flaw {
    None,
    Again,
    Changed,
    Sender,
    Unbalanced,
    Class,
    TaskTwice,
    LockTwice,
    Refund,
    Huge,
    Leaves,
    Carry,
    Subsidy,
    AnchorTwice,
    OldTask,
    OldAnchor,
}

const FLAWS: [Flaw; 15] = [
    Flaw::Again,
    Flaw::Changed,
    Flaw::Sender,
    Flaw::Unbalanced,
    Flaw::Class,
    Flaw::TaskTwice,
    Flaw::LockTwice,
    Flaw::Refund,
    Flaw::Huge,
    Flaw::Leaves,
    Flaw::Carry,
    Flaw::Subsidy,
    Flaw::AnchorTwice,
    Flaw::OldTask,
    Flaw::OldAnchor,
];

fn kinds() -> impl Strategy<Value = ProposalKind> {
    use ProposalKind::{Inflation, Policy, Release, Upgrade};
    prop_oneof![9 => Just(Release), 1 => prop::sample::select(&[Policy, Upgrade, Inflation][..])]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = || 1u8..=7;
    let which = || 0usize..4;
    let amount = || prop_oneof![0u64..400, Just(u64::MAX)];
    let tier = || prop_oneof![Just(Tier::Producer), Just(Tier::Enterprise), Just(Tier::Master)];
    let flaw = prop_oneof![3 => Just(Flaw::None), 2 => prop::sample::select(&FLAWS[..])];
    let signers = prop::sample::subsequence(vec![20u8, 21, 22, 23], 0..=3);
    let step = prop_oneof![
        2 => (name(), name(), amount()).prop_map(|(from, to, amount)| Step::Pay(from, to, amount)),
        4 => (1u8..=2, 0usize..12, 0u64..300, 900u64..1_500).prop_map(|(who, request, amount, life)| Step::Lock(who, request, amount, life)),
        1 => (1u8..=2, 0usize..8).prop_map(|(who, lock)| Step::Reclaim(who, lock)),
        3 => (which(), tier(), prop_oneof![amount(), 100u64..=320]).prop_map(|(who, tier, amount)| Step::Stake(who, tier, amount)),
        2 => (which(), tier(), prop_oneof![amount(), 100u64..=200]).prop_map(|(who, tier, amount)| Step::Unstake(who, tier, amount)),
        1 => (which(), tier()).prop_map(|(who, tier)| Step::Withdraw(who, tier)),
        2 => (8u8..=9, which(), tier(), amount(), which()).prop_map(|(sender, who, tier, amount, reference)| Step::Slash(sender, who, tier, amount, reference)),
        5 => (0usize..8, 0u64..300, any::<[u16; 5]>(), flaw).prop_map(|(lock, charge, weights, flaw)| Step::Settle(lock, charge, weights.map(u64::from), flaw)),
        3 => (which(), which(), which(), 0u64..2).prop_map(|(tree, leaf, who, more)| Step::Claim(tree, leaf, who, more)),
        3 => (prop_oneof![0u64..3, amount()], which(), signers, any::<bool>()).prop_map(|(amount, proposal, signers, here)| Step::Release(amount, proposal, signers, here)),
        3 => (prop_oneof![5 => Just(COUNCIL), 1 => name()], prop_oneof![0u64..3, amount()], which(), [0u64..8, 0..5, 0..11], kinds())
            .prop_map(|(who, amount, proposal, votes, kind)| Step::Vote(who, amount, proposal, votes, kind)),
        2 => name().prop_map(Step::Mint),
        2 => (prop_oneof![4 => Just(PAYOUT), 1 => name()], 0u64..6, amount()).prop_map(|(who, epoch, amount)| Step::Nodes(who, epoch, amount)),
        2 => (0u64..900).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 20..80)
}

/// What the random walk remembers to make meaningful calls.
#[derive(Default)]
struct Memory {
    locks: Vec<(LockRef, u64)>,
    trees: Vec<(EpochId, Vec<DividendLeaf>)>,
    batches: Vec<PayoutBatch>,
    counter: u64,
    reached: Vec<Abort>,
}

fn task(text: &str) -> TaskId {
    TaskId(digest(text))
}

impl Memory {
    /// A batch that charges part of a lock and splits the charge at random, with one flaw or none.
    fn batch(
        &mut self,
        pair: &Pair,
        which: usize,
        charge: u64,
        weights: [u64; 5],
        flaw: Flaw,
    ) -> PayoutBatch {
        self.counter += 1;
        let name = format!("batch {}", self.counter);
        let epoch = EpochId(self.counter / 2);
        let index = which % self.locks.len().max(1);
        let Some((lock, amount)) = self.locks.get(index).copied() else { return empty(&name, epoch) };
        let charge = charge.min(amount);
        let Answer::Carry(kept) = answer(&pair.state, pair.now, &Query::Carry(vault("south"))) else {
            panic!()
        };
        let out_of = kept.0 / 2;
        let keyed: Vec<_> = (0u8..).zip(weights.map(|weight| weight + 1)).collect();
        let shares = split(Sym(charge), &keyed).unwrap();
        let [operator, dividends, carried, pool, treasury] = [0, 1, 2, 3, 4].map(|share| shares[share].1);
        let subsidy = charge % 3;
        let payee = |amount, class| Payee { account: account(OPERATOR), class, amount: Sym(amount) };
        let mut batch = PayoutBatch {
            settlements: vec![EscrowSettlement {
                lock,
                task: task(&name),
                charged: Sym(charge),
                refunded: Sym(amount - charge),
            }],
            subsidies: vec![Subsidy { task: task(&format!("free {name}")), amount: Sym(subsidy) }],
            payees: vec![
                payee(operator.0, RecipientClass::VaultOperator),
                payee(subsidy, RecipientClass::Verifier),
            ],
            carries: vec![Carry { vault: vault("south"), into: carried, out_of: Sym(out_of) }],
            pool_return: pool,
            treasury: Sym(treasury.0 + out_of),
            anchors: vec![Anchor { task: task(&name), settlement_root: digest(&name) }],
            ..empty(&name, epoch)
        };
        if dividends > Sym::ZERO {
            let leaves = leaves(dividends);
            let hashes: Vec<_> = leaves.iter().map(DividendLeaf::hash).collect();
            let root = merkle::root(&hashes);
            batch.dividends = vec![DividendTree { vault: vault("north"), root, leaves: 4, total: dividends }];
            self.trees.push((epoch, leaves));
        }
        self.spoil(&mut batch, flaw);
        self.batches.push(batch.clone());
        batch
    }

    fn spoil(&self, batch: &mut PayoutBatch, flaw: Flaw) {
        let earlier = self.batches.first().cloned();
        match flaw {
            Flaw::None | Flaw::Sender => {}
            Flaw::Again => *batch = earlier.unwrap_or_else(|| batch.clone()),
            Flaw::Changed => batch.batch_id = earlier.map_or(batch.batch_id, |earlier| earlier.batch_id),
            Flaw::Unbalanced => batch.treasury = Sym(batch.treasury.0 + 1),
            Flaw::Class => batch.payees[0].class = RecipientClass::Contributor,
            Flaw::TaskTwice => batch.subsidies[0].task = batch.settlements[0].task,
            Flaw::LockTwice => {
                let again = EscrowSettlement { task: task("twice"), ..batch.settlements[0].clone() };
                batch.settlements.push(again);
            }
            Flaw::Refund => batch.settlements[0].refunded = Sym(batch.settlements[0].refunded.0 + 1),
            Flaw::Huge => batch.treasury = Sym(u64::MAX),
            Flaw::Leaves => batch.dividends.iter_mut().for_each(|tree| tree.leaves = 1),
            Flaw::Carry => {
                batch.carries[0].out_of = Sym(batch.carries[0].out_of.0 + 1_000_000);
                batch.treasury = Sym(batch.treasury.0 + 1_000_000);
            }
            Flaw::Subsidy => {
                batch.subsidies[0].amount = Sym(batch.subsidies[0].amount.0 + 1_000_000);
                batch.treasury = Sym(batch.treasury.0 + 1_000_000);
            }
            Flaw::AnchorTwice => batch.anchors.push(batch.anchors[0].clone()),
            Flaw::OldTask => batch.settlements[0].task = earlier.map_or(task("x"), |old| old_task(&old)),
            Flaw::OldAnchor => batch.anchors[0].task = earlier.map_or(task("x"), |old| old_task(&old)),
        }
    }

    fn action(&mut self, pair: &Pair, step: &Step) -> Option<(u8, Call)> {
        Some(match step.clone() {
            Step::Pay(from, to, amount) => (from, Call::Transfer { to: account(to), amount: Sym(amount) }),
            Step::Lock(who, request, amount, life) => {
                self.locks.push((lock_ref(account(who), pair.account(who).sequence), amount));
                let request = digest(&format!("request {request}"));
                let (amount, policy_version, expires) = (Sym(amount), PolicyVersion(3), pair.now.plus(life));
                (who, Call::EscrowLock { request, amount, policy_version, expires })
            }
            Step::Reclaim(who, which) => {
                let (lock, _) = self.locks.get(which % self.locks.len().max(1))?;
                (who, Call::EscrowReclaim { lock: *lock })
            }
            Step::Stake(who, tier, amount) => {
                (PRODUCERS[who], Call::StakeDeposit { tier, amount: Sym(amount) })
            }
            Step::Unstake(who, tier, amount) => {
                (PRODUCERS[who], Call::StakeWithdrawRequest { tier, amount: Sym(amount) })
            }
            Step::Withdraw(who, tier) => (PRODUCERS[who], Call::StakeWithdraw { tier }),
            Step::Slash(sender, who, tier, amount, reference) => {
                let (account, reference) = (account(PRODUCERS[who]), digest(&format!("penalty {reference}")));
                (sender, Call::Slash { account, tier, amount: Sym(amount), reference })
            }
            Step::Settle(which, charge, weights, flaw) => {
                let sender = if matches!(flaw, Flaw::Sender) { SETTLEMENT } else { PAYOUT };
                (sender, Call::Payout(self.batch(pair, which, charge, weights, flaw)))
            }
            Step::Claim(tree, leaf, who, more) => (PRODUCERS[who], self.claim(tree, leaf, more)?),
            Step::Release(amount, proposal, signers, here) => {
                (OPERATOR, release(amount, proposal, &signers, here))
            }
            Step::Vote(who, amount, proposal, [votes_for, votes_against, eligible], kind) => {
                let payload = releasing(amount, proposal, true);
                // Another amount under the same name is what a release may not mean.
                let proposal = releasing(amount % 3, proposal, true).proposal;
                let result = VoteResult {
                    proposal,
                    kind,
                    payload: payload.digest(),
                    votes_for,
                    votes_against,
                    eligible,
                };
                (who, Call::RecordVote(result))
            }
            Step::Mint(who) => (who, Call::MintEpoch),
            Step::Nodes(who, epoch, amount) => {
                let nodes = vec![(account(OPERATOR), Sym(amount)), (account(PRODUCERS[0]), Sym(amount / 2))];
                (who, Call::PayNodes { epoch, nodes })
            }
            Step::Wait(_) => return None,
        })
    }

    fn claim(&self, which: usize, leaf: usize, more: u64) -> Option<Call> {
        let (epoch, leaves) = self.trees.get(which % self.trees.len().max(1))?;
        let hashes: Vec<_> = leaves.iter().map(DividendLeaf::hash).collect();
        Some(Call::ClaimDividend {
            vault: vault("north"),
            epoch: *epoch,
            index: leaf as u64,
            amount: Sym(leaves[leaf].amount.0 + more),
            path: merkle::inclusion_proof(&hashes, leaf)?,
        })
    }
}

fn old_task(batch: &PayoutBatch) -> TaskId {
    batch.settlements.first().map_or(task("x"), |entry| entry.task)
}

fn empty(name: &str, epoch: EpochId) -> PayoutBatch {
    PayoutBatch {
        batch_id: digest(name),
        epoch,
        settlements: vec![],
        subsidies: vec![],
        payees: vec![],
        dividends: vec![],
        carries: vec![],
        pool_return: Sym::ZERO,
        treasury: Sym::ZERO,
        anchors: vec![],
    }
}

fn leaves(total: Sym) -> Vec<DividendLeaf> {
    let quarters: Vec<_> = (0u64..4).map(|producer| (producer, 1)).collect();
    let parts = split(total, &quarters).unwrap();
    let leaf = |(index, amount): (u64, Sym)| DividendLeaf {
        account: account(PRODUCERS[index as usize]),
        index,
        amount,
    };
    parts.into_iter().map(leaf).collect()
}

fn releasing(amount: u64, proposal: usize, here: bool) -> Release {
    let name = if here { "test" } else { "elsewhere" };
    Release {
        chain: symphony_chain::transaction::ChainId::new(name).unwrap(),
        to: account(OPERATOR),
        amount: Sym(amount),
        proposal: digest(&format!("proposal {proposal} {}", amount % 3)),
    }
}

fn release(amount: u64, proposal: usize, signers: &[u8], here: bool) -> Call {
    let release = releasing(amount, proposal, here);
    let approvals = signers.iter().map(|name| signer(*name).sign(release.clone())).collect();
    Call::TreasuryRelease { release, approvals }
}

fn walk(pair: &mut Pair, steps: &[Step]) -> Vec<Abort> {
    let mut memory = Memory::default();
    for step in steps {
        if let Step::Wait(millis) = step {
            pair.wait(*millis);
        }
        let Some((name, call)) = memory.action(pair, step) else { continue };
        if let Err(abort) = pair.call(name, &call) {
            memory.reached.push(abort);
        }
    }
    pair.compare();
    for epoch in 0..=memory.counter / 2 {
        pair.compare_epoch(EpochId(epoch));
    }
    memory.reached
}

/// What random walks seldom do: a batch with too many entries, and a tree that promises more than it holds.
#[test]
#[ignore = "needs the Move VM: cargo xtask move test"]
fn rare_aborts_are_the_same() {
    let artifacts = artifacts();
    let mut pair = Pair::new(&artifacts);
    let payee = Payee { account: account(OPERATOR), class: RecipientClass::Verifier, amount: Sym::ZERO };
    let large = PayoutBatch { payees: vec![payee; 10_001], ..empty("large", EpochId(1)) };
    assert_eq!(pair.call(PAYOUT, &Call::Payout(large)), Err(Abort::BatchTooLarge));
    let lock = lock_ref(account(1), 0);
    let (amount, policy_version) = (Sym(100), PolicyVersion(3));
    let locking =
        Call::EscrowLock { request: digest("r"), amount, policy_version, expires: pair.now.plus(LOCK_MS) };
    pair.call(1, &locking).unwrap();
    let lying: Vec<_> =
        leaves(Sym(100)).into_iter().map(|leaf| DividendLeaf { amount: Sym(60), ..leaf }).collect();
    let hashes: Vec<_> = lying.iter().map(DividendLeaf::hash).collect();
    let tree =
        DividendTree { vault: vault("north"), root: merkle::root(&hashes), leaves: 4, total: Sym(100) };
    let settlement = EscrowSettlement { lock, task: task("t"), charged: Sym(100), refunded: Sym::ZERO };
    let batch =
        PayoutBatch { settlements: vec![settlement], dividends: vec![tree], ..empty("lying", EpochId(1)) };
    pair.call(PAYOUT, &Call::Payout(batch)).unwrap();
    let claim = |leaf: usize| Call::ClaimDividend {
        vault: vault("north"),
        epoch: EpochId(1),
        index: leaf as u64,
        amount: Sym(60),
        path: merkle::inclusion_proof(&hashes, leaf).unwrap(),
    };
    pair.call(PRODUCERS[0], &claim(0)).unwrap();
    assert_eq!(pair.call(PRODUCERS[0], &claim(0)), Err(Abort::AlreadyClaimed));
    assert_eq!(pair.call(PRODUCERS[1], &claim(1)), Err(Abort::TreeOverdrawn));
    pair.compare();
    pair.compare_epoch(EpochId(1));
}

/// R174-R178, R182: the contracts do what the reference ledger does, to the unit, the event and the abort.
#[test]
#[ignore = "needs the Move VM: cargo xtask move test"]
fn ledger_and_contracts_agree() {
    let artifacts = artifacts();
    let mut pair = Pair::new(&artifacts);
    let saved = pair.host.save();
    let cases = std::env::var("SYMPHONY_MOVE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(60);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let pair = std::cell::RefCell::new(&mut pair);
    let reached = std::cell::RefCell::new(std::collections::BTreeSet::new());
    let ran = runner.run(&steps(), |steps| {
        let mut pair = pair.borrow_mut();
        pair.again(&saved);
        reached.borrow_mut().extend(walk(&mut pair, &steps));
        Ok::<(), TestCaseError>(())
    });
    ran.unwrap();
    // A walk that only ever succeeds would compare little.
    let reached = reached.into_inner();
    eprintln!("differential: {cases} walks, {} of {} aborts reached", reached.len(), Abort::ALL.len() - 6);
    assert!(cases < 60 || reached.len() >= 32, "{reached:?}");
}
