//! Addresses: which account is a user of a directory. Pure.
//!
//! Source: XEP-0106 v1.1: a user may be called `o'brien` or `a b` in a directory; as a localpart that is `o\27brien`. A
//! name without such characters is itself.

use xmpp::BareJid;

/// What cannot stand in a localpart (XEP-0106 §4.1), with what stands for it.
const ESCAPES: [(char, &str); 10] = [
    (' ', "20"),
    ('"', "22"),
    ('&', "26"),
    ('\'', "27"),
    ('/', "2f"),
    (':', "3a"),
    ('<', "3c"),
    ('>', "3e"),
    ('@', "40"),
    ('\\', "5c"),
];

/// The account of a user; `None`: no account can have that name.
pub(crate) fn account(user: &str, domain: &str) -> Option<BareJid> {
    let mut local = String::with_capacity(user.len());
    for (at, char) in user.char_indices() {
        let escape = ESCAPES.iter().find(|(known, _)| *known == char);
        match escape {
            // A backslash is itself unless it would be read as one of these.
            Some(('\\', code)) if escaped(&user[at..]).is_some() => {
                local.push('\\');
                local.push_str(code);
            }
            Some(('\\', _)) | None => local.push(char),
            Some((_, code)) => {
                local.push('\\');
                local.push_str(code);
            }
        }
    }
    BareJid::from_parts(Some(&local), domain).ok()
}

/// The user of a localpart.
pub(crate) fn user(local: &str) -> String {
    let mut out = String::with_capacity(local.len());
    let mut rest = local;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match escaped(rest) {
            Some(char) => {
                out.push(char);
                rest = &rest[3..];
            }
            None => {
                out.push('\\');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// What the escape at the beginning of a text stands for.
fn escaped(text: &str) -> Option<char> {
    let code = text.strip_prefix('\\')?.get(..2)?;
    let known = ESCAPES.iter().find(|(_, it)| it.eq_ignore_ascii_case(code));
    known.map(|(char, _)| *char)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_accounts() {
        let check = |name: &str, local: &str| {
            let found = account(name, "a.example").unwrap();
            assert_eq!(found.local(), Some(local));
            assert_eq!(user(local), name.to_lowercase(), "{local}");
        };
        check("ann", "ann");
        check("Ann", "ann");
        check("o'brien", "o\\27brien");
        check("a b", "a\\20b");
        check("ann@b.example", "ann\\40b.example");
        check("c:\\tools", "c\\3a\\tools");
        check("c:\\5commas", "c\\3a\\5c5commas");
        check("\\", "\\");
        check("émile", "émile");
        for none in ["", "\u{7}", &"x".repeat(1024)] {
            assert_eq!(account(none, "a.example"), None, "{none:?}");
        }
    }
}
