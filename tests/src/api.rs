//! Asks the API of a node, and keeps what was said so that it can be held against the OpenAPI document.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::processes::Node;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What was said, one exchange each.
pub type Exchanges = Arc<Mutex<Vec<Value>>>;

/// The API of a node, for who holds a token.
#[derive(Clone)]
pub struct Api {
    address: SocketAddr,
    /// The token.
    pub token: String,
    exchanges: Exchanges,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Its status.
    pub status: u16,
    /// Its header.
    pub header: String,
    /// Its body as JSON; null: it has none.
    pub body: Value,
}

impl Api {
    /// That of a node.
    ///
    /// # Errors
    /// It has none.
    pub fn of(node: &Node, token: &str, exchanges: &Exchanges) -> Result<Self> {
        Ok(Self {
            address: node.api.context("it has no API")?,
            token: token.to_owned(),
            exchanges: exchanges.clone(),
        })
    }

    /// Asks; `path` is behind the base and has its query with it.
    ///
    /// # Errors
    /// The node does not answer.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Told> {
        let base = format!("/api/v1{path}");
        let authorization = format!("Authorization: Bearer {}\r\n", self.token);
        let told = request(self.address, method, &base, &authorization, body)?;
        let (path, query) = base.split_once('?').unwrap_or((&base, ""));
        let pairs: Vec<_> = query
            .split('&')
            .filter_map(|it| it.split_once('='))
            .collect();
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let kind = field(&told.header, "content-type").unwrap_or("application/json");
        self.exchanges
            .lock()
            .unwrap_or_else(|it| it.into_inner())
            .push(json!({
                "method": method, "path": path, "query": pairs, "headers": {}, "body": body,
                "status": told.status, "type": kind, "answer": told.body,
            }));
        Ok(told)
    }

    /// Asks for what is there.
    ///
    /// # Errors
    /// The node does not answer, or with another status.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.expect("GET", path, &Value::Null, 200)
    }

    /// Asks for what must end so.
    ///
    /// # Errors
    /// The node does not answer, or with another status.
    pub fn expect(&self, method: &str, path: &str, body: &Value, status: u16) -> Result<Value> {
        let told = self.ask(method, path, body)?;
        ensure!(
            told.status == status,
            "{method} {path}: {} instead of {status}: {}",
            told.status,
            told.body
        );
        Ok(told.body)
    }
}

/// One request on a connection of its own.
///
/// # Errors
/// There is no answer, or it is none of HTTP.
pub fn request(
    to: SocketAddr,
    method: &str,
    path: &str,
    header: &str,
    body: &Value,
) -> Result<Told> {
    let mut socket = TcpStream::connect(to)?;
    socket.set_read_timeout(Some(LIMIT))?;
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let kind = match body.is_empty() {
        true => "",
        false => "Content-Type: application/json\r\n",
    };
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n{header}{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    read(&mut socket, &mut answer)?;
    let answer = String::from_utf8(answer)?;
    let (header, body) = answer.split_once("\r\n\r\n").context("no header")?;
    let status = header.split(' ').nth(1).context("no status")?.parse()?;
    Ok(Told {
        status,
        header: header.to_owned(),
        body: serde_json::from_str(body).unwrap_or_default(),
    })
}

/// To the length that is told, or to the end.
fn read(socket: &mut TcpStream, answer: &mut Vec<u8>) -> io::Result<()> {
    let mut part = [0; 16 << 10];
    loop {
        if let Some(at) = answer.windows(4).position(|it| it == b"\r\n\r\n") {
            let header = String::from_utf8_lossy(&answer[..at]);
            let length = field(&header, "content-length").and_then(|it| it.parse::<usize>().ok());
            if length.is_some_and(|length| answer.len() >= at + 4 + length) {
                return Ok(());
            }
        }
        match socket.read(&mut part)? {
            0 => return Ok(()),
            read => answer.extend_from_slice(&part[..read]),
        }
    }
}

/// A field of a header.
#[must_use]
pub fn field<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let fields = header.lines().filter_map(|line| line.split_once(':'));
    let mut found = fields.filter(|(it, _)| it.eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value.trim())
}

/// Holds exchanges against the OpenAPI document; whether the validator is content, and its word.
///
/// # Errors
/// It cannot be run.
pub fn validated(exchanges: &[Value]) -> Result<(bool, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cache = match std::env::var_os("STARLING_TEST_CACHE") {
        Some(cache) => PathBuf::from(cache),
        None => {
            let home = std::env::var_os("HOME").context("no home")?;
            Path::new(&home).join(".cache/starling-tests")
        }
    };
    let mut file = tempfile::NamedTempFile::new()?;
    for exchange in exchanges {
        writeln!(file, "{exchange}")?;
    }
    let output = Command::new(cache.join("openapi/bin/python"))
        .arg(root.join("tests/reference_service/validate.py"))
        .arg(root.join("docs/administration.openapi.json"))
        .arg(file.path())
        .output()
        .context("run tests/install")?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Ok((output.status.success(), said))
}
