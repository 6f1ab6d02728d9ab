//! What happened, as a digest over every line, and as the lines themselves when somebody wants to read them.

use std::fmt;

use symphony_types::digest::Digest;

/// Lines kept at most: the last ones say why.
const LINES_LEN_MAX: usize = 60_000;

/// The history of a run.
pub struct Trace {
    digest: Digest,
    lines: Option<std::collections::VecDeque<String>>,
    count: u64,
}

impl Trace {
    /// An empty history; `readable` keeps its lines.
    pub fn new(readable: bool) -> Self {
        Self { digest: Digest::ZERO, lines: readable.then(std::collections::VecDeque::new), count: 0 }
    }

    /// Adds a line.
    pub fn line(&mut self, at: u64, what: fmt::Arguments<'_>) {
        let line = format!("{at:>7} {what}");
        let bytes = [self.digest.0.as_slice(), line.as_bytes()].concat();
        self.digest = Digest::tagged("symphony/sim-trace/v1", &bytes);
        self.count += 1;
        if let Some(lines) = self.lines.as_mut() {
            if lines.len() == LINES_LEN_MAX {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    }

    /// Stands for every byte of the history.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How many lines there were.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The last lines, if they were kept.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().flatten().map(String::as_str)
    }
}
