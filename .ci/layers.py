#!/usr/bin/env python3
"""Checks which crates may reach which, from what cargo resolves. Exits 1 and says what is wrong.

The rules are the invariants of ARCHITECTURE.md that are absences; this is where they are enforced.
"""

import json
import subprocess
import sys

MECHANISMS = {"supervisor", "proxy", "saga", "telemetry"}
PLATFORM = {"model", "manifest", "contract", "planner", "supervisor", "proxy", "saga", "telemetry", "control", "console", "isles", "testkit"}
PURE = {"model", "manifest", "contract", "planner"}
# crate -> the only crates of ours that it may depend on directly, tests aside.
MAY_USE = {
    "model": set(),
    "manifest": {"model"},
    "contract": {"model"},
    "planner": {"model"},
    "supervisor": {"model"},
    "proxy": {"model"},
    "saga": {"model"},
    "telemetry": {"model"},
    "console": {"model"},
    "control": {"model", "planner"} | MECHANISMS,
    "isles": PLATFORM - {"isles", "testkit"},
    "testkit": {"saga"},
}


def main() -> int:
    run = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--locked"], check=True, capture_output=True, text=True
    )
    data = json.loads(run.stdout)
    names = {p["id"]: p["name"] for p in data["packages"]}
    members = set(data["workspace_members"])
    shop = {p["name"] for p in data["packages"] if p["id"] in members and "/shop/" in p["manifest_path"]}
    normal = {}
    for node in data["resolve"]["nodes"]:
        kinds = ((d["pkg"], {k["kind"] for k in d["dep_kinds"]}) for d in node["deps"])
        normal[node["id"]] = {pkg for pkg, kind in kinds if None in kind}
    faults = []
    for member in sorted(members, key=lambda m: names[m]):
        name, reached = names[member], reach(member, normal)
        ours = {names[d] for d in normal[member] if d in members}
        reached_names = {names[d] for d in reached}
        if name in MAY_USE and not ours <= MAY_USE[name]:
            faults.append(f"{name} depends on {', '.join(sorted(ours - MAY_USE[name]))}")
        if name in PURE and reached_names & {"tokio", "hyper"}:
            faults.append(f"{name} is pure and reaches {', '.join(sorted(reached_names & {'tokio', 'hyper'}))}")
        if name in shop and name != "shop-tests" and reached_names & PLATFORM:
            faults.append(f"{name} is a service of the shop and reaches {', '.join(sorted(reached_names & PLATFORM))}")
        if name not in MAY_USE and name not in shop:
            faults.append(f"{name} has no rule in {sys.argv[0]}: add it there and to ARCHITECTURE.md")
    for fault in faults:
        print(f"layering: {fault}", file=sys.stderr)
    if not faults:
        print(f"layering: {len(members)} crates keep the rules")
    return 1 if faults else 0


def reach(member: str, normal: dict) -> set:
    seen, todo = set(), [member]
    while todo:
        for dep in normal[todo.pop()]:
            if dep not in seen:
                seen.add(dep)
                todo.append(dep)
    return seen


if __name__ == "__main__":
    sys.exit(main())
