//! Every check of a bundle passes on a good one and is able to fail; no byte of a bundle can be changed unseen.

use symphony_protocol::artifact::{Decision, Outcome, RecipientClass};
use symphony_protocol::evidence::EvidenceBundle;
use symphony_protocol::governance::approval::Mark;
use symphony_protocol::settlement::finalize;
use symphony_protocol::settlement::payout::PayoutEvidence;
use symphony_sdk::verify::{Report, governance_digest, verify};
use symphony_types::amount::{Bps, Sym};
use symphony_types::catalogue::Code;
use symphony_types::id::{EpochId, NodeId};
use symphony_types::key::{Document as _, Master, PrivateKey};
use symphony_wire::documents::encode;

use crate::bundle::{Keys, actor, bundle, digest, keys};

/// The report on a bundle that was changed and then signed again by its master.
fn changed(change: impl FnOnce(&mut EvidenceBundle, &Keys)) -> Report {
    let keys = keys();
    let mut bundle = bundle(&keys);
    change(&mut bundle, &keys);
    verify(&encode(&keys.master.endorsed(bundle)), None)
}

fn failed(report: &Report) -> Vec<&'static str> {
    report.failed().map(|check| check.name).collect()
}

fn payout(bundle: &mut EvidenceBundle) -> &mut PayoutEvidence {
    bundle.payout.as_mut().unwrap()
}

/// R134, R135: everything holds, and every check says what it proves.
#[test]
fn a_good_bundle_passes_every_check() {
    let keys = keys();
    let bundle = bundle(&keys);
    let trusted = governance_digest(&bundle.governance);
    let report = verify(&encode(&keys.master.endorsed(bundle)), Some(trusted));
    assert_eq!(failed(&report), Vec::<&str>::new());
    assert!(report.passed() && report.pinned && report.software && report.paid);
    let lines: Vec<_> =
        report.checks.iter().map(|check| format!("{}: {}", check.name, check.proves)).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_bundle_before_the_payout_passes_without_it() {
    let report = changed(|bundle, _| bundle.payout = None);
    assert!(report.passed() && !report.paid && !report.pinned);
}

/// R134: flipping any byte fails with the name of a check.
#[test]
fn no_byte_can_be_changed_unseen() {
    let keys = keys();
    let bytes = encode(&keys.master.endorsed(bundle(&keys)));
    assert!(verify(&bytes, None).passed());
    for index in (0..bytes.len()).step_by(7).chain(bytes.len() - 97..bytes.len()) {
        let mut flipped = bytes.clone();
        flipped[index] ^= 1 << (index % 8);
        let report = verify(&flipped, None);
        assert!(!report.passed() && !failed(&report).is_empty(), "byte {index}");
    }
    for wrong in [&bytes[..bytes.len() - 1], &[bytes.as_slice(), &[0]].concat(), &[]] {
        assert_eq!(failed(&verify(wrong, None)), ["decode"]);
    }
}

#[test]
fn a_stranger_cannot_sign_a_bundle() {
    let stranger = PrivateKey::<Master>::from_seed(&[99; 32]);
    let report = verify(&encode(&stranger.endorsed(bundle(&keys()))), None);
    assert_eq!(failed(&report), ["bundle-signature"]);
}

/// R134, R195: of three masters two must vouch for a bundle and for the order in it.
#[test]
fn a_bundle_of_one_master_of_three_is_not_believed() {
    let keys = keys();
    let others = [11, 12].map(|byte| PrivateKey::<Master>::from_seed(&[byte; 32]));
    let mut bundle = bundle(&keys);
    for (number, key) in others.iter().enumerate() {
        let name = NodeId::new(&format!("master-{}", number + 2)).unwrap();
        bundle.governance.registry.masters.insert(name, key.public());
    }
    let alone = keys.master.endorsed(bundle.clone());
    assert_eq!(failed(&verify(&encode(&alone), None)), ["bundle-signature", "envelope-signature"]);
    let order = bundle.evidence.envelope.body.digest();
    bundle.evidence.envelope.endorsements.push(others[1].endorse(&order));
    let digest = bundle.digest();
    let mut both = keys.master.endorsed(bundle);
    assert_eq!(
        both.body.digest(),
        alone.body.digest(),
        "who endorses the order is no part of the bundle's digest"
    );
    both.endorsements.push(others[0].endorse(&digest));
    assert!(verify(&encode(&both), None).passed(), "another majority may stand behind the order");
    both.endorsements.pop();
    assert_eq!(failed(&verify(&encode(&both), None)), ["bundle-signature"]);
}

#[test]
fn another_governance_than_the_expected_fails() {
    let keys = keys();
    let report = verify(&encode(&keys.master.endorsed(bundle(&keys))), Some(digest(1)));
    assert_eq!(failed(&report), ["governance-pinned"]);
    assert!(!report.pinned);
}

#[test]
fn an_unsound_governance_ends_the_checks() {
    let report = changed(|bundle, _| bundle.governance.policies.clear());
    assert_eq!(failed(&report), ["governance-sound"]);
    let report = changed(|bundle, _| {
        let policy = bundle.governance.policies.values_mut().next().unwrap();
        policy.shares.treasury = Bps(9_000);
    });
    assert_eq!(failed(&report), ["governance-sound"]);
}

/// A change, and the check that must name it.
type Case = (&'static str, fn(&mut EvidenceBundle, &Keys));

/// R118, R131, R132: each check of the result is able to fail.
#[test]
fn each_check_of_the_result_can_fail() {
    let cases: [Case; 10] = [
        ("envelope-signature", |bundle, _| bundle.evidence.envelope.body.locked.0 += 1),
        ("actors-distinct", |bundle, _| bundle.governance.registry.verifier.actor = actor("aggregator")),
        ("reserve-receipts", |bundle, _| bundle.evidence.receipts[0].body.epsilon.0 -= 1),
        ("slice-headers", |bundle, _| bundle.evidence.result.slices[0].0.body.records.0 *= 2),
        ("slice-attestations", |bundle, _| bundle.evidence.result.slices[1].1.report.clear()),
        ("aggregate-order", |bundle, keys| {
            let mut header = bundle.evidence.result.aggregate.0.body.clone();
            header.outcome = Outcome::Audience { returned: 5_001 };
            bundle.evidence.result.aggregate.0 = keys.enclave.sign(header);
        }),
        ("aggregate-attestation", |bundle, _| {
            for platform in bundle.governance.registry.platforms.values_mut() {
                platform.revoked = Some(Mark::FOUNDED);
            }
        }),
        ("verdict-signature", |bundle, _| bundle.verdict.body.reasons.push("none".to_owned())),
        ("verdict-accepted", |bundle, keys| {
            let mut verdict = bundle.verdict.body.clone();
            verdict.decision = Decision::Rejected(Code::ResultRejected);
            bundle.verdict = keys.verifier.sign(verdict);
        }),
        ("verdict-evidence", |bundle, keys| {
            let verdict = bundle.verdict.body.clone();
            bundle.evidence.receipts.reverse();
            bundle.verdict = keys.verifier.sign(verdict);
        }),
    ];
    each_fails(&cases);
}

/// R145, R152, R158: each check of the settlement is able to fail.
#[test]
fn each_check_of_the_settlement_can_fail() {
    let cases: [Case; 5] = [
        ("fee", |bundle, _| {
            bundle.context.fee.records.0 += 1;
            bundle.context.fee.total.0 += 1;
        }),
        ("settlement-context", |bundle, _| bundle.context.shares.swap(0, 1)),
        ("shares", |bundle, _| bundle.context.shares[0].amount.0 += 1),
        ("refund", |bundle, _| bundle.context.refunded.0 += 1),
        ("settlement-root", |bundle, _| bundle.root = digest(0)),
    ];
    each_fails(&cases);
}

/// R150, R169, R177: each check of the payout is able to fail.
#[test]
fn each_check_of_the_payout_can_fail() {
    let cases: [Case; 11] = [
        ("dividend-statements", |bundle, _| payout(bundle).statements[0].body.total.0 -= 1),
        ("dividend-statements", |bundle, keys| {
            let mut statement = payout(bundle).statements[0].body.clone();
            statement.payees = 1;
            payout(bundle).statements[0] = keys.vault.sign(statement);
        }),
        ("payout-dividends", |bundle, _| payout(bundle).instructions.dividends[0].root = digest(0)),
        ("payout-dividends", |bundle, _| drop(payout(bundle).statements.remove(0))),
        ("payout-dividends", |bundle, _| payout(bundle).instructions.carries[0].into.0 += 1),
        ("payout-settlement", |bundle, _| payout(bundle).instructions.epoch = EpochId(0)),
        ("payout-settlement", |bundle, _| {
            let again = payout(bundle).instructions.settlements[0];
            payout(bundle).instructions.settlements.push(again);
        }),
        ("payout-settlement", |bundle, _| payout(bundle).instructions.anchors[0].1 = digest(0)),
        ("payout-shares", |bundle, _| payout(bundle).instructions.payees.truncate(1)),
        ("payout-conserved", |bundle, _| payout(bundle).instructions.treasury.0 += 1),
        ("payout-confirmation", |bundle, _| payout(bundle).confirmation.body.version += 1),
    ];
    each_fails(&cases);
}

/// R158: a settlement that is consistent in itself and signed by everybody, but shares out less, fails.
#[test]
fn a_consistent_settlement_with_wrong_shares_fails() {
    let report = changed(|bundle, _| {
        let shares = &mut bundle.context.shares;
        let from = shares.iter().position(|share| share.class == RecipientClass::Contributors).unwrap();
        let to = shares.iter().position(|share| share.class == RecipientClass::Treasury).unwrap();
        shares[from].amount.0 -= 1;
        shares[to].amount.0 += 1;
        bundle.root = finalize::settlement_root(&bundle.context);
        payout(bundle).instructions.anchors[0].1 = bundle.root;
        payout(bundle).instructions.treasury = Sym(payout(bundle).instructions.treasury.0 + 1);
        payout(bundle).confirmation.body.batch = payout(bundle).instructions.digest();
    });
    assert!(failed(&report).contains(&"settlement-context"));
}

fn each_fails(cases: &[Case]) {
    for (name, change) in cases {
        let report = changed(change);
        assert!(failed(&report).contains(name), "{name}: {:?}", failed(&report));
    }
}
