//! An identity provider for sign-in: what it says of itself, how a browser is sent to it, and what it gives for a code
//! (OpenID Connect Discovery 1.0, OpenID Connect Core 1.0 §3.1, RFC 7636, RFC 9207).

use std::path::Path;
use std::sync::Arc;

use oauth2::basic::{
    BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse,
    BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken, ExtraTokenFields,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, StandardRevocableToken,
    StandardTokenResponse, TokenUrl,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::cached::{Cached, PACE, Resting};
use super::fetch::{FetchError, Fetcher};
use crate::domain::registry::{SignIn, is_below_secrets};
use crate::jose::Algorithm;
use crate::secret::Secret;

/// Why an identity provider can't be worked with.
#[derive(Debug, thiserror::Error)]
pub enum OpenIdError {
    /// It could not be reached, or its answer could not be read.
    #[error("{0}")]
    Fetch(#[from] FetchError),
    /// It could not be reached a moment ago; it is left alone for ten seconds.
    #[error("{0}")]
    Resting(#[from] Resting),
    /// The metadata is that of another issuer.
    #[error("the metadata's issuer is not the one that it was read for")]
    OtherIssuer,
    /// The metadata lacks a member, or has it in another form.
    #[error("the metadata's member {0} is missing or malformed")]
    Metadata(&'static str),
    /// The file with the client secret can't be read.
    #[error("the client secret can't be read: {0}")]
    Secret(FetchError),
    /// The file's name leads elsewhere than below `secrets`.
    #[error("client_secret_file is a path below secrets/ in the data directory")]
    SecretElsewhere,
    /// The provider doesn't know the code, or it isn't one for this server.
    #[error("the token endpoint refused the code")]
    CodeRefused,
    /// The token endpoint's answer is something else than tokens.
    #[error("the token endpoint's answer is not a token response: {0}")]
    NotTokens(String),
    /// The token endpoint gave no ID token.
    #[error("the token response has no id_token")]
    NoIdToken,
}

/// OpenID Connect Discovery §3, RFC 8414 §2.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    id_token_signing_alg_values_supported: Vec<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// What an identity provider says of itself.
#[derive(Clone, Debug)]
pub struct Provider {
    authorization_endpoint: AuthUrl,
    token_endpoint: TokenUrl,
    secret_in_body: bool,
    /// Where it publishes its keys.
    pub jwks_uri: String,
    /// What it signs ID tokens with; none of them symmetric, none of them `none`.
    pub algorithms: Vec<Algorithm>,
    /// Whether it names itself in every authorization response (RFC 9207).
    pub names_itself: bool,
}

/// How a browser is sent away.
#[derive(Clone, Copy, Debug)]
pub struct Departure<'a> {
    /// Where it comes back to.
    pub redirect_uri: &'a str,
    /// What it brings back.
    pub state: &'a Secret,
    /// What the ID token repeats.
    pub nonce: &'a Secret,
    /// What proves at the token endpoint who had sent it.
    pub verifier: &'a Secret,
    /// Who is expected.
    pub login_hint: Option<&'a str>,
    /// Whether the person must sign in there even if signed in already.
    pub again: bool,
}

/// A code on its way to the token endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Redemption<'a> {
    /// The code.
    pub code: &'a str,
    /// What its challenge was made from.
    pub verifier: &'a str,
    /// Where the browser came back to.
    pub redirect_uri: &'a str,
    /// The client secret, where there is one.
    pub secret: Option<&'a Secret>,
}

/// What a token response has beside RFC 6749 (OpenID Connect Core §3.1.3.3).
#[derive(Deserialize, Serialize)]
struct WithIdToken {
    id_token: Option<String>,
}

impl std::fmt::Debug for WithIdToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WithIdToken(…)")
    }
}

impl ExtraTokenFields for WithIdToken {}

type OurClient<Auth, Token> = Client<
    BasicErrorResponse,
    StandardTokenResponse<WithIdToken, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    Auth,
    oauth2::EndpointNotSet,
    oauth2::EndpointNotSet,
    oauth2::EndpointNotSet,
    Token,
>;

fn client(sign_in: &SignIn) -> OurClient<oauth2::EndpointNotSet, oauth2::EndpointNotSet> {
    Client::new(ClientId::new(sign_in.client_id.clone()))
}

fn redirect_url(uri: &str) -> Result<RedirectUrl, OpenIdError> {
    RedirectUrl::new(uri.to_owned()).map_err(|_| OpenIdError::Metadata("redirect_uri"))
}

impl Provider {
    fn read(issuer: &str, metadata: Metadata) -> Result<Self, OpenIdError> {
        // OpenID Connect Discovery §4.3: "The `issuer` value returned MUST be identical to the Issuer URL that was used as the
        // prefix to `/.well-known/openid-configuration`". To the byte: a template isn't an issuer.
        if metadata.issuer != issuer {
            return Err(OpenIdError::OtherIssuer);
        }
        let endpoint = |text: &str, member| match url::Url::parse(text) {
            Ok(url) if url.scheme() == "https" && url.has_host() && url.fragment().is_none() => {
                Ok(text.to_owned())
            }
            _ => Err(OpenIdError::Metadata(member)),
        };
        let malformed = |member| move |_: url::ParseError| OpenIdError::Metadata(member);
        let authorization = endpoint(&metadata.authorization_endpoint, "authorization_endpoint")?;
        let token = endpoint(&metadata.token_endpoint, "token_endpoint")?;
        // OpenID Connect Discovery §3: `client_secret_basic` is meant where nothing is said.
        let methods = metadata.token_endpoint_auth_methods_supported.unwrap_or_default();
        let has = |name: &str| methods.iter().any(|method| method == name);
        let algorithms = metadata.id_token_signing_alg_values_supported;
        Ok(Self {
            authorization_endpoint: AuthUrl::new(authorization)
                .map_err(malformed("authorization_endpoint"))?,
            token_endpoint: TokenUrl::new(token).map_err(malformed("token_endpoint"))?,
            secret_in_body: has("client_secret_post") && !has("client_secret_basic"),
            jwks_uri: endpoint(&metadata.jwks_uri, "jwks_uri")?,
            algorithms: algorithms.iter().filter_map(|name| Algorithm::parse(name)).collect(),
            names_itself: metadata.authorization_response_iss_parameter_supported,
        })
    }

    /// The URL to send a browser to.
    pub fn departure(&self, sign_in: &SignIn, departure: Departure<'_>) -> Result<String, OpenIdError> {
        let client = client(sign_in)
            .set_auth_uri(self.authorization_endpoint.clone())
            .set_redirect_uri(redirect_url(departure.redirect_uri)?);
        let verifier = PkceCodeVerifier::new(departure.verifier.expose().to_owned());
        let mut request = client
            .authorize_url(|| CsrfToken::new(departure.state.expose().to_owned()))
            .add_scopes(sign_in.scopes.iter().cloned().map(Scope::new))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_extra_param("nonce", departure.nonce.expose());
        if let Some(hint) = departure.login_hint {
            request = request.add_extra_param("login_hint", hint);
        }
        if departure.again {
            // The second has a provider that conforms say when it asked (OpenID Connect Core §2, `auth_time`).
            request = request.add_extra_param("prompt", "login").add_extra_param("max_age", "0");
        }
        Ok(request.url().0.into())
    }
}

/// The identity providers that people sign in with.
pub struct OpenId {
    fetcher: Fetcher,
    providers: Cached<Provider>,
}

impl OpenId {
    /// None is known yet.
    pub fn new(fetcher: Fetcher) -> Self {
        Self { fetcher, providers: Cached::default() }
    }

    /// What the provider of this issuer says of itself.
    pub async fn provider(&self, issuer: &str) -> Result<Arc<Provider>, OpenIdError> {
        let read = || async {
            // OpenID Connect Discovery §4.1: "any terminating / MUST be removed prior to appending".
            let url =
                format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer));
            let metadata = Metadata::deserialize(self.fetcher.json(&url).await?);
            Provider::read(issuer, metadata.map_err(|_| OpenIdError::Metadata("(one of those required)"))?)
        };
        self.providers.get(issuer, PACE, false, read).await
    }

    /// Gives a code to the provider's token endpoint; the ID token that comes back, unverified.
    pub async fn redeem(
        &self,
        provider: &Provider,
        sign_in: &SignIn,
        redemption: Redemption<'_>,
    ) -> Result<String, OpenIdError> {
        let auth_type = if provider.secret_in_body { AuthType::RequestBody } else { AuthType::BasicAuth };
        let mut client = client(sign_in)
            .set_token_uri(provider.token_endpoint.clone())
            .set_redirect_uri(redirect_url(redemption.redirect_uri)?)
            .set_auth_type(auth_type);
        if let Some(secret) = redemption.secret {
            client = client.set_client_secret(ClientSecret::new(secret.expose().to_owned()));
        }
        // Its own handle for each request: a future that borrows from here can't be moved between threads.
        let http = |request| {
            let fetcher = self.fetcher.clone();
            async move { fetcher.send(request).await }
        };
        let answer = client
            .exchange_code(AuthorizationCode::new(redemption.code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(redemption.verifier.to_owned()))
            .request_async(&http)
            .await;
        match answer {
            Ok(tokens) => tokens.extra_fields().id_token.clone().ok_or(OpenIdError::NoIdToken),
            Err(RequestTokenError::Request(error)) => Err(error.into()),
            Err(RequestTokenError::ServerResponse(error)) => Err(match error.error() {
                BasicErrorResponseType::InvalidGrant => OpenIdError::CodeRefused,
                other => OpenIdError::NotTokens(other.as_ref().chars().take(64).collect()),
            }),
            // What didn't parse may hold tokens: only that it didn't is told.
            Err(RequestTokenError::Parse(error, _)) => {
                Err(OpenIdError::NotTokens(format!("at {}", error.path())))
            }
            Err(RequestTokenError::Other(_)) => Err(OpenIdError::NotTokens("not JSON".into())),
        }
    }
}

/// Reads a client secret at the moment of its use: one line, below `secrets` in the data directory.
pub async fn client_secret(data_dir: &Path, file: &str) -> Result<Secret, OpenIdError> {
    use tokio::io::AsyncReadExt as _;
    /// Longer than any secret, in bytes.
    const LONGEST: usize = 4096;
    if !is_below_secrets(file) {
        return Err(OpenIdError::SecretElsewhere);
    }
    let unreadable = |error: std::io::Error| OpenIdError::Secret(error.into());
    let path = data_dir.join(file);
    if !tokio::fs::metadata(&path).await.map_err(unreadable)?.is_file() {
        return Err(OpenIdError::Secret(FetchError::TooLarge));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    let file = tokio::fs::File::open(&path).await.map_err(unreadable)?;
    file.take(LONGEST as u64 + 1).read_to_end(&mut bytes).await.map_err(unreadable)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default().trim();
    if bytes.len() > LONGEST || text.is_empty() || text.chars().any(char::is_control) {
        return Err(OpenIdError::Secret(FetchError::TooLarge));
    }
    Ok(Secret::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn metadata() -> Value {
        json!({
            "issuer": "https://idp.example",
            "authorization_endpoint": "https://idp.example/auth?tenant=1",
            "token_endpoint": "https://idp.example/token",
            "jwks_uri": "https://idp.example/jwks",
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none", "ES256"],
        })
    }

    fn read(metadata: Value) -> Result<Provider, OpenIdError> {
        let metadata = Metadata::deserialize(metadata).map_err(|_| OpenIdError::Metadata("(required)"))?;
        Provider::read("https://idp.example", metadata)
    }

    #[test]
    fn metadata_is_of_its_issuer_and_https() {
        let provider = read(metadata()).unwrap();
        assert_eq!(provider.algorithms, [Algorithm::RS256, Algorithm::ES256]);
        assert!(!provider.names_itself && !provider.secret_in_body);
        for (member, value) in [
            ("issuer", "https://idp.example/"),
            ("issuer", "https://IDP.example"),
            ("issuer", "https://idp.example/{tenantid}"),
            ("authorization_endpoint", "http://idp.example/auth"),
            ("authorization_endpoint", "javascript:alert(1)"),
            ("token_endpoint", "http://idp.example/token"),
            ("token_endpoint", "/token"),
            ("jwks_uri", "file:///etc/passwd"),
        ] {
            let mut wrong = metadata();
            wrong[member] = json!(value);
            assert!(read(wrong).is_err(), "{member} {value}");
        }
        let mut without = metadata();
        without.as_object_mut().unwrap().remove("token_endpoint");
        assert!(read(without).is_err());
    }

    #[test]
    fn a_browser_takes_all_along() {
        let sign_in: SignIn = serde_json::from_value(json!({ "client_id": "us" })).unwrap();
        let [state, nonce, verifier] =
            ["s", "n", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"].map(|text| Secret::new(text.into()));
        let departure = Departure {
            redirect_uri: "https://id.example/sign-in/callback/corp",
            state: &state,
            nonce: &nonce,
            verifier: &verifier,
            login_hint: Some("a@b.example"),
            again: true,
        };
        let url = read(metadata()).unwrap().departure(&sign_in, departure).unwrap();
        let url = url::Url::parse(&url).unwrap();
        let pairs: std::collections::HashMap<_, _> = url.query_pairs().collect();
        for (name, value) in [
            ("tenant", "1"),
            ("response_type", "code"),
            ("client_id", "us"),
            ("state", "s"),
            ("nonce", "n"),
            ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
            ("code_challenge_method", "S256"),
            ("redirect_uri", "https://id.example/sign-in/callback/corp"),
            ("scope", "openid profile email"),
            ("login_hint", "a@b.example"),
            ("prompt", "login"),
        ] {
            assert_eq!(pairs.get(name).map(AsRef::as_ref), Some(value), "{name}");
        }
    }

    #[tokio::test]
    async fn a_secret_is_one_short_line() {
        let folder = std::env::temp_dir().join(format!("taskpass-secret-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("secrets")).unwrap();
        let write = |text: &[u8]| std::fs::write(folder.join("secrets/corp"), text).unwrap();
        write(b"hunter2\n");
        assert_eq!(client_secret(&folder, "secrets/corp").await.unwrap().expose(), "hunter2");
        for bad in [&b"\n"[..], b"a\nb", &[b'a'; 5000], b"\xff\xff"] {
            write(bad);
            assert!(client_secret(&folder, "secrets/corp").await.is_err());
        }
        assert!(client_secret(&folder, "secrets/none").await.is_err());
        assert!(client_secret(&folder, "secrets/../secrets/corp").await.is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
