//! A real OpenLDAP: who may log in, what a vCard says, who is in a group, and what is said when nobody answers.

mod accounts;
mod directory;
mod groups;
mod outage;
mod tls;
mod vcards;
