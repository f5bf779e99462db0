//! The comparison as bars: a panel for each headline, a bar for each server.

use std::io;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::rows::{ROWS, Row};
use super::table::{number, value};
use crate::load::report::Outcome;

const PANEL: (u32, u32) = (360, 190);
const COLUMNS: u32 = 3;
/// Where bars begin, and how far the longest goes.
const LEFT: i32 = 80;
const LONGEST: f64 = 200.0;

/// Draws the headlines that have values into an SVG file.
///
/// # Errors
/// What the file system says.
pub fn draw(file: &Path, servers: &[&str], outcomes: &[Outcome]) -> io::Result<()> {
    let known = |row: &&Row| {
        row.headline
            && servers
                .iter()
                .any(|server| value(row, server, outcomes).is_some())
    };
    let rows: Vec<&Row> = ROWS.iter().filter(known).collect();
    let lines = u32::try_from(rows.len())
        .unwrap_or(0)
        .div_ceil(COLUMNS)
        .max(1);
    let area = SVGBackend::new(file, (PANEL.0 * COLUMNS, PANEL.1 * lines)).into_drawing_area();
    area.fill(&WHITE).map_err(io::Error::other)?;
    let panels = area.split_evenly((lines as usize, COLUMNS as usize));
    for (panel, row) in panels.iter().zip(rows) {
        bars(panel, row, servers, outcomes).map_err(io::Error::other)?;
    }
    area.present().map_err(io::Error::other)
}

type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

fn bars<'a>(
    panel: &DrawingArea<SVGBackend<'a>, plotters::coord::Shift>,
    row: &Row,
    servers: &[&str],
    outcomes: &[Outcome],
) -> Drawn<'a> {
    let style = |size: u32| ("sans-serif", size).into_font().color(&BLACK);
    let title = title(row);
    panel.draw(&Text::new(title, (10, 14), style(14)))?;
    let better = if row.less {
        "less is better"
    } else {
        "more is better"
    };
    panel.draw(&Text::new(
        format!("{}, {better}", row.unit),
        (10, 32),
        style(11),
    ))?;
    let largest = servers
        .iter()
        .filter_map(|server| value(row, server, outcomes))
        .fold(f64::MIN_POSITIVE, f64::max);
    for (place, server) in (0..).zip(servers) {
        let top = 54 + place * 30;
        let right = style(12).pos(Pos::new(HPos::Right, VPos::Center));
        panel.draw(&Text::new(
            (*server).to_owned(),
            (LEFT - 8, top + 10),
            right,
        ))?;
        let left = style(12).pos(Pos::new(HPos::Left, VPos::Center));
        let Some(value) = value(row, server, outcomes) else {
            panel.draw(&Text::new("-", (LEFT, top + 10), left))?;
            continue;
        };
        // A bar of at least one pixel.
        let length = (value / largest * LONGEST).max(1.0) as i32;
        let color = color(server);
        panel.draw(&Rectangle::new(
            [(LEFT, top), (LEFT + length, top + 20)],
            color.filled(),
        ))?;
        panel.draw(&Text::new(
            number(value),
            (LEFT + length + 6, top + 10),
            left,
        ))?;
    }
    Ok(())
}

/// Rows that stand below a heading in the table carry it themselves here.
fn title(row: &Row) -> String {
    let heading = row.label.trim_start();
    if heading.len() == row.label.len() {
        heading.to_owned()
    } else {
        format!("{}: {heading}", row.source.0)
    }
}

fn color(server: &str) -> RGBColor {
    match server {
        "starling" => RGBColor(38, 110, 179),
        "ejabberd" => RGBColor(208, 126, 46),
        "prosody" => RGBColor(110, 130, 80),
        _ => RGBColor(150, 150, 150),
    }
}
