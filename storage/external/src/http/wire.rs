//! Wire: what stands in requests and answers, as `docs/backends/http-api.yaml` has it.
//!
//! Numbers stay below 2^53, which every reader of JSON understands; what is drawn at random is text. Bytes are base64,
//! but stanzas, which are text.

mod accounts;
mod logs;
mod rosters;

pub(super) use accounts::*;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
pub(super) use logs::*;
pub(super) use rosters::*;
use serde::Deserialize;
use storage::Result;

use crate::corrupt;

/// The largest number that is the same everywhere (RFC 8259 §6).
pub(in crate::http) const MAX_NUMBER: u64 = (1 << 53) - 1;

fn wrong(what: &str) -> storage::Error {
    corrupt(format!("the service answers what cannot be: {what}"))
}

fn bytes_of(text: &str, what: &str) -> Result<Vec<u8>> {
    STANDARD.decode(text).map_err(|_| wrong(what))
}

fn text_of(bytes: &Bytes) -> Result<String> {
    let text = String::from_utf8(bytes.to_vec());
    text.map_err(|error| corrupt("a stanza that is no text").with_source(error))
}

/// Why something was refused.
#[derive(Deserialize)]
pub(in crate::http) struct Refusal {
    pub(in crate::http) error: String,
    pub(in crate::http) detail: Option<String>,
}

#[derive(Deserialize)]
pub(in crate::http) struct Version {
    pub(in crate::http) version: u64,
}
