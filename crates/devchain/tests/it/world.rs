//! Two chains with the same accounts: the reference ledger, and the contracts in the VM. Every call goes to both.

use std::collections::BTreeMap;

use serde_json::Value;
use symphony_chain::contracts::{Entry, Start, tier as tier_number};
use symphony_chain::ledger::inflation::Schedule;
use symphony_chain::ledger::query::{Account, Answer, Query, answer};
use symphony_chain::ledger::{Abort, Genesis, Parameters, Receipt, Roles, State, TierTerms, apply, supply};
use symphony_chain::transaction::{Call, ChainId, Transaction};
use symphony_devchain::contracts;
use symphony_devchain::genesis::{self, Artifacts};
use symphony_devchain::host::Host;
use symphony_devchain::vm::{Address, Failure};
use symphony_types::amount::{Bps, Sym};
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, EpochId, VaultId};
use symphony_types::key::{PrivateKey, Treasury, Wallet};
use symphony_types::time::OrderedMillis;

pub(crate) const SUBMITTERS: [u8; 2] = [1, 2];
pub(crate) const OPERATOR: u8 = 3;
pub(crate) const PRODUCERS: [u8; 4] = [4, 5, 6, 7];
pub(crate) const PAYOUT: u8 = 8;
pub(crate) const SETTLEMENT: u8 = 9;
pub(crate) const COUNCIL: u8 = 10;
pub(crate) const SIGNERS: [u8; 3] = [20, 21, 22];
pub(crate) const LOCK_MS: u64 = 1_000;
pub(crate) const COOLDOWN_MS: u64 = 500;
/// Of the schedule of inflation.
pub(crate) const EPOCH_MS: u64 = 700;
const LIFE_MS: u64 = 10_000;
const BEGIN: u64 = 1_000_000;
const GAS: u64 = 1 << 40;

pub(crate) fn wallet(name: u8) -> PrivateKey<Wallet> {
    PrivateKey::from_seed(&[name; 32])
}

pub(crate) fn account(name: u8) -> AccountId {
    wallet(name).public().account()
}

pub(crate) fn signer(name: u8) -> PrivateKey<Treasury> {
    PrivateKey::from_seed(&[name; 32])
}

pub(crate) fn digest(text: &str) -> Digest {
    Digest::of_bytes(text.as_bytes())
}

pub(crate) fn chain() -> ChainId {
    ChainId::new("test").unwrap()
}

pub(crate) fn vault(text: &str) -> VaultId {
    VaultId::new(text).unwrap()
}

/// Submitters, the operator and producers with money, stakes that cool for so long, transactions that live for so long.
pub(crate) fn genesis(cooldown_ms: u64, life_ms: u64) -> Genesis {
    let terms = |minimum| TierTerms { minimum: Sym(minimum), cooldown_ms };
    let names = SUBMITTERS.into_iter().chain([OPERATOR]).chain(PRODUCERS);
    Genesis {
        chain: chain(),
        balances: names.map(|name| (account(name), Sym(1_000))).collect(),
        treasury: Sym(500),
        pool: Sym(50),
        incentives: Sym(70),
        inflation: Schedule {
            start: OrderedMillis(BEGIN),
            epoch_ms: EPOCH_MS,
            epochs_per_step: 2,
            rates: vec![Bps(800), Bps(500)],
            treasury: Bps(2_500),
        },
        roles: Roles {
            payout: account(PAYOUT),
            slasher: account(SETTLEMENT),
            recorder: account(COUNCIL),
            treasury: SIGNERS.iter().map(|name| signer(*name).public()).collect(),
            treasury_threshold: 2,
        },
        parameters: Parameters {
            master: terms(300),
            enterprise: terms(200),
            producer: terms(100),
            lock_ms_min: LOCK_MS,
            transaction_ms_max: life_ms,
            receipt_ms: life_ms,
            payees_per_tree_min: 2,
            quorum: Bps(5_000),
        },
    }
}

/// The virtual machine starts once for all cases of a test; each case begins with the saved chain.
pub(crate) struct Pair {
    pub(crate) state: State,
    pub(crate) host: Host,
    pub(crate) now: OrderedMillis,
    transactions: u64,
}

impl Pair {
    pub(crate) fn new(artifacts: &Artifacts) -> Self {
        let genesis = genesis(COOLDOWN_MS, LIFE_MS);
        let host = Host::new(artifacts, BEGIN * 1_000, &Start::of(&genesis)).unwrap();
        Self { state: State::new(genesis).unwrap(), host, now: OrderedMillis(BEGIN), transactions: 0 }
    }

    /// Begins again.
    pub(crate) fn again(&mut self, saved: &symphony_devchain::host::Saved) {
        self.host.restore(saved);
        self.state = State::new(genesis(COOLDOWN_MS, LIFE_MS)).unwrap();
        self.now = OrderedMillis(BEGIN);
    }

    pub(crate) fn wait(&mut self, millis: u64) {
        self.now = self.now.plus(millis);
        self.host.set_time(self.now.0 * 1_000);
    }

    pub(crate) fn account(&self, name: u8) -> Account {
        let Answer::Account(account) = answer(&self.state, self.now, &Query::Account(account(name))) else {
            panic!()
        };
        account
    }

    /// Has both execute the call, and compares what they say.
    pub(crate) fn call(&mut self, name: u8, call: &Call) -> Result<Receipt, Abort> {
        let sequence = self.account(name).sequence;
        let transaction =
            Transaction::sign(&wallet(name), chain(), sequence, self.now.plus(LIFE_MS), call.clone());
        let expected = apply(&mut self.state, self.now, &transaction);
        genesis::set_account(self.host.store_mut(), &account(name).0.0, &[], sequence);
        let (result, said) = self.execute(account(name).0.0, &genesis::entry(Entry::of(call)));
        match (&expected, result) {
            (Ok(receipt), Ok(())) => {
                let announced: Vec<_> = receipt.events.iter().filter_map(contracts::announced).collect();
                // The same batch again: the ledger gives no events, and so do the contracts.
                assert_eq!(said, announced, "events of {call:?}");
            }
            (Err(abort), Err(Failure::Abort { module, code })) => {
                assert_eq!(contracts::abort(code), Some(*abort), "{module} aborts {call:?} with {code:#x}");
            }
            (expected, result) => panic!("{call:?}: ledger {expected:?}, contracts {result:?}"),
        }
        expected
    }

    fn execute(
        &mut self,
        sender: Address,
        call: &symphony_devchain::vm::Call,
    ) -> (Result<(), Failure>, Vec<(String, Value)>) {
        self.transactions += 1;
        let hash = Digest::of("test", &self.transactions).0;
        let executed = self.host.execute(sender, call, hash, GAS).unwrap();
        match executed.result {
            Ok(events) => (Ok(()), contracts::of_contracts(&events)),
            Err(failure) => (Err(failure), Vec::new()),
        }
    }

    /// Compares every balance, every stake and every place of the protocol's money.
    pub(crate) fn compare(&mut self) {
        assert_eq!(supply(&self.state), u128::from(self.state.minted().0));
        let names = SUBMITTERS.into_iter().chain([OPERATOR, PAYOUT, SETTLEMENT]).chain(PRODUCERS);
        for name in names {
            let expected = self.account(name);
            let balance = self.number("sym", "balance", vec![bcs::to_bytes(&account(name)).unwrap()]);
            assert_eq!(balance, expected.balance.0, "balance of {name}");
            for tier in [0u8, 1, 2] {
                let args = vec![bcs::to_bytes(&account(name)).unwrap(), bcs::to_bytes(&tier).unwrap()];
                let stake = numbers(&self.host.look("staking", "stake", args).unwrap());
                let of_tier: BTreeMap<u8, _> =
                    expected.stakes.iter().map(|(tier, stake)| (tier_number(*tier), stake)).collect();
                let expected = of_tier.get(&tier).map_or([0, 0], |stake| [stake.deposit.0, stake.cooling.0]);
                assert_eq!(stake[..2], expected, "stake of {name} in tier {tier}");
            }
        }
        let Answer::Funds(funds) = answer(&self.state, self.now, &Query::Funds) else { panic!() };
        assert_eq!(self.number("treasury", "balance", vec![]), funds.treasury.0);
        assert_eq!(self.number("sym", "minted", vec![]), funds.minted.0);
        let holdings = numbers(&self.host.look("reward", "holdings", vec![]).unwrap());
        assert_eq!(holdings[..2], [funds.pool.0, funds.incentives.0]);
        assert_eq!(holdings[..4].iter().sum::<u64>(), holdings[4]);
        let Answer::Inflation(minting) = answer(&self.state, self.now, &Query::Inflation) else { panic!() };
        let epochs = numbers(&self.host.look("inflation", "epochs", vec![]).unwrap());
        assert_eq!(epochs, [minting.next, minting.ends, minting.due.0]);
        for contract in ["escrow", "staking"] {
            let held = numbers(&self.host.look(contract, "holdings", vec![]).unwrap());
            assert_eq!(held[0], held[1], "{contract}");
        }
    }

    /// Batches and trees of an epoch.
    pub(crate) fn compare_epoch(&mut self, epoch: EpochId) {
        let Answer::Epoch(records) = answer(&self.state, self.now, &Query::Epoch(epoch)) else { panic!() };
        for record in records {
            let found =
                self.host.look("reward", "batch", vec![bcs::to_bytes(&record.batch_id).unwrap()]).unwrap();
            assert_eq!(found[0], Value::Bool(true));
            assert_eq!(found[1], Value::String(format!("0x{}", record.bytes)), "canonical bytes of a batch");
        }
        if let Answer::Tree(Some(tree)) = answer(&self.state, self.now, &Query::Tree(vault("north"), epoch)) {
            let args = vec![bcs::to_bytes(&vault("north")).unwrap(), bcs::to_bytes(&epoch).unwrap()];
            let found = self.host.look("reward", "tree", args).unwrap();
            let unclaimed = found[3].as_str().unwrap();
            assert_eq!(unclaimed, tree.unclaimed.0.to_string());
        }
    }

    fn number(&mut self, module: &str, function: &str, args: Vec<Vec<u8>>) -> u64 {
        self.host.look(module, function, args).unwrap().as_str().unwrap().parse().unwrap()
    }
}

fn numbers(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|number| number.as_str().unwrap().parse().unwrap()).collect()
}
