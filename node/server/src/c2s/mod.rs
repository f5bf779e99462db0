//! Client connections: from accept to the end of a session.

mod authenticate;
pub mod bind;
mod carried;
pub mod client_state;
mod establish;
mod external;
mod fast;
mod features;
pub mod front;
mod fronts;
pub mod gate;
mod header;
pub mod managed;
mod mechanisms;
pub mod moving;
pub mod negotiation;
mod outbox;
mod pace;
pub mod parking;
pub mod passage;
pub mod register;
pub mod replica;
mod sasl2;
pub mod session;
pub mod stream;
pub mod stream_management;
mod turns;
mod upgrade;

pub use fronts::Fronts;
pub use parking::Parking;
pub use session::SessionCore;
