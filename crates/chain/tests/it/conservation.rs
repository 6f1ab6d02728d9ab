//! Random operations never make or lose a unit, and replaying their events gives the same state.

use proptest::prelude::*;
use symphony_chain::ledger::query::{Answer, Query, answer};
use symphony_chain::ledger::{State, decide, evolve, supply};
use symphony_chain::transaction::{
    Call, Carry, DividendTree, PayoutBatch, RecipientClass, Release, Subsidy, Tier,
};
use symphony_types::amount::Sym;
use symphony_types::dividend::DividendLeaf;
use symphony_types::id::{EpochId, LockRef};
use symphony_types::merkle;

use crate::world::*;

#[derive(Clone, Debug)]
enum Step {
    Pay(u8, u8, u64),
    Lock(u64),
    Reclaim(usize),
    Stake(usize, u64),
    Unstake(usize, u64),
    Withdraw(usize),
    Slash(usize, u64),
    Settle(usize, u64, [u64; 5]),
    Claim(usize, usize),
    Release(u64),
    Accept(u64),
    Mint,
    Nodes(u64, u64),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = || 1u8..=7;
    let which = || 0usize..4;
    let amount = || prop_oneof![0u64..400, Just(u64::MAX)];
    let step = prop_oneof![
        (name(), name(), amount()).prop_map(|(from, to, amount)| Step::Pay(from, to, amount)),
        (0u64..300).prop_map(Step::Lock),
        which().prop_map(Step::Reclaim),
        (which(), prop_oneof![amount(), 100u64..=200]).prop_map(|(who, amount)| Step::Stake(who, amount)),
        (which(), prop_oneof![amount(), 100u64..=200]).prop_map(|(who, amount)| Step::Unstake(who, amount)),
        which().prop_map(Step::Withdraw),
        (which(), amount()).prop_map(|(who, amount)| Step::Slash(who, amount)),
        (which(), 0u64..300, any::<[u16; 5]>()).prop_map(|(lock, charge, weights)| Step::Settle(
            lock,
            charge,
            weights.map(u64::from)
        )),
        (which(), which()).prop_map(|(tree, who)| Step::Claim(tree, who)),
        (0u64..4).prop_map(Step::Release),
        (0u64..4).prop_map(Step::Accept),
        Just(Step::Mint),
        (0u64..4, 0u64..300).prop_map(|(epoch, amount)| Step::Nodes(epoch, amount)),
        (0u64..1_500).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..150)
}

/// What the random walk remembers to make meaningful calls.
#[derive(Default)]
struct Memory {
    locks: Vec<(LockRef, u64)>,
    trees: Vec<(EpochId, Vec<DividendLeaf>)>,
    counter: u64,
}

impl Memory {
    fn fresh(&mut self) -> String {
        self.counter += 1;
        format!("thing {}", self.counter)
    }

    /// A batch that charges part of a lock and splits the charge at random (operator, tree, carry, pool,
    /// treasury), pays the operator a small subsidy too, and gives the treasury half of what is `kept`.
    fn batch(&mut self, kept: Sym, which: usize, charge: u64, weights: [u64; 5]) -> PayoutBatch {
        let name = self.fresh();
        let epoch = EpochId(self.counter);
        let mut batch = PayoutBatch { epoch, ..empty_batch(&name) };
        let index = which % self.locks.len().max(1);
        let Some((lock, amount)) = self.locks.get(index).copied() else { return batch };
        let charge = charge.min(amount);
        let out_of = Sym(kept.0 / 2);
        let keyed: Vec<_> = (0u8..).zip(weights.map(|weight| weight + 1)).collect();
        let shares = symphony_types::amount::split(Sym(charge), &keyed).unwrap();
        let [operator, dividends, carried, pool, treasury] = [0, 1, 2, 3, 4].map(|share| shares[share].1);
        batch.settlements = vec![settlement(lock, &name, charge, amount - charge)];
        let subsidy = charge % 3;
        batch.subsidies = vec![Subsidy { task: task(&format!("free {name}")), amount: Sym(subsidy) }];
        batch.payees = vec![payee(OPERATOR, RecipientClass::VaultOperator, operator.0 + subsidy)];
        batch.carries = vec![Carry { vault: vault("south"), into: carried, out_of }];
        batch.pool_return = pool;
        batch.treasury = Sym(treasury.0 + out_of.0);
        if dividends == Sym::ZERO {
            return batch;
        }
        let quarters: Vec<_> = (0u64..4).map(|producer| (producer, 1)).collect();
        let parts = symphony_types::amount::split(dividends, &quarters).unwrap();
        let leaf = |(index, amount): (u64, Sym)| DividendLeaf {
            account: account(PRODUCERS[index as usize]),
            index,
            amount,
        };
        let leaves: Vec<_> = parts.into_iter().map(leaf).collect();
        batch.dividends = vec![DividendTree { total: dividends, ..tree(&leaves) }];
        self.trees.push((epoch, leaves));
        batch
    }

    fn claim(&self, which: usize, who: usize) -> Option<Call> {
        let (epoch, leaves) = self.trees.get(which % self.trees.len().max(1))?;
        let hashes: Vec<_> = leaves.iter().map(DividendLeaf::hash).collect();
        Some(Call::ClaimDividend {
            vault: vault("north"),
            epoch: *epoch,
            index: who as u64,
            amount: leaves[who].amount,
            path: merkle::inclusion_proof(&hashes, who)?,
        })
    }

    fn action(&mut self, world: &World, step: &Step) -> Option<(u8, Call)> {
        let tier = Tier::Producer;
        Some(match *step {
            Step::Pay(from, to, amount) => (from, Call::Transfer { to: account(to), amount: Sym(amount) }),
            Step::Lock(amount) => {
                let sequence = world.account(SUBMITTER).sequence;
                let lock = symphony_chain::transaction::lock_ref(account(SUBMITTER), sequence);
                self.locks.push((lock, amount));
                (SUBMITTER, world.locking(&self.fresh(), amount))
            }
            Step::Reclaim(which) => {
                let (lock, _) = self.locks.get(which % self.locks.len().max(1))?;
                (SUBMITTER, Call::EscrowReclaim { lock: *lock })
            }
            Step::Stake(who, amount) => (PRODUCERS[who], stake(amount)),
            Step::Unstake(who, amount) => {
                (PRODUCERS[who], Call::StakeWithdrawRequest { tier, amount: Sym(amount) })
            }
            Step::Withdraw(who) => (PRODUCERS[who], Call::StakeWithdraw { tier }),
            Step::Slash(who, amount) => (SLASHER, slashing(PRODUCERS[who], amount, &self.fresh())),
            Step::Settle(which, charge, weights) => {
                let Answer::Carry(kept) = answer(&world.state, world.now, &Query::Carry(vault("south")))
                else {
                    panic!()
                };
                (PAYOUT, Call::Payout(self.batch(kept, which, charge, weights)))
            }
            Step::Claim(which, who) => (PRODUCERS[who], self.claim(which, who)?),
            Step::Release(amount) => (OPERATOR, releasing(proposed(amount), &[20, 21])),
            Step::Accept(amount) => (RECORDER, Call::RecordVote(accepting(&proposed(amount)))),
            Step::Mint => (OPERATOR, Call::MintEpoch),
            Step::Nodes(epoch, amount) => {
                (PAYOUT, Call::PayNodes { epoch, nodes: vec![(account(OPERATOR), Sym(amount))] })
            }
            Step::Wait(_) => return None,
        })
    }
}

fn proposed(amount: u64) -> Release {
    release(100 * amount, &format!("proposal {amount}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// R182, R177, R176: whatever happens, in whatever order, after every single event, those inside a
    /// batch too, all money adds up to what was minted.
    #[test]
    fn the_supply_is_conserved_to_the_unit(steps in steps()) {
        let mut world = World::new();
        let mut memory = Memory::default();
        let mut journal = Vec::new();
        for step in &steps {
            if let Step::Wait(millis) = step {
                world.wait(*millis);
            }
            let Some((name, call)) = memory.action(&world, step) else { continue };
            let transaction = world.sign(name, call);
            let Ok(events) = decide(&world.state, world.now, &transaction) else { continue };
            for event in events {
                evolve(&mut world.state, world.now, &event);
                prop_assert_eq!(supply(&world.state), u128::from(world.state.minted().0));
                journal.push((world.now, event));
            }
        }
        let mut replayed = State::new(genesis()).unwrap();
        for (at, event) in &journal {
            evolve(&mut replayed, *at, event);
        }
        prop_assert_eq!(bcs::to_bytes(&replayed).unwrap(), bcs::to_bytes(&world.state).unwrap());
        let bytes = symphony_types::canonical::to_bytes(&world.state);
        prop_assert!(bcs::from_bytes::<State>(&bytes).unwrap() == world.state);
    }
}
