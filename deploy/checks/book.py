#!/usr/bin/env python3
"""The book in docs/: its pages, links, drawings, and every command in it.

Usage: book.py [--starling PROGRAM] [PAGE...]    all of it, or the commands of some pages

Without a program no command is run. A page that needs a database is run under `services postgresql book.py ...`, which
tells it in STARLING_TEST_STORAGE; otherwise it is left out, and that is said.

Every block of commands says in its fence what becomes of it; a block that says nothing is a mistake:

    ```sh run                 run by bash in the directory of its page, and must end well
    ```sh run exit=3          must end so
    ```sh serve               started, and waited for until it is ready; ended at the end of the page
    ```sh run stopped         run once what was started has ended
    ```sh not run: WHY        not run, and why
    ```text output            what the block before it said, lines in their order; `…` is anything
    ```toml file=NAME         written there; commands of the page may use it
    ```toml                   a configuration, or a part of one, without mistakes; or `not checked: WHY`

Ports in these are replaced by free ones.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unicodedata
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import calculator  # noqa: E402
import foreign  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
BOOK = ROOT / "docs"
# Pages that are read where they are, and link into the book.
OUTSIDE = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "terraform/README.md")]
COMMANDS = {"sh", "bash", "console", "shell"}
DATABASE = "postgresql://starling@db.example.org/starling"
PORT = re.compile(r"(?<=[:= ])(5[0-9]{3}|7[0-9]{3})\b(?!-)")
# Seconds that a server may take to be ready, and a command to end: the machine may be busy.
PATIENCE = 120


class Failed(Exception):
    """What is wrong, and where."""


def blocks(text):
    """Fenced blocks of a page: line of the fence, its words, what is in it."""
    found, fence, words, inside, begin = [], None, "", [], 0
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r"\s*(```+|~~~+)(.*)", line)
        if fence is None and match:
            fence, words, inside, begin = match[1], match[2].strip(), [], number
        elif fence is not None and match and match[1].startswith(fence) and not match[2].strip():
            found.append((begin, words, "\n".join(inside) + "\n"))
            fence = None
        elif fence is not None:
            inside.append(line)
    if fence is not None:
        raise Failed(f"line {begin}: a block without an end")
    return found


def prose(text):
    """A page without its blocks and spans of code, line for line."""
    out, fence = [], None
    for line in text.split("\n"):
        match = re.match(r"\s*(```+|~~~+)", line)
        if fence is None and match:
            fence = match[1]
            line = ""
        elif fence is not None:
            fence = None if match and match[1].startswith(fence) else fence
            line = ""
        out.append(line)
    return re.sub(r"`[^`\n]*`", lambda it: " " * len(it[0]), "\n".join(out))


def anchors(text):
    """The names of a page's headings, as both GitHub and mdBook make them."""
    found, fence = [], None
    for line in text.split("\n"):
        match = re.match(r"\s*(```+|~~~+)", line)
        if match:
            fence = match[1] if fence is None else None
        heading = re.match(r"#{1,6}\s+(.*)", line)
        if fence is not None or not heading:
            continue
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1].strip()).replace("`", "")
        name = "".join(c for c in title.lower() if c.isalnum() or c in "_- " or unicodedata.category(c) == "Mn").replace(" ", "-")
        number = found.count(name)
        found.append(name if not number else f"{name}-{number}")
    return found


LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)(?:\s+\"[^\"]*\")?\)")


def links(path, text=None):
    """What is wrong with the links of a page."""
    wrong = []
    inside = BOOK in path.parents
    for number, line in enumerate(prose(text or path.read_text()).split("\n"), 1):
        for target in LINK.findall(line):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            there = (path.parent / name).resolve() if name else path
            where = f"{path.relative_to(ROOT)}:{number}: {target}"
            if not there.exists():
                wrong.append(f"{where}: there is no such file")
            elif inside and BOOK not in there.parents:
                wrong.append(f"{where}: leads out of the book, where nobody finds it")
            elif anchor and there.suffix == ".md" and anchor not in anchors(there.read_text()):
                wrong.append(f"{where}: there is no such heading")
            elif anchor and there.suffix == ".html" and f'id="{anchor}"' not in there.read_text():
                wrong.append(f"{where}: there is no such place")
    return wrong


def summary():
    """Every page is in the table of contents, once; nothing else is."""
    listed = [BOOK / it for it in LINK.findall((BOOK / "SUMMARY.md").read_text())]
    pages = sorted(it for it in BOOK.rglob("*.md") if it.name != "SUMMARY.md")
    wrong = [f"docs/SUMMARY.md: {it.name} is there twice" for it in set(listed) if listed.count(it) > 1]
    wrong += [f"docs/SUMMARY.md: {it.relative_to(BOOK)} is not there" for it in pages if it not in listed]
    return wrong + [f"docs/SUMMARY.md: there is no {it.relative_to(BOOK)}" for it in listed if it not in pages]


def drawings():
    """Drawings are whole by themselves, say what they show, and are for dark and light pages."""
    wrong = []
    for path in sorted((BOOK / "drawings").glob("*.svg")):
        text = path.read_text()
        root = ElementTree.fromstring(text)
        svg = "{http://www.w3.org/2000/svg}"
        if root.find(f"{svg}title") is None or root.find(f"{svg}desc") is None:
            wrong.append(f"{path.name}: a drawing has a title and a description")
        if "prefers-color-scheme: dark" not in text:
            wrong.append(f"{path.name}: nobody could read it on a dark page")
        if re.search(r'(?:href|src)="(?!#)|url\((?!#)|@import', text):
            wrong.append(f"{path.name}: it needs something from elsewhere")
        width, height = (float(it) for it in root.get("viewBox").split()[2:])
        for text in root.iter(f"{svg}text"):
            x, y = float(text.get("x")), float(text.get("y"))
            if not (0 <= x <= width and 0 <= y <= height):
                wrong.append(f"{path.name}: \"{text.text}\" is outside")
        if not any(path.name in it.read_text() for it in BOOK.glob("*.md")):
            wrong.append(f"{path.name}: no page shows it")
    return wrong


def marks(path, text=None):
    """What is wrong with the fences of a page."""
    wrong = []
    for line, words, _ in blocks(text or path.read_text()):
        language, _, mark = words.partition(" ")
        good = {
            "toml": r"(file=\S+|not checked: .{8,})?",
            "text": r"(output)?",
            "lua": r"(file=\S+)?",
        }.get(language, r"(run( stopped)?( exit=\d+)?|serve|not run: .{8,})" if language in COMMANDS else r"")
        if not re.fullmatch(good, mark):
            where = f"{path.relative_to(ROOT)}:{line}"
            wrong.append(f"{where}: ```{words}: what becomes of this block? (the head of deploy/checks/book.py says what may stand here)")
    return wrong


def can_fail():
    """What this is for: none of these may pass."""
    page = BOOK / "introduction.md"
    for text in ("[a](nowhere.md)", "[a](concepts.md#no-such-heading)", "[a](#nor-here)", "[a](../terraform/README.md)", "![a](b.svg)"):
        if not links(page, text):
            return [f"a wrong link passes: {text}"]
    for mark in ("sh", "console", "sh run exit", "sh not run:", "toml somehow", "rust run"):
        if not marks(page, f"```{mark}\ntrue\n```\n"):
            return [f"a block passes that says nothing: {mark}"]
    return [] if not links(page, "[a](concepts.md#words) `[b](nowhere)`") else ["a good link does not pass"]


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


class Page:
    """The commands of a page, in a directory of their own."""

    def __init__(self, path, program, directory):
        self.path, self.directory = path, directory
        self.ports, self.servers, self.said = {}, [], ""
        self.text = path.read_text()
        tools = directory / "tools"
        tools.mkdir()
        (tools / "starling").symlink_to(program)
        self.work = directory / "work"
        self.work.mkdir()
        self.environment = {
            "PATH": f"{tools}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(directory),
            "LANG": "C.UTF-8",
            # It is no instance, and nobody shall wait until that is known.
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.others = foreign.start(self.text, directory, tools, self)

    def port(self, match):
        number = match if isinstance(match, str) else match[1]
        if number not in self.ports:
            self.ports[number] = str(free_port())
        return self.ports[number]

    def own(self, text):
        """A text with the ports and the database of this run."""
        storage = os.environ.get("STARLING_TEST_STORAGE", "")
        database = re.search(r'url = "(postgres(?:ql)?://[^"]*)"', storage)
        if DATABASE in text and database:
            text = text.replace(DATABASE, "@database@")
        text = PORT.sub(self.port, text)
        return text.replace("@database@", database[1]) if database else text

    def serve(self, where, script):
        environment = dict(self.environment)
        named = re.search(r"--config (\S+)", script)
        written = (self.work / named[1]).read_text() if named else ""
        if "listeners" not in written:
            environment["STARLING_LISTENERS"] = f"127.0.0.1:{self.port('5222')},direct:127.0.0.1:{self.port('5223')}"
        if not re.search(r"^http\s*=", written, re.MULTILINE) and "STARLING_HTTP" not in script:
            environment["STARLING_HTTP"] = f"127.0.0.1:{self.port('5280')}"
        log = self.directory / f"server{len(self.servers)}"
        with open(log, "wb") as out:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", f"exec {script.strip()}"], cwd=self.work, env=environment, stdout=out, stderr=out
            )
        self.servers.append(process)
        until = time.monotonic() + PATIENCE
        while not re.search(r"\bready\b.*elapsed_ms", re.sub(r"\x1b\[[0-9;]*m", "", log.read_text(errors="replace"))):
            if process.poll() is not None or time.monotonic() > until:
                raise Failed(f"{where}: it does not serve:\n{log.read_text(errors='replace')}")
            time.sleep(0.05)
        # The welcome is behind the log.
        time.sleep(0.2)
        self.said = log.read_text(errors="replace")

    def stop(self):
        for process in reversed(self.servers):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.servers.clear()

    def run(self, where, script, wanted):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=self.work, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE, check=False,
        )
        self.said = done.stdout.decode(errors="replace")
        if done.returncode != wanted:
            raise Failed(f"{where}: it ended with {done.returncode} and not {wanted}:\n{script}\n{self.said}")

    def check(self, where, words, inside, program):
        """A part of a configuration is one, beside a domain and a store."""
        if words.startswith("not checked"):
            return
        name = words.removeprefix("file=") if words else "part.toml"
        if not words:
            if not re.search(r"^domains\s*=", inside, re.MULTILINE):
                inside = f'domains = ["example.org"]\n{inside}'
            if "[cluster" in inside and "[storage]" not in inside:
                inside += f'\n[storage]\nbackend = "postgresql"\nurl = "{DATABASE}"\n'
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(inside)
        if path.suffix == ".toml":
            self.run(where, f"starling check-config --config {name}", 0)

    def play(self, program):
        """All of its blocks in order; how many commands were run, and what was left out."""
        number, left = 0, []
        for line, words, inside in blocks(self.text):
            language, _, mark = words.partition(" ")
            where = f"{self.path.relative_to(ROOT)}:{line}"
            script = self.own(inside)
            if language == "toml" or mark.startswith("file="):
                self.check(where, mark, script, program)
            elif language in COMMANDS and mark == "serve":
                self.serve(where, script)
                number += 1
            elif language in COMMANDS and mark.startswith("run"):
                if "stopped" in mark:
                    self.stop()
                wanted = re.search(r"exit=(\d+)", mark)
                self.run(where, script, int(wanted[1]) if wanted else 0)
                number += 1
            elif language in COMMANDS:
                left.append((where, mark))
            elif (language, mark) == ("text", "output"):
                self.hold(where, script)
        return number, left

    def hold(self, where, wanted):
        """Lines that were to be said were, in this order."""
        said = iter(re.sub(r"\x1b\[[0-9;]*m", "", self.said).split("\n"))
        for line in filter(str.strip, wanted.split("\n")):
            pattern = ".*".join(re.escape(" ".join(it.split())) for it in line.split("…"))
            if not any(re.fullmatch(r"\s*" + pattern + r"\s*", " ".join(it.split())) for it in said):
                raise Failed(f"{where}: this was not said: {line}\n{self.said}")


def play(path, program):
    """Runs the commands of a page; how many, and what is left out."""
    text = path.read_text()
    if DATABASE in text and re.search(r"^```sh (run|serve)", text, re.MULTILINE) and "STARLING_TEST_STORAGE" not in os.environ:
        return 0, [(str(path.relative_to(ROOT)), "LEFT OUT: it needs a database: start this by `services postgresql`")]
    directory = pathlib.Path(tempfile.mkdtemp(prefix="starling-book-"))
    page = None
    try:
        page = Page(path, program, directory)
        return page.play(program)
    finally:
        if page is not None:
            page.stop()
            foreign.stop(page.others)
        shutil.rmtree(directory, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--starling", type=pathlib.Path)
    parser.add_argument("--why", action="store_true", help="tell why blocks are not run")
    parser.add_argument("pages", nargs="*", type=pathlib.Path)
    arguments = parser.parse_args()
    pages = [it.resolve() for it in arguments.pages] or sorted(BOOK.rglob("*.md"))
    wrong = []
    if not arguments.pages:
        wrong = can_fail() + summary() + drawings()
        for path in pages:
            wrong += marks(path)
        for path in pages + OUTSIDE:
            wrong += links(path)
        wrong += calculator.check()
    if wrong:
        raise Failed("\n".join(wrong))
    if not arguments.pages:
        print(f"book: {len(pages)} pages; links, marks, drawings, calculator are right")
    if arguments.starling is None:
        print("book: LEFT OUT: without a program no command is run")
        return
    program = arguments.starling.resolve()
    for path in pages:
        number, left = play(path, program)
        if number or left:
            print(f"book: {path.relative_to(ROOT)}: {number} blocks of commands run, {len(left)} not")
        for where, why in left:
            if arguments.why or why.startswith("LEFT OUT"):
                print(f"book: {where}: {why}")


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        print(f"book: {failure}", file=sys.stderr)
        sys.exit(1)
