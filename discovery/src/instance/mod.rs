//! Skeleton.
/// Skeleton.
pub struct Instance;
