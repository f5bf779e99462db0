//! Templates: `%u` and its like in filters and names, and names taken apart again. Pure.
//!
//! Source: RFC 4515 §3 (filters: what is put in is escaped, in one pass, so that nothing that was put in is read as a part
//! of the template); RFC 4514 §2.4 and §3 (names of members). What the letters mean is as users know it from ejabberd.

use ldap3::ldap_escape;

/// Longest value that is taken apart.
const MAX_VALUE: usize = 1024;

/// What stands for a letter.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Value<'a> {
    /// The letter stays as it is: this template knows none.
    #[default]
    Nothing,
    /// Anything (`*`).
    Any,
    /// This text, escaped.
    Text(&'a str),
}

/// What stands for the letters.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Values<'a> {
    /// `%u`: the name of a user.
    pub(crate) user: Value<'a>,
    /// `%d`: the domain.
    pub(crate) domain: Value<'a>,
    /// `%g`: the id of a group.
    pub(crate) group: Value<'a>,
    /// `%D`: the name of an entry.
    pub(crate) dn: Value<'a>,
    /// `%s`, one after the other.
    pub(crate) attributes: &'a [&'a str],
}

/// A filter with everything put in, escaped.
pub(crate) fn filter(template: &str, values: &Values<'_>) -> String {
    let mut attributes = values.attributes.iter();
    expand(template, |letter| match letter {
        'u' => values.user,
        'd' => values.domain,
        'g' => values.group,
        'D' => values.dn,
        's' => attributes
            .next()
            .map_or(Value::Nothing, |it| Value::Text(it)),
        _ => Value::Nothing,
    })
}

fn expand<'a>(template: &str, mut value: impl FnMut(char) -> Value<'a>) -> String {
    let mut out = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('%') {
        out.push_str(before);
        rest = behind;
        let Some(letter) = behind.chars().next() else {
            out.push('%');
            break;
        };
        match value(letter) {
            Value::Nothing => {
                out.push('%');
                continue;
            }
            Value::Any => out.push('*'),
            Value::Text(text) => out.push_str(&ldap_escape(text)),
        }
        rest = &behind[letter.len_utf8()..];
    }
    out.push_str(rest);
    out
}

/// A text of `%u`, `%d` and `%s` that is no filter: a part of a vCard. Nothing is escaped; `None` if an attribute that it
/// wants is empty.
pub(crate) fn text(
    template: &str,
    user: &str,
    domain: &str,
    attributes: &[&str],
) -> Option<String> {
    let mut out = String::with_capacity(template.len() + 32);
    let (mut rest, mut attributes, mut any) = (template, attributes.iter(), false);
    while let Some((before, behind)) = rest.split_once('%') {
        out.push_str(before);
        let put = match behind.chars().next() {
            Some('u') => user,
            Some('d') => domain,
            Some('s') => {
                let found = attributes.next().copied().unwrap_or_default();
                any |= !found.is_empty();
                found
            }
            _ => {
                out.push('%');
                rest = behind;
                continue;
            }
        };
        out.push_str(put);
        rest = &behind[1..];
    }
    out.push_str(rest);
    let wanted = template.contains("%s");
    (!wanted || any)
        .then(|| out.trim().to_owned())
        .filter(|it| !it.is_empty())
}

/// Whether a template has a letter.
pub(crate) fn has(template: &str, letter: &str) -> bool {
    template.contains(letter)
}

/// How the name of a user stands in a value: `%u@example.org`, `uid=%u,ou=*`. A `*` is anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    before: Vec<String>,
    after: Vec<String>,
    /// The value is the name of an entry, in which the user's is escaped.
    is_dn: bool,
}

impl Pattern {
    /// Reads a pattern; `%d` is the domain. `None`: `%u` is not in it just once.
    pub(crate) fn parse(text: &str, domain: &str) -> Option<Self> {
        let text = text.replace("%d", domain);
        let (before, after) = text.split_once("%u")?;
        if after.contains("%u") {
            return None;
        }
        let parts = |text: &str| text.split('*').map(str::to_owned).collect();
        Some(Self {
            is_dn: before.trim_end().ends_with('='),
            before: parts(before),
            after: parts(after),
        })
    }

    /// The filter for values of this form: of a user, or of anybody.
    pub(crate) fn filter(&self, attribute: &str, user: Value<'_>) -> String {
        let parts = |parts: &[String]| {
            let escaped: Vec<_> = parts.iter().map(|it| ldap_escape(it.as_str())).collect();
            escaped.join("*")
        };
        let user = match user {
            Value::Text(user) if self.is_dn => ldap_escape(ldap3::dn_escape(user).into_owned()),
            Value::Text(user) => ldap_escape(user),
            Value::Any | Value::Nothing => "*".into(),
        };
        let mut value = format!("{}{user}{}", parts(&self.before), parts(&self.after));
        // Stars beside one another are no filter; those of a text are escaped.
        while value.contains("**") {
            value = value.replace("**", "*");
        }
        format!("({attribute}={value})")
    }

    /// The user's name in a value of this form: the shortest that fits.
    pub(crate) fn user(&self, value: &str) -> Option<String> {
        if value.len() > MAX_VALUE {
            return None;
        }
        let edges = || value.char_indices().map(|(at, _)| at).chain([value.len()]);
        let starts = edges().filter(|at| matches(&self.before, &value[..*at]));
        for start in starts {
            let ends = edges().filter(|at| *at > start && matches(&self.after, &value[*at..]));
            for end in ends {
                let found = &value[start..end];
                let found = match self.is_dn {
                    true => unescaped(found),
                    false => Some(found.to_owned()),
                };
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }
}

/// Whether a text has these parts, with anything between them. Letters of either case are the same: names of attributes
/// and domains are.
fn matches(parts: &[String], text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let mut rest = text.as_str();
    let Some((first, others)) = parts.split_first() else {
        return rest.is_empty();
    };
    let Some(behind) = rest.strip_prefix(first.to_ascii_lowercase().as_str()) else {
        return false;
    };
    rest = behind;
    let Some((last, between)) = others.split_last() else {
        return rest.is_empty();
    };
    for part in between {
        let Some(at) = rest.find(&part.to_ascii_lowercase()) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last.to_ascii_lowercase().as_str())
}

/// A value in a name as it is (RFC 4514 §3); `None`: it is no whole value.
fn unescaped(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                let first = bytes.next()?;
                match char::from(first).to_digit(16) {
                    Some(high) => {
                        let low = char::from(bytes.next()?).to_digit(16)?;
                        out.push(u8::try_from(high * 16 + low).ok()?);
                    }
                    None => out.push(first),
                }
            }
            b',' | b'+' | b'"' | b';' | b'<' | b'>' => return None,
            other => out.push(other),
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests;
