//! `docs/commands.md`, from what the command line takes. Run the test with `UPDATE_DOCS=1` to write it.

use std::{fmt::Write as _, path::Path};

use clap::{Arg, Command, CommandFactory};

use super::Cli;

const HEAD: &str = "\
# Commands

Written from the code by a test; do not edit. `starling help COMMAND` says the same.

| exit | meaning |
|---|---|
| 0 | done |
| 1 | failed; the message says at what |
| 2 | the arguments make no sense |
| 3 | refused: the account or the member exists, is absent, or cannot be |
| 4 | done in part: an import left something out; an archive has problems; a member still drains, or gave up |
| 5 | the status of a node tells of trouble |
| 6 | the node is alone: there is no cluster |
| 7 | of `serve`: it stopped before all was handed over |
| 78 | the configuration has mistakes: all of them are listed |
";

fn text(text: Option<&clap::builder::StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    text.replace('|', "\\|").replace('\n', " ")
}

/// `--option VALUE`, or `VALUE`.
fn name(argument: &Arg) -> String {
    let values: Vec<&str> = argument
        .get_value_names()
        .into_iter()
        .flatten()
        .map(|name| name.as_str())
        .collect();
    let takes = argument.get_action().takes_values();
    let values = if takes {
        values.join(" ")
    } else {
        String::new()
    };
    let long = argument.get_long().map(|long| format!("--{long}"));
    let short = argument.get_short().map(|short| format!("-{short}"));
    let parts: Vec<String> = short.into_iter().chain(long).collect();
    match parts.is_empty() {
        true => values,
        false => format!("{} {values}", parts.join(", ")).trim().to_owned(),
    }
}

fn command(out: &mut String, path: &str, it: &Command) {
    let _ = write!(out, "\n## `{path}`\n\n{}\n", text(it.get_about()));
    let arguments: Vec<&Arg> = it
        .get_arguments()
        .filter(|argument| !matches!(argument.get_id().as_str(), "help" | "version"))
        .collect();
    if !arguments.is_empty() {
        out.push_str("\n| | |\n|---|---|\n");
    }
    for argument in arguments {
        let _ = writeln!(
            out,
            "| `{}` | {} |",
            name(argument),
            text(argument.get_help())
        );
    }
    for inner in it.get_subcommands().filter(|it| it.get_name() != "help") {
        command(out, &format!("{path} {}", inner.get_name()), inner);
    }
}

#[test]
fn commands_are_documented() {
    let mut page = HEAD.to_owned();
    let cli = Cli::command();
    for inner in cli.get_subcommands().filter(|it| it.get_name() != "help") {
        command(&mut page, &format!("starling {}", inner.get_name()), inner);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/commands.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == page,
        "docs/commands.md is out of date: run this test with UPDATE_DOCS=1"
    );
    // What this program answers with is what the page says.
    for code in [
        super::FAILED,
        super::REFUSED,
        super::PARTLY,
        super::ILL,
        super::ALONE,
        super::GAVE_UP,
        super::CONFIGURATION,
    ] {
        assert!(page.contains(&format!("\n| {code} | ")), "{code}");
    }
}
