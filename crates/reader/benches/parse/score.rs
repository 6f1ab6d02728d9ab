//! Counts exact matches and compares what was said to be sure with what was right.

use symphony_compute::parse::expense::Field;
use symphony_reader::host::ReadError;
use symphony_reader::protocol::Reading;

use crate::source::Sample;

/// The results of one way of reading.
pub(crate) struct Score {
    name: &'static str,
    /// For the half whose misses are shown and the other half: company, date, total, receipts.
    halves: [[usize; 4]; 2],
    /// Field, half, basis points, whether it was right.
    said: Vec<(usize, usize, u16, bool)>,
}

impl Score {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, halves: [[0; 4]; 2], said: Vec::new() }
    }

    pub(crate) fn add(
        &mut self,
        index: usize,
        sample: &Sample,
        read: &Result<Reading, ReadError>,
        shows: bool,
    ) {
        let half = index % 2;
        self.halves[half][3] += 1;
        // Of the other half only the sums are shown.
        let shows = shows && half == 0;
        let expense = match read {
            Ok(reading) => &reading.expense,
            Err(error) => {
                if shows {
                    println!("{}: {error}", sample.id);
                }
                return;
            }
        };
        let company = expense
            .merchant
            .as_ref()
            .map(|merchant| (merchant.bps, folded(&merchant.value) == folded(&sample.company)));
        let date = expense.date.as_ref().map(|date| (date.bps, date.value == sample.date));
        let total = expense.total.as_ref().map(|total| (total.bps, total.value == sample.total));
        for (field, said) in [company, date, total].into_iter().enumerate() {
            if let Some((bps, right)) = said {
                self.said.push((field, half, bps, right));
                self.halves[half][field] += usize::from(right);
            }
            if shows && !said.is_some_and(|(_, right)| right) {
                let seen = match field {
                    0 => format!(
                        "{} | {:?}",
                        sample.company,
                        expense.merchant.as_ref().map(|field| (&field.value, field.bps))
                    ),
                    1 => format!(
                        "{:?} | {:?}",
                        sample.date,
                        expense.date.as_ref().map(|field| (field.value, field.bps))
                    ),
                    _ => format!(
                        "{} | {:?}",
                        sample.total,
                        expense.total.as_ref().map(|field| (field.value, Field::bps(field)))
                    ),
                };
                println!("{}: {seen}", sample.id);
            }
        }
    }

    pub(crate) fn print(&self) {
        let all: Vec<usize> = (0..4).map(|column| self.halves[0][column] + self.halves[1][column]).collect();
        for (part, counts) in
            [("shown", &self.halves[0][..]), ("not shown", &self.halves[1][..]), ("all", &all[..])]
        {
            let percent = |column: usize| 100.0 * counts[column] as f64 / counts[3].max(1) as f64;
            let name = format!("{} ({part})", self.name);
            println!("{name:47} {:7.1} {:8.1} {:8.1} {:8}", percent(0), percent(1), percent(2), counts[3]);
        }
    }

    /// For each field: what was said and what was right, by bins, and the expected calibration error.
    pub(crate) fn print_calibration(&self) {
        println!("\ncalibration: said (average) -> right, of how many");
        for (field, name) in ["company", "date", "total"].iter().enumerate() {
            for (part, halves) in [("shown", 0..1), ("not shown", 1..2), ("all", 0..2)] {
                let said: Vec<(u16, bool)> = self
                    .said
                    .iter()
                    .filter(|said| said.0 == field && halves.contains(&said.1))
                    .map(|said| (said.2, said.3))
                    .collect();
                println!("{}", calibration(&format!("{name} ({part})"), &said));
            }
        }
    }
}

fn calibration(name: &str, said: &[(u16, bool)]) -> String {
    let mut line = format!("{name:20}");
    let mut error = 0.0;
    for bin in BINS.windows(2) {
        let inside: Vec<&(u16, bool)> =
            said.iter().filter(|said| (bin[0]..bin[1]).contains(&said.0)).collect();
        if inside.is_empty() {
            line += &format!(" {:>17}", "-");
            continue;
        }
        let count = inside.len() as f64;
        let average = inside.iter().map(|said| f64::from(said.0)).sum::<f64>() / count / 100.0;
        let right = inside.iter().filter(|said| said.1).count() as f64 * 100.0 / count;
        error += (average - right).abs() * count / said.len() as f64;
        line += &format!(" {:>17}", format!("{average:.0} -> {right:.0}, {count}"));
    }
    format!("{line}   error {error:.1}")
}

/// Upper case, letters and digits, single spaces.
fn folded(text: &str) -> String {
    let letters: String =
        text.to_uppercase().chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    letters.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// **Units**: basis points.
const BINS: [u16; 6] = [0, 4_000, 6_000, 8_000, 9_000, 10_001];
