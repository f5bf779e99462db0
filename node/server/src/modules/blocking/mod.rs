//! Blocking (XEP-0191) and privacy lists (XEP-0016).

pub mod rules;
