#!/usr/bin/env python3
"""Memory and what is dropped under steady load: requests through the gateway, and spans that the service sends by OTLP.

usage: bench/soak.py [--minutes 10] [--rate 2000] [--spans 2000]

One service behind the gateway gets RATE requests a second, of which one in a hundred fails, and SPANS spans a second come in
its name, each a trace of its own. Each minute a line: memory of control plane and data plane, processor time of each, files,
and what was dropped or left out. Needs h2load and `cargo build --release -p isles -p testkit --bins`.
"""
import argparse
import json
import os
import random
import re
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", Path(__file__).parent.parent / "target")).resolve() / "release"
MANIFEST = """
name = "soak"
verify_callers = false
[gateway]
listen = "127.0.0.1:{port}"
[[gateway.routes]]
path = "/"
service = "web"
[console]
listen = "127.0.0.1:{console}"
[services.web]
command = "{scripted}"
health = "/health"
"""
BATCH = 100


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def get(url, **fields):
    return urllib.request.urlopen(urllib.request.Request(url, headers=fields), timeout=10).read().decode()


def send_spans(endpoint, rate, stop):
    """Batches as SDKs send them."""
    pause = BATCH / rate
    due = time.monotonic()
    while not stop.is_set():
        now = time.time_ns()
        spans = [{
            "traceId": f"{random.getrandbits(128) | 1:032x}", "spanId": f"{random.getrandbits(64) | 1:016x}",
            "name": f"work {n % 10}", "kind": 2, "startTimeUnixNano": str(now), "endTimeUnixNano": str(now + 1_500_000),
            "attributes": [{"key": "order.id", "value": {"stringValue": f"A-{n}"}}, {"key": "items", "value": {"intValue": "3"}}],
            "status": {"code": 2} if n == 0 else {},
        } for n in range(BATCH)]
        body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
        request = urllib.request.Request(f"{endpoint}/v1/traces", body, {"content-type": "application/json"})
        urllib.request.urlopen(request, timeout=10).read()
        due += pause
        time.sleep(max(0.0, due - time.monotonic()))


def process(pid):
    """Megabytes of memory, and seconds of processor time."""
    memory = int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return memory, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def megabytes(folder, name):
    return sum(f.stat().st_size for f in folder.glob(f".isles/{name}*")) / 1e6


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--minutes", type=int, default=10)
    words.add_argument("--rate", type=int, default=2000)
    words.add_argument("--spans", type=int, default=2000)
    asked = words.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="isles-soak-"))
    port, console = free_port(), free_port()
    (folder / "script").write_text("fail 1")
    (folder / "isles.toml").write_text(MANIFEST.format(port=port, console=console, scripted=TARGET / "scripted-service"))
    isles = lambda *args: subprocess.run([TARGET / "isles", *args], cwd=folder, check=True, capture_output=True, text=True).stdout
    isles("up", "-d")
    stop = threading.Event()
    try:
        base, token = isles("console").strip().split("/?token=")
        status = json.loads(isles("ps", "--json"))
        endpoint = json.loads(get(f"http://127.0.0.1:{port}/env"))["OTEL_EXPORTER_OTLP_ENDPOINT"]
        if asked.spans:
            threading.Thread(target=send_spans, args=(endpoint, asked.spans, stop), daemon=True).start()
        clients = 20
        load = subprocess.Popen(
            ["h2load", "--h1", "-c", str(clients), "-D", str(asked.minutes * 60), "--rps", str(asked.rate // clients), f"http://127.0.0.1:{port}/x"],
            stdout=subprocess.DEVNULL)
        print("| minute | requests | failed | control MB | CPU s | data plane MB | CPU s | traces.db MB | metrics.db MB | dropped | left out |")
        print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
        for minute in range(1, asked.minutes + 1):
            time.sleep(60)
            text = get(f"{base}/metrics", authorization=f"Bearer {token}")
            number = lambda name: next((int(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name)), 0)
            (control, control_cpu), (plane, plane_cpu) = process(status["pid"]), process(status["proxy_pid"])
            print(f"| {minute} | {number('isles_requests_total')} | {number('isles_requests_failed_total')} | {control:.0f} | {control_cpu:.1f} "
                  f"| {plane:.0f} | {plane_cpu:.1f} | {megabytes(folder, 'traces.db'):.1f} | {megabytes(folder, 'metrics.db'):.1f} "
                  f"| {number('isles_spans_dropped_total')} | {number('isles_spans_left_out_total')} |", flush=True)
        load.wait()
    finally:
        stop.set()
        isles("down")


main()
