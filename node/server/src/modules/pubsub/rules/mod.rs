//! The rules of a pubsub node (XEP-0060), the same for a service and for an account (XEP-0163): values in, effects out.
//!
//! | file | what | section of XEP-0060 |
//! |---|---|---|
//! | `affiliation`, `access` | who may do what | 4.1, 4.5 |
//! | `config`, `config_rows`, `config_form` | how a node behaves, and its form | 8.2, 16.4 |
//! | `publish` | items come and go | 7 |
//! | `retrieve` | items are read | 6.5 |
//! | `subscribe`, `options` | subscriptions of those who ask | 6.1 to 6.4 |
//! | `owner` | configuration, affiliations, subscriptions in the hands of owners | 8 |
//! | `event` | what subscribers are told | 7.1.2, 7.2.2, 8 |
//! | `error` | conditions of its own | 6 to 8 |

pub mod access;
pub mod affiliation;
pub mod config;
pub mod config_form;
mod config_rows;
pub mod error;
pub mod event;
pub mod node;
pub mod options;
pub mod owner;
pub mod publish;
pub mod retrieve;
pub mod subscribe;
#[cfg(test)]
mod tests;

pub use self::{
    access::{Actor, Standing},
    config::Config,
    event::{Audience, Event},
    node::{Effect, Limits, Node, Policy},
};
