//! Verifying evidence of real machines against the bare signatures inside it: what paths, lists, levels and decoding
//! cost on top (R121, R124).
//!
//! The baseline of each is the signatures that cannot be avoided, checked alone in the same run by the same library.

use std::hint::black_box;
use std::time::Instant;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, EcdsaKeyPair, EcdsaSigningAlgorithm,
    EcdsaVerificationAlgorithm, KeyPair as _, UnparsedPublicKey,
};
use symphony_attest::collateral::{AmdCollateral, Collateral, IntelCollateral};
use symphony_attest::evidence::Evidence;
use symphony_attest::verify::verify;
use symphony_types::time::OrderedMillis;

fn main() {
    let intel =
        IntelCollateral::from_json(include_bytes!("../../../vectors/evidence/tdx_quote_collateral.json"))
            .expect("the sample is collateral");
    let amd = AmdCollateral {
        certificates: vec![include_bytes!("../../../vectors/evidence/snp_milan_vcek.der").to_vec()],
        revocations: Vec::new(),
    };
    let summer = OrderedMillis(1_750_400_000_000);
    let read = |bytes: &[u8]| Evidence::read(bytes).expect("the sample is evidence");
    let samples = [
        Sample {
            name: "Intel TDX quote",
            evidence: read(include_bytes!("../../../vectors/evidence/tdx_quote.bin")),
            collateral: Collateral::Intel(Box::new(intel)),
            at: summer,
            // Two lists, two of the levels' path, two documents, two of the platform's path, two of the quote.
            p256: 9,
            p384: 0,
        },
        Sample {
            name: "AMD SEV-SNP report",
            evidence: read(include_bytes!("../../../vectors/evidence/snp_milan.bin")),
            collateral: Collateral::Amd(amd),
            at: summer,
            p256: 0,
            p384: 1,
        },
        Sample {
            name: "AWS Nitro document",
            evidence: read(include_bytes!("../../../vectors/evidence/nitro.cose")),
            collateral: Collateral::None,
            at: OrderedMillis(1_736_179_625_000),
            p256: 0,
            p384: 5,
        },
    ];
    println!("\nverification: one piece of evidence, on one thread\n");
    println!("| evidence | quickest, us | median, us | its signatures alone, us | median / signatures |");
    println!("|---|---:|---:|---:|---:|");
    for sample in &samples {
        let (quickest, whole, alone) = sample.measure();
        let ratio = whole / alone;
        println!("| {} | {quickest:.0} | {whole:.0} | {alone:.0} | {ratio:.2} |", sample.name);
    }
}

struct Sample {
    name: &'static str,
    evidence: Evidence,
    collateral: Collateral,
    at: OrderedMillis,
    p256: usize,
    p384: usize,
}

impl Sample {
    /// In microseconds, in alternating pairs: the quickest verification, their median, the median of the signatures alone.
    fn measure(&self) -> (f64, f64, f64) {
        let p256 =
            Signed::new(&aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING, &ECDSA_P256_SHA256_FIXED);
        let p384 =
            Signed::new(&aws_lc_rs::signature::ECDSA_P384_SHA384_FIXED_SIGNING, &ECDSA_P384_SHA384_FIXED);
        let (mut wholes, mut alones) = (Vec::new(), Vec::new());
        for _ in 0..PAIRS {
            wholes.push(micros(|| {
                verify(&self.evidence, &self.collateral, self.at).expect("the sample verifies");
            }));
            alones.push(micros(|| {
                (0..self.p256).for_each(|_| p256.check());
                (0..self.p384).for_each(|_| p384.check());
            }));
        }
        let quickest = wholes.iter().copied().fold(f64::INFINITY, f64::min);
        (quickest, median(wholes), median(alones))
    }
}

struct Signed {
    key: Vec<u8>,
    signature: Vec<u8>,
    with: &'static EcdsaVerificationAlgorithm,
}

impl Signed {
    fn new(by: &'static EcdsaSigningAlgorithm, with: &'static EcdsaVerificationAlgorithm) -> Self {
        let pair = EcdsaKeyPair::generate(by).expect("a key can be made");
        let signature = pair.sign(&aws_lc_rs::rand::SystemRandom::new(), &MESSAGE).expect("a key signs");
        Self { key: pair.public_key().as_ref().to_vec(), signature: signature.as_ref().to_vec(), with }
    }

    fn check(&self) {
        let key = UnparsedPublicKey::new(self.with, &self.key);
        black_box(key.verify(&MESSAGE, &self.signature)).expect("the signature holds");
    }
}

fn micros(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as f64 / 1000.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const PAIRS: usize = 200;
const MESSAGE: [u8; 1024] = [7; 1024];
