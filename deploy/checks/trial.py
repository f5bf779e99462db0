#!/usr/bin/env python3
"""Looks at deploy/container/trial without an engine: every name that compose.yaml uses is there, and no container has more
than it needs. Needs the environment with yamllint (PyYAML).
"""

import pathlib
import sys

import yaml

TRIAL = pathlib.Path(__file__).resolve().parents[2] / "deploy/container/trial"


def mistakes(compose):
    services = compose["services"]
    for name, config in compose["configs"].items():
        if not (TRIAL / config["file"]).is_file():
            yield f"config {name}: there is no {config['file']}"
    for name, service in services.items():
        if not service.get("read_only"):
            yield f"{name}: its root can be written"
        if service.get("cap_drop") != ["ALL"]:
            yield f"{name}: has capabilities"
        image = service["image"]
        if image != "starling" and (":" not in image.rsplit("/", 1)[-1] or image.endswith(":latest")):
            yield f"{name}: {image} has no version"
        for volume in service.get("volumes", []):
            if volume.split(":")[0] not in compose["volumes"]:
                yield f"{name}: there is no volume {volume}"
        for config in service.get("configs", []):
            if config["source"] not in compose["configs"]:
                yield f"{name}: there is no config {config}"
        for network in service.get("networks", []):
            if network not in compose["networks"]:
                yield f"{name}: there is no network {network}"
        for other, how in service.get("depends_on", {}).items():
            if other not in services:
                yield f"{name}: waits for {other}, which is not there"
            elif how["condition"] == "service_healthy" and "healthcheck" not in services[other]:
                yield f"{name}: waits for the health of {other}, which tells none"
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                yield f"{name}: {port} is open to the network"
    used = {volume.split(":")[0] for it in services.values() for volume in it.get("volumes", [])}
    for volume in set(compose["volumes"]) - used:
        yield f"nobody uses the volume {volume}"
    # Whoever the nodes and the balancer speak to is a service.
    for file in ("starling.toml", "haproxy.cfg"):
        text = (TRIAL / file).read_text()
        for host in ("dynamodb", "s3", "memcached", "redis") if file == "starling.toml" else ("node1", "node2", "node3"):
            if host not in services or f"{host}:" not in text:
                yield f"{file} and compose.yaml disagree about {host}"


def main():
    compose = yaml.safe_load((TRIAL / "compose.yaml").read_text())
    found = list(mistakes(compose))
    for it in found:
        print(f"trial: {it}", file=sys.stderr)
    print(f"trial: {len(compose['services'])} services looked at")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
