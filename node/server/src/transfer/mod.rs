//! Transfer: accounts with all they have, from one server to another.
//!
//! Source: XEP-0227 v1.1 (portable import and export), with XInclude. Read as well: what ejabberd 23.01 and Prosody 0.12
//! write, see [`credentials`]. Left out: pubsub and PEP nodes (no repository keeps them yet), which are counted and told.
//! Why here: streams both ways. Memory is bounded by one page of a log, one roster, and [`import::MAX_WAITING`] bytes of
//! messages that wait for their archive.
//!
//! Archive ids survive: they are numbers of the log, so a gap between two (an entry that is not in the archive) is filled
//! with empty entries. A client that knew "after 4711" goes on from there, and a second export equals the first.
//! What the XEP has no words for (a locked account, archive preferences, the number of a message that waits but is not
//! archived) stands in the namespace [`OWN`] or in that of its own XEP.

mod credentials;
pub mod export;
pub mod import;
mod log_writer;
mod privacy;
mod reader;
mod roster;
#[cfg(test)]
mod tests;

/// What we add to the XEP's words.
pub const OWN: &str = "urn:starling:pie:0";
/// Archives in an export (XEP-0227 §4.11).
const PIE_MAM: &str = "urn:xmpp:pie:0#mam";
/// Parts in other files.
const XINCLUDE: &str = "http://www.w3.org/2001/XInclude";
