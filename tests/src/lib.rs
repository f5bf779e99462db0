//! End-to-end tests, the load program and the comparison with other servers.
//!
//! [`load`] is the client engine and its scenarios (`cargo run -p tests --bin load`); [`bench`] starts the servers,
//! runs the same scenarios on each and compares (`cargo run -p tests --bin bench`); [`faults`] is what the fault tests
//! are made of.

pub mod bench;
pub mod faults;
pub mod load;
