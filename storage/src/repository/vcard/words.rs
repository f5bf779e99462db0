//! Words to find a vCard by; pure.

use std::collections::BTreeSet;

use super::VcardField;

/// How many words of a vCard are indexed, and beginnings within them: rows of the old and of the new one fit one batch.
pub(super) const MAX_WORDS: usize = 48;
/// Characters of what is looked for within words at least.
pub(super) const MIN_INSIDE: usize = 3;
/// Longer words are cut.
const MAX_WORD: usize = 64;

/// A text as words: folded, cut at white space and commas.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| c.is_whitespace() || c == ',' || c == '\0')
        .filter(|word| !word.is_empty())
        .map(normalised)
}

/// A word as it is indexed and looked for.
pub(super) fn normalised(word: &str) -> String {
    let mut word = xmpp::folded(word);
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

/// From where on words are found that do not begin so: sorted, each once, and no more than there is room for behind the
/// words. Of an address (with an at) only what follows a sign; of dates nothing.
pub(super) fn inside_of(words: &[(VcardField, String)]) -> Vec<String> {
    let mut all = BTreeSet::new();
    for (field, word) in words {
        let is_address = word.contains('@');
        let mut last = None;
        for (at, c) in word.char_indices() {
            let begins = match (last, is_address) {
                (None, _) => false,
                (Some(_), false) => true,
                (Some(last), true) => !char::is_alphanumeric(last),
            };
            last = Some(c);
            let rest = &word[at..];
            let is_long = rest.chars().nth(MIN_INSIDE - 1).is_some();
            if begins && is_long && *field != VcardField::Birthday {
                if words.len() + all.len() >= MAX_WORDS {
                    return all.into_iter().collect();
                }
                all.insert(rest.to_owned());
            }
        }
    }
    all.into_iter().collect()
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
        // However it was typed.
        check("E\u{301}MILE C\u{327}elik", &["émile", "çelik"]);
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

    #[test]
    fn what_is_inside_of_words_is_found() {
        let check = |words: &[&str], expected: &[&str]| {
            let field = |word: &&str| (VcardField::FullName, (*word).to_owned());
            let words: Vec<_> = words.iter().map(field).collect();
            assert_eq!(inside_of(&words), expected, "{words:?}");
        };
        check(&[], &[]);
        check(&["ann", "li"], &[]);
        check(&["anna", "hanna"], &["anna", "nna"]);
        check(&["çelik"], &["elik", "lik"]);
        check(
            &["anna.lee@a-b.example"],
            &["a-b.example", "b.example", "example", "lee@a-b.example"],
        );
        let birthday = [(VcardField::Birthday, "1966-08-06".to_owned())];
        assert_eq!(inside_of(&birthday), [""; 0]);
        let long = "abcdefghijklmnopqrstuvwxyz".repeat(2);
        let field = (VcardField::Family, long);
        assert_eq!(inside_of(&[field]).len(), MAX_WORDS - 1);
    }
}
