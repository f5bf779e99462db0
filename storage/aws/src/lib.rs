//! DynamoDB as a table, S3 as blobs.
//!
//! | file | what |
//! |---|---|
//! | `options.rs` | where, who, how long: each defaults to what the SDK finds in its usual places |
//! | `failure.rs` | what a failed request means: was it done, may it be asked again, what is the operator told |
//! | `tally.rs` | what a call cost, told to an observer |
//! | `dynamo` | [`DynamoTable`]: items, expressions, writes that know themselves again, pages, scans |
//! | `s3` | [`S3Blobs`]: keys that spread, conditional puts, parts, signed addresses |
//! | `setup.rs` | the report of `init`, which creates what is missing; `check`, after which a start may go on |
//!
//! The SDK's own retries are off: a repeat must know which write it repeats (`storage::layer::attempts`).

pub mod dynamo;
mod failure;
pub mod options;
pub mod s3;
pub mod setup;
mod tally;
mod write_id;

pub use dynamo::DynamoTable;
pub use options::{Access, DynamoOptions, S3Options, Timeouts};
pub use s3::{Presigned, S3Blobs};
pub use setup::{Report, Step, Tell};
