#!/usr/bin/env python3
"""The tests' moto (tests/services/moto/server.py) with conditions of policies, which moto takes for denials wherever it
looks at a statement that has one. Requests count as made by TLS, as they are at AWS, and in the region of the tests.

Usage: moto_server.py HOST PORT
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests/services/moto"))

import server  # noqa: E402  (it patches moto; its folder is on the path since just now)
from moto.iam.access_control import IAMPolicyStatement, PermissionResult  # noqa: E402
from moto.s3.responses import ACTION_MAP  # noqa: E402

# A right that AWS does not know: HeadBucket asks for s3:ListBucket there.
ACTION_MAP["BUCKET"]["HEAD"]["DEFAULT"] = "ListBucket"

REQUEST = {
    "aws:SecureTransport": "true",
    "s3:TlsVersion": "1.3",
    "aws:RequestedRegion": "eu-west-1",
}


def listed(value):
    """One or several, as several."""
    return value if isinstance(value, list) else [value]


TESTS = {
    "Bool": lambda found, wanted: found in wanted,
    "StringEquals": lambda found, wanted: found in wanted,
    "NumericLessThan": lambda found, wanted: float(found) < float(wanted[0]),
}


def holds(conditions):
    """Whether a request fulfils them all. What is not known here is an error, and no guess."""
    return all(
        TESTS[operator](REQUEST[key], listed(wanted))
        for operator, pairs in conditions.items()
        for key, wanted in pairs.items()
    )


@server.replaces(IAMPolicyStatement, "is_action_permitted")
def is_action_permitted(original, self, action, *rest, **more):
    """A statement whose condition does not hold says nothing; one whose condition holds is as if it had none."""
    condition = self._statement.get("Condition")
    # Trust policies are moto's own.
    if not condition or "Resource" not in self._statement:
        return original(self, action, *rest, **more)
    if not holds(condition):
        return PermissionResult.NEUTRAL
    unconditional = {key: value for key, value in self._statement.items() if key != "Condition"}
    return original(IAMPolicyStatement(unconditional), action, *rest, **more)


if __name__ == "__main__":
    server.main(sys.argv[1], int(sys.argv[2]))
