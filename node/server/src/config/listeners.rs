//! `[[listeners]]` and `http`: addresses, none of which may be taken by another.

use std::net::{IpAddr, SocketAddr};

use super::{
    Config, ListenerConfig, Security,
    meaning::address,
    mistake::Place,
    raw::Node,
    reader::{Section, Wrong, boolean, choice, text},
    values::parse_address,
};
use crate::net::Network;

/// Where listeners stand: key and place, in their order.
pub(super) type Places = Vec<(String, Place)>;

/// Reads `[[listeners]]`.
pub(super) fn listeners(root: &mut Section<'_>, config: &mut Config) -> Places {
    let mut places = Places::new();
    let Some(written) = root.tables("listeners") else {
        return places;
    };
    if written.is_empty() {
        root.mistake(
            None,
            "listeners",
            Wrong::new("there is none", "name one, or leave the key out"),
        );
    }
    config.listeners.clear();
    for (index, listener) in written.into_iter().enumerate() {
        let key = format!("listeners[{index}]");
        let (place, listener) = match listener {
            Ok(section) => listener_table(section),
            Err(node) => {
                let listener = listener_text(&node)
                    .map_err(|wrong| root.mistake(Some(&node.place), &key, wrong));
                (node.place, listener.ok())
            }
        };
        let Some(listener) = listener else { continue };
        for (other, (other_key, _)) in config.listeners.iter().zip(&places) {
            if overlap(other.address, listener.address) {
                let wrong = format!("{} is taken by {other_key}", listener.address);
                let wrong = Wrong::new(wrong, "give each listener its own port");
                root.mistake(Some(&place), &key, wrong);
                break;
            }
        }
        config.listeners.push(listener);
        places.push((key, place));
    }
    places
}

/// Whether `http` has an address for itself; `place` is where it was written, if it was.
pub(super) fn http(root: &Section<'_>, config: &Config, place: Option<Place>, places: &Places) {
    let Some(address) = config.http else { return };
    let same = |it: &ListenerConfig| overlap(it.address, address);
    let Some(index) = config.listeners.iter().position(same) else {
        return;
    };
    let listener = places.get(index);
    let other = match listener {
        Some((key, _)) => key.clone(),
        None => format!("the listener on {}", config.listeners[index].address),
    };
    let wrong = format!("{address} is taken by {other}");
    let wrong = Wrong::new(wrong, "give it a port of its own, or write http = false");
    let place = place.as_ref().or(listener.map(|(_, place)| place));
    root.mistake(place, "http", wrong);
}

/// Whether the system would not give out both addresses. `[::]` takes those of version 4 as well.
pub(super) fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let takes = |a: IpAddr, b: IpAddr| {
        let (a, b) = (a.to_canonical(), b.to_canonical());
        a == b || a.is_unspecified() && (a.is_ipv6() || b.is_ipv4())
    };
    a.port() != 0 && a.port() == b.port() && (takes(a.ip(), b.ip()) || takes(b.ip(), a.ip()))
}

const SECURITIES: &[(&str, bool)] = &[("starttls", false), ("direct", true)];

fn listener_table(mut section: Section<'_>) -> (Place, Option<ListenerConfig>) {
    let mut at = None;
    let address = section.read("address", &mut at, |node| address(node).map(Some));
    if address.is_none() {
        section.mistake(
            None,
            "address",
            Wrong::new("it is missing", "write address = \"[::]:5222\""),
        );
    }
    let mut direct = false;
    section.read("security", &mut direct, choice(SECURITIES));
    let mut required = true;
    let place = section.read("starttls_required", &mut required, boolean);
    if direct && place.is_some() {
        let wrong = Wrong::new("a direct listener has no STARTTLS", "leave it out");
        section.mistake(place.as_ref(), "starttls_required", wrong);
    }
    let proxies = section.list("proxies", |node| {
        text(node)?
            .parse::<Network>()
            .map_err(|error| Wrong::new(error.to_string(), "write one such as \"10.0.0.0/8\""))
    });
    let place = address.unwrap_or_else(|| section.place.clone());
    section.finish();
    let listener = at.map(|address| ListenerConfig {
        address,
        security: if direct {
            Security::Direct
        } else {
            Security::StartTls { required }
        },
        proxies: proxies.unwrap_or_default(),
    });
    (place, listener)
}

/// `[::]:5222`, `starttls:[::]:5222` or `direct:[::]:5223`.
fn listener_text(node: &Node) -> Result<ListenerConfig, Wrong> {
    let written = text(node)?;
    let (security, at) = match written.split_once(':') {
        Some(("direct", at)) => (Security::Direct, at),
        Some(("starttls", at)) => (Security::StartTls { required: true }, at),
        _ => (Security::StartTls { required: true }, written.as_str()),
    };
    let address = parse_address(at).ok_or_else(|| {
        let remedy = "write \"[::]:5222\", \"direct:[::]:5223\", or a table with `address`";
        Wrong::new(format!("\"{written}\" is no listener"), remedy)
    })?;
    Ok(ListenerConfig {
        address,
        security,
        proxies: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_overlap_as_the_system_has_it() {
        let check = |a: &str, b: &str, expected: bool| {
            let (a, b): (SocketAddr, SocketAddr) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!(
                (overlap(a, b), overlap(b, a)),
                (expected, expected),
                "{a} {b}"
            );
        };
        check("127.0.0.1:1", "127.0.0.1:1", true);
        check("127.0.0.1:1", "127.0.0.1:2", false);
        check("127.0.0.1:0", "127.0.0.1:0", false);
        check("127.0.0.1:1", "127.0.0.2:1", false);
        check("0.0.0.0:1", "127.0.0.1:1", true);
        check("0.0.0.0:1", "[::1]:1", false);
        check("0.0.0.0:1", "[::]:1", true);
        check("[::]:1", "127.0.0.1:1", true);
        check("[::]:1", "[::1]:1", true);
        check("[::1]:1", "127.0.0.1:1", false);
        check("[::ffff:127.0.0.1]:1", "127.0.0.1:1", true);
    }
}
