//! One manifest with many faults: all of them in one go.

mod support;

const FAULTY: &str = r#"nmae = "shop"
[gateway]
listen = "localhost:8080"
[[gateway.routes]]
path = "api"
service = "ordrs"
[services.orders]
command = "orders 'x"
calls = ["orders", "inventry"]
scale = { min = 4, max = 2 }
limits = { timeout = 5, retries = 99 }
[services.orders.env]
PORT = "80"
URL = "${calls.pay.url}${env.NOPE}${what}"
[services.Inven_tory]
replicas = 2
"#;

#[test]
fn everything_is_reported_at_once() {
    insta::assert_snapshot!(support::picture(FAULTY), @r#"
    error[manifest-unknown-key]: the manifest has no key `nmae`
     --> isles.toml:1:1
      |
    1 | nmae = "shop"
      | ^^^^ unknown
      |
      = help: did you mean `name`?

    error[manifest-bad-value]: `localhost:8080` is not an IP address and a port
     --> isles.toml:3:10
      |
    3 | listen = "localhost:8080"
      |          ^^^^^^^^^^^^^^^^
      |
      = help: write `"127.0.0.1:8080"` for this machine only, `"0.0.0.0:8080"` for all

    error[manifest-bad-value]: `api` is not a path of a URL
     --> isles.toml:5:8
      |
    5 | path = "api"
      |        ^^^^^
      |
      = help: start it with a slash: `"/api"`

    error[manifest-unknown-service]: there is no service `ordrs`
     --> isles.toml:6:11
      |
    6 | service = "ordrs"
      |           ^^^^^^^ unknown
      |
      = help: did you mean `orders`?

    error[manifest-bad-command]: `command` has a quote without its other half, or ends in `\`
     --> isles.toml:8:11
      |
    8 | command = "orders 'x"
      |           ^^^^^^^^^^^
      |
      = help: or write the words as an array, where nothing needs to be quoted: `["program", "argument"]`

    error[manifest-self-call]: `orders` calls itself
     --> isles.toml:9:10
      |
    9 | calls = ["orders", "inventry"]
      |          ^^^^^^^^
      |
      = help: leave it out: what a service asks of itself needs no edge

    error[manifest-unknown-service]: there is no service or external system `inventry`
     --> isles.toml:9:20
      |
    9 | calls = ["orders", "inventry"]
      |                    ^^^^^^^^^^ unknown
      |
      = help: did you mean `Inven_tory`?

    error[manifest-out-of-range]: `max` is 2, less than `min`, which is 4
      --> isles.toml:10:26
       |
    10 | scale = { min = 4, max = 2 }
       |           --- `min` is 4 ^

    error[manifest-wrong-type]: `timeout` takes a duration such as "10s"
      --> isles.toml:11:22
       |
    11 | limits = { timeout = 5, retries = 99 }
       |                      ^ this is a whole number
       |
       = help: write the unit too: `"5s"`

    error[manifest-out-of-range]: `retries` is from 0 to 10
      --> isles.toml:11:35
       |
    11 | limits = { timeout = 5, retries = 99 }
       |                                   ^^ outside

    error[manifest-reserved-env]: `PORT` is set by Isles
      --> isles.toml:13:1
       |
    13 | PORT = "80"
       | ^^^^
       |
       = help: the service has to listen where Isles tells it; for another name write `MY_PORT = "${port}"`

    error[manifest-call-not-declared]: `pay` is not in this service's `calls`
      --> isles.toml:14:8
       |
    14 | URL = "${calls.pay.url}${env.NOPE}${what}"
       |        ^^^^^^^^^^^^^^^^
       |
       = help: add `"pay"` to the service's `calls`

    error[manifest-unset-variable]: the variable `NOPE` is not set
      --> isles.toml:14:24
       |
    14 | URL = "${calls.pay.url}${env.NOPE}${what}"
       |                        ^^^^^^^^^^^ not set where Isles was started
       |
       = help: set it, or give a default: `${env.NOPE:-default}`

    error[manifest-unknown-variable]: Isles knows no `${what}`
      --> isles.toml:14:35
       |
    14 | URL = "${calls.pay.url}${env.NOPE}${what}"
       |                                   ^^^^^^^
       |
       = help: it knows `${data}`, `${port}`, `${host}`, `${env.NAME}`, `${secret.NAME}`, `${calls.NAME.url}`; for the text itself write `$${`

    error[manifest-bad-name]: `Inven_tory` cannot be a name: a name is lower-case letters, digits and inner `-`, starting with a letter; `I` is not allowed there
      --> isles.toml:15:11
       |
    15 | [services.Inven_tory]
       |           ^^^^^^^^^^
       |
       = help: `inven-tory` would do

    error[manifest-missing-key]: `services.Inven_tory` needs `command`
      --> isles.toml:15:11
       |
    15 | [services.Inven_tory]
       |           ^^^^^^^^^^ `command` is missing
       |
       = help: add `command = …`, which takes a command, as text or as an array of words

    error[manifest-unknown-key]: `services.Inven_tory` has no key `replicas`
      --> isles.toml:16:1
       |
    16 | replicas = 2
       | ^^^^^^^^ unknown
       |
       = help: did you mean `scale`?
    "#);
}

#[test]
fn faults_can_be_read_by_programs() {
    let faults = support::parse(FAULTY).unwrap_err();
    let mut faults = faults;
    for fault in &mut faults.0 {
        fault.file = "isles.toml".into();
    }
    insta::assert_json_snapshot!(faults.0[1], @r#"
    {
      "code": "manifest-bad-value",
      "severity": "error",
      "message": "`localhost:8080` is not an IP address and a port",
      "file": "isles.toml",
      "span": {
        "start": 33,
        "end": 49
      },
      "line": 3,
      "column": 10,
      "label": "",
      "hint": "write `\"127.0.0.1:8080\"` for this machine only, `\"0.0.0.0:8080\"` for all",
      "related": []
    }
    "#);
}
