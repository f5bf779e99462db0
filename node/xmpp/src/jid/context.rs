//! Rules that look at the neighbours: contextual code points and direction.
//!
//! Source: RFC 5892 appendix A (A.1 to A.9), RFC 5893 §2 (the Bidi rule).
//! Why apart from the classes: both PRECIS classes and IDNA labels share them.

use icu_properties::props::{BidiClass, EnumeratedProperty, JoiningType, Script};
use unicode_normalization::char::canonical_combining_class;

/// The canonical combining class of a virama.
const VIRAMA: u8 = 9;

/// Whether every contextual code point stands where it may.
pub(super) fn holds(chars: &[char]) -> bool {
    (0..chars.len()).all(|at| holds_at(chars, at))
}

fn holds_at(chars: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).map(|previous| chars[previous]);
    let after = chars.get(at + 1).copied();
    let virama = || before.is_some_and(|c| canonical_combining_class(c) == VIRAMA);
    let script = |c: Option<char>, wanted| c.is_some_and(|c| Script::for_char(c) == wanted);
    match chars[at] {
        // A.1, A.2: zero width non-joiner and joiner.
        '\u{200C}' => virama() || joins(&chars[..at], &chars[at + 1..]),
        '\u{200D}' => virama(),
        // A.3: middle dot, between two l (Catalan).
        '\u{B7}' => before == Some('l') && after == Some('l'),
        // A.4: Greek keraia.
        '\u{375}' => script(after, Script::Greek),
        // A.5, A.6: Hebrew geresh and gershayim.
        '\u{5F3}' | '\u{5F4}' => script(before, Script::Hebrew),
        // A.7: Katakana middle dot.
        '\u{30FB}' => {
            let japanese = [Script::Hiragana, Script::Katakana, Script::Han];
            chars
                .iter()
                .any(|c| japanese.contains(&Script::for_char(*c)))
        }
        // A.8, A.9: the two sets of Arabic digits do not mix.
        '\u{660}'..='\u{669}' => !chars.iter().any(|c| matches!(c, '\u{6F0}'..='\u{6F9}')),
        '\u{6F0}'..='\u{6F9}' => !chars.iter().any(|c| matches!(c, '\u{660}'..='\u{669}')),
        _ => true,
    }
}

/// Whether letters on both sides of a non-joiner would join: `(L|D) T* ZWNJ T* (R|D)`.
fn joins(before: &[char], after: &[char]) -> bool {
    let joining = |c: &char| JoiningType::for_char(*c);
    let visible = |kind: &JoiningType| *kind != JoiningType::Transparent;
    let left = before.iter().rev().map(joining).find(visible);
    let right = after.iter().map(joining).find(visible);
    matches!(
        left,
        Some(JoiningType::LeftJoining | JoiningType::DualJoining)
    ) && matches!(
        right,
        Some(JoiningType::RightJoining | JoiningType::DualJoining)
    )
}

/// The six conditions of the Bidi rule, for a string that has a right-to-left code point; true for any other.
pub(super) fn direction_holds(chars: &[char]) -> bool {
    let classes: Vec<BidiClass> = chars.iter().map(|c| BidiClass::for_char(*c)).collect();
    if !classes
        .iter()
        .any(|class| matches!(*class, BidiClass::R | BidiClass::AL | BidiClass::AN))
    {
        return true;
    }
    let Some(last) = classes.iter().rev().find(|class| **class != BidiClass::NSM) else {
        return false;
    };
    let has = |wanted| classes.contains(&wanted);
    match classes[0] {
        // 2 to 4.
        BidiClass::R | BidiClass::AL => {
            let allowed = classes.iter().all(|class| {
                matches!(
                    *class,
                    BidiClass::R | BidiClass::AL | BidiClass::AN | BidiClass::EN
                ) || is_neutral(*class)
            });
            allowed
                && matches!(
                    *last,
                    BidiClass::R | BidiClass::AL | BidiClass::EN | BidiClass::AN
                )
                && !(has(BidiClass::EN) && has(BidiClass::AN))
        }
        // 5 and 6 allow nothing right-to-left after a left-to-right start; 1 allows no other start.
        _ => false,
    }
}

fn is_neutral(class: BidiClass) -> bool {
    matches!(
        class,
        BidiClass::ES
            | BidiClass::CS
            | BidiClass::ET
            | BidiClass::ON
            | BidiClass::BN
            | BidiClass::NSM
    )
}
