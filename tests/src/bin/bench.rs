//! `bench`: the same load on Starling, ejabberd, Prosody and a bare relay, and a table of what it cost each.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::Parser;
use serde::Serialize;
use tests::bench::plan::{self, Case, Group, Size};
use tests::bench::provision::{PASSWORD, PREFIX};
use tests::bench::server::{Kind, Running, Setting};
use tests::bench::{install, plot, table};
use tests::load::report::Outcome;

#[derive(Parser)]
#[command(
    about = "Compares Starling with ejabberd and Prosody under the same load on this machine"
)]
struct Arguments {
    /// Short spans and few sessions: does it work?
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Ten thousand idle sessions and long spans.
    #[arg(long)]
    full: bool,
    /// Only these cases, by name, separated by commas.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these servers, separated by commas.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "starling,ejabberd,prosody,relay"
    )]
    servers: Vec<String>,
    /// Starling's binary; the one beside this program if not named. Without one it is left out, loudly.
    #[arg(long)]
    starling: Option<PathBuf>,
    /// Where JSON, table and plot go.
    #[arg(long, default_value = "tests/results")]
    results: PathBuf,
    /// Where servers keep configuration and data; a temporary directory, removed at the end, if not named.
    #[arg(long)]
    work: Option<PathBuf>,
}

/// What is written as JSON.
#[derive(Serialize)]
struct Results {
    machine: String,
    size: String,
    outcomes: Vec<Outcome>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("bench: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<bool> {
    let size = match (arguments.quick, arguments.full) {
        (true, _) => Size::Quick,
        (_, true) => Size::Full,
        _ => Size::Normal,
    };
    let programs = std::env::current_exe()?
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default();
    let kinds = kinds(arguments, &programs);
    if kinds.iter().any(Kind::provisioned) {
        install::rivals()?;
    }
    let temporary = tempfile::tempdir()?;
    let work = arguments
        .work
        .as_deref()
        .unwrap_or_else(|| temporary.path());
    let bench = Bench {
        work: work.to_path_buf(),
        load: programs.join("load"),
        size,
    };
    let wanted = |case: &Case| {
        arguments.only.is_empty() || arguments.only.iter().any(|name| name == case.name)
    };
    let cases: Vec<Case> = plan::cases(size).into_iter().filter(wanted).collect();

    let mut outcomes = Vec::new();
    for group in Group::ALL {
        let cases: Vec<&Case> = cases.iter().filter(|case| case.group == group).collect();
        for kind in &kinds {
            outcomes.extend(bench.group(kind, group, &cases)?);
        }
    }
    let servers: Vec<&str> = kinds.iter().map(Kind::name).collect();
    let text = table::render(&servers, &outcomes);
    say(&text);
    fs::create_dir_all(&arguments.results)?;
    fs::write(arguments.results.join("bench.txt"), &text)?;
    plot::draw(&arguments.results.join("bench.svg"), &servers, &outcomes)?;
    let clean = outcomes.iter().all(|outcome| outcome.problems.is_empty());
    let results = Results {
        machine: machine(),
        size: format!("{size:?}"),
        outcomes,
    };
    fs::write(
        arguments.results.join("bench.json"),
        serde_json::to_string_pretty(&results)?,
    )?;
    Ok(clean)
}

fn kinds(arguments: &Arguments, programs: &Path) -> Vec<Kind> {
    let starling = arguments
        .starling
        .clone()
        .unwrap_or_else(|| programs.join("starling"));
    let all = [
        Kind::Starling(starling),
        Kind::Ejabberd,
        Kind::Prosody,
        Kind::Relay(programs.join("relay")),
    ];
    let chosen = |kind: &Kind| match kind {
        Kind::Starling(binary) if !binary.exists() => {
            say(&format!("NO STARLING: {} does not exist", binary.display()));
            false
        }
        kind => arguments.servers.iter().any(|name| name == kind.name()),
    };
    all.into_iter().filter(chosen).collect()
}

struct Bench {
    work: PathBuf,
    load: PathBuf,
    size: Size,
}

impl Bench {
    /// Starts the server, runs the cases, ends the server. A server that does not start is a problem of its cases.
    fn group(&self, kind: &Kind, group: Group, cases: &[&Case]) -> io::Result<Vec<Outcome>> {
        let relay = matches!(kind, Kind::Relay(_));
        let cases: Vec<&&Case> = cases.iter().filter(|case| case.relay || !relay).collect();
        if cases.is_empty() {
            return Ok(Vec::new());
        }
        let archive = group == Group::Archive;
        let directory = format!("{}{}", kind.name(), if archive { "-archive" } else { "" });
        let setting = Setting::new(
            &self.work,
            &directory,
            archive,
            plan::provision(self.size, group),
        )?;
        let running = match Running::start(kind, &setting) {
            Ok(running) => running,
            Err(error) => {
                let failed = |case: &&&Case| broken(kind, case, &error.to_string());
                return Ok(cases.iter().map(failed).collect());
            }
        };
        if !kind.provisioned() && !relay {
            let accounts = setting.provision.accounts;
            let users = format!("--users {PREFIX},{accounts},{PASSWORD} register");
            let words = users.split_whitespace().map(str::to_owned).collect();
            if let Err(error) = self.load(kind, &running, words) {
                say(&format!("{}: accounts: {error}", kind.name()));
            }
        }
        let mut outcomes = Vec::new();
        for case in cases {
            let flags = if relay {
                plan::for_relay(case)
            } else {
                case.arguments.clone()
            };
            let outcome = match half(case, &outcomes)
                .and_then(|rate| self.load(kind, &running, [flags, rate].concat()))
            {
                Ok(outcome) => Outcome {
                    scenario: case.name.to_owned(),
                    ..outcome
                },
                Err(error) => broken(kind, case, &error.to_string()),
            };
            progress(&outcome);
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    fn load(&self, kind: &Kind, running: &Running, flags: Vec<String>) -> io::Result<Outcome> {
        let mut command = Command::new("taskset");
        command
            .args(["-c", "1"])
            .arg(&self.load)
            .args(["--name", kind.name()]);
        command.args([
            "--port",
            &running.port.to_string(),
            "--server-pid",
            &running.pid().to_string(),
        ]);
        command
            .arg("--keys")
            .arg(self.work.join("keys"))
            .args(flags);
        let output = command.stderr(Stdio::piped()).output()?;
        if !output.status.success() {
            return Err(io::Error::other(
                String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            ));
        }
        serde_json::from_slice(&output.stdout).map_err(io::Error::other)
    }
}

/// Flags for half the rate of the case that this one refers to, if it does.
fn half(case: &Case, before: &[Outcome]) -> io::Result<Vec<String>> {
    let Some(name) = case.half_of else {
        return Ok(Vec::new());
    };
    let whole = before.iter().find(|outcome| outcome.scenario == name);
    let rate = whole.and_then(|outcome| outcome.figures.get("per_s"));
    let rate = rate.ok_or_else(|| io::Error::other(format!("needs the rate of {name}")))?;
    Ok(vec!["--rate".to_owned(), format!("{:.0}", rate / 2.0)])
}

fn broken(kind: &Kind, case: &Case, error: &str) -> Outcome {
    let mut outcome = Outcome::new(kind.name(), case.name);
    outcome.problems.push(error.to_owned());
    outcome
}

fn progress(outcome: &Outcome) {
    let figure = |name: &str| {
        outcome
            .figures
            .get(name)
            .map(|value| format!(" {name} {}", table::number(*value)))
    };
    let names = [
        "cpu_ms_per_1000",
        "per_s",
        "p99_ms",
        "pss_bytes_per_session",
        "client_cpu_s",
        "wall_s",
    ];
    let figures: String = names.into_iter().filter_map(figure).collect();
    let problems: String = outcome
        .problems
        .iter()
        .map(|problem| format!(" PROBLEM {problem}"))
        .collect();
    say(&format!(
        "{:<9} {:<18}{figures}{problems}",
        outcome.server, outcome.scenario
    ));
}

/// The processor and the kernel, for whoever reads the numbers later.
fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo");
    let model = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or_default();
    let cores = processor
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{cores} x {}, Linux {}",
        model.trim_start_matches([' ', '\t', ':']),
        kernel.trim()
    )
}

fn say(text: &str) {
    // Nobody is left to tell if this fails.
    let _ = writeln!(io::stdout(), "{text}");
}
