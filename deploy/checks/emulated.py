"""AWS as moto imitates it, and what EC2 would do with the instances there: start a node on each that is launched.

Instances have addresses of loopback (AWS would refuse such a VPC), so the nodes of all of them run on this machine, each
given nothing but its metadata service, as on EC2.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
REGION = "eu-west-1"
SERVER = ROOT / "deploy/checks/moto_server.py"
VERSIONS = {"autoscaling": "2011-01-01", "ec2": "2016-11-15", "iam": "2010-05-08"}
# A bound, not an expectation.
PATIENCE_SECONDS = 300


class Failed(Exception):
    """What was expected did not come."""


def wait(what, ask, patience=PATIENCE_SECONDS):
    """Asks until there is an answer."""
    until = time.monotonic() + patience
    while True:
        found = ask()
        if found:
            return found
        if time.monotonic() > until:
            raise Failed(f"waited {patience} s: {what}")
        time.sleep(0.1)


def free_port():
    """A port of loopback that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def read(url, data=None, headers=None, method=None):
    """The body of an answer; ``None`` if there is none yet."""
    request = urllib.request.Request(url, data, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()
    except OSError:
        return None


class Moto:
    """The server. Use it as a context."""

    def __init__(self, python, directory):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        environment = {**os.environ, "MOTO_EC2_LOAD_DEFAULT_AMIS": "false", "PYTHONDONTWRITEBYTECODE": "1"}
        log = open(directory / "moto.log", "wb")
        command = [python, str(SERVER), "127.0.0.1", str(self.port)]
        self.process = subprocess.Popen(command, cwd=directory, env=environment, stdout=log, stderr=log)

    def __enter__(self):
        try:
            # An answer without VPCs is one as well.
            wait("moto to answer", lambda: self.call("ec2", "DescribeVpcs") is not None)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def call(self, service, action, **parameters):
        """Calls an action of a service with a query API: the answer's tree without namespaces; ``None``: refused."""
        body = {"Action": action, "Version": VERSIONS[service], **parameters}
        scope = f"AWS4-HMAC-SHA256 Credential=starling/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"
        headers = {"Authorization": scope, "Content-Type": "application/x-www-form-urlencoded"}
        answer = read(self.url, urllib.parse.urlencode(body).encode(), headers)
        if answer is None:
            return None
        text = re.sub(r'\sxmlns="[^"]+"', "", answer.decode())
        return ElementTree.fromstring(text)

    def states(self, group):
        """The lifecycle state of each instance of a group."""
        found = self.call("autoscaling", "DescribeAutoScalingGroups", **{"AutoScalingGroupNames.member.1": group})
        members = found.findall(".//Instances/member") if found is not None else []
        return {it.findtext("InstanceId"): it.findtext("LifecycleState") for it in members}

    def address(self, instance):
        """The private address of an instance."""
        found = self.call("ec2", "DescribeInstances", **{"InstanceId.1": instance})
        return found.findtext(".//privateIpAddress")

    def complete(self, group, hook, instance):
        """What the node of an instance says to its group."""
        parameters = {
            "AutoScalingGroupName": group,
            "LifecycleHookName": hook,
            "InstanceId": instance,
            "LifecycleActionResult": "CONTINUE",
        }
        self.call("autoscaling", "CompleteLifecycleAction", **parameters)

    def scale(self, group, size):
        """Sets how many instances a group is to have."""
        parameters = {"AutoScalingGroupName": group, "DesiredCapacity": str(size)}
        if self.call("autoscaling", "SetDesiredCapacity", **parameters) is None:
            raise Failed(f"{group} cannot have {size} instances")


class Memcached:
    """A cache of the system's package."""

    def __init__(self):
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        command = ["memcached", "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-m", "16"]
        if os.geteuid() == 0:
            command += ["-u", "nobody"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Platform:
    """EC2's part: whatever a group launches is started, with what it was given. Without a program for that it does what
    nodes would tell their group. Use it as a context."""

    def __init__(self, moto, group, starling, directory):
        self.moto, self.group, self.starling, self.directory = moto, group, starling, directory
        self.nodes = {}
        self.addresses = {}
        self.memcached = Memcached() if starling and shutil.which("memcached") else None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()
        for node in self.nodes.values():
            if node.poll() is None:
                node.send_signal(signal.SIGTERM)
        for node in self.nodes.values():
            node.wait()

    def end(self):
        """Ends what instances share."""
        if self.memcached:
            self.memcached.process.terminate()
            self.memcached.process.wait()

    def run(self):
        while not self.stopping.wait(0.2):
            for instance, state in self.moto.states(self.group).items():
                if self.starling and instance not in self.nodes:
                    self.nodes[instance] = self.launch(instance)
                elif not self.starling and state == "Pending:Wait":
                    self.moto.complete(self.group, "serves", instance)
                elif not self.starling and state == "Terminating:Wait":
                    self.moto.complete(self.group, "leaves", instance)

    def environment(self, instance):
        """What a node finds on EC2 by itself, and here has to be told: where AWS is, and which address is its own."""
        address = self.addresses.get(instance) or self.moto.address(instance)
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "STARLING_"))},
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"{self.moto.url}/imds/{instance}",
            "AWS_ENDPOINT_URL": self.moto.url,
            "STARLING_CLUSTER__LISTEN": f"{address}:7269",
            "STARLING_HTTP": f"{address}:5280",
            "STARLING_LISTENERS": f"{address}:5222,direct:{address}:5223",
            # For what the tests do; a cache as ElastiCache would be, if there is one.
            "STARLING_REGISTRATION__ENABLED": "true",
            "STARLING_REGISTRATION__PER_HOUR": "1000",
            **({"STARLING_STORAGE__MEMCACHED__SERVERS": self.memcached.address} if self.memcached else {}),
        }

    def launch(self, instance):
        self.addresses[instance] = self.moto.address(instance)
        data = self.directory / instance
        data.mkdir()
        log = open(data / "log", "wb")
        command = [self.starling, "serve", "--data", str(data)]
        return subprocess.Popen(command, env=self.environment(instance), cwd=data, stdout=log, stderr=log)

    def command(self, instance, *arguments):
        """Runs a command that may be repeated, as on the instance: what it printed."""
        data = self.directory / instance
        command = [self.starling, *arguments, "--data", str(data)]
        # On a machine that is very busy the metadata service may answer too late.
        for _ in range(3):
            done = subprocess.run(command, env=self.environment(instance), cwd=data, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return done.stdout
        raise Failed(f"{' '.join(arguments)}: {done.stdout}{done.stderr}")

    def is_ready(self, instance):
        """Whether the node of an instance would be sent clients."""
        return read(f"http://{self.addresses[instance]}:5280/ready") is not None

    def status(self, instance):
        """What the node of an instance tells of its cluster."""
        answer = read(f"http://{self.addresses[instance]}:5280/status.json")
        return json.loads(answer) if answer else None

    def log(self, instance):
        """What the node of an instance has logged."""
        return (self.directory / instance / "log").read_text(errors="replace")
