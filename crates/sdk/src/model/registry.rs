//! The registry: a folder with one folder a task. Nothing comes in that is not the settled model of its task, and what
//! lies there is checked again whenever it is used (R103, R104).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use symphony_protocol::artifact::training::{StepTranscript, TrainedModel};
use symphony_types::digest::Digest;
use symphony_types::id::TaskId;
use symphony_wire::documents::{decode, encode};

use super::card::Card;
use super::predict::Predictor;
use super::{ModelError, Proven, tensors};
use crate::client::Client;
use crate::recipient::Recipient;

/// Models on a disk.
#[derive(Clone, Debug)]
pub struct Registry {
    folder: PathBuf,
}

/// A model that lies in the registry and is what was settled.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What the evidence says of it.
    pub card: Card,
    /// The evidence.
    pub proven: Proven,
    /// The parameters as little-endian doubles, in the order that the shape tells.
    pub parameters: Vec<u8>,
    /// Rounds whose transcript lies beside it, in ascending order.
    pub steps: Vec<u32>,
}

impl Entry {
    /// The model, ready to be used.
    pub fn predictor(&self) -> Predictor {
        Predictor::new(&self.proven.plan().training, &self.parameters)
    }
}

impl Registry {
    /// The registry in a folder, which need not exist yet.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Fetches the model of a completed training with its evidence, and adds it; with the transcripts of its steps if
    /// they are wanted. **Errors**: as [`Self::add`].
    pub async fn fetch(
        &self,
        client: &Client,
        recipient: &Recipient,
        task: TaskId,
        trusted: Option<Digest>,
        steps: bool,
    ) -> Result<Entry, ModelError> {
        let evidence = client.evidence(task).await?;
        // Before the delivery, which is recorded: a withheld model is not worth one.
        let proven = Proven::of(&evidence, trusted)?;
        let sealed = client.result(task).await?.sealed;
        self.add(&recipient.open_model(task, &sealed)?, &evidence, trusted)?;
        if steps {
            for round in 1..=proven.steps() {
                let sealed = client.step(task, round).await?.sealed;
                self.add_step(&proven, recipient, round, &sealed)?;
            }
        }
        self.open(task, trusted)
    }

    /// Adds a model, once. **Errors**: it is not the settled model of a training, or one that lies there already is
    /// damaged.
    pub fn add(
        &self,
        trained: &TrainedModel,
        evidence: &[u8],
        trusted: Option<Digest>,
    ) -> Result<Entry, ModelError> {
        let proven = Proven::of(evidence, trusted)?;
        proven.check(trained)?;
        let folder = self.of(trained.task);
        if !folder.exists() {
            let model = tensors::write(trained.shape, &trained.parameters)?;
            let card = text(&Card::of(&proven));
            // Whole or not at all: a folder that was not finished has another name.
            let unfinished = self.folder.join(format!(".{}.new", trained.task));
            make(&unfinished)?;
            for (name, content) in [(MODEL, &model[..]), (CARD, card.as_bytes()), (EVIDENCE, evidence)] {
                write(&unfinished.join(name), content)?;
            }
            fs::rename(&unfinished, &folder).map_err(|fault| ModelError::File(folder.clone(), fault))?;
        }
        self.open(trained.task, trusted)
    }

    /// Adds the transcript of one step, as it was delivered. **Errors**: it is not the one that the round's aggregate
    /// names, or does not open.
    pub fn add_step(
        &self,
        proven: &Proven,
        recipient: &Recipient,
        round: u32,
        sealed: &[u8],
    ) -> Result<(), ModelError> {
        if proven.step_digest(round) != Some(Digest::of_bytes(sealed)) {
            return Err(ModelError::Changed("transcript of a step"));
        }
        let step = recipient.open_step(proven.task(), round, sealed)?;
        check_step(proven, round, &step)?;
        let folder = self.of(proven.task()).join(STEPS);
        make(&folder)?;
        write(&folder.join(format!("{round:04}.{STEP}")), &encode(&step))
    }

    /// A model, checked as when it was added. **Errors**: there is none, or it is not what was settled.
    pub fn open(&self, task: TaskId, trusted: Option<Digest>) -> Result<Entry, ModelError> {
        let folder = self.of(task);
        if !folder.exists() {
            return Err(ModelError::Unknown(task));
        }
        let proven = Proven::of(&read(&folder.join(EVIDENCE))?, trusted)?;
        let shape = proven.plan().training.shape();
        let parameters = tensors::read(shape, &read(&folder.join(MODEL))?)?;
        let (steps, evaluation) = (proven.steps(), proven.evaluation);
        let trained = TrainedModel { task, steps, shape, parameters, evaluation };
        proven.check(&trained)?;
        let card = Card::of(&proven);
        check_card(&card, &read(&folder.join(CARD))?)?;
        let steps = steps_at(&proven, &folder.join(STEPS))?;
        Ok(Entry { card, proven, parameters: trained.parameters, steps })
    }

    /// The steps of a model, in order. **Errors**: as [`Self::open`].
    pub fn steps(&self, entry: &Entry) -> Result<Vec<StepTranscript>, ModelError> {
        let folder = self.of(entry.proven.task()).join(STEPS);
        entry.steps.iter().map(|round| step_at(&folder, *round)).collect()
    }

    /// Tasks with a folder here, in ascending order. Not one of them is checked.
    pub fn tasks(&self) -> Result<Vec<TaskId>, ModelError> {
        let mut tasks: Vec<_> =
            names(&self.folder)?.iter().filter_map(|name| Digest::from_hex(name)).map(TaskId).collect();
        tasks.sort();
        Ok(tasks)
    }

    fn of(&self, task: TaskId) -> PathBuf {
        self.folder.join(task.to_string())
    }
}

fn text(card: &Card) -> String {
    // Every part of a card is made of maps with text keys, which JSON can always hold.
    serde_json::to_string_pretty(card).unwrap_or_default()
}

/// Whether a file says what the card says; how it is laid out does not matter. Both go the same way through text, because
/// not every decimal is read as the number that it was written of.
fn check_card(card: &Card, file: &[u8]) -> Result<(), ModelError> {
    let value = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).ok();
    match value(file) {
        Some(found) if Some(&found) == value(text(card).as_bytes()).as_ref() => Ok(()),
        _ => Err(ModelError::Changed("card")),
    }
}

fn steps_at(proven: &Proven, folder: &Path) -> Result<Vec<u32>, ModelError> {
    let mut rounds = Vec::new();
    for name in names(folder)? {
        let round = name.strip_suffix(STEP).and_then(|name| name.strip_suffix('.')?.parse().ok());
        let round = round.ok_or(ModelError::Changed("transcript of a step"))?;
        check_step(proven, round, &step_at(folder, round)?)?;
        rounds.push(round);
    }
    rounds.sort_unstable();
    Ok(rounds)
}

fn step_at(folder: &Path, round: u32) -> Result<StepTranscript, ModelError> {
    let bytes = read(&folder.join(format!("{round:04}.{STEP}")))?;
    decode(&bytes).map_err(|_| ModelError::Changed("transcript of a step"))
}

/// An opened transcript carries no proof of its own: the repetition of the training is its proof.
fn check_step(proven: &Proven, round: u32, step: &StepTranscript) -> Result<(), ModelError> {
    let fits = (step.task, step.round) == (proven.task(), round)
        && proven.step_digest(round).is_some()
        && step.sums.len() == proven.plan().training.shape().coordinates();
    if fits { Ok(()) } else { Err(ModelError::Changed("transcript of a step")) }
}

/// Names in a folder; none where there is no folder.
fn names(folder: &Path) -> Result<Vec<String>, ModelError> {
    let file = |fault| ModelError::File(folder.to_owned(), fault);
    let entries = match fs::read_dir(folder) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(file)?,
    };
    entries.map(|entry| Ok(entry.map_err(file)?.file_name().to_string_lossy().into_owned())).collect()
}

fn make(folder: &Path) -> Result<(), ModelError> {
    fs::create_dir_all(folder).map_err(|fault| ModelError::File(folder.to_owned(), fault))
}

fn write(path: &Path, content: &[u8]) -> Result<(), ModelError> {
    fs::write(path, content).map_err(|fault| ModelError::File(path.to_owned(), fault))
}

fn read(path: &Path) -> Result<Vec<u8>, ModelError> {
    fs::read(path).map_err(|fault| ModelError::File(path.to_owned(), fault))
}

const MODEL: &str = "model.safetensors";
const CARD: &str = "card.json";
const EVIDENCE: &str = "evidence.bundle";
const STEPS: &str = "steps";
/// Ending of a transcript: canonical bytes.
const STEP: &str = "bcs";
