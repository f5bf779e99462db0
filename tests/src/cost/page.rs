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
             as they would from afar. The build was one for development on a machine with other work: of the times compare one with \
             another, the counts are exact. `cargo run -p tests --bin cost` \
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

- Nothing that clients wait for lists or scans (`tests/tests/cost.rs` asserts it, and the requests of each line): every \
request names a partition, and a key or a range in it.
- A message is a lone put in the recipient's log and one in the sender's, a unit each: nothing is read for it, and messages \
that come together share items. To somebody who is not in memory it costs the five reads of a home as well, once in a quarter \
of a minute.
- Writing beside messages is what costs: three of the four units of a roster change, a mailbox record or a token are the \
transaction with the check that the account is still there.
- A login reads the account's record three times, on purpose: for the proof, for the home, and once others can see the \
session, because whoever locked or removed the account in between must win.
- What waits for somebody is read twice, to know how much it is and to hand it over.
- memcached answers for rosters, vCards and private XML, and for large values, which spares a request to S3 and its time. \
Credentials, tokens, block lists and logs never come from it. A login saves two read units by it: at these prices a cache of \
a dozen dollars a month is paid by its units at some fifty million logins a month, and by its time before.
- Not in the prices: storage, transfer, point-in-time recovery, the cache's nodes, and what maintenance asks for by day.
";
