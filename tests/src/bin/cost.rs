//! `cost`: what operations cost on DynamoDB, S3 and memcached, in requests, units, money and time.
//!
//! Starts the servers itself (`tests/install` installs them) and asks nothing of the network.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::Parser;
use tests::cost::{cloud::Lag, prices::Prices, report::Report};

#[derive(Parser)]
#[command(about = "Says what operations cost on DynamoDB and S3, with memcached and without")]
struct Arguments {
    /// How often each operation is done.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    times: u64,
    /// How late DynamoDB answers, in milliseconds.
    #[arg(long, default_value_t = 5)]
    tables_ms: u64,
    /// How late S3 answers, in milliseconds.
    #[arg(long, default_value_t = 20)]
    objects_ms: u64,
    /// Prices other than the built-in ones (`tests/src/cost/prices.json` shows how).
    #[arg(long)]
    prices: Option<PathBuf>,
    /// Prints JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// Writes the page of the documentation as well.
    #[arg(long)]
    write: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if this fails.
            let _ = writeln!(io::stderr(), "cost: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let prices = Prices::load(arguments.prices.as_deref())?;
    let lag = Lag {
        tables: Duration::from_millis(arguments.tables_ms),
        objects: Duration::from_millis(arguments.objects_ms),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(Report::measure(prices, lag, arguments.times))?;
    let mut output = io::stdout();
    if arguments.json {
        writeln!(output, "{}", report.json()?)?;
    } else {
        write!(output, "{}\nwith memcached\n", report.table(false))?;
        write!(output, "{}", report.table(true))?;
    }
    if let Some(page) = &arguments.write {
        std::fs::write(page, report.page())
            .with_context(|| format!("writing {}", page.display()))?;
    }
    Ok(())
}
