//! Peers and the life cycle of an instance in EC2. A crate of its own because its SDK takes minutes to build.
//!
//! | file | what |
//! |---|---|
//! | `access.rs` | [`Access`]: whom to ask, and as whom |
//! | `failure.rs` | what a failed request means |
//! | `source.rs` | [`Ec2`]: the running instances that bear tags |
//! | `lifecycle.rs` | [`Lifecycle`]: the group of this instance; its drain told to the group |
//!
//! Permissions: `ec2:DescribeInstances`; `autoscaling:DescribeAutoScalingInstances`, `autoscaling:DescribeLifecycleHooks`,
//! `autoscaling:CompleteLifecycleAction`, `autoscaling:RecordLifecycleActionHeartbeat`.

mod access;
mod failure;
mod lifecycle;
mod source;

pub use access::Access;
pub use lifecycle::{Held, Hook, Lifecycle, Outcome, Transition};
pub use source::{Ec2, Ec2Options, Family};
