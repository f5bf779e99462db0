//! The API: administration over HTTP under `/api/v1`, and a console that uses it.
//!
//! Source: RFC 9110 (HTTP), RFC 6750 (bearer tokens), RFC 9457 (problems), OpenAPI 3.1.
//! Why here: what can be asked for, by whom, and what is answered is the table `admin::operations`; here are its paths, who
//! may come in, and how an answer is written. Who has no good token learns nothing but the document and the console, which
//! are the same everywhere.
//!
//! | file | what |
//! |---|---|
//! | `door` | connections, TLS, their limits |
//! | `gate` | tokens, and how often a wrong one may be shown |
//! | `route` | from a path, a query and a body to a request |
//! | `reply` | from an answer to a response |
//! | `document` | the OpenAPI document |
//! | `pages` | the console |

pub mod document;
pub mod door;
mod gate;
mod pages;
mod reply;
mod route;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response,
    body::{Body, Bytes},
    header,
};
use tokio::{sync::Semaphore, time::timeout};
use zeroize::Zeroizing;

use self::{
    gate::Gate,
    reply::Problem,
    route::{Asked, Found},
};
use crate::admin::{Administrator, Caller};

/// Requests that are done at a time.
const MAX_REQUESTS: usize = 16;
/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest body, in bytes.
const MAX_BODY: usize = 64 << 10;
/// Time for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What answers.
pub struct Api {
    administrator: Arc<Administrator>,
    gate: Gate,
    turns: Semaphore,
    console: bool,
}

impl Api {
    /// Over this administrator; with or without the console.
    pub fn new(administrator: Administrator, console: bool) -> Self {
        Self {
            gate: Gate::new(administrator.operators.clone()),
            administrator: Arc::new(administrator),
            turns: Semaphore::new(MAX_REQUESTS),
            console,
        }
    }

    /// Answers.
    async fn answer<B>(&self, request: Request<B>, peer: IpAddr) -> Response<Full<Bytes>>
    where
        B: Body + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let path = request.uri().path().to_owned();
        let Some(inside) = path.strip_prefix(document::BASE) else {
            return self.page(request.method(), &path);
        };
        if inside == "/openapi.json" {
            return match *request.method() {
                Method::GET | Method::HEAD => reply::document(),
                _ => Problem::method("GET, HEAD").into(),
            };
        }
        match self.operate(request, inside, peer).await {
            Ok(response) => response,
            Err(problem) => problem.into(),
        }
    }

    async fn operate<B>(
        &self,
        request: Request<B>,
        path: &str,
        peer: IpAddr,
    ) -> Result<Response<Full<Bytes>>, Problem>
    where
        B: Body + Send,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        // Who may not come in is not told what there is.
        let who = self.gate.open(request.headers(), peer).await?;
        let (operation, segments) = match route::find(request.method().as_str(), path) {
            Found::Operation(operation, segments) => (operation, segments),
            Found::Other(allowed) => return Err(Problem::method(&allowed)),
            Found::Nothing => return Err(Problem::nothing(path)),
        };
        let query = request.uri().query().unwrap_or_default().to_owned();
        let is_json = is_json(request.headers());
        let body = body(request).await?;
        // Not while a client is slow to say what it wants: others would wait for it.
        let turn = timeout(PATIENCE, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(Problem::busy());
        };
        let asked = Asked {
            segments: &segments,
            query: &query,
            body: &body,
            is_json,
        };
        let wanted = asked.request(operation)?;
        let caller = Caller {
            who,
            peer: Some(peer),
        };
        let told = reply::Asked::of(&wanted);
        let administrator = self.administrator.clone();
        // What was begun is finished, and written down, though the client goes away.
        let done = tokio::spawn(async move { administrator.ask(&caller, wanted).await });
        let response = done.await.map_err(|_| Problem::broken())?;
        reply::of(operation, &told, response)
    }

    fn page(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Problem::method("GET, HEAD").into();
        }
        let found = self.console.then(|| pages::page(path)).flatten();
        found.unwrap_or_else(|| Problem::nothing(path).into())
    }
}

fn is_json(headers: &hyper::HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// What was sent; it may hold a password.
async fn body<B>(request: Request<B>) -> Result<Zeroizing<Vec<u8>>, Problem>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let read = Limited::new(request.into_body(), MAX_BODY).collect();
    match timeout(BODY_TIMEOUT, read).await {
        Ok(Ok(body)) => Ok(Zeroizing::new(body.to_bytes().to_vec())),
        Ok(Err(_)) => Err(Problem::too_large(MAX_BODY)),
        Err(_) => Err(Problem::late()),
    }
}
