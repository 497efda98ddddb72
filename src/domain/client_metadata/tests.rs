use super::*;

const URL: &str = "https://app.example/client.json";
const BACK: &str = "http://127.0.0.1/callback";

#[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
fn with(more: Value) -> Map<String, Value> {
    let mut document = json!({ "client_id": URL, "redirect_uris": [BACK] });
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    document.as_object().unwrap().clone()
}

fn read(more: Value) -> Result<ClientMetadata, UnfitMetadata> {
    ClientMetadata::from_document(URL, &with(more))
}

#[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
fn refused(more: Value) -> UnfitMetadata {
    read(more.clone()).map(|metadata| format!("{more} {metadata:?}")).unwrap_err()
}

fn keys() -> Value {
    let key = crate::jose::PrivateJwk::generate(crate::jose::Algorithm::ES256).unwrap();
    json!({ "keys": [key.public().unwrap().to_json()] })
}

#[test]
fn a_client_id_that_is_a_documents_url() {
    for good in [
        URL,
        "https://app.example/oauth/client-metadata.json",
        "https://app.example:8443/client",
        "https://app.example:443/client",
        "https://app.example/client/",
        "https://app.example/client?version=1",
        "https://127.0.0.1:1/client",
    ] {
        assert!(is_document_url(good), "{good}");
    }
    for bad in [
        "",
        "editor",
        "dyn_1",
        "https://app.example",
        "https://app.example/",
        "https://app.example/?client",
        "https://app.example?client",
        "http://app.example/client",
        "http://127.0.0.1/client",
        "HTTPS://app.example/client",
        "https://APP.example/client",
        "https://user@app.example/client",
        "https://user:password@app.example/client",
        "https://app.example/client#x",
        "https://app.example/client#",
        "https://app.example/./client",
        "https://app.example/a/../client",
        "https://app.example/a/%2E%2e/client",
        "https://app.example\\client",
        "https://app.example/client\n",
        " https://app.example/client",
        "https:///client",
        "https:app.example/client",
        "file:///etc/passwd",
        "com.example.app:/client",
    ] {
        assert!(!is_document_url(bad), "{bad}");
    }
    assert!(!is_document_url(&format!("https://app.example/{}", "a".repeat(LONGEST_ID))));
}

#[test]
fn a_document_is_about_its_own_url_to_the_byte() {
    for other in [
        "https://app.example/client.json/",
        "https://APP.example/client.json",
        "https://app.example:443/client.json",
        "https://app.example/Client.json",
        "https://app.example/client.json?",
        "https://other.example/client.json",
        "",
    ] {
        assert_eq!(refused(json!({ "client_id": other })), UnfitMetadata::OtherClient, "{other}");
    }
    assert_eq!(refused(json!({ "client_id": null })), UnfitMetadata::OtherClient);
    assert_eq!(refused(json!({ "client_id": [URL] })), UnfitMetadata::OtherClient);
}

#[test]
fn unknown_members_are_tolerated() {
    let read = read(
        json!({ "client_name": " An Editor ", "client_name#de": "Ein Editor", "logo_uri": "javascript:x",
        "client_uri": 3, "software_statement": "x.y.z", "scope": "a b", "contacts": null, "x": { "y": [] } }),
    );
    let read = read.unwrap();
    assert_eq!((read.name.as_deref(), read.redirect_uris), (Some("An Editor"), vec![BACK.to_owned()]));
    assert!(read.keys.is_none() && read.refreshes);
}

#[test]
fn a_redirect_uri_that_cannot_be_taken_is_as_if_it_were_not_there() {
    let uris = json!([
        "javascript:alert(1)",
        "myapp://callback",
        BACK,
        "http://app.example/cb",
        "https://app.example/#"
    ]);
    assert_eq!(read(json!({ "redirect_uris": uris })).unwrap().redirect_uris, [BACK]);
    for none in
        [json!([]), json!(["javascript:alert(1)"]), json!(null), json!(vec![BACK; MOST_REDIRECTS + 1])]
    {
        assert_eq!(refused(json!({ "redirect_uris": none })), UnfitMetadata::NoRedirectUri);
    }
    for malformed in [json!(BACK), json!([1]), json!([[BACK]]), json!({ "0": BACK })] {
        assert_eq!(refused(json!({ "redirect_uris": malformed })), UnfitMetadata::Malformed("redirect_uris"));
    }
}

#[test]
fn whoever_registers_must_send_what_can_be_taken() {
    let send =
        |more: Value| ClientMetadata::from_registration(&with(more)).map(|metadata| metadata.to_json());
    let unfit = |uri: &str| send(json!({ "redirect_uris": [BACK, uri] })).unwrap_err();
    assert_eq!(unfit("javascript:alert(1)"), UnfitRedirectUri::Scheme.into());
    assert_eq!(unfit("http://app.example/cb"), UnfitRedirectUri::PlainHttp.into());
    assert!(unfit("https://app.example/cb#x").is_about_redirects());
    assert_eq!(send(json!({ "redirect_uris": [] })).unwrap_err(), UnfitMetadata::NoRedirectUri);
    let elsewhere =
        json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://app.example/keys" });
    assert_eq!(send(elsewhere).unwrap_err(), UnfitMetadata::Keys);
    // What is stored is read again as the same.
    let jwks = keys();
    let stored =
        send(json!({ "client_name": "An Editor", "jwks": jwks, "grant_types": ["authorization_code"] }))
            .unwrap();
    assert_eq!(stored["token_endpoint_auth_method"], "private_key_jwt");
    assert_eq!(stored["grant_types"], json!(["authorization_code"]));
    assert_eq!(ClientMetadata::from_registration(&stored).unwrap().to_json(), stored);
}

#[test]
fn there_are_no_shared_secrets() {
    for method in [
        "client_secret_basic",
        "client_secret_post",
        "client_secret_jwt",
        "tls_client_auth",
        "NONE",
        "",
        "new",
    ] {
        let named = json!({ "token_endpoint_auth_method": method });
        assert_eq!(refused(named), UnfitMetadata::AuthenticationMethod, "{method}");
    }
    for secret in [
        json!({ "client_secret": "s" }),
        json!({ "client_secret_expires_at": 0 }),
        json!({ "client_secret": "" }),
    ] {
        assert_eq!(refused(secret), UnfitMetadata::AuthenticationMethod);
    }
    assert!(read(json!({ "token_endpoint_auth_method": "none", "jwks": keys() })).unwrap().keys.is_none());
    assert_eq!(
        refused(json!({ "token_endpoint_auth_method": 1 })),
        UnfitMetadata::Malformed("token_endpoint_auth_method")
    );
}

#[test]
fn keys_are_public_and_come_one_way() {
    let by_keys = |more: Value| {
        let mut all = json!({ "token_endpoint_auth_method": "private_key_jwt" });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    assert!(matches!(read(by_keys(json!({ "jwks": keys() }))).unwrap().keys, Some(KeySource::Inline(_))));
    assert!(
        matches!(read(json!({ "jwks": keys() })).unwrap().keys, Some(KeySource::Inline(_))),
        "keys are for use"
    );
    let uri = "https://app.example/jwks.json";
    assert!(matches!(read(by_keys(json!({ "jwks_uri": uri }))).unwrap().keys, Some(KeySource::Remote(_))));
    let private = crate::jose::PrivateJwk::generate(crate::jose::Algorithm::ES256).unwrap();
    let private: Value = serde_json::from_str(&private.to_text()).unwrap();
    for bad in [
        json!({}),
        json!({ "jwks": keys(), "jwks_uri": uri }),
        json!({ "jwks": { "keys": [private] } }),
        json!({ "jwks": { "keys": [{ "kty": "oct", "k": "AA" }] } }),
        json!({ "jwks": { "keys": [] } }),
        json!({ "jwks": "x" }),
        json!({ "jwks_uri": "http://app.example/jwks.json" }),
        json!({ "jwks_uri": "https://user@app.example/jwks.json" }),
        json!({ "jwks_uri": "file:///keys" }),
    ] {
        assert_eq!(refused(by_keys(bad)), UnfitMetadata::Keys);
    }
}

#[test]
fn grants_decide_whether_it_refreshes() {
    let refreshes = |types: Value| read(json!({ "grant_types": types })).unwrap().refreshes;
    assert!(refreshes(json!(null)));
    assert!(refreshes(json!(["authorization_code", "refresh_token"])));
    assert!(!refreshes(json!(["authorization_code"])));
    for types in [json!([]), json!(["refresh_token"]), json!(["implicit"]), json!(["client_credentials"])] {
        assert_eq!(refused(json!({ "grant_types": types })), UnfitMetadata::GrantTypes);
    }
    assert_eq!(refused(json!({ "response_types": ["token"] })), UnfitMetadata::GrantTypes);
    assert_eq!(
        refused(json!({ "grant_types": "authorization_code" })),
        UnfitMetadata::Malformed("grant_types")
    );
}

#[test]
fn bound_tokens_cannot_be_demanded() {
    for demand in ["dpop_bound_access_tokens", "tls_client_certificate_bound_access_tokens"] {
        for value in [json!(true), json!("true"), json!(1)] {
            assert_eq!(refused(json!({ demand: value })), UnfitMetadata::SenderConstraint);
        }
        assert!(read(json!({ demand: false })).is_ok());
    }
}

#[test]
fn names_are_short_and_stay_in_their_place() {
    let long = "a".repeat(LONGEST_NAME + 1);
    for bad in ["a\nb", "a\u{202e}b", "a\u{2066}b", "\u{200f}a", "a\u{0}b", "a\u{85}b", "a\u{2028}b", &long] {
        assert_eq!(refused(json!({ "client_name": bad })), UnfitMetadata::Name, "{bad:?}");
    }
    assert_eq!(read(json!({ "client_name": "  " })).unwrap().name, None);
    assert_eq!(
        read(json!({ "client_name": "Éditeur 编辑器 👩‍💻" })).unwrap().name.as_deref(),
        Some("Éditeur 编辑器 👩‍💻")
    );
    assert_eq!(refused(json!({ "client_name": ["a"] })), UnfitMetadata::Malformed("client_name"));
}
