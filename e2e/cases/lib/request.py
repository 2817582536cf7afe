#!/usr/bin/env python3
"""Writes to the API as other clients than kubectl do. The user agent decides the manager unless one is named.

    request.py edit PATH [--agent A] [--manager M] 'o["spec"]["replicas"] = 5'      GET, change, PUT
    request.py post|put|patch|delete PATH [--agent A] [--manager M] [--type merge] [BODY]
"""

import argparse
import json
import sys
import time
import urllib.parse

from client import Client, Refused

CONTENT = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["edit", "post", "put", "patch", "delete"])
    parser.add_argument("path")
    parser.add_argument("body", nargs="?")
    parser.add_argument("--agent", default="Go-http-client/2.0")
    parser.add_argument("--manager")
    parser.add_argument("--type", choices=CONTENT, default="merge")
    # Options may stand between the path and the body.
    asked = parser.parse_intermixed_args()
    path = asked.path
    if asked.manager:
        path += ("&" if "?" in path else "?") + "fieldManager=" + urllib.parse.quote(asked.manager)
    client = Client()
    if asked.verb != "edit":
        content = CONTENT[asked.type] if asked.verb == "patch" else "application/json"
        client.call(asked.verb.upper(), path, asked.body, content, asked.agent)
        return
    for last in [False] * 20 + [True]:
        found = client.call("GET", asked.path, agent=asked.agent)
        exec(asked.body, {"o": found, "json": json})
        try:
            client.call("PUT", path, found, agent=asked.agent)
            return
        except Refused as refused:
            # A controller wrote meanwhile.
            if refused.code != 409 or last:
                raise
            time.sleep(0.05)


try:
    main()
except Refused as refused:
    sys.exit(str(refused))
