//! How a service is probed, scaled, deployed, bounded and stopped.

use std::time::Duration;

use model::{
    Deploy, DeployStrategy, Health, HealthCheck, Limits, Pace, Protocol, Scale, Sticky, StopPolicy,
    StopSignal,
};

use crate::code;
use crate::keys::{DEPLOY, HEALTH, Kind, LIMITS, STOP};
use crate::section::Section;
use crate::value::Value;

pub(crate) fn health(service: &Section<'_>, protocol: Protocol) -> Health {
    let usual = match protocol {
        Protocol::Http => HealthCheck::Http { path: "/health".to_owned() },
        Protocol::Grpc => HealthCheck::Grpc,
        Protocol::Tcp => HealthCheck::Tcp,
    };
    let defaults = Section::empty(service.sink, &HEALTH);
    let Some(value) = service.get("health") else { return probe(&defaults, usual) };
    if value.is_table() {
        let value = value.alternative(|k| matches!(k, Kind::Table(_)));
        let at = service.key_span("health").unwrap_or_else(|| value.span());
        let Some(table) = value.section(at) else { return probe(&defaults, usual) };
        let path = table.get("path").and_then(|v| v.url_path());
        let health = probe(&table, path.map_or(usual, |path| HealthCheck::Http { path: path.to_owned() }));
        table.done();
        return health;
    }
    probe(&defaults, short_health(value).unwrap_or(usual))
}

fn short_health(value: Value<'_>) -> Option<HealthCheck> {
    let Some(text) = value.as_text() else {
        value.wrong_type();
        return None;
    };
    if text.starts_with('/') {
        let path = value.alternative(|k| matches!(k, Kind::UrlPath)).url_path()?;
        return Some(HealthCheck::Http { path: path.to_owned() });
    }
    match value.alternative(|k| matches!(k, Kind::Choice(_))).choice()? {
        "tcp" => Some(HealthCheck::Tcp),
        "grpc" => Some(HealthCheck::Grpc),
        _ => Some(HealthCheck::None),
    }
}

fn probe(table: &Section<'_>, check: HealthCheck) -> Health {
    Health {
        check,
        interval: table.duration("interval"),
        timeout: table.duration("timeout"),
        failures: table.integer("failures"),
    }
}

pub(crate) fn scale(service: &Section<'_>) -> Scale {
    let usual = Scale::fixed(service.fallback("scale").parse().unwrap_or(1));
    let Some(value) = service.get("scale") else { return usual };
    if value.is_integer() {
        let number = value.alternative(|k| matches!(k, Kind::Integer(..))).integer();
        return number.map_or(usual, Scale::fixed);
    }
    if !value.is_table() {
        value.wrong_type();
        return usual;
    }
    let value = value.alternative(|k| matches!(k, Kind::Table(_)));
    let Some(table) = value.section(value.span()) else { return usual };
    let min = table.integer("min");
    let written = table.get("max").and_then(|v| Some((v.integer()?, v)));
    let concurrency = table.get("concurrency").and_then(|v| v.integer());
    let max = match written {
        Some((max, value)) if max < min => {
            let message = format!("`max` is {max}, less than `min`, which is {min}");
            let at = table.key_span("min").unwrap_or_else(|| table.at());
            value.sink.push(value.fault(code::OUT_OF_RANGE, message).related(at, format!("`min` is {min}")));
            min
        }
        Some((max, _)) => max,
        None => min.max(1),
    };
    let pace = Pace {
        window: table.duration("window"),
        down_delay: table.duration("down_delay"),
        up_rate: table.integer("up_rate"),
        down_rate: table.integer("down_rate"),
    };
    for key in ["window", "down_delay", "up_rate", "down_rate"] {
        if let Some(span) = table.key_span(key).filter(|_| table.key_span("concurrency").is_none()) {
            let fault = crate::Fault::error(code::CONFLICT, span, format!("`{key}` is for autoscaling only"));
            table.sink.push(fault.hint("add `concurrency = …`, or leave the key out"));
        }
    }
    table.done();
    Scale { min, max, concurrency, pace }
}

/// How long a rolling deploy watches its first new replica when nobody says.
const ROLLING_HOLD: Duration = Duration::from_secs(5);

pub(crate) fn deploy(service: &Section<'_>) -> Deploy {
    let defaults = Section::empty(service.sink, &DEPLOY);
    let rolling = || deploy_of(&defaults, DeployStrategy::Rolling);
    let Some(value) = service.get("deploy") else { return rolling() };
    if value.is_table() {
        let value = value.alternative(|k| matches!(k, Kind::Table(_)));
        return value.section(value.span()).map_or_else(rolling, deploy_table);
    }
    if value.as_text().is_none() {
        value.wrong_type();
        return rolling();
    }
    match value.alternative(|k| matches!(k, Kind::Choice(_))).choice() {
        Some("canary") => deploy_of(&defaults, canary(&defaults)),
        _ => rolling(),
    }
}

fn deploy_table(table: Section<'_>) -> Deploy {
    let canary = canary(&table);
    let strategy = match table.choice("strategy") {
        "canary" => canary,
        _ => DeployStrategy::Rolling,
    };
    if let (DeployStrategy::Rolling, Some(span)) = (&strategy, table.key_span("steps")) {
        let fault =
            crate::Fault::error(code::CONFLICT, span, "`steps` is for canary deploys only".to_owned());
        table.sink.push(fault.hint("add `strategy = \"canary\"`, or leave the key out"));
    }
    let deploy = deploy_of(&table, strategy);
    table.done();
    deploy
}

fn deploy_of(table: &Section<'_>, strategy: DeployStrategy) -> Deploy {
    let usual = table.duration("hold");
    let hold = match (&strategy, table.key_span("hold")) {
        (DeployStrategy::Rolling, None) => ROLLING_HOLD,
        _ => usual,
    };
    let sticky = table.get("sticky").and_then(sticky);
    Deploy {
        strategy,
        hold,
        success: table.number("success"),
        ready: table.duration("ready"),
        used_within: table.duration("used_within"),
        sticky,
    }
}

fn sticky(value: Value<'_>) -> Option<Sticky> {
    let table = value.section(value.span())?;
    let named = |key: &'static str| {
        let value = table.get(key)?;
        let name = value.as_text()?.to_owned();
        let is_token = !name.is_empty() && name.bytes().all(is_tchar);
        if !is_token {
            let message = format!("`{name}` is no name of a {key}");
            value.bad(message, Some("letters, digits and - _ . are allowed".to_owned()));
        }
        is_token.then_some(name)
    };
    let (header, cookie) = (named("header"), named("cookie"));
    match (table.key_span("header"), table.key_span("cookie")) {
        (Some(header), Some(cookie)) => {
            let fault = crate::Fault::error(
                code::CONFLICT,
                cookie,
                "a user is told by a header or by a cookie".to_owned(),
            );
            table.sink.push(fault.related(header, "this is the other").hint("leave one of them out"));
        }
        (None, None) => value.bad(
            "it has to say what tells users apart".to_owned(),
            Some("write `sticky = { cookie = \"session\" }`".to_owned()),
        ),
        _ => {}
    }
    table.done();
    header.map(Sticky::Header).or(cookie.map(Sticky::Cookie))
}

/// A character of a token (RFC 9110, section 5.6.2), which names of header fields and of cookies are.
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn canary(table: &Section<'_>) -> DeployStrategy {
    let steps = match table.get("steps") {
        Some(value) => steps(value),
        None => {
            let listed = table.fallback("steps").trim_matches(['[', ']']);
            listed.split(',').filter_map(|step| step.trim().parse().ok()).collect()
        }
    };
    DeployStrategy::Canary { steps }
}

fn steps(value: Value<'_>) -> Vec<f64> {
    let items = value.items();
    if items.is_empty() && value.is_array() {
        value.bad(
            "a canary needs at least one step".to_owned(),
            Some("write `steps = [1, 10, 50]`".to_owned()),
        );
    }
    let mut steps: Vec<f64> = Vec::new();
    for item in items {
        let Some(step) = item.number() else { continue };
        if let Some(last) = steps.last().filter(|last| **last >= step) {
            let message = format!("steps ascend, and {step} comes after {last}");
            item.sink.push(item.fault(code::OUT_OF_RANGE, message));
        }
        steps.push(step);
    }
    steps
}

pub(crate) fn limits(service: &Section<'_>) -> Limits {
    let table = service.section("limits").unwrap_or_else(|| Section::empty(service.sink, &LIMITS));
    let limits = Limits {
        timeout: table.duration("timeout"),
        retries: table.integer("retries"),
        in_flight: table.integer("in_flight"),
        memory: table.get("memory").and_then(|v| v.size()),
        // Within the bounds of its key, so that it fits.
        cpu: table.get("cpu").and_then(|v| v.number()).map(|processors| (processors * 1000.0).round() as u32),
    };
    table.done();
    limits
}

pub(crate) fn stop(service: &Section<'_>) -> StopPolicy {
    let table = service.section("stop").unwrap_or_else(|| Section::empty(service.sink, &STOP));
    let signal = match table.choice("signal") {
        "INT" => StopSignal::Int,
        "QUIT" => StopSignal::Quit,
        "HUP" => StopSignal::Hup,
        "USR1" => StopSignal::Usr1,
        "USR2" => StopSignal::Usr2,
        "KILL" => StopSignal::Kill,
        _ => StopSignal::Term,
    };
    let grace: Duration = table.duration("grace");
    table.done();
    StopPolicy { signal, grace }
}
