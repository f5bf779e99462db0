//! Payloads that many features share, each in its file, typed both ways.
//!
//! Source: XEP-0004 (forms), XEP-0059 (result sets), XEP-0082 and XEP-0203 (time and delay), XEP-0297 (forwarding),
//! XEP-0359 (stanza ids), RFC 6120 §8.3 (errors). What one feature alone uses stands with that feature.

pub mod delay;
pub mod error;
pub mod form;
pub mod forward;
pub mod rsm;
pub mod sid;
