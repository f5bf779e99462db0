#!/usr/bin/env python3
"""The metrics that the code declares, and who uses them: rules, alerts, dashboards, the catalogue.

Usage: metrics.py check            every expression names metrics and labels that there are, and parses (promtool)
       metrics.py catalogue        writes docs/metrics.md
       metrics.py catalogue --check    says whether it is as it would be written
       metrics.py scrape FILE      holds what a node told (/metrics) against what is declared
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ROOT / "node/server/src"
RULES = [ROOT / "deploy/prometheus" / name for name in ("recording.yaml", "alerts.yaml")]
DASHBOARDS = sorted((ROOT / "deploy/grafana").glob("*.json"))
CATALOGUE = ROOT / "docs/metrics.md"
# What Prometheus adds.
EVERYWHERE = {"job", "instance"}
KEYWORDS = set(
    "and or unless on by without ignoring group_left group_right offset bool sum min max avg count stddev topk bottomk "
    "quantile count_values group inf nan Inf NaN".split()
)


@dataclass
class Metric:
    """A metric as the code declares it."""

    name: str
    help: str
    kind: str
    labels: set = field(default_factory=set)


LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)


def text(literal):
    """What a string of Rust says: a backslash at the end of a line swallows the line's end and what indents the next."""
    return re.sub(r"\\\n\s*", "", literal).replace('\\"', '"')


def declared():
    """All metrics by name, read from the code: a name, its help, and labels, in this order in every declaration."""
    found = {}
    for path in sorted(SOURCES.rglob("*.rs")):
        if path.name.startswith("test") or "tests" in path.parts:
            continue
        code = path.read_text().split("#[cfg(test)]")[0]
        code = "\n".join(line for line in code.split("\n") if not line.lstrip().startswith("//"))
        lists = dict(re.findall(r"let (\w+) = (\[[^\]]*\]);", code))
        for match in re.finditer(r'"((?:xmpp|process)_[a-z0-9_]+)",\s*' + LITERAL.pattern, code, re.DOTALL):
            name, after = match[1], code[match.end() :]
            before = code[: match.start()].rstrip()
            # Labels stand in the same call, or in the call around `Opts::new(...)`.
            rest = re.match(r"\s*,?\s*\)?\s*(?:\.buckets\(\w+(?:\.into\(\))?\),?\s*)?,?\s*(&?\w+|&?\[[^\]]*\]|" + LITERAL.pattern + ")?", after)
            labels = rest[1] if rest and rest[1] else ""
            labels = lists.get(labels.lstrip("&"), labels)
            if name in found:
                sys.exit(f"metrics: {name} is declared twice")
            kind = "counter" if name.endswith("_total") else "histogram" if before.endswith("HistogramOpts::new(") else "gauge"
            names = set(LITERAL.findall(labels))
            found[name] = Metric(name, text(match[2]), kind, names)
    return found


def series(metrics):
    """The names that Prometheus has of them, each with its labels."""
    found = {"up": set()}
    for metric in metrics.values():
        if metric.kind == "histogram":
            found |= {
                f"{metric.name}_bucket": metric.labels | {"le"},
                f"{metric.name}_sum": metric.labels,
                f"{metric.name}_count": metric.labels,
            }
        else:
            found[metric.name] = metric.labels
    return found


def rules(path):
    """The rules of a file: (name, expression, whether it is an alert, severity). YAML is read by promtool; what is needed
    here is in lines of a fixed form."""
    lines = path.read_text().split("\n")
    found = []
    for number, line in enumerate(lines):
        match = re.match(r"\s+- (record|alert): (\S+)$", line)
        if not match:
            continue
        expression = re.match(r"\s+expr: (.*)$", lines[number + 1])[1]
        if expression == ">-":
            indent = len(lines[number + 1]) - len(lines[number + 1].lstrip())
            folded = []
            for more in lines[number + 2 :]:
                if len(more) - len(more.lstrip()) <= indent or not more.strip():
                    break
                folded.append(more.strip())
            expression = " ".join(folded)
        severity = next((re.search(r"severity: (\w+)", it)[1] for it in lines[number : number + 6] if "severity:" in it), None)
        found.append((match[2], expression, match[1] == "alert", severity))
    return found


def panels(path):
    """The panels of a dashboard: (title, expressions)."""
    board = json.loads(path.read_text())
    for panel in board["panels"]:
        for it in [panel, *panel.get("panels", [])]:
            if it.get("targets"):
                yield it["title"], [target["expr"] for target in it["targets"]]


def concrete(expression):
    """An expression of a dashboard as Grafana would send it."""
    for variable, value in {
        "$__rate_interval": "5m", "$__interval": "1m", "$__range": "1h", "$job": "starling", "$instance": ".*",
    }.items():
        expression = expression.replace(variable, value)
    return expression


def parts(expression):
    """The metrics of an expression with the labels that are asked for, and the labels by which it groups."""
    expression = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    grouped = set()
    for clause in re.findall(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", expression):
        grouped |= {label.strip() for label in clause.split(",") if label.strip()}
    expression = re.sub(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", expression)
    expression = re.sub(r"\[[^\]]*\]", " ", expression)
    used = []
    for match in re.finditer(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{[^}]*\})?(\s*\()?", expression):
        name, selector, call = match[1], match[2], match[3]
        if call or name in KEYWORDS:
            continue
        labels = set(re.findall(r"([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)", selector or ""))
        used.append((name, labels))
    return used, grouped


def mistakes_of(where, expression, known, recorded):
    """What an expression names that there is not."""
    used, grouped = parts(expression)
    groupable = set(EVERYWHERE)
    for name, labels in used:
        if name in recorded:
            groupable |= recorded[name]
            allowed = recorded[name]
        elif name in known:
            groupable |= known[name]
            allowed = known[name]
        else:
            yield f"{where}: there is no metric {name}"
            continue
        for label in sorted(labels - allowed - EVERYWHERE):
            yield f"{where}: {name} has no label {label}"
    if not used:
        yield f"{where}: names no metric: {expression}"
    for label in sorted(grouped - groupable):
        yield f"{where}: groups by {label}, which none of its metrics has"


def check():
    """Every expression of rules and dashboards."""
    metrics = declared()
    known = series(metrics)
    recorded, expressions = {}, []
    for path in RULES:
        for name, expression, is_alert, _ in rules(path):
            if not is_alert:
                used, grouped = parts(expression)
                own = set().union(*(known.get(it, set()) for it, _ in used))
                recorded[name] = (grouped & (own | EVERYWHERE)) or own
            expressions.append((f"{path.name}: {name}", expression))
    shown = set()
    for path in DASHBOARDS:
        for title, several in panels(path):
            for expression in several:
                expressions.append((f"{path.name}: {title}", concrete(expression)))
                shown |= {name for name, _ in parts(concrete(expression))[0]}
    wrong = [it for where, expression in expressions for it in mistakes_of(where, expression, known, recorded)]
    wrong += [f"{name}: no alert, and no page in docs/alerts.md" for name in untold()]
    wrong += unparsed(expressions)
    for it in wrong:
        print(f"metrics: {it}", file=sys.stderr)
    used = shown | {name for path in RULES for _, expression, _, _ in rules(path) for name, _ in parts(expression)[0]}
    unused = [name for name, metric in metrics.items() if not used & set(series({name: metric}))]
    if unused:
        print(f"metrics: shown nowhere, alerted by nothing: {', '.join(sorted(unused))}")
    print(f"metrics: {len(metrics)} metrics, {len(expressions)} expressions of rules and {len(DASHBOARDS)} dashboards looked at")
    return not wrong


def untold():
    """Alerts without a word on what to do, and words on no alert."""
    page = (ROOT / "docs/alerts.md").read_text()
    told = set(re.findall(r"^### (Starling\w+)$", page, re.MULTILINE))
    return sorted(told ^ {name for name, _, is_alert, _ in rules(RULES[1]) if is_alert})


def unparsed(expressions):
    """What promtool says about them."""
    lines = ["groups:", "  - name: all", "    rules:"]
    for number, (_, expression) in enumerate(expressions):
        lines += [f"      - record: expression:{number}", f"        expr: {json.dumps(expression)}"]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        done = subprocess.run(["promtool", "check", "rules", "--lint=none", file.name], capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else [done.stdout + done.stderr]


def catalogue():
    """The page of all metrics."""
    alerts = {}
    recorded = {name: expression for name, expression, is_alert, _ in rules(RULES[0]) if not is_alert}
    for name, expression, is_alert, _ in rules(RULES[1]):
        if is_alert:
            names = {it for it, _ in parts(expression)[0]}
            names |= {it for record in names & set(recorded) for it, _ in parts(recorded[record])[0]}
            for it in names:
                alerts.setdefault(it, set()).add(name)
    lines = [
        "# Metrics",
        "",
        "Written by `deploy/checks/metrics.py catalogue` from the code; do not edit. `http` serves them at `/metrics`, in the format of",
        "Prometheus. Units stand in the names. Labels come from closed sets and from configured domains, never from addresses. When to worry",
        "is what [the alerts](alerts.md) say; the others are for the dashboards in `deploy/grafana`.",
        "",
    ]
    areas = {}
    for name, metric in declared().items():
        area = name.split("_")[1] if name.startswith("xmpp_") else "process"
        areas.setdefault(area, []).append(metric)
    titles = {
        "c2s": "Clients", "stanzas": "Stanzas", "log": "Logs of accounts", "store": "Stores", "cache": "Cache",
        "cluster": "Cluster", "home": "Homes", "roster": "Rosters", "directory": "Directory", "node": "Node",
        "maintenance": "Maintenance", "tls": "Certificates", "process": "Process",
    }
    for area in sorted(areas, key=lambda it: titles.get(it, it)):
        lines += [f"## {titles.get(area, area.capitalize())}", "", "| metric | what | kind | labels | alerts |", "|---|---|---|---|---|"]
        for metric in sorted(areas[area], key=lambda it: it.name):
            names = set(series({metric.name: metric})) - {"up"}
            worry = sorted(set().union(*(alerts.get(name, set()) for name in names)))
            links = ", ".join(f"[{it}](alerts.md#{it.lower()})" for it in worry)
            labels = ", ".join(f"`{it}`" for it in sorted(metric.labels))
            lines.append(f"| `{metric.name}` | {metric.help} | {metric.kind} | {labels} | {links} |")
        lines.append("")
    return "\n".join(lines)


def scrape(path):
    """What a node told and the code does not declare, or has of another kind."""
    metrics = declared()
    page = pathlib.Path(path).read_text()
    wrong = []
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE):
        if name not in metrics:
            wrong.append(f"{name} is told and not found in the code")
        elif kind != metrics[name].kind and metrics[name].kind != "counter":
            wrong.append(f"{name} is a {kind}, and is taken for a {metrics[name].kind}")
    for name, labels in re.findall(r"^([a-z0-9_]+)\{([^}]*)\} ", page, re.MULTILINE):
        told = set(re.findall(r'(\w+)="', labels))
        expected = series(metrics).get(name)
        if expected is not None and told != expected:
            wrong.append(f"{name} has the labels {sorted(told)}, and {sorted(expected)} are found in the code")
    for it in sorted(set(wrong)):
        print(f"metrics: {it}", file=sys.stderr)
    print(f"metrics: {len(re.findall('^# TYPE', page, re.MULTILINE))} of {len(metrics)} metrics are told by a node, as the code says")
    return not wrong


def main():
    match sys.argv[1:]:
        case ["check"]:
            good = check()
        case ["catalogue"]:
            CATALOGUE.write_text(catalogue())
            good = True
        case ["catalogue", "--check"]:
            good = CATALOGUE.read_text() == catalogue()
            if not good:
                print("metrics: docs/metrics.md is not as the code: run deploy/checks/metrics.py catalogue", file=sys.stderr)
        case ["scrape", path]:
            good = scrape(path)
        case _:
            sys.exit(__doc__)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
