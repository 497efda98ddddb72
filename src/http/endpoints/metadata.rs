//! The map: RFC 8414 metadata, and the keys.

use axum::extract::State;
use axum::response::Response;
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use serde_json::json;

use crate::domain::registry::Status;
use crate::http::answer::{Failure, raw_json};
use crate::http::extract::InTenant;
use crate::http::node::Node;
use crate::protocol::token_type::{
    AUTHORIZATION_CODE, CLIENT_CREDENTIALS, ID_JAG_PROFILE, JWT_BEARER_GRANT, REFRESH_TOKEN, TOKEN_EXCHANGE,
};

/// RFC 8414 §3.2. `issuer` comes from configuration, never from the request.
pub(in crate::http) async fn metadata(
    State(_): State<Node>,
    InTenant(tenant): InTenant,
) -> Result<Response, Failure> {
    let issuer = &tenant.issuer;
    let state = tenant.state();
    let mut types = vec!["mcp_tool_call"];
    types.extend(state.registry.section.detail_types.iter().map(|kind| kind.name.as_str()));
    let methods = ["private_key_jwt", "spiffe_jwt"];
    let algorithms =
        ["ES256", "ES384", "ES512", "EdDSA", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
    let registration = state.registry.registration();
    let mut document = json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/oauth/token"),
        "authorization_endpoint": format!("{issuer}/oauth/authorize"),
        "pushed_authorization_request_endpoint": format!("{issuer}/oauth/par"),
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "response_modes_supported": ["query"],
        "introspection_endpoint": format!("{issuer}/oauth/introspect"),
        "revocation_endpoint": format!("{issuer}/oauth/revoke"),
        "jwks_uri": format!("{issuer}/oauth/jwks"),
        "grant_types_supported": [AUTHORIZATION_CODE, REFRESH_TOKEN, TOKEN_EXCHANGE, CLIENT_CREDENTIALS],
        "response_types_supported": ["code"],
        "token_endpoint_auth_methods_supported": ["none", "private_key_jwt", "spiffe_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": ["none", "private_key_jwt", "spiffe_jwt"],
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "authorization_details_types_supported": types,
        "client_id_metadata_document_supported": registration.metadata_documents,
    });
    if registration.dynamic {
        document["registration_endpoint"] = json!(format!("{issuer}/oauth/register"));
    }
    // draft-ietf-oauth-identity-assertion-authz-grant-04 §7.2: whoever names the profile "MUST also include" the grant type; whose
    // assertions are accepted MUST NOT be told.
    let providers = &state.registry.section.identity_providers;
    if providers.iter().any(|idp| idp.id_jag && idp.status == Status::Active) {
        if let Some(grants) = document["grant_types_supported"].as_array_mut() {
            grants.push(JWT_BEARER_GRANT.into());
        }
        document["authorization_grant_profiles_supported"] = json!([ID_JAG_PROFILE]);
    }
    Ok(cached(&document))
}

/// The public keys, those that will sign soon among them.
pub(in crate::http) async fn jwks(
    State(_): State<Node>,
    InTenant(tenant): InTenant,
) -> Result<Response, Failure> {
    Ok(cached(&tenant.state().keys.published().to_json()))
}

fn cached(body: &serde_json::Value) -> Response {
    let mut response = raw_json(body.to_string());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}
