//! What a code point may be used for: IdentifierClass, FreeformClass or nothing.
//!
//! Source: RFC 8264 §8 (the order of the tests) and §9 (the categories); RFC 5892 §2.6 (the exceptions).
//! Why derived, not tabulated: the RFC's algorithm over current Unicode tables knows the scripts and emoji that were
//! added since its appendix was printed.

use icu_properties::props::{
    BinaryProperty, DefaultIgnorableCodePoint, EnumeratedProperty, GeneralCategory as Category,
    HangulSyllableType, NoncharacterCodePoint,
};
use unicode_normalization::UnicodeNormalization;

/// The derived property of a code point (RFC 8264 §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Property {
    /// PVALID: in both classes.
    Valid,
    /// CONTEXTJ, CONTEXTO: in both classes where [`super::context`] says so.
    Context,
    /// ID_DIS or FREE_PVAL: in FreeformClass only.
    Freeform,
    /// DISALLOWED, UNASSIGNED: in none.
    Disallowed,
}

/// Whether the code point is in IdentifierClass, its context aside.
pub(super) fn in_identifier_class(c: char) -> bool {
    matches!(property(c), Property::Valid | Property::Context)
}

/// Whether the code point is in FreeformClass, its context aside.
pub(super) fn in_freeform_class(c: char) -> bool {
    property(c) != Property::Disallowed
}

/// RFC 8264 §8, test by test in its order.
pub(super) fn property(c: char) -> Property {
    if let Some(property) = exception(c) {
        return property;
    }
    let category = Category::for_char(c);
    if category == Category::Unassigned {
        return Property::Disallowed;
    }
    if c.is_ascii_graphic() {
        return Property::Valid;
    }
    if matches!(c, '\u{200C}' | '\u{200D}') {
        return Property::Context;
    }
    if is_old_hangul_jamo(c) || is_ignorable(c) || category == Category::Control {
        return Property::Disallowed;
    }
    if has_compatibility_form(c) {
        return Property::Freeform;
    }
    by_category(category)
}

/// RFC 8264 §9.6: RFC 5892 §2.6. BackwardCompatible (§9.7) is empty.
fn exception(c: char) -> Option<Property> {
    match c {
        '\u{DF}' | '\u{3C2}' | '\u{6FD}' | '\u{6FE}' | '\u{F0B}' | '\u{3007}' => {
            Some(Property::Valid)
        }
        '\u{B7}' | '\u{375}' | '\u{5F3}' | '\u{5F4}' | '\u{30FB}' => Some(Property::Context),
        '\u{660}'..='\u{669}' | '\u{6F0}'..='\u{6F9}' => Some(Property::Context),
        '\u{640}' | '\u{7FA}' | '\u{302E}' | '\u{302F}' | '\u{3031}'..='\u{3035}' | '\u{303B}' => {
            Some(Property::Disallowed)
        }
        _ => None,
    }
}

/// RFC 8264 §9.9: conjoining jamo.
fn is_old_hangul_jamo(c: char) -> bool {
    use HangulSyllableType as Type;
    matches!(
        Type::for_char(c),
        Type::LeadingJamo | Type::VowelJamo | Type::TrailingJamo
    )
}

/// RFC 8264 §9.13.
fn is_ignorable(c: char) -> bool {
    DefaultIgnorableCodePoint::for_char(c) || NoncharacterCodePoint::for_char(c)
}

/// RFC 8264 §9.17: the code point is not its own NFKC.
fn has_compatibility_form(c: char) -> bool {
    !std::iter::once(c).nfkc().eq(std::iter::once(c))
}

/// RFC 8264 §9.1 LetterDigits; §9.14 Spaces, §9.15 Symbols, §9.16 Punctuation, §9.18 OtherLetterDigits; else neither.
fn by_category(category: Category) -> Property {
    match category {
        Category::LowercaseLetter
        | Category::UppercaseLetter
        | Category::OtherLetter
        | Category::DecimalNumber
        | Category::ModifierLetter
        | Category::NonspacingMark
        | Category::SpacingMark => Property::Valid,
        Category::TitlecaseLetter
        | Category::LetterNumber
        | Category::OtherNumber
        | Category::EnclosingMark
        | Category::SpaceSeparator
        | Category::MathSymbol
        | Category::CurrencySymbol
        | Category::ModifierSymbol
        | Category::OtherSymbol
        | Category::ConnectorPunctuation
        | Category::DashPunctuation
        | Category::OpenPunctuation
        | Category::ClosePunctuation
        | Category::InitialPunctuation
        | Category::FinalPunctuation
        | Category::OtherPunctuation => Property::Freeform,
        _ => Property::Disallowed,
    }
}
