//! Every kind of fault, as a person sees it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use support::picture;

/// A manifest with one service `a` that has `lines`.
fn service(lines: &str) -> String {
    format!("name = \"x\"\n[services.a]\ncommand = \"a\"\n{lines}")
}

/// The same, with a second service, a TCP one and an external system to refer to.
fn system(lines: &str) -> String {
    format!(
        "name = \"x\"\n[services.orders]\ncommand = \"a\"\n[services.cache]\ncommand = \"b\"\nprotocol = \"tcp\"\n\
         [external.stripe]\nurl = \"https://api.stripe.com\"\n{lines}"
    )
}

#[test]
fn not_toml() {
    insta::assert_snapshot!(picture("name = \"x\"\n[services.a\ncommand = 1\n"), @r#"
    error[manifest-syntax]: not TOML: unclosed table, expected `]`
     --> isles.toml:2:12
      |
    2 | [services.a
      |            ^
    "#);
    insta::assert_snapshot!(picture("name = \"x\"\nname = \"y\"\n"), @r#"
    error[manifest-syntax]: not TOML: duplicate key
     --> isles.toml:2:1
      |
    2 | name = "y"
      | ^^^^
    "#);
}

#[test]
fn keys() {
    insta::assert_snapshot!(picture(&service("comand = \"x\"\nport = 80\ndepends_on = []\nxyz = 1\n")), @r#"
    error[manifest-unknown-key]: `services.a` has no key `comand`
     --> isles.toml:4:1
      |
    4 | comand = "x"
      | ^^^^^^ unknown
      |
      = help: did you mean `command`?

    error[manifest-unknown-key]: `services.a` has no key `port`
     --> isles.toml:5:1
      |
    5 | port = 80
      | ^^^^ unknown
      |
      = help: a service has no fixed port: it is told one in `PORT`, or as `${port}` in `command` or `env`

    error[manifest-unknown-key]: `services.a` has no key `depends_on`
     --> isles.toml:6:1
      |
    6 | depends_on = []
      | ^^^^^^^^^^ unknown
      |
      = help: did you mean `calls`?

    error[manifest-unknown-key]: `services.a` has no key `xyz`
     --> isles.toml:7:1
      |
    7 | xyz = 1
      | ^^^ unknown
      |
      = help: it can have `dir`, `build`, `command`, `artifact`, `protocol`, `contract`, `health`, `calls`, `scale`, `deploy`, `limits`, `before_start`, `watch`, `stop`, `env`
    "#);
    insta::assert_snapshot!(picture("[services.a]\n[external.b]\n"), @r#"
    error[manifest-missing-key]: the manifest needs `name`
     --> isles.toml:1:1
      |
    1 | [services.a]
      | ^ `name` is missing
      |
      = help: add `name = …`, which takes a name

    error[manifest-missing-key]: `services.a` needs `command`
     --> isles.toml:1:11
      |
    1 | [services.a]
      |           ^ `command` is missing
      |
      = help: add `command = …`, which takes a command, as text or as an array of words

    error[manifest-missing-key]: `external.b` needs `url`
     --> isles.toml:2:11
      |
    2 | [external.b]
      |           ^ `url` is missing
      |
      = help: add `url = …`, which takes a URL such as "https://api.example"
    "#);
}

#[test]
fn types() {
    insta::assert_snapshot!(picture(&service("scale = \"2\"\ncalls = \"b\"\nhealth = 5\nenv = { A = 3, B = true }\n")), @r#"
    error[manifest-wrong-type]: `scale` takes a whole number, or a table
     --> isles.toml:4:9
      |
    4 | scale = "2"
      |         ^^^ this is text

    error[manifest-wrong-type]: `calls` takes an array, each entry a name, or a table
     --> isles.toml:5:9
      |
    5 | calls = "b"
      |         ^^^ this is text
      |
      = help: write an array: `["b"]`

    error[manifest-wrong-type]: `health` takes "tcp", "grpc" or "none", or a path that starts with `/`, or a table
     --> isles.toml:6:10
      |
    6 | health = 5
      |          ^ this is a whole number

    error[manifest-wrong-type]: `A` takes text
     --> isles.toml:7:13
      |
    7 | env = { A = 3, B = true }
      |             ^ this is a whole number
      |
      = help: write it as text: `"3"`

    error[manifest-wrong-type]: `B` takes text
     --> isles.toml:7:20
      |
    7 | env = { A = 3, B = true }
      |                    ^^^^ this is `true` or `false`
      |
      = help: write it as text: `"true"`
    "#);
    insta::assert_snapshot!(picture("name = \"x\"\nservices = 3\n[gateway]\nroutes = [1]\n"), @r#"
    warning[manifest-no-services]: there is no service to run
     --> isles.toml:2:1
      |
    2 | services = 3
      | ^^^^^^^^
      |
      = help: add `[services.NAME]` with a `command`

    error[manifest-wrong-type]: `services` takes a table
     --> isles.toml:2:12
      |
    2 | services = 3
      |            ^ this is a whole number

    error[manifest-wrong-type]: each entry of `routes` must be a table
     --> isles.toml:4:11
      |
    4 | routes = [1]
      |           ^ this is a whole number
"#);
}

#[test]
fn values() {
    insta::assert_snapshot!(picture(&service("protocol = \"htpp\"\nhealth = \"tpc\"\nlimits = { timeout = \"5\", memory = \"5 mb\" }\n")), @r#"
    error[manifest-bad-value]: `protocol` is "http", "grpc" or "tcp", not `htpp`
     --> isles.toml:4:12
      |
    4 | protocol = "htpp"
      |            ^^^^^^
      |
      = help: did you mean `"http"`?

    error[manifest-bad-value]: `health` is "tcp", "grpc" or "none", not `tpc`
     --> isles.toml:5:10
      |
    5 | health = "tpc"
      |          ^^^^^
      |
      = help: did you mean `"tcp"`?

    error[manifest-bad-value]: `5` is not a duration
     --> isles.toml:6:22
      |
    6 | limits = { timeout = "5", memory = "5 mb" }
      |                      ^^^
      |
      = help: write a number and `ms`, `s`, `m` or `h`: `500ms`, `1.5s`, `2m`, `1h`

    error[manifest-bad-value]: `5 mb` is not a size
     --> isles.toml:6:36
      |
    6 | limits = { timeout = "5", memory = "5 mb" }
      |                                    ^^^^^^
      |
      = help: write a number and `B`, `KB`, `MB` or `GB` (or `KiB`, `MiB`, `GiB`): `512MB`
    "#);
    insta::assert_snapshot!(picture(&service("stop = { grace = \"100h\" }\nlimits = { memory = \"1KB\", in_flight = 0 }\n")), @r#"
    error[manifest-out-of-range]: `grace` is from 0s to 24h
     --> isles.toml:4:18
      |
    4 | stop = { grace = "100h" }
      |                  ^^^^^^ outside

    error[manifest-out-of-range]: `memory` is from 1MB to 1000TB
     --> isles.toml:5:21
      |
    5 | limits = { memory = "1KB", in_flight = 0 }
      |                     ^^^^^ outside

    error[manifest-out-of-range]: `in_flight` is from 1 to 1000000
     --> isles.toml:5:40
      |
    5 | limits = { memory = "1KB", in_flight = 0 }
      |                                        ^ outside
    "#);
    insta::assert_snapshot!(picture("name = \"My App\"\n[services.gateway]\ncommand = \"a\"\n"), @r#"
    error[manifest-bad-name]: `My App` cannot be a name: a name is lower-case letters, digits and inner `-`, starting with a letter; `M` is not allowed there
     --> isles.toml:1:8
      |
    1 | name = "My App"
      |        ^^^^^^^^
      |
      = help: `my-app` would do

    error[manifest-reserved-name]: the name `gateway` is taken by Isles itself
     --> isles.toml:2:11
      |
    2 | [services.gateway]
      |           ^^^^^^^
      |
      = help: choose another, such as `my-gateway`
    "#);
}

#[test]
fn scaling_by_load() {
    insta::assert_snapshot!(picture(&service("scale = { max = 3, window = \"10s\" }\n")), @r#"
    error[manifest-conflict]: `window` is for autoscaling only
     --> isles.toml:4:20
      |
    4 | scale = { max = 3, window = "10s" }
      |                    ^^^^^^
      |
      = help: add `concurrency = …`, or leave the key out
    "#);
}

#[test]
fn what_tells_users_apart() {
    insta::assert_snapshot!(picture(&service("deploy = { sticky = { header = \"x-user\", cookie = \"a b\" } }\n")), @r#"
    error[manifest-conflict]: a user is told by a header or by a cookie
     --> isles.toml:4:42
      |
    4 | deploy = { sticky = { header = "x-user", cookie = "a b" } }
      |                       ------             ^^^^^^
      |                       |
      |                       this is the other
      |
      = help: leave one of them out

    error[manifest-bad-value]: `a b` is no name of a cookie
     --> isles.toml:4:51
      |
    4 | deploy = { sticky = { header = "x-user", cookie = "a b" } }
      |                                                   ^^^^^
      |
      = help: letters, digits and - _ . are allowed
    "#);
    insta::assert_snapshot!(picture(&service("deploy = { sticky = {} }\n")), @r#"
    error[manifest-bad-value]: it has to say what tells users apart
     --> isles.toml:4:21
      |
    4 | deploy = { sticky = {} }
      |                     ^^
      |
      = help: write `sticky = { cookie = "session" }`
    "#);
}

#[test]
fn deploys() {
    insta::assert_snapshot!(picture(&service("deploy = { steps = [10, 1, 200] }\n")), @r#"
    error[manifest-conflict]: `steps` is for canary deploys only
     --> isles.toml:4:12
      |
    4 | deploy = { steps = [10, 1, 200] }
      |            ^^^^^
      |
      = help: add `strategy = "canary"`, or leave the key out

    error[manifest-out-of-range]: steps ascend, and 1 comes after 10
     --> isles.toml:4:25
      |
    4 | deploy = { steps = [10, 1, 200] }
      |                         ^

    error[manifest-out-of-range]: `steps` is from 0.01 to 100
     --> isles.toml:4:28
      |
    4 | deploy = { steps = [10, 1, 200] }
      |                            ^^^ outside
    "#);
    insta::assert_snapshot!(picture(&service("deploy = { strategy = \"canary\", steps = [] }\n")), @r#"
    error[manifest-bad-value]: a canary needs at least one step
     --> isles.toml:4:41
      |
    4 | deploy = { strategy = "canary", steps = [] }
      |                                         ^^
      |
      = help: write `steps = [1, 10, 50]`
    "#);
}

#[test]
fn folders_and_files() {
    insta::assert_snapshot!(picture(&service("dir = \"nowhere\"\ncontract = \"openapi.yaml\"\n")), @r#"
    error[manifest-no-such-path]: there is no folder `nowhere`
     --> isles.toml:4:7
      |
    4 | dir = "nowhere"
      |       ^^^^^^^^^
      |
      = help: the path is relative to the folder of the manifest

    error[manifest-no-such-path]: there is no file `openapi.yaml`
     --> isles.toml:5:12
      |
    5 | contract = "openapi.yaml"
      |            ^^^^^^^^^^^^^^
      |
      = help: the path is relative to the service's `dir`
    "#);
    insta::assert_snapshot!(picture(&service("dir = \"payments\"\ncontract = \"notes.txt\"\nwatch = [\"src\"]\n")), @r#"
    error[manifest-bad-value]: `notes.txt` is no kind of contract that Isles knows
     --> isles.toml:5:12
      |
    5 | contract = "notes.txt"
      |            ^^^^^^^^^^^
      |
      = help: an OpenAPI document ends in `.yaml`, `.yml` or `.json`, a protobuf file in `.proto`

    warning[manifest-missing-file]: `src` is not there yet
     --> isles.toml:6:10
      |
    6 | watch = ["src"]
      |          ^^^^^
      |
      = help: the path is relative to the service's `dir`
    "#);
    insta::assert_snapshot!(picture(&service("dir = \"payments/notes.txt\"\n")), @r#"
    error[manifest-no-such-path]: `payments/notes.txt` is not a folder
     --> isles.toml:4:7
      |
    4 | dir = "payments/notes.txt"
      |       ^^^^^^^^^^^^^^^^^^^^
      |
      = help: name the folder that it is in
    "#);
}

#[test]
fn commands() {
    insta::assert_snapshot!(picture("name = \"x\"\n[services.a]\ncommand = \"A=1 run $HOME && stop\"\n[services.b]\ncommand = []\n"), @r#"
    warning[manifest-shell-syntax]: no shell runs: `A=1` is passed on as it stands
     --> isles.toml:3:12
      |
    3 | command = "A=1 run $HOME && stop"
      |            ^^^
      |
      = help: set it in the service's `env` table

    warning[manifest-shell-syntax]: no shell runs: `$HOME` is passed on as it stands
     --> isles.toml:3:20
      |
    3 | command = "A=1 run $HOME && stop"
      |                    ^^^^^
      |
      = help: if a shell is meant, start one: `command = ["sh", "-c", "…"]`

    warning[manifest-shell-syntax]: no shell runs: `&&` is passed on as it stands
     --> isles.toml:3:26
      |
    3 | command = "A=1 run $HOME && stop"
      |                          ^^
      |
      = help: if a shell is meant, start one: `command = ["sh", "-c", "…"]`

    error[manifest-bad-command]: `command` has no program
     --> isles.toml:5:11
      |
    5 | command = []
      |           ^^
      |
      = help: write the program and its arguments
    "#);
    insta::assert_snapshot!(picture(&service("build = \"make DIR=${data}\"\n")), @r#"
    warning[manifest-not-filled-in]: nothing is filled in here: `${…}` stays as it is
     --> isles.toml:4:19
      |
    4 | build = "make DIR=${data}"
      |                   ^^^^^^^
      |
      = help: a build gets the environment that Isles was started in
    "#);
}

#[test]
fn names() {
    insta::assert_snapshot!(picture(&system("[external.orders]\nurl = \"http://o\"\n")), @r#"
    error[manifest-duplicate-name]: `orders` is both a service and an external system
     --> isles.toml:2:11
      |
    2 | [services.orders]
      |           ^^^^^^ a service here
    ...
    9 | [external.orders]
      |           ------ an external system here
      |
      = help: rename one of them
    "#);
    insta::assert_snapshot!(picture(&system("[services.c]\ncommand = \"c\"\ncalls = [\"oders\", \"cache\", \"cache\", \"c\", \"z\"]\n")), @r#"
    error[manifest-unknown-service]: there is no service or external system `oders`
      --> isles.toml:11:10
       |
    11 | calls = ["oders", "cache", "cache", "c", "z"]
       |          ^^^^^^^ unknown
       |
       = help: did you mean `orders`?

    error[manifest-duplicate-entry]: `cache` is in `calls` twice
      --> isles.toml:11:28
       |
    11 | calls = ["oders", "cache", "cache", "c", "z"]
       |                   -------  ^^^^^^^ again
       |                   |
       |                   first here

    error[manifest-self-call]: `c` calls itself
      --> isles.toml:11:37
       |
    11 | calls = ["oders", "cache", "cache", "c", "z"]
       |                                     ^^^
       |
       = help: leave it out: what a service asks of itself needs no edge

    error[manifest-unknown-service]: there is no service or external system `z`
      --> isles.toml:11:42
       |
    11 | calls = ["oders", "cache", "cache", "c", "z"]
       |                                          ^^^ unknown
       |
       = help: add `[services.z]`, or `[external.z]` if it is outside
    "#);
}

#[test]
fn requests_can_be_held_to_openapi_only() {
    for (contract, held) in [("openapi.yaml", true), ("api.proto", false)] {
        let told = picture(&format!(
            "name = \"a\"\n[services.orders]\ncommand = \"sh\"\ncontract = \"{contract}\"\n\
             [gateway]\n[[gateway.routes]]\npath = \"/\"\nservice = \"orders\"\nenforce_contract = true\n"
        ));
        assert_eq!(told.contains("manifest-no-contract"), !held, "{told}");
    }
}

#[test]
fn routes() {
    insta::assert_snapshot!(
        picture(&system(
            "[gateway]\n\
             [[gateway.routes]]\npath = \"/a\"\nservice = \"orders\"\nmethods = [\"GET\"]\n\
             [[gateway.routes]]\npath = \"/a\"\nservice = \"orders\"\nmethods = [\"POST\"]\n\
             [[gateway.routes]]\npath = \"/a/\"\nservice = \"orders\"\n\
             [[gateway.routes]]\npath = \"/b\"\nservice = \"cache\"\n\
             [[gateway.routes]]\npath = \"/c\"\nservice = \"stripe\"\n\
             [[gateway.routes]]\npath = \"/d?x\"\nservice = \"orders\"\nenforce_contract = true\n\
             host = \"a.b:80\"\nmethods = [\"GTE\"]\nrate_limit = \"5\"\n\
             [[gateway.routes]]\nservice = \"orders\"\n"
        )),
        @r#"
    error[manifest-route-clash]: two routes for `/a` match the same requests
      --> isles.toml:19:8
       |
    11 | path = "/a"
       |        ---- first here
    ...
    19 | path = "/a/"
       |        ^^^^^ and again
       |
       = help: tell them apart by `path`, `host` or `methods`, or remove one

    error[manifest-needs-http]: `cache` speaks TCP only, and this needs HTTP
      --> isles.toml:23:11
       |
    23 | service = "cache"
       |           ^^^^^^^
       |
       = help: if it speaks HTTP, set `protocol = "http"` in `[services.cache]`

    error[manifest-unknown-service]: `stripe` is an external system; this needs a service of this manifest
      --> isles.toml:26:11
       |
    26 | service = "stripe"
       |           ^^^^^^^^ outside

    error[manifest-bad-value]: `/d?x` is not a path of a URL
      --> isles.toml:28:8
       |
    28 | path = "/d?x"
       |        ^^^^^^
       |
       = help: leave out spaces, `?` and `#`: only the path is compared

    error[manifest-no-contract]: `orders` has no contract that a request can be held to
      --> isles.toml:30:1
       |
    30 | enforce_contract = true
       | ^^^^^^^^^^^^^^^^
       |
       = help: add `contract = "openapi.yaml"` to `[services.orders]`

    error[manifest-bad-value]: `a.b:80` is not a host name
      --> isles.toml:31:8
       |
    31 | host = "a.b:80"
       |        ^^^^^^^^
       |
       = help: leave the port out

    error[manifest-bad-value]: `GTE` is not an HTTP method
      --> isles.toml:32:12
       |
    32 | methods = ["GTE"]
       |            ^^^^^
       |
       = help: did you mean `"GET"`?

    error[manifest-bad-value]: `5` is not a rate
      --> isles.toml:33:14
       |
    33 | rate_limit = "5"
       |              ^^^
       |
       = help: write a number and `/s`, `/m` or `/h`: `100/s`, `5/m`, `10/h`

    error[manifest-missing-key]: `routes` needs `path`
      --> isles.toml:34:1
       |
    34 | [[gateway.routes]]
       | ^^^^^^^^^^^^^^^^^^ `path` is missing
       |
       = help: add `path = …`, which takes a path that starts with `/`
    "#
    );
}

#[test]
fn addresses() {
    insta::assert_snapshot!(
        picture(
            "name = \"x\"\n[gateway]\nlisten = \"0.0.0.0:9400\"\n\
             [services.a]\ncommand = \"a\"\n\
             calls = [{ service = \"b\", listen = \"127.0.0.2:80\" }, { service = \"c\", listen = \"10.0.0.1:80\" }]\n\
             [services.b]\ncommand = \"b\"\ncalls = [{ service = \"c\", listen = \"127.0.0.2:80\" }]\n\
             [services.c]\ncommand = \"c\"\ncalls = [{ service = \"b\", listen = \"127.0.0.2:0\" }]\n"
        ),
        @r#"
    error[manifest-address-clash]: the console and the gateway listen on one address
     --> isles.toml:3:10
      |
    3 | listen = "0.0.0.0:9400"
      |          ^^^^^^^^^^^^^^ 0.0.0.0:9400
      |
      = help: the console is at 127.0.0.1:9400 unless the manifest says otherwise

    error[manifest-edge-not-loopback]: `10.0.0.1:80` can be reached from other machines
     --> isles.toml:6:80
      |
    6 | calls = [{ service = "b", listen = "127.0.0.2:80" }, { service = "c", listen = "10.0.0.1:80" }]
      |                                                                                ^^^^^^^^^^^^^
      |
      = help: whoever reaches an edge is taken for its caller, so it is on loopback: `127.0.0.2` and so on

    error[manifest-address-clash]: the edge from `a` to `b` and the edge from `b` to `c` listen on one address
     --> isles.toml:9:36
      |
    6 | calls = [{ service = "b", listen = "127.0.0.2:80" }, { service = "c", listen = "10.0.0.1:80" }]
      |                                    -------------- 127.0.0.2:80
    ...
    9 | calls = [{ service = "c", listen = "127.0.0.2:80" }]
      |                                    ^^^^^^^^^^^^^^ 127.0.0.2:80
      |
      = help: give one of them another port

    error[manifest-bad-value]: an edge at a fixed address needs a port
      --> isles.toml:12:36
       |
    12 | calls = [{ service = "b", listen = "127.0.0.2:0" }]
       |                                    ^^^^^^^^^^^^^
       |
       = help: name the port that the caller's code has, or leave `listen` out
    "#
    );
    insta::assert_snapshot!(picture(&service("[gateway]\nlisten = \"127.0.0.1:80\"\n[console]\nlisten = \"127.0.0.1:80\"\n")), @r#"
    error[manifest-address-clash]: the gateway and the console listen on one address
     --> isles.toml:7:10
      |
    5 | listen = "127.0.0.1:80"
      |          -------------- 127.0.0.1:80
    6 | [console]
    7 | listen = "127.0.0.1:80"
      |          ^^^^^^^^^^^^^^ 127.0.0.1:80
      |
      = help: give one of them another port
    "#);
}

/// Where certificate and key are: each fault of them, and none for a pair.
#[test]
fn certificates() {
    let key = rcgen::KeyPair::generate().unwrap();
    let cert =
        rcgen::CertificateParams::new(["shop.example".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
    let (good, another) = (key.serialize_pem(), rcgen::KeyPair::generate().unwrap().serialize_pem());
    let both = "tls = { cert = \"cert.pem\", key = \"key.pem\" }";
    let ca = "tls = { acme = [\"a.example\"], email = \"a@b.c\", ca = \"cert.pem\" }";
    for (tls, cert, key, expected) in [
        (both, cert.as_str(), good.as_str(), ""),
        (both, &cert, &another, "key.pem` cannot be used: it does not belong to the certificate"),
        (both, "", &good, "cert.pem` cannot be used: there is no certificate in PEM form in it"),
        (both, &cert, &cert, "key.pem` cannot be used: there is no private key in PEM form in it"),
        (both, "-----BEGIN CERTIFICATE-----\nx", &good, "cert.pem` cannot be used: it is not PEM"),
        (ca, &cert, "", ""),
        (ca, "", "", "cert.pem` cannot be used: there is no certificate"),
    ] {
        let folder = support::folder();
        std::fs::write(folder.path().join("cert.pem"), cert).unwrap();
        std::fs::write(folder.path().join("key.pem"), key).unwrap();
        let text = service(&format!("[gateway]\n{tls}\n"));
        let faults = match manifest::parse(&text, &support::context(folder.path())) {
            Ok(parsed) => parsed.warnings,
            Err(faults) => faults.0,
        };
        match (faults.as_slice(), expected) {
            ([], "") => {}
            ([fault], expected) if !expected.is_empty() => {
                assert_eq!(fault.code, manifest::code::CERTIFICATE);
                assert!(fault.message.contains(expected), "{}", fault.message);
            }
            (other, _) => panic!("{other:?} in place of {expected:?}"),
        }
    }
}

/// What belongs to TLS needs TLS.
#[test]
fn keys_that_need_tls() {
    let found = picture(&service("[gateway]\nhsts = \"1h\"\nredirect = \"127.0.0.1:8081\"\n"));
    for message in ["`hsts` needs `tls`", "`redirect` needs `tls`"] {
        assert!(found.contains(&format!("error[manifest-conflict]: {message}")), "{found}");
    }
    let found = picture(&service("[gateway]\ntls = { directory = \"https://ca.example\" }\n"));
    assert!(found.contains("`email`, `directory` and `ca` need `acme`"), "{found}");
    let found = picture(&service(
        "[gateway]\nredirect = \"127.0.0.1:8080\"\ntls = { acme = [\"a.b\"], email = \"a@b.c\" }\n",
    ));
    assert!(found.contains("manifest-address-clash"), "{found}");
}

#[test]
fn tls() {
    insta::assert_snapshot!(picture(&service("[gateway]\ntls = { cert = \"cert.pem\" }\n")), @r#"
    error[manifest-missing-key]: `cert` needs `key`
     --> isles.toml:5:1
      |
    5 | tls = { cert = "cert.pem" }
      | ^^^
      |
      = help: either `{ cert = "…", key = "…" }` or `{ acme = ["shop.example"], email = "ops@shop.example" }`

    warning[manifest-missing-file]: `cert.pem` is not there yet
     --> isles.toml:5:16
      |
    5 | tls = { cert = "cert.pem" }
      |                ^^^^^^^^^^
      |
      = help: the path is relative to the folder of the manifest
    "#);
    insta::assert_snapshot!(picture(&service("[gateway]\ntls = { key = \"k\", acme = [\"https://a\"], email = \"me\" }\n")), @r#"
    error[manifest-conflict]: `cert` and `key` do not go together with `acme` and what belongs to it
     --> isles.toml:5:1
      |
    5 | tls = { key = "k", acme = ["https://a"], email = "me" }
      | ^^^
      |
      = help: either `{ cert = "…", key = "…" }` or `{ acme = ["shop.example"], email = "ops@shop.example" }`

    warning[manifest-missing-file]: `k` is not there yet
     --> isles.toml:5:15
      |
    5 | tls = { key = "k", acme = ["https://a"], email = "me" }
      |               ^^^
      |
      = help: the path is relative to the folder of the manifest

    error[manifest-bad-value]: `https://a` is not a host name
     --> isles.toml:5:28
      |
    5 | tls = { key = "k", acme = ["https://a"], email = "me" }
      |                            ^^^^^^^^^^^
      |
      = help: only the name: `"shop.example"`

    error[manifest-bad-value]: `me` is not an e-mail address
     --> isles.toml:5:50
      |
    5 | tls = { key = "k", acme = ["https://a"], email = "me" }
      |                                                  ^^^^
    "#);
}

#[test]
fn environment() {
    insta::assert_snapshot!(
        picture(&system(
            "[services.events]\ncommand = \"e\"\n\
             [services.c]\ncommand = \"c\"\ncalls = [\"orders\", \"events\"]\n\
             [services.c.env]\nPORT = \"1\"\nISLES_X = \"1\"\nORDERS_URL = \"x\"\n\"A B\" = \"\"\n"
        )),
        @r#"
    error[manifest-env-collision]: the address of `events` would be in `EVENTS_URL`, which Isles sets itself
      --> isles.toml:13:20
       |
    13 | calls = ["orders", "events"]
       |                    ^^^^^^^^
       |
       = help: give the callee another name

    error[manifest-reserved-env]: `PORT` is set by Isles
      --> isles.toml:15:1
       |
    15 | PORT = "1"
       | ^^^^
       |
       = help: the service has to listen where Isles tells it; for another name write `MY_PORT = "${port}"`

    error[manifest-reserved-env]: `ISLES_X` is set by Isles
      --> isles.toml:16:1
       |
    16 | ISLES_X = "1"
       | ^^^^^^^
       |
       = help: leave it out, or choose another name

    error[manifest-env-collision]: `ORDERS_URL` is set by Isles: the address at which `orders` is called
      --> isles.toml:17:1
       |
    13 | calls = ["orders", "events"]
       |          -------- because of this call
    ...
    17 | ORDERS_URL = "x"
       | ^^^^^^^^^^
       |
       = help: leave it out, or write `${calls.orders.url}` under another name

    error[manifest-bad-value]: the name of a variable has no `=`, space or NUL, and is not empty
      --> isles.toml:18:1
       |
    18 | "A B" = ""
       | ^^^^^
    "#
    );
}

#[test]
fn templates() {
    insta::assert_snapshot!(
        picture(&system(
            "[services.c]\ncommand = \"c --port ${prot} ${PORT}\"\ncalls = [\"orders\"]\n\
             [services.c.env]\nA = \"${data\"\nB = \"${env.NOPE}\"\nC = \"${env.1}\"\nD = \"${secret.nope}\"\n\
             E = \"${calls.oders.url}\"\nF = \"${calls.orders.uri}\"\nG = \"${secret.../x}\"\n\
             OK = \"${env.NOPE:-}$${x} $ $$ ${secret.stripe}\"\n"
        )),
        @r#"
    error[manifest-unknown-variable]: Isles knows no `${prot}`
      --> isles.toml:10:21
       |
    10 | command = "c --port ${prot} ${PORT}"
       |                     ^^^^^^^
       |
       = help: did you mean `${port}`?

    error[manifest-unknown-variable]: Isles knows no `${PORT}`
      --> isles.toml:10:29
       |
    10 | command = "c --port ${prot} ${PORT}"
       |                             ^^^^^^^
       |
       = help: did you mean `${port}`?

    error[manifest-bad-template]: `${` has no `}` after it
      --> isles.toml:13:6
       |
    13 | A = "${data"
       |      ^^^^^^ starts here
       |
       = help: close it with `}`, or write `$${` for the text `${`

    error[manifest-unset-variable]: the variable `NOPE` is not set
      --> isles.toml:14:6
       |
    14 | B = "${env.NOPE}"
       |      ^^^^^^^^^^^ not set where Isles was started
       |
       = help: set it, or give a default: `${env.NOPE:-default}`

    error[manifest-bad-template]: `1` is not the name of a variable
      --> isles.toml:15:6
       |
    15 | C = "${env.1}"
       |      ^^^^^^^^
       |
       = help: letters, digits and `_`: `${env.NAME}` or `${env.NAME:-default}`

    error[manifest-unset-secret]: there is no secret `nope`
      --> isles.toml:16:6
       |
    16 | D = "${secret.nope}"
       |      ^^^^^^^^^^^^^^
       |
       = help: put it in the file `.isles/secrets/nope` beside the manifest, or in the variable `ISLES_SECRET_nope`

    error[manifest-call-not-declared]: `oders` is not in this service's `calls`
      --> isles.toml:17:6
       |
    17 | E = "${calls.oders.url}"
       |      ^^^^^^^^^^^^^^^^^^
       |
       = help: did you mean `orders`?

    error[manifest-unknown-variable]: `uri` is not a part of an address
      --> isles.toml:18:6
       |
    18 | F = "${calls.orders.uri}"
       |      ^^^^^^^^^^^^^^^^^^^
       |
       = help: write `${calls.orders.url}`, or `host`, `port` or `addr` (`host:port`) in place of `url`

    error[manifest-bad-template]: `../x` is not the name of a secret
      --> isles.toml:19:6
       |
    19 | G = "${secret.../x}"
       |      ^^^^^^^^^^^^^^
       |
       = help: letters, digits, `_` and `-`: `${secret.NAME}`
    "#
    );
}

#[test]
fn externals_and_events() {
    insta::assert_snapshot!(
        picture(
            "name = \"x\"\n[services.a]\ncommand = \"a\"\n\
             [external.b]\nurl = \"api.example\"\n[external.c]\nurl = \"ftp://x\"\n[external.d]\nurl = \"http://u:p@x\"\n\
             [external.e]\nurl = \"http://x:99999\"\n[external.f]\nurl = \"http://x/?a\"\n\
             [[events.subscribe]]\ntopic = \"a..b\"\nservice = \"b\"\npath = \"x\"\n\
             [[events.subscribe]]\ntopic = \"t\"\nservice = \"a\"\npath = \"/x\"\n\
             [[events.subscribe]]\ntopic = \"t\"\nservice = \"a\"\npath = \"/x\"\n"
        ),
        @r#"
    error[manifest-bad-value]: `api.example` is not a URL that Isles can call
     --> isles.toml:5:7
      |
    5 | url = "api.example"
      |       ^^^^^^^^^^^^^
      |
      = help: write the scheme too: `"https://api.example"`

    error[manifest-bad-value]: `ftp://x` is not a URL that Isles can call
     --> isles.toml:7:7
      |
    7 | url = "ftp://x"
      |       ^^^^^^^^^
      |
      = help: only `http://` and `https://` can be called

    error[manifest-bad-value]: `http://u:p@x` is not a URL that Isles can call
     --> isles.toml:9:7
      |
    9 | url = "http://u:p@x"
      |       ^^^^^^^^^^^^^^
      |
      = help: no user or password in it: whoever calls sends them, from a `${secret.NAME}`

    error[manifest-bad-value]: `http://x:99999` is not a URL that Isles can call
      --> isles.toml:11:7
       |
    11 | url = "http://x:99999"
       |       ^^^^^^^^^^^^^^^^
       |
       = help: a port is a number from 1 to 65535

    error[manifest-bad-value]: `http://x/?a` is not a URL that Isles can call
      --> isles.toml:13:7
       |
    13 | url = "http://x/?a"
       |       ^^^^^^^^^^^^^
       |
       = help: leave out what follows `?` or `#`

    error[manifest-bad-value]: `a..b` is not a topic
      --> isles.toml:15:9
       |
    15 | topic = "a..b"
       |         ^^^^^^
       |
       = help: words of letters, digits, `-` and `_`, joined with dots: `order.confirmed`

    error[manifest-unknown-service]: `b` is an external system; this needs a service of this manifest
      --> isles.toml:16:11
       |
    16 | service = "b"
       |           ^^^ outside

    error[manifest-bad-value]: `x` is not a path of a URL
      --> isles.toml:17:8
       |
    17 | path = "x"
       |        ^^^
       |
       = help: start it with a slash: `"/x"`

    error[manifest-duplicate-entry]: `a` is subscribed to `t` twice
      --> isles.toml:23:9
       |
    19 | topic = "t"
       |         --- first here
    ...
    23 | topic = "t"
       |         ^^^ again
    "#
    );
}

#[test]
fn nothing_to_run_is_a_warning() {
    insta::assert_snapshot!(picture("name = \"x\"\n"), @r#"
    warning[manifest-no-services]: there is no service to run
     --> isles.toml:1:1
      |
    1 | name = "x"
      | ^
      |
      = help: add `[services.NAME]` with a `command`
    "#);
}

#[test]
fn colours_are_only_there_when_asked_for() {
    let faults = support::parse("nmae = \"x\"").unwrap_err();
    assert!(faults.render("isles.toml", "nmae = \"x\"", true, 80).contains("\u{1b}["));
    assert!(!faults.render("isles.toml", "nmae = \"x\"", false, 80).contains('\u{1b}'));
}

#[test]
fn entries_and_near_words() {
    insta::assert_snapshot!(
        picture(&service("stop = { signal = \"SIGTERM\" }\nbuild = [\"make\", 1]\nbefore_start = \"\"\nscale = [1]\n")),
        @r#"
    error[manifest-bad-value]: `signal` is "TERM", "INT", "QUIT", "HUP", "USR1", "USR2" or "KILL", not `SIGTERM`
     --> isles.toml:4:19
      |
    4 | stop = { signal = "SIGTERM" }
      |                   ^^^^^^^^^
      |
      = help: did you mean `"TERM"`?

    error[manifest-wrong-type]: each entry of `build` must be text
     --> isles.toml:5:18
      |
    5 | build = ["make", 1]
      |                  ^ this is a whole number
      |
      = help: write it as text: `"1"`

    error[manifest-bad-command]: `before_start` has no program
     --> isles.toml:6:16
      |
    6 | before_start = ""
      |                ^^
      |
      = help: write the program and its arguments

    error[manifest-wrong-type]: `scale` takes a whole number, or a table
     --> isles.toml:7:9
      |
    7 | scale = [1]
      |         ^^^ this is an array
    "#
    );
}

#[test]
fn one_fault_does_not_hide_another() {
    let text = system(
        "[gateway]\n[[gateway.routes]]\npath = 1\nservice = \"x\"\ntimeout = 1\nstrip = 1\nrate_limit = 1\n\
         [services.A]\ncommand = [1, \"${x}\"]\ncalls = [{ service = \"x\", listen = \"1\" }]\nhealth = { path = 1, interval = 1 }\n",
    );
    let found: Vec<usize> = support::parse(&text).unwrap_err().0.iter().map(|fault| fault.line).collect();
    // The route's five lines, the name of the service, two words, two parts of the call, two of the health.
    assert_eq!(found, [11, 12, 13, 14, 15, 16, 17, 17, 18, 18, 19, 19]);
}

#[test]
fn where_sagas_are_kept() {
    insta::assert_snapshot!(picture("name = \"x\"\n[sagas]\nstore = \"mysql://db/sagas\"\n"), @r#"
    warning[manifest-no-services]: there is no service to run
     --> isles.toml:1:1
      |
    1 | name = "x"
      | ^
      |
      = help: add `[services.NAME]` with a `command`

    error[manifest-bad-value]: sagas are kept in PostgreSQL or, without `store`, in SQLite
     --> isles.toml:3:9
      |
    3 | store = "mysql://db/sagas"
      |         ^^^^^^^^^^^^^^^^^^
      |
      = help: a URL such as `postgres://user@host/database`; the password may be a `${secret.NAME}`
    "#);
    insta::assert_snapshot!(picture("name = \"x\"\n[sagas]\nstore = \"postgres://${secret.USER}@${calls.db.host}/${data}\"\n"), @r#"
    warning[manifest-no-services]: there is no service to run
     --> isles.toml:1:1
      |
    1 | name = "x"
      | ^
      |
      = help: add `[services.NAME]` with a `command`

    error[manifest-unset-secret]: there is no secret `USER`
     --> isles.toml:3:21
      |
    3 | store = "postgres://${secret.USER}@${calls.db.host}/${data}"
      |                     ^^^^^^^^^^^^^^
      |
      = help: put it in the file `.isles/secrets/USER` beside the manifest, or in the variable `ISLES_SECRET_USER`

    error[manifest-bad-template]: `${calls.db.host}` is a service's own
     --> isles.toml:3:36
      |
    3 | store = "postgres://${secret.USER}@${calls.db.host}/${data}"
      |                                    ^^^^^^^^^^^^^^^^
      |
      = help: here there are `${env.NAME}` and `${secret.NAME}`

    error[manifest-bad-template]: `${data}` is a service's own
     --> isles.toml:3:53
      |
    3 | store = "postgres://${secret.USER}@${calls.db.host}/${data}"
      |                                                     ^^^^^^^
      |
      = help: here there are `${env.NAME}` and `${secret.NAME}`
    "#);
    insta::assert_snapshot!(picture("name = \"x\"\n[sagas]\nstore = \"${env.NOBODY_SETS_THIS}\"\n"), @r#"
    warning[manifest-no-services]: there is no service to run
     --> isles.toml:1:1
      |
    1 | name = "x"
      | ^
      |
      = help: add `[services.NAME]` with a `command`

    error[manifest-unset-variable]: the variable `NOBODY_SETS_THIS` is not set
     --> isles.toml:3:10
      |
    3 | store = "${env.NOBODY_SETS_THIS}"
      |          ^^^^^^^^^^^^^^^^^^^^^^^ not set where Isles was started
      |
      = help: set it, or give a default: `${env.NOBODY_SETS_THIS:-default}`
    "#);
}

#[test]
fn where_alerts_are_sent() {
    insta::assert_snapshot!(
        picture("name = \"x\"\n[alerts]\nwebhook = \"mailto:ops@example.org\"\navailability = 100.0\n"),
        @r#"
        warning[manifest-no-services]: there is no service to run
         --> isles.toml:1:1
          |
        1 | name = "x"
          | ^
          |
          = help: add `[services.NAME]` with a `command`

        error[manifest-bad-value]: alerts are sent by HTTP
         --> isles.toml:3:11
          |
        3 | webhook = "mailto:ops@example.org"
          |           ^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: a URL such as `https://hooks.example/${secret.HOOK}`

        error[manifest-out-of-range]: `availability` is from 50 to 99.999
         --> isles.toml:4:16
          |
        4 | availability = 100.0
          |                ^^^^^ outside
        "#
    );
}
