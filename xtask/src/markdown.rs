//! Reads the tables that ARCHITECTURE.md keeps for the tests.

/// The rows of the first table below a heading, without its head; `None` when there is no such table.
///
/// A heading is found by its whole text without the leading `#`s; a cell loses its backticks.
pub fn table(text: &str, heading: &str) -> Option<Vec<Vec<String>>> {
    let mut lines = text.lines().skip_while(|line| !is_heading(line, heading)).skip(1);
    let first = lines.find(|line| line.starts_with('|') || line.starts_with('#'))?;
    if first.starts_with('#') {
        return None;
    }
    let rows = lines.take_while(|line| line.starts_with('|')).skip(1).map(cells).collect();
    Some(rows)
}

fn is_heading(line: &str, heading: &str) -> bool {
    line.starts_with('#') && line.trim_start_matches('#').trim() == heading
}

fn cells(line: &str) -> Vec<String> {
    line.trim().trim_matches('|').split('|').map(|cell| cell.replace('`', "").trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_found_below_its_heading_only() {
        let text = "# A\n\n## One\ntext\n\n| a | b |\n|---|---|\n| `x` | y z |\n\n## Two\n\n## Three\n| c |\n|---|\n";
        assert_eq!(table(text, "One"), Some(vec![vec!["x".to_owned(), "y z".to_owned()]]));
        assert_eq!(table(text, "Two"), None);
        assert_eq!(table(text, "Three"), Some(vec![]));
        assert_eq!(table(text, "Four"), None);
    }
}
