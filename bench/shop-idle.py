#!/usr/bin/env python3
"""Start-up time and idle memory of the shop; see README.md.

Starts the shop (built already, and not running) several times with `isles up -d`, and reads the memory of control plane and data plane
from /proc once nothing has happened for a while.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--isles", default=str(ROOT / "target/release/isles"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--idle", type=float, default=10, help="seconds without requests before memory is read")
    args = parser.parse_args()

    def isles(*words: str) -> str:
        command = [args.isles, *words, "--file", str(ROOT / "shop/isles.toml")]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    isles("up", "-d")  # whatever is not built yet is built now, not in the measured rounds
    isles("down")
    times, planes = [], []
    for _ in range(args.rounds):
        begin = time.monotonic()
        isles("up", "-d")
        times.append(time.monotonic() - begin)
        time.sleep(args.idle)
        status = json.loads(isles("ps", "--json"))
        planes.append([memory(status["pid"]), memory(status["proxy_pid"])])
        isles("down")
    control, data = ([statistics.median(p[i][kind] for p in planes) for kind in ("Rss", "Pss")] for i in (0, 1))
    print("| what | median | worst |")
    print("|---|---:|---:|")
    print(f"| `isles up -d`, 7 services, until all are healthy | {statistics.median(times):.2f} s | {max(times):.2f} s |")
    worst = max(p[0]["Rss"] + p[1]["Rss"] for p in planes)
    print(f"| control plane, idle, resident | {control[0] / 1024:.1f} MiB | |")
    print(f"| data plane, idle, resident | {data[0] / 1024:.1f} MiB | |")
    print(f"| both together, resident | {(control[0] + data[0]) / 1024:.1f} MiB | {worst / 1024:.1f} MiB |")
    print(f"| both together, proportional (pages that both map counted once) | {(control[1] + data[1]) / 1024:.1f} MiB | |")
    load = pathlib.Path("/proc/loadavg").read_text().split()[0]
    print(f"\n{args.rounds} rounds; load average of the machine after them: {load}")


def memory(pid: int) -> dict[str, int]:
    """Kibibytes by kind."""
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)
    return {name.rstrip(":"): int(value) for name, value, *_ in fields}


if __name__ == "__main__":
    main()
