"""The API server as the kubeconfig names it, without anything beyond Python's own library."""

import base64
import json
import os
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request


class Refused(Exception):
    def __init__(self, what, code, text):
        super().__init__(f"{what}: {code} {text}")
        self.code = code


class Client:
    def __init__(self):
        view = ["kubectl", "config", "view", "--raw", "--minify", "-o", "json"]
        config = json.loads(subprocess.run(view, check=True, capture_output=True, text=True).stdout)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.server = cluster["server"]
        self.headers = {"Accept": "application/json"}
        if "token" in user:
            self.headers["Authorization"] = "Bearer " + user["token"]
        authority = cluster.get("certificate-authority-data")
        self.tls = ssl.create_default_context(
            cafile=cluster.get("certificate-authority"),
            cadata=base64.b64decode(authority).decode() if authority else None,
        )
        # The certificate may be for another name than the address (tls-server-name).
        self.tls.check_hostname = False
        if "client-certificate-data" in user:
            with tempfile.NamedTemporaryFile() as pair:
                for part in ("client-certificate-data", "client-key-data"):
                    pair.write(base64.b64decode(user[part]) + b"\n")
                pair.flush()
                self.tls.load_cert_chain(pair.name)

    def call(self, method, path, body=None, content="application/json", agent="Go-http-client/2.0"):
        if body is not None and not isinstance(body, str):
            body = json.dumps(body)
        request = urllib.request.Request(
            self.server + path,
            method=method,
            data=None if body is None else body.encode(),
            headers={**self.headers, "Content-Type": content, "User-Agent": agent},
        )
        try:
            with urllib.request.urlopen(request, context=self.tls, timeout=30) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            raise Refused(f"{method} {path}", error.code, text) from None


def documents(path, namespace, *arguments):
    """The objects of a YAML file as kubectl reads them."""
    command = ["kubectl", "create", "--dry-run=client", "--validate=false", "-o", "json", "-n", namespace, "-f", path]
    text = subprocess.run(command + list(arguments), check=True, capture_output=True, text=True).stdout
    decoder, objects, at = json.JSONDecoder(), [], 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        found, at = decoder.raw_decode(text, at)
        objects += found["items"] if found["kind"] == "List" else [found]
    return objects


def scope():
    return os.environ["NS"]
