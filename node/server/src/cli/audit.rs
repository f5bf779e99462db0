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
    format!("{at}\t{who}\t{operation}\t{target}\t{outcome}")
}
