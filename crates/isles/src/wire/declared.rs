//! The manifest in force in the words of the dashboard.

use console::api::{Declared, DeclaredService};
use model::secret::{self, MASKED};
use model::{DesiredState, HealthCheck, Scale, ServiceSpec, Template};

/// All of it.
pub fn declared(file: String, desired: &DesiredState) -> Declared {
    let gateway = desired.gateway.as_ref().map(|gateway| {
        let routes =
            gateway.routes.iter().map(|route| (control::route_name(route), route.service.to_string()));
        (gateway.listen.to_string(), routes.collect())
    });
    Declared {
        file,
        gateway,
        services: desired.services.values().map(service).collect(),
        externals: desired.externals.values().map(|e| (e.name.to_string(), e.url.to_string())).collect(),
    }
}

fn service(spec: &ServiceSpec) -> DeclaredService {
    let words: Vec<String> = spec.command.0.iter().map(without_password).collect();
    let env = spec.env.iter().map(|(name, value)| {
        let plain = value.variables().next().is_none();
        let masked = plain && secret::is_variable(name);
        (name.clone(), if masked { MASKED.to_owned() } else { without_password(value) })
    });
    DeclaredService {
        name: spec.name.to_string(),
        command: words.join(" "),
        scale: scale(&spec.scale),
        health: match &spec.health.check {
            HealthCheck::Http { path } => format!("GET {path}"),
            HealthCheck::Tcp => "tcp".to_owned(),
            HealthCheck::Grpc => "grpc".to_owned(),
            HealthCheck::None => "none".to_owned(),
        },
        calls: spec.calls.iter().map(|call| call.callee.to_string()).collect(),
        in_flight: spec.limits.in_flight,
        memory: spec.limits.memory,
        contract: spec
            .contract
            .as_ref()
            .map(|path| path.strip_prefix(&spec.dir).unwrap_or(path).display().to_string()),
        env: env.collect(),
    }
}

/// The value as it is written in the manifest, but for a password that is written out in a URL.
fn without_password(value: &Template) -> String {
    let text = value.to_string();
    match secret::in_url(&text).filter(|password| !password.contains("${")) {
        Some(password) => text.replace(&format!(":{password}@"), &format!(":{MASKED}@")),
        None => text,
    }
}

fn scale(scale: &Scale) -> String {
    let range = if scale.min == scale.max {
        scale.min.to_string()
    } else {
        format!("{} to {}", scale.min, scale.max)
    };
    match scale.concurrency {
        Some(each) => format!("{range}, one for {each} requests at once"),
        None => range,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_declared_is_said_without_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("isles.toml");
        std::fs::write(
            &path,
            r#"
name = "shop"
[[gateway.routes]]
path = "/api"
methods = ["GET"]
service = "web"
[external.mail]
url = "https://mail.example"
[services.web]
command = "./web --port ${port} --from ${data}/x"
scale = { min = 1, max = 4, concurrency = 10 }
health = "/health"
calls = ["mail"]
limits = { memory = "64MB" }
env = { MODE = "fast", DB_PASSWORD = "hunter2", API_TOKEN = "${secret.TOKEN}", DB = "pg://me:hunter2@db/x", MQ = "mq://me:${secret.TOKEN}@mq", PRICE = "$${x}", HOME_URL = "${env.HOME:-/}" }
"#,
        )
        .unwrap();
        std::fs::create_dir_all(folder.path().join(".isles/secrets")).unwrap();
        std::fs::write(folder.path().join(".isles/secrets/TOKEN"), "t").unwrap();
        let desired = manifest::load(&path).unwrap().desired;
        let declared = declared("isles.toml".to_owned(), &desired);
        assert_eq!(declared.gateway.unwrap().1, [("GET /api".to_owned(), "web".to_owned())]);
        assert_eq!(declared.externals, [("mail".to_owned(), "https://mail.example".to_owned())]);
        let web = &declared.services[0];
        assert!(web.command.ends_with("/web --port ${port} --from ${data}/x"), "{}", web.command);
        assert_eq!(
            (web.scale.as_str(), web.health.as_str()),
            ("1 to 4, one for 10 requests at once", "GET /health")
        );
        assert_eq!((web.calls.as_slice(), web.memory), (&["mail".to_owned()][..], Some(64_000_000)));
        let env: Vec<String> = web.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            env,
            [
                "API_TOKEN=${secret.TOKEN}",
                "DB=pg://me:•••@db/x",
                "DB_PASSWORD=•••",
                "HOME_URL=${env.HOME:-/}",
                "MODE=fast",
                "MQ=mq://me:${secret.TOKEN}@mq",
                "PRICE=$${x}"
            ]
        );
    }
}
