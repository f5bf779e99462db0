//! Faults: a proxy for HTTP that does to requests what networks and services do.
//!
//! It hands on requests as they are, `Host` included, so signatures stay good. Rules say which requests meet which fault;
//! each applies a number of times, and counts.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Frame, Incoming, SizeHint},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It is not handed on; this is the answer: status, content type, body.
    Answer(u16, &'static str, String),
    /// It is not handed on, and the connection ends.
    Reset,
    /// It is done, and its answer is lost with the connection.
    LoseAnswer,
    /// It is done, and half of its answer's body arrives.
    CutAnswer,
    /// It is done after this time.
    Delay(Duration),
    /// It is done once there is a permit, also when nobody waits for its answer any more.
    Hold(Arc<Semaphore>),
    /// It is done, and the answer comes after this time.
    DelayAnswer(Duration),
}

impl Fault {
    /// An error as DynamoDB gives it.
    pub fn dynamo(status: u16, code: &str) -> Self {
        let body = format!(
            r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"as was asked for"}}"#
        );
        Self::Answer(status, "application/x-amz-json-1.0", body)
    }
    /// A transaction that was cancelled for these reasons.
    pub fn cancelled(codes: &[&str]) -> Self {
        let reasons: Vec<String> = codes
            .iter()
            .map(|code| format!(r#"{{"Code":"{code}"}}"#))
            .collect();
        let body = format!(
            r#"{{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"as was asked for","CancellationReasons":[{}]}}"#,
            reasons.join(",")
        );
        Self::Answer(400, "application/x-amz-json-1.0", body)
    }
    /// An error as EC2 gives it.
    pub fn ec2(status: u16, code: &str) -> Self {
        let body = format!(
            r#"<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>{code}</Code><Message>as was asked for</Message></Error></Errors><RequestID>1</RequestID></Response>"#
        );
        Self::Answer(status, "text/xml", body)
    }
    /// An error as Auto Scaling gives it.
    pub fn query(status: u16, code: &str) -> Self {
        let body = format!(
            r#"<ErrorResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><Error><Type>Sender</Type><Code>{code}</Code><Message>as was asked for</Message></Error><RequestId>1</RequestId></ErrorResponse>"#
        );
        Self::Answer(status, "text/xml", body)
    }
    /// An error as S3 gives it.
    pub fn s3(status: u16, code: &str) -> Self {
        let body = format!(
            r#"<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>as was asked for</Message></Error>"#
        );
        Self::Answer(status, "application/xml", body)
    }
}

/// A request, as rules see it.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// The operation of DynamoDB (`GetItem`), empty for others.
    pub operation: &'a str,
    /// The body.
    pub body: &'a [u8],
}

type About = Box<dyn FnMut(&Asked<'_>) -> bool + Send>;

struct Rule {
    about: About,
    left: u64,
    fault: Fault,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    asked: u64,
    hits: u64,
}

/// The running proxy; it ends with the runtime that it was started on.
#[derive(Clone)]
pub struct Faults {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Faults {
    /// Starts a proxy for the server at `upstream` (`http://host:port`).
    ///
    /// # Errors
    /// No port.
    pub async fn start(upstream: &str) -> io::Result<Self> {
        let upstream = upstream.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, state) = (listener.local_addr()?, Arc::default());
        let faults = Self { address, state };
        let proxy = faults.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(proxy.clone().serve(stream, upstream.clone()));
            }
        });
        Ok(faults)
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next `times` requests for which `about` says so meet this fault.
    pub fn add(
        &self,
        times: u64,
        fault: Fault,
        about: impl FnMut(&Asked<'_>) -> bool + Send + 'static,
    ) {
        self.state.lock().rules.push(Rule {
            about: Box::new(about),
            left: times,
            fault,
        });
    }

    /// No faults from now on; the counts begin again.
    pub fn clear(&self) {
        *self.state.lock() = State::default();
    }

    /// How many requests met a fault.
    pub fn hits(&self) -> u64 {
        self.state.lock().hits
    }

    /// How many requests there were.
    pub fn asked(&self) -> u64 {
        self.state.lock().asked
    }

    fn fault(&self, asked: &Asked<'_>) -> Option<Fault> {
        let mut state = self.state.lock();
        state.asked += 1;
        let applies = |rule: &mut Rule| rule.left > 0 && (rule.about)(asked);
        let found = state.rules.iter_mut().position(applies)?;
        state.hits += 1;
        let rule = &mut state.rules[found];
        rule.left -= 1;
        Some(rule.fault.clone())
    }

    async fn serve(self, stream: TcpStream, upstream: String) {
        let service = service_fn(|request: Request<Incoming>| {
            let (proxy, upstream) = (self.clone(), upstream.clone());
            // An error of the service ends the connection without an answer.
            async move { proxy.handle(request, &upstream).await.ok_or(Ended) }
        });
        let connection = hyper::server::conn::http1::Builder::new();
        // It ends with an error when a fault says so.
        let _ = connection
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    /// The answer; `None`: there is none.
    async fn handle(&self, request: Request<Incoming>, upstream: &str) -> Option<Response<Answer>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        let target = head.headers.get("x-amz-target");
        let target = target.and_then(|target| target.to_str().ok());
        let asked = Asked {
            method: head.method.as_str(),
            path: head.uri.path_and_query().map_or("", |path| path.as_str()),
            operation: target
                .and_then(|target| target.rsplit('.').next())
                .unwrap_or_default(),
            body: &body,
        };
        let fault = self.fault(&asked);
        match &fault {
            Some(Fault::Answer(status, kind, body)) => {
                let answer = Response::builder()
                    .status(StatusCode::from_u16(*status).ok()?)
                    .header("content-type", *kind)
                    .body(Answer::whole(Bytes::from(body.clone())));
                return answer.ok();
            }
            Some(Fault::Reset) => return None,
            Some(Fault::Delay(time)) => tokio::time::sleep(*time).await,
            _ => {}
        }
        let held = match &fault {
            Some(Fault::Hold(until)) => Some(until.clone()),
            _ => None,
        };
        let request = Request::from_parts(head, Full::from(body));
        let forward = forward(request, upstream.to_owned());
        // Whether or not somebody still waits for it, what was sent is done.
        let done = tokio::spawn(async move {
            if let Some(until) = held {
                until.acquire().await.ok()?.forget();
            }
            forward.await.ok()
        });
        let answer = done.await.ok()??;
        match fault {
            Some(Fault::LoseAnswer) => None,
            Some(Fault::CutAnswer) => Some(answer.map(Answer::cut)),
            Some(Fault::DelayAnswer(time)) => {
                tokio::time::sleep(time).await;
                Some(answer)
            }
            _ => Some(answer),
        }
    }
}

async fn forward(
    request: Request<Full<Bytes>>,
    upstream: String,
) -> Result<Response<Answer>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(upstream).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Response::from_parts(head, Answer::whole(body)))
}

/// The body of an answer, whole or cut: then the connection ends where the rest, which its length promises, should be.
struct Answer {
    rest: Bytes,
    is_cut: bool,
}

impl Answer {
    fn whole(rest: Bytes) -> Self {
        Self {
            rest,
            is_cut: false,
        }
    }
    fn cut(mut self) -> Self {
        self.rest.truncate(self.rest.len() / 2);
        self.is_cut = true;
        self
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Ended;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Ended>>> {
        let rest = std::mem::take(&mut self.rest);
        Poll::Ready(match (rest.is_empty(), self.is_cut) {
            (false, _) => Some(Ok(Frame::data(rest))),
            (true, true) => Some(Err(Ended)),
            (true, false) => None,
        })
    }
    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && !self.is_cut
    }
    fn size_hint(&self) -> SizeHint {
        if self.is_cut {
            SizeHint::default()
        } else {
            SizeHint::with_exact(self.rest.len() as u64)
        }
    }
}

/// A connection ends here.
#[derive(Debug)]
struct Ended;

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ended by a fault")
    }
}

impl std::error::Error for Ended {}
