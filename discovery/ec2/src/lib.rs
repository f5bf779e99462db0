//! Peers and the life cycle of an instance in EC2. A crate of its own because its SDK takes minutes to build.
