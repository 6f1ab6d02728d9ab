//! Enterprises that the council freezes and lets take part again: by the printed table of their status, at every stage of what is under
//! way, and over random histories (R061, R184, R187).

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use symphony_protocol::admission::parse;
use symphony_protocol::admission::request::terms;
use symphony_protocol::artifact::parse::ParseTicket;
use symphony_protocol::artifact::{RecipientClass, SignedSlice, TaskRequest};
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::approval::Machine;
use symphony_protocol::governance::change::Change;
use symphony_protocol::governance::log::replay;
use symphony_protocol::governance::membership::{EXIT_EPOCHS, Enterprise, MemberStatus};
use symphony_protocol::governance::proposal::ProposalEvent;
use symphony_protocol::governance::registry::{Role, VaultRecord};
use symphony_protocol::lifecycle::{Stage, TaskState};
use symphony_protocol::machine::{Answer, Command, Event, ParseStage};
use symphony_types::catalogue::Code;
use symphony_types::id::{ActorId, NodeId, TaskId, VaultId};
use symphony_types::key::Vault;

use super::tasks::decide;
use crate::flow::assert_nothing_is_left;
use crate::parse::{submission, ticket};
use crate::rounds::propensity;
use crate::stage::{PLENTY, START, account, actor, campaign, governance, key, platform, vault};
use crate::world::{Disturbance, Script, World, slice};

const VAULTS: [&str; 3] = ["vault-a", "vault-b", "vault-c"];

fn suspend(name: &str) -> Change {
    Change::SuspendNode { vault: vault(name) }
}

fn reinstate(name: &str) -> Change {
    Change::ReinstateNode { vault: vault(name) }
}

fn release(name: &str) -> Change {
    Change::ReleaseEnterprise { vault: vault(name) }
}

fn asking(name: &str, quorum: u16) -> TaskRequest {
    TaskRequest { quorum, ..campaign(name) }
}

fn suspended(governance: &Governance) -> Vec<&str> {
    governance.registry.suspensions.keys().map(VaultId::as_str).collect()
}

/// R184, R187: what the council may do with an enterprise, by where it stands, and where it stands then.
#[test]
fn the_table_of_an_enterprise_is_pinned() {
    let after = |changes: &[Change]| {
        let mut world = World::new(Script::default());
        for (number, change) in (1..).zip(changes) {
            decide(&mut world, number, change.clone());
        }
        world
    };
    let worlds = [
        ("active", after(&[])),
        ("suspended", after(&[suspend("vault-a")])),
        ("leaving", after(&[release("vault-a")])),
        ("leaving, suspended", after(&[release("vault-a"), suspend("vault-a")])),
    ];
    let mut rows = vec![];
    for (was, world) in worlds {
        for change in [suspend("vault-a"), reinstate("vault-a"), release("vault-a")] {
            let (name, mut world) = (change.as_str(), world.clone());
            let waits = if change.revokes() { "at once" } else { "after the time-lock" };
            let becomes = match change.check(&world.state.governance, world.now) {
                Err(code) => code.to_string(),
                Ok(()) => {
                    decide(&mut world, 9, change);
                    let status = world.state.status(&vault("vault-a"), world.now).unwrap();
                    format!("{} {waits}", status.as_str())
                }
            };
            rows.push(format!("{was:<19} {name:<19} {becomes}"));
        }
    }
    let nobody = [suspend("nowhere"), reinstate("nowhere"), release("nowhere")];
    assert_eq!(nobody.map(|change| change.check(&governance(), START)), [Err(Code::ChangeUnfit); 3]);
    assert_eq!(World::new(Script::default()).state.status(&vault("nowhere"), START), None);
    assert_eq!(MemberStatus::ALL.map(MemberStatus::as_str), ["active", "suspended", "leaving", "left"]);
    insta::assert_snapshot!(rows.join("\n"));
}

/// R187: new tasks leave a suspended Vault out, and are refused where the quorum does not hold without it; it is asked for no reading,
/// and takes part in no move; reinstated it is as it was.
#[test]
fn nothing_new_goes_to_a_suspended_vault() {
    let mut world = World::new(Script::default());
    let before = world.state.governance.registry.clone();
    decide(&mut world, 1, suspend("vault-a"));
    let governance = world.state.governance.clone();
    let asked = |quorum| terms(&governance, &asking("c1", quorum), START).map(|terms| terms.vaults);
    assert_eq!(asked(2), Ok(vec![vault("vault-b"), vault("vault-c")]));
    assert_eq!(asked(3), Err(Code::VaultSuspended));
    assert_eq!(asked(4), Err(Code::QuorumInvalid), "also nobody else could serve it");
    let alone = TaskRequest { vaults: vec![vault("vault-a")], quorum: 1, ..campaign("c1") };
    assert_eq!(terms(&governance, &alone, START).map(|terms| terms.vaults), Err(Code::VaultSuspended));
    let read = key::<Vault>("vault-a").sign(ParseTicket { vault: vault("vault-a"), ..ticket("p1") });
    assert_eq!(parse::judge(&governance, &read, START).map(|order| order.task), Err(Code::VaultSuspended));
    for (from, to) in [("vault-a", "vault-b"), ("vault-b", "vault-a")] {
        let moving = Change::MoveVault { from: vault(from), to: vault(to) };
        assert_eq!(moving.check(&governance, START), Err(Code::MoveUnfit));
    }
    // Money that is locked for a task that nobody can serve goes back.
    world.submit(&asking("c2", 3), PLENTY).unwrap();
    let Answer::Refused { code, .. } = world.state.requests[&asking("c2", 3).task()].answer else {
        panic!("admitted")
    };
    assert_eq!(code, Code::VaultSuspended);
    decide(&mut world, 2, reinstate("vault-a"));
    assert_eq!(world.state.governance.registry, before);
    assert_eq!(terms(&world.state.governance, &asking("c1", 3), world.now).unwrap().vaults.len(), 3);
    world.run(Disturbance::default());
    assert_nothing_is_left(&world);
}

/// R014, R061: a suspended Vault keeps its people; where each may register meanwhile is told, is always the same, and serves.
#[test]
fn people_are_told_where_to_go_meanwhile() {
    let mut world = World::new(Script::default());
    let people: Vec<ActorId> = (0..60).map(|number| actor(&format!("person-{number}"))).collect();
    let before: Vec<_> =
        people.iter().map(|person| world.state.governance.registry.assigned(person).cloned()).collect();
    decide(&mut world, 1, suspend("vault-a"));
    let registry = world.state.governance.registry.clone();
    let told: BTreeSet<_> =
        people.iter().map(|person| registry.elsewhere(person).unwrap().as_str()).collect();
    assert_eq!(told, BTreeSet::from(["vault-b", "vault-c"]));
    let after: Vec<_> = people.iter().map(|person| registry.assigned(person).cloned()).collect();
    assert_eq!(after, before, "what they have stays where it is");
    for (number, name) in (2..).zip(["vault-b", "vault-c"]) {
        decide(&mut world, number, suspend(name));
    }
    assert_eq!(world.state.governance.registry.elsewhere(&people[0]), None);
}

/// Plays until a task is at a stage.
fn until(world: &mut World, task: &TaskId, at: fn(&Stage) -> bool) {
    while !world.state.tasks.get(task).is_some_and(|task| at(&task.stage)) {
        assert!(world.step(false), "the task does not come there");
    }
}

/// A stage by its name.
type Known = (&'static str, fn(&Stage) -> bool);

const STAGES: [Known; 3] = [
    ("computing", |stage| matches!(stage, Stage::Computing)),
    ("aggregating", |stage| matches!(stage, Stage::Aggregating { .. })),
    ("verifying", |stage| matches!(stage, Stage::Verifying { .. })),
];

/// Vaults that earned something of a task.
fn paid(world: &World, task: &TaskId) -> Vec<String> {
    let Some(context) = world.state.context(task) else { return vec![] };
    let operators = context.shares.iter().filter(|share| share.class == RecipientClass::VaultOperator);
    operators.filter_map(|share| Some(share.vault.as_ref()?.to_string())).collect()
}

/// A task whose Vault is suspended at a stage, to its end.
fn suspended_at(at: fn(&Stage) -> bool, quorum: u16, disturbance: Disturbance) -> (World, TaskId) {
    let mut world = World::new(Script::default());
    let request = asking("c1", quorum);
    world.submit(&request, PLENTY).unwrap();
    until(&mut world, &request.task(), at);
    decide(&mut world, 1, suspend("vault-b"));
    world.run(disturbance);
    (world, request.task())
}

/// R041, R065, R187: a task under way goes on without the Vault while its quorum holds, and is rejected in the same decision where it does
/// not: the lock goes back, nothing stays reserved. Work that was done before is paid, by the policy of its task. Every step done twice
/// and a crash before every step leave the same.
#[test]
fn tasks_under_way_end_as_with_a_lost_vault() {
    let twice = Disturbance { twice: true, crash_always: true, ..Disturbance::default() };
    let mut rows = vec![];
    for (name, at) in STAGES {
        for quorum in [2, 3] {
            let (calm, task) = suspended_at(at, quorum, Disturbance::default());
            assert_nothing_is_left(&calm);
            assert_eq!(calm.state, suspended_at(at, quorum, twice).0.state);
            let end = match calm.task(&task).stage {
                Stage::Rejected { code, refunded } => {
                    assert_eq!(refunded, PLENTY);
                    format!("rejected {code}")
                }
                _ => calm.task(&task).state().as_str().to_owned(),
            };
            rows.push(format!(
                "{name:<12} quorum {quorum} of 3   {end:<20} {}",
                paid(&calm, &task).join(" ")
            ));
        }
    }
    insta::assert_snapshot!(rows.join("\n"));
}

/// R187: what a suspended Vault sends all the same does not count; and one that answered while the others were still asked has no part.
#[test]
fn what_comes_too_late_does_not_count() {
    let mut world = World::new(Script::default());
    let request = campaign("c1");
    let task = request.task();
    world.submit(&request, PLENTY).unwrap();
    until(&mut world, &task, STAGES[0].1);
    let envelope = world.task(&task).envelope.clone();
    let all: Vec<_> = VAULTS.map(|name| slice(&envelope, &vault(name))).into();
    decide(&mut world, 1, suspend("vault-b"));
    let few = Command::RecordSlices { task, slices: all[1..2].to_vec() };
    assert_eq!(world.order(&few).unwrap_err().code, Code::QuorumBroken);
    world.order(&Command::RecordSlices { task, slices: all }).unwrap();
    let Stage::Aggregating { slices, .. } = &world.task(&task).stage else { panic!("not taken") };
    let counted: Vec<_> = slices.iter().map(|slice| slice.body.vault.as_str()).collect();
    assert_eq!(counted, ["vault-a", "vault-c"]);
    let asked = campaign("c2");
    decide(&mut world, 2, reinstate("vault-b"));
    world.submit(&asked, PLENTY).unwrap();
    let answers = world.perform(&symphony_protocol::machine::Effect::PrepareTask(asked.task())).unwrap();
    decide(&mut world, 3, suspend("vault-b"));
    world.order(&answers).unwrap();
    let part = &world.task(&asked.task()).envelope.coordination.participating_vault_ids;
    assert_eq!(*part, [vault("vault-a"), vault("vault-c")]);
    world.run(Disturbance::default());
    assert_nothing_is_left(&world);
}

/// R187: a reading of a suspended Vault's document ends without a record; one that is being verified goes on.
#[test]
fn a_parse_under_way_ends_with_its_vault() {
    for done in [false, true] {
        let mut world = World::new(Script::default());
        let task = ticket("p1").task();
        world.order(&submission(ticket("p1"))).unwrap();
        if done {
            let read = world.perform(&symphony_protocol::machine::Effect::Parse(task)).unwrap();
            world.order(&read).unwrap();
        }
        decide(&mut world, 1, suspend("vault-b"));
        world.run(Disturbance::default());
        match (&world.state.parses[&task].stage, done) {
            (ParseStage::Completed { .. }, true) => {}
            (ParseStage::Rejected(why), false) => assert_eq!(*why, Code::VaultSuspended),
            (stage, _) => panic!("{stage:?}"),
        }
        assert_nothing_is_left(&world);
    }
}

/// R102, R187, D20: a training goes on without the Vault from the next round on, and ends where too few are left; a round with the part
/// of a suspended Vault is refused.
#[test]
fn a_training_goes_on_without_a_suspended_vault() {
    for quorum in [2, 3] {
        let mut world = World::new(Script::default());
        let request = TaskRequest { quorum, ..propensity("t1") };
        let task = request.task();
        world.submit(&request, PLENTY).unwrap();
        world.train_until(&task, 2);
        let late = world.train(&task).unwrap();
        decide(&mut world, 1, suspend("vault-b"));
        if quorum == 2 {
            assert_eq!(world.order(&late).unwrap_err().code, Code::VaultSuspended);
        }
        world.run(Disturbance::default());
        let by = |round: usize| -> Vec<String> {
            let recorded = world.state.rounds_of(&task).nth(round - 1);
            let slices = recorded.into_iter().flat_map(|round| round.slices.iter());
            slices.map(|slice| slice.body.vault.to_string()).collect()
        };
        assert_eq!(by(1), VAULTS);
        match quorum {
            2 => {
                assert_eq!(world.task(&task).state(), TaskState::Completed);
                assert_eq!(by(2), ["vault-a", "vault-c"]);
            }
            _ => {
                let Stage::Rejected { code, refunded } = world.task(&task).stage else {
                    panic!("it went on")
                };
                assert_eq!((code, refunded), (Code::VaultSuspended, PLENTY));
            }
        }
        assert_nothing_is_left(&world);
    }
}

/// An enterprise that is new in everything.
fn newcomer(letter: &str) -> Enterprise {
    Enterprise {
        vault: vault(&format!("vault-{letter}")),
        node: NodeId::new(&format!("enterprise-{letter}")).unwrap(),
        address: format!("192.0.2.{}:4000", letter.as_bytes()[0]),
        operator: actor(&format!("operator-{letter}")),
        operator_account: account(&format!("operator-{letter}")),
        executor: actor(&format!("executor-{letter}")),
        executor_account: account(&format!("executor-{letter}")),
        key: key::<Vault>(&format!("vault-{letter}")).public(),
        sealing_key: vec![letter.as_bytes()[0]; 32],
        machine: Machine::Software { key: platform(&format!("platform-{letter}")) },
    }
}

fn admit(enterprise: &Enterprise) -> Change {
    Change::AdmitEnterprise { enterprise: Box::new(enterprise.clone()) }
}

/// R008, R130: what is not new in everything that must be an enterprise's own, or malformed, is refused, and so is a machine that policy
/// does not admit.
#[test]
fn only_what_is_new_is_admitted() {
    let known = governance();
    let good = newcomer("x");
    assert_eq!(admit(&good).check(&known, START), Ok(()));
    let record = known.registry.vaults[&vault("vault-a")].clone();
    let bent: [fn(&mut Enterprise, &VaultRecord); 10] = [
        |one, _| one.vault = vault("vault-a"),
        |one, _| one.node = NodeId::new("master-1").unwrap(),
        |one, _| one.address = "somewhere".into(),
        |one, _| one.address = "192.0.2.1".into(),
        |one, known| one.operator = known.operator.clone(),
        |one, known| one.executor = known.executor.clone(),
        |one, _| one.executor = one.operator.clone(),
        |one, known| one.key = known.key,
        |one, known| one.sealing_key = known.sealing_key.clone(),
        |one, _| one.sealing_key.truncate(31),
    ];
    for bend in bent {
        let mut one = good.clone();
        bend(&mut one, &record);
        assert_eq!(admit(&one).check(&known, START), Err(Code::ChangeUnfit), "{one:?}");
    }
    let mut production = known.clone();
    production.policies.values_mut().for_each(|policy| policy.software_admitted = false);
    assert_eq!(admit(&good).check(&production, START), Err(Code::PlatformRefused));
    let mut world = World::new(Script::default());
    decide(&mut world, 1, admit(&good));
    let again = Enterprise { vault: vault("vault-y"), ..newcomer("y") };
    for double in [
        Enterprise { node: good.node.clone(), ..again.clone() },
        Enterprise { address: good.address.clone(), ..again.clone() },
    ] {
        assert_eq!(admit(&double).check(&world.state.governance, world.now), Err(Code::ChangeUnfit));
    }
    assert_eq!(admit(&again).check(&world.state.governance, world.now), Ok(()));
}

/// R008, R014, R184: from its entry on an enterprise is in the registry with its roles, accounts, keys and machine, tasks may name its
/// Vault, and nobody else's data goes there by itself; it may be suspended and reinstated like any other.
#[test]
fn an_admitted_enterprise_takes_part() {
    let mut world = World::new(Script::default());
    let new = newcomer("x");
    let named =
        TaskRequest { vaults: vec![vault("vault-a"), new.vault.clone()], quorum: 2, ..campaign("c1") };
    let asked =
        |world: &World| terms(&world.state.governance, &named, world.now).map(|terms| terms.vaults.len());
    assert_eq!(asked(&world), Err(Code::VaultUnknown));
    let people: Vec<ActorId> = (0..60).map(|number| actor(&format!("person-{number}"))).collect();
    let assigned = |world: &World| -> Vec<_> {
        people.iter().map(|person| world.state.governance.registry.assigned(person).cloned()).collect()
    };
    let before = assigned(&world);
    decide(&mut world, 1, admit(&new));
    assert_eq!(asked(&world), Ok(2));
    assert_eq!(assigned(&world), before);
    let registry = &world.state.governance.registry;
    assert_eq!(registry.actors[&new.operator].account, new.operator_account);
    assert!(registry.actors[&new.executor].roles.contains(&Role::Executor));
    let admission = &registry.admissions[&new.vault];
    assert_eq!((admission.node.as_str(), admission.address.as_str()), ("enterprise-x", "192.0.2.120:4000"));
    assert!(registry.platforms[&new.machine.platform()].revoked.is_none());
    assert!(world.state.contributors.contains_key(&new.vault));
    decide(&mut world, 2, Change::SuspendNode { vault: new.vault.clone() });
    assert_eq!(asked(&world), Err(Code::VaultSuspended));
    decide(&mut world, 3, Change::ReinstateNode { vault: new.vault.clone() });
    assert_eq!(asked(&world), Ok(2));
    let entries: Vec<_> = world.state.proposals.log.entries().cloned().collect();
    assert_eq!(
        replay(&World::new(Script::default()).state.governance, &entries).unwrap(),
        world.state.governance
    );
    world.crash();
    assert!(world.state.contributors.contains_key(&new.vault));
}

/// R008, R187: an enterprise that leaves gets nothing new and ends what it has, which is paid; it is held for the cooldown, and for as
/// long as a task of it is open or what its people earned is not paid. What it keeps may move to another, and nothing to it.
#[test]
fn an_enterprise_leaves_after_its_cooldown() {
    let mut world = World::new(Script::default());
    let request = asking("c1", 3);
    let task = request.task();
    world.submit(&request, PLENTY).unwrap();
    until(&mut world, &task, STAGES[0].1);
    decide(&mut world, 1, release("vault-b"));
    let (here, status) = (vault("vault-b"), |world: &World, at| world.state.status(&vault("vault-b"), at));
    let asked =
        |quorum| terms(&world.state.governance, &asking("c2", quorum), START).map(|terms| terms.vaults);
    assert_eq!(asked(2), Ok(vec![vault("vault-a"), vault("vault-c")]));
    assert_eq!(asked(3), Err(Code::VaultLeaving));
    let read = key::<Vault>("vault-b").sign(ticket("p1"));
    let judged = parse::judge(&world.state.governance, &read, START);
    assert_eq!(judged.map(|order| order.task), Err(Code::VaultLeaving));
    let to = |from: &str, to: &str| Change::MoveVault { from: vault(from), to: vault(to) };
    assert_eq!(to("vault-a", "vault-b").check(&world.state.governance, START), Err(Code::MoveUnfit));
    assert_eq!(to("vault-b", "vault-a").check(&world.state.governance, START), Ok(()));
    let exit = world.state.governance.registry.exits[&here].clone();
    let over = world.state.governance.end_of(exit.until);
    assert_eq!(exit.until.0, world.state.governance.epoch_of(world.now).0 + EXIT_EPOCHS);
    assert_eq!(status(&world, over.minus(1)), Some(MemberStatus::Leaving));
    assert_eq!(status(&world, over), Some(MemberStatus::Leaving), "its task is open");
    world.run(Disturbance::default());
    assert_eq!(world.task(&task).state(), TaskState::Completed);
    assert_eq!(paid(&world, &task), VAULTS);
    assert_nothing_is_left(&world);
    assert_eq!(status(&world, over.minus(1)), Some(MemberStatus::Leaving));
    assert_eq!(status(&world, over), Some(MemberStatus::Left));
    decide(&mut world, 2, suspend("vault-b"));
    assert_eq!(status(&world, over), Some(MemberStatus::Suspended));
    decide(&mut world, 3, reinstate("vault-b"));
    assert_eq!(status(&world, over), Some(MemberStatus::Left), "there is no way back");
}

/// R187: a founding governance suspends nobody that is not there, and admits nobody later.
#[test]
fn a_network_is_founded_with_vaults_that_are_there() {
    let mut founded = World::new(Script::default()).state.governance;
    let mut world = World::new(Script::default());
    decide(&mut world, 1, suspend("vault-a"));
    let mark = world.state.governance.registry.suspensions[&vault("vault-a")];
    founded.registry.suspensions.insert(vault("vault-a"), mark);
    assert_eq!(founded.check(), Ok(()));
    let mut later = founded.clone();
    decide(&mut world, 2, admit(&newcomer("x")));
    later.registry.admissions.clone_from(&world.state.governance.registry.admissions);
    assert!(later.check().is_err());
    founded.registry.suspensions.insert(vault("nowhere"), mark);
    assert!(founded.check().is_err());
}

/// Walks through a journal and checks that nobody earned by work that came while it was suspended.
fn assert_nobody_suspended_serves(world: &World) {
    let (mut frozen, mut leaving): (BTreeSet<VaultId>, BTreeSet<VaultId>) = Default::default();
    let free = |frozen: &BTreeSet<VaultId>, vaults: &[&VaultId]| {
        assert!(vaults.iter().all(|vault| !frozen.contains(*vault)), "a suspended vault serves: {frozen:?}");
    };
    let of = |slices: &[SignedSlice]| slices.iter().map(|slice| slice.body.vault.clone()).collect::<Vec<_>>();
    for (_, event) in &world.log {
        match event {
            Event::Governed { event: ProposalEvent::Executed { entry } } => match &entry.proposal.body.change
            {
                Change::SuspendNode { vault } => assert!(frozen.insert(vault.clone())),
                Change::ReinstateNode { vault } => assert!(frozen.remove(vault)),
                Change::ReleaseEnterprise { vault } => assert!(leaving.insert(vault.clone())),
                _ => {}
            },
            Event::TaskAdmitted { envelope, .. } => {
                let vaults: Vec<_> = envelope.coordination.participating_vault_ids.iter().collect();
                free(&frozen, &vaults);
                free(&leaving, &vaults);
            }
            Event::SlicesAccepted { slices, .. } => free(&frozen, &of(slices).iter().collect::<Vec<_>>()),
            Event::RoundRecorded { round, .. } => {
                free(&frozen, &of(&round.slices).iter().collect::<Vec<_>>());
            }
            Event::ParseRecorded { statement, .. } => free(&frozen, &[&statement.body.vault]),
            _ => {}
        }
    }
    assert_eq!(suspended(&world.state.governance), frozen.iter().map(VaultId::as_str).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// R061, R184, R187: whatever is suspended, reinstated and released while whatever is asked, nobody serves while it is suspended or
    /// joins a task once it leaves, every task ends, nothing stays locked, reserved or owed, and the log alone tells who is suspended.
    #[test]
    fn no_history_lets_a_suspended_vault_serve(
        steps in vec((0..9_u8, 0..3_usize, 0..5_usize), 1..24),
    ) {
        let mut world = World::new(Script::default());
        let (mut number, mut asked) = (0, 0);
        for (what, who, steps) in steps {
            let name = VAULTS[who];
            let change = match what {
                0 => suspend(name),
                1 => reinstate(name),
                _ => release(name),
            };
            match what {
                0 | 1 | 8 if change.check(&world.state.governance, world.now).is_ok() => {
                    number += 1;
                    decide(&mut world, number, change);
                }
                0 | 1 | 8 => prop_assert_eq!(change.check(&world.state.governance, world.now), Err(Code::ChangeUnfit)),
                2..=4 => {
                    asked += 1;
                    let request = match what {
                        2 => TaskRequest { quorum: 3, ..propensity(&format!("t{asked}")) },
                        3 => asking(&format!("c{asked}"), 2),
                        _ => asking(&format!("c{asked}"), 3),
                    };
                    world.submit(&request, PLENTY).unwrap();
                }
                _ => {
                    for _ in 0..steps {
                        world.step(what == 5);
                    }
                    world.crash();
                }
            }
        }
        world.run(Disturbance::default());
        assert_nobody_suspended_serves(&world);
        assert_nothing_is_left(&world);
        let entries: Vec<_> = world.state.proposals.log.entries().cloned().collect();
        let founded = World::new(Script::default()).state.governance;
        prop_assert_eq!(&replay(&founded, &entries).unwrap(), &world.state.governance);
    }
}
