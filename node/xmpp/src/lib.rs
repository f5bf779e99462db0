//! The words of the protocol: no runtime, no clock, no I/O.
//!
//! Bytes become [`codec::StreamEvent`]s; a first-level child of a stream is a [`Fragment`] that keeps its bytes and
//! an index over them; a fragment that is a message, presence or iq is a [`Stanza`]. What we build ourselves is an
//! [`Element`]. Addresses are [`Jid`], [`BareJid`], [`FullJid`]. [`error`] holds the RFC's conditions, [`sasl`] the
//! mechanisms as pure exchanges, [`payload`] the small payloads that many features share.

pub mod codec;
pub mod element;
pub mod error;
mod folding;
pub mod fragment;
pub mod jid;
pub mod ns;
pub mod payload;
pub mod sasl;
pub mod stanza;

pub use element::Element;
pub use error::{ErrorType, StanzaError, StanzaErrorCondition, StreamError, StreamErrorCondition};
pub use folding::folded;
pub use fragment::{Fragment, Node};
pub use jid::{BareJid, FullJid, Jid, JidError};
pub use stanza::{Kind, Stanza};
