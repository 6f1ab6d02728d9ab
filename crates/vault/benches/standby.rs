//! What a standby costs a Vault (R062): uploads of records with and without one, a small command, a backup, and the way back.
//!
//! Physical limit: what is written, written and synced a second time; a record is some three hundred bytes in the database.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use symphony_types::time::OrderedMillis;
use symphony_vault::backup::{Wanted, bring_back};
use symphony_vault::custody::{Bare, Custody};

use crate::world::{
    NETWORK, OPERATOR, World, files_below, lines, put_consents, put_records, put_subjects, vault_id,
};

#[allow(dead_code, unused_imports, clippy::unwrap_used)]
#[path = "../tests/it/world.rs"]
mod world;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let worlds = [false, true].map(|standby| {
        let mut world = World::new();
        world.quota.records_max = 10_000_000;
        if standby {
            world.standby = Some(tempfile::tempdir().expect("a folder"));
        }
        world.reopen();
        let people = lines(PEOPLE, |n| format!(r#"{{"subject":"p{n}","contact":"p{n}@example.org"}}"#));
        runtime.block_on(world.ask(OPERATOR, "people", put_subjects(&people)));
        world
    });
    // In turn, so that both have the same neighbours.
    let (mut records, mut consents) = ([Duration::ZERO; 2], [Duration::ZERO; 2]);
    for round in 0..ROUNDS {
        for (nth, world) in worlds.iter().enumerate() {
            let upload = lines(BATCH, |n| {
                let person = n % PEOPLE;
                format!(
                    r#"{{"request_id":"{round}-{n}","subject":"p{person}","commerce.merchant":"Cafe {n}","commerce.amount":"5.80"}}"#
                )
            });
            let begun = Instant::now();
            let done = runtime.block_on(world.ask(OPERATOR, &format!("r{round}"), put_records(&upload)));
            records[nth] += begun.elapsed();
            assert_eq!((done.accepted, done.refused_total), (u64::from(BATCH), 0));
            let begun = Instant::now();
            for person in 0..SMALL {
                let state = if round % 2 == 0 { "granted" } else { "withdrawn" };
                let consent = format!(r#"{{"subject":"p{person}","scope":"marketing","state":"{state}"}}"#);
                let name = format!("c{round}-{person}");
                runtime.block_on(world.ask(OPERATOR, &name, put_consents(&consent)));
            }
            consents[nth] += begun.elapsed();
        }
    }
    for (nth, what) in ["without", "with"].into_iter().enumerate() {
        let each = |time: Duration, count: u32| time.as_secs_f64() * 1e6 / f64::from(count);
        println!(
            "standby: {what} one, a record {:.1} us, a consent {:.0} us",
            each(records[nth], ROUNDS * BATCH),
            each(consents[nth], ROUNDS * SMALL)
        );
    }
    let size = |folder: &Path| {
        files_below(folder)
            .iter()
            .filter_map(|file| file.metadata().ok())
            .map(|found| found.len())
            .sum::<u64>()
    };
    let mut world = worlds.into_iter().next_back().expect("two worlds");
    let standby = world.standby.as_ref().expect("a standby").path().to_owned();
    println!(
        "standby: {} records, folder {} MB, log {} MB",
        ROUNDS * BATCH,
        size(world.path()) >> 20,
        size(&standby.join("redo")) >> 20
    );
    let begun = Instant::now();
    runtime.block_on(world.vault().back_up()).expect("a backup");
    println!("standby: a backup takes {:.2?}", begun.elapsed());
    world.close();
    std::fs::remove_dir_all(world.path()).expect("the folder goes");
    let vault = vault_id();
    let wanted = Wanted {
        standby: &standby,
        folder: world.path(),
        vault: (&vault, NETWORK),
        governance: &world.governance,
        number: None,
        segments: None,
    };
    let begun = Instant::now();
    let custody = |_: &Path| Ok(Arc::new(Bare) as Arc<dyn Custody>);
    let clock = Arc::new(|| OrderedMillis(1_000_000));
    bring_back(&wanted, clock, custody, Arc::new(|_| Ok(()))).expect("it comes back");
    println!("standby: restoring and checking takes {:.2?}", begun.elapsed());
    world.reopen();
}

const PEOPLE: u32 = 1_000;
const BATCH: u32 = 10_000;
const ROUNDS: u32 = 20;
const SMALL: u32 = 20;
