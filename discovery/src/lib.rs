//! Where other nodes may be: addresses to dial, nothing more.
//!
//! Who is a member is decided by the hello on a link and by the directory; a candidate that nobody answers at costs a
//! dial. So a source may give too much, and an outage of a source takes nothing away.
//!
//! | file | what |
//! |---|---|
//! | `candidate.rs` | [`Candidate`]: an address and what is known of who is there; [`Answer`]: what one round found |
//! | `source` | [`Fixed`], [`Dns`], [`Registry`], [`Mixed`]; tags of EC2 are the crate `discovery-ec2` |
//! | `watcher` | [`Watcher`]: asks a source again and again, keeps its last good answer, tells what changed |
//! | `backoff.rs`, `bucket.rs` | how long to wait after a failure; how often to ask at most |
//! | `instance` | [`Instance`]: who and where this instance of EC2 is, and what is planned for it (IMDSv2) |
//! | `error.rs` | absent, denied, throttled, unavailable: different answers |
//!
//! Knows nothing of links, directory, storage or XMPP. Time is tokio's, which tests pause; the registry, whose rows are
//! compared between machines, is given a clock.

pub mod backoff;
pub mod bucket;
pub mod candidate;
pub mod error;
pub mod instance;
pub mod source;
pub mod watcher;

pub use candidate::{Answer, Candidate};
pub use error::{Error, ErrorKind, Result};
pub use instance::Instance;
pub use source::{Discovery, Dns, Fixed, MemoryRows, Mixed, Registry, RegistryRows, Resolver, Row};
pub use watcher::{Event, Observer, Watcher};
