"""Measures reverse proxies beside each other: the same back end, the same load, interleaved rounds.

Prints a table in Markdown for each scenario. Linux only.
"""

import argparse
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from . import load, report
from .peers import Bench


@dataclasses.dataclass
class Tools:
    """Where the programs under test are; None where one is not to be had."""

    isles: list
    envoy: str | None


@dataclasses.dataclass
class Scenario:
    protocol: str
    connections: int
    services: int

    @classmethod
    def parse(cls, text):
        """`http1:64`, `grpc:16:200`."""
        protocol, connections, *services = text.split(":")
        if protocol not in ("http1", "http2", "grpc"):
            raise argparse.ArgumentTypeError(f"{protocol} is none of http1, http2, grpc")
        return cls(protocol, int(connections), int(services[0]) if services else 1)

    def title(self):
        named = {"http1": "HTTP/1.1", "http2": "HTTP/2", "grpc": "gRPC"}[self.protocol]
        return f"{named}, {self.connections} conn." + (f", {self.services} services" if self.services > 1 else "")


DEFAULT = "http1:1 http1:16 http1:64 http1:256 http1:64:20 http1:64:200 http2:1 http2:16 http2:64 http2:256 grpc:1 grpc:16 grpc:64 grpc:256"


def measure(scenario, proxy, bench, seconds):
    before = proxy.cpu()
    paths = ["/"] if proxy is bench.back else bench.paths
    result = load.run(scenario.protocol, proxy.port, paths, scenario.connections, seconds, bench.folder)
    result["cpu"] = (proxy.cpu() - before) / result["requests"] * 100_000
    result["rss"] = proxy.rss()
    return result


def run(scenario, tools, rounds, seconds):
    """name -> medians."""
    with tempfile.TemporaryDirectory() as name:
        # Other users' processes, such as nginx's workers, read what is below it.
        os.chmod(name, 0o755)
        bench = Bench(pathlib.Path(name), scenario.protocol, scenario.services, tools)
        everything = [bench.back]
        try:
            bench.back.wait()
            everything += bench.proxies()
            results = {proxy.name: [] for proxy in everything}
            for proxy in everything:
                proxy.wait()
                # Warms it up.
                measure(scenario, proxy, bench, 1)
            for _ in range(rounds):
                for proxy in everything:
                    results[proxy.name].append(measure(scenario, proxy, bench, seconds))
        finally:
            for proxy in everything[1:]:
                proxy.stop()
            bench.stop()
    return {name: report.medians(rounds) for name, rounds in results.items()}


def machine(tools):
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())

    def version(*command):
        done = subprocess.run(command, capture_output=True, text=True)
        return (done.stdout or done.stderr).strip().splitlines()[0]

    versions = [version("nginx", "-v"), version("haproxy", "-v"), version("h2load", "--version")]
    if tools.envoy:
        versions.append("Envoy " + re.search(r"/(\d+\.\d+\.\d+)/", version(tools.envoy, "--version"))[1])
    return f"{os.cpu_count()} cores ({model[1] if model else os.uname().machine}), Linux {os.uname().release}; " + "; ".join(versions)


def main():
    parser = argparse.ArgumentParser(prog="bench/dataplane.sh", description=__doc__)
    parser.add_argument(
        "--isles", required=True, action="append", metavar="NAME=PATH", type=lambda text: text.split("=", 1),
        help="a standalone data plane, and its name in the table; may be repeated to compare builds",
    )
    parser.add_argument("--envoy", help="the program, if it is to be had")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--plot", type=pathlib.Path, help="where to write the SVG")
    parser.add_argument("scenarios", nargs="*", type=Scenario.parse, metavar="PROTOCOL:CONNECTIONS[:SERVICES]",
                        help=f"default: {DEFAULT}")
    options = parser.parse_args()
    for tool in ("nginx", "haproxy", "wrk", "h2load", "nghttpd"):
        if not shutil.which(tool):
            raise SystemExit(f"{tool} is not installed: apt-get install nginx haproxy wrk nghttp2")
    tools = Tools(options.isles, options.envoy)
    load_before = os.getloadavg()[0]
    done = []
    for scenario in options.scenarios or [Scenario.parse(text) for text in DEFAULT.split()]:
        results = run(scenario, tools, options.rounds, options.seconds)
        base = "nginx, access log" if "nginx, access log" in results else "HAProxy"
        print(f"### {scenario.title()}\n\n{report.table(results, base)}\n", flush=True)
        done.append((scenario.title(), results))
    print(f"{machine(tools)}; {options.rounds} rounds of {options.seconds} s, medians; load average before: {load_before:.2f}")
    if options.plot:
        options.plot.write_text(report.plot(done))


if __name__ == "__main__":
    main()
