//! The flags that every scenario shares: which server, which accounts, which way in.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::scram::Mechanism;

/// How a connection becomes private.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Security {
    /// RFC 6120 §5.
    Starttls,
    /// XEP-0368.
    Direct,
    /// Not at all.
    None,
}

/// The accounts of a run: `prefix,count,password`.
#[derive(Clone, Debug)]
pub struct Users {
    /// What the localpart begins with; five digits follow.
    pub prefix: String,
    /// How many there are.
    pub count: u32,
    /// The password of all of them.
    pub password: String,
}

impl FromStr for Users {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, ',');
        let (Some(prefix), Some(count), Some(password)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err("expected prefix,count,password".to_owned());
        };
        let count = count.parse().map_err(|_| format!("{count} is no number"))?;
        Ok(Self {
            prefix: prefix.to_owned(),
            count,
            password: password.to_owned(),
        })
    }
}

impl Users {
    /// The localpart of an account; beyond the last one they begin again.
    #[must_use]
    pub fn localpart(&self, index: u32) -> String {
        format!("{}{:05}", self.prefix, index % self.count.max(1))
    }
}

/// The server under test.
#[derive(Args, Clone, Debug)]
pub struct Target {
    /// Address of the server.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: Ipv4Addr,
    /// Port of the server; of several nodes, by commas: sessions are spread over them.
    #[arg(long, default_value = "5222", value_delimiter = ',')]
    pub port: Vec<u16>,
    /// Domain of the accounts.
    #[arg(long, default_value = "localhost")]
    pub domain: String,
    /// How the connection becomes private.
    #[arg(long, value_enum, default_value = "starttls")]
    pub tls: Security,
    /// Accounts: prefix,count,password.
    #[arg(long, default_value = "user,1000,secret")]
    pub users: Users,
    /// SASL mechanism; `best` takes the strongest SCRAM that is offered.
    #[arg(long, default_value = "SCRAM-SHA-1", value_parser = mechanism)]
    pub mechanism: Choice,
    /// Process id of the server, or several: process time and memory, with all children, go into the report.
    #[arg(long, value_delimiter = ',')]
    pub server_pid: Vec<u32>,
    /// Name of the server in the report.
    #[arg(long, default_value = "server")]
    pub name: String,
    /// Where derived SCRAM keys are kept between runs.
    #[arg(long)]
    pub keys: Option<PathBuf>,
    /// How many logins are under way at once.
    #[arg(long, default_value_t = 32)]
    pub concurrency: usize,
    /// Longest wait for one answer, in seconds.
    #[arg(long, default_value_t = 30)]
    pub patience: u64,
}

/// A mechanism, or the best one.
#[derive(Clone, Copy, Debug)]
pub enum Choice {
    /// The strongest SCRAM that the server offers.
    Best,
    /// This one.
    Only(Mechanism),
}

fn mechanism(text: &str) -> Result<Choice, String> {
    if text == "best" {
        return Ok(Choice::Best);
    }
    Mechanism::named(text)
        .map(Choice::Only)
        .ok_or_else(|| format!("unknown mechanism {text}"))
}

impl Target {
    /// Where the server listens for connection `index`.
    #[must_use]
    pub fn address(&self, index: u32) -> SocketAddr {
        let port = self.port.get(index as usize % self.port.len().max(1));
        (self.host, port.copied().unwrap_or(5222)).into()
    }

    /// The source address of connection `index`: 127.0.0.2 and on, so that ports do not run out.
    #[must_use]
    pub fn source(&self, index: u32) -> SocketAddr {
        let last = 2 + u8::try_from(index % 200).unwrap_or(0);
        (Ipv4Addr::new(127, 0, 0, last), 0).into()
    }

    /// Longest wait for one answer.
    #[must_use]
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.patience)
    }
}
