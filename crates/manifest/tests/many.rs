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
    insta::assert_snapshot!(support::picture(FAULTY), @"");
}

#[test]
fn faults_can_be_read_by_programs() {
    let faults = support::parse(FAULTY).unwrap_err();
    let mut faults = faults;
    for fault in &mut faults.0 {
        fault.file = "isles.toml".into();
    }
    insta::assert_json_snapshot!(faults.0[1], @"");
}
