//! The page of the documentation: what was measured, how, and what follows from it.

use std::fmt::Write as _;

use super::{report::Report, row::Row};

impl Report {
    /// The page, as it stands in `docs`.
    #[must_use]
    pub fn page(&self) -> String {
        let mut page = String::from(TITLE);
        let _ = write!(
            page,
            "{}\n\n```text\n{}```\n\nWith memcached:\n\n```text\n{}```\n\n{COLUMNS}\n\n",
            self.how(),
            self.table(false),
            self.table(true),
        );
        page += "## What memcached spares\n\n";
        page += &self.spared();
        page += "\n## What each operation asks for\n\n";
        for row in &self.plain {
            let _ = writeln!(page, "- **{}**: {}.", row.name, asks(row));
        }
        page += CONCLUSIONS;
        page
    }

    fn how(&self) -> String {
        let prices = &self.prices;
        format!(
            "Prices of {} in {}: {}; {} and {} dollars for a million read and write units, {} and {} for a million gets and \
             puts of S3. Each operation was done {} times over TLS on one node; DynamoDB answered {} ms and S3 {} ms late, \
             as they would from afar, so times here are round trips and little else. `cargo run -p tests --bin cost` \
             measures it where you are, `--prices FILE` with your prices.",
            prices.region,
            prices.date,
            prices.source,
            prices.read_units,
            prices.write_units,
            prices.s3_get,
            prices.s3_put,
            self.times,
            self.lag.tables.as_millis(),
            self.lag.objects.as_millis(),
        )
    }

    /// The rows that differ.
    fn spared(&self) -> String {
        let requests = |row: &Row| row.each(row.spent.total().requests as f64);
        let mut text = String::from(
            "| operation | requests | with memcached | $/million | with memcached | p50 ms | with memcached |\n\
             |---|---|---|---|---|---|---|\n",
        );
        for (plain, cached) in self.plain.iter().zip(&self.cached) {
            if plain.asks() == cached.asks() || plain.requests.0 != plain.requests.1 {
                continue;
            }
            let _ = writeln!(
                text,
                "| {} | {:.1} | {:.1} | {:.2} | {:.2} | {:.1} | {:.1} |",
                plain.name,
                requests(plain),
                requests(cached),
                plain.price(&self.prices),
                cached.price(&self.prices),
                plain.latency.quantile_ms(0.5),
                cached.latency.quantile_ms(0.5),
            );
        }
        text
    }
}

fn asks(row: &Row) -> String {
    match row.asks() {
        asks if asks.is_empty() => "nothing".to_owned(),
        asks => asks.join(", "),
    }
}

const TITLE: &str = "# What operations cost on DynamoDB and S3\n\n";

const COLUMNS: &str = "\
`core`, `log`, `idx`: requests to those tables; RRU and WRU: request units; sent and received: bytes of bodies; cached: reads \
that memcached answered. A write of what an account owns is a transaction (the record, and a check that the account is still \
there), which takes two units for a kilobyte of each: four where a lone write takes one. The mailbox record is written \
behind operations: once after the last resource of an account has left, after 50 acknowledged messages, or a quarter of a \
minute after one.";

const CONCLUSIONS: &str = "
## What follows

- Nothing that clients wait for lists or scans (a test asserts it): every request names a partition, and a key or a range in it.
- A message is a lone put in the recipient's log and one in the sender's, each a unit: nothing is read for it, and messages \
that come together share items.
- Units of reading are the small part: strong reads of records below 4 KB take one each. What costs is writing beside \
messages: roster, vCard, mailbox, tokens.
- memcached answers for rosters, vCards and private XML. It spares a read unit each, and for large vCards a request to S3 and \
its time; credentials, tokens, block lists and logs never come from it. At these prices a small cache node pays for itself \
by time more than by units.
";
