//! Replies, and what is read of requests.

use bytes::Bytes;
use hyper::{
    HeaderMap, StatusCode,
    header::{IF_MATCH, IF_NONE_MATCH},
};
use serde_json::{Value, json};
use storage::{Error, ErrorKind};
use xmpp::BareJid;

/// A reply.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Option<Value>,
}

/// A request, read.
pub(crate) struct Asked {
    pub(crate) method: hyper::Method,
    /// Segments of the path, decoded.
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) type Answered = Result<Reply, Reply>;

impl Reply {
    pub(crate) fn ok(body: Value) -> Self {
        Self {
            status: StatusCode::OK,
            body: Some(body),
        }
    }

    pub(crate) fn created(body: Value) -> Self {
        Self {
            status: StatusCode::CREATED,
            ..Self::ok(body)
        }
    }

    pub(crate) fn nothing() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            body: None,
        }
    }

    pub(crate) fn refused(status: StatusCode, error: &str, detail: &str) -> Self {
        Self {
            status,
            body: Some(json!({ "error": error, "detail": detail })),
        }
    }

    pub(crate) fn absent() -> Self {
        Self::refused(StatusCode::NOT_FOUND, "absent", "there is no such thing")
    }

    pub(crate) fn conflict(status: StatusCode) -> Self {
        Self::refused(status, "conflict", "the condition does not hold")
    }

    pub(crate) fn bad(detail: &str) -> Self {
        Self::refused(StatusCode::BAD_REQUEST, "bad_request", detail)
    }
}

impl From<Error> for Reply {
    fn from(error: Error) -> Self {
        let (status, name) = match error.kind() {
            ErrorKind::Conflict => (StatusCode::PRECONDITION_FAILED, "conflict"),
            ErrorKind::Throttled => (StatusCode::TOO_MANY_REQUESTS, "throttled"),
            ErrorKind::NotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "not_allowed"),
            ErrorKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            ErrorKind::Unavailable | ErrorKind::Corrupt => {
                (StatusCode::INTERNAL_SERVER_ERROR, "failed")
            }
        };
        Self::refused(status, name, &error.to_string())
    }
}

impl Asked {
    pub(crate) fn json(&self) -> Result<Value, Reply> {
        serde_json::from_slice(&self.body).map_err(|error| Reply::bad(&error.to_string()))
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn wanted(&self, name: &str) -> Result<&str, Reply> {
        self.query(name).ok_or_else(|| Reply::bad(name))
    }

    pub(crate) fn number(&self, name: &str) -> Result<u64, Reply> {
        self.wanted(name)?.parse().map_err(|_| Reply::bad(name))
    }

    /// The address at this place of the path.
    pub(crate) fn jid(&self, at: usize) -> Result<BareJid, Reply> {
        let text = self.path.get(at).map(String::as_str).unwrap_or_default();
        BareJid::parse(text).map_err(|_| Reply::bad("an address"))
    }

    /// The version that was seen; 0 is nothing, `None` is no condition at all.
    pub(crate) fn seen(&self) -> Option<u64> {
        if self.headers.get(IF_NONE_MATCH).is_some_and(|it| it == "*") {
            return Some(0);
        }
        let text = self.headers.get(IF_MATCH)?.to_str().ok()?;
        text.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
    }

    /// The same where there must be one.
    pub(crate) fn must_seen(&self) -> Result<u64, Reply> {
        self.seen().ok_or_else(|| {
            Reply::refused(
                StatusCode::PRECONDITION_REQUIRED,
                "bad_request",
                "a condition",
            )
        })
    }
}

/// A text in a body.
pub(crate) fn text<'a>(body: &'a Value, name: &str) -> Result<&'a str, Reply> {
    body[name].as_str().ok_or_else(|| Reply::bad(name))
}

/// A number in a body.
pub(crate) fn number(body: &Value, name: &str) -> Result<u64, Reply> {
    body[name].as_u64().ok_or_else(|| Reply::bad(name))
}

/// A list in a body.
pub(crate) fn list<'a>(body: &'a Value, name: &str) -> Result<&'a Vec<Value>, Reply> {
    body[name].as_array().ok_or_else(|| Reply::bad(name))
}

/// Segments below `/v1`, decoded.
pub(crate) fn segments(path: &str) -> Vec<String> {
    let path = path.strip_prefix("/v1/").unwrap_or_default();
    path.split('/').map(decoded).collect()
}

pub(crate) fn pairs(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let code = behind.get(..2).filter(|_| *first == b'%');
        let code = code.and_then(|it| u8::from_str_radix(std::str::from_utf8(it).ok()?, 16).ok());
        match code {
            Some(byte) => {
                out.push(byte);
                rest = &behind[2..];
            }
            None => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
