//! What operations cost where a store is paid by the request.
//!
//! | file | what |
//! |---|---|
//! | `ledger` | adds up what the backends tell |
//! | `prices` | what a request and a unit cost, from `prices.json` |
//! | `cloud` | DynamoDB, S3 and memcached for a node, some time away |
//! | `node` | a node over them |
//! | `login` | the ways in of a client |
//! | `row` | an operation, done some times |
//! | `scenarios` | the operations, in order |
//! | `report` | the table for people and for programs |
//! | `page` | the page of the documentation |

pub mod cloud;
pub mod ledger;
pub mod login;
pub mod node;
pub mod page;
pub mod prices;
pub mod report;
pub mod row;
pub mod scenarios;
