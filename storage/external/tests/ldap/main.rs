//! A real OpenLDAP: who may log in, what a vCard says, who is in a group, and what is said when nobody answers.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod accounts;
mod directory;
mod groups;
mod outage;
mod tls;
mod vcards;
