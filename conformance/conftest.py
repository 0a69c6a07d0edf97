"""An app of Isles for all tests: peers as services, reached through the gateway and through an edge."""
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import urllib.request
from pathlib import Path

import pytest

HERE = Path(__file__).parent

MANIFEST = """
name = "conformance"
# The tests themselves call at the edge, and are nobody's replica.
verify_callers = false
[gateway]
listen = "127.0.0.1:{port}"
[[gateway.routes]]
path = "/isles.Interop"
service = "interop"
[[gateway.routes]]
path = "/grpc.health.v1.Health"
service = "interop"
[[gateway.routes]]
path = "/sockets"
service = "sockets"
[[gateway.routes]]
path = "/web"
service = "web"
[[gateway.routes]]
path = "/telling"
service = "telling"
[[gateway.routes]]
path = "/node"
service = "telling-node"
[console]
listen = "127.0.0.1:{console}"
[services.interop]
dir = "services"
command = "python3 interop.py"
protocol = "grpc"
health = "grpc"
limits = {{ timeout = "20s" }}
[services.sockets]
dir = "services"
command = "python3 sockets.py"
[services.web]
dir = "services"
command = "python3 web.py"
calls = ["interop", "sockets"]
[services.telling]
dir = "services"
command = "python3 telling.py"
health = "/health"
calls = ["telling-grpc"]
[services.telling-node]
dir = "services"
command = "node telling.cjs"
health = "/health"
[services.telling-grpc]
dir = "services"
command = "python3 telling.py grpc"
health = "/health"
"""


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class App:
    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.gateway = f"127.0.0.1:{self.port}"
        shutil.copytree(HERE / "services", folder / "services", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "isles.toml").write_text(MANIFEST.format(port=self.port, console=free_port()))

    def isles(self, *words, may_fail=False):
        packages = sysconfig.get_paths()["purelib"]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        env = dict(os.environ, PYTHONPATH=packages, PYTHONDONTWRITEBYTECODE="1", PATH=path)
        done = subprocess.run([os.environ["ISLES"], *words], cwd=self.folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0 or may_fail, f"isles {words}: {done.stdout}{done.stderr}"
        return done.stdout

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.gateway}{path}", timeout=10) as answer:
            return answer.read()

    def edge(self, callee):
        """Where the service `web` reaches a callee: the address of an edge."""
        environment = json.loads(self.get("/web/environment"))
        return environment[f"{callee.upper()}_URL"].removeprefix("http://").rstrip("/")


@pytest.fixture(scope="session")
def app(tmp_path_factory):
    app = App(tmp_path_factory.mktemp("app"))
    app.isles("up", "-d")
    try:
        app.isles("wait", "--timeout", "60s")
        yield app
    finally:
        app.isles("down")


@pytest.fixture(scope="session", params=["gateway", "edge"])
def way(app, request):
    """A function from a service's name to the address at which it is reached, by each of the two ways."""
    return (lambda _callee: app.gateway) if request.param == "gateway" else app.edge
