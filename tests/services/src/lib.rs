//! Real servers for the tests: started on loopback, on ports that were free, with a directory of their own, and ended by
//! process id when their handle is dropped.
//!
//! `tests/install` installs what is started here. A server is up when it answered a real request, not when its port opened.

pub mod account;
pub mod dns;
pub mod dynoxide;
pub mod faults;
pub mod haproxy;
mod http;
pub mod mariadb;
pub mod memcached;
pub mod moto;
pub mod port;
pub mod postgres;
pub mod process;
pub mod redis;
pub mod slapd;
pub mod wire;

pub use account::Account;
pub use dns::Dns;
pub use mariadb::MariaDb;
pub mod seaweedfs;

pub use dynoxide::Dynoxide;
pub use faults::{Fault, Faults};
pub use haproxy::Haproxy;
pub use memcached::Memcached;
pub use moto::Moto;
pub use port::free_port;
pub use postgres::Postgres;
pub use process::{Process, Starting};
pub use redis::{Redis, Sentinel};
pub use seaweedfs::SeaweedFs;
pub use slapd::{Certificate, Slapd};
pub use wire::{Way, Ways, Wire, WireProxy};
