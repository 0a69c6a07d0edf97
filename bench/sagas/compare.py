#!/usr/bin/env python3
"""Sagas of four calls: Isles as an app, its engine alone, Restate, and the same calls with no durability at all; see README.md."""

import argparse
import json
import os
import pathlib
import socket
import subprocess
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SAGA = (ROOT / "crates/saga/examples/load/order.yaml").read_text()

MANIFEST = """
name = "bench"
verify_callers = false                 # the load comes from a process that is no service
[services.world]
command  = "{load} callee"
contract = "world.json"
health   = {{ path = "/call" }}
[sagas]
files = ["order.yaml"]
"""
CONTRACT = {
    "openapi": "3.1.0",
    "info": {"title": "World", "version": "1"},
    "paths": {
        "/call": {
            "post": {
                "operationId": "call",
                "requestBody": {"content": {"application/json": {"schema": {}}}},
                "responses": {"200": {"description": "Done", "content": {"application/json": {"schema": {}}}}},
            }
        }
    },
}
# Fsync of every write of its log is Restate's default; two partitions were its best on two cores.
RESTATE = """
default-num-partitions = 2
[bifrost.local]
rocksdb-disable-wal-fsync = false
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load", default=str(ROOT / "target/release/examples/load"))
    parser.add_argument("--isles", default=str(ROOT / "target/release/isles"))
    parser.add_argument("--seconds", default="5")
    parser.add_argument("--concurrency", default="1,16,64,256")
    args = parser.parse_args()

    def load(name: str, *words: str) -> list[list[str]]:
        command = [args.load, "--name", name, "--seconds", args.seconds, "--concurrency", args.concurrency, *words]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=folder).stdout
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in output.splitlines()]

    # A folder on a disk: what /tmp is kept in may be memory.
    with tempfile.TemporaryDirectory(dir=HERE) as name:
        folder = pathlib.Path(name)
        bare, alone = calls_alone(args, load), load("Isles, its engine alone")
        isles, peer = as_app(args, folder, load), restate(args, folder, load)
    print("| what | at once | sagas/s | p50 ms | p99 ms | CPU ms/saga | peak MB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for row in bare + alone + isles + peer:
        print(f"| {' | '.join(row)} |")
    print()
    for ours, theirs, plain in zip(isles, peer, bare):
        rate, calls = float(ours[2]) / float(theirs[2]), float(plain[2]) / float(ours[2])
        cpu, memory = float(ours[5]) / float(theirs[5]), float(ours[6]) / float(theirs[6])
        print(
            f"{ours[1]} at once: {rate:.1f} times Restate's rate at {cpu:.2f} of its CPU time and {memory:.2f} of its memory; "
            f"the calls with no durability {calls:.2f} times"
        )


def calls_alone(args: argparse.Namespace, load) -> list[list[str]]:
    callee, address = start_callee(args)
    try:
        return load("the calls, no durability", "--bare", f"http://{address}/call", "--pids", "self")
    finally:
        callee.kill()


def start_callee(args: argparse.Namespace) -> tuple[subprocess.Popen, str]:
    callee = subprocess.Popen([args.load, "callee"], stdout=subprocess.PIPE, text=True)
    return callee, callee.stdout.readline().strip()


def as_app(args: argparse.Namespace, folder: pathlib.Path, load) -> list[list[str]]:
    """Sagas begun at SAGAS_URL, whose calls go through the data plane, signals and spans on."""
    app = folder / "app"
    app.mkdir()
    (app / "isles.toml").write_text(MANIFEST.format(load=args.load))
    (app / "world.json").write_text(json.dumps(CONTRACT))
    (app / "order.yaml").write_text(SAGA)
    isles = [args.isles, "--file", str(app / "isles.toml")]
    subprocess.run([args.isles, "up", "-d", "--file", str(app / "isles.toml")], check=True, stdout=subprocess.DEVNULL)
    try:
        status = subprocess.run([args.isles, "ps", "--json", *isles[1:]], check=True, capture_output=True, text=True)
        status = json.loads(status.stdout)
        world = next(s for s in status["services"] if s["name"] == "world")["replicas"][0]["pid"]
        environ = pathlib.Path(f"/proc/{world}/environ").read_text().split("\0")
        url = next(v.removeprefix("SAGAS_URL=") for v in environ if v.startswith("SAGAS_URL="))
        pids = f"{status['pid']},{status['proxy_pid']}"
        return load("Isles", "--via", f"{url}/order", "--pids", pids)
    finally:
        subprocess.run([args.isles, "down", *isles[1:]], check=True, stdout=subprocess.DEVNULL)


def restate(args: argparse.Namespace, folder: pathlib.Path, load) -> list[list[str]]:
    """The service is Node's, and its CPU time is not counted."""
    subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], check=True, cwd=HERE)
    (folder / "restate.toml").write_text(RESTATE)
    ingress, admin, node, service = (free_port() for _ in range(4))
    env = {
        **os.environ,
        "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
        "RESTATE_BIND_ADDRESS": f"127.0.0.1:{node}",
        "RESTATE_BASE_DIR": str(folder / "restate"),
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_DISABLE_TELEMETRY": "true",
    }
    program = HERE / "node_modules/@restatedev/restate-server-linux-x64/bin/restate-server"
    with open(folder / "restate.log", "w") as log:
        server = subprocess.Popen(
            [program, "--config-file", str(folder / "restate.toml")], env=env, stdout=log, stderr=log
        )
    callee, address = start_callee(args)
    handler = subprocess.Popen(
        ["node", str(HERE / "order.mjs"), str(service), f"http://{address}/call"], stdout=subprocess.DEVNULL
    )
    try:
        wait_for(service)
        register(admin, service, folder / "restate.log")
        return load("Restate 1.7", "--via", f"http://127.0.0.1:{ingress}/order/run", "--pids", str(server.pid))
    finally:
        for process in (server, handler, callee):
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int) -> None:
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"nothing listens on port {port}")


def register(admin: int, service: int, log: pathlib.Path) -> None:
    body = json.dumps({"uri": f"http://127.0.0.1:{service}"}).encode()
    for _ in range(300):
        request = urllib.request.Request(
            f"http://127.0.0.1:{admin}/deployments", body, {"content-type": "application/json"}
        )
        try:
            urllib.request.urlopen(request).read()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"Restate did not take the service:\n{log.read_text()[-2000:]}")


if __name__ == "__main__":
    main()
