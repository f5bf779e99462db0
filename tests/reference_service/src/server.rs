//! Server: takes requests, asks who they are from, and answers each key once.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::ServerConfig;
use serde_json::Value;
use storage::{
    Stores,
    backend::memory::{MemoryBlobs, MemoryTable},
    repository::{AccountRepository, LogRepository, RosterRepository},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::OnceCell,
    task::{AbortHandle, JoinHandle},
};
use tokio_rustls::TlsAcceptor;
use xmpp::BareJid;

use crate::{
    record::{Exchange, Recorded},
    reply::{Asked, Reply, pairs, segments},
    routes,
};

/// Answers that are remembered.
const MAX_REMEMBERED: usize = 100_000;
/// What a service keeps.
pub(crate) struct Kept {
    pub(crate) accounts: Arc<dyn AccountRepository>,
    pub(crate) rosters: Arc<dyn RosterRepository>,
    pub(crate) logs: Arc<dyn LogRepository>,
    /// Passwords of those who have no keys, with what is said of the right one.
    pub(crate) passwords: Mutex<HashMap<BareJid, (String, &'static str)>>,
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Says this instead of answering; nothing happens.
    Status(u16),
    /// The same, with this word for why.
    Refuse(u16, &'static str),
    /// The same, and when to come again.
    RetryAfter(u16, u64),
    /// Does what was asked, and says nothing.
    LoseAnswer,
    /// Is silent; nothing happens.
    Silence,
    /// Answers so many bytes that nobody asked for.
    Flood(usize),
    /// Answers what is no JSON.
    Garbage,
}

/// Who may ask, and how.
#[derive(Clone, Default)]
pub struct Options {
    /// The token that must be shown.
    pub token: Option<String>,
    /// TLS; without it plain.
    pub tls: Option<Arc<ServerConfig>>,
}

#[derive(Default)]
struct Remembered {
    answers: HashMap<(Method, String, String), Arc<OnceCell<Reply>>>,
    order: VecDeque<(Method, String, String)>,
}

struct Shared {
    kept: Kept,
    token: Option<String>,
    remembered: Mutex<Remembered>,
    faults: Mutex<VecDeque<Fault>>,
    always: Mutex<Option<Fault>>,
    requests: AtomicU64,
    recorded: Recorded,
    connections: Mutex<Vec<AbortHandle>>,
}

/// A running service; gone when dropped.
pub struct Service {
    shared: Arc<Shared>,
    address: SocketAddr,
    options: Options,
    listening: Option<JoinHandle<()>>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Service {
    /// Starts one on a port of loopback.
    ///
    /// # Errors
    /// There is no port.
    pub async fn start(options: Options) -> io::Result<Self> {
        let stores = Stores::over(Arc::new(MemoryTable::new()), Arc::new(MemoryBlobs::new()));
        let stores = stores.unguarded();
        let shared = Arc::new(Shared {
            kept: Kept {
                accounts: stores.accounts.clone(),
                rosters: stores.rosters.clone(),
                logs: stores.logs.clone(),
                passwords: Mutex::default(),
            },
            token: options.token.clone(),
            remembered: Mutex::default(),
            faults: Mutex::default(),
            always: Mutex::default(),
            requests: AtomicU64::new(0),
            recorded: Recorded::default(),
            connections: Mutex::default(),
        });
        let mut service = Self {
            shared,
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            options,
            listening: None,
        };
        service.restart().await?;
        Ok(service)
    }

    /// Listens again, on the same port, with what it had.
    ///
    /// # Errors
    /// Somebody else took the port.
    pub async fn restart(&mut self) -> io::Result<()> {
        self.stop();
        let listener = TcpListener::bind(self.address).await?;
        self.address = listener.local_addr()?;
        let (shared, tls) = (self.shared.clone(), self.options.tls.clone());
        self.listening = Some(tokio::spawn(listen(listener, shared, tls)));
        Ok(())
    }

    /// Closes its port and every connection.
    pub fn stop(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
        }
        for connection in self.shared.connections.lock().drain(..) {
            connection.abort();
        }
    }

    /// Where its paths begin.
    pub fn url(&self) -> String {
        let scheme = if self.options.tls.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://localhost:{}/v1", self.address.port())
    }

    /// Sets the password of somebody who has no keys, and what is said of it.
    pub fn set_password(&self, account: &BareJid, password: &str, verdict: &'static str) {
        let known = (password.to_owned(), verdict);
        self.shared
            .kept
            .passwords
            .lock()
            .insert(account.clone(), known);
    }

    /// The accounts themselves.
    pub fn accounts(&self) -> Arc<dyn AccountRepository> {
        self.shared.kept.accounts.clone()
    }

    /// The rosters themselves.
    pub fn rosters(&self) -> Arc<dyn RosterRepository> {
        self.shared.kept.rosters.clone()
    }

    /// The logs themselves.
    pub fn logs(&self) -> Arc<dyn LogRepository> {
        self.shared.kept.logs.clone()
    }

    /// Fails at the next requests, one after the other.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.faults.lock().extend(faults);
    }

    /// Fails at every request, or no more.
    pub fn fail_always(&self, fault: Option<Fault>) {
        *self.shared.always.lock() = fault;
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Some of what went over the wire, of every kind.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.shared.recorded.all()
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>, tls: Option<Arc<ServerConfig>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (connection, tls) = (shared.clone(), tls.clone());
        let serving = tokio::spawn(async move {
            match tls {
                None => serve(stream, connection).await,
                Some(tls) => {
                    if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                        serve(stream, connection).await;
                    }
                }
            }
        });
        shared.connections.lock().push(serving.abort_handle());
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, shared: Arc<Shared>) {
    let service = service_fn(move |request| handle(shared.clone(), request));
    // It ends when the client goes, or when an answer is lost on purpose.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn handle(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    shared.requests.fetch_add(1, Ordering::SeqCst);
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let asked = Asked {
        method: head.method,
        path: segments(head.uri.path()),
        query: pairs(head.uri.query().unwrap_or_default()),
        headers: head.headers,
        body,
    };
    let fault = shared.faults.lock().pop_front().or(*shared.always.lock());
    let whole = |status: u16, body: Vec<u8>| {
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
        response
    };
    match fault {
        Some(Fault::Status(status)) => return Ok(whole(status, Vec::new())),
        Some(Fault::Refuse(status, error)) => {
            let body = serde_json::json!({ "error": error }).to_string();
            return Ok(whole(status, body.into_bytes()));
        }
        Some(Fault::RetryAfter(status, seconds)) => {
            let mut response = whole(status, Vec::new());
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
            return Ok(response);
        }
        Some(Fault::Silence) => {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            return Err(io::ErrorKind::TimedOut.into());
        }
        Some(Fault::Flood(bytes)) => return Ok(whole(200, vec![b' '; bytes])),
        Some(Fault::Garbage) => return Ok(whole(200, b"<html>".to_vec())),
        Some(Fault::LoseAnswer) | None => {}
    }
    let (uri, asked) = (head.uri, Arc::new(asked));
    let reply = if is_known(&shared, &asked.headers) {
        answer_once(&shared, &asked, uri.path()).await
    } else {
        Reply::refused(StatusCode::UNAUTHORIZED, "unauthorized", "who are you?")
    };
    if fault == Some(Fault::LoseAnswer) {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    shared.recorded.add(&asked, uri.path(), &reply);
    let body = reply
        .body
        .as_ref()
        .map(Value::to_string)
        .unwrap_or_default();
    let mut response = whole(reply.status.as_u16(), body.into_bytes());
    if reply.body.is_some() {
        let json = hyper::header::HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
    }
    Ok(response)
}

fn is_known(shared: &Shared, headers: &HeaderMap) -> bool {
    let Some(token) = &shared.token else {
        return true;
    };
    let shown = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok());
    shown == Some(format!("Bearer {token}").as_str())
}

/// A read is answered; a change once for each key, even if nobody waits for its answer any more.
async fn answer_once(shared: &Arc<Shared>, asked: &Arc<Asked>, path: &str) -> Reply {
    if asked.method == Method::GET {
        return routes::answer(&shared.kept, asked).await;
    }
    let key = asked.headers.get("idempotency-key");
    let Some(key) = key.and_then(|it| it.to_str().ok()) else {
        return Reply::bad("Idempotency-Key");
    };
    let id = (asked.method.clone(), path.to_owned(), key.to_owned());
    let cell = {
        let mut remembered = shared.remembered.lock();
        if !remembered.answers.contains_key(&id) {
            remembered.order.push_back(id.clone());
            if remembered.order.len() > MAX_REMEMBERED
                && let Some(oldest) = remembered.order.pop_front()
            {
                remembered.answers.remove(&oldest);
            }
        }
        remembered.answers.entry(id.clone()).or_default().clone()
    };
    let (shared, asked) = (shared.clone(), asked.clone());
    // A task of its own: a client that goes away does not stop half of a change.
    let answered = tokio::spawn(async move {
        let answer = cell.get_or_init(|| routes::answer(&shared.kept, &asked));
        let answer = answer.await.clone();
        if answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS {
            shared.remembered.lock().answers.remove(&id);
        }
        answer
    });
    let lost = |_| Reply::refused(StatusCode::INTERNAL_SERVER_ERROR, "failed", "it panicked");
    answered.await.unwrap_or_else(lost)
}
