//! Text with holes: filled before it is sent, matched against what is received.
//!
//! A hole is `{name}`, `{function argument ...}` or one of the classes `{any}`, `{number}`, `{utc}`. A name that has no
//! value yet takes the text that it meets.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};

use crate::credentials::{self, Hash};
use crate::xml::{STREAM_NS, escaped};

/// What the names of a script stand for.
pub type Values = BTreeMap<String, String>;

#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Hole(&'a str),
}

fn parts(template: &str) -> Vec<Part<'_>> {
    let mut found = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((hole, after)) = after.split_once('}') else {
            break;
        };
        if !before.is_empty() {
            found.push(Part::Text(before));
        }
        found.push(Part::Hole(hole));
        rest = after;
    }
    if !rest.is_empty() {
        found.push(Part::Text(rest));
    }
    found
}

/// Fills a template that is to be sent; values are escaped for XML.
///
/// # Errors
/// If a name has no value or a function cannot be computed.
pub fn fill(template: &str, values: &Values) -> Result<String> {
    let mut out = String::new();
    for part in parts(template) {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Hole("header") => out.push_str(&header(values)),
            Part::Hole(hole) => {
                let value = evaluate(hole, values)?
                    .with_context(|| format!("{{{hole}}} has no value yet"))?;
                out.push_str(&escaped(&value));
            }
        }
    }
    Ok(out)
}

fn header(values: &Values) -> String {
    let domain = values.get("domain").map_or("", String::as_str);
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='{STREAM_NS}' to='{domain}' version='1.0'>"
    )
}

/// Matches text; returns the values with what the template's free names met.
///
/// # Errors
/// If a function cannot be computed.
pub fn matches(template: &str, text: &str, values: &Values) -> Result<Option<Values>> {
    match_parts(&parts(template), text, values)
}

fn match_parts(parts: &[Part<'_>], text: &str, values: &Values) -> Result<Option<Values>> {
    let Some((first, rest)) = parts.split_first() else {
        return Ok(text.is_empty().then(|| values.clone()));
    };
    let hole = match first {
        Part::Text(expected) => {
            return match text.strip_prefix(expected) {
                Some(text) => match_parts(rest, text, values),
                None => Ok(None),
            };
        }
        Part::Hole(hole) => *hole,
    };
    let class: Option<fn(&str) -> bool> = match hole {
        "any" => Some(|_| true),
        "number" => Some(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())),
        "utc" => Some(is_utc),
        _ => None,
    };
    if class.is_none()
        && let Some(value) = evaluate(hole, values)?
    {
        return match text.strip_prefix(value.as_str()) {
            Some(text) => match_parts(rest, text, values),
            None => Ok(None),
        };
    }
    // The hole takes as little as lets the rest match.
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    for end in ends {
        let (taken, after) = text.split_at(end);
        let mut bound = values.clone();
        match class {
            Some(accepts) if !accepts(taken) => continue,
            None if taken.is_empty() => continue,
            None => drop(bound.insert(hole.to_owned(), taken.to_owned())),
            Some(_) => {}
        }
        if let Some(found) = match_parts(rest, after, &bound)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// A date and time of XEP-0082 in UTC.
fn is_utc(text: &str) -> bool {
    let Some(text) = text
        .strip_suffix('Z')
        .or_else(|| text.strip_suffix("+00:00"))
    else {
        return false;
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let shape = |c: char| if c.is_ascii_digit() { '0' } else { c };
    whole.chars().map(shape).eq("0000-00-00T00:00:00".chars())
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

/// The value of a name or of a function; `None` for a free name.
fn evaluate(hole: &str, values: &Values) -> Result<Option<String>> {
    let words: Vec<&str> = hole.split_whitespace().collect();
    // An argument is the value of that name, or else itself.
    let value = |word: &str| values.get(word).cloned().unwrap_or_else(|| word.to_owned());
    let account = |name: &str, what: &str| {
        values
            .get(&format!("{name}.{what}"))
            .cloned()
            .with_context(|| format!("no account {name}"))
    };
    let answer = match words.as_slice() {
        ["space"] => " ".to_owned(),
        [name] => return Ok(values.get(*name).cloned()),
        ["plain", name] => {
            credentials::plain(&account(name, "local")?, &account(name, "password")?)
        }
        ["plain", name, password] => credentials::plain(&account(name, "local")?, &value(password)),
        // The account whose name is the two words joined.
        ["plain-of", one, other, password] => {
            credentials::plain(&format!("{}{}", value(one), value(other)), &value(password))
        }
        ["plain-as", authzid, name] => {
            let (user, password) = (account(name, "local")?, account(name, "password")?);
            credentials::base64(&format!("{}\0{user}\0{password}", value(authzid)))
        }
        ["scram-first", name] => credentials::scram_first(&account(name, "local")?),
        ["scram-final", mechanism, name, challenge, password @ ..] => {
            let hash = Hash::of_mechanism(mechanism)
                .with_context(|| format!("no mechanism {mechanism}"))?;
            let password = match password {
                [] => account(name, "password")?,
                words => words.join(" "),
            };
            credentials::scram_final(hash, &account(name, "local")?, &password, &value(challenge))?
                .0
        }
        ["token", name, token] => {
            credentials::hashed_token(&account(name, "local")?, &value(token))
        }
        ["base64", words @ ..] => credentials::base64(
            &words
                .iter()
                .map(|word| value(word))
                .collect::<Vec<_>>()
                .join(" "),
        ),
        ["repeat", text, count] => text.repeat(count.parse()?),
        ["sum", one, other] => {
            (value(one).parse::<i64>()? + value(other).parse::<i64>()?).to_string()
        }
        ["sha1", data] => {
            use base64::Engine as _;
            credentials::sha1_hex(&base64::engine::general_purpose::STANDARD.decode(value(data))?)
        }
        _ => bail!("unknown function {{{hole}}}"),
    };
    Ok(Some(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, text: &str, expected: Option<&str>) {
        let values = Values::from([("known".to_owned(), "abc".to_owned())]);
        let found = matches(template, text, &values).unwrap();
        let free = found
            .as_ref()
            .map(|values| values.get("free").map_or("", String::as_str));
        assert_eq!(free, expected, "{template} against {text}");
    }

    #[test]
    fn templates_match() {
        check("plain", "plain", Some(""));
        check("plain", "other", None);
        check("{known}", "abc", Some(""));
        check("{known}", "abd", None);
        check("{free}", "x", Some("x"));
        check("{free}", "", None);
        check("{any}", "", Some(""));
        check("a/{free}", "a/res", Some("res"));
        check("{free}@{known}", "al@abc", Some("al"));
        check("{free}@{any}", "al@x@y", Some("al"));
        check("{free}-{free}", "a-a", Some("a"));
        check("{free}-{free}", "a-b", None);
        check("{number}", "12", Some(""));
        check("{number}", "1x", None);
        check("{utc}", "2026-01-02T03:04:05Z", Some(""));
        check("{utc}", "2026-01-02T03:04:05.678Z", Some(""));
        check("{utc}", "20260102T03:04:05", None);
    }

    #[test]
    fn templates_are_filled() {
        let values = Values::from([
            ("a".to_owned(), "<&".to_owned()),
            ("n".to_owned(), "2".to_owned()),
        ]);
        for (template, expected) in [
            ("{a}", "&lt;&amp;"),
            ("{repeat xy 3}", "xyxyxy"),
            ("{sum n 1}", "3"),
            ("{base64 n}", "Mg=="),
        ] {
            assert_eq!(fill(template, &values).unwrap(), expected);
        }
        assert!(fill("{unknown}", &values).is_err());
    }
}
