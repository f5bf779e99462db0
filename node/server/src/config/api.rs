//! `[api]`: administration over HTTP, and the console.

use std::net::SocketAddr;

use super::{
    Config,
    listeners::overlap,
    meaning::address,
    raw::Value,
    reader::{Section, Wrong, boolean, text},
};
use crate::net::Network;

/// Administration over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Where; `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// Whether it speaks TLS, with the certificates of the node. Without being told: but for loopback.
    pub tls: bool,
    /// Whether the console is served beside it.
    pub console: bool,
    /// Load balancers that send a PROXY header.
    pub proxies: Vec<Network>,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: None,
            tls: true,
            console: true,
            proxies: Vec::new(),
        }
    }
}

/// Reads the section, behind that of listeners and pages.
pub(super) fn api(mut section: Section<'_>, config: &mut Config) {
    let place = section.read("listen", &mut config.api.listen, |node| match node.value {
        Value::Boolean(false) => Ok(None),
        _ => address(node).map(Some),
    });
    let is_told = section.read("tls", &mut config.api.tls, boolean).is_some();
    section.read("console", &mut config.api.console, boolean);
    let proxies = section.list("proxies", |node| {
        text(node)?
            .parse::<Network>()
            .map_err(|error| Wrong::new(error.to_string(), "write one such as \"10.0.0.0/8\""))
    });
    config.api.proxies = proxies.unwrap_or_default();
    if let Some(at) = config.api.listen {
        if !is_told {
            config.api.tls = !at.ip().to_canonical().is_loopback();
        }
        let others = config.listeners.iter().map(|listener| listener.address);
        if let Some(other) = others.chain(config.http).find(|other| overlap(*other, at)) {
            let wrong = format!("{at} is taken by what listens on {other}");
            let wrong = Wrong::new(wrong, "give it a port of its own");
            section.mistake(place.as_ref(), "listen", wrong);
        }
    }
    section.finish();
}
