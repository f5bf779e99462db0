"""Holds exchanges against the OpenAPI file: validate.py FILE.yaml EXCHANGES.jsonl

Each line is an exchange: method, path, query (pairs), headers, body, status, answer. Prints how many of each operation were
good, and fails at the first that is not, or if an operation of the file never occurs.
"""

import collections
import json
import sys

import yaml
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse


def check(openapi, exchange):
    headers = {name.title(): value for name, value in exchange["headers"].items()}
    request = MockRequest(
        "https://backend.example.org",
        exchange["method"].lower(),
        exchange["path"],
        args=dict(exchange["query"]),
        headers=headers,
        data=exchange["body"].encode() or None,
        content_type=headers.get("Content-Type", "application/json"),
    )
    answer = b"" if exchange["answer"] is None else json.dumps(exchange["answer"]).encode()
    response = MockResponse(
        data=answer, status_code=exchange["status"], content_type="application/json"
    )
    openapi.validate_request(request)
    openapi.validate_response(request, response)


def operations(document):
    methods = ("get", "put", "post", "delete")
    for path, item in document["paths"].items():
        for method in methods:
            if method in item:
                yield method.upper(), path.count("/"), path.split("/")


def operation_of(exchange, known):
    segments = exchange["path"].removeprefix("/v1").split("/")
    for method, _, template in known:
        if method == exchange["method"] and len(template) == len(segments):
            pairs = zip(template, segments)
            if all(a.startswith("{") or a == b for a, b in pairs):
                return method + " " + "/".join(template)
    raise SystemExit(f"no operation of the file: {exchange['method']} {exchange['path']}")


def main(file, exchanges):
    with open(file) as opened:
        document = yaml.safe_load(opened)
    known = list(operations(document))
    # Who asks is TLS's business in part, and the validator does not know of client certificates.
    del document["security"], document["components"]["securitySchemes"]
    openapi = OpenAPI.from_dict(document)
    counts = collections.Counter()
    with open(exchanges) as opened:
        for line in opened:
            exchange = json.loads(line)
            operation = operation_of(exchange, known)
            try:
                check(openapi, exchange)
            except Exception as error:
                cause = error.__cause__ or error
                told = getattr(cause, "schema_errors", None) or cause
                raise SystemExit(f"{operation} {exchange['status']}: {error} {told}\n{line[:2000]}")
            counts[operation] += 1
    missing = {m + " " + "/".join(t) for m, _, t in known} - set(counts)
    if missing:
        raise SystemExit(f"never asked: {sorted(missing)}")
    print(f"{len(counts)} operations, {sum(counts.values())} exchanges")


if __name__ == "__main__":
    main(*sys.argv[1:])
