//! PROXY protocol: the address of a client, told by the load balancer in front of us.
//!
//! Source: "The PROXY protocol, versions 1 & 2" (haproxy.org, proxy-protocol.txt), §2.1, §2.2.
//! Left out: the additional fields (TLVs), which are skipped; datagrams and Unix sockets, which count as unknown.
//! Why here: pure; the listener reads it from sources it trusts, before anything else is read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The first bytes of version 2.
pub(super) const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// A line of version 1 has at most 107 bytes, its end included.
pub(super) const V1_MAX: usize = 107;
/// Bytes before the variable part of version 2.
pub(super) const V2_HEAD: usize = 16;
/// What we take of the variable part: addresses and a generous set of additional fields.
pub(super) const V2_MAX: usize = 4096;

/// A header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Where the client is; `None` if the proxy speaks for itself (health checks) or does not know.
    pub source: Option<SocketAddr>,
    /// How long the header is.
    pub length: usize,
}

/// Why a header is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// It may be one, but its end is missing.
    #[error("incomplete PROXY header")]
    Incomplete,
    /// It is none.
    #[error("invalid PROXY header")]
    Invalid,
    /// More additional fields than we take.
    #[error("PROXY header too long")]
    TooLong,
}

/// Parses a header at the start of `input`.
///
/// # Errors
/// See [`ParseError`].
pub fn parse(input: &[u8]) -> Result<Header, ParseError> {
    let head = &input[..input.len().min(SIGNATURE.len())];
    if SIGNATURE.starts_with(head) {
        if head.len() < SIGNATURE.len() {
            Err(ParseError::Incomplete)
        } else {
            parse_v2(input)
        }
    } else {
        parse_v1(input)
    }
}

/// How long the variable part of version 2 is, told by its first [`V2_HEAD`] bytes.
pub(super) fn v2_length(head: &[u8]) -> Result<usize, ParseError> {
    let [high, low] = *head.get(14..V2_HEAD).ok_or(ParseError::Incomplete)? else {
        return Err(ParseError::Incomplete);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > V2_MAX {
        Err(ParseError::TooLong)
    } else {
        Ok(length)
    }
}

fn parse_v2(input: &[u8]) -> Result<Header, ParseError> {
    let rest = v2_length(input)?;
    let (head, body) = input.split_at(V2_HEAD);
    let body = body.get(..rest).ok_or(ParseError::Incomplete)?;
    let source = match (head[12], head[13]) {
        // LOCAL: the proxy's own connection; addresses are to be ignored.
        (0x20, _) => None,
        // PROXY, TCP over IPv4: source, destination, source port, destination port.
        (0x21, 0x11) => {
            let [a, b, c, d, _, _, _, _, high, low, ..] = *body else {
                return Err(ParseError::Invalid);
            };
            body.get(..12).ok_or(ParseError::Invalid)?;
            Some((IpAddr::from([a, b, c, d]), u16::from_be_bytes([high, low])))
        }
        // PROXY, TCP over IPv6.
        (0x21, 0x21) => {
            body.get(..36).ok_or(ParseError::Invalid)?;
            let address: [u8; 16] = body[..16].try_into().map_err(|_| ParseError::Invalid)?;
            Some((
                canonical(IpAddr::from(address)),
                u16::from_be_bytes([body[32], body[33]]),
            ))
        }
        (0x21, 0x00 | 0x12 | 0x22 | 0x31 | 0x32) => None,
        _ => return Err(ParseError::Invalid),
    };
    Ok(Header {
        source: source.map(SocketAddr::from),
        length: V2_HEAD + rest,
    })
}

fn parse_v1(input: &[u8]) -> Result<Header, ParseError> {
    const START: &[u8] = b"PROXY ";
    let head = &input[..input.len().min(START.len())];
    if !START.starts_with(head) {
        return Err(ParseError::Invalid);
    }
    let window = &input[..input.len().min(V1_MAX)];
    let Some(end) = memchr::memmem::find(window, b"\r\n") else {
        return Err(if window.len() < V1_MAX {
            ParseError::Incomplete
        } else {
            ParseError::Invalid
        });
    };
    let line = std::str::from_utf8(&window[..end]).map_err(|_| ParseError::Invalid)?;
    let length = end + 2;
    let mut words = line.split(' ').skip(1);
    let mut word = || words.next().ok_or(ParseError::Invalid);
    let source = match word()? {
        "UNKNOWN" => {
            return Ok(Header {
                source: None,
                length,
            });
        }
        "TCP4" => (address::<Ipv4Addr>(word()?)?, address::<Ipv4Addr>(word()?)?).0,
        "TCP6" => (address::<Ipv6Addr>(word()?)?, address::<Ipv6Addr>(word()?)?).0,
        _ => return Err(ParseError::Invalid),
    };
    let (port, _) = (port(word()?)?, port(word()?)?);
    match word() {
        Ok(_) => Err(ParseError::Invalid),
        Err(_) => Ok(Header {
            source: Some(SocketAddr::new(canonical(source), port)),
            length,
        }),
    }
}

fn address<A: std::str::FromStr + Into<IpAddr>>(text: &str) -> Result<IpAddr, ParseError> {
    text.parse::<A>()
        .map(Into::into)
        .map_err(|_| ParseError::Invalid)
}

fn port(text: &str) -> Result<u16, ParseError> {
    let canonical = text == "0" || !text.starts_with(['0', '+']);
    text.parse()
        .ok()
        .filter(|_| canonical)
        .ok_or(ParseError::Invalid)
}

/// `::ffff:192.0.2.1` is 192.0.2.1.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests;
