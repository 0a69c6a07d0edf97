//! What a replica finds in its environment and on its command line.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use model::template::CallPart;
use model::{
    Command, DesiredState, Protocol, ReleaseId, ReplicaId, ServiceName, ServiceSpec, Template, Variable,
};

use crate::inner::{SAGAS, TELEMETRY};
use crate::paths::Paths;
use crate::store::EdgeKey;

/// A `${…}` that has no value now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unset {
    /// The environment of Isles has no such variable.
    #[error(
        "`${{env.{0}}}` is not set: set {0} where isles is started, or give it a default: `${{env.{0}:-…}}`"
    )]
    Env(String),
    /// There is no such secret.
    #[error("`${{secret.{0}}}` is not set: put it into .isles/secrets/{0}, or set ISLES_SECRET_{0}")]
    Secret(String),
    /// Only a service has such a value.
    #[error("this is not a value of one service: here there are `${{env.NAME}}` and `${{secret.NAME}}`")]
    OfService,
    /// The edge has no address (yet).
    #[error("there is no edge to `{0}`: add it to `calls`")]
    Call(ServiceName),
}

/// All that the values of one replica are made from.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// The whole system.
    pub desired: &'a DesiredState,
    /// The service.
    pub service: &'a ServiceSpec,
    /// Where the app keeps its state.
    pub paths: &'a Paths,
    /// The address of every edge.
    pub edges: &'a BTreeMap<EdgeKey, SocketAddr>,
    /// Which release it is.
    pub release: &'a ReleaseId,
    /// Which replica, and where it listens; `None` for a step that runs once for a release.
    pub replica: Option<(&'a ReplicaId, SocketAddr)>,
}

impl Setting<'_> {
    /// The variables that Isles sets, and the service's own, which win.
    pub fn environment(&self) -> Result<BTreeMap<String, String>, Unset> {
        let mut env = self.standard();
        if let Some(address) = self.edges.get(&(self.service.name.clone(), SAGAS.clone())) {
            env.insert("SAGAS_URL".to_owned(), format!("http://{address}"));
        }
        if let Some(address) = self.edges.get(&(self.service.name.clone(), TELEMETRY.clone())) {
            env.insert("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), format!("http://{address}"));
            env.insert("OTEL_EXPORTER_OTLP_PROTOCOL".to_owned(), "http/protobuf".to_owned());
        }
        for call in &self.service.calls {
            let key = format!("{}_URL", call.callee.env_stem());
            env.insert(key, self.call(&call.callee, CallPart::Url)?);
        }
        for (name, template) in &self.service.env {
            env.insert(name.clone(), self.fill(template)?);
        }
        Ok(env)
    }

    /// The command line with everything filled in; a program given as a path is taken from the service's folder.
    pub fn argv(&self, command: &Command) -> Result<Vec<String>, Unset> {
        let mut argv = command.0.iter().map(|word| self.fill(word)).collect::<Result<Vec<_>, _>>()?;
        if let Some(program) = argv.first_mut() {
            *program = program_path(&self.service.dir, program);
        }
        Ok(argv)
    }

    fn standard(&self) -> BTreeMap<String, String> {
        let app = self.desired.name.as_str();
        let service = self.service.name.as_str();
        let mut resource = format!("service.namespace={app},service.version={}", self.release);
        let mut env = BTreeMap::new();
        let mut set = |name: &str, value: String| env.insert(name.to_owned(), value);
        if let Some((replica, address)) = self.replica {
            set("PORT", address.port().to_string());
            set("HOST", address.ip().to_string());
            set("ISLES_REPLICA", replica.index.to_string());
            resource.push_str(&format!(",service.instance.id={replica}"));
        }
        set("ISLES_APP", app.to_owned());
        set("ISLES_SERVICE", service.to_owned());
        set("ISLES_RELEASE", self.release.to_string());
        set("ISLES_DATA", self.data().to_string_lossy().into_owned());
        set("OTEL_SERVICE_NAME", service.to_owned());
        set("OTEL_RESOURCE_ATTRIBUTES", resource);
        env
    }

    fn data(&self) -> PathBuf {
        self.paths.data(&self.service.name)
    }

    fn fill(&self, template: &Template) -> Result<String, Unset> {
        template.fill(|variable| match variable {
            Variable::Data => Ok(self.data().to_string_lossy().into_owned()),
            Variable::Port => Ok(self.replica.map_or_else(|| "0".to_owned(), |(_, a)| a.port().to_string())),
            Variable::Host => {
                Ok(self.replica.map_or_else(|| "127.0.0.1".to_owned(), |(_, a)| a.ip().to_string()))
            }
            Variable::Call { callee, part } => self.call(callee, *part),
            Variable::Env { .. } | Variable::Secret { .. } => from_outside(variable, self.paths),
        })
    }

    /// A part of the address of an edge.
    fn call(&self, callee: &ServiceName, part: CallPart) -> Result<String, Unset> {
        let key = (self.service.name.clone(), callee.clone());
        let address = self.edges.get(&key).ok_or_else(|| Unset::Call(callee.clone()))?;
        let protocol = self.desired.services.get(callee).map_or(Protocol::Http, |s| s.protocol);
        Ok(match part {
            CallPart::Url => format!("{}://{address}", protocol.scheme()),
            CallPart::Host => address.ip().to_string(),
            CallPart::Port => address.port().to_string(),
            CallPart::Addr => address.to_string(),
        })
    }
}

/// Fills in a value that is not for one service.
///
/// # Errors
/// A variable or a secret that is not set.
pub fn fill_for_app(template: &Template, paths: &Paths) -> Result<String, Unset> {
    template.fill(|variable| from_outside(variable, paths))
}

/// A variable of the environment of Isles, or a secret.
pub(crate) fn from_outside(variable: &Variable, paths: &Paths) -> Result<String, Unset> {
    match variable {
        Variable::Env { name, default } => {
            let value = std::env::var(name).ok().filter(|v| default.is_none() || !v.is_empty());
            value.or_else(|| default.clone()).ok_or_else(|| Unset::Env(name.clone()))
        }
        Variable::Secret { name } => secret(&paths.secrets(), name),
        Variable::Data | Variable::Port | Variable::Host | Variable::Call { .. } => Err(Unset::OfService),
    }
}

/// The value of a secret: a file in `folder`, or else an environment variable of Isles itself.
pub fn secret(folder: &Path, name: &str) -> Result<String, Unset> {
    // A name with a slash would reach outside the folder; the manifest's grammar has none, and a file has none.
    if !name.contains('/')
        && let Ok(text) = std::fs::read_to_string(folder.join(name))
    {
        return Ok(text.trim_end_matches('\n').to_owned());
    }
    std::env::var(format!("ISLES_SECRET_{name}")).map_err(|_| Unset::Secret(name.to_owned()))
}

/// A program with a slash in it is a path below `dir`; one without is looked up on the `PATH`.
pub fn program_path(dir: &Path, program: &str) -> String {
    if program.contains('/') { dir.join(program).to_string_lossy().into_owned() } else { program.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{desired, service};
    use model::Segment;

    fn setting_of(check: impl FnOnce(&Setting<'_>)) {
        let mut orders = service("orders", &["order-db", "payments"]);
        orders.dir = "/app/orders".into();
        let port = Template(vec![Segment::Literal("--port=".into()), Segment::Variable(Variable::Port)]);
        orders.command = Command(vec![Template::literal("./bin/orders"), port]);
        let url = Variable::Call { callee: "order-db".parse().unwrap(), part: CallPart::Addr };
        orders.env = [("DB".to_owned(), Template(vec![Segment::Variable(url)]))].into();
        let mut db = service("order-db", &[]);
        db.protocol = Protocol::Tcp;
        let desired = desired([orders, db, service("payments", &[])]);
        let paths = Paths::new(Path::new("/app"));
        let key = |callee: &str| ("orders".parse().unwrap(), callee.parse().unwrap());
        let edges = [
            (key("order-db"), "127.0.0.1:1001".parse().unwrap()),
            (key("payments"), "127.0.0.1:1002".parse().unwrap()),
            (key("isles-telemetry"), "127.0.0.1:1003".parse().unwrap()),
        ]
        .into();
        let replica = "orders-2".parse().unwrap();
        check(&Setting {
            desired: &desired,
            service: &desired.services["orders"],
            paths: &paths,
            edges: &edges,
            release: &ReleaseId("abc".into()),
            replica: Some((&replica, "127.0.0.1:4000".parse().unwrap())),
        });
    }

    #[test]
    fn a_replica_sees_what_the_product_description_promises() {
        setting_of(|setting| {
            let env = setting.environment().unwrap();
            let expect = [
                ("DB", "127.0.0.1:1001"),
                ("HOST", "127.0.0.1"),
                ("ISLES_APP", "app"),
                ("ISLES_DATA", "/app/.isles/data/orders"),
                ("ISLES_RELEASE", "abc"),
                ("ISLES_REPLICA", "2"),
                ("ISLES_SERVICE", "orders"),
                ("ORDER_DB_URL", "tcp://127.0.0.1:1001"),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1003"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
                (
                    "OTEL_RESOURCE_ATTRIBUTES",
                    "service.namespace=app,service.version=abc,service.instance.id=orders-2",
                ),
                ("OTEL_SERVICE_NAME", "orders"),
                ("PAYMENTS_URL", "http://127.0.0.1:1002"),
                ("PORT", "4000"),
            ];
            assert_eq!(env, expect.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
            assert!(!env.keys().any(|k| k.ends_with("_PORT")), "such names break applications");
            let argv = setting.argv(&setting.service.command).unwrap();
            assert_eq!(argv, ["/app/orders/./bin/orders", "--port=4000"]);
        });
    }

    #[test]
    fn an_undeclared_callee_has_no_address() {
        setting_of(|setting| {
            let url = Variable::Call { callee: "mail".parse().unwrap(), part: CallPart::Url };
            let template = Template(vec![Segment::Variable(url)]);
            assert_eq!(setting.fill(&template), Err(Unset::Call("mail".parse().unwrap())));
        });
    }

    #[test]
    fn secrets_come_from_their_file_and_never_from_outside_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("s")).unwrap();
        std::fs::write(folder.path().join("s/KEY"), "k3y\n").unwrap();
        std::fs::write(folder.path().join("outside"), "no").unwrap();
        assert_eq!(secret(&folder.path().join("s"), "KEY").unwrap(), "k3y");
        assert!(secret(&folder.path().join("s"), "../outside").is_err());
        assert!(secret(&folder.path().join("s"), "NONE").is_err());
    }
}
