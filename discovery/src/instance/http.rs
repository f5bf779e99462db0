//! One request to the metadata service. No proxy is ever asked: the service is on the host.

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Method, Request, Uri, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

/// Answers are not longer: user data has 16 KiB at most.
const LONGEST: usize = 64 * 1024;

/// Where the service is.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    /// `host:port`.
    authority: String,
    host: String,
    port: u16,
    /// Without a slash at its end.
    base: String,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// There is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// No connection, for this reason.
    #[error("no connection")]
    NotReached(#[source] Option<io::Error>),
    /// A connection, and no answer in time.
    #[error("connected, and no answer in time")]
    NotAnswered,
    /// A connection, and no answer that can be understood.
    #[error("no answer of HTTP")]
    Http(#[from] hyper::Error),
    /// An answer that is too long, or was cut.
    #[error("the answer is cut or too long")]
    Body,
}

impl Endpoint {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        if uri.scheme_str() != Some("http") {
            return None;
        }
        let authority = uri.authority()?;
        let port = authority.port_u16().unwrap_or(80);
        let host = authority.host();
        Some(Self {
            authority: authority.as_str().to_owned(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            base: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Sends a request with one header, on a connection of its own, and reads the whole answer within `patience`.
    pub(super) async fn exchange(
        &self,
        method: Method,
        path: &str,
        header: (&str, &str),
        patience: Duration,
    ) -> Result<Exchange, Failed> {
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let begun = tokio::time::Instant::now();
        let stream = match timeout(patience, connecting).await {
            Ok(connected) => connected.map_err(|error| Failed::NotReached(Some(error)))?,
            Err(_) => return Err(Failed::NotReached(None)),
        };
        let left = patience.saturating_sub(begun.elapsed());
        let asked = self.ask(stream, method, path, header);
        timeout(left, asked)
            .await
            .unwrap_or(Err(Failed::NotAnswered))
    }

    async fn ask(
        &self,
        stream: TcpStream,
        method: Method,
        path: &str,
        (name, value): (&str, &str),
    ) -> Result<Exchange, Failed> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/{}", self.base, encoded(path)))
            .header("host", &self.authority)
            .header(name, value)
            .body(Empty::<Bytes>::new())
            .map_err(|_| Failed::Body)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the sender.
        let connection = tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, LONGEST).collect().await;
        connection.abort();
        Ok(Exchange {
            status: head.status.as_u16(),
            body: body.map_err(|_| Failed::Body)?.to_bytes(),
        })
    }
}

/// A path as it may stand in a request: keys of tags may hold anything.
fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        let check = |text: &str, expected: Option<(&str, u16, &str)>| {
            let endpoint = Endpoint::parse(text);
            let found = endpoint
                .as_ref()
                .map(|e| (e.host.as_str(), e.port, e.base.as_str()));
            assert_eq!(found, expected, "{text}");
        };
        check("http://169.254.169.254", Some(("169.254.169.254", 80, "")));
        check("http://[fd00:ec2::254]/", Some(("fd00:ec2::254", 80, "")));
        check(
            "http://127.0.0.1:8013/imds/i-1",
            Some(("127.0.0.1", 8013, "/imds/i-1")),
        );
        check("https://169.254.169.254", None);
        check("169.254.169.254", None);
        check("", None);
    }

    #[test]
    fn paths() {
        assert_eq!(encoded("latest/meta-data/mac"), "latest/meta-data/mac");
        assert_eq!(
            encoded("tags/instance/aws:autoscaling:groupName"),
            "tags/instance/aws:autoscaling:groupName"
        );
        assert_eq!(
            encoded("tags/instance/a b?ü"),
            "tags/instance/a%20b%3F%C3%BC"
        );
    }
}
