#!/usr/bin/env python3
"""The calculator of docs/capacity.md: its figures are those of the measurements, and it counts as it says.

Usage: calculator.py write      puts the figures of docs/comparison.md and docs/cost.md into docs/calculator.html
       calculator.py check      holds them against these, and its sums against sums made here (Node runs it)
"""

import json
import math
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/calculator.html"
# Rows of the comparison, of which the first number is ours.
MEASURED = {
    "cpu_ms_per_1000_messages": ("chat, archived: CPU per 1,000 messages", "ms"),
    "cpu_ms_per_login": ("login, TLS and SCRAM: CPU per login", "ms"),
    "cpu_ms_per_1000_presences": ("presence: CPU per 1,000 deliveries", "ms"),
    "session_kib": ("idle TLS session: proportional memory", "KiB"),
    "kernel_kib_both_ends": ("  kernel, both ends", "KiB"),
}
# Rows of the costs, in dollars for a million.
PRICED = {
    "login": "login: SASL2 with a FAST token",
    "first_login": "login: SCRAM, bind, roster, presence",
    "message_online": "message, recipient online",
    "message_offline": "message, recipient offline, the next one",
    "drain_100": "login that drains 100 messages",
    "archive_page": "archive, newest page of 250",
    "mailbox": "mailbox record, behind operations",
}
FIGURES = re.compile(r'(<script type="application/json" id="figures">)(.*?)(</script>)', re.DOTALL)
MODEL = re.compile(r'<script id="model">(.*?)</script>', re.DOTALL)
# What the test counts: small, usual, large, nothing at all.
CASES = [
    {"accounts": 1000, "online": 30, "messages": 40, "logins": 5, "peak": 3, "offline": 30, "pages": 2, "cache": False,
     "cores": 2, "memory": 4, "node_dollars": 0.0725, "sessions_per_node": 50000, "kib": 1, "days": 365},
    {"accounts": 500000, "online": 20, "messages": 60, "logins": 8, "peak": 4, "offline": 50, "pages": 5, "cache": True,
     "cores": 2, "memory": 4, "node_dollars": 0.0725, "sessions_per_node": 50000, "kib": 1.5, "days": 365},
    {"accounts": 20000000, "online": 10, "messages": 100, "logins": 12, "peak": 5, "offline": 60, "pages": 5, "cache": True,
     "cores": 8, "memory": 16, "node_dollars": 0.29, "sessions_per_node": 200000, "kib": 2, "days": 30},
    {"accounts": 0, "online": 0, "messages": 0, "logins": 0, "peak": 1, "offline": 0, "pages": 0, "cache": False,
     "cores": 2, "memory": 4, "node_dollars": 0, "sessions_per_node": 50000, "kib": 0, "days": 0},
]


def figures():
    """The figures as the pages have them."""
    comparison = (ROOT / "docs/comparison.md").read_text()
    found = {}
    for name, (label, unit) in MEASURED.items():
        row = re.search(rf"^{re.escape(label)}\s+{unit}\s+([0-9.]+)", comparison, re.MULTILINE)
        if not row:
            sys.exit(f"calculator: docs/comparison.md has no row \"{label}\"")
        found[name] = float(row[1])
    plain, cached = (ROOT / "docs/cost.md").read_text().split("With memcached:", 1)
    for name, label in PRICED.items():
        prices = []
        for part in (plain, cached.split("## ", 1)[0]):
            row = re.search(rf"^{re.escape(label)}\s+(.*)$", part, re.MULTILINE)
            if not row:
                sys.exit(f"calculator: docs/cost.md has no row \"{label}\"")
            # Before the two times.
            prices.append(float(row[1].split()[-3]))
        found[name] = prices
    return found


def plan(it, known):
    """What the page counts, once more."""
    sessions = it["accounts"] * it["online"] / 100
    a_day = it["accounts"] * it["messages"]
    second = it["peak"] / 86400
    messages, logins = a_day * second, it["accounts"] * it["logins"] * second
    milliseconds = (
        messages * known["cpu_ms_per_1000_messages"] / 1000
        + logins * known["cpu_ms_per_login"]
        + logins * 40 * known["cpu_ms_per_1000_presences"] / 1000
    )
    # A store that is asked over the network, links between nodes, and what was not measured.
    cores = 4 * milliseconds / 1000
    gib = sessions * (known["session_kib"] + known["kernel_kib_both_ends"] / 2) * 2 / (1 << 20)
    nodes = [math.ceil(sessions / it["sessions_per_node"]), math.ceil(gib / (it["memory"] * 0.7)), math.ceil(cores / (it["cores"] * 0.6))]
    at = 1 if it["cache"] else 0
    offline = it["offline"] / 100
    month = 30.4
    store = (
        it["accounts"] * it["logins"] * month * (known["login"][at] + known["mailbox"][at])
        + a_day * month * ((1 - offline) * known["message_online"][at] + offline * known["message_offline"][at])
        + a_day * month * offline / 100 * (known["drain_100"][at] - known["first_login"][at])
        + it["accounts"] * it["pages"] * month * known["archive_page"][at]
    ) / 1e6
    count = max(*nodes, 1) + 1
    count = max(count, 3)
    return {
        "sessions": sessions, "messages_per_second": messages, "logins_per_second": logins, "cores": cores, "gib": gib,
        "nodes": count, "store_dollars": store, "node_dollars": count * it["node_dollars"] * 24 * month,
        "stored_gib": a_day * 2 * it["kib"] * it["days"] / (1 << 20),
    }


def check():
    """What is wrong with the page."""
    page, known = PAGE.read_text(), figures()
    if json.loads(FIGURES.search(page)[2]) != known:
        return ["docs/calculator.html: its figures are not those of the measurements: run deploy/checks/calculator.py write"]
    if re.search(r"""(?:src|href)\s*=\s*["'](?!#)(?!capacity\.html)""", page):
        return ["docs/calculator.html: it needs something from elsewhere"]
    program = f"{MODEL.search(page)[1]}\nconst [cases, figures] = JSON.parse(require('fs').readFileSync(0));\n"
    program += "console.log(JSON.stringify(cases.map(it => plan(it, figures))));"
    done = subprocess.run(["node", "-e", program], input=json.dumps([CASES, known]), capture_output=True, text=True, check=False)
    if done.returncode:
        return [f"docs/calculator.html: {done.stderr}"]
    wrong = []
    for case, found in zip(CASES, json.loads(done.stdout)):
        for name, wanted in plan(case, known).items():
            if not math.isclose(found[name], wanted, rel_tol=1e-9, abs_tol=1e-9):
                wrong.append(f"docs/calculator.html: {case['accounts']} accounts: {name} is {found[name]} and not {wanted}")
    for name in CASES[0]:
        if f'name="{name}"' not in page:
            wrong.append(f"docs/calculator.html: nobody can say {name}")
    return wrong


def main():
    if sys.argv[1:] == ["write"]:
        page = FIGURES.sub(lambda it: f"{it[1]}\n{json.dumps(figures(), indent=2)}\n{it[3]}", PAGE.read_text())
        PAGE.write_text(page)
    elif sys.argv[1:] == ["check"]:
        wrong = check()
        print("\n".join(wrong) or "calculator: as measured")
        sys.exit(bool(wrong))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
