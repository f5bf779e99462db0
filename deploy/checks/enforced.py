"""The policy of the nodes, enforced: a node starts with it, and with less it refuses in a sentence that names what is missing.

moto evaluates policies on request. It asks for a transaction what is no action at AWS (dynamodb:TransactWriteItems), so that one
stands for dynamodb:ConditionCheckItem here; and it asks without saying for which table, so that the tables that the policy
names are not looked at, while bucket and objects are.
"""

import json
import subprocess
import urllib.parse

from emulated import Failed, read

INSTEAD = {"dynamodb:ConditionCheckItem": "dynamodb:TransactWriteItems"}
# What a node tries before it serves. The others are for later, or for what it goes without.
AT_THE_START = [
    "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:UpdateItem",
    "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem", "s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject",
]
PATIENCE_SECONDS = 300


def found(tree, what, name):
    """A text in an answer."""
    value = tree.findtext(f".//{name}") if tree is not None else None
    if value is None:
        raise Failed(f"{what}: moto does not tell {name}")
    return value


def policy_of(moto, role):
    """The policy that Terraform has given to a role."""
    answer = moto.call("iam", "GetRolePolicy", RoleName=role, PolicyName="starling")
    policy = json.loads(urllib.parse.unquote(found(answer, "GetRolePolicy", "PolicyDocument")))
    for statement in policy["Statement"]:
        if all(action.startswith("dynamodb:") for action in statement["Action"]):
            statement["Resource"] = "*"
        statement["Action"] = [INSTEAD.get(action, action) for action in statement["Action"]]
    return policy


def without(policy, action):
    """A policy that lacks an action."""
    action = INSTEAD.get(action, action)
    statements = []
    for statement in policy["Statement"]:
        left = [it for it in statement["Action"] if it != action]
        if left:
            statements.append({**statement, "Action": left})
    return {**policy, "Statement": statements}


def user(moto, name, policy):
    """A user of that policy: their access key."""
    moto.call("iam", "CreateUser", UserName=name)
    moto.call("iam", "PutUserPolicy", UserName=name, PolicyName="starling", PolicyDocument=json.dumps(policy))
    key = moto.call("iam", "CreateAccessKey", UserName=name)
    return found(key, "CreateAccessKey", "AccessKeyId"), found(key, "CreateAccessKey", "SecretAccessKey")


def check(platform, instance, role):
    """All of it, with the user data of an instance whose node has ended."""
    moto = platform.moto
    policy = policy_of(moto, role)
    users = {action: user(moto, action.replace(":", "-"), without(policy, action)) for action in AT_THE_START}
    whole = user(moto, "whole", policy)
    # From the next request on. Not a form: moto reads the body as it is.
    if read(f"{moto.url}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"}, "POST") is None:
        raise Failed("moto does not begin to enforce policies")
    text, code = start(platform, instance, whole)
    if code is not None:
        raise Failed(f"with the module's policy a node does not start: {text}")
    for action, key in users.items():
        text, code = start(platform, instance, key)
        # The one that moto knows, or the one that the program names.
        if code in (None, 0) or action not in text:
            raise Failed(f"without {action} a node says (exit {code}): {text}")
    return len(users)


def start(platform, instance, key):
    """Starts a node until it serves or has ended: what it logged, and its exit code; ``None``: it served."""
    environment = platform.environment(instance)
    environment |= {"AWS_ACCESS_KEY_ID": key[0], "AWS_SECRET_ACCESS_KEY": key[1]}
    data = platform.directory / f"{instance}-{key[0]}"
    data.mkdir()
    with subprocess.Popen(
        [platform.starling, "serve", "--data", str(data)], env=environment, cwd=data, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as node:
        try:
            text = ""
            for line in node.stdout:
                text += line
                if "serve::life: ready" in line:
                    return text, None
            return text, node.wait(PATIENCE_SECONDS)
        finally:
            node.kill()
