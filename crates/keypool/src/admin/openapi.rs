//! The API's description, made of the table that requests go by.

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    described,
    route::{ROOT, ROUTES, Route, What},
    trial::Trial,
    words::{NewKey, NewSecret, Said, Why},
};

/// What of a query is a number.
const NUMBERS: [&str; 4] = ["keys", "offset", "limit", "recent"];

/// What the body of a request holds.
enum Holds {
    Nothing,
    /// An object by this schema, needed or not.
    Object(Value, bool),
    /// A key file.
    Lines,
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

fn body(what: What, generator: &mut SchemaGenerator) -> Holds {
    match what {
        What::Login => Holds::Object(
            json!({ "type": "object", "required": ["token"], "properties": { "token": { "type": "string" } } }),
            true,
        ),
        What::AddKey => Holds::Object(of::<NewKey>(generator), true),
        What::Set => Holds::Object(of::<Said>(generator), true),
        What::Replace => Holds::Object(of::<NewSecret>(generator), true),
        What::Disable => Holds::Object(of::<Why>(generator), false),
        What::Test => Holds::Object(of::<Trial>(generator), false),
        What::Import => Holds::Lines,
        _ => Holds::Nothing,
    }
}

/// In the form of `OpenAPI` 3.1.
pub(super) fn description() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
    });
    let mut generator = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for route in &ROUTES {
        let operation = operation(route, &mut generator);
        let path = paths.entry(format!("{ROOT}{}", route.path)).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation;
    }
    let mut schemas: Map<String, Value> = generator.take_definitions(true).into_iter().collect();
    let error = json!({
        "type": "object",
        "required": ["error"],
        "properties": { "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": { "code": { "type": "string" }, "message": { "type": "string" } },
        } },
    });
    schemas.insert("Error".to_owned(), error);
    schemas.extend(described::schemas());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "keypool admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A running gateway looked into and changed. Secrets go in and never come out. With a cookie \
                            each change needs an Origin that is the gateway's own.",
        },
        "paths": paths,
        "security": [{ "bearer": [] }, { "header": [] }, { "session": [] }],
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "header": { "type": "apiKey", "in": "header", "name": "x-keypool-admin" },
                "session": {
                    "type": "apiKey", "in": "cookie", "name": "keypool_session",
                    "description": "Followed by _PORT where the address names a port: keypool_session_5000.",
                },
            },
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = Vec::new();
    if route.path.contains("{id}") {
        parameters.push(json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } }));
    }
    let in_query = route.query.iter().map(|(name, about)| {
        let schema = if NUMBERS.contains(name) {
            json!({ "type": "integer", "minimum": 0 })
        } else {
            json!({ "type": "string" })
        };
        json!({ "name": name, "in": "query", "required": false, "description": about, "schema": schema })
    });
    parameters.extend(in_query);
    let error = json!({
        "description": "why not",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
    });
    let answer = described::answer(route.what).unwrap_or_else(|| json!({ "type": "object" }));
    let fine = match route.what {
        What::Events => json!({
            "description": "events, or a list of the last ones",
            "content": {
                "text/event-stream": { "schema": { "type": "string" } },
                "application/json": { "schema": answer },
            },
        }),
        _ => json!({
            "description": route.about,
            "content": { "application/json": { "schema": answer } },
        }),
    };
    let mut operation = json!({
        "summary": route.about,
        "operationId": format!("{:?}", route.what),
        "parameters": parameters,
        "responses": { "default": error },
    });
    for status in route.statuses {
        operation["responses"][status.to_string()] = fine.clone();
    }
    match body(route.what, generator) {
        Holds::Nothing => {}
        Holds::Object(schema, required) => {
            operation["requestBody"] =
                json!({ "required": required, "content": { "application/json": { "schema": schema } } });
        }
        Holds::Lines => {
            operation["requestBody"] =
                json!({ "required": true, "content": { "text/plain": { "schema": { "type": "string" } } } });
        }
    }
    if route.what == What::Login {
        operation["security"] = json!([]);
    }
    operation
}
