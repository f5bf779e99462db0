//! `starling audit`: what was changed by whom; through the socket of the node that runs, else on its store.

use xmpp::payload::delay::stamp;

use super::{Failure, SourceArgs, answer, asked::Asked, load};
use crate::{
    admin::{
        MAX_PAGE, Request, Response,
        answers::{AuditLine, Page},
    },
    config::Overrides,
};

pub(super) fn run(limit: usize, json: bool, source: &SourceArgs) -> Result<(), Failure> {
    let config = load(source, Overrides::default())?.config;
    let mut asked = Asked::new(&config)?;
    let (mut left, mut before) = (limit, None);
    while left > 0 {
        let request = Request::Audit {
            before,
            limit: left.min(MAX_PAGE),
        };
        let Response::Audit(Page { items, next }) = asked.ask(request)? else {
            return Ok(());
        };
        for item in &items {
            answer(&match json {
                true => serde_json::to_string(item).unwrap_or_default(),
                false => line(item),
            });
        }
        left = left.saturating_sub(items.len());
        before = next.and_then(|next| next.parse().ok());
        if before.is_none() {
            return Ok(());
        }
    }
    Ok(())
}

fn line(line: &AuditLine) -> String {
    let at = stamp(i64::try_from(line.at_ms).unwrap_or(i64::MAX));
    let who = match &line.peer {
        Some(peer) => format!("{} ({peer})", line.who),
        None => line.who.clone(),
    };
    let target = line.target.as_deref().unwrap_or("-");
    let (operation, outcome) = (&line.operation, &line.outcome);
    let [who, target] = [&who, target].map(in_its_line);
    format!("{at}\t{who}\t{operation}\t{target}\t{outcome}")
}

/// What callers sent makes no line of its own, and does nothing to a terminal.
fn in_its_line(text: &str) -> String {
    let escaped = |c: char| match c.is_control() {
        true => c.escape_default().collect::<String>(),
        false => c.into(),
    };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callers_sent_stays_in_its_line() {
        let entry = AuditLine {
            number: 7,
            at_ms: 0,
            who: "token 1 \"ops\"".to_owned(),
            peer: None,
            node: None,
            operation: "add".to_owned(),
            target: Some("x\n1970\tsocket\u{1b}[31m d'Artagnan".to_owned()),
            outcome: "invalid".to_owned(),
        };
        let line = line(&entry);
        assert!(!line.contains(['\n', '\u{1b}']), "{line}");
        assert!(line.ends_with("\tx\\n1970\\tsocket\\u{1b}[31m d'Artagnan\tinvalid"));
        assert_eq!(line.matches('\t').count(), 4, "{line}");
    }
}
