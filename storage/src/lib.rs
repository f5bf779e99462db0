//! Storage: three shapes, the backends that implement them, the repositories over them.

pub mod error;
pub mod repository;
pub mod shape;
pub mod stores;

pub use error::{Error, ErrorKind, Result};
pub use stores::Stores;
