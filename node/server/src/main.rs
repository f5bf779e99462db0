//! Starling.
fn main() {}
