"""Where the data plane's processor time goes under load: by kind of code, by file, and what telemetry takes of it.

Linux only; needs perf, and readelf and addr2line of binutils (that of LLVM is faster). The program has to be built with line tables and frame pointers.
"""

import argparse
import collections
import pathlib
import re
import shutil
import subprocess
import tempfile

from . import load
from .__main__ import Scenario, Tools
from .peers import Bench

# What counts, samples, times, and checks against contracts; with all that it calls.
TELEMETRY = (
    "proxy/src/hop.rs", "proxy/src/signals.rs", "proxy/src/records.rs", "proxy/src/spans.rs", "proxy/src/ids.rs",
    "proxy/src/operations.rs", "proxy/src/conformance/", "model/src/histogram.rs",
)


def recorded(pid, seconds, out, driven):
    """Samples the process while `driven` puts load on it; gives the chain of each sample, innermost first: (address, program)."""
    perf = subprocess.Popen(
        ["perf", "record", "-F", "1999", "-g", "-o", out, "-p", str(pid), "--", "sleep", str(seconds)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    driven()
    perf.wait()
    script = ["perf", "script", "-i", out, "-F", "ip,sym,dso", "--no-inline"]
    text = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    for block in text.split("\n\n"):
        frames = [re.match(r"\s*([0-9a-f]+) .*\((.*?)\)$", line) for line in block.splitlines()]
        chain = [(int(frame[1], 16), frame[2]) for frame in frames if frame]
        if chain:
            yield chain


def shift(program):
    """How far code is from its place in the file once it is loaded: perf tells the latter, and addr2line wants the former."""
    headers = subprocess.run(["readelf", "-lW", program], capture_output=True, text=True, check=True).stdout
    offset, address = re.search(r"LOAD\s+(0x\w+)\s+(0x\w+)\s.*R E", headers).groups()
    return int(address, 16) - int(offset, 16)


def places(program, offsets):
    """The source files of each piece of code, that of the innermost inlined function first."""
    tool = shutil.which("llvm-addr2line") or "addr2line"
    moved = shift(program)
    asked = "\n".join(f"0x{offset + moved:x}" for offset in offsets)
    told = subprocess.run([tool, "-i", "-f", "-a", "-e", program], input=asked, capture_output=True, text=True, check=True)
    found, lines = {}, iter(told.stdout.splitlines())
    for line in lines:
        if re.fullmatch(r"0x[0-9a-f]+", line):
            found[int(line, 16) - moved] = current = []
        else:
            current.append(next(lines))
    return found


def kind(files):
    """The crate that a piece of code is of, and its file where it is ours; what the standard library does is its caller's."""
    for file in files:
        if crate := re.search(r"/registry/src/[^/]+/([\w-]+?)-\d", file):
            return crate[1], None
        if own := re.search(r"crates/(\w+)/src/([^:]+)", file):
            return f"{own[1]} (ours)", f"{own[1]}/{own[2]}"
    return "std", None


def table(title, counts, total, least):
    print(f"\n| {title} | share |\n|---|---:|")
    for name, count in counts.most_common():
        if count / total >= least:
            print(f"| {name} | {count / total:.1%} |")


def main():
    parser = argparse.ArgumentParser(prog="bench/profile.sh", description=__doc__)
    parser.add_argument("--isles", required=True, help="the standalone data plane")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("scenario", nargs="?", type=Scenario.parse, default="http1:64", help="PROTOCOL:CONNECTIONS[:SERVICES]")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        bench = Bench(folder, args.scenario.protocol, args.scenario.services, Tools([("Isles", args.isles)], None))
        plane = bench.isles("Isles", args.isles)
        try:
            bench.back.wait()
            plane.wait()
            drive = lambda: load.run(args.scenario.protocol, plane.port, bench.paths, args.scenario.connections, args.seconds + 1, folder)
            chains = list(recorded(plane.process.pid, args.seconds, folder / "perf.data", drive))
        finally:
            plane.stop()
            bench.back.stop()
    ours = {address for chain in chains for address, program in chain if program == args.isles}
    known = places(args.isles, sorted(ours))
    kinds, files, telemetry = collections.Counter(), collections.Counter(), 0
    for chain in chains:
        address, program = chain[0]
        if program == args.isles:
            what, file = kind(known.get(address, []))
            if file:
                files[file] += 1
        else:
            what = "kernel" if "kernel" in program else pathlib.Path(program).name
        kinds[what] += 1
        within = (place for address, program in chain if program == args.isles for place in known.get(address, []))
        telemetry += any(part in place for place in within for part in TELEMETRY)
    total = len(chains)
    print(f"{args.scenario.title()}, {total} samples")
    table("kind of code", kinds, total, 0.003)
    table("file of ours, by itself", files, total, 0.002)
    print(f"\nTelemetry, with all that it calls: {telemetry / total:.1%}")


if __name__ == "__main__":
    main()
