//! A list that does not change; its names are resolved in each round.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use async_trait::async_trait;

use super::{
    Discovery, Resolver,
    parts::{Parts, if_answered},
    resolver::Family,
};
use crate::{Answer, Candidate, Error, ErrorKind, Result};

/// An entry of the list: `10.0.0.1:5270`, `[2001:db8::1]:5270` or `node1.example.org:5270`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address.
    Address(SocketAddr),
    /// A name and a port.
    Name(Box<str>, u16),
}

impl FromStr for Host {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let wrong = |why: &str| {
            let sentence = format!("`{text}` is not host:port: {why}");
            Error::new(ErrorKind::Malformed, NAME, sentence)
        };
        let (name, port) = text.rsplit_once(':').ok_or_else(|| wrong("no port"))?;
        let port = port.parse().map_err(|_| wrong("no port"))?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if name.is_empty() || name.len() > 253 || !name.chars().all(is_name) || port == 0 {
            return Err(wrong("no host name"));
        }
        if name.parse::<IpAddr>().is_ok() {
            return Err(wrong("no address"));
        }
        Ok(Self::Name(name.into(), port))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

const NAME: &str = "fixed";

/// The list. A name with several addresses gives a candidate for each.
pub struct Fixed {
    hosts: Vec<Host>,
    resolver: Resolver,
    parts: Parts<(Host, Family)>,
}

impl Fixed {
    /// A list whose names this resolver knows.
    pub fn new(hosts: Vec<Host>, resolver: Resolver) -> Self {
        Self {
            hosts,
            resolver,
            parts: Parts::default(),
        }
    }
}

#[async_trait]
impl Discovery for Fixed {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn candidates(&self) -> Result<Answer> {
        let (mut answer, mut answered) = (Answer::default(), false);
        let names = self.hosts.iter().filter_map(|host| match host {
            Host::Address(_) => None,
            Host::Name(name, _) => Some(&**name),
        });
        let mut found = self.resolver.all_addresses(NAME, names).await.into_iter();
        for host in &self.hosts {
            let (name, port) = match host {
                Host::Address(address) => {
                    answer.candidates.push(Candidate::at(*address));
                    answered = true;
                    continue;
                }
                Host::Name(name, port) => (name, *port),
            };
            let found = found.next().expect("each name was asked for");
            answer.is_fresh_for(found.fresh_for);
            for (family, addresses) in found.families {
                let candidate = |ip| Candidate::at((ip, port).into()).named(&**name);
                let found = addresses.map(|all| all.into_iter().map(candidate).collect());
                let part = (host.clone(), family);
                answered |= self.parts.settle(part, found, &mut answer);
            }
        }
        if_answered(answered, answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let check = |text: &str, expected: Option<Host>| {
            let host = text.parse::<Host>();
            assert_eq!(host.as_ref().ok(), expected.as_ref(), "{text}");
            if let Ok(host) = host {
                assert_eq!(host.to_string(), text);
            }
        };
        let address = |text: &str| Some(Host::Address(text.parse().unwrap()));
        let name = |name: &str, port| Some(Host::Name(name.into(), port));
        check("10.0.0.1:5270", address("10.0.0.1:5270"));
        check("[2001:db8::1]:5270", address("[2001:db8::1]:5270"));
        check("node1.example.org:5270", name("node1.example.org", 5270));
        check("node_1:1", name("node_1", 1));
        check("node1.example.org", None);
        check("node1.example.org:0", None);
        check("node1.example.org:65536", None);
        check("10.0.0.1", None);
        check("2001:db8::1:5270", None);
        check(":5270", None);
        check("a b:5270", None);
        check("", None);
    }
}
