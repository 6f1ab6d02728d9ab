//! The run itself, the same for every engine: person by person, with nothing of one within reach of the next (R094).
//!
//! A pure module keeps its instance, because it can change nothing in it; the host writes each person's rows over those
//! of the one before, and what was longer is overwritten with zeros. Any other module gets a new instance for each person, with the
//! same calls before it. So what a module answers for a person is a function of that person's rows and
//! the task's parameters, whatever the module does: who else there is, or how many came before, it cannot know.

use crate::engine::{Ending, Fault, Faults};
use crate::job::{Job, allotment};
use crate::output::{Collected, Output, bytes_max};
use crate::table::{ABSENT, Person, TABLE_ROWS_MAX, Table};
use symphony_protocol::artifact::module::{Declaration, Isolation};

/// Instances of a module on one engine.
pub(crate) trait Source {
    /// One instance.
    type Guest<'a>: Guest
    where
        Self: 'a;

    /// A new instance, as the module's bytes describe it.
    fn guest(&self) -> Result<Self::Guest<'_>, Ending>;

    /// Fuel of this engine for what the declaration calls so much.
    fn fuel(&self, declared: u64) -> u64;
}

/// One instance.
pub(crate) trait Guest {
    /// Its memory.
    fn memory(&mut self) -> &mut [u8];

    /// Calls `abi_version`.
    fn abi_version(&mut self, fuel: u64) -> Result<i32, Stop>;

    /// Calls `alloc`.
    fn alloc(&mut self, bytes: u32, fuel: u64) -> Result<u32, Stop>;

    /// Calls `run` and says how much fuel it burnt.
    fn run(&mut self, at: u32, rows: u32, step: u32, fuel: u64) -> (Result<i64, Stop>, u64);
}

/// How a call ends without an answer.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The guest's doing.
    Fault(Fault),
    /// The engine's.
    Engine(Ending),
}

/// Sees that an instance can be made and speaks this ABI.
pub(crate) fn probe<S: Source>(source: &S, declaration: &Declaration) -> Result<(), Ending> {
    let mut guest = source.guest()?;
    match guest.abi_version(SETUP_FUEL) {
        Ok(ABI_VERSION) => {}
        Ok(_) | Err(Stop::Fault(_)) => return Err(Ending::WrongAbi),
        Err(Stop::Engine(ending)) => return Err(ending),
    }
    // An instance of its own, as every person's, so that calls before it are the same.
    Window::place(&mut source.guest()?, declaration).map(|_| ())
}

/// Runs a job.
pub(crate) fn drive<S: Source>(
    source: &S,
    declaration: &Declaration,
    job: &Job<'_>,
) -> Result<Output, Ending> {
    let fuel_allotted = admit(declaration, job)?;
    let mut collected = Collected::new(&declaration.output);
    let (mut faults, mut out_of_fuel, mut fuel_spent) = (Faults::new(), Vec::new(), 0);
    let mut left_out = job.left_out.iter().copied().peekable();
    let mut words = Vec::with_capacity(declaration.words_max as usize);
    let mut guest = source.guest()?;
    let mut window = Window::place(&mut guest, declaration)?;
    for person in job.table.people() {
        while left_out.next_if(|subject| *subject < person.subject).is_some() {}
        if left_out.peek() == Some(&person.subject) {
            continue;
        }
        if declaration.isolation == Isolation::Fresh {
            drop(guest);
            guest = source.guest()?;
            window = Window::place(&mut guest, declaration)?;
        }
        let rows = window.write(guest.memory(), job, &person);
        let fuel = source.fuel(declaration.fuel(rows));
        words.clear();
        let (answer, spent) = ask(&mut guest, &window, rows, fuel, declaration.words_max, &mut words);
        fuel_spent += spent;
        let taken = match answer {
            Ok(()) => collected.person(person.subject, &words),
            Err(Stop::Fault(fault)) => Err(fault),
            Err(Stop::Engine(ending)) => return Err(ending),
        };
        if let Err(fault) = taken {
            *faults.entry(fault).or_default() += 1;
            if fault == Fault::OutOfFuel {
                out_of_fuel.push(person.subject);
            }
        }
    }
    window.clear(guest.memory());
    Ok(Output {
        bytes: collected.finish(),
        people: job.table.people_len() as u64,
        rows: job.table.rows_len() as u64,
        fuel_allotted,
        fuel_spent,
        faults,
        out_of_fuel,
    })
}

/// Everything that is decided before a row is shown: parameters, columns, fuel, output.
fn admit(declaration: &Declaration, job: &Job<'_>) -> Result<u64, Ending> {
    job.parameters.check(declaration).map_err(|_| Ending::Parameters)?;
    let table: &Table = job.table;
    if table.columns().len() != declaration.inputs.len() || table.rows_len() > TABLE_ROWS_MAX {
        return Err(Ending::Inputs);
    }
    if bytes_max(&declaration.output, table.people_len()) > job.output_bytes_max {
        return Err(Ending::OutputTooLarge);
    }
    let allotted = allotment(declaration, table);
    if allotted > job.fuel_max { Err(Ending::OutOfFuel) } else { Ok(allotted) }
}

/// The words of one person, up to the first negative one.
fn ask<G: Guest>(
    guest: &mut G,
    window: &Window,
    rows: usize,
    fuel: u64,
    words_max: u32,
    words: &mut Vec<i64>,
) -> (Result<(), Stop>, u64) {
    let mut burnt = 0;
    for step in 0..words_max {
        let (word, spent) = guest.run(window.at as u32, rows as u32, step, fuel);
        burnt += spent;
        match word {
            Ok(word) if word < 0 => break,
            Ok(word) => words.push(word),
            Err(stop) => return (Err(stop), burnt),
        }
    }
    (Ok(()), burnt)
}

/// Where a person's rows are written in an instance's memory: parameters, then column behind column.
struct Window {
    at: usize,
    head: usize,
    bytes: usize,
    rows_max: usize,
    columns: usize,
    parameters_written: bool,
    /// Bytes that the person before filled.
    filled: usize,
}

impl Window {
    /// Asks the instance for room. The whole room is cleared, so that how much of it was ever filled shows nowhere.
    fn place<G: Guest>(guest: &mut G, declaration: &Declaration) -> Result<Self, Ending> {
        let rows_max = declaration.rows_max as usize;
        let bytes = declaration.window_bytes(rows_max);
        let asked = u32::try_from(bytes).map_err(|_| Ending::BadPointer)?;
        let at = match guest.alloc(asked, SETUP_FUEL) {
            Ok(at) => at as usize,
            Err(Stop::Fault(_)) => return Err(Ending::BadPointer),
            Err(Stop::Engine(ending)) => return Err(ending),
        };
        let end = at.checked_add(bytes).ok_or(Ending::BadPointer)?;
        let room = guest.memory().get_mut(at..end).filter(|_| at != 0 && at.is_multiple_of(ALIGNMENT));
        let room = room.ok_or(Ending::BadPointer)?;
        if declaration.isolation == Isolation::Pure {
            room.fill(0);
        }
        Ok(Self {
            at,
            head: declaration.head_words() * 8,
            bytes,
            rows_max,
            columns: declaration.inputs.len(),
            parameters_written: false,
            filled: 0,
        })
    }

    /// Writes a person's rows, and says how many they are. The window was inside the memory, and memories only grow.
    fn write(&mut self, memory: &mut [u8], job: &Job<'_>, person: &Person) -> usize {
        let room = &mut memory[self.at..self.at + self.bytes];
        if !self.parameters_written {
            for (number, place) in job.parameters.numbers.iter().zip(room.as_chunks_mut().0) {
                *place = number.to_le_bytes();
            }
            self.parameters_written = true;
        }
        let rows = person.rows.min(self.rows_max);
        let mut end = self.head;
        for index in 0..self.columns {
            let column = &job.table.column(index, person)[..rows];
            let stride = symphony_protocol::artifact::module::padded(rows) * 8;
            let places = room[end..end + stride].as_chunks_mut().0;
            let (filled, padding) = places.split_at_mut(rows);
            for (place, value) in filled.iter_mut().zip(column) {
                *place = value.to_le_bytes();
            }
            padding.fill(ABSENT.to_le_bytes());
            end += stride;
        }
        if end < self.filled {
            room[end..self.filled].fill(0);
        }
        self.filled = end;
        rows
    }

    /// Nothing of the last person stays.
    fn clear(&self, memory: &mut [u8]) {
        memory[self.at..self.at + self.filled.max(self.head)].fill(0);
    }
}

const ABI_VERSION: i32 = 1;
/// Fuel for the calls before any row is there.
const SETUP_FUEL: u64 = 1 << 20;
/// Columns are read in vectors of sixteen bytes.
const ALIGNMENT: usize = 16;
