//! Words to find a vCard by; pure.

use std::collections::BTreeSet;

use super::VcardField;

/// How many words of a vCard are indexed: rows of the old and of the new one fit one batch.
pub(super) const MAX_WORDS: usize = 48;
/// Longer words are cut.
const MAX_WORD: usize = 64;

/// A text as words: lowercased, cut at white space and commas.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| c.is_whitespace() || c == ',' || c == '\0')
        .filter(|word| !word.is_empty())
        .map(normalised)
}

/// A word as it is indexed and looked for.
pub(super) fn normalised(word: &str) -> String {
    let mut word = word.to_lowercase();
    word.truncate(word.floor_char_boundary(MAX_WORD));
    word
}

/// The words of a vCard: sorted, each once, and not too many.
pub(super) fn words_of(searchable: &[(VcardField, String)]) -> Vec<(VcardField, String)> {
    let all = searchable
        .iter()
        .flat_map(|(field, text)| words(text).map(|word| (*field, word)));
    let mut distinct = BTreeSet::new();
    for word in all {
        if distinct.len() == MAX_WORDS {
            break;
        }
        distinct.insert(word);
    }
    distinct.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_lowercased_cut_and_distinct() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(words(text).collect::<Vec<_>>(), expected, "{text:?}");
        };
        check("", &[]);
        check("  Ann  MARIE,Smith\t", &["ann", "marie", "smith"]);
        check("ÉMILE Çelik", &["émile", "çelik"]);
        check(&"é".repeat(40), &[&"é".repeat(32)]);
        let twice = [
            (VcardField::Given, "Ann ann".to_owned()),
            (VcardField::Family, "Ann".to_owned()),
        ];
        let given = (VcardField::Given, "ann".to_owned());
        assert_eq!(
            words_of(&twice),
            [given, (VcardField::Family, "ann".to_owned())]
        );
        let many: String = (0..100).map(|n| format!("{n} ")).collect();
        assert_eq!(words_of(&[(VcardField::FullName, many)]).len(), MAX_WORDS);
    }
}
