//! The roster (RFC 6121 §2 and §3).

pub mod subscription;
pub mod xml;
