"""Holds exchanges against an OpenAPI file: validate.py FILE.yaml EXCHANGES.jsonl

Each line is an exchange: method, path, query (pairs), headers, body, status, answer, and the type of the answer if that is not
application/json. Prints how many operations there were and how many exchanges, and fails at the first that is not good, or
if an operation of the file never occurs.
"""

import collections
import json
import sys
import urllib.parse

import yaml
from openapi_core import Config, OpenAPI
from openapi_core.testing import MockRequest, MockResponse

HOST = "https://backend.example.org"


def check(openapi, exchange):
    headers = {name.title(): value for name, value in exchange["headers"].items()}
    request = MockRequest(
        HOST,
        exchange["method"].lower(),
        exchange["path"],
        args=dict(exchange["query"]),
        headers=headers,
        data=exchange["body"].encode() or None,
        content_type=headers.get("Content-Type", "application/json"),
    )
    answer = b"" if exchange["answer"] is None else json.dumps(exchange["answer"]).encode()
    response = MockResponse(
        data=answer,
        status_code=exchange["status"],
        content_type=exchange.get("type", "application/json"),
    )
    openapi.validate_request(request)
    openapi.validate_response(request, response)


def operations(document):
    methods = ("get", "put", "post", "delete")
    for path, item in document["paths"].items():
        for method in methods:
            if method in item:
                yield method.upper(), path.count("/"), path.split("/")


def operation_of(exchange, known, base):
    segments = exchange["path"].removeprefix(base).split("/")
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
    # What every path begins with; a file may leave open where it is served.
    server = document["servers"][0]
    base = urllib.parse.urlsplit(server["url"]).path
    server["url"] = HOST + base
    # Who asks is TLS's business in part, and the validator does not know of client certificates.
    del document["security"], document["components"]["securitySchemes"]
    config = Config(extra_media_type_deserializers={"application/problem+json": json.loads})
    openapi = OpenAPI.from_dict(document, config=config)
    counts = collections.Counter()
    with open(exchanges) as opened:
        for line in opened:
            exchange = json.loads(line)
            operation = operation_of(exchange, known, base)
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
