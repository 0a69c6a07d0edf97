//! `docs/rules/README.md`, made from the tables of rules.

use std::fmt::Write;

use super::{Facet, Rule, Side, bound_facets, facet, proto, rule};

const HEAD: &str = "\
# Rules of `isles api diff`

<!-- Made from the rules themselves: UPDATE_SNAPSHOTS=1 cargo test -p contract --test rules -->

Each change that `isles api diff` reports names its rule. A *consumer* is whoever calls an operation or receives a webhook.
What it **sends** may not be refused where it was accepted before; what it **receives** may not be something that was not announced before.

| severity | meaning | exit code |
|---|---|---|
| breaking | a consumer that keeps to the old contract can stop working | 3 |
| unknown | the documents do not say enough to decide; refused like what is breaking | 3 |
| warning | consumers that keep to the contract can go on, some that rely on more than it promises may not | 0 |
| safe | every consumer that keeps to the old contract can go on | 0 |

";

const VALUES: &str = "
# Values

A rule about a value has the place of the value before its name: `request-body`, `request-property` (inside of a body),
`request-parameter`, `request-parameter-property`, `response-body`, `response-property`, `response-header`, `response-header-property`.
`request` is what consumers send, `response` what they receive: for webhooks and callbacks that is the other way round than on the wire.
What is never sent one way (`readOnly`, `writeOnly`) is safe to change there.

";

/// The page.
pub fn page() -> String {
    let mut out = String::from(HEAD);
    out.push_str("# Operations\n\n");
    rules(&mut out, rule::ALL);
    out.push_str(VALUES);
    for facets in bound_facets() {
        for facet in [&facets.set, &facets.unset, &facets.increased, &facets.decreased] {
            one(&mut out, facet);
        }
    }
    for facet in facet::ALL {
        one(&mut out, facet);
    }
    out.push_str("\n# Protobuf\n\n");
    rules(&mut out, proto::ALL);
    out
}

fn rules(out: &mut String, rules: &[&Rule]) {
    for rule in rules {
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "## {}\n**{}.** {} *How not to break anybody:* {}.\n\n",
            rule.id,
            rule.severity.name(),
            rule.why,
            rule.fix
        );
    }
}

fn one(out: &mut String, facet: &Facet) {
    let (sent, received) = (facet.severity(Side::Sent), facet.severity(Side::Received));
    let _ = write!(
        out,
        "## {}\n**Sent: {}. Received: {}.** Effect on what is valid: {}. {} *How not to break anybody:* {}.\n\n",
        facet.name,
        sent.name(),
        received.name(),
        facet.effect.describe(),
        facet.why,
        facet.fix
    );
}
