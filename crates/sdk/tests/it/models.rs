//! The registry takes the settled model of a training and nothing else, and notices any change (R103, R104).

use std::fs;
use std::path::PathBuf;

use symphony_protocol::artifact::Outcome;
use symphony_protocol::artifact::training::{Evaluation, Shape, TrainedModel};
use symphony_protocol::evidence::EvidenceBundle;
use symphony_sdk::model::predict::{Person, Prediction};
use symphony_sdk::model::registry::Registry;
use symphony_sdk::model::{ModelError, Proven};
use symphony_sdk::recipient::Recipient;
use symphony_sdk::verify::governance_digest;
use symphony_types::digest::Digest;
use symphony_types::id::TaskId;
use symphony_wire::documents::encode;

use crate::bundle::{self, Keys, digest, keys};
use crate::trained::{GOOD, PARAMETERS, STEPS, evidence, model, sealed_step, task, transcript, unopened};

struct World {
    keys: Keys,
    folder: tempfile::TempDir,
    registry: Registry,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::at(folder.path().join("models"));
        Self { keys: keys(), folder, registry }
    }

    /// With the model in it.
    fn filled() -> Self {
        let world = Self::new();
        world.registry.add(&model(), &evidence(&world.keys), None).unwrap();
        world
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("models").join(task().to_string()).join(name)
    }

    /// Adds a model with evidence that was changed and then signed again by its master.
    fn add(&self, model: &TrainedModel, bundle: EvidenceBundle) -> Result<(), ModelError> {
        self.registry.add(model, &encode(&self.keys.master.endorsed(bundle)), None).map(drop)
    }

    fn bundle(&self, last: Outcome) -> EvidenceBundle {
        crate::trained::bundle(&self.keys, last, &unopened())
    }
}

fn released() -> Outcome {
    Outcome::Model { model: model().digest(), evaluation: GOOD }
}

/// R103: what lies in the registry is the model, the card that the evidence tells, and the evidence.
#[test]
fn a_settled_model_is_added_opened_and_used() {
    let world = World::new();
    let evidence = evidence(&world.keys);
    let trusted = governance_digest(&bundle::governance(&world.keys));
    let added = world.registry.add(&model(), &evidence, Some(trusted)).unwrap();
    assert_eq!(world.registry.tasks().unwrap(), [task()]);
    assert_eq!(fs::read(world.file("evidence.bundle")).unwrap(), evidence);
    insta::assert_snapshot!(fs::read_to_string(world.file("card.json")).unwrap());

    let opened = world.registry.open(task(), Some(trusted)).unwrap();
    assert_eq!((&opened.card, &opened.parameters), (&added.card, &model().parameters));
    let people = [Person::Row(vec![2.0, 4.0])];
    let Prediction::Propensity { score, .. } = opened.predictor().predict(&people, true).unwrap()[0] else {
        panic!("not a propensity")
    };
    assert!((score - (2.0 * PARAMETERS[0] + 4.0 * PARAMETERS[1] + PARAMETERS[2])).abs() < 1e-12);

    // Again it has no second effect.
    let model_file = fs::metadata(world.file("model.safetensors")).unwrap().modified().unwrap();
    world.registry.add(&model(), &evidence, None).unwrap();
    assert_eq!(fs::metadata(world.file("model.safetensors")).unwrap().modified().unwrap(), model_file);
    let unknown = world.registry.open(TaskId(digest(1)), None);
    assert!(matches!(unknown, Err(ModelError::Unknown(_))));
}

/// R103: a model that nobody settled is not taken: unsigned, or settled otherwise than the rules say.
#[test]
fn a_model_without_a_settled_result_is_refused() {
    let world = World::new();
    let refused = |bundle: EvidenceBundle, check: &str| match world.add(&model(), bundle) {
        Err(ModelError::Evidence(told)) => assert!(told.contains(check), "{told}"),
        other => panic!("{other:?}"),
    };
    let mut unsettled = world.bundle(released());
    unsettled.root = digest(0);
    refused(unsettled, "settlement-root");
    let mut short = world.bundle(released());
    short.evidence.rounds.pop();
    refused(short, "aggregate-order");
    // Released below what the task asked for.
    let poor = Evaluation { quality: 599_999, ..GOOD };
    refused(world.bundle(Outcome::Model { model: model().digest(), evaluation: poor }), "aggregate-order");
    let nothing = world.registry.add(&model(), b"nothing", None);
    assert!(matches!(nothing, Err(ModelError::Evidence(_))));
    let stranger = symphony_types::key::PrivateKey::<symphony_types::key::Master>::from_seed(&[99; 32]);
    let unsigned = encode(&stranger.endorsed(world.bundle(released())));
    assert!(matches!(world.registry.add(&model(), &unsigned, None), Err(ModelError::Evidence(_))));
    let unpinned = world.registry.add(&model(), &evidence(&world.keys), Some(digest(1)));
    assert!(matches!(unpinned, Err(ModelError::Evidence(_))));
    assert_eq!(world.registry.tasks().unwrap(), []);
}

/// R103: a model that was not good enough is not taken, whoever has its parameters.
#[test]
fn a_withheld_model_is_refused() {
    let world = World::new();
    let poor = Evaluation { quality: 550_000, ..GOOD };
    let refused = world.add(&model(), world.bundle(Outcome::Withheld { evaluation: poor })).unwrap_err();
    assert_eq!(refused.to_string(), "the model was withheld: its quality is 0.55, 0.6 was asked for");
}

/// R103: the evidence is of the model's own task, and of a training.
#[test]
fn anothers_evidence_is_refused() {
    let world = World::new();
    let other = TrainedModel { task: TaskId(digest(72)), ..model() };
    assert!(
        matches!(world.add(&other, world.bundle(released())), Err(ModelError::Foreign(named)) if named == task())
    );
    let query = bundle::bundle(&world.keys);
    assert!(matches!(world.add(&model(), query), Err(ModelError::NotTraining)));
}

/// R100, R103: one bit of a parameter is enough, and so is anything else that is told of the model.
#[test]
fn a_changed_model_is_refused() {
    let world = World::new();
    let refused = |change: fn(&mut TrainedModel)| {
        let mut changed = model();
        change(&mut changed);
        match world.add(&changed, world.bundle(released())) {
            Err(ModelError::Changed(what)) => what,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(|model| model.parameters[0] ^= 1), "parameters");
    assert_eq!(refused(|model| model.parameters.clear()), "parameters");
    assert_eq!(refused(|model| model.shape = Shape::Logistic { features: 3 }), "shape");
    assert_eq!(refused(|model| model.evaluation.quality += 1), "evaluation");
    assert_eq!(refused(|model| model.steps += 1), "number of steps");
}

/// R103: whatever is changed in the folder is noticed when the model is opened.
#[test]
fn a_changed_file_is_noticed() {
    let changed = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let world = World::filled();
        let mut content = fs::read(world.file(name)).unwrap();
        change(&mut content);
        fs::write(world.file(name), content).unwrap();
        // Neither is it taken for the model when that is added again.
        assert!(world.registry.add(&model(), &evidence(&world.keys), None).is_err());
        world.registry.open(task(), None).unwrap_err()
    };
    let last = |content: &mut Vec<u8>| *content.last_mut().unwrap() ^= 1;
    assert!(matches!(changed("model.safetensors", &last), ModelError::Changed("parameters")));
    assert!(matches!(changed("model.safetensors", &|file| file.truncate(9)), ModelError::Tensors(_)));
    assert!(matches!(changed("evidence.bundle", &last), ModelError::Evidence(_)));
    for (from, to) in
        [("0.812345", "0.912345"), ("\"software\"", "\"hardware\""), ("\"training\"", "\"marketing\"")]
    {
        let fault = changed("card.json", &|file: &mut Vec<u8>| {
            let text = String::from_utf8(file.clone()).unwrap();
            assert!(text.contains(from), "{from}");
            *file = text.replace(from, to).into_bytes();
        });
        assert!(matches!(fault, ModelError::Changed("card")), "{from}");
    }
    let world = World::filled();
    fs::remove_file(world.file("card.json")).unwrap();
    assert!(matches!(world.registry.open(task(), None), Err(ModelError::File(..))));
}

#[test]
fn how_a_card_is_laid_out_does_not_matter() {
    let world = World::filled();
    let card: serde_json::Value =
        serde_json::from_slice(&fs::read(world.file("card.json")).unwrap()).unwrap();
    fs::write(world.file("card.json"), card.to_string()).unwrap();
    world.registry.open(task(), None).unwrap();
}

/// R104: transcripts are those that the rounds' aggregates name, opened, of their round and of the model's size.
#[test]
fn transcripts_of_steps_are_kept_beside_the_model() {
    let world = World::new();
    let recipient = Recipient::create(&world.folder.path().join("recipient.seed")).unwrap();
    let sealed: Vec<_> = (1..=STEPS).map(|round| sealed_step(&recipient, round)).collect();
    let steps: Vec<_> = sealed.iter().map(|sealed| Digest::of_bytes(sealed)).collect();
    let bundle = crate::trained::bundle(&world.keys, released(), &steps);
    let evidence = encode(&world.keys.master.endorsed(bundle));
    let proven = Proven::of(&evidence, None).unwrap();
    world.registry.add(&model(), &evidence, None).unwrap();
    let add = |round: u32, sealed: &[u8]| world.registry.add_step(&proven, &recipient, round, sealed);
    for (round, sealed) in (1..).zip(&sealed) {
        add(round, sealed).unwrap();
        add(round, sealed).unwrap();
    }
    let entry = world.registry.open(task(), None).unwrap();
    assert_eq!(entry.steps, [1, 2, 3]);
    assert_eq!(world.registry.steps(&entry).unwrap(), [1, 2, 3].map(transcript));

    let again = sealed_step(&recipient, 1);
    for (round, sealed) in [(1, &again), (2, &sealed[0]), (0, &sealed[0]), (STEPS + 1, &sealed[0])] {
        assert!(matches!(add(round, sealed), Err(ModelError::Changed(_))), "round {round}");
    }
    let stranger = Recipient::create(&world.folder.path().join("stranger.seed")).unwrap();
    let unopened = world.registry.add_step(&proven, &stranger, 1, &sealed[0]);
    assert!(matches!(unopened, Err(ModelError::Open(_))));
    fs::copy(world.file("steps/0001.bcs"), world.file("steps/0002.bcs")).unwrap();
    assert!(matches!(world.registry.open(task(), None), Err(ModelError::Changed(_))));
}
