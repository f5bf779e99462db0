//! Record: some of what went over the wire, of every kind.

use std::collections::HashMap;

use parking_lot::Mutex;
use serde_json::Value;

use crate::reply::{Asked, Reply};

/// Exchanges of one method, kind of path and status that are recorded.
const MAX_RECORDED: usize = 25;

/// What went over the wire.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// As JSON: `method`, `path`, `query`, `headers`, `body`, `status`, `answer`.
    pub json: Value,
    /// The status.
    pub status: u16,
}

/// Exchanges by method and kind of path, and by status.
#[derive(Default)]
pub(crate) struct Recorded(Mutex<HashMap<(String, u16), Vec<Exchange>>>);

impl Recorded {
    pub(crate) fn all(&self) -> Vec<Exchange> {
        self.0.lock().values().flatten().cloned().collect()
    }

    pub(crate) fn add(&self, asked: &Asked, path: &str, reply: &Reply) {
        let kind = |(at, segment): (usize, &String)| match at {
            1 | 3 => "*".to_owned(),
            _ => segment.clone(),
        };
        let kinds: Vec<_> = asked.path.iter().enumerate().map(kind).collect();
        let kind = format!("{} {}", asked.method, kinds.join("/"));
        let status = reply.status.as_u16();
        let mut recorded = self.0.lock();
        let known = recorded.entry((kind, status)).or_default();
        if known.len() == MAX_RECORDED {
            return;
        }
        let headers = asked.headers.iter();
        let headers =
            headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        known.push(Exchange {
            json: serde_json::json!({
                "method": asked.method.as_str(),
                "path": path,
                "query": asked.query,
                "headers": headers.collect::<HashMap<_, _>>(),
                "body": String::from_utf8_lossy(&asked.body),
                "status": status,
                "answer": reply.body,
            }),
            status,
        });
    }
}
