//! Cases that are easier to read one by one.
