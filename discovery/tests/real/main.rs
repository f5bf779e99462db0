//! Sources and metadata over real interfaces: a DNS server, and moto's instances.
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod dns;
mod instance;
