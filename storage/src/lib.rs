//! Storage: three shapes, the backends that implement them, the repositories over them.

pub mod error;
pub mod shape;

pub use error::{Error, ErrorKind, Result};
