//! The reader of the Complete Journey (CC0): real purchases of households over a year.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};
use flate2::read::GzDecoder;

/// One line of the transactions with its category.
pub(crate) struct Purchase {
    pub(crate) household: u32,
    pub(crate) store: u32,
    pub(crate) category: String,
    pub(crate) date: String,
    pub(crate) cents: u64,
}

/// All of them that have a category.
pub(crate) fn purchases(data: &Path) -> Result<Vec<Purchase>> {
    let mut categories = BTreeMap::new();
    for row in rows(&data.join("products.csv.gz"))? {
        let row = row?;
        categories.insert(row[0].clone(), row[4].clone());
    }
    let mut purchases = Vec::new();
    for row in rows(&data.join("transactions_sample.csv.gz"))? {
        let row = row?;
        let category = categories.get(&row[3]).filter(|category| !category.is_empty());
        let Some(category) = category else { continue };
        purchases.push(Purchase {
            household: row[0].parse()?,
            store: row[1].parse()?,
            category: category.clone(),
            date: format!("{}Z", row[10].replace(' ', "T")),
            cents: (row[5].parse::<f64>()? * 100.0).round() as u64,
        });
    }
    Ok(purchases)
}

/// The rows of a gzipped CSV file without its header; a quoted field may hold commas.
fn rows(path: &Path) -> Result<impl Iterator<Item = Result<Vec<String>>>> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    Ok(BufReader::new(GzDecoder::new(file)).lines().skip(1).map(|line| Ok(fields(&line?))))
}

fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => {
                if let Some(field) = fields.last_mut() {
                    field.push(character);
                }
            }
        }
    }
    fields
}
