//! Whether the epoch of a settled task was paid as settled (R150, R158, R161, R169, R177).

use std::collections::{BTreeMap, BTreeSet};

use symphony_protocol::artifact::{RecipientClass, SettlementContext, SignedDividends};
use symphony_protocol::evidence::EvidenceBundle;
use symphony_protocol::governance::Governance;
use symphony_protocol::settlement::payout::{DividendTree, PayoutEvidence, PayoutInstructionSet};
use symphony_types::amount::{self, Sym};
use symphony_types::id::{AccountId, VaultId};
use symphony_types::key::Document as _;

use super::{Report, held};

/// The checks of a payout.
pub(super) fn checks(
    report: &mut Report,
    bundle: &EvidenceBundle,
    governance: &Governance,
    payout: &PayoutEvidence,
) {
    let PayoutEvidence { instructions, statements, confirmation } = payout;
    report.check(
        "dividend-statements",
        "every vault signed what its producers get, and the parts are what was allotted",
        sound(governance, instructions, statements),
    );
    report.check(
        "payout-dividends",
        "the chain was told exactly what the vaults stated, and this task's producers are in it",
        dividends(&bundle.context, instructions, statements),
    );
    report.check(
        "payout-settlement",
        "the chain was told once to charge, refund and anchor this task, as it was settled",
        settlement(bundle, instructions),
    );
    report.check(
        "payout-shares",
        "everybody who served this task is paid at least the share of it",
        shares(&bundle.context, instructions),
    );
    report.check(
        "payout-conserved",
        "the epoch pays out exactly what it charges, to the last base unit",
        conserved(instructions),
    );
    let body = &confirmation.body;
    report.check(
        "payout-confirmation",
        "the payout service saw the chain execute exactly this batch",
        held(
            confirmation.verify(&bundle.governance.registry.payout)
                && body.epoch == instructions.epoch
                && body.batch == instructions.digest(),
            "the confirmation is not the payout service's, or of another batch",
        ),
    );
}

fn sound(
    governance: &Governance,
    set: &PayoutInstructionSet,
    statements: &[SignedDividends],
) -> Result<(), String> {
    let mut vaults = BTreeSet::new();
    for statement in statements {
        let body = &statement.body;
        let vault = governance.registry.vaults.get(&body.vault);
        let parts = amount::sum([body.total, body.pool_return, body.carried]);
        let published = body.payees >= u64::from(governance.policy_in(set.epoch).dividend_payees_min);
        let holds = vault.is_some_and(|vault| statement.verify(&vault.key))
            && body.epoch == set.epoch
            && parts == Some(body.allotted)
            && if body.payees == 0 { body.total == Sym::ZERO } else { published }
            && vaults.insert(&body.vault);
        held(holds, &format!("the statement of {}", body.vault))?;
    }
    Ok(())
}

fn dividends(
    context: &SettlementContext,
    set: &PayoutInstructionSet,
    statements: &[SignedDividends],
) -> Result<(), String> {
    let published = statements.iter().map(|statement| &statement.body).filter(|body| body.payees > 0);
    let mut trees: Vec<DividendTree> = published
        .map(|body| DividendTree {
            vault: body.vault.clone(),
            root: body.root,
            payees: body.payees,
            total: body.total,
        })
        .collect();
    trees.sort_by(|one, two| one.vault.cmp(&two.vault));
    let returned = amount::sum(statements.iter().map(|statement| statement.body.pool_return));
    held(trees == set.dividends, "the trees are not the vaults'")?;
    held(returned == Some(set.pool_return), "the pool's return is not the vaults'")?;
    let stated = |vault: &VaultId| {
        statements.iter().map(|statement| &statement.body).find(|body| body.vault == *vault)
    };
    for carry in &set.carries {
        let fits = stated(&carry.vault).is_none_or(|body| body.carried == carry.into);
        held(fits, &format!("{} carries something else", carry.vault))?;
    }
    let mut owed: BTreeMap<&VaultId, Sym> = BTreeMap::new();
    for share in context.shares.iter().filter(|share| share.class == RecipientClass::Contributors) {
        let vault = share.vault.as_ref().ok_or("a contributors' share has no vault")?;
        add(owed.entry(vault).or_default(), share.amount)?;
    }
    for (vault, share) in owed {
        let waits = set.carries.iter().find(|carry| carry.vault == *vault).map(|carry| carry.into);
        let covered = stated(vault).map(|body| body.allotted).or(waits).unwrap_or_default();
        held(covered >= share, &format!("the producers of {vault} are left out"))?;
    }
    Ok(())
}

fn settlement(bundle: &EvidenceBundle, set: &PayoutInstructionSet) -> Result<(), String> {
    let context = &bundle.context;
    held(set.epoch == context.epoch, "the payout is of another epoch")?;
    let settled: Vec<_> = set
        .settlements
        .iter()
        .filter(|settled| settled.task == context.task || settled.lock == context.lock)
        .collect();
    let [one] = settled[..] else { return Err("the task is not settled exactly once".to_owned()) };
    let as_settled = one.task == context.task
        && one.lock == context.lock
        && one.charged == context.fee.total
        && one.refunded == context.refunded;
    held(as_settled, "the chain was told another charge or refund")?;
    let anchors: Vec<_> = set.anchors.iter().filter(|(task, _)| *task == context.task).collect();
    held(anchors == [&(context.task, bundle.root)], "the root is not anchored exactly once")
}

fn shares(context: &SettlementContext, set: &PayoutInstructionSet) -> Result<(), String> {
    let mut direct: BTreeMap<(AccountId, RecipientClass), Sym> = BTreeMap::new();
    let mut treasury = Sym::ZERO;
    for share in &context.shares {
        match share.class {
            RecipientClass::Contributors => {}
            RecipientClass::Treasury => add(&mut treasury, share.amount)?,
            RecipientClass::VaultOperator
            | RecipientClass::Executor
            | RecipientClass::Aggregator
            | RecipientClass::Verifier => {
                add(direct.entry((share.account, share.class)).or_default(), share.amount)?;
            }
        }
    }
    held(set.treasury >= treasury, "the treasury gets less")?;
    for ((account, class), share) in direct.into_iter().filter(|(_, share)| *share > Sym::ZERO) {
        let payees: Vec<_> =
            set.payees.iter().filter(|payee| payee.account == account && payee.class == class).collect();
        let paid = matches!(payees[..], [payee] if payee.amount >= share);
        held(paid, &format!("account {account} is not paid its share"))?;
    }
    Ok(())
}

pub(crate) fn conserved(set: &PayoutInstructionSet) -> Result<(), String> {
    let charged = set.settlements.iter().map(|settled| settled.charged);
    let subsidised = set.subsidies.iter().map(|subsidy| subsidy.amount);
    let taken = amount::sum(charged.chain(subsidised).chain(set.carries.iter().map(|carry| carry.out_of)));
    let direct = set.payees.iter().map(|payee| payee.amount);
    let claimable = set.dividends.iter().map(|tree| tree.total);
    let kept = set.carries.iter().map(|carry| carry.into);
    let given = amount::sum(direct.chain(claimable).chain(kept).chain([set.pool_return, set.treasury]));
    held(
        taken.is_some() && taken == given,
        "what is charged and subsidised is not what is paid, kept and returned",
    )
}

fn add(sum: &mut Sym, amount: Sym) -> Result<(), String> {
    *sum = sum.checked_add(amount).ok_or("the amounts do not fit")?;
    Ok(())
}
