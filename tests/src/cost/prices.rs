//! What a million of each costs, in dollars: one file, to be replaced by who pays other prices (`--prices`).

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::ledger::Spent;

const BUILT_IN: &str = include_str!("prices.json");

/// Dollars for a million.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// Of which region.
    pub region: String,
    /// When they were so.
    pub date: String,
    /// Whose they are, and what is not in them.
    pub source: String,
    /// Read units of DynamoDB on demand.
    pub read_units: f64,
    /// Write units.
    pub write_units: f64,
    /// Gets from S3.
    pub s3_get: f64,
    /// Puts.
    pub s3_put: f64,
    /// Lists.
    pub s3_list: f64,
    /// Deletes.
    pub s3_delete: f64,
}

impl Prices {
    /// Those of a file, or those that are built in.
    ///
    /// # Errors
    /// The file cannot be read, or is none.
    pub fn load(file: Option<&Path>) -> Result<Self> {
        let text = match file {
            Some(file) => std::fs::read_to_string(file)
                .with_context(|| format!("reading {}", file.display()))?,
            None => BUILT_IN.to_owned(),
        };
        serde_json::from_str(&text).context("prices")
    }

    /// What a million times this costs.
    #[must_use]
    pub fn of_a_million(&self, spent: &Spent) -> f64 {
        let total = spent.total();
        let objects = spent
            .asked
            .iter()
            .filter(|((space, ..), _)| *space == "blobs");
        let objects = objects.map(|((_, call, _), counts)| {
            let price = match *call {
                "blob_put" => self.s3_put,
                "blob_list" => self.s3_list,
                "blob_remove" => self.s3_delete,
                _ => self.s3_get,
            };
            price * counts.requests as f64
        });
        total.read_units * self.read_units
            + total.write_units * self.write_units
            + objects.sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::ledger::Counts;

    #[test]
    fn units_and_requests_are_paid() {
        let prices = Prices::load(None).unwrap();
        let check = |asked, counts, expected: f64| {
            let mut spent = Spent::default();
            spent.asked.insert(asked, counts);
            let found = prices.of_a_million(&spent);
            assert!((found - expected).abs() < 1e-9, "{asked:?}: {found}");
        };
        let units = |read_units, write_units| Counts {
            requests: 1,
            read_units,
            write_units,
            ..Counts::default()
        };
        check(
            ("core", "get", "account"),
            units(2.0, 0.0),
            2.0 * prices.read_units,
        );
        check(
            ("core", "write", "roster"),
            units(0.0, 4.0),
            4.0 * prices.write_units,
        );
        check(
            ("blobs", "blob_put", "object"),
            units(0.0, 0.0),
            prices.s3_put,
        );
        check(
            ("blobs", "blob_get", "object"),
            units(0.0, 0.0),
            prices.s3_get,
        );
        check(
            ("blobs", "blob_list", "object"),
            units(0.0, 0.0),
            prices.s3_list,
        );
        check(
            ("blobs", "blob_remove", "object"),
            units(0.0, 0.0),
            prices.s3_delete,
        );
    }
}
