//! Does what came match what was expected?
//!
//! Strict, but for what the standards leave to the server; each exception is named below. `{...}` among the children
//! permits others, `<test:absent>` forbids what it holds, `<test:optional>` permits it; the attribute value `{none}`
//! demands that the attribute is not there, `{maybe}` leaves it free,
//! `{yes}` and `{no}` are XML's booleans, an absent one being no. Children match in any order: nothing in XMPP gives their order a meaning.

use anyhow::Result;

use super::template::{self, Values};
use crate::xml::{TEST_NS, Tree};

/// Why something does not match.
pub type Mismatch = String;

/// Compares; returns the values with what free names met.
///
/// # Errors
/// If a function in the pattern cannot be computed. What does not match is the inner error.
pub fn compare(pattern: &Tree, got: &Tree, values: &Values) -> Result<Result<Values, Mismatch>> {
    element(pattern, got, values, true)
}

fn element(
    pattern: &Tree,
    got: &Tree,
    values: &Values,
    top: bool,
) -> Result<Result<Values, Mismatch>> {
    if (&pattern.ns, &pattern.name) != (&got.ns, &got.name) {
        return Ok(Err(format!(
            "expected <{} xmlns='{}'>, got <{} xmlns='{}'>",
            pattern.name, pattern.ns, got.name, got.ns
        )));
    }
    let values = match attributes(pattern, got, values, top)? {
        Ok(values) => values,
        Err(mismatch) => return Ok(Err(mismatch)),
    };
    children(pattern, got, &values, top)
}

fn attributes(
    pattern: &Tree,
    got: &Tree,
    values: &Values,
    top: bool,
) -> Result<Result<Values, Mismatch>> {
    let mut values = values.clone();
    for (name, expected) in &pattern.attrs {
        let value = got.attr(name);
        let fits = match (expected.as_str(), value) {
            ("{maybe}", _) => Some(values.clone()),
            ("{no}", found) => found
                .is_none_or(|value| value == "false" || value == "0")
                .then(|| values.clone()),
            ("{none}", found) => found.is_none().then(|| values.clone()),
            ("{yes}", found) => found
                .is_some_and(|value| value == "true" || value == "1")
                .then(|| values.clone()),
            (expected, Some(value)) => template::matches(expected, value, &values)?,
            (_, None) => None,
        };
        match fits {
            Some(bound) => values = bound,
            None => {
                let wanted = template::fill(expected, &values).unwrap_or_else(|_| expected.clone());
                return Ok(Err(format!(
                    "<{}>: {name} is {value:?}, expected {wanted:?}",
                    got.name
                )));
            }
        }
    }
    let extra = got
        .attrs
        .keys()
        .find(|name| !pattern.attrs.contains_key(*name) && !attribute_may_be_added(got, name, top));
    Ok(match extra {
        Some(name) => Err(format!("<{}>: unexpected attribute {name}", got.name)),
        None => Ok(values),
    })
}

/// Attributes that need not be written in a pattern.
fn attribute_may_be_added(got: &Tree, name: &str, top: bool) -> bool {
    match name {
        // RFC 6120 §4.7.4: the language may be stamped.
        "{http://www.w3.org/XML/1998/namespace}lang" => true,
        // RFC 6120 §8.1: addresses and ids of stanzas are tested where a script names them.
        "to" | "from" | "id" if top && (is_stanza(got) || got.name == "stream") => true,
        "version" => top && got.name == "stream",
        // XEP-0203 §2: who delayed it may be told.
        "from" if got.is("delay", "urn:xmpp:delay") => true,
        // RFC 6120 §8.3.2 permits `by`; `code` is what it was before RFC 3920.
        "by" | "code" => got.name == "error",
        _ => false,
    }
}

fn is_stanza(tree: &Tree) -> bool {
    tree.ns == "jabber:client" && matches!(tree.name.as_str(), "message" | "presence" | "iq")
}

fn children(
    pattern: &Tree,
    got: &Tree,
    values: &Values,
    top: bool,
) -> Result<Result<Values, Mismatch>> {
    let rest = pattern.text().trim() == "{...}"
        || (pattern.children.len() > 1 && pattern.text().contains("{...}"));
    let expected: Vec<&Tree> = pattern
        .elements()
        .filter(|child| child.ns != TEST_NS)
        .collect();
    let mut remaining: Vec<&Tree> = got.elements().collect();
    for forbidden in marked(pattern, "absent") {
        for child in &remaining {
            if element(forbidden, child, values, false)?.is_ok() {
                return Ok(Err(format!("<{}>: {child} should be absent", got.name)));
            }
        }
    }
    let mut values = match assign(&expected, &remaining, values)? {
        Ok((values, left)) => {
            remaining = left;
            values
        }
        Err(mismatch) => return Ok(Err(format!("<{}>: {mismatch}", got.name))),
    };
    for optional in marked(pattern, "optional") {
        for index in 0..remaining.len() {
            if let Ok(bound) = element(optional, remaining[index], &values, false)? {
                values = bound;
                remaining.remove(index);
                break;
            }
        }
    }
    if !rest
        && let Some(child) = remaining
            .iter()
            .find(|child| !child_may_be_added(got, child, top))
    {
        return Ok(Err(format!("<{}>: unexpected {child}", got.name)));
    }
    if rest || !expected.is_empty() || pattern.elements().next().is_some() {
        return Ok(Ok(values));
    }
    let (wanted, text) = (pattern.text(), got.text());
    let text = if wanted.is_empty() {
        text.trim()
    } else {
        &text
    };
    Ok(template::matches(&wanted, text, &values)?
        .ok_or_else(|| format!("<{}>: the text is {text:?}, expected {wanted:?}", got.name)))
}

fn marked<'a>(pattern: &'a Tree, mark: &'a str) -> impl Iterator<Item = &'a Tree> {
    pattern
        .elements()
        .filter(move |child| child.is(mark, TEST_NS))
        .flat_map(Tree::elements)
}

/// Children that need not be written in a pattern.
fn child_may_be_added(parent: &Tree, child: &Tree, top: bool) -> bool {
    match parent.name.as_str() {
        // RFC 6120 §8.3.1: an error may carry what it answers.
        _ if top && is_stanza(parent) && parent.attr("type") == Some("error") => {
            child.name != "error"
        }
        // XEP-0359: any server may stamp an id.
        "message" => {
            child.is("stanza-id", "urn:xmpp:sid:0") || child.is("archived", "urn:xmpp:mam:tmp")
        }
        // XEP-0203 §4, XEP-0153 §4.2 (XEP-0398 lets a server add the hash).
        "presence" => child.is("delay", "urn:xmpp:delay") || child.is("x", "vcard-temp:x:update"),
        // RFC 6120 §4.9.2, §6.5, §8.3.2: text for humans.
        "error" | "failure" => child.name == "text",
        _ => false,
    }
}

type Assigned<'a> = (Values, Vec<&'a Tree>);

/// Gives each expected child one of the remaining ones, going back where a choice proves wrong.
fn assign<'a>(
    expected: &[&Tree],
    remaining: &[&'a Tree],
    values: &Values,
) -> Result<Result<Assigned<'a>, Mismatch>> {
    let Some((first, rest)) = expected.split_first() else {
        return Ok(Ok((values.clone(), remaining.to_vec())));
    };
    let mut reason = None;
    for (index, candidate) in remaining.iter().enumerate() {
        match element(first, candidate, values, false)? {
            Ok(bound) => {
                let mut left = remaining.to_vec();
                left.remove(index);
                match assign(rest, &left, &bound)? {
                    Ok(found) => return Ok(Ok(found)),
                    Err(mismatch) => reason = Some(mismatch),
                }
            }
            Err(mismatch) => {
                if candidate.name == first.name && reason.is_none() {
                    reason = Some(mismatch);
                }
            }
        }
    }
    Ok(Err(reason.unwrap_or_else(|| format!("no {first}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, got: &str, expected: bool) {
        let (pattern_tree, got_tree) = (
            Tree::parse_all(pattern).unwrap(),
            Tree::parse_all(got).unwrap(),
        );
        let outcome = compare(&pattern_tree[0], &got_tree[0], &Values::new()).unwrap();
        assert_eq!(
            outcome.is_ok(),
            expected,
            "{pattern} against {got}: {outcome:?}"
        );
    }

    #[test]
    fn elements_match() {
        check("<a/>", "<a/>", true);
        check("<a/>", "<b/>", false);
        check("<a/>", "<a xmlns='other'/>", false);
        check("<a x='1'/>", "<a x='1'/>", true);
        check("<a x='1'/>", "<a x='2'/>", false);
        check("<a x='1'/>", "<a/>", false);
        check("<a/>", "<a x='1'/>", false);
        check("<a x='{none}'/>", "<a/>", true);
        check(
            "<message x='{none}' from='{none}'/>",
            "<message from='a'/>",
            false,
        );
        check("<a>t</a>", "<a>t</a>", true);
        check("<a>t</a>", "<a>u</a>", false);
        check("<a/>", "<a>t</a>", false);
        check("<a><b/><c/></a>", "<a><c/><b/></a>", true);
        check("<a><b/></a>", "<a><b/><c/></a>", false);
        check("<a><b/>{...}</a>", "<a><b/><c/></a>", true);
        check("<a>{...}</a>", "<a><b/>text</a>", true);
        check(
            "<a><b i='{x}'/><c i='{x}'/></a>",
            "<a><b i='1'/><b i='2'/><c i='2'/></a>",
            false,
        );
        check(
            "<a><b i='{x}'/><b i='{y}'/><c i='{x}'/></a>",
            "<a><b i='1'/><b i='2'/><c i='2'/></a>",
            true,
        );
        check(
            "<a>{...}<test:absent><b/></test:absent></a>",
            "<a><c/></a>",
            true,
        );
        check(
            "<a>{...}<test:absent><b/></test:absent></a>",
            "<a><b/><c/></a>",
            false,
        );
        check(
            "<a><test:optional><b/></test:optional></a>",
            "<a><b/></a>",
            true,
        );
        check("<a><test:optional><b/></test:optional></a>", "<a/>", true);
        check(
            "<a><test:optional><b/></test:optional></a>",
            "<a><c/></a>",
            false,
        );
    }

    #[test]
    fn what_servers_may_add_is_forgiven() {
        check(
            "<message/>",
            "<message from='a' to='b' id='c' xml:lang='en'/>",
            true,
        );
        check(
            "<message/>",
            "<message><stanza-id xmlns='urn:xmpp:sid:0'/></message>",
            true,
        );
        check("<message/>", "<message type='chat'/>", false);
        check(
            "<iq type='error'><error type='cancel'/></iq>",
            "<iq type='error'><q/><error type='cancel'/></iq>",
            true,
        );
        check(
            "<iq type='error'><error type='cancel'/></iq>",
            "<iq type='error'><error type='wait'/></iq>",
            false,
        );
        check("<iq type='result'/>", "<iq type='result'><q/></iq>", false);
    }
}
