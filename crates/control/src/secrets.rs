//! Which values a service knows that nobody is to read in what it writes.

use std::collections::BTreeSet;

use model::secret::{in_url, is_variable};
use model::{ServiceSpec, Template, Variable};

use crate::environment::from_outside;
use crate::paths::Paths;

/// Characters from which on the value of a variable is taken for a secret because of the variable's name. A shorter one is
/// likely to be a switch or a number, and would be found everywhere.
const GUESSED: usize = 8;

/// The secrets that its entry in the manifest names, passwords in URLs, and the values of variables that are called like one.
pub(crate) fn of(service: &ServiceSpec, paths: &Paths) -> BTreeSet<String> {
    let commands = [Some(&service.command), service.before_start.as_ref()].into_iter().flatten();
    let words = commands.flat_map(|command| &command.0);
    let mut found = BTreeSet::new();
    for template in words.chain(service.env.values()) {
        let named = template.variables().filter(|variable| match variable {
            Variable::Secret { .. } => true,
            Variable::Env { name, .. } => is_variable(name),
            _ => false,
        });
        // What has no value is no secret; whoever needs it says so.
        found.extend(named.filter_map(|variable| from_outside(variable, paths).ok()));
        found.extend(filled(template, paths).as_deref().and_then(in_url).map(str::to_owned));
    }
    let called_so = service.env.iter().filter(|(name, _)| is_variable(name));
    let values = called_so.filter_map(|(_, template)| filled(template, paths));
    found.extend(values.filter(|value| value.len() >= GUESSED));
    found
}

/// The value as far as it does not depend on the replica, which has no secrets of its own.
fn filled(template: &Template, paths: &Paths) -> Option<String> {
    let value = template.fill(|variable| match variable {
        Variable::Env { .. } | Variable::Secret { .. } => from_outside(variable, paths),
        Variable::Data | Variable::Port | Variable::Host | Variable::Call { .. } => Ok(String::new()),
    });
    value.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::service;
    use model::{Command, Segment};

    #[test]
    fn secrets_come_from_references_from_urls_and_from_names() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path());
        paths.create().unwrap();
        std::fs::write(paths.secrets().join("TOKEN"), "from-a-file\n").unwrap();
        std::fs::write(paths.secrets().join("PW"), "in-a-url").unwrap();
        let literal = |text: &str| Segment::Literal(text.to_owned());
        let secret = |name: &str| Segment::Variable(Variable::Secret { name: name.to_owned() });
        let default =
            Variable::Env { name: "NO_SUCH_PASSWORD".to_owned(), default: Some("by default".to_owned()) };
        let mut orders = service("orders", &[]);
        orders.command =
            Command(vec![Template::literal("./run"), Template(vec![literal("--token="), secret("TOKEN")])]);
        orders.env = [
            ("DATABASE", Template(vec![literal("postgres://shop:"), secret("PW"), literal("@db/x")])),
            ("OTHER", Template::literal("amqp://u:literal-pw@mq")),
            ("STRIPE_KEY", Template::literal("sk_live_123")),
            ("API_TOKEN", Template::literal("short")),
            ("ADMIN", Template(vec![Segment::Variable(default)])),
            ("GONE", Template(vec![secret("NOT_THERE")])),
            ("MODE", Template::literal("production")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let found = of(&orders, &paths);
        let expected = ["by default", "from-a-file", "in-a-url", "literal-pw", "sk_live_123"];
        assert_eq!(found, expected.map(str::to_owned).into());
    }
}
