//! Client: one request, tried until it is answered, within a time.
//!
//! Order: a breaker that is open answers at once; a place among the requests under way; then tries, with pauses between
//! them that grow and are drawn at random, lest all who failed together come back together. `Retry-After` is kept to, as
//! far as the time allows. What was not answered is `Unavailable`: it may or may not have happened. A write of which one
//! try ended so stays in doubt, whatever its later tries are refused with.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use aws_lc_rs::rand;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, IF_MATCH, IF_NONE_MATCH, RETRY_AFTER},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use storage::{Error, ErrorKind, Result};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout_at},
};

use super::{
    HttpOptions,
    call::{Call, Condition},
    wire::Refusal,
};
use crate::{breaker::Breaker, corrupt, not_allowed, throttled, unavailable};

/// Failures in a row after which nobody asks for a while.
const THRESHOLD: u32 = 5;
/// The first pause between two tries; each one that follows is twice as long.
const PAUSE: Duration = Duration::from_millis(50);
/// For how long a connection may lie unused.
const MAX_IDLE: Duration = Duration::from_secs(30);
const IDEMPOTENCY_KEY: &str = "idempotency-key";

pub(super) struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: String,
    authorization: Option<HeaderValue>,
    options: HttpOptions,
    requests: Arc<Semaphore>,
    breaker: Mutex<Breaker>,
}

/// What was answered.
pub(super) struct Answer {
    body: Bytes,
}

impl Answer {
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let context = format!("the service answers what cannot be understood: {error}");
            corrupt(context).with_source(error)
        })
    }
}

/// What a try came to.
enum Try {
    Done(Result<Option<Answer>>),
    /// To be tried again, not before this time.
    Again(Error, Option<Duration>),
}

impl Client {
    pub(super) fn new(options: &HttpOptions) -> Result<Self> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(options.timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config((*options.tls.config()?).clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(MAX_IDLE)
            .pool_max_idle_per_host(options.connections)
            .build(connector);
        let token = options.token.expose();
        let authorization = (!token.is_empty()).then(|| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .expect("the characters of a token are checked");
            value.set_sensitive(true);
            value
        });
        Ok(Self {
            pool,
            url: options.url.trim_end_matches('/').to_owned(),
            authorization,
            requests: Arc::new(Semaphore::new(options.connections)),
            breaker: Mutex::new(Breaker::new(THRESHOLD)),
            options: options.clone(),
        })
    }

    /// What is there; `None`: nothing.
    pub(super) async fn find(&self, call: Call) -> Result<Option<Answer>> {
        let deadline = Instant::now() + self.options.deadline;
        let trial = self.options.deadline;
        let allowed = self.breaker.lock().allows(Instant::now().into_std(), trial);
        if !allowed {
            return Err(unavailable("the service does not answer"));
        }
        let Ok(place) = timeout_at(deadline, self.requests.acquire()).await else {
            return Err(throttled("too many requests to the service are under way"));
        };
        let _place = place.expect("the semaphore is never closed");
        let found = self.try_until(&call, deadline).await;
        let failed = |error: &&Error| error.kind() == ErrorKind::Unavailable;
        match found.as_ref().err().filter(failed) {
            None => self.breaker.lock().succeeded(),
            Some(error) => {
                if self.breaker.lock().failed(Instant::now().into_std()) {
                    tracing::warn!(%error, url = self.url, "a service does not answer");
                }
            }
        }
        found
    }

    /// What must be there.
    pub(super) async fn ask(&self, call: Call) -> Result<Answer> {
        let path = call.path.clone();
        self.find(call).await?.ok_or_else(|| {
            unavailable(format!(
                "the service has nothing at {path}, where there must be"
            ))
        })
    }

    /// A write; that there is nothing to change is a conflict.
    pub(super) async fn change(&self, call: Call) -> Result<Answer> {
        let absent = || Error::new(ErrorKind::Conflict, "there is nothing to change any more");
        self.find(call).await?.ok_or_else(absent)
    }

    async fn try_until(&self, call: &Call, deadline: Instant) -> Result<Option<Answer>> {
        let key = random_key();
        let mut pause = PAUSE;
        let (mut tries, mut doubt) = (1, false);
        loop {
            let until = deadline.min(Instant::now() + self.options.timeout);
            let (error, after) = match timeout_at(until, self.try_once(call, &key)).await {
                Ok(Try::Done(found)) => return found.map_err(|error| told(error, doubt)),
                Ok(Try::Again(error, after)) => (error, after),
                Err(_) => (unavailable("the service does not answer in time"), None),
            };
            doubt |= call.writes && error.kind() == ErrorKind::Unavailable;
            // As long as a service says, which may be longer than there is time.
            let wait = after.unwrap_or_default().max(jittered(pause));
            let left = deadline.saturating_duration_since(Instant::now());
            if tries == self.options.attempts || wait >= left {
                return Err(told(error, doubt));
            }
            sleep(wait).await;
            tries += 1;
            pause *= 2;
        }
    }

    async fn try_once(&self, call: &Call, key: &str) -> Try {
        let request = match self.request(call, key) {
            Ok(request) => request,
            Err(error) => return Try::Done(Err(error)),
        };
        let again = |error: Error| Try::Again(error, None);
        let answer = match self.pool.request(request).await {
            Ok(answer) => answer,
            Err(error) => {
                let context = format!("the service does not answer: {}", causes(&error));
                return again(unavailable(context).with_source(error));
            }
        };
        let (head, body) = answer.into_parts();
        let body = match Limited::new(body, self.options.max_answer).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                let context = "the service answers more than the limit allows";
                return Try::Done(Err(match call.writes {
                    true => unavailable(context),
                    false => corrupt(context),
                }));
            }
            Err(error) => return again(unavailable(format!("an answer was cut off: {error}"))),
        };
        if head.status.is_success() {
            return Try::Done(Ok(Some(Answer { body })));
        }
        let after = head.headers.get(RETRY_AFTER);
        let after = after.and_then(|it| it.to_str().ok()?.parse().ok());
        let after = after.map(Duration::from_secs);
        refused(head.status, &body, after, call.writes)
    }

    fn request(&self, call: &Call, key: &str) -> Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(&call.method)
            .uri(format!("{}{}", self.url, call.path));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if call.method != Method::GET {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        match call.condition {
            Condition::None => {}
            Condition::Absent => request = request.header(IF_NONE_MATCH, "*"),
            Condition::Version(version) => {
                request = request.header(IF_MATCH, format!("\"{version}\""));
            }
        }
        if !call.body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        request.body(Full::new(call.body.clone())).map_err(|error| {
            let context = format!("what is asked for makes no request: {error}");
            corrupt(context).with_source(error)
        })
    }
}

/// What a caller is told of the last try. Behind one that may have been done no refusal means that nothing happened.
fn told(error: Error, doubt: bool) -> Error {
    if !doubt || error.kind() == ErrorKind::Unavailable {
        return error;
    }
    unavailable(format!("an answer was lost, and then: {error}")).with_source(error)
}

/// What a status says.
fn refused(status: StatusCode, body: &[u8], after: Option<Duration>, writes: bool) -> Try {
    let refusal: Option<Refusal> = serde_json::from_slice(body).ok();
    let detail = refusal.as_ref().and_then(|it| it.detail.clone());
    let detail = detail.unwrap_or_default();
    let says = |what: &str| refusal.as_ref().is_some_and(|it| it.error == what);
    let is_absence = says("absent");
    // A proxy says 503 too, of a service that may have done all it was asked for.
    let is_done_maybe = writes && status == StatusCode::SERVICE_UNAVAILABLE && !says("throttled");
    let failed = |what: &str| unavailable(format!("{what} ({status}) {detail}").trim_end());
    Try::Done(Err(match status.as_u16() {
        404 if is_absence => return Try::Done(Ok(None)),
        404 => failed("the service does not know what it is asked for; is its url right?"),
        409 | 412 => Error::new(ErrorKind::Conflict, format!("the service: {detail}")),
        413 => Error::new(ErrorKind::TooLarge, format!("the service: {detail}")),
        405 | 501 => not_allowed(format!("the service does not do that {detail}").trim_end()),
        401 | 403 => failed("the service does not believe us; are token and certificate right?"),
        503 if is_done_maybe => {
            return Try::Again(failed("nobody answered for the service"), after);
        }
        429 | 503 => {
            let error = throttled(format!("the service is busy ({status}) {detail}").trim_end());
            return Try::Again(error, after);
        }
        500..=599 => return Try::Again(failed("the service failed"), after),
        _ => failed("the service refuses what is asked for"),
    }))
}

/// An error with all that is behind it: a library says "client error", and why stands three causes deeper.
fn causes(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let _ = write!(told, ": {cause}");
        next = cause.source();
    }
    told
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system has random numbers");
    bytes
}

fn random_key() -> String {
    format!("{:032x}", u128::from_be_bytes(random()))
}

/// Between half of a pause and all of it.
fn jittered(pause: Duration) -> Duration {
    let half = pause / 2;
    half + half.mul_f64(f64::from(u16::from_be_bytes(random())) / f64::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_told_apart() {
        use ErrorKind::{Conflict, NotAllowed, Throttled, TooLarge, Unavailable};
        let of = |writes: bool, status: u16, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            match refused(status, body.as_bytes(), None, writes) {
                Try::Done(Ok(None)) => (None, false),
                Try::Done(Ok(Some(_))) => panic!("{status} is no answer"),
                Try::Done(Err(error)) => (Some(error.kind()), false),
                Try::Again(error, _) => (Some(error.kind()), true),
            }
        };
        let check = |status: u16, body: &str, expected: Option<ErrorKind>, again: bool| {
            for writes in [false, true] {
                let found = of(writes, status, body);
                assert_eq!(found, (expected, again), "{status} {body} {writes}");
            }
        };
        check(404, r#"{"error":"absent"}"#, None, false);
        check(404, "", Some(Unavailable), false);
        check(404, "<html>not here", Some(Unavailable), false);
        check(404, r#"{"error":"other"}"#, Some(Unavailable), false);
        check(409, "", Some(Conflict), false);
        check(412, r#"{"error":"conflict"}"#, Some(Conflict), false);
        check(413, "", Some(TooLarge), false);
        check(405, "", Some(NotAllowed), false);
        check(501, "", Some(NotAllowed), false);
        check(429, "", Some(Throttled), true);
        check(503, r#"{"error":"throttled"}"#, Some(Throttled), true);
        for body in ["", "<html>", r#"{"error":"failed"}"#] {
            assert_eq!(of(false, 503, body), (Some(Throttled), true), "{body}");
            assert_eq!(of(true, 503, body), (Some(Unavailable), true), "{body}");
        }
        for status in [500, 502, 504] {
            check(status, "", Some(Unavailable), true);
        }
        for status in [301, 400, 401, 403, 407, 415, 422, 426] {
            check(status, r#"{"error":"absent"}"#, Some(Unavailable), false);
        }
    }
}
