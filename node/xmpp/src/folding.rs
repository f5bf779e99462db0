//! Folding: what is looked for and what is there are compared in one form.

use unicode_normalization::UnicodeNormalization;

/// A text in lowercase, composed (NFC): how it was typed makes no difference.
///
/// ```
/// assert_eq!(xmpp::folded("Rene\u{301}e"), "ren\u{e9}e");
/// ```
pub fn folded(text: &str) -> String {
    match text.is_ascii() {
        true => text.to_ascii_lowercase(),
        // Composed before as well: there are letters whose lowercase is composed otherwise.
        false => text
            .nfc()
            .collect::<String>()
            .to_lowercase()
            .nfc()
            .collect(),
    }
}
