//! What the machine could do at best: the bytes of the columns that a question touches, opened at the rate of the cipher and
//! passed over at the rate of memory.

use std::hint::black_box;
use std::time::Instant;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use symphony_segments::engine::Engine;

use crate::Question;
use crate::data::Generated;
use crate::report::Times;

pub(crate) async fn print(engine: &Engine, generated: &Generated, questions: &[Question], table: &[Times]) {
    let (cipher, memory) = (cipher_rate(), memory_rate());
    println!(
        "\nAES-256-GCM opens {:.1} GB/s and memory is read at {:.1} GB/s, one core each, measured in this run.\n",
        cipher / 1e9,
        memory / 1e9
    );
    println!(
        "| question | sealed bytes of its columns | rows | at best, ms, two cores | ours, least, ms | times the best |"
    );
    println!("|---|---:|---:|---:|---:|---:|");
    for (question, times) in questions.iter().zip(table) {
        let touched = engine.touched(&generated.snapshot, &question.asked, &question.columns).await;
        let touched = touched.expect("the segments open");
        let unpacked = (touched.rows * 20) as f64;
        let best = (touched.bytes as f64 / cipher + unpacked / memory) / 2.0 * 1e3;
        let ours = times.of("ours, scan").map_or(0.0, |(least, _)| least);
        println!(
            "| {} | {} | {} | {best:.2} | {ours:.1} | {:.1} |",
            question.title,
            touched.bytes,
            touched.rows,
            ours / best
        );
    }
}

/// Bytes a second on one core.
fn cipher_rate() -> f64 {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[1; 32]).expect("the key has its length"));
    let mut sealed = vec![7_u8; BLOCK];
    let nonce = || Nonce::assume_unique_for_key([0; 12]);
    let tag = key.seal_in_place_separate_tag(nonce(), Aad::empty(), &mut sealed).expect("it seals");
    let blocks: Vec<Vec<u8>> = (0..256).map(|_| [&sealed[..], tag.as_ref()].concat()).collect();
    best_of(|| {
        let mut blocks = blocks.clone();
        let start = Instant::now();
        for block in &mut blocks {
            black_box(key.open_in_place(nonce(), Aad::empty(), block).expect("it opens"));
        }
        (blocks.len() * BLOCK) as f64 / start.elapsed().as_secs_f64()
    })
}

/// Bytes a second on one core.
fn memory_rate() -> f64 {
    let numbers = vec![3_u64; 16 << 20];
    best_of(|| {
        let start = Instant::now();
        black_box(numbers.iter().copied().fold(0_u64, u64::wrapping_add));
        (numbers.len() * 8) as f64 / start.elapsed().as_secs_f64()
    })
}

fn best_of(rate: impl Fn() -> f64) -> f64 {
    (0..5).map(|_| rate()).fold(0.0, f64::max)
}

const BLOCK: usize = 64 << 10;
