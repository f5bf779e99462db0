"""The instance metadata service, version 2, of moto's instances.

Source: Amazon EC2 User Guide, "Instance metadata categories" and "How Instance Metadata Service Version 2 works".
Version 1 is not answered: every read needs a token.

``/imds/<id>/latest/...``      what the instance asks
``/control/<id>/<path>``       PUT: what ``meta-data/<path>`` says from now on; DELETE: no more
``/control/<id>/tokens``       DELETE: no token is good any more
``/control/<id>/disabled``     PUT: the service is switched off (403); DELETE: on
"""

import base64
import json
import random
import time
from urllib.parse import unquote

from moto.ec2.models import ec2_backends

from clock import CLOCK

LONGEST_TOKEN_SECONDS = 21600
TOKEN_PATH = "latest/api/token"
TOKEN_TTL = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
}


def find_instance(instance_id):
    """The instance if it runs: one that does not has nobody to ask."""
    for regions in ec2_backends.values():
        for backend in regions.values():
            for instance in backend.all_instances():
                if instance.id == instance_id and instance.state == "running":
                    return instance
    return None


class Metadata:
    """A WSGI application for all instances."""

    def __init__(self, lifecycle_state):
        self.lifecycle_state = lifecycle_state
        self.tokens = {}  # token: (instance id, until when)
        self.added = {}  # instance id: {path: bytes}
        self.disabled = set()

    def __call__(self, environ, start_response):
        _, kind, instance_id, path = environ["PATH_INFO"].split("/", 3)
        path = unquote(path).rstrip("/")
        answer = self.control if kind == "control" else self.answer
        status, body = answer(environ, instance_id, path)
        length = str(len(body))
        headers = [("Content-Type", "text/plain"), ("Content-Length", length)]
        if status == 200 and path == TOKEN_PATH:
            # Without it the SDKs do not take the token.
            headers.append((TOKEN_TTL, environ["HTTP_X_AWS_EC2_METADATA_TOKEN_TTL_SECONDS"]))
        start_response(f"{status} {REASONS[status]}", headers)
        return [body]

    def control(self, environ, instance_id, path):
        """What a test says about an instance."""
        is_put = environ["REQUEST_METHOD"] == "PUT"
        if path == "tokens":
            self.tokens = {t: of for t, of in self.tokens.items() if of[0] != instance_id}
        elif path == "disabled":
            (self.disabled.add if is_put else self.disabled.discard)(instance_id)
        elif is_put:
            length = int(environ.get("CONTENT_LENGTH") or 0)
            self.added.setdefault(instance_id, {})[path] = environ["wsgi.input"].read(length)
        else:
            self.added.get(instance_id, {}).pop(path, None)
        return 200, b""

    def answer(self, environ, instance_id, path):
        """What an instance asks."""
        instance = find_instance(instance_id)
        if instance is None:
            return 404, b""
        if instance_id in self.disabled:
            return 403, b""
        if path == TOKEN_PATH:
            return self.new_token(environ, instance_id)
        if environ["REQUEST_METHOD"] != "GET":
            return 405, b""
        owner, until = self.tokens.get(environ.get("HTTP_X_AWS_EC2_METADATA_TOKEN"), (None, 0))
        if owner != instance_id or until < CLOCK.now():
            return 401, b""
        if path == "latest/user-data":
            data = instance.user_data
            return (200, base64.b64decode(str(data))) if data else (404, b"")
        if path == "latest/dynamic/instance-identity/document":
            return 200, self.document(instance)
        body = self.categories(instance).get(path.removeprefix("latest/meta-data/"))
        return (404, b"") if body is None else (200, body)

    def new_token(self, environ, instance_id):
        """A token for as long as was asked."""
        if environ["REQUEST_METHOD"] != "PUT":
            return 405, b""
        seconds = environ.get("HTTP_X_AWS_EC2_METADATA_TOKEN_TTL_SECONDS", "")
        if not seconds.isdigit() or not 1 <= int(seconds) <= LONGEST_TOKEN_SECONDS:
            return 400, b""
        token = base64.urlsafe_b64encode(random.randbytes(40)).decode()
        self.tokens[token] = (instance_id, CLOCK.now() + int(seconds))
        return 200, token.encode()

    @staticmethod
    def document(instance):
        """The instance identity document."""
        zone = instance.placement.zone
        document = {
            "accountId": instance.owner_id,
            "instanceId": instance.id,
            "privateIp": instance.private_ip,
            "region": zone[:-1],
            "availabilityZone": zone,
            "instanceType": instance.instance_type,
        }
        return json.dumps(document).encode()

    def categories(self, instance):
        """All of ``meta-data`` by path."""
        zone, mac = instance.placement.zone, instance.nics[0].mac_address
        tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
        texts = {
            "instance-id": instance.id,
            "local-ipv4": instance.private_ip,
            "instance-type": instance.instance_type,
            "ami-id": instance.image_id,
            "mac": mac,
            f"network/interfaces/macs/{mac}/vpc-id": instance.vpc_id,
            "placement/availability-zone": zone,
            "placement/region": zone[:-1],
            "iam/security-credentials": "role",
            "iam/security-credentials/role": self.credentials(),
            "tags/instance": "\n".join(tags),
        }
        texts.update({f"tags/instance/{key}": value for key, value in tags.items()})
        state = self.lifecycle_state(instance.id)
        if state:
            target = "Terminated" if state.startswith("Terminat") else "InService"
            texts["autoscaling/target-lifecycle-state"] = target
        found = {path: text.encode() for path, text in texts.items() if text is not None}
        return found | self.added.get(instance.id, {})

    @staticmethod
    def credentials():
        """The role's credentials, which end in an hour."""
        now = time.time()
        stamp = lambda seconds: time.strftime("%FT%TZ", time.gmtime(seconds))
        return json.dumps(
            {
                "Code": "Success",
                "Type": "AWS-HMAC",
                "AccessKeyId": "ASIATEST",
                "SecretAccessKey": "secret",
                "Token": "token",
                "LastUpdated": stamp(now),
                "Expiration": stamp(now + 3600),
            }
        )
