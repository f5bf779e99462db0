"""Other servers for the page about migration: ejabberd and Prosody as Debian packages them, started privately.

`ejabberdctl` on the page's path asks that server by its HTTP API, because the real one wants a port mapper for the whole
machine; the commands behind it are the same (`ejabberd_commands`).
"""

import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess
import time
import urllib.request

# ejabberd's and Prosody's own tools, if a page names them so.
EJABBERDCTL = """\
#!/usr/bin/env python3
import json, sys, urllib.request
command, *values = sys.argv[1:]
names = {{"export_piefxis": ["dir"], "register": ["user", "host", "password"], "push_roster": [],
         "add_rosteritem": ["localuser", "localhost", "user", "host", "nick", "group", "subs"],
         "send_message": ["type", "from", "to", "subject", "body"], "registered_users": ["host"]}}[command]
request = urllib.request.Request("http://127.0.0.1:{port}/api/" + command, json.dumps(dict(zip(names, values))).encode(),
                                 {{"Content-Type": "application/json"}})
try:
    answer = json.loads(urllib.request.urlopen(request, timeout=60).read())
except urllib.error.HTTPError as error:
    sys.exit(f"{{command}}: {{error.read().decode()}}")
if answer not in (0, ""):
    print("\\n".join(answer) if isinstance(answer, list) else answer)
"""
EJABBERD = """\
hosts: ["example.org"]
loglevel: warning
auth_password_format: scram
listen:
  - {{port: {c2s}, ip: "127.0.0.1", module: ejabberd_c2s, access: all}}
  - {{port: {http}, ip: "127.0.0.1", module: ejabberd_http, request_handlers: {{/api: mod_http_api}}}}
api_permissions:
  "loopback": {{from: [mod_http_api], who: {{ip: 127.0.0.1/8}}, what: "*"}}
modules:
  mod_admin_extra: {{}}
  mod_mam: {{default: always, assume_mam_usage: true}}
  mod_offline: {{}}
  mod_privacy: {{}}
  mod_private: {{}}
  mod_roster: {{versioning: true}}
  mod_vcard: {{}}
"""
PROSODY = """\
data_path = "{data}"
pidfile = "{data}/prosody.pid"
log = {{ warn = "{data}/log" }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {c2s} }}
http_ports = {{ }}
https_ports = {{ }}
modules_disabled = {{ "s2s" }}
modules_enabled = {{ "roster"; "saslauth"; "disco"; "private"; "blocklist"; "mam"; "offline"; "vcard_legacy"; "pep" }}
c2s_require_encryption = false
authentication = "internal_hashed"
VirtualHost "example.org"
"""
PATIENCE = 120


def listens(port):
    with socket.socket() as it:
        return it.connect_ex(("127.0.0.1", int(port))) == 0


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def wait(process, log, ready):
    """Waits until a server is there."""
    until = time.monotonic() + PATIENCE
    while not ready():
        if process.poll() is not None or time.monotonic() > until:
            stop([process])
            raise SystemExit(f"book: {log.name}: {log.read_text(errors='replace')}")
        time.sleep(0.1)


def ejabberd(directory, tools):
    """An ejabberd without a node name, so that it needs no port mapper."""
    data = directory / "ejabberd"
    data.mkdir()
    c2s, http = free_port(), free_port()
    (data / "ejabberd.yml").write_text(EJABBERD.format(c2s=c2s, http=http))
    beams = next(it.parent for root in ("/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu")
                 for it in pathlib.Path(root).glob("*/ebin/ejabberd.beam"))
    log = data / "log"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            ["erl", "-noinput", "-pa", str(beams), "-mnesia", "dir", json.dumps(str(data / "spool")), "-s", "ejabberd"],
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(data), "EJABBERD_CONFIG_PATH": str(data / "ejabberd.yml"),
                 "EJABBERD_LOG_PATH": str(data / "server.log")},
            cwd=data, stdout=out, stderr=out,
        )
    wait(process, log, lambda: listens(c2s) and listens(http))
    tool = tools / "ejabberdctl"
    tool.write_text(EJABBERDCTL.format(port=http))
    tool.chmod(0o755)
    return process


def prosody(directory, tools, page):
    """A Prosody with its store in files; `prosodyctl` and `prosody-migrator` are its own, led to it."""
    data = directory / "prosody"
    data.mkdir()
    c2s = free_port()
    configuration = data / "prosody.cfg.lua"
    configuration.write_text(PROSODY.format(data=data, c2s=c2s))
    log = directory / "prosody.output"
    own = {}
    if os.geteuid() == 0:
        # Prosody refuses to be root, and its tools give that up by themselves.
        directory.chmod(0o755)
        shutil.chown(data, "prosody")
        own = {"user": "prosody", "group": "prosody", "extra_groups": []}
    with open(log, "wb") as out:
        process = subprocess.Popen(["prosody", "--config", str(configuration), "-F"], cwd=data, stdout=out, stderr=out, **own)
    wait(process, log, lambda: listens(c2s))
    tool = tools / "prosodyctl"
    tool.write_text(f'#!/bin/sh\nexec /usr/bin/prosodyctl --config {shlex.quote(str(configuration))} "$@"\n')
    tool.chmod(0o755)
    # The migrator writes where Prosody was built to keep its data.
    migrator = pathlib.Path("/usr/bin/prosody-migrator").read_text()
    tool = tools / "prosody-migrator"
    tool.write_text(re.sub(r"CFG_DATADIR *= *[^;\n]*", lambda _: f"CFG_DATADIR = {json.dumps(str(data))}", migrator, count=1))
    tool.chmod(0o755)
    page.text = page.text.replace("/var/lib/prosody", str(data))
    return process


def start(text, directory, tools, page):
    """Starts those that a page says it is about: `<!-- with: ejabberd prosody -->`."""
    said = re.search(r"<!-- with: (.*?) -->", text)
    names = said[1].split() if said else []
    started = []
    try:
        if "ejabberd" in names:
            started.append(ejabberd(directory, tools))
        if "prosody" in names:
            started.append(prosody(directory, tools, page))
    except BaseException:
        stop(started)
        raise
    return started


def stop(processes):
    """Ends them."""
    for process in processes:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
