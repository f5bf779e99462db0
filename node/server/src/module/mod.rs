//! The contract of a feature: a module registers what it answers for; its handlers are given a [`Context`].
//!
//! Registrations are data. Only what has no order is registered (IQ namespaces, features, services with an address of
//! their own); what has order is a line in `pipeline`. Two owners of one namespace stop the start.
//!
//! | file | what |
//! |---|---|
//! | `iq` | a request, and who answers it |
//! | `service` | who serves a domain of its own |
//! | `registry` | what the modules registered |
//! | `context` | what a handler may do to the world |

mod context;
mod iq;
mod registry;
mod service;

use std::sync::Arc;

pub use context::{Context, LastActivity, Notice, Outlet, Work};
pub use iq::{Follower, Followers, IqHandler, IqRequest};
pub use registry::{DiscoNode, Registry, Spec, Status, Target, identity};
pub use service::{Administer, Administered, Assertion, Outcome, Receipt, Service};

/// A feature. Said once, at the start.
pub trait Module: Send + Sync {
    /// Says what this module answers for.
    fn register(self: Arc<Self>, registry: &mut Registry);
}
