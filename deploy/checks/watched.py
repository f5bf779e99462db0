"""Prometheus over the nodes of an emulated AWS, under load: what every panel of the dashboards and every alert looks at is
there. Instances that nothing happens to have no errors to count: what may be empty, and why, is in EMPTY.
"""

import json
import subprocess
import urllib.parse

import metrics
from emulated import ROOT, Failed, free_port, read, wait

# Counters with labels are told once something was counted. The metric, and why nothing is.
EMPTY = {
    "xmpp_store_retries_total": "moto refuses nothing that would be repeated",
    "xmpp_store_throttled_total": "moto does not throttle",
    "xmpp_c2s_stream_errors_total": "no client does anything wrong",
    "xmpp_c2s_resumptions_total": "no client comes back",
    "xmpp_c2s_resumptions_missed_total": "no client comes back",
    "xmpp_c2s_unreplicated_total": "the other node is never late",
    "xmpp_maintenance_steps_total": "maintenance rests for longer than the test takes",
    "xmpp_maintenance_work_total": "maintenance rests for longer than the test takes",
    "xmpp_maintenance_round_end_timestamp_seconds": "maintenance rests for longer than the test takes",
    "instance:xmpp_session_memory_bytes:ratio": "no node has a hundred sessions",
}
# Of these not every label's value is told.
RARE = {'event=~"hit|hit_absent"': "accounts stayed in the memory of their nodes, so the cache was not asked for what it had"}
# Recorded from those.
EMPTY["job:xmpp_c2s_resumptions_resumed:ratio_rate15m"] = EMPTY["xmpp_c2s_resumptions_total"]
# Of load: a machine that is very busy is slower than that.
TRIES = 4
CONFIGURATION = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [recording.yaml, alerts.yaml]
scrape_configs:
  - job_name: starling
    static_configs: [{{targets: [{targets}]}}]
"""


class Prometheus:
    """Debian's Prometheus with the project's rules. Use it as a context."""

    def __init__(self, targets, directory):
        self.directory = directory / "prometheus"
        self.directory.mkdir()
        for name in ("recording.yaml", "alerts.yaml"):
            rules = (ROOT / "deploy/prometheus" / name).read_text()
            (self.directory / name).write_text(rules.replace("interval: 15s", "interval: 1s"))
        configuration = self.directory / "prometheus.yml"
        configuration.write_text(CONFIGURATION.format(targets=", ".join(f'"{it}"' for it in targets)))
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = open(self.directory / "log", "wb")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={self.directory}/data",
             f"--web.listen-address={self.url.removeprefix('http://')}", "--log.level=warn"],
            stdout=self.log, stderr=self.log,
        )

    def __enter__(self):
        wait("Prometheus", lambda: read(f"{self.url}/-/ready"))
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def query(self, expression):
        """The samples of an expression now."""
        answer = read(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        if answer is None:
            raise Failed(f"Prometheus does not take: {expression}")
        return json.loads(answer)["data"]["result"]

    def rules(self):
        """All rules as Prometheus has judged them."""
        groups = json.loads(read(f"{self.url}/api/v1/rules"))["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


def load(platform, program, instance, *arguments):
    """Puts a node under some load: moto does a few hundred requests a second, and a node says `wait` when that is not enough."""
    host = platform.addresses[instance]
    command = [program, "--host", host, "--domain", "example.org", "--tls", "starttls", "--users", "user,8,secret", *arguments]
    for _ in range(TRIES):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
    raise Failed(f"{' '.join(command)}: {done.stdout}{done.stderr}")


def empty(expression):
    """Why an expression may have nothing, if it may."""
    names = [name for name, _ in metrics.parts(expression)[0]]
    rare = [why for part, why in RARE.items() if part in expression]
    return next((EMPTY[name] for name in names if name in EMPTY), next(iter(rare), None))


def check(platform, instances, program, move):
    """All of it: how many expressions were asked, and why some had nothing. `move` moves accounts, and gives instances that stay."""
    targets = [f"{platform.addresses[it]}:5280" for it in instances]
    for target in targets:
        page = platform.directory / "metrics"
        page.write_bytes(read(f"http://{target}/metrics"))
        if not metrics.scrape(page):
            raise Failed(f"{target} tells what the code does not declare")
    with Prometheus(targets, platform.directory) as prometheus:
        wait("the targets", lambda: len(prometheus.query('up{job="starling"} == 1')) == len(targets))
        load(platform, program, instances[0], "register")
        load(platform, program, instances[1], "roster", "--accounts", "2", "--contacts", "3")
        # Who serves an account anew reads what the cache has of it.
        stays = next(it for it in move() if it in instances)
        load(platform, program, stays, "roster", "--accounts", "2", "--contacts", "3")
        load(platform, program, stays, "chat", "--pairs", "4", "--rate", "20", "--seconds", "10")
        # What is summed over minutes needs some samples.
        wait("what is recorded", lambda: prometheus.query("job:xmpp_stanzas_messages:rate5m > 0"))
        wait("what is recorded of what is recorded", lambda: prometheus.query("job_kind:xmpp_store_units_per_message:ratio_rate5m"))
        asked, without, reasons = 0, [], set()
        expressions = [(path.stem, title, it) for path in metrics.DASHBOARDS for title, several in metrics.panels(path) for it in several]
        for board, title, expression in expressions:
            concrete = metrics.concrete(expression)
            asked += 1
            if not prometheus.query(concrete):
                why = empty(concrete)
                if why is None:
                    without.append(f"{board}: {title}: {concrete}")
                else:
                    reasons.add(why)
        # An alert that is well has no samples; what it looks at has.
        for name, expression, is_alert, _ in metrics.rules(metrics.RULES[1]):
            if not is_alert:
                continue
            for metric, _ in metrics.parts(expression)[0]:
                asked += 1
                if not prometheus.query(metric):
                    why = empty(metric)
                    if why is None:
                        without.append(f"{name}: {metric}")
                    else:
                        reasons.add(why)
        ill = [f"{rule['name']}: {rule.get('lastError')}" for rule in prometheus.rules() if rule["health"] != "ok"]
        firing = [rule["name"] for rule in prometheus.rules() if rule["type"] == "alerting" and rule["state"] == "firing"]
    if without or ill or firing:
        raise Failed(f"no data: {without}\nnot evaluated: {ill}\nfiring: {firing}")
    return asked, reasons
