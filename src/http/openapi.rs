//! The description of `/admin/v1` (OpenAPI 3.1), from one table.

use serde_json::{Map, Value, json};

struct Operation {
    path: &'static str,
    method: &'static str,
    summary: &'static str,
    /// The scope it needs; none for what is open.
    right: Option<&'static str>,
    /// The schema of its body.
    body: Option<Value>,
    parameters: Value,
    success: &'static str,
}

/// The document for the tenant with this issuer.
pub(super) fn document(issuer: &str) -> Value {
    let mut paths = Map::new();
    for operation in operations() {
        let entry = paths.entry(operation.path).or_insert_with(|| json!({}));
        entry[operation.method] = describe(&operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Taskpass administration", "version": env!("CARGO_PKG_VERSION") },
        "servers": [{ "url": format!("{issuer}/admin/v1") }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "oauth2",
                    "flows": { "clientCredentials": { "tokenUrl": format!("{issuer}/oauth/token"), "scopes": scopes() } },
                },
            },
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error", "error_description"],
                    "properties": {
                        "error": { "type": "string" },
                        "error_description": { "type": "string" },
                        "rule": { "type": "string", "description": "The rule that refused; docs/errors.md lists them." },
                    },
                },
            },
        },
    })
}

fn scopes() -> Value {
    let pairs = crate::domain::registry::Administrator::ALL
        .iter()
        .map(|right| (right.as_str().to_owned(), json!("")));
    Value::Object(pairs.collect())
}

fn describe(operation: &Operation) -> Value {
    let error = json!({ "description": "Refused.", "content": {
        "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } } });
    let object = json!({ "description": "Done.", "content": { "application/json": { "schema": { "type": "object" } } } });
    let mut responses = Map::from_iter([(operation.success.to_owned(), object)]);
    for status in ["400", "401", "403", "404", "413", "415", "429", "503"] {
        responses.insert(status.to_owned(), error.clone());
    }
    let security = operation.right.map_or(json!([]), |right| json!([{ "token": [right] }]));
    let mut described = json!({
        "summary": operation.summary, "responses": responses, "security": security, "parameters": operation.parameters,
    });
    if let Some(schema) = &operation.body {
        described["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    described
}

/// An object of strings; null counts as absent where the member is optional.
fn strings(required: &[&str], optional: &[&str]) -> Value {
    let required_ones = required.iter().map(|name| ((*name).to_owned(), json!({ "type": "string" })));
    let optional_ones =
        optional.iter().map(|name| ((*name).to_owned(), json!({ "type": ["string", "null"] })));
    let properties: Map<_, _> = required_ones.chain(optional_ones).collect();
    json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
}

fn scope_schema() -> Value {
    let kinds: Vec<_> = crate::domain::cutoff::ScopeKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let mut schema = strings(&["scope_kind", "scope_id"], &[]);
    schema["properties"]["scope_kind"]["enum"] = json!(kinds);
    schema["properties"]["reason"] = json!({ "type": "string", "maxLength": 500 });
    schema["properties"]["scope_id"] =
        json!({ "anyOf": [{ "type": "string" }, strings(&["issuer", "subject"], &[])] });
    schema
}

fn explain_schema() -> Value {
    let mut schema = strings(
        &["client_id"],
        &["grant_type", "subject_token", "subject_token_type", "resource", "scope", "task_purpose"],
    );
    schema["properties"]["authorization_details"] =
        json!({ "description": "As in a token request; what is wrong with it is explained, not refused." });
    schema["properties"]["task_lifetime"] = json!({ "type": ["integer", "null"] });
    schema
}

fn rotate_schema() -> Value {
    let mut schema = strings(&[], &["alg"]);
    schema["properties"]["alg"]["enum"] = json!(["ES256", "EdDSA", "RS256", "PS256", null]);
    schema
}

fn number(name: &str, most: u32) -> Value {
    json!({ "name": name, "in": "query", "required": false, "schema": { "type": "integer", "minimum": 0, "maximum": most } })
}

/// The table. A test compares it with the router.
#[expect(clippy::too_many_lines, reason = "one table")]
fn operations() -> Vec<Operation> {
    let operation = |path, method, summary, right, success| Operation {
        path,
        method,
        summary,
        right,
        body: None,
        parameters: json!([]),
        success,
    };
    let mut bootstrap = strings(&["bootstrap_token", "client"], &[]);
    bootstrap["required"] = json!(["bootstrap_token", "client", "jwks"]);
    bootstrap["properties"]["jwks"] = json!({ "type": "object" });
    let page = json!([number("after", u32::MAX), number("limit", 65_535)]);
    vec![
        Operation {
            body: Some(bootstrap),
            ..operation(
                "/bootstrap",
                "post",
                "Let the first administrator in, by the one-time token.",
                None,
                "201",
            )
        },
        operation("/registry", "get", "Read the tenant's registry.", Some("registry:read"), "200"),
        Operation {
            body: Some(
                json!({ "type": "object", "required": ["tenant"], "properties": { "tenant": { "type": "string" } } }),
            ),
            parameters: json!([{ "name": "dry_run", "in": "query", "required": false, "schema": { "type": "boolean" } }]),
            ..operation(
                "/registry",
                "put",
                "Apply the tenant's section of a registry document.",
                Some("registry:write"),
                "200",
            )
        },
        operation("/registry/schema", "get", "The JSON Schema of registry documents.", None, "200"),
        Operation {
            parameters: page.clone(),
            ..operation("/revocations", "get", "Read the revocation log.", Some("revoke"), "200")
        },
        operation("/enforcers", "get", "List every enforcer and how far it has come.", Some("revoke"), "200"),
        Operation {
            body: Some(scope_schema()),
            parameters: json!([{ "name": "wait", "in": "query", "required": false,
                "schema": { "type": "string", "enum": ["effective"] } }]),
            ..operation(
                "/revocations",
                "post",
                "Cut something; the answer means that it is durable, or with wait=effective in force everywhere.",
                Some("revoke"),
                "201",
            )
        },
        Operation {
            body: Some(scope_schema()),
            ..operation(
                "/reinstatements",
                "post",
                "Lift what a revocation switched off.",
                Some("revoke"),
                "200",
            )
        },
        Operation {
            body: Some(explain_schema()),
            ..operation("/explain", "post", "Dry-run a token request, rule by rule.", Some("explain"), "200")
        },
        operation("/keys", "get", "List the signing keys.", Some("registry:read"), "200"),
        Operation {
            body: Some(rotate_schema()),
            ..operation("/keys/rotate", "post", "Prepare a new signing key.", Some("registry:write"), "201")
        },
        Operation {
            parameters: json!([{ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } }]),
            ..operation("/tasks/{id}", "get", "Read one task.", Some("registry:read"), "200")
        },
        Operation {
            parameters: json!([{ "name": "agent", "in": "query", "required": true, "schema": { "type": "string" } }]),
            ..operation("/tokens", "get", "List an agent's unexpired tokens.", Some("registry:read"), "200")
        },
        Operation {
            parameters: page,
            ..operation("/audit", "get", "Read the audit trail.", Some("audit:read"), "200")
        },
        operation("/openapi.json", "get", "This document.", None, "200"),
    ]
}
