//! What recognition confuses, and words compared with that in mind (R083).

/// Upper case, straight quotes, single spaces; frames and specks at the ends of words removed.
pub(crate) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '’' | '‘' | '`' | '´' => folded.push('\''),
            '“' | '”' | '«' | '»' => folded.push('"'),
            '—' | '–' | '−' => folded.push('-'),
            '|' | '_' | '~' | '°' | '\\' => folded.push(' '),
            // A `Y` that was seen twice is one.
            '¥' if folded.ends_with('Y') => {}
            '¥' => folded.push('Y'),
            '€' => folded.push('€'),
            c => folded.extend(c.to_uppercase()),
        }
    }
    folded.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The digit that a character was, if recognition may have taken that digit for it.
pub(crate) fn digit(c: char) -> Option<u8> {
    Some(match c {
        '0'..='9' => c as u8 - b'0',
        'O' | 'o' | 'D' | 'Q' | 'U' => 0,
        'l' | 'I' | 'i' | '|' | '!' | ']' | '[' => 1,
        'Z' | 'z' => 2,
        'S' | 's' | '$' => 5,
        'G' | 'b' => 6,
        'B' | '&' => 8,
        'q' | 'g' => 9,
        _ => return None,
    })
}

/// Whether `word` is `wanted`, or at most `slips` characters away from it.
pub(crate) fn near(word: &str, wanted: &str, slips: usize) -> bool {
    if word == wanted {
        return true;
    }
    let (a, b): (Vec<char>, Vec<char>) = (word.chars().collect(), wanted.chars().collect());
    a.len().abs_diff(b.len()) <= slips && distance(&a, &b) <= slips
}

/// As [`near`], with as many slips as a word of that length may have and still be told from others.
pub(crate) fn like(word: &str, wanted: &str) -> bool {
    let slips = match wanted.chars().count() {
        0..=4 => 0,
        5..=8 => 1,
        _ => 2,
    };
    near(word, wanted, slips)
}

/// Insertions, deletions and exchanges between two words.
pub(crate) fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let exchanged = before + usize::from(left != right);
            before = row[j + 1];
            row[j + 1] = exchanged.min(before + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// The words of a folded text without what stands around their letters.
pub(crate) fn words(folded: &str) -> Vec<&str> {
    folded
        .split(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '&'))
        .filter(|word| !word.is_empty())
        .collect()
}

/// Whether the phrase's words stand in the text one after the other, each spelled about so.
pub(crate) fn says(folded: &str, phrase: &str) -> bool {
    let (words, wanted): (Vec<&str>, Vec<&str>) = (words(folded), phrase.split(' ').collect());
    words
        .windows(wanted.len())
        .any(|window| window.iter().zip(&wanted).all(|(word, wanted)| like(word, wanted)))
}
