"""Measures reverse proxies beside each other: the same back end, the same load, interleaved rounds.

Prints a Markdown table. Linux only: reads processor time and memory from /proc.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")

NGINX_BACK_END = """
worker_processes 2; daemon off; pid {dir}/back.pid; error_log {dir}/back.err;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {dir}/b1; proxy_temp_path {dir}/b2;
  fastcgi_temp_path {dir}/b3; uwsgi_temp_path {dir}/b4; scgi_temp_path {dir}/b5;
  server {{ listen 127.0.0.1:{port} reuseport; location / {{ return 200 "{body}"; }} }} }}
"""

NGINX_PROXY = """
worker_processes 2; daemon off; pid {dir}/{name}.pid; error_log {dir}/{name}.err;
events {{ worker_connections 1024; }}
http {{ access_log {log}; keepalive_requests 1000000000; client_body_temp_path {dir}/{name}1;
  proxy_temp_path {dir}/{name}2; fastcgi_temp_path {dir}/{name}3; uwsgi_temp_path {dir}/{name}4;
  scgi_temp_path {dir}/{name}5;
  upstream back {{ server 127.0.0.1:{back}; keepalive 128; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port} reuseport;
    location / {{ proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto http; proxy_set_header X-Request-Id $request_id; }} }} }}
"""

HAPROXY = """
global
  nbthread 2
  maxconn 2000
defaults
  mode http
  timeout connect 1s
  timeout client 30s
  timeout server 30s
frontend front
  bind 127.0.0.1:{port}
  option forwardfor
  unique-id-format %[uuid()]
  unique-id-header X-Request-Id
  default_backend back
backend back
  http-reuse always
  server one 127.0.0.1:{back}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Proxy:
    """A proxy under test: its processes, and what was measured."""

    def __init__(self, name, port, command):
        self.name, self.port = name, port
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.rounds = []

    def pids(self):
        found, frontier = [], [self.process.pid]
        while frontier:
            pid = frontier.pop()
            found.append(pid)
            for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
                frontier += [int(child) for child in task.read_text().split()]
        return found

    def cpu(self):
        """Seconds of processor time, of all its processes."""
        total = 0
        for pid in self.pids():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def rss(self):
        """Mebibytes of resident memory of all its processes; pages they share count for each."""
        total = 0
        for pid in self.pids():
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            total += int(re.search(r"VmRSS:\s+(\d+)", status)[1])
        return total / 1024

    def wait(self):
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit(f"{self.name} does not listen on port {self.port}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(12)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def measure(self, seconds, connections):
        before = self.cpu()
        url = f"http://127.0.0.1:{self.port}/"
        wrk = ["wrk", "-t2", f"-c{connections}", f"-d{seconds}s", "--latency", url]
        report = subprocess.run(wrk, check=True, capture_output=True, text=True).stdout
        used = self.cpu() - before
        bad = re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)", report)
        if bad:
            raise SystemExit(f"{self.name} failed requests: {bad[0]}")
        requests = int(re.search(r"(\d+) requests in", report)[1])
        self.rounds.append({
            "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", report)[1]),
            "cpu": used / requests * 100_000,
            "p50": percentile(50, report),
            "p99": percentile(99, report),
            "rss": self.rss(),
        })

    def median(self, key):
        return statistics.median(round[key] for round in self.rounds)


def percentile(which, report):
    """Milliseconds. Only whole lines: the statistics above them have percentages too."""
    number, unit = re.search(rf"^\s+{which}%\s+([\d.]+)(\w+)$", report, re.MULTILINE).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def written(folder, name, text):
    path = folder / name
    path.write_text(text)
    return str(path)


def start(folder, isles):
    """The back end and the proxies."""
    back_port = free_port()
    config = NGINX_BACK_END.format(dir=folder, port=back_port, body="x" * 1024)
    back = Proxy("back end alone", back_port, ["nginx", "-c", written(folder, "back.conf", config)])
    proxies = []
    for name, log in (("nginx", "off"), ("nginx, access log", f"{folder}/access.log")):
        port, short = free_port(), "n" + str(len(proxies))
        config = NGINX_PROXY.format(dir=folder, name=short, log=log, port=port, back=back_port)
        proxies.append(Proxy(name, port, ["nginx", "-c", written(folder, short + ".conf", config)]))
    port = free_port()
    config = written(folder, "haproxy.cfg", HAPROXY.format(port=port, back=back_port))
    proxies.append(Proxy("HAProxy", port, ["haproxy", "-db", "-f", config]))
    for name, path in isles:
        port = free_port()
        proxies.append(Proxy(name, port, [path, f"127.0.0.1:{port}", "2", f"127.0.0.1:{back_port}"]))
    return back, proxies


def table(back, proxies):
    base = next(proxy for proxy in proxies if proxy.name == "nginx").median("cpu")
    lines = [
        "| proxy | requests/s | CPU s per 100k requests | to nginx | p50 ms | p99 ms | RSS MiB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for proxy in [back, *proxies]:
        ratio = f"{proxy.median('cpu') / base:.2f}" if proxy is not back else ""
        lines.append(
            f"| {proxy.name} | {proxy.median('rate'):,.0f} | {proxy.median('cpu'):.2f} | {ratio} | "
            f"{proxy.median('p50'):.2f} | {proxy.median('p99'):.2f} | {proxy.median('rss'):.1f} |"
        )
    return "\n".join(lines)


def machine():
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    def version(*command):
        done = subprocess.run(command, capture_output=True, text=True)
        return (done.stdout or done.stderr).splitlines()[0]
    return (
        f"{os.cpu_count()} cores ({model[1] if model else os.uname().machine}), Linux {os.uname().release}; "
        f"{version('nginx', '-v')}; {version('haproxy', '-v')}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--isles", required=True, action="append", metavar="NAME=PATH", type=lambda text: text.split("=", 1),
        help="a standalone data plane, and its name in the table; may be repeated to compare builds",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    for tool in ("nginx", "haproxy", "wrk"):
        if not shutil.which(tool):
            raise SystemExit(f"{tool} is not installed")
    with tempfile.TemporaryDirectory() as name:
        back, proxies = start(pathlib.Path(name), options.isles)
        everything = [back, *proxies]
        try:
            for proxy in everything:
                proxy.wait()
            load = os.getloadavg()[0]
            for proxy in everything:
                # Warms it up.
                proxy.measure(1, options.connections)
                proxy.rounds.clear()
            for _ in range(options.rounds):
                for proxy in everything:
                    proxy.measure(options.seconds, options.connections)
            print(table(back, proxies))
        finally:
            for proxy in reversed(everything):
                proxy.stop()
    print(f"\n{machine()}; {options.connections} connections, {options.rounds} rounds of {options.seconds} s, medians;")
    print(f"load average of the machine before the run: {load:.2f}")


if __name__ == "__main__":
    main()
