//! The project's habits as commands: `cargo xtask verify | fix | run`.
//!
//! `verify` is the gate. It only reads: what `fix` can write, it writes. Programs that are not installed are named and
//! left out, but for cargo itself.

use std::{
    path::Path,
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

/// Habits.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Habit,
}

#[derive(Debug, Subcommand)]
enum Habit {
    /// Check everything a change must pass: format, lints, tests, documentation, dependencies.
    Verify {
        /// Go on after a step that failed.
        #[arg(long)]
        keep_going: bool,
    },
    /// Format, and apply what the lints can mend.
    Fix,
    /// Start a node that keeps everything in memory; further arguments go to `starling serve`.
    Run {
        /// Arguments of `starling serve`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Habit::Verify { keep_going } => verify(keep_going),
        Habit::Fix => fix(),
        Habit::Run { arguments } => run(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// One thing to check.
struct Step {
    name: &'static str,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
    /// The subcommand of cargo that must be installed for it.
    needs: Option<&'static str>,
}

const fn step(name: &'static str, arguments: &'static [&'static str]) -> Step {
    Step {
        name,
        arguments,
        environment: &[],
        needs: None,
    }
}

const FORMAT: Step = step("format", &["fmt", "--all", "--check"]);
const LINTS: Step = step(
    "lints",
    &[
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "--deny",
        "warnings",
    ],
);
const TESTS: Step = Step {
    needs: Some("nextest"),
    ..step("tests", &["nextest", "run", "--workspace", "--locked"])
};
const PLAIN_TESTS: Step = step(
    "tests",
    &["test", "--workspace", "--all-targets", "--locked"],
);
const DOC_TESTS: Step = step(
    "documentation tests",
    &["test", "--workspace", "--doc", "--locked"],
);
const DOCUMENTATION: Step = Step {
    environment: &[(
        "RUSTDOCFLAGS",
        // Private items are documented too, so links to them lead somewhere.
        "--deny warnings --allow rustdoc::private_intra_doc_links",
    )],
    ..step(
        "documentation",
        &[
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
            "--locked",
        ],
    )
};
// `--test layers` runs with the tests; it has no step of its own.
const DEPENDENCIES: Step = Step {
    needs: Some("deny"),
    ..step(
        "dependencies",
        &[
            "deny",
            "--config",
            ".deny.toml",
            "check",
            "licenses",
            "bans",
            "sources",
        ],
    )
};

fn verify(keep_going: bool) -> Result<bool> {
    let tests = if installed("nextest") {
        TESTS
    } else {
        PLAIN_TESTS
    };
    let mut failed = Vec::new();
    for step in [FORMAT, LINTS, tests, DOC_TESTS, DOCUMENTATION, DEPENDENCIES] {
        if let Some(program) = step.needs.filter(|program| !installed(program)) {
            say(&format!(
                "-- {}: left out, cargo-{program} is not installed",
                step.name
            ));
            continue;
        }
        if !execute(&step)? {
            failed.push(step.name);
            if !keep_going {
                break;
            }
        }
    }
    match failed.is_empty() {
        true => say("-- everything passed"),
        false => say(&format!("-- failed: {}", failed.join(", "))),
    }
    Ok(failed.is_empty())
}

fn fix() -> Result<bool> {
    let mend = step(
        "mend",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--fix",
            "--allow-dirty",
            "--allow-staged",
        ],
    );
    Ok(execute(&mend)? && execute(&step("format", &["fmt", "--all"]))?)
}

fn run(arguments: &[String]) -> Result<bool> {
    let mut command = cargo();
    command
        .args(["run", "--package", "starling", "--", "serve", "--memory"])
        .args(arguments);
    Ok(command.status().context("starting cargo")?.success())
}

fn execute(step: &Step) -> Result<bool> {
    say(&format!(
        "-- {}: cargo {}",
        step.name,
        step.arguments.join(" ")
    ));
    let began = Instant::now();
    let status = cargo()
        .args(step.arguments)
        .envs(step.environment.iter().copied())
        .status()
        .with_context(|| format!("starting cargo for {}", step.name))?;
    let how = if status.success() { "passed" } else { "failed" };
    say(&format!(
        "-- {}: {how} in {:.1} s",
        step.name,
        began.elapsed().as_secs_f32()
    ));
    Ok(status.success())
}

/// The cargo that runs us, in the workspace.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    command.current_dir(root.expect("this crate stands two directories deep"));
    command
}

fn installed(subcommand: &str) -> bool {
    let name = format!("cargo-{subcommand}");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(&name).is_file())
}

#[expect(
    clippy::print_stderr,
    reason = "a command tells people on standard error"
)]
fn say(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        let check = |line: &str| assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        check("xtask verify --keep-going");
        check("xtask run --listen 127.0.0.1:0 --http off");
    }

    #[test]
    fn the_gate_only_reads() {
        for step in [
            FORMAT,
            LINTS,
            TESTS,
            PLAIN_TESTS,
            DOC_TESTS,
            DOCUMENTATION,
            DEPENDENCIES,
        ] {
            assert!(!step.arguments.contains(&"--fix"), "{}", step.name);
        }
        assert!(FORMAT.arguments.contains(&"--check"));
    }
}
