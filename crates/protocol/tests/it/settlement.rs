//! What a settled task is charged, who earns it, and the root that anyone recomputes (R144-R160).

use proptest::collection::vec;
use proptest::prelude::*;
use symphony_protocol::artifact::*;
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::stake::{StakeSheet, Staking};
use symphony_protocol::lifecycle::Stage;
use symphony_protocol::machine::State;
use symphony_protocol::settlement::finalize::{self, Settled, settlement_root};
use symphony_protocol::settlement::{bootstrap, reward};
use symphony_types::amount::{Sym, sum};
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, EpochId, LockRef, PolicyVersion, TaskId};
use symphony_types::key::Vault;
use symphony_types::time::OrderedMillis;

use crate::stage::{PLENTY, START, VAULTS, actor, campaign, governance, key, vault};
use crate::world::{Act, Disturbance, Script, World, slice};

/// The context and root of a finished campaign, and the machine that has it.
pub(crate) fn settled(script: Script) -> (State, SettlementContext, Digest) {
    let request = campaign("c1");
    let mut world = World::new(script);
    world.submit(&request, PLENTY).unwrap();
    world.run(Disturbance::default());
    match &world.task(&request.task()).stage {
        Stage::Completed { context, root, .. } => (world.state.clone(), context.clone(), *root),
        other => panic!("{other:?}"),
    }
}

/// R152, R155, R156, D5, D13: what was measured is charged, the rest goes back.
#[test]
fn charged_and_refunded_are_the_lock() {
    let base = Script::default();
    let two = [Act::Serve, Act::Refuse, Act::Serve];
    // 10 + vaults * 2 + records * 0.01 + vaults * 0.11 SYM
    let cases = [
        (base, 1_600_000_000 + 4_321 * 1_000_000 + 33_000_000),
        (Script { outcome: Outcome::Suppressed, ..base }, 1_633_000_000),
        (Script { slice: two, ..base }, 1_400_000_000 + 4_321 * 1_000_000 + 22_000_000),
        (Script { prepare: two, ..base }, 1_400_000_000 + 4_321 * 1_000_000 + 22_000_000),
    ];
    for (script, total) in cases {
        let (_, context, _) = settled(script);
        assert_eq!(context.fee.total, Sym(total));
        assert_eq!(context.locked, PLENTY);
        assert_eq!(context.fee.total.checked_add(context.refunded), Some(context.locked));
    }
}

/// R158, R159, D3, D4: classes by the policy's rates; the reward budget is the sum of its parts.
#[test]
fn classes_get_their_rates() {
    let (_, context, _) = settled(Script::default());
    let class = |class| {
        sum(context.shares.iter().filter(|share| share.class == class).map(|share| share.amount)).unwrap().0
    };
    let fee = context.fee.total.0;
    let rates = [
        (RecipientClass::Contributors, 4_500),
        (RecipientClass::VaultOperator, 2_000),
        (RecipientClass::Executor, 1_400),
        (RecipientClass::Aggregator, 600),
        (RecipientClass::Verifier, 750),
        (RecipientClass::Treasury, 750),
    ];
    for (name, rate) in rates {
        let exact = fee * rate / 10_000;
        assert!((exact..=exact + 1).contains(&class(name)), "{name:?}");
    }
    let treasury = class(RecipientClass::Treasury);
    let budget: u64 = rates[..5].iter().map(|(name, _)| class(*name)).sum();
    assert_eq!(budget + treasury, fee);
}

/// R160: contributors and operators by records and epsilon, executors by slice, each at its own account.
#[test]
fn bases_decide_inside_a_class() {
    let (_, context, _) = settled(Script::default());
    let amounts = |class: RecipientClass| -> Vec<u64> {
        VAULTS
            .iter()
            .map(|name| {
                let share = context.shares.iter().find(|share| {
                    share.class == class && share.vault.as_ref().is_some_and(|v| v.as_str() == *name)
                });
                share.unwrap().amount.0
            })
            .collect()
    };
    // The Vaults of the world used 512, 1,024 and 2,048 records, as buckets.
    for class in [RecipientClass::Contributors, RecipientClass::VaultOperator] {
        let [a, b, c] = amounts(class)[..] else { panic!("three vaults") };
        assert!(b.abs_diff(2 * a) <= 2 && c.abs_diff(4 * a) <= 4, "{a} {b} {c}");
    }
    let [a, b, c] = amounts(RecipientClass::Executor)[..] else { panic!("three vaults") };
    assert!(a.abs_diff(b) <= 1 && b.abs_diff(c) <= 1);
    let recipients: Vec<_> = context
        .shares
        .iter()
        .filter(|share| share.class == RecipientClass::Executor)
        .map(|share| share.recipient.clone())
        .collect();
    assert_eq!(recipients, ["executor-a", "executor-b", "executor-c"].map(actor));
}

proptest! {
    /// R157-R159: any fee over any slices, to the last base unit; who is not there earns nothing.
    #[test]
    fn shares_sum_to_the_fee(
        fee in any::<u64>(),
        work in vec((1..=u64::MAX, 1..1_000_000u64), 1..=3),
    ) {
        let governance = governance();
        let served = work.iter().zip(VAULTS);
        let served: Vec<_> = served.map(|((weight, slices), name)| self::served(name, *weight, *slices)).collect();
        let shares = reward::shares(&governance, governance.policy_at(START), Sym(fee), &served).unwrap();
        prop_assert_eq!(sum(shares.iter().map(|share| share.amount)), Some(Sym(fee)));
        prop_assert_eq!(shares.len(), 3 * served.len() + 3);
        for share in &shares {
            prop_assert_eq!(governance.registry.actors[&share.recipient].account, share.account);
        }
    }
}

fn served(name: &str, weight: u64, slices: u64) -> reward::Served {
    reward::Served { vault: vault(name), weight, slices }
}

/// R160: Vaults that found nothing share the class when nobody found anything, and nothing is left over.
#[test]
fn a_search_without_finds_is_paid_evenly() {
    let governance = governance();
    let (state, context, _) = settled(Script::default());
    let envelope = &state.tasks[&context.task].envelope;
    let slices: Vec<_> = VAULTS
        .iter()
        .map(|name| {
            let found = slice(envelope, &vault(name));
            key::<Vault>(name).sign(SliceHeader { records: Bucket(0), ..found.body })
        })
        .collect();
    let Stage::Completed { aggregate, verdict, .. } = &state.tasks[&context.task].stage else { panic!() };
    let settled = Settled { envelope, rounds: &[], slices: &slices, aggregate };
    let shares = finalize::context(&governance, &settled, verdict, context.finalized_at).unwrap().shares;
    let contributors: Vec<_> = shares.iter().take(3).map(|share| share.amount).collect();
    assert!(contributors.iter().max().unwrap().0 - contributors.iter().min().unwrap().0 <= 1);
}

/// R149: whoever holds the context has the root, from stored bytes as well.
#[test]
fn the_root_is_recomputed_from_the_context() {
    let (state, context, root) = settled(Script::default());
    assert_eq!(settlement_root(&context), root);
    let stored: SettlementContext = bcs::from_bytes(&bcs::to_bytes(&context).unwrap()).unwrap();
    assert_eq!(settlement_root(&stored), root);
    assert!(state.epochs[&context.epoch].settled.iter().eq([(&context.task, &root)]));
    let envelope = &state.tasks[&context.task].envelope;
    let own = slice(envelope, &vault("vault-b"));
    assert_eq!(context.slices[1].1, symphony_types::key::Document::digest(&own.body));
}

/// R149: no field of the context can change under the same root.
#[test]
fn the_root_changes_with_every_field() {
    let (_, context, root) = settled(Script::default());
    let other = Digest::of_bytes(b"other");
    type Change = Box<dyn Fn(&mut SettlementContext)>;
    let changes: Vec<Change> = vec![
        Box::new(move |c| c.task = TaskId(other)),
        Box::new(|c| c.versions.policy = PolicyVersion(2)),
        Box::new(|c| c.versions.semantic.0 += 1),
        Box::new(|c| c.versions.schema.0 += 1),
        Box::new(|c| c.epoch = EpochId(c.epoch.0 + 1)),
        Box::new(move |c| c.envelope = other),
        Box::new(|c| drop(c.slices.pop())),
        Box::new(move |c| c.slices[0].1 = other),
        Box::new(|c| c.slices[0].0 = vault("vault-x")),
        Box::new(|c| c.slices.swap(0, 1)),
        Box::new(move |c| c.aggregate = other),
        Box::new(move |c| c.verdict = other),
        Box::new(move |c| c.lock = LockRef(other)),
        Box::new(|c| c.locked.0 += 1),
        Box::new(|c| c.fee.base.0 += 1),
        Box::new(|c| c.fee.vaults.0 += 1),
        Box::new(|c| c.fee.records.0 += 1),
        Box::new(|c| c.fee.epsilon.0 += 1),
        Box::new(|c| c.fee.total.0 += 1),
        Box::new(|c| c.refunded.0 += 1),
        Box::new(|c| drop(c.shares.pop())),
        Box::new(|c| c.shares[0].amount.0 += 1),
        Box::new(|c| c.shares[0].class = RecipientClass::Treasury),
        Box::new(|c| c.shares[0].vault = None),
        Box::new(|c| c.shares[0].recipient = actor("trainer")),
        Box::new(move |c| c.shares[0].account = AccountId(other)),
        Box::new(|c| c.software = !c.software),
        Box::new(|c| c.finalized_at = OrderedMillis(c.finalized_at.0 + 1)),
    ];
    let mut roots = std::collections::BTreeSet::from([root]);
    for (case, change) in changes.iter().enumerate() {
        let mut changed = context.clone();
        change(&mut changed);
        assert!(roots.insert(settlement_root(&changed)), "case {case}");
    }
}

/// R130: the context says that software enclaves served.
#[test]
fn software_is_marked() {
    assert!(settled(Script::default()).1.software);
}

/// R164: each registered node counts once, who has several is paid for each, and nobody is paid where policy gives nothing.
#[test]
fn every_registered_node_is_paid_alike_while_inflation_lasts() {
    let governance = governance();
    let registry = &governance.registry;
    let paying = |governance: &Governance| {
        let sheet = StakeSheet::default();
        bootstrap::node_pay(&Staking { governance, sheet: &sheet, at: START })
    };
    let paid = paying(&governance);
    let nodes = (registry.vaults.len() + registry.masters.len() + 1) as u64;
    assert_eq!(sum(paid.values().copied()), Some(Sym(7 * nodes)));
    let aggregator = registry.actors[&registry.aggregator].account;
    assert_eq!(paid[&aggregator].0, 7 * registry.masters.len() as u64);
    let mut nothing = governance.clone();
    nothing.policies.values_mut().for_each(|policy| policy.node_pay = Sym::ZERO);
    assert!(paying(&nothing).is_empty());
    let mut nobody = governance.clone();
    nobody.registry.actors.clear();
    assert!(paying(&nobody).is_empty());
}
