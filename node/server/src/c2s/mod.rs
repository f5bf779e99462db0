//! Client connections.

pub mod client_state;
pub mod stream_management;
