//! Client connections: from accept to the end of a session.

pub mod bind;
pub mod client_state;
pub mod managed;
mod outbox;
pub mod parking;
pub mod session;
pub mod stream;
pub mod stream_management;

pub use parking::Parking;
pub use session::SessionCore;
