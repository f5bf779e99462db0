//! Numbers as people read them, and text of others that must not do anything where it is shown.

use std::fmt::{self, Display, Formatter};

use crate::membership::status::{Leaving, LinkStatus, Step};

/// A time span by its two largest units.
pub(super) struct Span(pub(super) u64);

impl Display for Span {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let seconds = self.0;
        let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{seconds} s"),
            (0, 0, _) => write!(f, "{minutes} min {} s", seconds % 60),
            (0, ..) => write!(f, "{hours} h {} min", minutes % 60),
            _ => write!(f, "{days} d {} h", hours % 24),
        }
    }
}

/// The state of a link, with its latency.
pub(super) struct LinkWords<'a>(pub(super) &'a LinkStatus);

impl Display for LinkWords<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let link = self.0;
        write!(f, "{}", Shown(&link.state))?;
        if let Some(latency) = link.latency_us {
            write!(f, " {}.{} ms", latency / 1_000, latency % 1_000 / 100)?;
        }
        if link.queued_frames > 0 {
            write!(f, ", {} waiting", link.queued_frames)?;
        }
        Ok(())
    }
}

/// How far leaving is.
pub(super) struct LeavingWords(pub(super) Leaving);

impl Display for LeavingWords {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Leaving {
            step,
            accounts,
            left,
            elapsed_ms,
            given_up,
        } = self.0;
        let step = match step {
            Step::Told => "the others take over",
            Step::HandingOver => "accounts are handed over",
            Step::Closing => "connections end",
            Step::SigningOff => "it signs off",
            Step::Gone => "it has left",
        };
        let span = Span(elapsed_ms / 1_000);
        write!(f, "{step}: {left} of {accounts} accounts left, for {span}")?;
        match given_up {
            0 => Ok(()),
            accounts => write!(f, "; {accounts} not handed over in time"),
        }
    }
}

/// How much of leaving is done, in percent.
pub(super) fn handed_over(leaving: Leaving) -> usize {
    let done = leaving.accounts.saturating_sub(leaving.left);
    match leaving.step {
        Step::Gone => 100,
        _ => (done * 100).checked_div(leaving.accounts).unwrap_or(0),
    }
}

/// Text of other nodes without control characters: they could write over what stands on a terminal.
pub(super) struct Shown<'a>(pub(super) &'a str);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            let shown = if c.is_control() { '\u{FFFD}' } else { c };
            write!(f, "{shown}")?;
        }
        Ok(())
    }
}

/// The same in HTML, in text and in attributes.
pub(super) struct Html<'a>(pub(super) &'a str);

impl Display for Html<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => write!(f, "{}", Shown(c.encode_utf8(&mut [0; 4])))?,
            }
        }
        Ok(())
    }
}
