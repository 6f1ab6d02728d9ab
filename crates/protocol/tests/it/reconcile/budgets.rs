//! The masters' tasks against the ledgers of Vaults that forget, keep or lose.

use std::collections::BTreeMap;
use std::fmt::Write;

use symphony_protocol::artifact::Bucket;
use symphony_protocol::artifact::adjustment::{
    BudgetLine, BudgetQuery, BudgetStanding, BudgetStatement, BudgetTotals, DriftKind, DriftSubject, Repair,
};
use symphony_protocol::reconcile::budget::{
    BudgetSight, CLOCKS_APART_MS, Side, check_statement, drifts, judge, side,
};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{TaskId, VaultId};
use symphony_types::key::Vault;

use super::places;
use crate::rounds::propensity;
use crate::stage::{PLENTY, START, VAULTS, campaign, governance, key, vault};
use crate::world::{Act, Disturbance, Script, World};

fn line(task: TaskId, standing: BudgetStanding) -> BudgetLine {
    BudgetLine {
        task,
        preparation: Digest::ZERO,
        epsilon: Epsilon(110_000),
        spent: Epsilon(0),
        people: Bucket::of(100),
        standing,
        reserved_at: START,
        deadline: START.plus(60_000),
    }
}

fn sight(name: &str, lines: &[(TaskId, BudgetStanding)]) -> BudgetSight {
    let lines: BTreeMap<_, _> =
        lines.iter().map(|(task, standing)| (*task, line(*task, *standing))).collect();
    BudgetSight { vault: vault(name), since: START.minus(CLOCKS_APART_MS), whole: true, lines }
}

/// What the Vaults of a world hold, by their own books.
fn books(world: &World, name: &str) -> BudgetSight {
    let mut lines = Vec::new();
    let of = |place: &&(TaskId, VaultId)| place.1.as_str() == name;
    lines.extend(world.committed.iter().filter(of).map(|place| (place.0, BudgetStanding::Committed)));
    lines.extend(world.reserved.keys().filter(of).map(|place| (place.0, BudgetStanding::Reserved)));
    // The rest of a training is held while its reservation stands, and given back with it.
    for (task, _) in world.drawn.keys().filter(of) {
        let held = world.reserved.contains_key(&(*task, vault(name)));
        let standing = if held { BudgetStanding::Drawing } else { BudgetStanding::Drawn };
        lines.retain(|(known, _)| known != task);
        lines.push((*task, standing));
    }
    sight(name, &lines)
}

/// R071: which drift two sides amount to, pinned for every pair.
#[test]
fn the_table_of_budgets_is_pinned() {
    let standings: Vec<_> = [None].into_iter().chain(BudgetStanding::ALL.map(Some)).collect();
    let mut table = format!("{:<9}", "");
    for standing in &standings {
        write!(table, " {:<18}", standing.map_or("nothing", BudgetStanding::as_str)).unwrap();
    }
    for side in Side::ALL {
        write!(table, "\n{:<9}", side.as_str()).unwrap();
        for standing in &standings {
            write!(table, " {:<18}", judge(side, *standing).map_or("-", DriftKind::as_str)).unwrap();
        }
    }
    let table: Vec<_> = table.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(table.join("\n"));
}

/// R071: at no step of a task, a training, a rejection before the Vaults computed or a refusal has anything drifted; each
/// step twice.
#[test]
fn nothing_drifts_while_both_sides_do_their_duty() {
    let refused = Script { prepare: [Act::Refuse, Act::Refuse, Act::Serve], ..Script::default() };
    let early = Script { slice: [Act::Refuse; 3], ..Script::default() };
    for (script, trains) in
        [(Script::default(), false), (Script::default(), true), (refused, false), (early, false)]
    {
        for twice in [false, true] {
            let mut world = World::new(script);
            let request = if trains { propensity("t1") } else { campaign("c1") };
            world.submit(&request, PLENTY).unwrap();
            let mut steps = 0;
            loop {
                let releases = world.owed.iter().any(|effect| effect.once());
                for name in VAULTS.into_iter().filter(|_| !releases) {
                    assert_eq!(drifts(&world.state, &books(&world, name)), [], "{name} after {steps} steps");
                }
                steps += 1;
                assert!(steps < 500);
                if !world.step(twice) {
                    let Some(due) = world.state.timer() else { break };
                    world.advance(due.max(world.now));
                }
            }
            assert!(steps > 3);
        }
    }
}

/// R071 (a), R219: a task that waits for a Vault, or rests on its slice, without an entry there.
#[test]
fn a_reserve_of_the_masters_alone_is_found() {
    let mut world = World::new(Script::default());
    let task = campaign("c1").task();
    world.submit(&campaign("c1"), PLENTY).unwrap();
    world.step(false);
    assert_eq!(side(&world.state, &task, &vault("vault-b")), Side::Held);
    let subject = DriftSubject::Budget(task, vault("vault-b"));
    let expected = [(DriftKind::BudgetUnbacked, subject.clone())];
    for lines in [vec![], vec![(task, BudgetStanding::Released)], vec![(task, BudgetStanding::Expired)]] {
        let found = drifts(&world.state, &sight("vault-b", &lines));
        assert_eq!(places(&found), expected);
        assert!(found[0].here.contains("request c1"), "{}", found[0].here);
    }
    assert_eq!(DriftKind::BudgetUnbacked.repair(), Repair::Record);
    let partly = BudgetSight { whole: false, ..sight("vault-b", &[]) };
    assert_eq!(drifts(&world.state, &partly), [], "what was not read is not missed");
    let late = BudgetSight { since: world.now, ..sight("vault-b", &[]) };
    assert_eq!(drifts(&world.state, &late), [], "what may be older than what was read is not missed");
    world.run(Disturbance::default());
    assert_eq!(side(&world.state, &task, &vault("vault-b")), Side::Counted);
    let found = drifts(&world.state, &sight("vault-b", &[]));
    assert_eq!(places(&found), expected, "it was settled on a slice that nobody paid for with budget");
}

/// R071 (b), R219: a reserve of a task that nobody knows is released; one that was given back is nothing.
#[test]
fn a_reserve_of_the_vault_alone_is_found() {
    let world = World::new(Script::default());
    let task = campaign("never").task();
    for standing in BudgetStanding::ALL {
        let found = drifts(&world.state, &sight("vault-a", &[(task, standing)]));
        let expected = match standing {
            BudgetStanding::Reserved | BudgetStanding::Drawing => vec![DriftKind::BudgetOrphaned],
            BudgetStanding::Committed | BudgetStanding::Drawn => vec![DriftKind::BudgetConsumed],
            BudgetStanding::Released | BudgetStanding::Expired => vec![],
        };
        assert_eq!(found.iter().map(|drift| drift.kind).collect::<Vec<_>>(), expected, "{standing:?}");
    }
    assert_eq!(DriftKind::BudgetOrphaned.repair(), Repair::Release);
}

/// R071 (c), R219: what a Vault consumed for a task that was rejected later is found, and stays consumed.
#[test]
fn what_was_consumed_for_a_dead_task_is_found() {
    let mut world = World::new(Script { verify: Act::Refuse, ..Script::default() });
    let task = campaign("c1").task();
    world.submit(&campaign("c1"), PLENTY).unwrap();
    world.run(Disturbance::default());
    assert_eq!(side(&world.state, &task, &vault("vault-a")), Side::Dead);
    for name in VAULTS {
        let found = drifts(&world.state, &books(&world, name));
        assert_eq!(places(&found), [(DriftKind::BudgetConsumed, DriftSubject::Budget(task, vault(name)))]);
        assert!(found[0].here.contains("rejected") && found[0].there.contains("committed"), "{found:?}");
    }
    assert_eq!(DriftKind::BudgetConsumed.repair(), Repair::Record);
}

/// R071 (d), R219: a release that never came to the Vault is found and ordered again: of a task that died, of a request that
/// was refused, and of what the rounds of a training did not draw.
#[test]
fn a_release_that_never_came_is_found() {
    let refused = Script { prepare: [Act::Refuse, Act::Refuse, Act::Mumble], ..Script::default() };
    let dead = Script { slice: [Act::Refuse; 3], ..Script::default() };
    for (script, trains) in [(refused, false), (dead, false), (Script::default(), true)] {
        let mut world = World::new(script);
        let request = if trains { propensity("t1") } else { campaign("c1") };
        let task = request.task();
        world.submit(&request, PLENTY).unwrap();
        world.run(Disturbance::default());
        for (standing, held) in [(BudgetStanding::Reserved, true), (BudgetStanding::Released, false)] {
            // A training that is settled rests on what was drawn.
            let standing = match (trains, held) {
                (true, true) => BudgetStanding::Drawing,
                (true, false) => BudgetStanding::Drawn,
                (false, _) => standing,
            };
            let found = drifts(&world.state, &sight("vault-c", &[(task, standing)]));
            let subject = DriftSubject::Budget(task, vault("vault-c"));
            let expected = if held { vec![(DriftKind::BudgetUnreleased, subject)] } else { vec![] };
            assert_eq!(places(&found), expected, "{standing:?}, trains: {trains}");
        }
    }
    assert_eq!(DriftKind::BudgetUnreleased.repair(), Repair::Release);
}

/// R071, R202: a page counts as a Vault's own answer to the very question only.
#[test]
fn a_page_is_the_vaults_own_answer() {
    let governance = governance();
    let query = BudgetQuery {
        nonce: Digest([7; 32]),
        since: START,
        after: Some(TaskId(Digest([1; 32]))),
        only: None,
    };
    let body = BudgetStatement {
        vault: vault("vault-a"),
        query: query.clone(),
        lines: [2, 3].map(|byte| line(TaskId(Digest([byte; 32])), BudgetStanding::Reserved)).into(),
        more: true,
        totals: BudgetTotals::default(),
    };
    let judged = |body: &BudgetStatement, by: &str| {
        check_statement(&governance, &vault("vault-a"), &query, &key::<Vault>(by).sign(body.clone()))
    };
    assert_eq!(judged(&body, "vault-a"), Ok(()));
    assert_eq!(judged(&body, "vault-b"), Err(Code::Unauthenticated));
    let bend: [fn(&mut BudgetStatement); 6] = [
        |body| body.vault = vault("vault-b"),
        |body| body.query.nonce = Digest::ZERO,
        |body| body.lines.reverse(),
        |body| body.lines[0].task = TaskId(Digest([1; 32])),
        |body| body.lines.clear(),
        |body| {
            body.lines = (0..=256u32)
                .map(|number| line(TaskId(Digest::of("t", &number)), BudgetStanding::Drawn))
                .collect()
        },
    ];
    for (case, bend) in bend.into_iter().enumerate() {
        let mut bad = body.clone();
        bend(&mut bad);
        assert_eq!(judged(&bad, "vault-a"), Err(Code::Malformed), "case {case}");
    }
    let unknown =
        check_statement(&governance, &vault("vault-x"), &query, &key::<Vault>("vault-a").sign(body));
    assert_eq!(unknown, Err(Code::VaultUnknown));
}
