#!/usr/bin/env python3
"""Deploys declared.yaml (or another file) as a tool does:

    deploy.py helm3|helm4|argo|flux [FILE] [--release NAME]

helm3: created by POST under the manager helm, with Helm's label and annotations.
helm4: the same, applied server-side under the manager helm.
argo:  kubectl apply (client-side) under argocd-controller, with the tracking annotation.
flux:  applied server-side under kustomize-controller, with its two labels.
"""

import argparse
import json
import subprocess

from client import documents, scope

COMMANDS = {
    "helm3": ["create", "--field-manager=helm"],
    "helm4": ["apply", "--server-side", "--force-conflicts", "--field-manager=helm"],
    "argo": ["apply", "--field-manager=argocd-controller"],
    "flux": ["apply", "--server-side", "--force-conflicts", "--field-manager=kustomize-controller"],
}


def mark(tool, release, namespace, found):
    """Adds the bookkeeping of the tool."""
    metadata = found["metadata"]
    if tool.startswith("helm"):
        metadata.setdefault("labels", {})["app.kubernetes.io/managed-by"] = "Helm"
        metadata.setdefault("annotations", {}).update(
            {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace}
        )
    elif tool == "argo":
        group = found["apiVersion"].rpartition("/")[0]
        place = f"{group}/{found['kind']}:{namespace}/{metadata['name']}"
        metadata.setdefault("annotations", {})["argocd.argoproj.io/tracking-id"] = f"{release}:{place}"
    else:
        metadata.setdefault("labels", {}).update(
            {"kustomize.toolkit.fluxcd.io/name": release, "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tool", choices=COMMANDS)
    parser.add_argument("file", nargs="?", default="declared.yaml")
    parser.add_argument("--release", default="shop")
    asked = parser.parse_args()
    namespace = scope()
    objects = documents(asked.file, namespace)
    for found in objects:
        mark(asked.tool, asked.release, namespace, found)
    everything = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    command = ["kubectl", *COMMANDS[asked.tool], "-n", namespace, "-f", "-"]
    subprocess.run(command, input=everything, check=True, text=True, stdout=subprocess.DEVNULL)


main()
