//! Text with `${…}` in it, parsed once when the manifest is read and filled in for each replica.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::ServiceName;

/// A value such as `sqlite://${data}/x.db`. An environment value of a secret is a template too, so the
/// secret itself is never part of the desired state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Template(pub Vec<Segment>);

/// A piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Segment {
    /// Text as it stands.
    Literal(String),
    /// Something to fill in.
    Variable(Variable),
}

/// What may stand between `${` and `}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variable {
    /// `${data}`: the service's own data folder, absolute.
    Data,
    /// `${port}`: the port this replica is to listen on.
    Port,
    /// `${host}`: the address this replica is to listen on.
    Host,
    /// `${env.NAME}` or `${env.NAME:-default}`: a variable of the environment that Isles was started in.
    Env {
        /// Its name.
        name: String,
        /// What to use where it is unset or empty, as in a POSIX shell's `${NAME:-default}`.
        default: Option<String>,
    },
    /// `${secret.NAME}`: a file `NAME` in `.isles/secrets/`, or else the variable `ISLES_SECRET_NAME`.
    Secret {
        /// Its name.
        name: String,
    },
    /// `${calls.CALLEE.url|host|port|addr}`: this service's own edge to a callee.
    Call {
        /// One of the service's `calls`.
        callee: ServiceName,
        /// Which part of its address.
        part: CallPart,
    },
}

/// A part of the address of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallPart {
    /// `http://host:port` (`tcp://host:port` for a TCP service).
    Url,
    /// The host alone.
    Host,
    /// The port alone.
    Port,
    /// `host:port`.
    Addr,
}

/// As it is written in a manifest.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.0 {
            match segment {
                Segment::Literal(text) => f.write_str(&text.replace("${", "$${"))?,
                Segment::Variable(variable) => write!(f, "${{{variable}}}")?,
            }
        }
        Ok(())
    }
}

/// What stands between `${` and `}`.
impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data => f.write_str("data"),
            Self::Port => f.write_str("port"),
            Self::Host => f.write_str("host"),
            Self::Env { name, default: None } => write!(f, "env.{name}"),
            Self::Env { name, default: Some(default) } => write!(f, "env.{name}:-{default}"),
            Self::Secret { name } => write!(f, "secret.{name}"),
            Self::Call { callee, part } => {
                let part = match part {
                    CallPart::Url => "url",
                    CallPart::Host => "host",
                    CallPart::Port => "port",
                    CallPart::Addr => "addr",
                };
                write!(f, "calls.{callee}.{part}")
            }
        }
    }
}

impl Template {
    /// A template without variables.
    pub fn literal(text: impl Into<String>) -> Self {
        Self(vec![Segment::Literal(text.into())])
    }

    /// Fills in every variable with what `resolve` gives; the first failure is returned.
    pub fn fill<E>(&self, mut resolve: impl FnMut(&Variable) -> Result<String, E>) -> Result<String, E> {
        let mut out = String::new();
        for segment in &self.0 {
            match segment {
                Segment::Literal(text) => out.push_str(text),
                Segment::Variable(variable) => out.push_str(&resolve(variable)?),
            }
        }
        Ok(out)
    }

    /// The variables in it, in order.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.0.iter().filter_map(|s| match s {
            Segment::Variable(v) => Some(v),
            Segment::Literal(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fill_keeps_order_and_reports_the_first_failure() {
        let template = Template(vec![
            Segment::Literal("http://".into()),
            Segment::Variable(Variable::Host),
            Segment::Literal(":".into()),
            Segment::Variable(Variable::Port),
        ]);
        let filled = template.fill(|v| match v {
            Variable::Host => Ok::<_, ()>("h".to_owned()),
            _ => Ok("1".to_owned()),
        });
        assert_eq!(filled, Ok("http://h:1".to_owned()));
        assert_eq!(template.fill(|v| Err::<String, _>(v.clone())), Err(Variable::Host));
        assert_eq!(template.variables().count(), 2);
    }
}
