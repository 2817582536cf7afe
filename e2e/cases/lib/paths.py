"""Field paths as records print them, and values found by them."""

import json
import re

STEP = re.compile(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|\[=([^\]]*)\]|\[([^\]]*)\]|\.?([^.\[\]]+)')
ABSENT = object()


def value(text):
    if text.startswith('"'):
        return json.loads(text)
    return text


def steps(path):
    """("field", name), ("index", n), ("member", value) or ("select", {name: value}, nth)."""
    found, at = [], 0
    while at < len(path):
        match = STEP.match(path, at)
        if not match:
            raise ValueError(f"not a path: {path}")
        key, index, member, select, name = match.groups()
        if key is not None:
            found.append(("field", json.loads(f'"{key}"')))
        elif index is not None:
            found.append(("index", int(index)))
        elif member is not None:
            found.append(("member", value(member)))
        elif select is not None:
            pairs, _, nth = select.partition(";#")
            wanted = dict(p.split("=", 1) for p in pairs.rstrip(",").split(","))
            found.append(("select", {k: value(v) for k, v in wanted.items()}, int(nth or 0)))
        else:
            found.append(("field", name))
        at = match.end()
    return found


def same(a, b):
    return a == b or (not isinstance(a, str) and isinstance(b, str) and json.dumps(a) == b)


def fits(element, wanted):
    # The server's default where Git leaves a key out.
    return isinstance(element, dict) and all(
        same(element.get(k, "TCP" if k == "protocol" else None), v) for k, v in wanted.items()
    )


def resolve(root, path):
    """(place, value) of every step's outcome: the normalised path and what lies there, or ABSENT."""
    here, place = root, ()
    for step in steps(path):
        kind, what = step[0], step[1]
        if kind == "field" and isinstance(here, dict) and what in here:
            here, place = here[what], place + (what,)
        elif kind == "index" and isinstance(here, list) and what < len(here):
            here, place = here[what], place + (what,)
        elif kind == "member" and isinstance(here, list) and any(same(e, what) for e in here):
            at = next(n for n, e in enumerate(here) if same(e, what))
            here, place = here[at], place + (at,)
        elif kind == "select" and isinstance(here, list):
            hits = [n for n, e in enumerate(here) if fits(e, what)]
            if len(hits) <= step[2]:
                return place, ABSENT
            here, place = here[hits[step[2]]], place + (hits[step[2]],)
        else:
            return place, ABSENT
    return place, here


def get(root, path):
    return resolve(root, path)[1]


def equal(a, b):
    """JSON's equality: Python takes true for 1."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def contains(outer, inner):
    """Whether `outer` has at least the members of `inner`; in lists, each element in its place or by its name."""
    if isinstance(inner, dict):
        return isinstance(outer, dict) and all(k in outer and contains(outer[k], v) for k, v in inner.items())
    if isinstance(inner, list):
        return isinstance(outer, list) and len(outer) == len(inner) and all(map(contains, outer, inner))
    return equal(outer, inner)
