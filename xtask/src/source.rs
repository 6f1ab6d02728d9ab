//! A Rust file as the tidy and layer tests see it: which text is comment, string, code or test.
//!
//! A small scanner instead of a parser: it knows comments, strings, characters and the braces behind
//! `#[cfg(test)]`, which is all that the rules ask about.

/// One scanned line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The line as written.
    pub raw: String,
    /// Without comments; strings kept.
    pub uncommented: String,
    /// Without comments and without the insides of strings and characters.
    pub code: String,
    /// Inside an item marked `#[cfg(test)]`.
    pub test: bool,
}

impl Line {
    /// Whether the line holds anything but blanks and comments.
    pub fn is_code(&self) -> bool {
        !self.uncommented.trim().is_empty()
    }
}

/// Scans a file.
pub fn scan(text: &str) -> Vec<Line> {
    let mut lines = Scanner::new(text).lines();
    mark_tests(&mut lines);
    lines
}

/// The identifiers of a piece of code, in order.
pub fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// Whether `text` has `needle` with no letter, digit or underscore on either side.
pub fn has_word(text: &str, needle: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(needle).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(part)
            && !text[at + needle.len()..].chars().next().is_some_and(part)
    })
}

#[derive(Clone, Copy)]
enum Mode {
    Code,
    LineComment,
    BlockComment(u32),
    Text,
    RawText(usize),
}

struct Scanner {
    chars: Vec<char>,
    at: usize,
    mode: Mode,
    lines: Vec<Line>,
    line: Line,
}

impl Scanner {
    fn new(text: &str) -> Self {
        Self {
            chars: text.chars().collect(),
            at: 0,
            mode: Mode::Code,
            lines: Vec::new(),
            line: Line::default(),
        }
    }

    fn lines(mut self) -> Vec<Line> {
        while self.at < self.chars.len() {
            if self.chars[self.at] == '\n' {
                if let Mode::LineComment = self.mode {
                    self.mode = Mode::Code;
                }
                self.lines.push(std::mem::take(&mut self.line));
                self.at += 1;
                continue;
            }
            match self.mode {
                Mode::Code => self.code(),
                Mode::LineComment => self.comment(1),
                Mode::BlockComment(depth) => self.block_comment(depth),
                Mode::Text => self.text(),
                Mode::RawText(hashes) => self.raw_text(hashes),
            }
        }
        if !self.line.raw.is_empty() {
            self.lines.push(self.line);
        }
        self.lines
    }

    fn code(&mut self) {
        if self.starts("//") {
            self.mode = Mode::LineComment;
        } else if self.starts("/*") {
            self.mode = Mode::BlockComment(1);
            self.comment(2);
        } else if self.chars[self.at] == '"' {
            self.mode = Mode::Text;
            self.keep(1);
        } else if let Some((length, hashes)) = self.raw_text_opening() {
            self.mode = Mode::RawText(hashes);
            self.keep(length);
        } else if let Some(length) = self.character() {
            self.keep(1);
            self.inside(length - 2);
            self.keep(1);
        } else {
            self.keep(1);
        }
    }

    fn block_comment(&mut self, depth: u32) {
        if self.starts("*/") {
            self.mode = if depth == 1 { Mode::Code } else { Mode::BlockComment(depth - 1) };
            self.comment(2);
        } else if self.starts("/*") {
            self.mode = Mode::BlockComment(depth + 1);
            self.comment(2);
        } else {
            self.comment(1);
        }
    }

    fn text(&mut self) {
        if self.starts("\\") && self.at + 1 < self.chars.len() && self.chars[self.at + 1] != '\n' {
            self.inside(2);
        } else if self.starts("\"") {
            self.mode = Mode::Code;
            self.keep(1);
        } else {
            self.inside(1);
        }
    }

    fn raw_text(&mut self, hashes: usize) {
        if self.starts(&format!("\"{}", "#".repeat(hashes))) {
            self.mode = Mode::Code;
            self.keep(1 + hashes);
        } else {
            self.inside(1);
        }
    }

    /// The length of a character literal that starts here: three to twelve characters; a lifetime has none.
    fn character(&self) -> Option<usize> {
        if self.chars[self.at] != '\'' {
            return None;
        }
        if self.chars.get(self.at + 1) == Some(&'\\') {
            let end =
                (self.at + 3..(self.at + 12).min(self.chars.len())).find(|at| self.chars[*at] == '\'')?;
            return Some(end - self.at + 1);
        }
        (self.chars.get(self.at + 2) == Some(&'\'')).then_some(3)
    }

    /// The length and hashes of `r"`, `r#"`, `br#"` when such an opening starts here.
    fn raw_text_opening(&self) -> Option<(usize, usize)> {
        let joined =
            self.at > 0 && (self.chars[self.at - 1].is_alphanumeric() || self.chars[self.at - 1] == '_');
        let prefix = if self.starts("br") { 2 } else { usize::from(self.starts("r")) };
        if joined || prefix == 0 {
            return None;
        }
        let hashes = self.chars[self.at + prefix..].iter().take_while(|c| **c == '#').count();
        (self.chars.get(self.at + prefix + hashes) == Some(&'"')).then_some((prefix + hashes + 1, hashes))
    }

    fn starts(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(offset, c)| self.chars.get(self.at + offset) == Some(&c))
    }

    fn keep(&mut self, count: usize) {
        for _ in 0..count {
            let c = self.chars[self.at];
            self.line.raw.push(c);
            self.line.uncommented.push(c);
            self.line.code.push(c);
            self.at += 1;
        }
    }

    fn inside(&mut self, count: usize) {
        for _ in 0..count {
            let c = self.chars[self.at];
            self.line.raw.push(c);
            self.line.uncommented.push(c);
            self.at += 1;
        }
    }

    fn comment(&mut self, count: usize) {
        for _ in 0..count {
            self.line.raw.push(self.chars[self.at]);
            self.at += 1;
        }
    }
}

/// Marks the lines of each item behind `#[cfg(test)]`, to its closing brace or its semicolon.
fn mark_tests(lines: &mut [Line]) {
    let mut at = 0;
    while at < lines.len() {
        if !lines[at].code.trim_start().starts_with("#[cfg(test)]") {
            at += 1;
            continue;
        }
        let mut depth = 0_u32;
        let mut opened = false;
        while at < lines.len() {
            lines[at].test = true;
            let code = lines[at].code.trim().trim_start_matches("#[cfg(test)]").to_owned();
            for c in code.chars() {
                match c {
                    '{' => (depth, opened) = (depth + 1, true),
                    '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
            at += 1;
            if depth == 0 && (opened || code.ends_with(';')) {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_leave_the_code() {
        let lines = scan("let a = \"f64 // no\"; // f32\nlet c = '\"'; /* x\n f64 */ let d = 'l';\n");
        assert_eq!(lines[0].code, "let a = \"\"; ");
        assert_eq!(lines[0].uncommented, "let a = \"f64 // no\"; ");
        assert_eq!(lines[1].code, "let c = ''; ");
        assert_eq!(lines[2].code, " let d = '';");
    }

    #[test]
    fn raw_strings_and_lifetimes_are_told_apart() {
        let lines = scan("fn f<'a>(x: &'a str) { r#\"a \" // b\"#; bar(\"\\\"\") }\n");
        assert_eq!(lines[0].code, "fn f<'a>(x: &'a str) { r#\"\"#; bar(\"\") }");
    }

    #[test]
    fn only_marked_items_are_tests() {
        let lines = scan("a();\n#[cfg(test)]\nmod tests;\nb();\n#[cfg(test)]\nmod t {\n  x {}\n}\nc();\n");
        let tests: Vec<bool> = lines.iter().map(|line| line.test).collect();
        assert_eq!(tests, [false, true, true, false, true, true, true, true, false]);
    }

    #[test]
    fn words_have_borders() {
        assert!(has_word("see R176.", "R176"));
        assert!(!has_word("R1761", "R176"));
        assert_eq!(words("a::b_c(1)").collect::<Vec<_>>(), ["a", "b_c", "1"]);
    }
}
