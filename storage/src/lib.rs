//! Storage: three shapes, the backends that implement them, the repositories over them.

pub mod backend;
pub mod clock;
pub mod conformance;
pub mod error;
pub mod layer;
pub mod shape;

pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{Error, ErrorKind, Result};
