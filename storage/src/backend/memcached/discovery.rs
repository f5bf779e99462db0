//! ElastiCache's list of servers: `config get cluster` at the configuration endpoint.
//!
//! ```text
//! CONFIG cluster 0 <bytes>\r\n
//! <version>\n
//! <host>|<ip>|<port> <host>|<ip>|<port>...\n
//! \r\nEND\r\n
//! ```
//!
//! Source: Amazon ElastiCache User Guide, "Adding Auto Discovery to your client library". The version grows with each
//! change. A server is known by its host name and dialled by its address, if one is told: it saves a look-up, and a
//! replaced one is another.

use std::time::Duration;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::error::{Error, ErrorKind, Result};

/// Longest list.
const MAX_BYTES: usize = 64 << 10;

/// A server of the list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listed {
    /// Its name on the ring.
    pub(super) name: String,
    /// Where it is dialled.
    pub(super) address: String,
}

/// The list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List {
    pub(super) version: u64,
    pub(super) servers: Vec<Listed>,
}

fn not_understood(what: &str) -> Error {
    let what = format!("the list of cache servers: {what}");
    Error::new(ErrorKind::Corrupt, what)
}

/// Asks for the list.
///
/// # Errors
/// `Unavailable` if it cannot be reached in time, `Corrupt` if it does not answer with a list.
pub(super) async fn ask(endpoint: &str, patience: Duration) -> Result<List> {
    let unavailable = || {
        let what = format!("the configuration endpoint {endpoint}");
        Error::new(ErrorKind::Unavailable, what)
    };
    match tokio::time::timeout(patience, exchange(endpoint)).await {
        Err(_) => Err(unavailable()),
        Ok(Err(error)) => Err(unavailable().with_source(error)),
        Ok(Ok(body)) => parse(&body?),
    }
}

/// The body of the answer.
async fn exchange(endpoint: &str) -> std::io::Result<Result<String>> {
    let mut stream = BufReader::new(TcpStream::connect(endpoint).await?);
    stream.write_all(b"config get cluster\r\n").await?;
    stream.flush().await?;
    let mut head = String::new();
    let limit = MAX_BYTES as u64;
    (&mut stream).take(limit).read_line(&mut head).await?;
    let bytes = match head.trim_end().rsplit_once(' ') {
        Some((start, bytes)) if start.starts_with("CONFIG cluster ") => bytes.parse().ok(),
        _ => None,
    };
    let Some(bytes) = bytes.filter(|bytes| *bytes <= MAX_BYTES) else {
        let said = head.trim_end().chars().take(80).collect::<String>();
        return Ok(Err(not_understood(&format!("{said:?} is none"))));
    };
    let mut body = vec![0; bytes];
    stream.read_exact(&mut body).await?;
    Ok(String::from_utf8(body).map_err(|_| not_understood("not text")))
}

/// Reads a list.
///
/// # Errors
/// `Corrupt`.
fn parse(body: &str) -> Result<List> {
    let mut lines = body.lines();
    let version = lines.next().and_then(|line| line.trim().parse().ok());
    let version = version.ok_or_else(|| not_understood("no version"))?;
    let listed = lines.next().unwrap_or_default().split_whitespace();
    let mut servers = listed.map(parse_server).collect::<Result<Vec<_>>>()?;
    servers.sort();
    servers.dedup();
    Ok(List { version, servers })
}

fn parse_server(text: &str) -> Result<Listed> {
    let bad = || not_understood(&format!("{text:?} is no server"));
    let parts: Vec<&str> = text.split('|').collect();
    let [host, ip, port] = parts[..] else {
        return Err(bad());
    };
    let port: u16 = port.parse().map_err(|_| bad())?;
    let dialled = match ip {
        "" => host.to_owned(),
        ip if ip.contains(':') => format!("[{ip}]"),
        ip => ip.to_owned(),
    };
    if host.is_empty() || port == 0 {
        return Err(bad());
    }
    Ok(Listed {
        name: format!("{host}:{port}"),
        address: format!("{dialled}:{port}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        let check = |body: &str, expected: Option<(u64, &[(&str, &str)])>| {
            let found = parse(body).ok().map(|list| {
                let pairs = list.servers.iter();
                let pairs = pairs.map(|one| (one.name.clone(), one.address.clone()));
                (list.version, pairs.collect::<Vec<_>>())
            });
            let expected = expected.map(|(version, servers)| {
                let own = |(name, address): &(&str, &str)| (name.to_string(), address.to_string());
                (version, servers.iter().map(own).collect::<Vec<_>>())
            });
            assert_eq!(found, expected, "{body:?}");
        };
        check(
            "12\nb.cache|10.0.0.2|11211 a.cache|10.0.0.1|11212\n",
            Some((
                12,
                &[
                    ("a.cache:11212", "10.0.0.1:11212"),
                    ("b.cache:11211", "10.0.0.2:11211"),
                ],
            )),
        );
        check("1\na||7\n", Some((1, &[("a:7", "a:7")])));
        check("1\na|::1|7", Some((1, &[("a:7", "[::1]:7")])));
        check("1\na||7 a||7\n", Some((1, &[("a:7", "a:7")])));
        check("3\n\n", Some((3, &[])));
        check("3", Some((3, &[])));
        for bad in [
            "",
            "x\na||7",
            "1\na|7",
            "1\na||0",
            "1\na||x",
            "1\n||7",
            "1\na|b|c|7",
        ] {
            check(bad, None);
        }
    }
}
