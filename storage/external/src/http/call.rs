//! Calls: what is asked for.

use std::fmt::Write as _;

use bytes::Bytes;
use hyper::Method;
use serde::Serialize;

/// What must be so for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    None,
    /// Nothing is there.
    Absent,
    /// What is there has this version.
    Version(u64),
}

impl Condition {
    /// By the version that was seen; 0 is nothing.
    pub(super) fn seen(version: u64) -> Self {
        match version {
            0 => Self::Absent,
            version => Self::Version(version),
        }
    }
}

/// A request.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) condition: Condition,
    pub(super) body: Bytes,
    /// It changes something: what was not answered may have been done.
    pub(super) writes: bool,
}

impl Call {
    pub(super) fn new(method: Method, segments: &[&str]) -> Self {
        let mut path = String::new();
        for segment in segments {
            path.push('/');
            encode(&mut path, segment);
        }
        Self {
            writes: method != Method::GET,
            method,
            path,
            condition: Condition::None,
            body: Bytes::new(),
        }
    }

    pub(super) fn get(segments: &[&str]) -> Self {
        Self::new(Method::GET, segments)
    }

    pub(super) fn with_query(mut self, name: &str, value: impl ToString) -> Self {
        self.path
            .push(if self.path.contains('?') { '&' } else { '?' });
        self.path.push_str(name);
        self.path.push('=');
        encode(&mut self.path, &value.to_string());
        self
    }

    /// Whatever its method is, it changes nothing.
    pub(super) fn that_only_asks(mut self) -> Self {
        self.writes = false;
        self
    }

    pub(super) fn if_seen(mut self, condition: Condition) -> Self {
        self.condition = condition;
        self
    }

    pub(super) fn with_body(mut self, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("plain values are JSON");
        self.body = body.into();
        self
    }
}

/// As a segment of a path or a value of a query (RFC 3986 §2.1).
fn encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_encoded() {
        let check = |segments: &[&str], expected: &str| {
            assert_eq!(Call::get(segments).path, expected);
        };
        check(&["accounts", "a@b"], "/accounts/a%40b");
        check(
            &["accounts", "a/../?#%\\é@b"],
            "/accounts/a%2F..%2F%3F%23%25%5C%C3%A9%40b",
        );
        let call = Call::get(&["x"])
            .with_query("after", "a&b")
            .with_query("limit", 7);
        assert_eq!(call.path, "/x?after=a%26b&limit=7");
    }
}
