//! A signature serves one class of key, one type of document and one content (R205).
//!
//! That a payout key cannot be asked to verify a verdict is a matter of types:
//! `PublicKey<Payout>` is not `PublicKey<Verifier>`. Here stands what types cannot say: the bytes differ too.

use serde::{Deserialize, Serialize};
use symphony_types::digest::Digest;
use symphony_types::key::{
    Consensus, Document, Endorsed, Endorsement, Gateway, KeyClass, Master, Payout, PrivateKey, PublicKey,
    Signature, Signed, SoftwareEnclave, SoftwarePlatform, Treasury, Vault, Verifier, Wallet,
};
use symphony_types::limits::ENDORSEMENTS_MAX;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Order(u64);

impl Document for Order {
    const TAG: &'static str = "test/order/v1";
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Receipt(u64);

impl Document for Receipt {
    const TAG: &'static str = "test/receipt/v1";
}

const SEED: [u8; 32] = [7; 32];

fn accepts<C: KeyClass>(signature: &Signature) -> bool {
    PrivateKey::<C>::from_seed(&SEED).public().verifies(&Order(1).digest(), signature)
}

/// R205, R170: with the very same secret, no class accepts what another class signed.
#[test]
fn the_same_seed_in_another_class_does_not_verify() {
    let signature = PrivateKey::<Payout>::from_seed(&SEED).sign(Order(1)).signature;
    assert!(accepts::<Payout>(&signature));
    let others = [
        accepts::<Consensus>,
        accepts::<Master>,
        accepts::<Vault>,
        accepts::<SoftwareEnclave>,
        accepts::<SoftwarePlatform>,
        accepts::<Verifier>,
        accepts::<Treasury>,
        accepts::<Gateway>,
        accepts::<Wallet>,
    ];
    assert!(others.iter().all(|other| !other(&signature)));
}

/// R205: no class's word starts another's, so that the signed bytes never coincide.
#[test]
fn class_words_are_distinct() {
    let mut words = [
        Consensus::NAME,
        Master::NAME,
        Vault::NAME,
        SoftwareEnclave::NAME,
        SoftwarePlatform::NAME,
        Verifier::NAME,
        Payout::NAME,
        Treasury::NAME,
        Gateway::NAME,
        Wallet::NAME,
    ];
    words.sort_unstable();
    assert!(words.windows(2).all(|pair| pair[0] != pair[1]));
    assert!(words.iter().all(|word| !word.contains('/')));
}

/// R205: the same content as another type of document is another document.
#[test]
fn the_same_content_under_another_tag_does_not_verify() {
    let key = PrivateKey::<Verifier>::from_seed(&SEED);
    let order = key.sign(Order(1));
    let forged = Signed { body: Receipt(1), key: order.key, signature: order.signature };
    assert!(order.verify(&key.public()));
    assert!(!forged.verify(&key.public()));
}

#[test]
fn another_content_key_or_signature_does_not_verify() {
    let key = PrivateKey::<Vault>::from_seed(&SEED);
    let other = PrivateKey::<Vault>::from_seed(&[8; 32]);
    let order = key.sign(Order(1));
    assert!(!order.verify(&other.public()));
    assert!(!Signed { body: Order(2), ..order.clone() }.verify(&key.public()));
    // A name tag of its own does not make it the expected signer's.
    assert!(!Signed { key: other.public(), ..order.clone() }.verify(&key.public()));
    assert!(!Signed { key: other.public(), ..order.clone() }.verify(&other.public()));
    for bit in 0..512 {
        let mut bent = order.clone();
        bent.signature.0[bit / 8] ^= 1 << (bit % 8);
        assert!(!bent.verify(&key.public()), "bit {bit}");
    }
}

/// Bytes that are no point of the curve, and weak points, verify nothing and do not panic.
#[test]
fn a_key_off_the_curve_verifies_nothing() {
    let signature = PrivateKey::<Vault>::from_seed(&SEED).sign(Order(1)).signature;
    for bytes in [[0; 32], [0xff; 32], [2; 32]] {
        let key = PublicKey::<Vault>::from_bytes(bytes);
        assert!(!key.verifies(&Order(1).digest(), &signature));
        assert!(!key.verifies(&Order(1).digest(), &Signature([0; 64])));
    }
}

#[test]
fn a_signed_document_survives_its_bytes() {
    let order = PrivateKey::<Master>::from_seed(&SEED).sign(Order(1));
    let bytes = symphony_types::canonical::to_bytes(&order);
    assert_eq!(bcs::from_bytes::<Signed<Order, Master>>(&bytes).unwrap(), order);
    // A signature of another length is no signature.
    assert!(bcs::from_bytes::<Signature>(&bcs::to_bytes(&vec![0u8; 63]).unwrap()).is_err());
    assert_eq!(
        bcs::from_bytes::<Signature>(&bcs::to_bytes(&vec![0u8; 64]).unwrap()).unwrap(),
        Signature([0; 64])
    );
}

#[test]
fn an_account_is_its_keys_own() {
    let account = |seed| PrivateKey::<Wallet>::from_seed(&[seed; 32]).public().account();
    assert_eq!(account(1), account(1));
    assert_ne!(account(1), account(2));
    assert_ne!(account(1).0, Digest::ZERO);
}

fn master(name: u8) -> PrivateKey<Master> {
    PrivateKey::from_seed(&[name; 32])
}

/// An order that these masters endorse.
fn endorsed(names: &[u8]) -> Endorsed<Order, Master> {
    let endorsements = names.iter().map(|name| master(*name).endorse(&Order(1).digest()));
    Endorsed { body: Order(1), endorsements: endorsements.collect() }
}

fn majority(document: &Endorsed<Order, Master>) -> bool {
    let registered = [1, 2, 3].map(|name| master(name).public());
    document.verify(registered.iter(), 2)
}

/// R195: two of three masters are believed, in any order; one is not.
#[test]
fn a_majority_of_registered_keys_is_believed() {
    for names in [&[1, 2][..], &[3, 1], &[2, 3], &[3, 2, 1]] {
        assert!(majority(&endorsed(names)), "{names:?}");
    }
    for names in [&[][..], &[1], &[2], &[3]] {
        assert!(!majority(&endorsed(names)), "{names:?}");
    }
    // Alone, one master is its own majority; nobody is none.
    assert!(endorsed(&[1]).verify([master(1).public()].iter(), 1));
    assert!(!endorsed(&[]).verify([master(1).public()].iter(), 0));
    assert!(!endorsed(&[1]).verify([master(1).public()].iter(), 0));
}

/// R195: one key that signs twice is one master.
#[test]
fn the_same_key_twice_counts_once() {
    assert!(!majority(&endorsed(&[1, 1])));
    assert!(!majority(&endorsed(&[1, 2, 1])));
    let registered = [master(1).public(); 3];
    assert!(!endorsed(&[1, 1]).verify(registered.iter(), 2), "nor does a key that is registered twice");
}

/// R195: whoever is not registered does not count, and spoils the document.
#[test]
fn an_unknown_key_does_not_count() {
    assert!(!majority(&endorsed(&[1, 9])));
    assert!(!majority(&endorsed(&[1, 2, 9])));
}

/// R195, R205: an endorsement is for one content, one type of document and one class of key.
#[test]
fn an_endorsement_of_something_else_does_not_count() {
    let good = endorsed(&[1, 2]);
    assert!(!majority(&Endorsed { body: Order(2), ..good.clone() }));
    let mut bent = good.clone();
    bent.endorsements[1].signature.0[5] ^= 1;
    assert!(!majority(&bent));
    let mut borrowed = good.clone();
    borrowed.endorsements[1].signature = good.endorsements[0].signature;
    assert!(!majority(&borrowed));
    let mut other_class = good.clone();
    let signature = PrivateKey::<Vault>::from_seed(&[2; 32]).endorse(&Order(1).digest()).signature;
    other_class.endorsements[1] = Endorsement { key: master(2).public(), signature };
    assert!(!majority(&other_class));
    let mut other_tag = good;
    other_tag.endorsements[1] = master(2).endorse(&Receipt(1).digest());
    assert!(!majority(&other_tag));
}

/// R195: the number of endorsements has a limit before any signature is looked at.
#[test]
fn too_many_endorsements_are_refused() {
    let names: Vec<u8> = (1..=ENDORSEMENTS_MAX as u8 + 1).collect();
    let keys: Vec<_> = names.iter().map(|name| master(*name).public()).collect();
    assert!(endorsed(&names[1..]).verify(keys.iter(), 2));
    assert!(!endorsed(&names).verify(keys.iter(), 2));
}

/// R195: what one master signed is what it endorses, so that one signature serves both forms.
#[test]
fn an_endorsed_document_survives_its_bytes() {
    let order = endorsed(&[1, 2]);
    let bytes = symphony_types::canonical::to_bytes(&order);
    assert_eq!(bcs::from_bytes::<Endorsed<Order, Master>>(&bytes).unwrap(), order);
    assert_eq!(master(1).endorsed(Order(1)), endorsed(&[1]));
    assert_eq!(master(1).sign(Order(1)).signature, order.endorsements[0].signature);
}
