//! From a contract to what real requests and answers can be held to.

mod schema;

use std::collections::{BTreeMap, BTreeSet};

use model::shapes::{BodyShape, Content, ParameterPlace, ParameterShape, Shape, Shapes};

use crate::openapi::{Api, Body, Media, MediaKey, Operation, Parameter, Role};
use crate::schema::SchemaId;
use schema::Side;

/// The shapes of all operations that consumers can call.
pub fn of(api: &Api) -> Shapes {
    let mut writer = Writer { wanted: BTreeSet::new() };
    let calls = api.operations.iter().filter(|o| matches!(o.role, Role::Call));
    let operations: BTreeMap<String, Shape> = calls.map(|o| (o.key(), writer.operation(o))).collect();
    Shapes { schemas: schema::written(&api.graph, writer.wanted), operations }
}

struct Writer {
    /// The schemas that operations refer to.
    wanted: BTreeSet<(Side, SchemaId)>,
}

impl Writer {
    fn operation(&mut self, operation: &Operation) -> Shape {
        let responses = operation.responses.iter();
        Shape {
            parameters: operation.parameters.iter().filter_map(|p| self.parameter(p)).collect(),
            body: operation.body.as_ref().map(|body| self.body(body)),
            responses: responses
                .map(|(s, r)| (s.clone(), self.content(Side::Response, &r.content)))
                .collect(),
        }
    }

    fn body(&mut self, body: &Body) -> BodyShape {
        BodyShape { required: body.required, content: self.content(Side::Request, &body.content) }
    }

    fn content(&mut self, side: Side, content: &BTreeMap<MediaKey, Media>) -> Content {
        let mut found = Content::new();
        for (key, media) in content {
            let schema = media.schema.map(|schema| self.want(side, schema));
            // Two that differ in their parameters alone cannot be told apart: neither is held to a schema.
            let same = found.entry(key.essence().to_owned()).or_insert_with(|| schema.clone());
            if *same != schema {
                *same = None;
            }
        }
        found
    }

    fn parameter(&mut self, parameter: &Parameter) -> Option<ParameterShape> {
        let place = match &*parameter.location {
            "path" => ParameterPlace::Path,
            "query" => ParameterPlace::Query,
            "header" => ParameterPlace::Header,
            "cookie" => ParameterPlace::Cookie,
            _ => return None,
        };
        // The other styles write objects, or in a way that one value has no form of its own.
        let simple = parameter.content.is_none() && matches!(&*parameter.style, "simple" | "form");
        let schema = parameter.schema.filter(|_| simple);
        Some(ParameterShape {
            name: parameter.name.clone(),
            place,
            required: parameter.required,
            explode: parameter.explode,
            schema: schema.map(|schema| self.want(Side::Request, schema)),
        })
    }

    fn want(&mut self, side: Side, schema: SchemaId) -> String {
        self.wanted.insert((side, schema));
        side.key(schema)
    }
}
