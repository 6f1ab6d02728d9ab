//! Rounds of a training on shares: two aggregators, of which neither sees a Vault's part, and what breaks a round.

use symphony_compute::train::sharing::Half;
use symphony_protocol::artifact::Outcome;
use symphony_protocol::artifact::training::{EndorsedRoundOrder, Environment, RoundOrder};
use symphony_protocol::execution::training::{aggregate_nonce, helper_nonce};
use symphony_tee::appraise::{Expected, appraise};
use symphony_tee::report::EnclaveRole;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, VaultId};
use symphony_types::key::{Document as _, PrivateKey, SoftwareEnclave};
use symphony_wire::documents::{decode, encode};
use symphony_wire::enclave::{
    Answer, Call, Gathered, Helped, Manifest, PartWord, ShareWord, SignedPartWord, SignedShareWord, purpose,
};
use symphony_wire::sealed::{SealingKey, seal};

use crate::course::{Course, MadePart, plan, shared_plan};
use crate::stage::{aggregator, aggregator_beside, name_of, vault};
use crate::training::{outcomes, refusal};

/// A round that is due on shares, with the parts of all its Vaults.
struct Due {
    course: Course,
    order: EndorsedRoundOrder,
    parts: Vec<(VaultId, MadePart)>,
}

impl Due {
    fn new(course: Course) -> Self {
        let order = course.stage.master.endorsed(course.order(&course.vaults()));
        let parts = course.vaults().into_iter().map(|vault| (vault.clone(), course.part(&order, &vault)));
        let parts = parts.collect();
        Self { course, order, parts }
    }

    fn of(&self, role: usize) -> Gathered {
        let bundles = self.parts.iter().map(|(vault, part)| (vault.clone(), part.bundle.clone()));
        let halves = self.parts.iter().map(|(_, part)| part.pieces[role].clone());
        self.course.gathered(&self.order, bundles.collect(), halves.collect())
    }

    fn asked(&self) -> Vec<u8> {
        match self.course.stage.aggregator.call(&Call::Ask { round: self.of(0) }) {
            Answer::Asked { message } => message,
            other => panic!("{}", name_of(&other)),
        }
    }

    fn help(&self, round: Gathered, asked: Vec<u8>) -> Answer {
        self.course.stage.helper.call(&Call::Help { round, asked })
    }

    fn helped(&self) -> Helped {
        match self.help(self.of(1), self.asked()) {
            Answer::Helped(helped) => helped,
            other => panic!("{}", name_of(&other)),
        }
    }

    /// What comes of a round after the second has answered this.
    fn end(&self, round: Gathered, asked: Vec<u8>) -> Answer {
        match self.help(round, asked) {
            Answer::Helped(helped) => self.combine(Some(helped)),
            other => other,
        }
    }

    fn combine(&self, helped: Option<Helped>) -> Answer {
        self.course.stage.aggregator.call(&Call::Combine { round: self.of(0), helped })
    }
}

/// R097, R098, R100, R113: a whole training on shares ends like one in the other environment: a model that predicts, whose
/// every step the submitter can repeat.
#[test]
fn a_training_on_shares_ends_with_a_model() {
    let mut course = Course::new(shared_plan());
    let lefts = course.rest();
    assert_eq!(lefts.len(), 4);
    let model = course.model(&lefts[3]);
    let Outcome::Model { evaluation, .. } = lefts[3].header.body.outcome else { panic!("no model") };
    assert_eq!((model.steps, model.evaluation), (3, evaluation));
    assert!(evaluation.quality > 650_000, "{}", evaluation.quality);
    assert!(lefts.iter().all(|left| left.header.body.helper.is_some()));
    assert_eq!(course.transcript(2, &lefts[1]).sums.len(), 3);
}

/// R102, R113: enclaves of other masters take either role over, and come to the same bytes.
#[test]
fn other_aggregators_take_over_without_a_trace() {
    let mut whole = Course::new(shared_plan());
    let expected = outcomes(&whole.rest());
    let mut course = Course::new(shared_plan());
    let mut lefts = vec![course.round(&course.vaults())];
    course.stage.helper = aggregator(60);
    lefts.push(course.round(&course.vaults()));
    course.stage.aggregator = aggregator(70);
    lefts.extend(course.rest());
    assert_eq!(outcomes(&lefts), expected);
    let mut trusted = Course::new(plan());
    assert_ne!(outcomes(&trusted.rest()), expected, "the environments draw different noise");
}

/// R110, R113, R116: both reports bind the bundles and what came of them to their round, each to its own step.
#[test]
fn both_reports_bind_the_round() {
    let mut course = Course::new(shared_plan());
    let position = course.position;
    let left = course.round(&course.vaults());
    let (envelope, header) = (course.envelope.digest(), &left.header.body);
    let (helped, helper) = (left.helped.as_ref().unwrap(), header.helper.unwrap());
    assert_eq!(helper.share, Digest::of_bytes(&helped.sealed));
    assert_eq!(helper.report, Digest::of_bytes(&helped.report));
    assert_ne!(helper.seed, header.seed);
    for (vault, part) in &left.parts {
        let named: Manifest = decode(&part.bundle).unwrap();
        assert_eq!(named.pieces, part.pieces.iter().map(|half| Digest::of_bytes(half)).collect::<Vec<_>>());
        assert!(header.inputs.contains(&(vault.clone(), Digest::of_bytes(&part.bundle))));
    }
    let stage = &course.stage;
    let reports = [
        (&stage.aggregator.boot, &left.report, aggregate_nonce(&envelope, &position), header.result),
        (&stage.helper.boot, &helped.report, helper_nonce(&envelope, &position), helper.share),
    ];
    for (boot, report, nonce, output) in reports {
        let expected = Expected {
            task: course.envelope.task,
            step: "aggregate".into(),
            nonce,
            input_root: None,
            output,
            actor: ActorId::new("aggregator").unwrap(),
            role: EnclaveRole::Aggregator,
            module: None,
            purged: true,
        };
        assert_eq!(appraise(boot, &decode(report).unwrap(), &stage.policy, &expected), Ok(()));
    }
}

/// R093, R113: what the first aggregator can open of a part is not the part, and the other half is not for it.
#[test]
fn no_aggregator_opens_both_halves() {
    let due = Due::new(Course::new(shared_plan()));
    for (vault, part) in &due.parts {
        let opens = |key: u8, half: usize| {
            let aad = encode(&(due.order.body.digest(), vault, half as u64));
            SealingKey::from_seed(&[key; 32]).open(purpose::PART, &aad, &part.pieces[half]).is_ok()
        };
        assert_eq!([opens(50, 0), opens(50, 1), opens(55, 0), opens(55, 1)], [true, false, false, true]);
    }
}

/// R099, R113: a half that is not the bundle's, not its enclave's or without its proof names the Vault.
#[test]
fn a_half_that_cannot_be_used_names_its_vault() {
    let mut due = Due::new(Course::new(shared_plan()));
    let blamed = |answer: &Answer| match answer {
        Answer::PartRefused { vault, code: Code::UpdateInvalid, .. } => vault.clone(),
        other => panic!("{}", name_of(other)),
    };
    let good = due.asked();
    let mut swapped = due.of(1);
    swapped.halves.swap(0, 1);
    assert_eq!(blamed(&due.end(swapped, good.clone())), vault(1));
    let mut damaged = due.of(0);
    damaged.halves[1][70] ^= 1;
    assert_eq!(blamed(&due.course.stage.aggregator.call(&Call::Ask { round: damaged })), vault(2));
    let mut unnamed = due.of(1);
    unnamed.bundles[2].1.truncate(9);
    assert_eq!(blamed(&due.end(unnamed, good)), vault(3));

    // The second half of another splitting, signed by the Vault's own enclave and named in the bundle: the proof fails.
    let again = due.course.part(&due.order, &vault(2));
    let bundle = Manifest {
        pieces: [&due.parts[1].1.pieces[0], &again.pieces[1]].map(|half| Digest::of_bytes(half)).to_vec(),
    };
    due.parts[1].1.pieces[1] = again.pieces[1].clone();
    due.parts[1].1.bundle = encode(&bundle);
    assert_eq!(blamed(&due.end(due.of(1), due.asked())), vault(2));
}

/// R099: a half that the Vault's enclave did not make is nobody's.
#[test]
fn a_forged_half_names_its_vault() {
    let mut due = Due::new(Course::new(shared_plan()));
    let forge = |due: &mut Due, signer: u8| {
        let aad = encode(&(due.order.body.digest(), vault(1), 0_u64));
        let opened =
            SealingKey::from_seed(&[50; 32]).open(purpose::PART, &aad, &due.parts[0].1.pieces[0]).unwrap();
        let (half, _): (Vec<u8>, SignedPartWord) = decode(&opened).unwrap();
        decode::<Half>(&half).unwrap();
        let word =
            PartWord { order: due.order.body.digest(), vault: vault(1), part: Digest::of_bytes(&half) };
        let word = PrivateKey::<SoftwareEnclave>::from_seed(&[signer; 32]).sign(word);
        let key = due.course.stage.aggregator.boot.body.hpke_key;
        let sealed = seal(&key, purpose::PART, &aad, &encode(&(half, word))).unwrap();
        let part = &mut due.parts[0].1;
        let mut named: Manifest = decode(&part.bundle).unwrap();
        named.pieces[0] = Digest::of_bytes(&sealed);
        (part.pieces[0], part.bundle) = (sealed, encode(&named));
        name_of(&due.course.stage.aggregator.call(&Call::Ask { round: due.of(0) }))
    };
    assert_eq!(forge(&mut due, 101), "asked");
    assert!(forge(&mut due, 102).starts_with("vault-1: EXE-0011"));
}

/// R113: what one aggregator says to the other is taken only from it, for this round, and whole.
#[test]
fn words_between_aggregators_are_their_own() {
    let due = Due::new(Course::new(shared_plan()));
    let (asked, helped) = (due.asked(), due.helped());
    assert_eq!(name_of(&due.combine(Some(helped.clone()))), "combined");
    assert_eq!(refusal(&due.combine(None)), Code::EnvelopeInvalid);

    let order = due.order.body.digest();
    let forged = |purpose: &str, to: u8, sealed: &[u8], signer: u8, change: &dyn Fn(&mut Vec<u8>)| {
        let (aad, opener) = (encode(&order), SealingKey::from_seed(&[to; 32]));
        let opened = opener.open(purpose, &aad, sealed).unwrap();
        let (mut message, _): (Vec<u8>, SignedShareWord) = decode(&opened).unwrap();
        change(&mut message);
        let word = ShareWord { order, message: Digest::of_bytes(&message) };
        let word = PrivateKey::<SoftwareEnclave>::from_seed(&[signer; 32]).sign(word);
        seal(&opener.public(), purpose, &aad, &encode(&(message, word))).unwrap()
    };
    let ask = |signer, change: &dyn Fn(&mut Vec<u8>)| {
        due.end(due.of(1), forged(purpose::ASK, 55, &asked, signer, change))
    };
    // It may be whole the next time, so the training goes on.
    let failed = Code::Unavailable;
    assert_eq!(name_of(&ask(150, &|_| ())), "combined");
    assert_eq!(refusal(&ask(155, &|_| ())), failed);
    assert_eq!(refusal(&ask(150, &|message| message.truncate(40))), failed);
    // Another key than the one that its words were made with: no proof holds.
    assert!(name_of(&ask(150, &|message| message[0] ^= 1)).starts_with("vault-1: EXE-0011"));
    let end = |signer, change: &dyn Fn(&mut Vec<u8>)| {
        let sealed = forged(purpose::HELP, 50, &helped.sealed, signer, change);
        due.combine(Some(Helped { sealed, report: helped.report.clone() }))
    };
    assert_eq!(name_of(&end(155, &|_| ())), "combined");
    assert_eq!(refusal(&end(150, &|_| ())), failed);
    assert_eq!(refusal(&end(155, &|message| message.truncate(40))), failed);

    let mut course = Course::new(shared_plan());
    course.attempt = 1;
    let other = Due::new(course);
    assert_eq!(refusal(&other.help(other.of(1), asked)), failed);
    assert_eq!(refusal(&other.combine(Some(helped))), failed);
}

/// R093, R113, R126: the plan's environment, and two nodes, or nothing is sealed to anybody.
#[test]
fn orders_of_another_environment_are_refused() {
    let course = Course::new(shared_plan());
    let honest = course.order(&course.vaults());
    let contribute = |order: &EndorsedRoundOrder| {
        let call = course.contribute_call(order, &vault(1), Some(course.material(&vault(1))));
        refusal(&course.stage.slices[&vault(1)].call(&call))
    };
    let ordered = |order: RoundOrder| course.stage.master.endorsed(order);
    let alone = ordered(RoundOrder { helper_boot: None, ..honest.clone() });
    assert_eq!(contribute(&alone), Code::EnvelopeInvalid);
    let twice = ordered(RoundOrder { helper_boot: Some(honest.aggregator_boot.clone()), ..honest.clone() });
    assert_eq!(contribute(&twice), Code::EnvelopeInvalid);
    let beside = encode(&aggregator_beside(56, 50).boot);
    let beside = ordered(RoundOrder { helper_boot: Some(beside), ..honest.clone() });
    assert_eq!(contribute(&beside), Code::EnvelopeInvalid, "two enclaves on one machine");
    let slice = encode(&course.stage.slices[&vault(2)].boot);
    let slice = ordered(RoundOrder { helper_boot: Some(slice), ..honest.clone() });
    assert_eq!(contribute(&slice), Code::AttestationFailed);
    let mut trusted = honest.clone();
    if let symphony_protocol::artifact::Plan::Training(plan) = &mut trusted.envelope.plan {
        plan.environment = Environment::Tee;
    }
    assert_eq!(contribute(&ordered(trusted)), Code::EnvelopeInvalid);

    let due = Due::new(Course::new(shared_plan()));
    let asked = due.asked();
    let stranger = aggregator(60);
    assert_eq!(refusal(&stranger.call(&Call::Ask { round: due.of(0) })), Code::EnvelopeInvalid);
    assert_eq!(
        refusal(&stranger.call(&Call::Help { round: due.of(1), asked: asked.clone() })),
        Code::EnvelopeInvalid
    );
    assert_eq!(
        refusal(&due.course.stage.helper.call(&Call::Ask { round: due.of(0) })),
        Code::EnvelopeInvalid
    );
    let mut fewer = due.of(1);
    fewer.halves.pop();
    assert_eq!(refusal(&due.help(fewer, asked)), Code::Malformed);
    let slice = &due.course.stage.slices[&vault(1)];
    assert_eq!(refusal(&slice.call(&Call::Ask { round: due.of(0) })), Code::Forbidden);
}
