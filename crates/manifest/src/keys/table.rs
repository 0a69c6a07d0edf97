//! The keys themselves.

use super::{Kind, Table, key};

/// A day: longer than any request, probe or drain.
const DAY: u64 = 86_400_000;

/// Every table, in the order of the reference.
pub(crate) static ALL: &[&Table] = &[
    &ROOT,
    &GATEWAY,
    &TLS,
    &ROUTE,
    &SERVICE,
    &HEALTH,
    &CALL,
    &SCALE,
    &DEPLOY,
    &STICKY,
    &LIMITS,
    &STOP,
    &EXTERNAL,
    &EXTERNAL_LIMITS,
    &CONSOLE,
    &SAGAS,
    &ALERTS,
    &TELEMETRY,
    &EVENTS,
    &SUBSCRIBE,
];

pub(crate) static ROOT: Table = Table {
    title: "top level",
    doc: "The system as a whole.",
    keys: &[
        key("name", Kind::Name, "The app's name.").required().also(&["app", "project", "title"]),
        key("gateway", Kind::Table(&GATEWAY), "The way in from outside.")
            .otherwise("no gateway")
            .also(&["ingress", "proxy", "http"]),
        key("services", Kind::Tables(&SERVICE), "The services, each by its name.")
            .otherwise("no services, which is a warning")
            .also(&["service", "apps"]),
        key("external", Kind::Tables(&EXTERNAL), "Systems outside that services call, each by its name.")
            .otherwise("none")
            .also(&["externals"]),
        key(
            "verify_callers",
            Kind::Boolean,
            "Refuse connections to an edge whose process does not belong to the caller; see [edges](edges.md).",
        )
        .default("true"),
        key("console", Kind::Table(&CONSOLE), "Admin API and dashboard.")
            .otherwise("`127.0.0.1:9400`")
            .also(&["admin", "dashboard"]),
        key("sagas", Kind::Table(&SAGAS), "Sagas: business transactions across services.")
            .otherwise("no sagas")
            .also(&["saga"]),
        key("alerts", Kind::Table(&ALERTS), "When somebody is told that something is wrong, and where; see [alerts](alerts.md).")
            .otherwise("they are shown, and sent nowhere")
            .also(&["alert", "alerting", "notifications"]),
        key("telemetry", Kind::Table(&TELEMETRY), "Where telemetry is sent on to; see [signals](signals.md).")
            .otherwise("it is kept here alone")
            .also(&["otel", "opentelemetry", "otlp", "tracing"]),
        key("events", Kind::Table(&EVENTS), "Events: who receives which topic.")
            .otherwise("no subscriptions")
            .also(&["event"]),
    ],
};

pub(crate) static GATEWAY: Table = Table {
    title: "gateway",
    doc: "The way in from outside. Leave it out when nothing outside calls the system.",
    keys: &[
        key("listen", Kind::Address, "Where it listens. Port 0 takes any free port.")
            .default("127.0.0.1:8080")
            .also(&["address", "bind", "port", "host"]),
        key("tls", Kind::Table(&TLS), "Serve HTTPS.").otherwise("plain HTTP").also(&["ssl", "https"]),
        key(
            "redirect",
            Kind::Address,
            "Where plain HTTP is answered with a redirect to HTTPS, such as `0.0.0.0:80`. Needs `tls`.",
        )
        .otherwise("nowhere")
        .also(&["redirect_http", "http_redirect", "redirect_from"]),
        key(
            "hsts",
            Kind::Duration(1000, 10 * 366 * DAY),
            "Tell browsers to use HTTPS only, for so long (`Strict-Transport-Security`). Needs `tls`.",
        )
        .otherwise("they are not told")
        .also(&["strict_transport_security"]),
        key(
            "max_body",
            Kind::Size(0, 1_000_000_000_000_000),
            "The longest body of a request; a longer one is refused with 413.",
        )
        .default("100MB")
        .also(&["body_limit", "client_max_body_size", "max_body_size", "body_size"]),
        key(
            "max_connections",
            Kind::Integer(1, 10_000_000),
            "Connections of clients at one time; more are closed at once.",
        )
        .default("10000")
        .also(&["connections", "worker_connections"]),
        key(
            "access_log",
            Kind::AnyOf(&[Kind::Boolean, Kind::Path]),
            "Write each request down as a line of JSON: `true` is `.isles/logs/gateway-access.log`, a path a file relative to the manifest.",
        )
        .default("false")
        .also(&["log", "accesslog"]),
        key("routes", Kind::List(&Kind::Table(&ROUTE)), "Which service answers what.")
            .otherwise("no routes")
            .also(&["route"]),
    ],
};

pub(crate) static TLS: Table = Table {
    title: "gateway.tls",
    doc: "Either `cert` and `key`, or `acme` and `email`.",
    keys: &[
        key("cert", Kind::Path, "The certificate chain, a PEM file; relative to the manifest.")
            .also(&["certificate", "crt"]),
        key("key", Kind::Path, "The private key, a PEM file; relative to the manifest.")
            .also(&["private_key"]),
        key("acme", Kind::List(&Kind::Text), "The host names to get certificates for by ACME (RFC 8555).")
            .also(&["domains"]),
        key("email", Kind::Text, "Whom the certificate authority may write to.").also(&["contact"]),
        key("directory", Kind::Url, "With `acme`: the URL of the authority's directory.")
            .otherwise("that of Let's Encrypt")
            .also(&["server", "acme_directory", "url"]),
        key("ca", Kind::Path, "With `acme`: a PEM file with the certificates that the authority's own server is checked against; relative to the manifest.")
            .otherwise("those that the system trusts")
            .also(&["ca_cert", "root", "roots"]),
    ],
};

pub(crate) static ROUTE: Table = Table {
    title: "gateway.routes[]",
    doc: "One `[[gateway.routes]]`. The longest path that ends on a segment boundary wins.",
    keys: &[
        key(
            "path",
            Kind::UrlPath,
            "The prefix of the requests' paths: `/api` matches `/api` and `/api/x`, not `/apix`.",
        )
        .required()
        .also(&["prefix", "url", "match"]),
        key("service", Kind::Name, "The service that answers.")
            .required()
            .also(&["to", "backend", "upstream", "target"]),
        key("host", Kind::Text, "Only requests for this host name, without a port.")
            .otherwise("any host")
            .also(&["hostname", "domain"]),
        key("methods", Kind::List(&Kind::Text), "Only these HTTP methods.")
            .otherwise("all methods")
            .also(&["method"]),
        key("strip", Kind::Boolean, "Take `path` off before the request is passed on.")
            .default("false")
            .also(&["strip_prefix", "strip_path"]),
        key("timeout", Kind::Duration(1, DAY), "Time limit for the whole request.")
            .otherwise("the service's `limits.timeout`"),
        key(
            "rate_limit",
            Kind::Rate,
            "How many requests one client address may send: `100/s`, `5/m`, `10/h`.",
        )
        .otherwise("no limit")
        .also(&["rate", "ratelimit"]),
        key("max_body", Kind::Size(0, 1_000_000_000_000_000), "The longest body of a request to this route.")
            .otherwise("the gateway's `max_body`")
            .also(&["body_limit", "max_body_size"]),
        key("enforce_contract", Kind::Boolean, "Refuse requests that violate the service's contract.")
            .default("false")
            .also(&["validate"]),
    ],
};

pub(crate) static SERVICE: Table = Table {
    title: "services.NAME",
    doc: "One service. `dir` is relative to the manifest, every other path to `dir`.",
    keys: &[
        key("dir", Kind::Path, "Its folder.")
            .otherwise("the service's name if that folder exists, else `.`")
            .also(&["directory", "path", "cwd", "working_dir", "context", "root"]),
        key("build", Kind::Words, "How to build it; runs in `dir`. Nothing is filled in.")
            .otherwise("nothing to build")
            .also(&["build_command"]),
        key("command", Kind::Words, "How to run it: split as a shell splits words, but no shell runs; or an array of words. May contain `${…}`, but no secret. A program with a slash in its path is relative to `dir`.")
            .required()
            .also(&["cmd", "run", "start", "exec", "entrypoint", "image"]),
        key("artifact", Kind::AnyOf(&[Kind::Path, Kind::List(&Kind::Path)]), "What a release keeps a copy of and runs from.")
            .otherwise("all of `dir` that git would track, and the command's own file")
            .also(&["artifacts", "files", "output"]),
        key("protocol", Kind::Choice(&["http", "grpc", "tcp"]), "What it speaks: `http` is HTTP/1.1 and h2c with gRPC, WebSocket and server-sent events; `grpc` is always HTTP/2; `tcp` is bytes.")
            .default("http")
            .also(&["kind", "type"]),
        key("contract", Kind::Path, "Its API: an OpenAPI document (`.yaml`, `.yml`, `.json`) or a `.proto`.")
            .otherwise("no contract")
            .also(&["openapi", "proto", "spec"]),
        key("health", Kind::AnyOf(&[Kind::Choice(&["tcp", "grpc", "none"]), Kind::UrlPath, Kind::Table(&HEALTH)]), "How its health is asked: `\"tcp\"` (a connection is accepted), `\"grpc\"` (the standard health service), `\"none\"` (ready as soon as it runs), a path, or a table.")
            .otherwise("`/health` for `http`, `\"grpc\"` for `grpc`, `\"tcp\"` for `tcp`")
            .also(&["healthcheck", "health_check", "probe", "readiness"]),
        key("calls", Kind::List(&Kind::AnyOf(&[Kind::Name, Kind::Table(&CALL)])), "Whom it may call: services and external systems. Anything else is refused.")
            .otherwise("nobody")
            .also(&["depends_on", "dependencies", "needs", "uses", "links", "call"]),
        key("scale", Kind::AnyOf(&[Kind::Integer(0, 1000), Kind::Table(&SCALE)]), "How many replicas: a number fixes it, a table gives bounds.")
            .default("1")
            .also(&["replicas", "instances", "count"]),
        key("deploy", Kind::AnyOf(&[Kind::Choice(&["rolling", "canary"]), Kind::Table(&DEPLOY)]), "How a new release replaces the old one.")
            .default("rolling")
            .also(&["rollout", "strategy"]),
        key("limits", Kind::Table(&LIMITS), "Bounds on requests to it, and on what its processes use.").otherwise("see there").also(&["limit", "resources", "timeout"]),
        key("before_start", Kind::Words, "Runs once per release, before its first replica, such as a migration; like `command`.")
            .otherwise("nothing")
            .also(&["migrate", "pre_start", "release_command", "init"]),
        key("watch", Kind::AnyOf(&[Kind::Path, Kind::List(&Kind::Path)]), "What `isles up --watch` watches.").otherwise("all of `dir`"),
        key("stop", Kind::Table(&STOP), "How it is asked to end.").otherwise("see there").also(&["shutdown", "kill"]),
        key("env", Kind::Map(&Kind::Template), "Variables of its own; values may contain `${…}`.").otherwise("none of its own")
            .also(&["environment", "vars", "variables"]),
    ],
};

pub(crate) static HEALTH: Table = Table {
    title: "services.NAME.health",
    doc: "The table form of `health`. Without `path` the check is the one of the service's protocol.",
    keys: &[
        key("path", Kind::UrlPath, "`GET` this path; 200 to 399 is healthy.")
            .otherwise("`/health` for `http`")
            .also(&["url", "endpoint", "http"]),
        key("interval", Kind::Duration(10, DAY), "Time between two probes of a ready replica.")
            .default("1s")
            .also(&["period", "every"]),
        key("timeout", Kind::Duration(1, DAY), "How long one probe may take.").default("500ms"),
        key(
            "failures",
            Kind::Integer(1, 1000),
            "How many probes in a row must fail before the replica gets no more requests.",
        )
        .default("3")
        .also(&["retries", "threshold"]),
    ],
};

pub(crate) static CALL: Table = Table {
    title: "services.NAME.calls[]",
    doc: "The table form of an entry of `calls`, for an application whose callee's address is fixed in its code.",
    keys: &[
        key("service", Kind::Name, "The callee.").required().also(&["name", "to"]),
        key(
            "listen",
            Kind::Address,
            "The address at which this caller reaches it; on loopback (`127.0.0.0/8` or `[::1]`).",
        )
        .otherwise("an address that Isles chooses")
        .also(&["address", "port"]),
    ],
};

pub(crate) static SCALE: Table = Table {
    title: "services.NAME.scale",
    doc: "The table form of `scale`.",
    keys: &[
        key("min", Kind::Integer(0, 1000), "At least; 0 allows scale to zero.").default("1"),
        key("max", Kind::Integer(1, 1000), "At most.").otherwise("the larger of `min` and 1"),
        key(
            "concurrency",
            Kind::Integer(1, 1_000_000),
            "Requests in flight that one replica should have; more adds replicas.",
        )
        .otherwise("replicas are set by hand")
        .also(&["target", "target_concurrency"]),
        key(
            "window",
            Kind::Duration(1000, 3_600_000),
            "The time over which requests in flight are averaged; when twice as many come as the replicas should have, a tenth of it counts.",
        )
        .default("60s")
        .also(&["stable_window"]),
        key("down_delay", Kind::Duration(0, 3_600_000), "How long fewer replicas must have been enough before any goes.")
            .default("0s")
            .also(&["scale_down_delay", "cooldown"]),
        key("up_rate", Kind::Integer(2, 1000), "After one decision at most so many times the replicas that are ready.")
            .default("1000")
            .also(&["max_scale_up_rate"]),
        key("down_rate", Kind::Integer(2, 1000), "After one decision at least the replicas that are ready divided by this.")
            .default("2")
            .also(&["max_scale_down_rate"]),
    ],
};

pub(crate) static DEPLOY: Table = Table {
    title: "services.NAME.deploy",
    doc: "The table form of `deploy`. `steps` is for `canary` only.",
    keys: &[
        key("strategy", Kind::Choice(&["rolling", "canary"]), "`rolling` replaces one replica after the other; `canary` gives the new release a share of the requests and judges it, step by step.")
            .default("rolling")
            .also(&["type", "kind"]),
        key("steps", Kind::List(&Kind::Number(0.01, 100.0)), "Percent of the requests, ascending.").default("[1, 10, 50]"),
        key("hold", Kind::Duration(100, 7 * DAY), "How long a new release is watched at least: in each step of a canary; the first new replica of a rolling deploy, there 5s by default.").default("10s").also(&["interval", "duration"]),
        key("success", Kind::Number(0.0, 100.0), "Percent of a new release's requests that must succeed.").default("99.0").also(&["threshold"]),
        key("ready", Kind::Duration(100, DAY), "How long a new replica may take to become ready before the deploy is rolled back.").default("60s").also(&["timeout", "deadline"]),
        key("used_within", Kind::Duration(3_600_000, 30 * DAY), "For how long after its last call an operation is one that somebody uses: a deploy that breaks it is refused.").default("168h").also(&["window", "usage_window"]),
        key("sticky", Kind::Table(&STICKY), "Holds each user to one release while requests are divided between two.").otherwise("each request is drawn by itself").also(&["affinity", "session"]),
    ],
};

pub(crate) static STICKY: Table = Table {
    title: "services.NAME.deploy.sticky",
    doc: "Where a request says whose it is: one of these. A request that does not say is drawn by itself.",
    keys: &[
        key("header", Kind::Text, "The header field.").otherwise("none").also(&["field"]),
        key("cookie", Kind::Text, "The cookie.").otherwise("none"),
    ],
};

pub(crate) static LIMITS: Table = Table {
    title: "services.NAME.limits",
    doc: "Bounds on requests to the service, and on what its processes use.",
    keys: &[
        key("timeout", Kind::Duration(1, DAY), "Time limit for a whole request.").default("5s"),
        key("retries", Kind::Integer(0, 10), "Further attempts after the first, within the retry budget.")
            .default("2")
            .also(&["attempts"]),
        key("in_flight", Kind::Integer(1, 1_000_000), "Requests at one time; more are refused at once.")
            .default("512")
            .also(&["concurrency", "max_connections", "max_in_flight"]),
        key(
            "memory",
            Kind::Size(1_000_000, 1_000_000_000_000_000),
            "Memory of one replica, all its processes together: it is killed when it uses more. `MB` is 1000², `MiB` 1024² bytes.",
        )
        .otherwise("no limit")
        .also(&["mem", "ram"]),
        key(
            "cpu",
            Kind::Number(0.01, 1024.0),
            "Processors that one replica may use, all its processes together; needs control groups of the kernel (version 2), which `isles doctor` looks for.",
        )
        .otherwise("no limit")
        .also(&["cpus", "cores", "processors"]),
    ],
};

pub(crate) static STOP: Table = Table {
    title: "services.NAME.stop",
    doc: "How a replica is asked to end, after it has finished its requests.",
    keys: &[
        key(
            "signal",
            Kind::Choice(&["TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "KILL"]),
            "The first signal.",
        )
        .default("TERM"),
        key("grace", Kind::Duration(0, DAY), "How long it may take before it is killed.")
            .default("10s")
            .also(&["timeout", "wait"]),
    ],
};

pub(crate) static EXTERNAL: Table = Table {
    title: "external.NAME",
    doc: "Something outside that services call by its name. They are told an address of the data plane, which passes requests on with the same deadlines, retries, breaker and counters as between services: see [edges](edges.md).",
    keys: &[
        key("url", Kind::Url, "`http://` or `https://`, host, optional port, and a path that everything asked of it begins with.")
            .required()
            .also(&["address", "host", "uri"]),
        key("ca", Kind::Path, "The certificates that its own must be signed by, a PEM file; relative to the manifest.")
            .otherwise("those that the system trusts")
            .also(&["ca_cert", "ca_file", "cacert", "certificate"]),
        key("trace", Kind::Boolean, "Send it `traceparent`, `tracestate` and `x-request-id`.")
            .default("true")
            .also(&["traceparent", "tracing"]),
        key("limits", Kind::Table(&EXTERNAL_LIMITS), "Bounds on requests to it.")
            .otherwise("see there")
            .also(&["limit", "timeout"]),
    ],
};

pub(crate) static EXTERNAL_LIMITS: Table = Table {
    title: "external.NAME.limits",
    doc: "Bounds on requests to a system outside. They mean what `services.NAME.limits` mean.",
    keys: &[
        key("timeout", Kind::Duration(1, DAY), "Time limit for a whole request.").default("30s"),
        key("retries", Kind::Integer(0, 10), "Further attempts after the first, within the retry budget.")
            .default("2")
            .also(&["attempts"]),
        key("in_flight", Kind::Integer(1, 1_000_000), "Requests at one time; more are refused at once.")
            .default("512")
            .also(&["concurrency", "max_connections", "max_in_flight"]),
    ],
};

pub(crate) static CONSOLE: Table = Table {
    title: "console",
    doc: "Admin API and dashboard, behind a token.",
    keys: &[key("listen", Kind::Address, "Where it listens. Port 0 takes any free port.")
        .default("127.0.0.1:9400")
        .also(&["address", "bind", "port", "host"])],
};

pub(crate) static SAGAS: Table = Table {
    title: "sagas",
    doc: "Where the saga definitions are, and where sagas are kept.",
    keys: &[
        key(
            "files",
            Kind::AnyOf(&[Kind::Path, Kind::List(&Kind::Path)]),
            "Files or glob patterns, relative to the manifest.",
        )
        .otherwise("no sagas")
        .also(&["file", "path", "paths", "dir"]),
        key(
            "store",
            Kind::Template,
            "A PostgreSQL database, `postgres://…`; may contain `${env.NAME}` and `${secret.NAME}`.",
        )
        .otherwise("SQLite, in `.isles/sagas.db`")
        .also(&["database", "database_url", "url", "postgres"]),
    ],
};

pub(crate) static ALERTS: Table = Table {
    title: "alerts",
    doc: "What somebody has to be told of.",
    keys: &[
        key(
            "webhook",
            Kind::Template,
            "A URL to which alerts are sent, in the format of Alertmanager's webhooks; may contain `${env.NAME}` and `${secret.NAME}`.",
        )
        .otherwise("they are only shown")
        .also(&["url", "receiver", "webhook_url"]),
        key(
            "availability",
            Kind::Number(50.0, 99.999),
            "Percent of the calls of each service that are to go well: its error budget is what is left.",
        )
        .default("99.9")
        .also(&["objective", "slo", "target"]),
    ],
};

pub(crate) static TELEMETRY: Table = Table {
    title: "telemetry",
    doc: "Another back end for spans, metrics and logs.",
    keys: &[
        key(
            "export",
            Kind::Template,
            "The URL of a back end that takes OTLP over HTTP, without `/v1/…`, such as `http://127.0.0.1:4318`; may contain `${env.NAME}` and `${secret.NAME}`.",
        )
        .otherwise("nothing is sent on")
        .also(&["endpoint", "url", "otlp"]),
        key("headers", Kind::Map(&Kind::Template), "Header fields for it; values may contain `${env.NAME}` and `${secret.NAME}`.")
            .otherwise("none")
            .also(&["header"]),
    ],
};

pub(crate) static EVENTS: Table = Table {
    title: "events",
    doc: "Events with at-least-once delivery.",
    keys: &[key("subscribe", Kind::List(&Kind::Table(&SUBSCRIBE)), "Who receives which topic.")
        .otherwise("no subscriptions")
        .also(&["subscriptions", "subscription", "subscribers"])],
};

pub(crate) static SUBSCRIBE: Table = Table {
    title: "events.subscribe[]",
    doc: "One `[[events.subscribe]]`.",
    keys: &[
        key("topic", Kind::Text, "The topic: words joined with dots.")
            .required()
            .also(&["event", "name", "subject"]),
        key("service", Kind::Name, "The service that receives.").required().also(&["to", "subscriber"]),
        key("path", Kind::UrlPath, "Each event is a `POST` to this path.")
            .required()
            .also(&["url", "endpoint"]),
    ],
};
