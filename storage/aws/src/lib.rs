//! DynamoDB as a table, S3 as blobs.
