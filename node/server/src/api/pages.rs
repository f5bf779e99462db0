//! The console: a page and its scripts, compiled in. It has nothing that the API does not tell who shows a token.

use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    body::Bytes,
    header::{self, HeaderValue},
};

use super::reply::response;

/// What a browser may do with it: its own scripts and styles, its own API, nothing else; no markup is made of text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

/// Name behind `/console/`, kind, text.
const FILES: &[(&str, &str, &str)] = &[
    ("", HTML, include_str!("console/index.html")),
    ("style.css", STYLE, include_str!("console/style.css")),
    ("icon.svg", PICTURE, include_str!("console/icon.svg")),
    ("main.js", SCRIPT, include_str!("console/main.js")),
    ("api.js", SCRIPT, include_str!("console/api.js")),
    ("dom.js", SCRIPT, include_str!("console/dom.js")),
    ("cluster.js", SCRIPT, include_str!("console/cluster.js")),
    ("accounts.js", SCRIPT, include_str!("console/accounts.js")),
    ("rooms.js", SCRIPT, include_str!("console/rooms.js")),
    ("metrics.js", SCRIPT, include_str!("console/metrics.js")),
    ("audit.js", SCRIPT, include_str!("console/audit.js")),
];

/// The page at a path; `None`: there is none.
pub(super) fn page(path: &str) -> Option<Response<Full<Bytes>>> {
    if matches!(path, "/" | "/console") {
        let mut moved = response(StatusCode::SEE_OTHER, HTML, String::new());
        let there = HeaderValue::from_static("/console/");
        moved.headers_mut().insert(header::LOCATION, there);
        return Some(moved);
    }
    let name = path.strip_prefix("/console/")?;
    let (_, kind, text) = FILES.iter().find(|(it, ..)| *it == name)?;
    let mut page = response(StatusCode::OK, kind, (*text).to_owned());
    page.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    Some(page)
}
