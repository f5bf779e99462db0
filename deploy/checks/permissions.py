#!/usr/bin/env python3
"""Whether the rights that terraform/permissions.tf gives to nodes are those of the calls that the code makes: none is
missing, none is left over.

What AWS asks for a call is in the Service Authorization Reference. `starling init` may do more: see INIT.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ["storage/aws/src", "discovery/ec2/src"]
# The image's agent and the key of KMS: not the program's.
OTHERS = {"logs", "kms"}

CALLS = {
    "get_item": {"dynamodb:GetItem"},
    "query": {"dynamodb:Query"},
    "scan": {"dynamodb:Scan"},
    "put_item": {"dynamodb:PutItem"},
    "update_item": {"dynamodb:UpdateItem"},
    "delete_item": {"dynamodb:DeleteItem"},
    # A transaction needs the rights of its parts.
    "transact_write_items": {"dynamodb:ConditionCheckItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"},
    "describe_table": {"dynamodb:DescribeTable"},
    "describe_time_to_live": {"dynamodb:DescribeTimeToLive"},
    "head_bucket": {"s3:ListBucket"},
    "list_objects_v2": {"s3:ListBucket"},
    "get_object": {"s3:GetObject"},
    "head_object": {"s3:GetObject"},
    "put_object": {"s3:PutObject"},
    "create_multipart_upload": {"s3:PutObject"},
    "upload_part": {"s3:PutObject"},
    "complete_multipart_upload": {"s3:PutObject"},
    "abort_multipart_upload": {"s3:AbortMultipartUpload"},
    "delete_object": {"s3:DeleteObject"},
    "describe_instances": {"ec2:DescribeInstances"},
    "describe_auto_scaling_instances": {"autoscaling:DescribeAutoScalingInstances"},
    "describe_lifecycle_hooks": {"autoscaling:DescribeLifecycleHooks"},
    "complete_lifecycle_action": {"autoscaling:CompleteLifecycleAction"},
    "record_lifecycle_action_heartbeat": {"autoscaling:RecordLifecycleActionHeartbeat"},
}
INIT = {
    "create_table", "update_time_to_live", "describe_continuous_backups", "update_continuous_backups", "create_bucket",
    "get_public_access_block", "put_public_access_block", "get_bucket_encryption", "put_bucket_encryption",
    "get_bucket_lifecycle_configuration", "put_bucket_lifecycle_configuration",
}
# Of a client, and no call.
NO_CALLS = {"config", "await", "clone", "client"}


def calls():
    """The operations that the code calls on clients of the SDK, each with where."""
    found = {}
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.rs")):
            code = path.read_text().split("#[cfg(test)]")[0]
            for match in re.finditer(r"\bclient(?:\(\))?\s*\.\s*([a-z]\w*)\s*\(\s*\)", code):
                found.setdefault(match[1], path.relative_to(ROOT))
    return {name: where for name, where in found.items() if name not in NO_CALLS}


def granted():
    """The actions of the module, each with its why."""
    text = (ROOT / "terraform/permissions.tf").read_text()
    pairs = re.findall(r'^\s*"([a-z0-9]+:[A-Za-z]+)"\s*=\s*"([^"]+)"', text, re.MULTILINE)
    return {action: why for action, why in pairs if action.split(":")[0] not in OTHERS}


def main():
    made, wrong = calls(), []
    for name, where in made.items():
        if name not in CALLS and name not in INIT:
            wrong.append(f"{where} calls {name}: which right is that? Say it in deploy/checks/permissions.py and terraform/permissions.tf")
    needed = set().union(*(CALLS.get(name, set()) for name in made))
    have = set(granted())
    wrong += [f"{action} is needed and not granted" for action in sorted(needed - have)]
    wrong += [f"{action} is granted and not needed" for action in sorted(have - needed)]
    for it in wrong:
        print(f"permissions: {it}", file=sys.stderr)
    print(f"permissions: {len(made)} operations of the SDK are called; {len(have)} actions are granted to nodes")
    sys.exit(1 if wrong or not made else 0)


if __name__ == "__main__":
    main()
