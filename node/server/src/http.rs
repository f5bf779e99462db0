//! HTTP for operators: `/metrics`, `/live`, `/ready`, `/status`, `/status.json`; and, where that is configured, for everybody:
//! what rooms publish.
//!
//! Source: the Prometheus text format, version 0.0.4; health as Kubernetes and load balancers ask for it.
//! Why here: it stops last, so that `/ready` says why while the node drains. Meant for a private network: no TLS, no
//! accounts, and nothing that concerns a user but what rooms publish.
//! Bounds: [`MAX_CONNECTIONS`] at a time, [`HEADER_TIMEOUT`] for a request, [`LIFETIME`] for a connection. Who comes when there
//! are as many is let in for the oldest that asked nothing of what is for operators: readers of pages, however slow, keep
//! nobody from `/ready`.

use std::{
    borrow::Cow,
    collections::{BTreeSet, VecDeque},
    convert::Infallible,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use storage::repository::Pages;
use tokio::{net::TcpListener, task::AbortHandle};

use crate::{
    metrics::Metrics,
    shutdown::Stopping,
    status::{
        Look as Facts,
        page::{self, Page},
    },
};

/// Connections at a time.
pub const MAX_CONNECTIONS: usize = 64;
/// Time for the head of a request.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a connection with all of its requests.
pub const LIFETIME: Duration = Duration::from_secs(300);
/// Wait after a failed accept: the system is out of descriptors.
const BACK_OFF: Duration = Duration::from_millis(100);

const STARTING: &str = "starting";
const STOPPING: &str = "stopping";

/// Asked at each look: why a part of the node does not do its work, if it does not.
type Look = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// Whether the node may be sent clients, and why not. Begins with the reason `starting`.
#[derive(Clone)]
pub struct Health(Arc<Reasons>);

struct Reasons {
    blocked: Mutex<BTreeSet<&'static str>>,
    looks: Mutex<Vec<Look>>,
}

impl Default for Health {
    fn default() -> Self {
        Self(Arc::new(Reasons {
            blocked: Mutex::new(BTreeSet::from([STARTING])),
            looks: Mutex::default(),
        }))
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Health").field(&self.reasons()).finish()
    }
}

impl Health {
    /// The node is started.
    pub fn started(&self) {
        self.clear(STARTING);
    }

    /// The node stops.
    pub fn stopping(&self) {
        self.block(STOPPING);
    }

    /// Turns `/ready` red for a reason.
    pub fn block(&self, reason: &'static str) {
        self.0.blocked.lock().insert(reason);
    }

    /// Takes a reason back.
    pub fn clear(&self, reason: &'static str) {
        self.0.blocked.lock().remove(reason);
    }

    /// Why the node is not ready; empty: it is.
    pub fn reasons(&self) -> Vec<Cow<'static, str>> {
        let blocked = self.0.blocked.lock();
        let mut reasons: Vec<_> = blocked.iter().copied().map(Cow::Borrowed).collect();
        let looks = self.0.looks.lock();
        reasons.extend(looks.iter().filter_map(|look| look()).map(Cow::Owned));
        reasons
    }

    /// Asks `look` whenever somebody wants to know; it must be quick and must not wait.
    pub fn watch(&self, look: impl Fn() -> Option<String> + Send + Sync + 'static) {
        self.0.looks.lock().push(Box::new(look));
    }
}

/// Serves the pages until the signal to stop.
pub async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    health: Health,
    facts: Facts,
    published: Option<Published>,
    mut stopping: Stopping,
) {
    let mut connections = Connections::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.wait() => return,
        };
        let Ok((socket, _)) = accepted else {
            tokio::time::sleep(BACK_OFF).await;
            continue;
        };
        let told = Told {
            metrics: metrics.clone(),
            health: health.clone(),
            facts: facts.clone(),
            published: published.clone(),
        };
        let told = Arc::new(told);
        let operates = Arc::new(AtomicBool::new(false));
        let is_operator = operates.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let (told, is_operator) = (told.clone(), is_operator.clone());
            async move {
                let (method, path) = (request.method(), request.uri().path());
                let found = match &told.published {
                    Some(published) => published.respond(method, path).await,
                    None => None,
                };
                is_operator.store(found.is_none(), Ordering::Relaxed);
                Ok::<_, Infallible>(found.unwrap_or_else(|| respond(method, path, &told)))
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(16 << 10)
            .serve_connection(TokioIo::new(socket), service);
        let serving = tokio::spawn(async move {
            // However it ends, the peer knows; there is nothing to keep.
            let _ = tokio::time::timeout(LIFETIME, connection).await;
        });
        connections.add(operates, serving.abort_handle());
    }
}

/// The connections, oldest first.
#[derive(Default)]
struct Connections(VecDeque<(Arc<AtomicBool>, AbortHandle)>);

impl Connections {
    /// One more, whose last request was for operators or not.
    fn add(&mut self, operates: Arc<AtomicBool>, serving: AbortHandle) {
        self.0.retain(|(_, serving)| !serving.is_finished());
        if self.0.len() >= MAX_CONNECTIONS {
            let mut all = self.0.iter();
            let public = all.position(|(operates, _)| !operates.load(Ordering::Relaxed));
            if let Some((_, serving)) = self.0.remove(public.unwrap_or(0)) {
                serving.abort();
            }
        }
        self.0.push_back((operates, serving));
    }
}

/// What pages tell of.
struct Told {
    metrics: Metrics,
    health: Health,
    facts: Facts,
    published: Option<Published>,
}

/// What rooms publish, below a path.
#[derive(Clone)]
pub struct Published {
    /// The path, without a slash at its end.
    pub path: String,
    /// The pages.
    pub pages: Pages,
}

impl Published {
    /// The page of a path; `None`: it is another's.
    async fn respond(&self, method: &Method, path: &str) -> Option<Response<Full<Bytes>>> {
        let rest = path.strip_prefix(&self.path)?.strip_prefix('/')?;
        if !matches!(*method, Method::GET | Method::HEAD) {
            return None;
        }
        let path = match rest.ends_with('/') {
            true => format!("{rest}index.html"),
            false => rest.to_owned(),
        };
        let kind = match path.rsplit_once('.') {
            Some((_, "html")) => "text/html; charset=utf-8",
            Some((_, "jsonl")) => "application/jsonl; charset=utf-8",
            _ => PLAIN,
        };
        Some(match self.pages.page(&path).await {
            Ok(Some(bytes)) => page(StatusCode::OK, kind, bytes),
            Ok(None) => page(
                StatusCode::NOT_FOUND,
                PLAIN,
                "there is no such page\n".to_owned(),
            ),
            Err(error) => {
                tracing::warn!(%error, "a page of a room cannot be read");
                let text = "the pages cannot be read now\n".to_owned();
                page(StatusCode::SERVICE_UNAVAILABLE, PLAIN, text)
            }
        })
    }
}

const PLAIN: &str = "text/plain; charset=utf-8";

fn respond(method: &Method, path: &str, told: &Told) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = page(
            StatusCode::METHOD_NOT_ALLOWED,
            PLAIN,
            "only GET and HEAD\n".to_owned(),
        );
        response
            .headers_mut()
            .insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/metrics" => page(
            StatusCode::OK,
            "text/plain; version=0.0.4",
            told.metrics.render(),
        ),
        "/live" => page(StatusCode::OK, PLAIN, "live\n".to_owned()),
        "/ready" => match told.health.reasons().as_slice() {
            [] => page(StatusCode::OK, PLAIN, "ready\n".to_owned()),
            reasons => page(
                StatusCode::SERVICE_UNAVAILABLE,
                PLAIN,
                format!("not ready: {}\n", reasons.join(", ")),
            ),
        },
        "/status" => {
            let text = Page(&(told.facts)()).to_string();
            page(StatusCode::OK, "text/html; charset=utf-8", text)
        }
        "/status.json" => {
            let text = serde_json::to_string(&(told.facts)());
            let text = text.expect("facts are plain values");
            page(StatusCode::OK, "application/json", text)
        }
        _ => page(
            StatusCode::NOT_FOUND,
            PLAIN,
            "there are /metrics, /live, /ready, /status and /status.json\n".to_owned(),
        ),
    }
}

fn page(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, kind)
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::CONTENT_SECURITY_POLICY, page::POLICY)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .body(Full::from(text.into()))
        .expect("the parts are valid")
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn told(health: &Health) -> Told {
        Told {
            metrics: Metrics::default(),
            health: health.clone(),
            facts: Arc::new(|| crate::status::samples::facts(None)),
            published: None,
        }
    }

    async fn check(method: Method, path: &str, health: &Health, status: u16, body: &str) {
        let response = respond(&method, path, &told(health));
        assert_eq!(response.status().as_u16(), status, "{path}");
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        assert!(
            std::str::from_utf8(&bytes).unwrap().starts_with(body),
            "{path}"
        );
    }

    #[tokio::test]
    async fn ready_tells_why_not() {
        let health = Health::default();
        check(Method::GET, "/ready", &health, 503, "not ready: starting\n").await;
        health.started();
        check(Method::GET, "/ready", &health, 200, "ready\n").await;
        health.block("fenced");
        health.stopping();
        check(
            Method::GET,
            "/ready",
            &health,
            503,
            "not ready: fenced, stopping\n",
        )
        .await;
        health.clear("fenced");
        health.watch(|| Some("the disk is full".to_owned()));
        health.watch(|| None);
        check(
            Method::GET,
            "/ready",
            &health,
            503,
            "not ready: stopping, the disk is full\n",
        )
        .await;
        check(Method::GET, "/live", &health, 200, "live\n").await;
        check(Method::GET, "/metrics", &health, 200, "# HELP ").await;
        check(Method::GET, "/status", &health, 200, "<!DOCTYPE html>").await;
        check(Method::GET, "/status.json", &health, 200, "{\"version\":").await;
        check(Method::GET, "/", &health, 404, "there are").await;
        check(Method::POST, "/metrics", &health, 405, "only").await;
    }

    #[tokio::test]
    async fn what_rooms_publish_is_served_below_its_path() {
        let blobs = Arc::new(storage::backend::memory::MemoryBlobs::new());
        let published = Published {
            path: "/rooms".into(),
            pages: Pages::new(blobs),
        };
        for name in [
            "r.example/cave/2026-11/23.html",
            "r.example/cave/index.html",
        ] {
            let put = published.pages.put_page(name, "<p>hi".into());
            put.await.unwrap();
        }
        let check = async |path: &str, expected: Option<(u16, &str)>| {
            let found = published.respond(&Method::GET, path).await;
            let found = found.map(|it| {
                let kind = it.headers()[header::CONTENT_TYPE]
                    .to_str()
                    .unwrap()
                    .to_owned();
                assert!(it.headers().contains_key(header::CONTENT_SECURITY_POLICY));
                (it.status().as_u16(), kind)
            });
            let expected = expected.map(|(status, kind)| (status, kind.to_owned()));
            assert_eq!(found, expected, "{path}");
        };
        let html = "text/html; charset=utf-8";
        check("/rooms/r.example/cave/2026-11/23.html", Some((200, html))).await;
        check("/rooms/r.example/cave/", Some((200, html))).await;
        check("/rooms/r.example/cave/2026-11/24.html", Some((404, PLAIN))).await;
        check("/rooms/../pages/x", Some((404, PLAIN))).await;
        check("/roomsx/r.example/cave/", None).await;
        check("/metrics", None).await;
        assert!(published.respond(&Method::POST, "/rooms/x").await.is_none());
    }

    #[tokio::test]
    async fn pages_are_served_over_a_socket_until_the_stop() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = crate::shutdown::signal();
        let serving = tokio::spawn(serve(
            listener,
            Metrics::default(),
            Health::default(),
            told(&Health::default()).facts,
            None,
            stopping,
        ));
        for _ in 0..2 * MAX_CONNECTIONS {
            let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
            socket
                .write_all(b"GET /live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                .await
                .unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.unwrap();
            assert!(
                answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("live\n"),
                "{answer}"
            );
        }
        stop.stop();
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn slow_readers_of_pages_keep_nobody_from_the_rest() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_stop, stopping) = crate::shutdown::signal();
        let published = Published {
            path: "/rooms".into(),
            pages: Pages::new(Arc::new(storage::backend::memory::MemoryBlobs::new())),
        };
        // More than sockets hold.
        let page = Bytes::from(vec![b'x'; 16 << 20]);
        published
            .pages
            .put_page("r.example/index.html", page)
            .await
            .unwrap();
        let health = Health::default();
        health.started();
        tokio::spawn(serve(
            listener,
            Metrics::default(),
            health.clone(),
            told(&health).facts,
            Some(published),
            stopping,
        ));
        let ask = async |path: &str| {
            let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            socket.write_all(request.as_bytes()).await.unwrap();
            socket
        };
        let operator = ask("/live").await;
        let mut readers = Vec::new();
        for _ in 0..MAX_CONNECTIONS + 3 {
            let mut reader = ask("/rooms/r.example/").await;
            // It has begun.
            reader.read_exact(&mut [0; 12]).await.unwrap();
            readers.push(reader);
        }
        for path in ["/ready", "/metrics"] {
            let mut socket = ask(path).await;
            let mut answer = String::new();
            let read = socket.read_to_string(&mut answer);
            let read = tokio::time::timeout(HEADER_TIMEOUT * 4, read).await;
            read.expect("it is answered").unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{path} {answer}");
        }
        drop((operator, readers));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_stop, stopping) = crate::shutdown::signal();
        tokio::spawn(serve(
            listener,
            Metrics::default(),
            Health::default(),
            told(&Health::default()).facts,
            None,
            stopping,
        ));
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        socket.write_all(b"GET /live HT").await.unwrap();
        let mut answer = Vec::new();
        // It ends: that is the test. What it says before is hyper's (nothing, or 408).
        let _ = socket.read_to_end(&mut answer).await;
    }
}
