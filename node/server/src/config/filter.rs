//! `log.filter`: levels and targets that there are. What is neither would silence the log or change nothing, silently.

use super::{
    raw::Node,
    reader::{Wrong, text},
    values::nearest,
};

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// What targets begin with: our crates, and those of others that log.
const TARGETS: [&str; 11] = [
    "starling",
    "storage",
    "xmpp",
    "cluster",
    "discovery",
    "rustls",
    "hyper",
    "hyper_util",
    "tokio",
    "mio",
    "log",
];

/// Reads it.
pub(super) fn filter(node: &Node) -> Result<String, Wrong> {
    let written = text(node)?;
    if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&written) {
        let remedy =
            "write a level (error, warn, info, debug) or targets such as starling::c2s=debug";
        let wrong = format!("\"{written}\" is no filter ({error})");
        return Err(Wrong::new(wrong, remedy));
    }
    directives(&written).try_for_each(known)?;
    Ok(written)
}

/// The parts between commas; what stands in brackets holds together.
fn directives(filter: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    let split = move |c: char| {
        depth += i32::from(matches!(c, '[' | '{')) - i32::from(matches!(c, ']' | '}'));
        c == ',' && depth <= 0
    };
    filter
        .split(split)
        .map(str::trim)
        .filter(|it| !it.is_empty())
}

fn known(directive: &str) -> Result<(), Wrong> {
    let end = directive.find(['[', '=']).unwrap_or(directive.len());
    let (target, rest) = directive.split_at(end);
    let is_level = |word: &str| {
        let numbered = word.parse().is_ok_and(|level: u8| level <= 5);
        numbered || LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word))
    };
    let first = target.split("::").next().unwrap_or_default();
    // Spans of any target.
    let anywhere = target.is_empty() && rest.starts_with('[');
    if anywhere || TARGETS.contains(&first) || rest.is_empty() && is_level(target) {
        return Ok(());
    }
    let levels = LEVELS.into_iter().filter(|_| rest.is_empty());
    let remedy = match nearest(first, levels.chain(TARGETS)) {
        Some(name) => format!("did you mean {name}?"),
        None => format!(
            "write one of {}, or a target such as starling::c2s=debug",
            LEVELS.join(", ")
        ),
    };
    Err(Wrong::new(
        format!("\"{target}\" is no level and no target"),
        remedy,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_names_levels_and_targets() {
        let check = |filter: &str, good: bool| {
            assert_eq!(
                directives(filter).try_for_each(known).is_ok(),
                good,
                "{filter}"
            );
        };
        for good in [
            "info",
            "WARN",
            "off",
            "3",
            "info,starling::c2s=debug",
            "starling",
            "starling::c2s[connection{peer=a,jid=b}]=trace,info",
            "[connection]=debug",
            "warn, rustls=error",
            "",
        ] {
            check(good, true);
        }
        for wrong in [
            "inf",
            "info,c2s=debug",
            "6",
            "starlin=debug",
            "info,verbose",
        ] {
            check(wrong, false);
        }
    }
}
