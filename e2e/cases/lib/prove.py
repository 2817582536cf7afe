#!/usr/bin/env python3
"""Proves on an API server that the cases are what they claim to be. Nothing of Driftline takes part.

    KUBECONFIG=... prove.py [--jobs N] [CASE...]

Each case is deployed and mutated as in the test. Then:

- every field of expect.json has the values that it names, in Git and live, and every fact and manager is there;
- what the mutation changed on an object, and where the object differs from what the API server makes of the declaration now (a dry-run
  creation under another name), is all named by a field or a fact, or is bookkeeping;
- an object said to be gone or held is.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback

from client import Client, Refused, documents
from paths import ABSENT, contains, equal, get, resolve

CASES = pathlib.Path(__file__).resolve().parent.parent
# What every write changes, and what only the server writes.
NOISE = [
    ("metadata", name)
    # Whether an object is being deleted is looked at by itself.
    for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink", "generateName", "name")
] + [("status",), ("metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration")]
# Tools' own marks, on any object they deploy.
MARKS = {
    "meta.helm.sh/release-name",
    "meta.helm.sh/release-namespace",
    "app.kubernetes.io/managed-by",
    "argocd.argoproj.io/tracking-id",
    "kustomize.toolkit.fluxcd.io/name",
    "kustomize.toolkit.fluxcd.io/namespace",
    "helm.toolkit.fluxcd.io/name",
    "helm.toolkit.fluxcd.io/namespace",
    "deployment.kubernetes.io/revision",
    "deprecated.daemonset.template.generation",
    "kubernetes.io/metadata.name",
    "autoscaling.alpha.kubernetes.io/conditions",
    "autoscaling.alpha.kubernetes.io/current-metrics",
}
# What the server allocates, anew for each object.
ALLOCATED = {"clusterIP", "clusterIPs", "nodePort", "healthCheckNodePort"}


class Wrong(Exception):
    pass


def noise(place):
    marks = len(place) == 3 and place[:2] in (("metadata", "labels"), ("metadata", "annotations")) and place[2] in MARKS
    # The Job controller names the Job in its labels and its selector.
    job = place[-1] in ("controller-uid", "batch.kubernetes.io/controller-uid", "job-name", "batch.kubernetes.io/job-name")
    return marks or job or (place[0] == "spec" and ALLOCATED & set(place)) or any(place[: len(n)] == n for n in NOISE)


def differences(a, b, place=()):
    """The places where two values differ, in terms of `b` for elements of lists."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in {**a, **b}:
            yield from differences(a.get(key, ABSENT), b.get(key, ABSENT), place + (key,))
    elif isinstance(a, list) and isinstance(b, list):
        yield from list_differences(a, b, place)
    elif a is ABSENT and isinstance(b, dict) and b:
        for key in b:
            yield from differences(ABSENT, b[key], place + (key,))
    elif b is ABSENT and isinstance(a, dict) and a:
        for key in a:
            yield from differences(a[key], ABSENT, place + (key,))
    elif a is ABSENT or b is ABSENT or not equal(a, b):
        yield place


def key(element):
    """What an element is told by; nothing where only its place tells it."""
    if not isinstance(element, dict):
        return None
    for port in ("containerPort", "port"):
        if port in element:
            return (element[port], element.get("protocol", "TCP"))
    return element.get("mountPath") or element.get("name")


def list_differences(a, b, place):
    keys = [key(e) for e in a], [key(e) for e in b]
    if all(k and None not in k and len(set(k)) == len(k) for k in keys):
        olds = dict(zip(keys[0], a))
        for n, element in enumerate(b):
            yield from differences(olds.pop(keys[1][n], ABSENT), element, place + (n,))
        for left in olds:
            yield place + (f"-{left}",)
    elif len(a) == len(b):
        for n, (old, new) in enumerate(zip(a, b)):
            yield from differences(old, new, place + (n,))
    else:
        yield place


class Case:
    def __init__(self, client, folder, scratch):
        self.client, self.folder = client, folder
        self.namespace = f"prove-{random.randrange(16**8):08x}"
        self.stage = pathlib.Path(scratch) / self.namespace / folder.name
        self.kinds = {}

    def prepare(self):
        """A copy of the folder in which $NS has its value, beside a copy of lib."""
        shutil.copytree(self.folder, self.stage)
        shutil.copytree(self.folder.parent / "lib", self.stage.parent / "lib")
        for file in self.stage.glob("*.yaml"):
            file.write_text(file.read_text().replace("$NS", self.namespace))
        self.expect = json.loads((self.stage / "expect.json").read_text().replace("$NS", self.namespace))

    def run(self, *command, text=None):
        # From the cache of discovery a new kind would be missing.
        environment = {**os.environ, "NS": self.namespace, "KUBECACHEDIR": str(self.stage.parent / "cache"), "KUBERC": "off"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, input=text, timeout=120)
        if done.returncode:
            raise Wrong(f"{' '.join(command)}: {done.stderr.strip()}")

    def deploy(self):
        self.run("kubectl", "create", "namespace", self.namespace)
        for name in ("crds.yaml", "cluster.yaml"):
            if (self.stage / name).exists():
                self.run("kubectl", "apply", "--server-side", "--force-conflicts", "-f", str(self.stage / name))
                if name == "crds.yaml":
                    self.run("kubectl", "wait", "--for=condition=Established", "-f", str(self.stage / name))
        declared = str(self.stage / "declared.yaml")
        if (self.stage / "deploy.sh").exists():
            self.run("bash", str(self.stage / "deploy.sh"))
        else:
            self.run("kubectl", "-n", self.namespace, "apply", "--server-side", "--field-manager=deployer", "-f", declared)
        self.declared = documents(declared, self.namespace)

    def path(self, object_):
        version, kind = object_["apiVersion"], object_["kind"]
        prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if version not in self.kinds:
            self.kinds[version] = {r["kind"]: r for r in self.client.call("GET", prefix)["resources"] if "/" not in r["name"]}
        resource = self.kinds[version][kind]
        if resource["namespaced"]:
            prefix += f"/namespaces/{object_.get('namespace') or self.namespace}"
        return f"{prefix}/{resource['name']}"

    def live(self, object_):
        try:
            return self.client.call("GET", f"{self.path(object_)}/{object_['name']}")
        except Refused as refused:
            if refused.code == 404:
                return None
            raise

    def prove(self):
        self.prepare()
        self.deploy()
        objects = self.expect["objects"]
        settle(lambda: [self.live(o) for o in objects])
        rest = [self.live(o) for o in objects]
        if (self.stage / "mutate.sh").exists():
            self.run("bash", str(self.stage / "mutate.sh"))
            settle(lambda: [self.live(o) for o in objects])
        for object_, before in zip(objects, rest):
            try:
                self.check(object_, before)
            except Wrong as wrong:
                raise Wrong(f"{object_['kind']} {object_['name']}: {wrong}") from None
        named = {(o["kind"], o["name"]) for o in objects}
        for found in self.declared:
            if (found["kind"], found["metadata"]["name"]) not in named:
                raise Wrong(f"nothing is expected of {found['kind']} {found['metadata']['name']}")

    def check(self, object_, before):
        after = self.live(object_)
        level = object_.get("objectLevel")
        if level == "MissingObject" or object_.get("absent"):
            if after:
                raise Wrong("is still there")
            return
        if not after:
            raise Wrong("is gone")
        if ("deletionTimestamp" in after["metadata"]) != (level == "Terminating"):
            raise Wrong("is terminating" if level != "Terminating" else "is not terminating")
        if object_["drift"] != bool(object_["fields"] or level):
            raise Wrong("drift without a field, or fields without drift")
        declared = self.of_git(object_)
        covered = [check_field(f, declared, after) for f in object_["fields"]]
        covered += [check_fact(f, declared, after) for f in object_.get("facts", [])]
        managers = {m.get("manager") for m in after["metadata"].get("managedFields", [])}
        if missing := set(object_.get("managers", [])) - managers:
            raise Wrong(f"managers {sorted(missing)} are not among {sorted(managers)}")
        if object_.get("unknown"):
            return  # Only who can decrypt it could compare it.
        if before:
            report("changed, but not named", differences(before, after), covered, before, after)
        expected = self.expected(declared)
        if expected and level != "Terminating":
            report("not what the server makes of Git, but not named", differences(expected, after), covered, expected, after)

    def of_git(self, object_):
        for found in self.declared:
            if found["kind"] == object_["kind"] and found["metadata"]["name"] == object_["name"]:
                return found
        return None

    def expected(self, declared):
        """What the server makes of the declaration; nothing where it does not say."""
        wanted = json.loads(json.dumps(declared or {}))
        if not wanted or wanted["kind"] in ("CustomResourceDefinition", "ValidatingAdmissionPolicyBinding"):
            return None
        name = wanted["metadata"].pop("name")
        wanted["metadata"]["generateName"] = name[:40] + "-"
        for port in wanted.get("spec", {}).get("ports", []) if wanted["kind"] == "Service" else []:
            port.pop("nodePort", None)
        place = {"apiVersion": wanted["apiVersion"], "kind": wanted["kind"], "namespace": wanted["metadata"].get("namespace")}
        try:
            return self.client.call("POST", self.path(place) + "?dryRun=All", wanted)
        except Refused as refused:
            if refused.code in (403, 422) and self.expect.get("refused"):
                return None
            raise

    def clean(self):
        if (self.stage / "cleanup.sh").exists():
            self.run("bash", str(self.stage / "cleanup.sh"))
        try:
            self.client.call("DELETE", f"/api/v1/namespaces/{self.namespace}")
        except Refused:
            pass


def settle(read):
    """Waits until controllers have done what they do at once: nothing is written for a while."""
    last = None
    for _ in range(40):
        now = [o and o["metadata"]["resourceVersion"] for o in read()]
        if now == last:
            return
        last = now
        time.sleep(0.15)


def check_field(field, declared, after):
    path, kind = field["path"], field["kind"]
    in_git = get(declared, field.get("declaredPath", path))
    place, live = resolve(after, path)
    if kind == "Added":
        if in_git is not ABSENT or field["declared"] is not None:
            raise Wrong(f"{path} is declared")
        if live is ABSENT or not contains(live, field["live"]):
            raise Wrong(f"{path} is {shown(live)} live, not {shown(field['live'])}")
        return place
    if in_git is ABSENT or not equal(in_git, field["declared"]):
        raise Wrong(f"{path} is {shown(in_git)} in Git, not {shown(field['declared'])}")
    if kind == "Missing":
        if live is not ABSENT or field["live"] is not None:
            raise Wrong(f"{path} is there: {shown(live)}")
        return place
    if kind != "Changed" or live is ABSENT or not equal(live, field["live"]):
        raise Wrong(f"{path} is {shown(live)} live, not {shown(field['live'])}")
    if equal(live, in_git):
        raise Wrong(f"{path} is the same in Git and live")
    return place


def check_fact(fact, declared, after):
    place, live = resolve(after, fact["path"])
    for name, found in (("live", live), ("declared", get(declared, fact.get("declaredPath", fact["path"])))):
        if name not in fact:
            continue
        wanted = fact[name]
        present = found is not ABSENT
        if wanted in ("<present>", "<absent>"):
            holds = present == (wanted == "<present>")
        else:
            holds = present and equal(found, wanted)
        if not holds:
            raise Wrong(f"fact: {fact['path']} is {shown(found)} ({name}), not {shown(wanted)}")
    return place


def report(what, places, covered, a, b):
    def named(place):
        return any(place[: len(c)] == c or c[: len(place)] == place for c in covered)

    left = [p for p in places if p and not noise(p) and not named(p)]
    if left:
        raise Wrong(f"{what}: " + "; ".join(".".join(map(str, p)) for p in left))


def shown(value):
    return "absent" if value is ABSENT else json.dumps(value)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--folder", type=pathlib.Path, default=CASES)
    parser.add_argument("cases", nargs="*")
    asked = parser.parse_args()
    folders = sorted(p.parent for p in asked.folder.glob("*/expect.json") if not asked.cases or p.parent.name in asked.cases)
    if not folders:
        sys.exit(f"no such cases in {asked.folder}")
    client, lock, wrong = Client(), threading.Lock(), []
    minor = int(client.call("GET", "/version")["minor"].rstrip("+"))
    with tempfile.TemporaryDirectory() as scratch:

        def one(folder):
            needs = json.loads((folder / "expect.json").read_text()).get("needs")
            if needs and int(needs.split(".")[1]) > minor:
                print(f"{folder.name}: cannot happen before Kubernetes {needs}", flush=True)
                return
            case = Case(client, folder, scratch)
            began = time.time()
            try:
                case.prove()
                verdict = "ok"
            except (Wrong, Refused, subprocess.SubprocessError) as error:
                verdict = str(error)
            except Exception:
                verdict = traceback.format_exc()
            try:
                case.clean()
            except (Wrong, Refused) as error:
                verdict += f"; cleaning up: {error}"
            with lock:
                print(f"{folder.name}: {verdict} ({time.time() - began:.1f} s)", flush=True)
                if verdict != "ok":
                    wrong.append(folder.name)

        with concurrent.futures.ThreadPoolExecutor(asked.jobs) as pool:
            list(pool.map(one, folders))
    print(f"{len(folders)} cases, {len(wrong)} not what they claim to be{': ' if wrong else ''}{', '.join(sorted(wrong))}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
