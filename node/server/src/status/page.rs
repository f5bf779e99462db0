//! Status as a page: no scripts, nothing from elsewhere, readable on a phone, in the dark too; it refreshes itself.
//!
//! It is well-formed XML behind its first line. Whatever a node says of itself is escaped: names come from other nodes.

use std::fmt::{self, Display, Formatter};

use super::{
    Facts, called, link, share,
    text::{change, name_of},
    words::{Html, LeavingWords, LinkWords, Span, handed_over},
};
use crate::membership::status::{Leaving, MemberStatus, Status};

/// How often it refreshes itself, in seconds.
const REFRESH: u32 = 5;
/// What a browser may do with it: nothing but show it.
pub const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = include_str!("page.css");

/// The page `/status`.
pub struct Page<'a>(pub &'a Facts);

impl Display for Page<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let facts = self.0;
        let title = title(facts);
        let title = Html(&title);
        write!(
            f,
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
             <meta name=\"color-scheme\" content=\"light dark\"/>\
             <meta http-equiv=\"refresh\" content=\"{REFRESH}\"/>\
             <title>{title}</title><style>{STYLE}</style></head><body>\n"
        )?;
        let (class, state) = state(facts);
        writeln!(
            f,
            "<header><h1>{title}</h1><p class=\"state {class}\">{state}</p></header><main>"
        )?;
        troubles(f, facts)?;
        if let Some(leaving) = facts.cluster.as_ref().and_then(|cluster| cluster.leaving) {
            progress(f, leaving)?;
        }
        node(f, facts)?;
        match &facts.cluster {
            Some(cluster) => self::cluster(f, cluster)?,
            None => writeln!(
                f,
                "<section><h2>Cluster</h2><p>This node is alone: no cluster is configured.</p></section>"
            )?,
        }
        writeln!(
            f,
            "</main><footer><p>Starling {}, up {}. The same as <a href=\"/status.json\">JSON</a>, \
             and <a href=\"/metrics\">metrics</a>.</p></footer></body></html>",
            Html(&facts.version),
            Span(facts.uptime_s)
        )
    }
}

fn title(facts: &Facts) -> String {
    match &facts.cluster {
        Some(cluster) => format!(
            "{} in {}",
            called(&cluster.name, &cluster.node),
            cluster.cluster
        ),
        None => facts.domains.first().cloned().unwrap_or_default(),
    }
}

fn state(facts: &Facts) -> (&'static str, &'static str) {
    let phase = facts.cluster.as_ref().map(|cluster| cluster.phase.name());
    match (facts.troubles().is_empty(), phase) {
        (true, phase) => ("well", phase.unwrap_or("ready")),
        (false, Some("serving") | None) => ("ill", "in trouble"),
        (false, Some(phase)) => ("ill", phase),
    }
}

fn troubles(f: &mut Formatter<'_>, facts: &Facts) -> fmt::Result {
    let troubles = facts.troubles();
    if troubles.is_empty() {
        return Ok(());
    }
    write!(f, "<section class=\"troubles\"><h2>What is wrong</h2><ul>")?;
    for trouble in &troubles {
        write!(f, "<li>{}</li>", Html(trouble))?;
    }
    writeln!(f, "</ul></section>")
}

fn progress(f: &mut Formatter<'_>, leaving: Leaving) -> fmt::Result {
    let done = handed_over(leaving);
    writeln!(
        f,
        "<section><h2>Leaving</h2><progress max=\"100\" value=\"{done}\">{done} %</progress>\
         <p>{}</p></section>",
        LeavingWords(leaving)
    )
}

fn node(f: &mut Formatter<'_>, facts: &Facts) -> fmt::Result {
    let number = |f: &mut Formatter<'_>, number: usize, what: &str| {
        write!(f, "<div><dd>{number}</dd><dt>{what}</dt></div>")
    };
    write!(f, "<section><h2>This node</h2><dl class=\"numbers\">")?;
    number(f, facts.sessions, "sessions")?;
    number(f, facts.parked, "wait to be resumed")?;
    number(f, facts.accounts, "accounts")?;
    number(f, facts.homes, "homes")?;
    if let Some(cluster) = &facts.cluster {
        number(f, cluster.pipes, "pipes")?;
    }
    let store = facts.store_trouble.as_deref();
    let class = if store.is_some() { "ill" } else { "well" };
    write!(
        f,
        "</dl><p>Serves {}. The store <span class=\"{class}\">{}</span>.",
        Html(&facts.domains.join(", ")),
        Html(store.unwrap_or("takes writes"))
    )?;
    if let Some(secret) = &facts.secret {
        write!(
            f,
            " The secret of the cluster is {}.",
            Html(&secret.rotation)
        )?;
    }
    writeln!(f, "</p></section>")
}

fn cluster(f: &mut Formatter<'_>, cluster: &Status) -> fmt::Result {
    let directory = &cluster.directory;
    write!(
        f,
        "<section><h2>{} {}</h2>",
        cluster.members.len(),
        if cluster.members.len() == 1 {
            "member"
        } else {
            "members"
        }
    )?;
    write!(
        f,
        "<p>Epoch {}, generation {}. Directory {}",
        change(cluster.epoch),
        cluster.generation,
        Html(&directory.kind)
    )?;
    if let Some(leader) = &directory.leader {
        write!(f, ", led by {}", Html(name_of(cluster, leader)))?;
    }
    write!(f, "; the role of this node: {}", Html(&directory.role))?;
    if directory.lag > 0 {
        write!(f, ", {} entries behind", directory.lag)?;
    }
    write!(f, ".</p><div class=\"members\">")?;
    ring(f, cluster)?;
    write!(f, "<ul>")?;
    for (index, member) in cluster.members.iter().enumerate() {
        self::member(f, cluster, member, index)?;
    }
    writeln!(f, "</ul></div></section>")?;
    strangers(f, cluster)
}

/// Hues that lie far apart, however many there are, none of them red: that is for trouble.
fn hue(index: usize) -> usize {
    40 + (160 + index * 107) % 280
}

/// Who serves how much, as a ring: its circumference is 100.
fn ring(f: &mut Formatter<'_>, cluster: &Status) -> fmt::Result {
    const CIRCLE: &str = "cx=\"21\" cy=\"21\" r=\"15.9155\" fill=\"none\" stroke-width=\"7\"";
    write!(
        f,
        "<svg viewBox=\"0 0 42 42\" role=\"img\" aria-label=\"Shares of the accounts\">\
         <circle {CIRCLE} class=\"track\"/>"
    )?;
    let mut from = 0.0;
    for (index, member) in cluster.members.iter().enumerate() {
        let share = share(cluster, member);
        if share > 0.0 {
            write!(
                f,
                "<circle {CIRCLE} stroke=\"hsl({} 60% 50%)\" stroke-dasharray=\"{share:.2} {:.2}\" \
                 stroke-dashoffset=\"{:.2}\"><title>{} {share:.0} %</title></circle>",
                hue(index),
                100.0 - share,
                25.0 - from,
                Html(called(&member.name, &member.node))
            )?;
        }
        from += share;
    }
    write!(
        f,
        "<text x=\"21\" y=\"21\" text-anchor=\"middle\" dominant-baseline=\"central\">{}</text></svg>",
        cluster.members.len()
    )
}

fn member(
    f: &mut Formatter<'_>,
    cluster: &Status,
    member: &MemberStatus,
    index: usize,
) -> fmt::Result {
    let share = share(cluster, member);
    let class = if member.state == "ready" {
        "well"
    } else {
        "ill"
    };
    write!(
        f,
        "<li><h3><svg viewBox=\"0 0 10 10\" class=\"dot\"><circle cx=\"5\" cy=\"5\" r=\"5\" \
         fill=\"hsl({} 60% 50%)\"/></svg> {}{} <span class=\"state {class}\">{}</span></h3>",
        hue(index),
        Html(called(&member.name, &member.node)),
        if member.is_me { " (this node)" } else { "" },
        Html(&member.state)
    )?;
    write!(
        f,
        "<p>{}{}{}</p>",
        Html(&member.address),
        if member.zone.is_empty() { "" } else { " in " },
        Html(&member.zone)
    )?;
    write!(f, "<p>{share:.0} % of the accounts")?;
    match link(cluster, member) {
        _ if member.is_me => {}
        Some(link) if link.state == "up" => {
            write!(f, ", link {}", Html(&LinkWords(link).to_string()))?
        }
        Some(link) => write!(
            f,
            ", <span class=\"ill\">link {}</span>",
            Html(&LinkWords(link).to_string())
        )?,
        None => write!(f, ", <span class=\"ill\">no link</span>")?,
    }
    writeln!(
        f,
        "</p><p class=\"fine\">{}, Starling {}, since epoch {}</p></li>",
        Html(&member.node),
        Html(&member.version),
        change(member.since)
    )
}

/// Links to who is no member, and addresses where something is wrong.
fn strangers(f: &mut Formatter<'_>, cluster: &Status) -> fmt::Result {
    let is_member = |node: &str| cluster.members.iter().any(|member| member.node == node);
    let links: Vec<_> = cluster
        .links
        .iter()
        .filter(|link| !is_member(&link.node))
        .collect();
    let dialled: Vec<_> = cluster
        .dialled
        .iter()
        .filter_map(|dial| Some((&dial.address, dial.trouble.as_ref()?)))
        .collect();
    if links.is_empty() && dialled.is_empty() {
        return Ok(());
    }
    write!(f, "<section><h2>Others</h2><ul>")?;
    for link in links {
        write!(
            f,
            "<li>{} at {} is no member; link {}</li>",
            Html(called(&link.name, &link.node)),
            Html(&link.address),
            Html(&LinkWords(link).to_string())
        )?;
    }
    for (address, trouble) in dialled {
        write!(f, "<li>{}: {}</li>", Html(address), Html(trouble))?;
    }
    writeln!(f, "</ul></section>")
}
