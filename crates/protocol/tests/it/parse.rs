//! A parse from the Vault's ticket to the payout: every step twice, failed at every step, crashed at every step, and all
//! that is refused (R082-R086, R154, R163, R234).

use symphony_protocol::artifact::parse::*;
use symphony_protocol::artifact::{Attestation, RecipientClass};
use symphony_protocol::execution::parse::parse_nonce;
use symphony_protocol::governance::registry::Registry;
use symphony_protocol::lifecycle::TaskState;
use symphony_protocol::machine::{Answer, Command, Effect, Event, ParseStage, ParseTask};
use symphony_protocol::settlement::parse::{reward, score, settlement_root};
use symphony_protocol::settlement::payout::EpochStage;
use symphony_protocol::verification::{self, Appraised, Expectation};
use symphony_types::amount::{Bps, Sym, sum};
use symphony_types::canonical::to_bytes;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{Commitment, NodeId, PlatformId, RequestId, TaskId};
use symphony_types::key::{Vault, Verifier};
use symphony_types::time::DAY_MS;

use crate::flow::assert_nothing_is_left;
use crate::stage::{EPOCH_MS, PLENTY, START, actor, campaign, enclave, endorsed, key, policy, vault};
use crate::world::{Act, Disturbance, Script, World, master};

const OWNER: &str = "mei";

pub(crate) fn ticket(document: &str) -> ParseTicket {
    ParseTicket {
        vault: vault("vault-b"),
        document: Commitment(Digest::of_bytes(document.as_bytes())),
        owner: actor(OWNER),
        request: RequestId::new(document).unwrap(),
        expires: START.plus(DAY_MS),
    }
}

pub(crate) fn submission(ticket: ParseTicket) -> Command {
    Command::SubmitParse { ticket: key::<Vault>(ticket.vault.as_str()).sign(ticket) }
}

/// A record of good quality.
pub(crate) fn read() -> ParseOutcome {
    let quality = Quality { completeness: Bps(10_000), checks: Bps(5_000), confidence: Bps(9_000) };
    ParseOutcome::Parsed { record: Commitment(Digest::of_bytes(b"record")), quality }
}

/// The Vault's statement on an order.
pub(crate) fn statement(order: &ParseOrder, outcome: ParseOutcome) -> SignedParse {
    let mut body = ParseStatement {
        task: order.task,
        vault: order.ticket.vault.clone(),
        document: order.ticket.document,
        outcome,
        reader: Digest::of_bytes(b"reader"),
        words: Digest::of_bytes(b"words"),
        report: Digest::ZERO,
        ledger_head: Digest::of_bytes(b"head"),
    };
    body.report = Digest::of_bytes(&report(order, &body));
    key::<Vault>(order.ticket.vault.as_str()).sign(body)
}

fn report(order: &ParseOrder, body: &ParseStatement) -> Vec<u8> {
    to_bytes(&(order.task, parse_nonce(order), body.words, body.output()))
}

/// What the verifier is shown of a parse.
pub(crate) fn evidence(registry: &Registry, known: &ParseTask) -> ParseEvidence {
    let ParseStage::Verifying { statement, .. } = &known.stage else { panic!("nothing to verify") };
    ParseEvidence {
        order: endorsed(registry, known.order.clone()),
        statement: statement.clone(),
        attestation: Attestation { boot: vec![1], report: report(&known.order, &statement.body) },
    }
}

/// The attestation engine: a report is good when it says exactly what is expected.
pub(crate) fn appraise(attestation: &Attestation, about: &Expectation) -> Result<Appraised, (Code, String)> {
    let expected = to_bytes(&(about.task, about.nonce, about.input_root, about.output));
    if attestation.report != expected || about.actor != actor("executor-b") {
        return Err((Code::AttestationFailed, "the report is about something else".into()));
    }
    let report = Digest::of_bytes(&attestation.report);
    let node = NodeId::new("enterprise-a").expect("a node's name");
    let platform = PlatformId(Digest::ZERO);
    Ok(Appraised { report, node, platform, signing_key: enclave().public(), software: true })
}

fn play(script: Script, disturbance: Disturbance) -> (World, TaskId) {
    let mut world = World::of_three(script);
    let ticket = ticket("lunch");
    world.order(&submission(ticket.clone())).unwrap();
    world.run(disturbance);
    (world, ticket.task())
}

/// R085, R086, R154, R163, R234, D11: the owner pays nothing, the record earns what its quality is worth, everybody who
/// served is paid, the sum is a subsidy, and the batch of the epoch is even.
#[test]
fn a_parse_is_settled_from_a_subsidy() {
    let (world, task) = play(Script::default(), Disturbance::default());
    assert_nothing_is_left(&world);
    let known = &world.state.parses[&task];
    let ParseStage::Completed { settlement, root, .. } = &known.stage else { panic!("{known:?}") };
    assert_eq!(*root, settlement_root(settlement));
    let rates = policy().parse;
    let ParseOutcome::Parsed { quality, .. } = read() else { unreachable!() };
    assert_eq!((score(&rates, &quality), reward(&rates, &quality)), (Bps(8_200), Sym(820)));
    let share = |class| settlement.shares.iter().find(|share| share.class == class).unwrap().amount;
    assert_eq!(share(RecipientClass::Contributors), Sym(820));
    assert_eq!(share(RecipientClass::VaultOperator), rates.operator);
    assert_eq!(share(RecipientClass::Executor), rates.executor);
    assert_eq!(share(RecipientClass::Verifier), rates.verifier);
    assert_eq!(sum(settlement.shares.iter().map(|share| share.amount)), Some(settlement.subsidy));
    let EpochStage::Confirmed(paid) = &world.state.epochs[&settlement.epoch].stage else { panic!() };
    let set = &paid.instructions;
    assert_eq!(
        set.subsidies.iter().map(|one| (one.task, one.amount)).collect::<Vec<_>>(),
        [(task, Sym(920))]
    );
    assert!(set.settlements.is_empty() && set.anchors == [(task, *root)]);
    let commands = world.commands.iter().filter(|command| !matches!(command, Command::AdvanceTime)).count();
    assert_eq!(commands, 5, "submit, record, verdict, dividends, payout");
}

/// Scripts that end in every way there is.
fn endings() -> [(&'static str, Script, TaskState); 5] {
    let all = Script::default();
    [
        ("happy", all, TaskState::Completed),
        ("no receipt", Script { parse: Act::Refuse, ..all }, TaskState::Rejected),
        ("a silent vault", Script { parse: Act::Sleep, ..all }, TaskState::TimedOut),
        ("a bad verdict", Script { verify: Act::Refuse, ..all }, TaskState::Rejected),
        ("a silent verifier", Script { verify: Act::Sleep, ..all }, TaskState::TimedOut),
    ]
}

/// R065, R176, R217: whatever becomes of it and however it is disturbed, it ends the same and nothing is left; who did not
/// get a record accepted earns nothing.
#[test]
fn every_ending_leaves_nothing_behind() {
    for (name, script, ending) in endings() {
        let (quiet, task) = play(script, Disturbance::default());
        assert_eq!(quiet.state.parses[&task].state(), ending, "{name}");
        let mut disturbances = vec![
            Disturbance { twice: true, ..Disturbance::default() },
            Disturbance { crash_always: true, ..Disturbance::default() },
        ];
        disturbances.extend((0..8).map(|at| Disturbance { crash_at: Some(at), ..Disturbance::default() }));
        disturbances.extend((0..8).map(|at| Disturbance { replaced_at: Some(at), ..Disturbance::default() }));
        for disturbance in disturbances {
            let (world, task) = play(script, disturbance);
            assert_nothing_is_left(&world);
            assert_eq!(world.state.parses[&task].state(), ending, "{name}: {disturbance:?}");
            let subsidies: usize = world
                .state
                .epochs
                .values()
                .map(|account| match &account.stage {
                    EpochStage::Confirmed(paid) => paid.instructions.subsidies.len(),
                    other => panic!("{name}: {other:?}"),
                })
                .sum();
            assert_eq!(subsidies, usize::from(ending == TaskState::Completed), "{name}");
        }
    }
}

/// R012, R015, R020, R205: only an approved Vault's own ticket, in time, is admitted.
#[test]
fn a_parse_needs_its_vaults_ticket() {
    let good = ticket("lunch");
    let forged = Command::SubmitParse { ticket: key::<Vault>("vault-a").sign(good.clone()) };
    let mut moved = key::<Vault>("vault-b").sign(good.clone());
    moved.body.owner = actor("somebody");
    let unknown = ParseTicket { vault: vault("vault-x"), ..good.clone() };
    let late = ParseTicket { expires: START, ..good };
    for (name, command, code) in [
        ("another vault's key", forged, Code::Forbidden),
        ("another owner", Command::SubmitParse { ticket: moved }, Code::Forbidden),
        ("no vault", submission(unknown), Code::VaultUnknown),
        ("out of time", submission(late), Code::Forbidden),
    ] {
        let mut world = World::of_three(Script::default());
        let before = to_bytes(&world.state);
        assert_eq!(world.order(&command).unwrap_err().code, code, "{name}");
        assert_eq!(to_bytes(&world.state), before, "{name}");
    }
}

/// R209: the same ticket again changes nothing; the same name for something else is a conflict, also with a query.
#[test]
fn a_request_is_one_parse() {
    let mut world = World::of_three(Script::default());
    assert!(!world.order(&submission(ticket("lunch"))).unwrap().is_empty());
    assert_eq!(world.order(&submission(ticket("lunch"))), Ok(vec![]));
    let other = ParseTicket { request: RequestId::new("lunch").unwrap(), ..ticket("dinner") };
    assert_eq!(world.order(&submission(other)).unwrap_err().code, Code::IdempotencyConflict);
    world.submit(&campaign("c1"), PLENTY).unwrap();
    let taken =
        ParseTicket { owner: campaign("c1").submitter, request: campaign("c1").request, ..ticket("x") };
    assert_eq!(world.order(&submission(taken)).unwrap_err().code, Code::IdempotencyConflict);
}

/// R080, D11: a Vault vouches for its own documents, so an epoch has a number of them that the protocol pays for.
#[test]
fn a_vaults_subsidised_tasks_are_counted() {
    let mut world = World::of_three(Script::default());
    let most = policy().parse.per_vault_epoch;
    for document in 0..most {
        world.order(&submission(ticket(&format!("d{document}")))).unwrap();
    }
    assert_eq!(world.order(&submission(ticket("more"))).unwrap_err().code, Code::SubsidyUsedUp);
    let elsewhere = ParseTicket { vault: vault("vault-a"), ..ticket("more") };
    assert!(world.order(&submission(elsewhere)).is_ok(), "another vault has its own number");
    world.now = START.plus(EPOCH_MS);
    assert!(world.order(&submission(ticket("later"))).is_ok(), "and the next epoch has");
}

/// R082, R131, R205: a statement counts when the ordered Vault signed it on the ordered document, once and in time.
#[test]
fn only_the_vaults_own_statement_counts() {
    let mut world = World::of_three(Script::default());
    let task = ticket("lunch").task();
    world.order(&submission(ticket("lunch"))).unwrap();
    let order = world.state.parses[&task].order.clone();
    let good = statement(&order, read());
    let forged = key::<Vault>("vault-a").sign(good.body.clone());
    let mut other = good.body.clone();
    other.document = Commitment(Digest::ZERO);
    let swapped = key::<Vault>("vault-b").sign(other);
    for statement in [forged, swapped] {
        let refusal = world.order(&Command::RecordParse { statement }).unwrap_err();
        assert_eq!(refusal.code, Code::Forbidden);
    }
    let mut late = world.clone();
    late.now = order.execute_by;
    late.order(&Command::RecordParse { statement: good.clone() }).unwrap();
    assert_eq!(late.state.parses[&task].state(), TaskState::TimedOut);
    world.order(&Command::RecordParse { statement: good.clone() }).unwrap();
    assert_eq!(world.order(&Command::RecordParse { statement: good }), Ok(vec![]));
    assert!(matches!(world.state.requests[&task].answer, Answer::Admitted));
    let stranger = key::<Verifier>("stranger").sign(world.verdict(&task).body);
    let refusal = world.order(&Command::RecordVerdict { verdict: stranger }).unwrap_err();
    assert_eq!(refusal.code, Code::Forbidden);
}

/// R118, R131: each check of a parse fails for its own reason.
#[test]
fn the_checks_of_a_parse_fail_one_by_one() {
    let mut world = World::of_three(Script::default());
    let task = ticket("lunch").task();
    world.order(&submission(ticket("lunch"))).unwrap();
    assert!(world.step(false), "the vault reads");
    let governance = world.state.governance.clone();
    let good = evidence(&governance.registry, &world.state.parses[&task]);
    let failed = |evidence: &ParseEvidence| {
        let findings = verification::parse::findings(&governance, evidence, &appraise);
        findings.iter().filter(|one| one.fault.is_some()).map(|one| one.check).collect::<Vec<_>>()
    };
    assert_eq!(failed(&good), Vec::<&str>::new());
    let mut unsigned = good.clone();
    unsigned.order.endorsements.pop();
    assert_eq!(failed(&unsigned), ["order-signature"]);
    let refused = ParseEvidence {
        statement: statement(&good.order.body, ParseOutcome::Refused(Code::RecordInvalid)),
        ..good.clone()
    };
    assert_eq!(failed(&refused), ["parse-statement", "parse-attestation"]);
    let mut praised = good.clone();
    let ParseOutcome::Parsed { quality, .. } = &mut praised.statement.body.outcome else { unreachable!() };
    quality.checks = Bps(10_000);
    praised.statement = key::<Vault>("vault-b").sign(praised.statement.body);
    assert_eq!(failed(&praised), ["parse-attestation"], "the enclave did not say so");
    let mut bare = good;
    bare.attestation.report.clear();
    assert_eq!(failed(&bare), ["parse-attestation"]);
}

/// R163: weights, the floor below which nothing is earned, and parts beyond the whole.
#[test]
fn the_reward_follows_the_policy() {
    let rates = policy().parse;
    let quality = |completeness, checks, confidence| Quality {
        completeness: Bps(completeness),
        checks: Bps(checks),
        confidence: Bps(confidence),
    };
    for (parts, points, earned) in [
        (quality(10_000, 10_000, 10_000), 10_000, 1_000),
        (quality(0, 0, 0), 0, 0),
        (quality(10_000, 0, 3_330), 4_999, 0),
        (quality(10_000, 0, 3_334), 5_000, 500),
        (quality(65_535, 65_535, 65_535), 10_000, 1_000),
    ] {
        assert_eq!((score(&rates, &parts), reward(&rates, &parts)), (Bps(points), Sym(earned)), "{parts:?}");
    }
}

/// R196: another master takes over what a silent one holds.
#[test]
fn a_parse_passes_on_with_its_lease() {
    let mut world = World::of_three(Script::default());
    let task = ticket("lunch").task();
    world.order(&submission(ticket("lunch"))).unwrap();
    let until = world.state.leases[&Effect::Parse(task)].until;
    world.replace(master(2));
    let events = world.advance(until);
    assert!(events.iter().any(|event| matches!(event, Event::EffectLeased { effect: Effect::Parse(_), .. })));
    assert_eq!(world.state.leases[&Effect::Parse(task)].runner, master(2));
}
