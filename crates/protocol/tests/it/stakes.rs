//! Stakes of nodes: by the printed table of what stands at which deposit, by every way into new work, and over random histories
//! (R164, R174, R184-R187).

use std::fmt::Write;

use proptest::collection::vec;
use proptest::prelude::*;
use symphony_protocol::admission::request::{Terms, terms, terms_among};
use symphony_protocol::artifact::TaskRequest;
use symphony_protocol::governance::change::Change;
use symphony_protocol::governance::policy::Policy;
use symphony_protocol::governance::stake::{NodeTier, StakeEntry, StakePolicy, StakeSheet, StakeStanding};
use symphony_protocol::lifecycle::{Stage, TaskState};
use symphony_protocol::machine::{Answer, Command, Effect, Event};
use symphony_protocol::settlement::bootstrap::node_pay;
use symphony_types::amount::{Bps, SYM_UNIT, Sym};
use symphony_types::catalogue::Code;
use symphony_types::id::{AccountId, PolicyVersion};
use symphony_types::time::OrderedMillis;

use crate::council::tasks::decide;
use crate::flow::assert_nothing_is_left;
use crate::parse::{submission, ticket};
use crate::stage::{PLENTY, VAULTS, account, campaign, policy, vault};
use crate::world::{Disturbance, Script, World};

const MASTER: u64 = 300;
const ENTERPRISE: u64 = 100;

pub(crate) fn asked() -> StakePolicy {
    StakePolicy { master_min: Sym(MASTER), enterprise_min: Sym(ENTERPRISE), warning: Bps(2_000) }
}

/// A network that asks for stakes, with those of the network's own nodes.
fn asking() -> World {
    let mut world = World::new(Script::default());
    world.state.governance.policies.values_mut().for_each(|policy| policy.stakes = asked());
    for name in ["aggregator", "verifier"] {
        stake(&mut world, NodeTier::Master, name, MASTER);
    }
    world
}

/// The same where each enterprise has twice the minimum.
fn staked() -> World {
    let mut world = asking();
    for letter in ["a", "b", "c"] {
        stake(&mut world, NodeTier::Enterprise, &format!("operator-{letter}"), 2 * ENTERPRISE);
    }
    world
}

/// The next sheet, in which one has another stake.
fn sheet(world: &World, tier: NodeTier, of: AccountId, deposit: u64) -> StakeSheet {
    let known = &world.state.stakes;
    let entry = |(tier, account)| {
        let empty =
            StakeEntry { tier, account, deposit: Sym::ZERO, cooling: Sym::ZERO, matures: OrderedMillis(0) };
        known.entry(tier, account).copied().unwrap_or(empty)
    };
    let mut entries: Vec<_> = world.state.governance.registry.stakers().into_keys().map(entry).collect();
    for entry in entries.iter_mut().filter(|entry| (entry.tier, entry.account) == (tier, of)) {
        entry.deposit = Sym(deposit);
    }
    StakeSheet { number: known.number + 1, entries }
}

fn recorded(world: &World, sheet: StakeSheet) -> Command {
    Command::RecordStakes { sheet: crate::stage::endorsed(&world.state.governance.registry, sheet) }
}

/// The masters see that somebody has so much.
fn stake(world: &mut World, tier: NodeTier, name: &str, deposit: u64) -> Vec<Event> {
    let command = recorded(world, sheet(world, tier, account(name), deposit));
    world.order(&command).unwrap()
}

fn quoted(world: &World, name: &str, quorum: u16) -> Result<Terms, Code> {
    terms_among(&world.state.staking(world.now), &TaskRequest { quorum, ..campaign(name) })
}

fn asked_of(world: &World, quorum: u16) -> Result<Vec<String>, Code> {
    Ok(quoted(world, "quote", quorum)?.vaults.iter().map(ToString::to_string).collect())
}

/// R185, R186: what stands at which deposit, with a minimum of 100 and a fifth of it as the margin; an account of several nodes must have the
/// minimum for each.
#[test]
fn the_table_of_standings_is_pinned() {
    let mut world = asking();
    let mut table = String::new();
    let mut last = String::new();
    for deposit in 0..=130 {
        stake(&mut world, NodeTier::Enterprise, "operator-a", deposit);
        let staking = world.state.staking(world.now);
        let standing = staking.standing(NodeTier::Enterprise, account("operator-a"));
        let may =
            staking.vault(&vault("vault-a")).map_or_else(|code| code.to_string(), |()| "new work".to_owned());
        let line = format!("{:<13} {may}", standing.as_str());
        if line != last {
            writeln!(table, "from {deposit:>3}  {line}").unwrap();
            last = line;
        }
    }
    world.state.governance.policies.values_mut().for_each(|policy| policy.stakes = StakePolicy::NONE);
    let standing = world.state.staking(world.now).standing(NodeTier::Enterprise, account("operator-b"));
    writeln!(table, "no minimum {}", standing.as_str()).unwrap();
    insta::assert_snapshot!(table);
    assert_eq!(StakeStanding::ALL.len(), 4);

    let mut many = asking();
    many.state.governance.registry.masters = crate::stage::masters(3);
    let staking = many.state.staking(many.now);
    assert_eq!(staking.minimum(NodeTier::Master, account("aggregator")), Sym(3 * MASTER));
    assert_eq!(staking.minimum(NodeTier::Master, account("verifier")), Sym(MASTER));
    assert_eq!(staking.minimum(NodeTier::Enterprise, account("nobody")), Sym::ZERO);
    assert_eq!(staking.network(), Err(Code::NodesUnstaked));
}

/// R184, R195: a sheet counts once, in its turn, with the word of a majority, and with exactly those who must have a stake.
#[test]
fn sheets_follow_each_other() {
    let mut world = asking();
    let first = sheet(&world, NodeTier::Enterprise, account("operator-a"), 5);
    let bent: [fn(&mut StakeSheet); 5] = [
        |sheet| sheet.number += 1,
        |sheet| sheet.entries.truncate(1),
        |sheet| sheet.entries.reverse(),
        |sheet| sheet.entries.push(sheet.entries[0]),
        |sheet| sheet.entries[0].account = account("stranger"),
    ];
    for bend in bent {
        let mut bad = first.clone();
        bend(&mut bad);
        assert_eq!(world.order(&recorded(&world, bad)).unwrap_err().code, Code::Undecided);
    }
    let mut alone = crate::stage::endorsed(&world.state.governance.registry, first.clone());
    alone.endorsements.clear();
    assert_eq!(world.order(&Command::RecordStakes { sheet: alone }).unwrap_err().code, Code::Undecided);
    let good = recorded(&world, first.clone());
    assert_eq!(world.order(&good).unwrap(), [Event::StakesRecorded { sheet: first.clone() }]);
    assert_eq!(world.order(&good).unwrap(), []);
    let late = StakeSheet { number: first.number, entries: vec![] };
    assert_eq!(world.order(&recorded(&world, late)).unwrap(), [], "another master saw it too");
    assert_eq!(world.state.stakes, first);
}

/// R185: below the minimum nothing new is given to an enterprise, by task or reading; money locked for it goes back; with the stake it works
/// again at once. What governs alone knows no stakes.
#[test]
fn nothing_new_goes_to_a_vault_with_too_little_stake() {
    let mut world = staked();
    assert_eq!(asked_of(&world, 3).unwrap(), VAULTS);
    let whole = quoted(&world, "quote", 2).unwrap().worst_case.total;
    stake(&mut world, NodeTier::Enterprise, "operator-b", ENTERPRISE - 1);
    assert_eq!(asked_of(&world, 2).unwrap(), ["vault-a", "vault-c"]);
    assert!(quoted(&world, "quote", 2).unwrap().worst_case.total < whole, "fewer are paid for");
    assert_eq!(asked_of(&world, 3), Err(Code::VaultUnstaked));
    assert_eq!(terms(&world.state.governance, &campaign("quote"), world.now).unwrap().vaults.len(), 3);
    assert_eq!(world.order(&submission(ticket("p1"))).unwrap_err().code, Code::VaultUnstaked);

    let three = TaskRequest { quorum: 3, ..campaign("c1") };
    world.submit(&three, PLENTY).unwrap();
    let Answer::Refused { code, .. } = world.state.requests[&three.task()].answer else { panic!("admitted") };
    assert_eq!(code, Code::VaultUnstaked);

    stake(&mut world, NodeTier::Enterprise, "operator-b", ENTERPRISE);
    assert_eq!(asked_of(&world, 3).unwrap(), VAULTS);
    world.order(&submission(ticket("p1"))).unwrap();
    world.submit(&TaskRequest { quorum: 3, ..campaign("c2") }, PLENTY).unwrap();
    world.run(Disturbance::default());
    assert_nothing_is_left(&world);
}

/// R185: a task under way ends as it would have, and is paid; one whose Vaults are still asked goes on without that Vault.
#[test]
fn what_has_begun_goes_on() {
    for disturbance in
        [Disturbance::default(), Disturbance { twice: true, crash_always: true, ..Disturbance::default() }]
    {
        let mut world = staked();
        let (begun, asked) = (campaign("c1"), campaign("c2"));
        world.submit(&begun, PLENTY).unwrap();
        while !world.state.tasks.get(&begun.task()).is_some_and(|task| matches!(task.stage, Stage::Computing))
        {
            assert!(world.step(false));
        }
        world.submit(&asked, PLENTY).unwrap();
        let answers = world.perform(&Effect::PrepareTask(asked.task())).unwrap();
        stake(&mut world, NodeTier::Enterprise, "operator-b", 0);
        world.order(&answers).unwrap();
        let part = &world.task(&asked.task()).envelope.coordination.participating_vault_ids;
        assert_eq!(*part, [vault("vault-a"), vault("vault-c")]);
        assert_eq!(world.task(&asked.task()).absent, [(vault("vault-b"), Code::VaultUnstaked)]);
        world.run(disturbance);
        for task in [begun.task(), asked.task()] {
            assert_eq!(world.task(&task).state(), TaskState::Completed);
        }
        let paid = |request: &TaskRequest| {
            let context = world.state.context(&request.task()).unwrap();
            context.shares.iter().any(|share| share.vault == Some(vault("vault-b")))
        };
        assert!(paid(&begun));
        assert!(!paid(&asked));
        assert_nothing_is_left(&world);
    }
}

/// R185: without the stakes of the aggregator and the verifier nothing new is admitted, and what is between question and answer is refused.
#[test]
fn nothing_is_admitted_while_the_networks_own_nodes_have_too_little() {
    for name in ["aggregator", "verifier"] {
        let mut world = staked();
        let request = campaign("c1");
        world.submit(&request, PLENTY).unwrap();
        let answers = world.perform(&Effect::PrepareTask(request.task())).unwrap();
        stake(&mut world, NodeTier::Master, name, MASTER - 1);
        assert_eq!(asked_of(&world, 2), Err(Code::NodesUnstaked));
        assert_eq!(world.order(&submission(ticket("p1"))).unwrap_err().code, Code::NodesUnstaked);
        world.order(&answers).unwrap();
        let Answer::Refused { code, .. } = world.state.requests[&request.task()].answer else {
            panic!("admitted")
        };
        assert_eq!(code, Code::NodesUnstaked);
        stake(&mut world, NodeTier::Master, name, MASTER);
        world.submit(&campaign("c2"), PLENTY).unwrap();
        world.run(Disturbance::default());
        assert_eq!(world.task(&campaign("c2").task()).state(), TaskState::Completed);
        assert_nothing_is_left(&world);
    }
}

/// R174, R185, R190: a minimum comes into force with its version at an epoch, for everybody at once.
#[test]
fn a_minimum_comes_with_its_version() {
    let mut world = staked();
    let raised = StakePolicy { enterprise_min: Sym(2 * ENTERPRISE + 1), ..asked() };
    let next = Policy { stakes: raised, ..policy() };
    decide(&mut world, 1, Change::AdoptPolicy { version: PolicyVersion(2), policy: Box::new(next) });
    let from = world.state.governance.calendar.last().1.from;
    let at = |at| terms_among(&world.state.staking(at), &campaign("quote")).map(|_| ());
    assert_eq!(at(from.minus(1)), Ok(()));
    assert_eq!(at(from), Err(Code::VaultUnstaked));
}

/// R174: which minimums can be adopted; a network that is not for development asks for both.
#[test]
fn a_policy_asks_for_sound_stakes() {
    let sound = |stakes, software_admitted| Policy { stakes, software_admitted, ..policy() }.check();
    let most = Sym(10_000_000 * SYM_UNIT);
    assert_eq!(sound(asked(), true), Ok(()));
    assert_eq!(sound(StakePolicy::NONE, true), Ok(()));
    assert_eq!(sound(asked(), false), Ok(()));
    for zero in [
        StakePolicy { master_min: Sym::ZERO, ..asked() },
        StakePolicy { enterprise_min: Sym::ZERO, ..asked() },
    ] {
        assert_eq!(sound(zero, true), Ok(()));
        assert_eq!(sound(zero, false), Err("nodes of a network that is not for development have a stake"));
    }
    for (stakes, fits) in [
        (StakePolicy { master_min: most, enterprise_min: most, warning: Bps::WHOLE }, true),
        (StakePolicy { master_min: Sym(most.0 + 1), ..asked() }, false),
        (StakePolicy { enterprise_min: Sym(most.0 + 1), ..asked() }, false),
        (StakePolicy { warning: Bps(Bps::WHOLE.0 + 1), ..asked() }, false),
    ] {
        assert_eq!(sound(stakes, true).is_ok(), fits, "{stakes:?}");
    }
}

/// R164, R185, R187: an epoch of inflation pays nobody who is suspended, has left or has too little stake, and nobody else less.
#[test]
fn nodes_that_do_not_stand_are_not_paid() {
    let mut world = staked();
    stake(&mut world, NodeTier::Enterprise, "operator-s", ENTERPRISE);
    let each = policy().node_pay;
    let paid = |world: &World, name| node_pay(&world.state.staking(world.now)).get(&account(name)).copied();
    for name in ["operator-a", "operator-b", "operator-c", "operator-s", "aggregator", "verifier"] {
        assert_eq!(paid(&world, name), Some(each), "{name}");
    }
    stake(&mut world, NodeTier::Enterprise, "operator-a", ENTERPRISE - 1);
    stake(&mut world, NodeTier::Master, "verifier", 0);
    decide(&mut world, 1, Change::SuspendNode { vault: vault("vault-b") });
    decide(&mut world, 2, Change::ReleaseEnterprise { vault: vault("vault-c") });
    for name in ["operator-a", "operator-b", "verifier"] {
        assert_eq!(paid(&world, name), None, "{name}");
    }
    assert_eq!(paid(&world, "operator-c"), Some(each), "it still ends what it has");
    let until = world.state.governance.registry.exits[&vault("vault-c")].until;
    world.now = world.state.governance.end_of(until);
    assert_eq!(paid(&world, "operator-c"), None);
    let staking = world.state.staking(world.now);
    assert_eq!(staking.standing(NodeTier::Enterprise, account("operator-c")), StakeStanding::Unasked);
    assert_eq!(paid(&world, "aggregator"), Some(each));
    stake(&mut world, NodeTier::Enterprise, "operator-a", ENTERPRISE);
    decide(&mut world, 3, Change::ReinstateNode { vault: vault("vault-b") });
    for name in ["operator-a", "operator-b"] {
        assert_eq!(paid(&world, name), Some(each), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// R065, R174, R185: over random stakes and tasks, a task is admitted with Vaults that had enough at that moment and with no other, every
    /// admitted task ends, every lock is resolved and nothing stays reserved.
    #[test]
    fn whoever_has_too_little_gets_nothing_new(history in vec((0_u8..7, 0_u64..3, 0_usize..4), 1..24)) {
        let mut world = staked();
        let mut tasks = 0;
        for (what, much, steps) in history {
            match what {
                0..=2 => {
                    let of = ["operator-a", "operator-b", "operator-c"][usize::from(what)];
                    stake(&mut world, NodeTier::Enterprise, of, much * ENTERPRISE / 2);
                }
                3 => drop(stake(&mut world, NodeTier::Master, "verifier", much * MASTER / 2)),
                4 | 5 => {
                    tasks += 1;
                    let quorum = u16::from(what) - 3;
                    let staking = world.state.staking(world.now);
                    let able = VAULTS.iter().filter(|name| staking.vault(&vault(name)).is_ok()).count();
                    let may = able >= usize::from(quorum) && staking.network().is_ok();
                    let request = TaskRequest { quorum, ..campaign(&format!("c{tasks}")) };
                    world.submit(&request, PLENTY).unwrap();
                    let preparing = matches!(world.state.requests[&request.task()].answer, Answer::Preparing(_));
                    prop_assert_eq!(preparing, may);
                }
                _ => {
                    for _ in 0..steps {
                        let before = world.log.len();
                        world.step(false);
                        let staking = world.state.staking(world.now);
                        for (_, event) in &world.log[before..] {
                            if let Event::TaskAdmitted { envelope, .. } = event {
                                let part = &envelope.coordination.participating_vault_ids;
                                prop_assert!(part.iter().all(|vault| staking.vault(vault).is_ok()));
                                prop_assert_eq!(staking.network(), Ok(()));
                            }
                        }
                    }
                    world.crash();
                }
            }
        }
        world.run(Disturbance::default());
        assert_nothing_is_left(&world);
    }
}
