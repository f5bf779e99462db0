//! Publish-subscribe: nodes where items are published, at a service of their own and at every account.
//!
//! Source: XEP-0060 v1.30, XEP-0163 v1.2.2. Left out: collections (XEP-0248), several subscriptions of one address at a node,
//! digests, leases, `replyto` (XEP-0033).
//!
//! | file | what |
//! |---|---|
//! | `rules` | what may be done at a node, and what that does; pure |
//! | `request` | payloads to requests |
//! | `perform` | a request is looked at by the rules, stored, told, answered |
//! | `reading`, `described` | what changes nothing, and what discovery tells |
//! | `telling` | an event as messages |
//! | `nodes` | nodes in memory, read through |
//! | `features` | what is announced |
//! | `service` | services of their own |
//! | `pep` | accounts as services (XEP-0163) |
//! | `interest` | what clients want to be told of, by their capabilities (XEP-0115) |

pub mod described;
pub mod features;
pub mod interest;
pub mod nodes;
pub mod pep;
pub mod perform;
mod reading;
pub mod request;
pub mod rules;
pub mod service;
pub mod telling;

pub use self::{
    interest::{Caps, Interest, Interests},
    nodes::Nodes,
    pep::Pep,
    service::{PubsubServices, ServiceOptions},
};
