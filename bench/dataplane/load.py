"""Load from the outside: wrk for HTTP/1.1, h2load for HTTP/2 and gRPC. One failed request ends the benchmark."""

import pathlib
import re
import subprocess

# Requests of one HTTP/2 connection at the same time.
STREAMS = 8

WRK_SCRIPT = """
local paths = {{ {paths} }}
local at = 0
request = function()
  at = at % #paths + 1
  return wrk.format("GET", paths[at])
end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %.0f %.0f %.0f\\n", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"""


def run(protocol, port, paths, connections, seconds, folder):
    """Requests, requests/s, and milliseconds at p50, p99 and p99.9."""
    if protocol == "http1":
        return wrk(port, paths, connections, seconds, folder)
    return h2load(protocol, port, paths, connections, seconds, folder)


def wrk(port, paths, connections, seconds, folder):
    script = folder / "paths.lua"
    script.write_text(WRK_SCRIPT.format(paths=", ".join(f'"{path}"' for path in paths)))
    threads = min(2, connections)
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{port}"]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"^RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)$", report, re.MULTILINE)
    requests, micros, errors, *percentiles = map(int, found.groups())
    if errors:
        raise SystemExit(f"{errors} requests failed at port {port}")
    return {"requests": requests, "rate": requests / micros * 1e6, **named(p / 1000 for p in percentiles)}


def h2load(protocol, port, paths, connections, seconds, folder):
    log = folder / "h2load.log"
    log.unlink(missing_ok=True)
    uris = folder / "uris"
    uris.write_text("".join(f"http://127.0.0.1:{port}{path}\n" for path in paths))
    command = ["h2load", f"-t{min(2, connections)}", f"-c{connections}", f"-m{STREAMS}", f"-D{seconds}", "-i", str(uris)]
    command += [f"--log-file={log}"]
    if protocol == "grpc":
        body = folder / "message"
        # A message of 100 bytes: not compressed, its length, its bytes.
        body.write_bytes(b"\0" + (100).to_bytes(4, "big") + b"m" * 100)
        command += ["-d", str(body), "-H", "content-type: application/grpc", "-H", "te: trailers"]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    bad = re.search(r"requests: .* (\d+) failed, (\d+) errored, (\d+) timeout", report)
    codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", report)
    if not bad or any(map(int, bad.groups())) or any(map(int, codes.groups()[1:])):
        raise SystemExit(f"requests failed at port {port}:\n{report}")
    durations = sorted(int(line.split("\t")[2]) for line in pathlib.Path(log).read_text().splitlines())
    at = lambda share: durations[min(len(durations) - 1, int(len(durations) * share))] / 1000
    requests = int(codes[1])
    return {"requests": requests, "rate": requests / seconds, **named([at(0.5), at(0.99), at(0.999)])}


def named(percentiles):
    return dict(zip(("p50", "p99", "p999"), percentiles))
