//! Replies: from an answer to a response. What went wrong is a problem (RFC 9457) with a word that programs can read.

use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    body::Bytes,
    header::{self, HeaderName, HeaderValue},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{document, route::encoded};
use crate::admin::{self, Request, Why, operations::Operation};

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";
/// When to come again, in seconds, while something does not answer.
const AGAIN: u64 = 5;
/// The same for who has shown too many wrong tokens: one is forgiven in that time.
const AGAIN_WITH_TOKEN: u64 = 60;

/// What was asked, as far as the answer needs it.
pub(super) struct Asked {
    limit: usize,
    location: Option<String>,
}

impl Asked {
    pub(super) fn of(request: &Request) -> Self {
        match request {
            Request::List { limit, .. } => Self {
                limit: (*limit).clamp(1, admin::MAX_PAGE),
                location: None,
            },
            Request::Add { account, .. } => Self {
                limit: 0,
                location: Some(format!("{}/accounts/{}", document::BASE, encoded(account))),
            },
            _ => Self {
                limit: 0,
                location: None,
            },
        }
    }
}

/// The response to an operation.
pub(super) fn of(
    operation: &Operation,
    asked: &Asked,
    answer: admin::Response,
) -> Result<Response<Full<Bytes>>, Problem> {
    let body = match answer {
        admin::Response::Refused { why, reason, field } => {
            return Err(Problem::refused(why, reason, field));
        }
        admin::Response::Done => None,
        admin::Response::Ended(sessions) => Some(json!({ "sessions": sessions })),
        admin::Response::Users(users) => {
            let last = users.last().filter(|_| users.len() >= asked.limit);
            let next = last.map(|user| user.name.clone());
            Some(json!({ "items": users, "next": next }))
        }
        answer => Some(inside(&answer)?),
    };
    let status = operation.http.map_or(200, |http| http.status);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let mut response = match body {
        Some(body) => response(status, JSON, body.to_string()),
        None => response(status, JSON, String::new()),
    };
    if let Some(Ok(location)) = asked.location.as_ref().map(|it| it.parse::<HeaderValue>()) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// The value of a variant, which is written with its name before it.
fn inside(answer: &admin::Response) -> Result<Value, Problem> {
    match serde_json::to_value(answer) {
        Ok(Value::Object(mut named)) if named.len() == 1 => {
            let first = named.keys().next().cloned().unwrap_or_default();
            named.remove(&first).ok_or_else(Problem::broken)
        }
        _ => Err(Problem::broken()),
    }
}

/// The OpenAPI document.
pub(super) fn document() -> Response<Full<Bytes>> {
    response(StatusCode::OK, JSON, document::text())
}

/// A response that nothing keeps, and that a browser takes for nothing else.
pub(super) fn response(
    status: StatusCode,
    kind: &'static str,
    text: String,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let said: [(HeaderName, &'static str); 5] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in said {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if status != StatusCode::NO_CONTENT {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'",
        ));
    response
}

/// What went wrong.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    status: u16,
    title: &'static str,
    /// A word that programs can read.
    code: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The words of [`Problem::code`].
pub(super) const CODES: [&str; 18] = [
    "invalid",
    "no_token",
    "wrong_token",
    "denied",
    "absent",
    "method",
    "late",
    "exists",
    "elsewhere",
    "alone",
    "busy",
    "too_large",
    "not_json",
    "too_often",
    "broken",
    "store",
    "not_running",
    "unavailable",
];

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or("Error"),
            code,
            detail: detail.into(),
            field: None,
            headers: Vec::new(),
        }
    }

    fn with(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.push((name, value));
        }
        self
    }

    fn again(self, seconds: u64) -> Self {
        self.with(header::RETRY_AFTER, seconds.to_string())
    }

    fn refused(why: Why, reason: String, field: Option<String>) -> Self {
        let status = match why {
            Why::Invalid => StatusCode::BAD_REQUEST,
            Why::Denied => StatusCode::FORBIDDEN,
            Why::Absent => StatusCode::NOT_FOUND,
            Why::Exists | Why::Elsewhere | Why::Alone | Why::Busy => StatusCode::CONFLICT,
            Why::Store | Why::NotRunning => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut problem = Self::new(status, why.as_str(), reason);
        problem.field = field;
        match status {
            StatusCode::SERVICE_UNAVAILABLE => problem.again(AGAIN),
            StatusCode::FORBIDDEN => problem.with(
                header::WWW_AUTHENTICATE,
                "Bearer realm=\"starling\", error=\"insufficient_scope\"",
            ),
            _ => problem,
        }
    }

    /// One field makes no sense.
    pub(super) fn field(name: &str, reason: &str) -> Self {
        let mut problem = Self::new(
            StatusCode::BAD_REQUEST,
            "invalid",
            format!("{name}: {reason}"),
        );
        problem.field = Some(name.to_owned());
        problem
    }

    /// All of it makes no sense.
    pub(super) fn wrong(reason: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", reason)
    }

    pub(super) fn no_token() -> Self {
        let detail =
            "show a token: Authorization: Bearer starling_...; `starling token create` makes one";
        Self::new(StatusCode::UNAUTHORIZED, "no_token", detail)
            .with(header::WWW_AUTHENTICATE, "Bearer realm=\"starling\"")
    }

    pub(super) fn wrong_token() -> Self {
        let detail = "the token is none, was revoked, or is over";
        Self::new(StatusCode::UNAUTHORIZED, "wrong_token", detail).with(
            header::WWW_AUTHENTICATE,
            "Bearer realm=\"starling\", error=\"invalid_token\"",
        )
    }

    pub(super) fn too_often() -> Self {
        let detail = "too many wrong tokens came from this address";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_often", detail).again(AGAIN_WITH_TOKEN)
    }

    pub(super) fn nothing(path: &str) -> Self {
        let detail = format!("there is nothing at {path}");
        Self::new(StatusCode::NOT_FOUND, "absent", detail)
    }

    pub(super) fn method(allowed: &str) -> Self {
        let detail = format!("only {allowed}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail).with(header::ALLOW, allowed)
    }

    pub(super) fn too_large(most: usize) -> Self {
        let detail = format!("a body has up to {most} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    }

    pub(super) fn late() -> Self {
        let detail = "the body did not come in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "late", detail)
    }

    pub(super) fn not_json() -> Self {
        let detail = "a body is sent as application/json";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", detail)
    }

    pub(super) fn busy() -> Self {
        Self::unavailable("too much is asked at once")
    }

    pub(super) fn unavailable(reason: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", reason).again(AGAIN)
    }

    pub(super) fn broken() -> Self {
        let detail = "that should not happen; the node's log may say why";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "broken", detail)
    }
}

impl From<Problem> for Response<Full<Bytes>> {
    fn from(problem: Problem) -> Self {
        let status = StatusCode::from_u16(problem.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let text = serde_json::to_string(&problem).unwrap_or_default();
        let mut response = response(status, PROBLEM, text);
        response.headers_mut().extend(problem.headers);
        response
    }
}
