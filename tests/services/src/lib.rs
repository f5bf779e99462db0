//! Real servers for the tests: started on loopback, on ports that were free, with a directory of their own, and ended by
//! process id when their handle is dropped.
//!
//! `tests/install` installs what is started here. A server is up when it answered a real request, not when its port opened.

pub mod memcached;
pub mod port;
pub mod process;

pub use memcached::Memcached;
pub use port::free_port;
pub use process::{Process, Starting};
