//! The comparison as text: a row for each thing that matters, a column for each server, and how we stand.

use std::fmt::Write as _;

use super::rows::{CPU, Goal, ROWS, Row};
use crate::load::report::Outcome;

/// The figure of a row for a server.
#[must_use]
pub fn value(row: &Row, server: &str, outcomes: &[Outcome]) -> Option<f64> {
    let (ours, figure, scale) = row.source;
    let theirs = row.against.filter(|_| server != "starling");
    let case = theirs.unwrap_or(ours);
    let outcome = outcomes
        .iter()
        .find(|outcome| outcome.server == server && outcome.scenario == case)?;
    outcome.figures.get(figure).map(|value| value / scale)
}

/// How many times better we are than the better rival; `None` without both.
#[must_use]
pub fn ratio(row: &Row, outcomes: &[Outcome]) -> Option<f64> {
    let ours = value(row, "starling", outcomes)?;
    let rivals = ["ejabberd", "prosody"]
        .into_iter()
        .filter_map(|rival| value(row, rival, outcomes));
    if row.less {
        rivals.reduce(f64::min).map(|best| best / ours)
    } else {
        rivals.reduce(f64::max).map(|best| ours / best)
    }
}

/// Whether a goal is reached; `None` where there is none, or nothing to judge it by.
#[must_use]
pub fn reached(row: &Row, outcomes: &[Outcome]) -> Option<bool> {
    match row.goal? {
        Goal::Times(times) => ratio(row, outcomes).map(|ratio| ratio >= times),
        Goal::AtMost(most) => value(row, "starling", outcomes).map(|value| value <= most),
    }
}

fn goal(row: &Row, outcomes: &[Outcome]) -> String {
    let wanted = match row.goal {
        None => return String::new(),
        Some(Goal::Times(times)) => format!("{times}x"),
        Some(Goal::AtMost(most)) => format!("<= {most}"),
    };
    match reached(row, outcomes) {
        None => format!("{wanted} ?"),
        Some(true) => format!("{wanted} ok"),
        Some(false) => format!("{wanted} MISSED"),
    }
}

/// What part of our process time a relay would have needed.
#[must_use]
pub fn relay_share(row: &Row, outcomes: &[Outcome]) -> Option<f64> {
    if row.source.1 != CPU {
        return None;
    }
    Some(value(row, "relay", outcomes)? / value(row, "starling", outcomes)?)
}

/// The whole table, and below it what went wrong.
#[must_use]
pub fn render(servers: &[&str], outcomes: &[Outcome]) -> String {
    let mut text = format!("{:<44}{:>5}", "", "");
    // A String takes every write.
    for server in servers {
        let _ = write!(text, "{server:>11}");
    }
    let _ = writeln!(text, "{:>11}{:>15}{:>9}", "vs better", "goal", "of relay");
    for row in ROWS {
        if servers
            .iter()
            .all(|server| value(row, server, outcomes).is_none())
        {
            continue;
        }
        let _ = write!(text, "{:<44}{:>5}", row.label, row.unit);
        for server in servers {
            let _ = write!(
                text,
                "{:>11}",
                value(row, server, outcomes).map_or("-".to_owned(), number)
            );
        }
        let ratio = ratio(row, outcomes).map_or("-".to_owned(), |ratio| format!("{ratio:.1}x"));
        let share = relay_share(row, outcomes)
            .map_or(String::new(), |share| format!("{:.0} %", share * 100.0));
        let goal = goal(row, outcomes);
        let _ = writeln!(text, "{ratio:>11}{goal:>15}{share:>9}");
    }
    for outcome in outcomes {
        for problem in &outcome.problems {
            let _ = writeln!(
                text,
                "PROBLEM {} {}: {problem}",
                outcome.server, outcome.scenario
            );
        }
    }
    let cores = |outcome: &Outcome, who: &str| {
        Some(outcome.figures.get(who)? / outcome.figures.get("wall_s")?)
    };
    for outcome in outcomes
        .iter()
        .filter(|outcome| cores(outcome, "client_cpu_s").is_some_and(|cores| cores > 0.85))
    {
        let _ = writeln!(
            text,
            "NOTE {} {}: the load program's core was full",
            outcome.server, outcome.scenario
        );
    }
    let worst = outcomes
        .iter()
        .filter_map(|outcome| cores(outcome, "other_cpu_s"))
        .fold(0.0, f64::max);
    let _ = writeln!(
        text,
        "Other programs took up to {worst:.2} cores meanwhile; process times bear that, rates and latencies do not."
    );
    text
}

/// A number with three figures that mean something.
#[must_use]
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{number, ratio, reached, relay_share, render};
    use crate::bench::rows::ROWS;
    use crate::load::report::Outcome;

    fn outcome(server: &str, cpu: f64, rate: f64) -> Outcome {
        let mut outcome = Outcome::new(server, "chat");
        outcome.figure("cpu_ms_per_1000", cpu);
        outcome.figure("per_s", rate);
        outcome
    }

    #[test]
    fn ratios_are_against_the_better_rival() {
        let outcomes = [
            outcome("starling", 10.0, 90.0),
            outcome("ejabberd", 50.0, 30.0),
            outcome("prosody", 80.0, 20.0),
        ];
        assert_eq!(ratio(&ROWS[0], &outcomes), Some(5.0));
        assert_eq!(ratio(&ROWS[1], &outcomes), Some(3.0));
        assert_eq!(ratio(&ROWS[2], &outcomes), None);
        let with_relay = [
            outcome("starling", 10.0, 90.0),
            outcome("relay", 4.0, 100.0),
        ];
        assert_eq!(relay_share(&ROWS[0], &with_relay), Some(0.4));
        assert!(render(&["starling", "ejabberd"], &outcomes).contains("5.0x"));
        assert_eq!(reached(&ROWS[0], &outcomes), Some(false));
        assert_eq!(reached(&ROWS[1], &outcomes), None);
    }

    #[test]
    fn numbers_keep_three_figures() {
        for (value, expected) in [(1234.5, "1234"), (12.345, "12.3"), (1.2345, "1.23")] {
            assert_eq!(number(value), expected);
        }
    }
}
