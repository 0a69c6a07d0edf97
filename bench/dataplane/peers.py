"""The back ends, and the proxies under test with settings that do the same work: two threads or processes each, kept
connections to the back end, who asked and a request id as header fields."""

from .process import Process, free_port

NGINX_TEMP = "\n".join(
    f"  {what}_temp_path {{dir}}/{{name}}.{what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)
NGINX = """
worker_processes 2; daemon off; pid {dir}/{name}.pid; error_log {dir}/{name}.err;
events {{ worker_connections 4096; }}
http {{ access_log {log}; keepalive_requests 1000000000;
""" + NGINX_TEMP + """
{body}
}}
"""
NGINX_HEADERS = """proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto http; proxy_set_header X-Request-Id $request_id;"""

HAPROXY = """
global
  nbthread 2
  maxconn 4000
defaults
  mode http
  timeout connect 1s
  timeout client 30s
  timeout server 30s
frontend front
  bind 127.0.0.1:{port} {front}
  option forwardfor
  unique-id-format %[uuid()]
  unique-id-header X-Request-Id
{rules}
{backends}
"""

ENVOY = """
static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          codec_type: AUTO
{tracing}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
{routes}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
  clusters:
{clusters}
"""
ENVOY_ROUTE = '              - {{ match: {{ prefix: "{path}" }}, route: {{ cluster: c{index} }} }}'
ENVOY_CLUSTER = """
  - name: {name}
    type: STATIC
    connect_timeout: 1s
{options}
    load_assignment:
      cluster_name: {name}
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: {host}, port_value: {port} }} }} }}
"""
ENVOY_HTTP2 = """    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http2_protocol_options: {} }"""
ENVOY_TRACING = """
          tracing:
            provider:
              name: envoy.tracers.opentelemetry
              typed_config:
                "@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig
                grpc_service: { envoy_grpc: { cluster_name: sink }, timeout: 1s }
                service_name: front
"""


class Bench:
    """A temporary folder with a back end for `services` services of a protocol, each at an address of its own."""

    def __init__(self, folder, protocol, services, tools):
        self.folder, self.protocol, self.tools = folder, protocol, tools
        self.paths = ["/"] if services == 1 else [f"/s{index:03}/" for index in range(services)]
        # Addresses differ, so every proxy keeps pools, counters and health for each.
        self.hosts = [f"127.0.1.{index + 1}" for index in range(services)]
        self.back_port = free_port()
        self.back = self.grpc_back_end() if protocol == "grpc" else self.http_back_end()
        self.sink = None

    def written(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def http_back_end(self):
        h2 = " http2" if self.protocol == "http2" else ""
        listens = "\n".join(f"listen {host}:{self.back_port}{h2} reuseport;" for host in ["127.0.0.1", *self.hosts])
        body = f'server {{ {listens} location / {{ return 200 "{"x" * 1024}"; }} }}'
        return self.nginx("back end alone", "back", "off", body, self.back_port)

    def grpc_back_end(self):
        """nghttpd gives every request the file at its path, and a trailer."""
        root = self.folder / "grpc"
        for path in ["/", *self.paths]:
            file = root / path.strip("/") / "index.html"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"\0" + (1024).to_bytes(4, "big") + b"x" * 1024)
        return Process("back end alone", self.back_port, self.nghttpd(self.back_port, root, "127.0.0.1"))

    def nghttpd(self, port, root, host):
        return [
            "nghttpd", "--no-tls", "-n2", "-a", host, "-d", str(root), "--trailer=grpc-status: 0",
            "--mime-types-file=/dev/null", "-m1000", str(port),
        ]

    def back_hosts(self):
        return ["127.0.0.1"] * len(self.paths) if self.protocol == "grpc" else self.hosts

    def nginx(self, title, name, log, body, port):
        config = NGINX.format(dir=self.folder, name=name, log=log, body=body)
        return Process(title, port, ["nginx", "-c", self.written(f"{name}.conf", config)])

    def proxies(self):
        """Every proxy that can do the job, started."""
        made = []
        if self.protocol != "http2":
            # nginx speaks HTTP/1.1 to back ends, and HTTP/2 for gRPC only.
            made += [self.nginx_proxy("nginx", "off"), self.nginx_proxy("nginx, access log", f"{self.folder}/access.log")]
        made.append(self.haproxy())
        if self.tools.envoy:
            made += [self.envoy("Envoy", False), self.envoy("Envoy, tracing", True)]
        return made + [self.isles(name, path) for name, path in self.tools.isles]

    def nginx_proxy(self, title, log):
        port = free_port()
        parts, locations = [], []
        grpc = self.protocol == "grpc"
        for index, (path, host) in enumerate(zip(self.paths, self.back_hosts())):
            parts.append(f"upstream u{index} {{ server {host}:{self.back_port}; keepalive 128; keepalive_requests 1000000000; }}")
            action = f"grpc_pass grpc://u{index};" if grpc else f"proxy_pass http://u{index}; {NGINX_HEADERS}"
            locations.append(f"location {path} {{ {action} }}")
        h2 = " http2" if grpc else ""
        limit = "http2_max_concurrent_streams 1000;" if grpc else ""
        parts.append(f"server {{ listen 127.0.0.1:{port}{h2} reuseport; {limit} {' '.join(locations)} }}")
        return self.nginx(title, f"n{port}", log, "\n".join(parts), port)

    def haproxy(self):
        port = free_port()
        h2 = "proto h2" if self.protocol != "http1" else ""
        rules, backends = [], []
        for index, (path, host) in enumerate(zip(self.paths, self.back_hosts())):
            rules.append(f"  use_backend b{index} if {{ path_beg {path} }}")
            backends.append(f"backend b{index}\n  http-reuse always\n  server one {host}:{self.back_port} {h2}")
        config = HAPROXY.format(port=port, front=h2, rules="\n".join(rules), backends="\n".join(backends))
        return Process("HAProxy", port, ["haproxy", "-db", "-f", self.written("haproxy.cfg", config)])

    def envoy(self, title, tracing):
        port = free_port()
        routes = [ENVOY_ROUTE.format(path=path, index=index) for index, path in enumerate(self.paths)]
        options = ENVOY_HTTP2 if self.protocol != "http1" else ""
        clusters = [
            ENVOY_CLUSTER.format(name=f"c{index}", options=options, host=host, port=self.back_port)
            for index, host in enumerate(self.back_hosts())
        ]
        if tracing:
            clusters.append(
                ENVOY_CLUSTER.format(name="sink", options=ENVOY_HTTP2, host="127.0.0.1", port=self.trace_sink())
            )
        config = ENVOY.format(
            port=port, tracing=ENVOY_TRACING if tracing else "", routes="\n".join(routes), clusters="\n".join(clusters)
        )
        path = self.written(f"envoy{port}.yaml", config)
        command = [self.tools.envoy, "-c", path, "--concurrency", "2", "--disable-hot-restart", "-l", "off"]
        return Process(title, port, command)

    def trace_sink(self):
        """A server that takes Envoy's spans: it answers each export with an empty message."""
        root = self.folder / "sink"
        export = root / "opentelemetry.proto.collector.trace.v1.TraceService" / "Export"
        export.parent.mkdir(parents=True)
        export.write_bytes(b"\0\0\0\0\0")
        port = free_port()
        self.sink = Process("the sink for spans", port, self.nghttpd(port, root, "127.0.0.1"))
        self.sink.wait()
        return port

    def isles(self, title, path):
        port = free_port()
        protocol = "http" if self.protocol == "http1" else "grpc"
        ways = [f"{path}={host}:{self.back_port}" for path, host in zip(self.paths, self.back_hosts())]
        return Process(title, port, [path, f"127.0.0.1:{port}", "2", protocol, *ways])

    def stop(self):
        for process in (self.back, self.sink):
            if process:
                process.stop()
