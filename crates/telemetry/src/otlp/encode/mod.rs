//! Exports of OTLP for another back end, as protobuf.

mod logs;
mod metrics;
mod spans;

use model::span::Value;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

pub use logs::{SentLog, export_logs, severity};
pub use metrics::export_metrics;
pub use spans::export_spans;

/// Whose something is: the service, and the replica where it is of one.
type Owner = (String, Option<String>);

fn resource(app: &str, (service, replica): Owner) -> Option<Resource> {
    let name = [("service.name", service), ("service.namespace", app.to_owned())];
    let instance = replica.map(|replica| ("service.instance.id", replica));
    let attributes = name.into_iter().chain(instance).map(|(key, text)| pair(key, &Value::Text(text)));
    Some(Resource { attributes: attributes.collect(), ..Resource::default() })
}

/// Who says so.
fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope { name: "isles".to_owned(), ..InstrumentationScope::default() })
}

fn pair(key: &str, value: &Value) -> KeyValue {
    let any = match value {
        Value::Int(number) => Any::IntValue(*number),
        Value::Text(text) => Any::StringValue(text.clone()),
        Value::Bool(yes) => Any::BoolValue(*yes),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(any) }), ..KeyValue::default() }
}
