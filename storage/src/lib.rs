//! Storage: three shapes, the backends that implement them, the repositories over them.

pub mod backend;
pub mod clock;
pub mod conformance;
pub mod error;
mod join;
pub mod key;
pub mod layer;
pub mod maintenance;
pub mod repository;
pub mod shape;
pub mod stores;
pub mod sweep;

pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{Error, ErrorKind, Result};
pub use stores::{Expire, Kept, Layout, Place, StoreLimits, Stores};
