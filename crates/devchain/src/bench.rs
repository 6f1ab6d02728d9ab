//! What the contracts and the development chain cost: printed, never asserted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aptos_sdk::account::Ed25519Account;
use aptos_sdk::transaction::builder::sign_transaction;
use aptos_sdk::transaction::payload::{EntryFunction, TransactionPayload};
use aptos_sdk::types::{AccountAddress, Identifier, MoveModuleId};
use aptos_sdk::{Aptos, AptosConfig};
use symphony_chain::contracts::Entry;
use symphony_chain::transaction::{
    Call, DividendTree, EscrowSettlement, Payee, PayoutBatch, RecipientClass, lock_ref,
};
use symphony_types::amount::Sym;
use symphony_types::digest::Digest;
use symphony_types::dividend::DividendLeaf;
use symphony_types::id::{AccountId, EpochId, LockRef, PolicyVersion, TaskId, VaultId};
use symphony_types::merkle;
use symphony_types::time::OrderedMillis;
use tokio::net::TcpListener;

use crate::development;
use crate::genesis::{self, Artifacts};
use crate::host::{Executed, Host};
use crate::node::Node;
use crate::rest::{self, Shared};
use crate::vm;

/// Runs every measurement.
pub async fn run(artifacts: &Artifacts) -> Result<()> {
    println!("one thread of a development build; gas is of the tool's own schedule, not Aptos'");
    let mut host = Host::new(artifacts, NOW_MS * 1_000, &development::start(NOW_MS))?;
    claims(&mut host)?;
    batch(&mut host)?;
    transfers(&mut host)?;
    latency(artifacts).await
}

fn holder(seed: u8) -> AccountId {
    development::account(seed)
}

fn digest(text: &str) -> Digest {
    Digest::of_bytes(text.as_bytes())
}

/// Executes a call that must succeed.
fn succeed(host: &mut Host, sender: AccountId, call: &Call, number: u64) -> Result<Executed> {
    let hash = Digest::of("bench", &number).0;
    let executed = host.execute(sender.0.0, &genesis::entry(Entry::of(call)), hash, u64::MAX >> 8)?;
    if let Err(failure) = &executed.result {
        bail!("{failure:?}");
    }
    Ok(executed)
}

/// A lock of the first holder; its name.
fn lock(host: &mut Host, request: &str, amount: u64, number: u64) -> Result<LockRef> {
    let owner = holder(1);
    let sequence = genesis::account(host.store(), &owner.0.0).map_or(0, |(_, sequence)| sequence);
    let call = Call::EscrowLock {
        request: digest(request),
        amount: Sym(amount),
        policy_version: PolicyVersion(1),
        expires: OrderedMillis(NOW_MS + 3_600_000),
    };
    succeed(host, owner, &call, number)?;
    genesis::set_account(host.store_mut(), &owner.0.0, &owner.0.0, sequence + 1);
    Ok(lock_ref(owner, sequence))
}

fn empty(name: &str) -> PayoutBatch {
    PayoutBatch {
        batch_id: digest(name),
        epoch: EpochId(1),
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

/// A tree of 10,000 producers: leaves, root and every path, and each path checked; then one claim in the VM.
fn claims(host: &mut Host) -> Result<()> {
    let account = holder(7);
    let began = Instant::now();
    let leaf = |index: u64| DividendLeaf { account, index, amount: Sym(1) };
    let hashes: Vec<Digest> = (0..CLAIMS).map(|index| leaf(index).hash()).collect();
    let root = merkle::root(&hashes);
    let built = began.elapsed();
    let levels = levels(hashes);
    let paths: Vec<Vec<Digest>> = (0..CLAIMS as usize).map(|index| path(&levels, index)).collect();
    for (index, path) in (0..).zip(&paths) {
        if !merkle::verify_inclusion(root, leaf(index).hash(), index, CLAIMS, path) {
            bail!("a path proves nothing");
        }
    }
    println!(
        "claims: {CLAIMS} leaves and their root in {built:.0?}; with all paths proven {:.0?}",
        began.elapsed()
    );
    let vault = VaultId::new("north").ok().context("a name")?;
    let lock = lock(host, "claims", CLAIMS, 1)?;
    let batch = PayoutBatch {
        settlements: vec![EscrowSettlement {
            lock,
            task: TaskId(digest("claims")),
            charged: Sym(CLAIMS),
            refunded: Sym(0),
        }],
        dividends: vec![DividendTree { vault: vault.clone(), root, leaves: CLAIMS, total: Sym(CLAIMS) }],
        ..empty("claims")
    };
    succeed(host, holder(development::PAYOUT), &Call::Payout(batch), 2)?;
    let began = Instant::now();
    let mut gas = 0;
    for (index, path) in (0..).zip(paths).take(CLAIMED) {
        let call =
            Call::ClaimDividend { vault: vault.clone(), epoch: EpochId(1), index, amount: Sym(1), path };
        gas = succeed(host, holder(7), &call, 10 + index)?.gas_used;
    }
    let each = began.elapsed() / CLAIMED as u32;
    println!("claims: {CLAIMED} executed, {each:.0?} each, gas {gas}");
    Ok(())
}

/// All levels of a tree as RFC 9162 shapes it: an odd last node moves up as it is.
fn levels(leaves: Vec<Digest>) -> Vec<Vec<Digest>> {
    let mut levels = vec![leaves];
    while levels.last().is_some_and(|level| level.len() > 1) {
        let below = levels.last().map_or(&[][..], Vec::as_slice);
        let pair = |pair: &[Digest]| match pair {
            [left, right] => merkle::root(&[*left, *right]),
            _ => pair[0],
        };
        let above = below.chunks(2).map(pair).collect();
        levels.push(above);
    }
    levels
}

fn path(levels: &[Vec<Digest>], index: usize) -> Vec<Digest> {
    let sibling = |(height, level): (usize, &Vec<Digest>)| level.get((index >> height) ^ 1).copied();
    levels.iter().enumerate().filter_map(sibling).collect()
}

/// Batches of 1,000 payments, and what they touch: to new accounts, to the same again, and to 250 of them in all four classes.
fn batch(host: &mut Host) -> Result<()> {
    let cases = [
        ("1,000 new accounts", PAYEES),
        ("1,000 known accounts", PAYEES),
        ("250 known accounts, each in 4 classes", 250),
    ];
    for (round, (name, accounts)) in (0u64..).zip(cases) {
        let lock = lock(host, name, PAYEES, 100_000 + round)?;
        let classes = [
            RecipientClass::VaultOperator,
            RecipientClass::Executor,
            RecipientClass::Aggregator,
            RecipientClass::Verifier,
        ];
        let payee = |number: u64| Payee {
            account: AccountId(Digest::of("payee", &(number % accounts))),
            class: classes[(number * 4 / PAYEES) as usize],
            amount: Sym(1),
        };
        let batch = PayoutBatch {
            settlements: vec![EscrowSettlement {
                lock,
                task: TaskId(digest(name)),
                charged: Sym(PAYEES),
                refunded: Sym(0),
            }],
            payees: (0..PAYEES).map(payee).collect(),
            ..empty(name)
        };
        let call = Call::Payout(batch);
        let payload = bcs::to_bytes(&genesis::entry(Entry::of(&call)))?.len();
        let began = Instant::now();
        let executed = succeed(host, holder(development::PAYOUT), &call, 200_000 + round)?;
        let took = began.elapsed();
        report(name, payload, &executed, took);
    }
    Ok(())
}

/// Counts beside Aptos' published limits of one transaction.
fn report(name: &str, payload: usize, executed: &Executed, took: Duration) {
    let touched = executed.touched;
    let events = executed.result.as_deref().unwrap_or_default();
    let event_bytes: usize = events.iter().map(|event| event.tag.len() + event.data.to_string().len()).sum();
    println!("batch of {name}: {took:.0?}, gas {} of the tool's schedule", executed.gas_used);
    println!(
        "  transaction {payload} bytes of 65,536; events {}, {event_bytes} bytes as JSON of 10,485,760",
        events.len()
    );
    println!("  writes {} of 8,192 places, {} bytes of 10,485,760", touched.writes, touched.write_bytes);
    let used = storage_access(touched.reads, touched.pages, touched.writes, touched.write_bytes);
    println!(
        "  storage access by Aptos' published schedule: {} places read, {} pages: {used} internal gas units of {IO_MAX}",
        touched.reads, touched.pages
    );
    // What is not a payee's is the same for any number of them.
    let of_payee = used / PAYEES;
    println!("  so about {} payments of this kind fit into one transaction", IO_MAX / of_payee);
}

/// Aptos' schedule of storage access, in internal gas units: for a place read and for each byte of its pages, for a place written
/// and for each of its bytes. Its source is `aptos-gas-schedule` of aptos-core.
const fn storage_access(reads: u64, pages: u64, writes: u64, write_bytes: u64) -> u64 {
    reads * 302_385 + pages * 4_096 * 151 + writes * 89_568 + write_bytes * 89
}

/// Payments between two accounts, one after the other.
fn transfers(host: &mut Host) -> Result<()> {
    let began = Instant::now();
    for number in 0..TRANSFERS {
        let call = Call::Transfer { to: AccountId(Digest::of("recipient", &(number % 100))), amount: Sym(1) };
        succeed(host, holder(2), &call, 300_000 + number)?;
    }
    let rate = TRANSFERS as f64 / began.elapsed().as_secs_f64();
    println!("transfers: {TRANSFERS} executed, {rate:.0} a second");
    Ok(())
}

/// Through the REST API with the official client: sign, submit, and ask until it is committed.
async fn latency(artifacts: &Artifacts) -> Result<()> {
    let mut node = Node::new(artifacts, development::CHAIN_ID, &development::start(NOW_MS))?;
    for seed in development::HOLDERS {
        node.fund(development::account(seed).0.0, u64::MAX >> 1);
    }
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.context("listening")?;
    let url = format!("http://{}/v1", listener.local_addr().context("listening")?);
    let server = tokio::spawn(rest::serve(listener, Shared::new(node)));
    let client = Arc::new(Aptos::new(AptosConfig::custom(&url)?)?);
    client.ensure_chain_id().await?;
    let sender = Ed25519Account::from_private_key_bytes(&[31; 32])?;
    let mut times = Vec::new();
    for _ in 0..LATENCIES {
        let signed = client.build_transaction(&sender, payment()?).await?;
        let signed = sign_transaction(&signed, &sender)?;
        let began = Instant::now();
        let pending = client.submit_transaction(&signed).await?.data;
        let committed = client.fullnode().get_transaction_by_hash(pending.hash()).await?.data;
        if committed["success"] != true {
            bail!("not confirmed at the first question: {committed}");
        }
        times.push(began.elapsed());
    }
    times.sort();
    let (median, worst) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("submit to confirmed: {LATENCIES} times, median {median:.1?}, 99th of a hundred {worst:.1?}");
    throughput(client).await?;
    server.abort();
    Ok(())
}

/// Signed payments of ten accounts, each account's in order, all accounts at once, until the last is committed.
async fn throughput(client: Arc<Aptos>) -> Result<()> {
    let mut queues = Vec::new();
    for seed in development::HOLDERS {
        let sender = Ed25519Account::from_private_key_bytes(&[seed; 32])?;
        let mut raw = client.build_transaction(&sender, payment()?).await?;
        let mut queue = Vec::new();
        for _ in 0..TRANSFERS / development::HOLDERS.len() as u64 {
            queue.push(sign_transaction(&raw, &sender)?);
            raw.sequence_number += 1;
        }
        queues.push(queue);
    }
    let began = Instant::now();
    let mut senders = tokio::task::JoinSet::new();
    for queue in queues {
        let client = Arc::clone(&client);
        senders.spawn(async move {
            for transaction in &queue {
                client.submit_transaction(transaction).await?;
            }
            // One transaction is one block, and they are executed in order.
            let last = queue.last().context("a queue")?;
            let found = client.fullnode().get_transaction_by_hash(&last.hash()?).await?.data;
            anyhow::ensure!(found["success"] == true, "not committed: {found}");
            anyhow::Ok(())
        });
    }
    while let Some(sent) = senders.join_next().await {
        sent.context("a sender")??;
    }
    let rate = TRANSFERS as f64 / began.elapsed().as_secs_f64();
    println!("transfers through the API: {TRANSFERS} committed, {rate:.0} a second");
    Ok(())
}

fn payment() -> Result<TransactionPayload> {
    let module = MoveModuleId::new(AccountAddress::new(genesis::address()), Identifier::new("sym")?);
    let to: vm::Address = [9; 32];
    let args = vec![bcs::to_bytes(&to)?, bcs::to_bytes(&1u64)?];
    Ok(TransactionPayload::EntryFunction(EntryFunction::new(module, "transfer", vec![], args)))
}

/// Aptos' limit for the storage access of one transaction.
const IO_MAX: u64 = 1_000_000_000;
const NOW_MS: u64 = 1_000_000_000;
const CLAIMS: u64 = 10_000;
const CLAIMED: usize = 200;
const PAYEES: u64 = 1_000;
const TRANSFERS: u64 = 5_000;
const LATENCIES: usize = 200;
