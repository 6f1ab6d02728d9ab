//! What a module declares, governance approves and the host enforces: inputs, parameters, outputs with the bound of
//! one person, fuel (R094, R095).
//!
//! A declaration is data; its digest is approved together with the measurement of the module's bytes. Nothing in it
//! is believed about the module: what it says of outputs is enforced outside, what it says of isolation is checked.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};
use symphony_types::digest::Digest;
use symphony_types::id::{AttributeName, ModuleName};
use symphony_types::limits::{NAME_LEN_MAX, OPERANDS_MAX, SET_VALUES_MAX, TEXT_LEN_MAX};

use crate::artifact::PrivacyClass;

/// Everything that is approved about a module beside its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// What the module is called in the catalogue: lower case.
    pub name: ModuleName,
    /// Counts up with each approved change.
    pub version: u32,
    /// Why no person can leave anything to the next.
    pub isolation: Isolation,
    /// Whether it computes with floats.
    pub float_mode: FloatMode,
    /// How sensitive its result is before noise.
    pub privacy_class: PrivacyClass,
    /// The columns that it gets, in this order.
    pub inputs: Vec<Input>,
    /// The input that orders a person's rows, ascending; absent values first. Without it rows stay as they come.
    #[serde(default)]
    pub order: Option<u32>,
    /// Whole numbers of a task, in this order.
    #[serde(default)]
    pub parameters: Vec<ParameterRange>,
    /// Rows of one person that it gets; more are left out, from the end.
    pub rows_max: u32,
    /// Words that it may answer for one person.
    pub words_max: u32,
    /// What it answers.
    pub output: OutputShape,
    /// Fuel for one word of one person, whatever its rows.
    pub fuel_base: u64,
    /// Fuel for each row behind it, counted with the padding.
    pub fuel_row: u64,
}

/// How it is made sure that a call for one person knows nothing of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// The module has no instruction that changes anything but its locals: there is nothing to carry. One instance
    /// serves all people.
    Pure,
    /// The module may write to its memory; each person gets an instance of its own.
    Fresh,
}

/// Whether a module computes with floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FloatMode {
    /// It has no instruction on floats.
    None,
    /// It may; every NaN that an instruction makes is the canonical one.
    Canonical,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The governed attribute.
    pub attribute: AttributeName,
    /// What the module sees of it.
    pub kind: InputKind,
}

/// What a module sees of an attribute. An absent value is -1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// Milliseconds since 1970.
    Time,
    /// Hundredths of the record's currency.
    Cents,
    /// The position of the text in the list that the task gives for this column, -1 if it is not in it. A module never
    /// sees a text.
    Listed {
        /// Texts of the list at most.
        texts_max: u32,
    },
}

/// A parameter of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterRange {
    /// What it is called.
    pub name: String,
    /// The least value.
    pub min: i64,
    /// The greatest value.
    pub max: i64,
}

/// What a module answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputShape {
    /// Cells, added up over people; noised before they leave.
    Aggregate(Vec<Group>),
    /// One number for each person; stays in the Vault.
    Number {
        /// The least value, not negative.
        min: i64,
        /// The greatest value.
        max: i64,
    },
    /// One of these texts for each person; stays in the Vault.
    Label(Vec<String>),
}

/// Neighbouring cells of an aggregate with one bound for one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// What the cells are called.
    pub name: String,
    /// What they count.
    pub unit: Unit,
    /// How many cells.
    pub cells: u32,
    /// The most that one person adds to a cell at a time.
    pub clip: u64,
    /// How many times one person adds to cells of this group.
    pub touches: u32,
}

impl Group {
    /// The most by which one person changes the sum of the absolute values of all cells of the group: the sensitivity
    /// that noise is scaled to. Holds for every module, however it behaves.
    pub fn sensitivity(&self) -> u64 {
        self.clip * u64::from(self.touches)
    }
}

/// What a cell counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// People or events.
    Count,
    /// Hundredths of a currency.
    Cents,
}

/// A declaration says something that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsound(pub &'static str);

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the declaration's {} is empty, too large or not in order", self.0)
    }
}

impl core::error::Error for Unsound {}

impl Declaration {
    /// Digest of the canonical bytes.
    pub fn digest(&self) -> Digest {
        Digest::of("symphony.module-declaration.v1", self)
    }

    /// Sees that every number is within its limit. **Errors**: names the first that is not.
    pub fn check(&self) -> Result<(), Unsound> {
        let within = |ok: bool, what| if ok { Ok(()) } else { Err(Unsound(what)) };
        within(is_name(self.name.as_str()), "name")?;
        within((1..=OPERANDS_MAX).contains(&self.inputs.len()), "inputs")?;
        for (at, input) in self.inputs.iter().enumerate() {
            if let InputKind::Listed { texts_max } = input.kind {
                within((1..=SET_VALUES_MAX as u32).contains(&texts_max), "list of texts")?;
            }
            within(self.inputs[..at].iter().all(|other| other.attribute != input.attribute), "inputs")?;
        }
        within(self.order.is_none_or(|at| (at as usize) < self.inputs.len()), "order")?;
        within(self.parameters.len() <= PARAMETERS_MAX, "parameters")?;
        for range in &self.parameters {
            let bounded = (-NUMBER_MAX..=NUMBER_MAX).contains(&range.min) && range.max <= NUMBER_MAX;
            within(is_name(&range.name) && range.min <= range.max && bounded, "parameters")?;
        }
        within((1..=ROWS_PER_PERSON_MAX).contains(&self.rows_max), "rows of a person")?;
        within((1..=WORDS_MAX).contains(&self.words_max), "words")?;
        within((1..=FUEL_MAX).contains(&self.fuel_base) && self.fuel_row <= FUEL_MAX, "fuel")?;
        self.output.check()?;
        let single = matches!(self.output, OutputShape::Aggregate(_)) || self.words_max == 1;
        within(single, "words")
    }

    /// The fuel of one word of a person with so many rows.
    pub fn fuel(&self, rows: usize) -> u64 {
        self.fuel_base + self.fuel_row * padded(rows) as u64
    }

    /// The most fuel that is set aside for so many people with so many rows together, however they are dealt: what a quote
    /// covers before anybody has looked at a record.
    pub fn fuel_bound(&self, people: u64, rows: u64) -> u64 {
        let padded = rows.saturating_add(people.saturating_mul(LANES as u64 - 1));
        let of_rows = self.fuel_row.saturating_mul(padded);
        self.fuel_base.saturating_mul(people).saturating_add(of_rows).saturating_mul(self.words_max.into())
    }

    /// Bytes of the window: parameters, then the columns of a person with so many rows.
    pub fn window_bytes(&self, rows: usize) -> usize {
        (self.head_words() + self.inputs.len() * padded(rows)) * 8
    }

    /// Words in front of the columns: the parameters, made even.
    pub fn head_words(&self) -> usize {
        self.parameters.len().next_multiple_of(2)
    }
}

impl OutputShape {
    fn check(&self) -> Result<(), Unsound> {
        match self {
            Self::Aggregate(groups) => {
                let cells: u64 = groups.iter().map(|group| u64::from(group.cells)).sum();
                let sound = |group: &Group| {
                    is_name(&group.name)
                        && group.cells > 0
                        && (1..=CLIP_MAX).contains(&group.clip)
                        && (1..=TOUCHES_MAX).contains(&group.touches)
                };
                let fits = (1..=u64::from(CELLS_MAX)).contains(&cells) && groups.iter().all(sound);
                if fits { Ok(()) } else { Err(Unsound("groups of cells")) }
            }
            Self::Number { min, max } => {
                let fits = 0 <= *min && min <= max && *max <= NUMBER_MAX;
                if fits { Ok(()) } else { Err(Unsound("range of the attribute")) }
            }
            Self::Label(labels) => {
                let text = |label: &String| !label.is_empty() && label.len() <= TEXT_LEN_MAX;
                let fits = (1..=LABELS_MAX).contains(&labels.len()) && labels.iter().all(text);
                if fits { Ok(()) } else { Err(Unsound("labels")) }
            }
        }
    }

    /// How many cells an aggregate has.
    pub fn cells(&self) -> usize {
        match self {
            Self::Aggregate(groups) => groups.iter().map(|group| group.cells as usize).sum(),
            Self::Number { .. } | Self::Label(_) => 0,
        }
    }
}

/// Rows are given in multiples of eight, so that a module can take eight at once.
pub fn padded(rows: usize) -> usize {
    rows.next_multiple_of(LANES)
}

fn is_name(text: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c);
    text.len() <= NAME_LEN_MAX && ends(text.chars().next()) && text.chars().all(inside)
}

/// Parameters of a module.
pub const PARAMETERS_MAX: usize = 64;
/// Rows of one person: one batch.
pub const ROWS_PER_PERSON_MAX: u32 = 1 << 16;
/// Words for one person.
pub const WORDS_MAX: u32 = 64;
/// Cells of all groups of an aggregate.
pub const CELLS_MAX: u32 = 4096;
/// The most of one person in one cell: with all people of a Vault and every touch the sum stays below 2^63.
pub const CLIP_MAX: u64 = 1 << 32;
/// Touches of one person in a group.
pub const TOUCHES_MAX: u32 = 64;
/// Labels of a derived attribute.
pub const LABELS_MAX: usize = 64;
/// Fuel for a call and for a row.
pub const FUEL_MAX: u64 = 1 << 32;
/// The most a number in a column can be; larger ones are cut to it.
pub const NUMBER_MAX: i64 = (1 << 48) - 1;
/// Rows of a multiple.
const LANES: usize = 8;
