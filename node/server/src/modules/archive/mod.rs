//! The message archive (XEP-0313).

pub mod preferences;
