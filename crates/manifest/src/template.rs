//! `${…}`: text to [`Template`], with every fault in it.

use std::collections::BTreeSet;
use std::ops::Range;

use model::template::CallPart;
use model::{Segment, ServiceName, Template, Variable};

use crate::code;
use crate::fault::{Fault, Sink};
use crate::suggest::did_you_mean;

const FORMS: [&str; 6] = ["data", "port", "host", "env.NAME", "secret.NAME", "calls.NAME.url"];

/// A variable, or a fault that still has no place.
type Read = Result<Variable, Box<Fault>>;

/// What a template is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// A value for one service.
    Service,
    /// A service's command line, which everybody on the machine can read.
    Command,
    /// Something that is not for one service.
    App,
}

/// What a template may speak of.
pub(crate) struct Scope<'a> {
    pub(crate) sink: &'a Sink<'a>,
    /// The names in the service's `calls`.
    pub(crate) calls: &'a BTreeSet<&'a str>,
    pub(crate) of: Of,
}

impl Scope<'_> {
    /// Reads `text`, which stands somewhere in `span`. Faulty variables are reported and left out.
    pub(crate) fn template(&self, text: &str, span: &Range<usize>) -> Template {
        let mut reading = Reading { segments: Vec::new(), literal: String::new() };
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            reading.literal.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("$${") {
                reading.literal.push_str("${");
                rest = after;
            } else if let Some(after) = rest.strip_prefix("${") {
                let Some(end) = after.find('}') else {
                    self.unterminated(rest, span);
                    rest = "";
                    break;
                };
                let whole = self.sink.narrow(span, &rest[..end + 3]);
                match self.variable(&after[..end]) {
                    Ok(variable) => reading.variable(variable),
                    Err(fault) => self.sink.push(Fault { span: whole, ..*fault }),
                }
                rest = &after[end + 1..];
            } else {
                reading.literal.push('$');
                rest = &rest[1..];
            }
        }
        reading.literal.push_str(rest);
        reading.finish()
    }

    fn unterminated(&self, rest: &str, span: &Range<usize>) {
        self.sink.push(
            Fault::error(code::BAD_TEMPLATE, self.sink.narrow(span, rest), "`${` has no `}` after it")
                .label("starts here")
                .hint("close it with `}`, or write `$${` for the text `${`"),
        );
    }

    /// What stands between `${` and `}`.
    fn variable(&self, inner: &str) -> Read {
        match inner.split_once('.') {
            Some(("calls", _)) | None if self.of == Of::App => {
                let message = format!("`${{{inner}}}` is a service's own");
                Err(fault(code::BAD_TEMPLATE, message)
                    .hint("here there are `${env.NAME}` and `${secret.NAME}`")
                    .into())
            }
            None => match inner {
                "data" => Ok(Variable::Data),
                "port" => Ok(Variable::Port),
                "host" => Ok(Variable::Host),
                _ => Err(self.unknown(inner)),
            },
            Some(("env", rest)) => self.env(rest),
            Some(("secret", name)) => self.secret(name),
            Some(("calls", rest)) => self.call(rest),
            Some(_) => Err(self.unknown(inner)),
        }
    }

    fn env(&self, rest: &str) -> Read {
        let (name, default) = match rest.split_once(":-") {
            Some((name, default)) => (name, Some(default.to_owned())),
            None => (rest, None),
        };
        let good = !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !good {
            let message = format!("`{name}` is not the name of a variable");
            return Err(fault(code::BAD_TEMPLATE, message)
                .hint("letters, digits and `_`: `${env.NAME}` or `${env.NAME:-default}`")
                .into());
        }
        if default.is_none() && (self.sink.context.env)(name).is_none() {
            return Err(fault(code::UNSET_VARIABLE, format!("the variable `{name}` is not set"))
                .label("not set where Isles was started")
                .hint(format!("set it, or give a default: `${{env.{name}:-default}}`"))
                .into());
        }
        Ok(Variable::Env { name: name.to_owned(), default })
    }

    fn secret(&self, name: &str) -> Read {
        // The name becomes the name of a file.
        let good =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !good {
            let message = format!("`{name}` is not the name of a secret");
            let hint = "letters, digits, `_` and `-`: `${secret.NAME}`";
            return Err(fault(code::BAD_TEMPLATE, message).hint(hint).into());
        }
        if self.of == Of::Command {
            let message =
                format!("the secret `{name}` would be in the list of processes, for everybody to read");
            let hint = format!(
                "put it into the service's `env` (`SOME_NAME = \"${{secret.{name}}}\"`) and let the program read it there"
            );
            return Err(fault(code::SECRET_IN_COMMAND, message).hint(hint).into());
        }
        if (self.sink.context.secrets)(name).is_none() {
            return Err(fault(code::UNSET_SECRET, format!("there is no secret `{name}`")).hint(format!(
                "put it in the file `.isles/secrets/{name}` beside the manifest, or in the variable `ISLES_SECRET_{name}`"
            )).into());
        }
        Ok(Variable::Secret { name: name.to_owned() })
    }

    fn call(&self, rest: &str) -> Read {
        let (name, part) = rest.split_once('.').unwrap_or((rest, ""));
        let part = match part {
            "url" => CallPart::Url,
            "host" => CallPart::Host,
            "port" => CallPart::Port,
            "addr" => CallPart::Addr,
            _ => {
                return Err(fault(code::UNKNOWN_VARIABLE, format!("`{part}` is not a part of an address"))
                    .hint(format!(
                        "write `${{calls.{name}.url}}`, or `host`, `port` or `addr` (`host:port`) in place of `url`"
                    )).into());
            }
        };
        match ServiceName::new(name) {
            Ok(callee) if self.calls.contains(name) => Ok(Variable::Call { callee, part }),
            _ => {
                let hint = match did_you_mean(name, self.calls.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("add `\"{name}\"` to the service's `calls`"),
                };
                let message = format!("`{name}` is not in this service's `calls`");
                Err(fault(code::CALL_NOT_DECLARED, message).hint(hint).into())
            }
        }
    }

    fn unknown(&self, inner: &str) -> Box<Fault> {
        let fault = fault(code::UNKNOWN_VARIABLE, format!("Isles knows no `${{{inner}}}`"));
        if let Some(meant) = did_you_mean(inner, ["data", "port", "host"]) {
            return fault.hint(format!("did you mean `${{{meant}}}`?")).into();
        }
        let shell = !inner.is_empty()
            && inner.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        let hint = if shell {
            format!("a variable of the environment is `${{env.{inner}}}`")
        } else {
            format!("it knows {}", FORMS.map(|form| format!("`${{{form}}}`")).join(", "))
        };
        fault.hint(format!("{hint}; for the text itself write `$${{`")).into()
    }
}

fn fault(code: &'static str, message: String) -> Fault {
    Fault::error(code, 0..0, message)
}

struct Reading {
    segments: Vec<Segment>,
    literal: String,
}

impl Reading {
    fn variable(&mut self, variable: Variable) {
        self.flush();
        self.segments.push(Segment::Variable(variable));
    }

    fn flush(&mut self) {
        if !self.literal.is_empty() {
            self.segments.push(Segment::Literal(std::mem::take(&mut self.literal)));
        }
    }

    fn finish(mut self) -> Template {
        self.flush();
        Template(self.segments)
    }
}
