//! The query protocol of EC2 and Auto Scaling, as far as tests speak it themselves.

use std::{fmt::Write as _, io};

use super::REGION;
use crate::http::{self, Answer};

/// Calls an action of a service.
pub(super) fn call(
    port: u16,
    service: &str,
    action: &str,
    parameters: &[(&str, &str)],
) -> io::Result<String> {
    let version = if service == "ec2" {
        "2016-11-15"
    } else {
        "2011-01-01"
    };
    let mut body = format!("Action={action}&Version={version}");
    for (name, value) in parameters {
        body.push('&');
        body.push_str(name);
        body.push('=');
        for byte in value.bytes() {
            let _ = write!(body, "%{byte:02X}");
        }
    }
    // It reads of whom and what a request is, and does not look at signatures.
    let headers = format!(
        "Content-Type: application/x-www-form-urlencoded\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential=starling/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=00\r\n"
    );
    let answer = http::ask(port, "POST", "/", &headers, body.as_bytes())?;
    good(action, answer)
}

/// The body of an answer, unless it is a refusal.
pub(super) fn good(what: &str, (status, body): Answer) -> io::Result<String> {
    let body = String::from_utf8_lossy(&body).into_owned();
    if status == 200 {
        return Ok(body);
    }
    Err(io::Error::other(format!("{what}: {status} {body}")))
}

/// The texts of all elements of this name.
pub fn all(xml: &str, element: &str) -> Vec<String> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let parts = xml.split(open.as_str()).skip(1);
    let texts = parts.filter_map(|part| Some(part.split_once(close.as_str())?.0.to_owned()));
    texts.collect()
}

/// The text of the first element of this name.
pub(super) fn one(xml: &str, element: &str) -> io::Result<String> {
    let found = all(xml, element).into_iter().next();
    found.ok_or_else(|| io::Error::other(format!("no {element} in {xml}")))
}

/// RFC 4648 §4.
pub(super) fn base64(data: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in data.chunks(3) {
        let bits = three
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            text.push(if digit > three.len() {
                '='
            } else {
                char::from(DIGITS[value as usize])
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64() {
        for (data, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(super::base64(data.as_bytes()), expected);
        }
    }
}
