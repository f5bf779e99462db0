#!/usr/bin/env python3
"""Applies terraform/examples/minimal to an emulated AWS, with nodes on the instances that its group launches.

Usage: apply.py --moto PYTHON [--starling PROGRAM] [--load PROGRAM] [--stay] [--directory DIR]

PYTHON is that of the environment with moto (tests/install). Without PROGRAM nobody is started, and only what Terraform
does is looked at. What moto cannot do is not asked of it: see LEFT_OUT.
"""

import argparse
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import enforced
import watched
from emulated import REGION, ROOT, Failed, Moto, Platform, wait

LEFT_OUT = [
    "traffic of the load balancer, its health checks and deregistration: moto has no data plane",
    "scaling by what is measured, instance refresh, spot: nothing happens by itself there",
    "ElastiCache: moto tells no address of it, and never ends its removal; the production example, which has it, is planned only",
    "whether AWS itself accepts all this: nothing here was applied to AWS",
]
# What moto does not keep of what it was told, by the kind of resource. A plan wants to set it again; all else that it wants is a mistake.
FORGOTTEN = {
    "aws_autoscaling_group": {"default_instance_warmup", "launch_template"},
    "aws_launch_template": {"tag_specifications", "default_version", "latest_version"},
    "aws_vpc_security_group_egress_rule": {"description"},
    "aws_vpc_security_group_ingress_rule": {"description"},
}
SERVICES = [
    "autoscaling", "cloudwatch", "dynamodb", "ec2", "elasticache", "elbv2", "iam", "kms", "logs", "route53", "s3", "sns", "sts",
]
PROVIDER = """\
provider "aws" {{
  access_key                  = "starling"
  secret_key                  = "starling-secret"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  s3_use_path_style           = true
  max_retries                 = 2

  endpoints {{
{endpoints}
  }}
}}
"""
MODULE = """
module "starling" {
  # Addresses that nodes on this machine can have.
  vpc_cidr = "127.83.0.0/16"
}
"""


def terraform(directory, *arguments):
    """Runs Terraform: what it printed."""
    command = ["terraform", f"-chdir={directory}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def lay_out(directory, moto):
    """The examples, with what says that AWS is moto: minimal, production."""
    copy = directory / "terraform"
    shutil.copytree(ROOT / "terraform", copy, ignore=shutil.ignore_patterns(".terraform*", "tests"))
    endpoints = "\n".join(f'    {service} = "{moto.url}"' for service in SERVICES)
    common = f'region = "{REGION}"\ndomain = "example.org"\nami_id = "ami-12345678"\n'
    more = 'zone_id = "Z0123456789ABCDEFGHIJ"\nalarm_mail = "alarms@example.org"\nmonitoring_networks = ["10.0.0.0/8"]\n'
    minimal, production = copy / "examples/minimal", copy / "examples/production"
    for example, module, variables in (minimal, MODULE, common), (production, "", common + more):
        (example / "emulated_override.tf").write_text(PROVIDER.format(endpoints=endpoints) + module)
        (example / "terraform.tfvars").write_text(variables)
        terraform(example, "init", "-input=false", "-no-color")
    return minimal, production


def planned(example):
    """What a plan says that it would make."""
    text = terraform(example, "plan", "-input=false", "-no-color", "-parallelism=20")
    return next(line for line in text.splitlines() if line.startswith("Plan: "))


class Story:
    """What was done, with the time it took."""

    def __init__(self):
        self.began = time.monotonic()

    def tell(self, what):
        now = time.monotonic()
        print(f"apply: {what} ({now - self.began:.1f} s)", flush=True)
        self.began = now


def said(value):
    """A value as Terraform compares it: nothing is nothing, however it is written."""
    if isinstance(value, dict):
        return {key: said(it) for key, it in value.items() if said(it) not in ("", [], {})}
    if isinstance(value, list):
        return [said(it) for it in value]
    return "" if value is None else value


def changes(example):
    """What a plan would change in what was just applied: the resource, and the attributes that moto did keep."""
    plan = example / "second.plan"
    terraform(example, "plan", f"-out={plan}", "-input=false", "-no-color", "-parallelism=20")
    text = terraform(example, "show", "-json", str(plan))
    found = {}
    for resource in json.loads(text)["resource_changes"]:
        change = resource["change"]
        if change["actions"] in (["no-op"], ["read"]):
            continue
        if change["actions"] != ["update"]:
            found[resource["address"]] = change["actions"]
            continue
        before, after, unknown = change["before"], change["after"], change["after_unknown"]
        keys = {key for key in {*before, *after} if said(before.get(key)) != said(after.get(key)) or unknown.get(key) is True}
        odd = keys - FORGOTTEN.get(resource["type"], set())
        if odd:
            found[resource["address"]] = {key: (before.get(key), after.get(key)) for key in odd}
    return found


def cluster_is(platform, size):
    """Whether so many nodes serve together, and each knows it."""
    instances = [it for it, state in platform.moto.states("starling").items() if state == "InService"]
    if len(instances) != size or not all(it in platform.addresses and platform.is_ready(it) for it in instances):
        return None
    for instance in instances:
        status = platform.status(instance)
        members = (status or {}).get("cluster", {}).get("members", [])
        if len([it for it in members if it["state"] == "ready"]) != size:
            return None
    return instances


def with_nodes(platform, story):
    """What nodes do on what Terraform has made."""
    instances = wait("three nodes to serve", lambda: cluster_is(platform, 3))
    story.tell("3 nodes found each other by their tags, serve, and their group knows it")
    report = platform.command(instances[0], "init")
    steps = [line for line in report.splitlines() if line.startswith(("main: table ", "main: bucket "))]
    # Whatever it does is what Terraform has not done.
    odd = [line for line in steps if not line.endswith(": as it should be")]
    if odd or len(steps) != 20:
        raise Failed(f"`starling init` finds something to do:\n{report}")
    story.tell(f"`starling init` finds nothing to do in {len(steps)} steps")
    grow(platform)
    story.tell("one more instance joined by itself")
    shrink(platform)
    gone = next(it for it in platform.nodes if it not in platform.moto.states("starling"))
    wait("its process to end", lambda: platform.nodes[gone].poll() is not None)
    if platform.nodes[gone].returncode != 0 or "the group may go on" not in platform.log(gone):
        raise Failed(f"{gone} did not leave in order:\n{platform.log(gone)}")
    story.tell("one left when its group let it go, and the group waited for it")


def grow(platform):
    """One instance more."""
    platform.moto.scale("starling", 4)
    wait("a fourth node", lambda: cluster_is(platform, 4))


def shrink(platform):
    """One instance less: those that stay."""
    platform.moto.scale("starling", 3)
    wait("a node to leave", lambda: len(platform.moto.states("starling")) == 3)
    return wait("the others to agree", lambda: cluster_is(platform, 3))


def with_prometheus(platform, load, story):
    """What is seen of nodes under load."""
    def move():
        grow(platform)
        return shrink(platform)

    asked, reasons = watched.check(platform, cluster_is(platform, 3), load, move)
    story.tell(f"Prometheus has what {asked} expressions of dashboards and alerts ask for, and no alert fires")
    for reason in sorted(reasons):
        print(f"apply: without data, as nothing of the kind happened: {reason}")


def with_rights(platform, story):
    """What nodes may do, on instances whose nodes have ended."""
    instance = next(iter(platform.moto.states("starling")))
    number = enforced.check(platform, instance, f"starling-{REGION}-nodes")
    story.tell(f"a node starts with its policy enforced, and without any of {number} actions says which it lacks")


def stay(platform):
    """Lets somebody look, until the end of their input."""
    for instance in platform.moto.states("starling"):
        address = platform.addresses[instance]
        print(f"apply: {instance}: clients {address}:5222, {address}:5223; http://{address}:5280/status")
    print(f"apply: AWS is {platform.moto.url}; the group is `starling`; Ctrl-D ends all", flush=True)
    sys.stdin.read()


def check(arguments, directory):
    """All of it."""
    story = Story()
    with Moto(arguments.moto, directory) as moto:
        example, production = lay_out(directory, moto)
        story.tell("moto and terraform init")
        story.tell(f"production, {planned(production)}")
        platform = Platform(moto, "starling", arguments.starling, directory)
        try:
            with platform:
                text = terraform(example, "apply", "-auto-approve", "-input=false", "-no-color", "-parallelism=20")
                made = next(line for line in text.splitlines() if line.startswith("Apply complete"))
                story.tell(made)
                found = changes(example)
                if found:
                    raise Failed(f"a second plan finds something to change:\n{json.dumps(found, indent=1)}")
                story.tell("a second plan finds nothing to change that moto has kept")
                if arguments.starling:
                    with_nodes(platform, story)
                    if arguments.stay:
                        stay(platform)
                    if arguments.load:
                        with_prometheus(platform, arguments.load, story)
                else:
                    states = set(moto.states("starling").values())
                    if states != {"InService"}:
                        raise Failed(f"the group's instances: {states}")
                    story.tell("no program was given: instances were completed without nodes")
            if arguments.starling:
                with_rights(platform, story)
        except Failed:
            for instance in platform.nodes:
                print(f"--- {instance}\n{platform.log(instance)[-3000:]}", file=sys.stderr)
            raise
        finally:
            platform.end()
    for what in LEFT_OUT:
        print(f"apply: LEFT OUT: {what}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moto", required=True)
    parser.add_argument("--starling")
    parser.add_argument("--load", help="the program that the tests make load with; with it and PROGRAM Prometheus watches")
    parser.add_argument("--stay", action="store_true", help="let the cluster run until the end of input, for a look")
    parser.add_argument("--directory", help="keep what is made there")
    arguments = parser.parse_args()
    # What was started is ended also then.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("apply: told to stop"))
    try:
        if arguments.directory:
            directory = pathlib.Path(arguments.directory).resolve()
            directory.mkdir(parents=True)
            check(arguments, directory)
        else:
            with tempfile.TemporaryDirectory() as directory:
                check(arguments, pathlib.Path(directory))
    except Failed as failed:
        sys.exit(f"apply: FAILED: {failed}")


if __name__ == "__main__":
    main()
