//! Browsers: the cookies by which they are known, forms that only our own pages can send, and the headers of pages.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::Response;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, LOCATION, ORIGIN, SET_COOKIE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::answer::{Failure, NO_STORE};
use super::extract::{FormBody, InTenant};
use super::node::Node;
use crate::domain::refusal::Refusal;
use crate::flows::Tenant;
use crate::protocol::params::Params;
use crate::secret::{Digest, Secret};

/// The browser that a request comes from: a secret in a cookie, which waiting requests and forms are bound to. It says
/// nothing about who sits there.
pub(super) struct Browser {
    secret: Secret,
    /// Whether the cookie has still to be set.
    is_new: bool,
    cookies: Cookies,
}

impl FromRequestParts<Node> for Browser {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, node: &Node) -> Result<Self, Failure> {
        let InTenant(tenant) = InTenant::from_request_parts(parts, node).await?;
        let cookies = Cookies::of(&tenant);
        let known = cookie(&parts.headers, &cookies.browser).filter(|text| is_secret(text, "tpw"));
        let is_new = known.is_none();
        let secret = known.map_or_else(|| node.server.entropy.secret("tpw"), Secret::new);
        Ok(Self { secret, is_new, cookies })
    }
}

impl Browser {
    /// What requests that wait in this browser are stored with.
    pub(super) fn digest(&self) -> Digest {
        self.secret.hash()
    }

    /// The hidden field `csrf` of every form that is sent to this browser: only who can read its pages or its cookie has it.
    pub(super) fn csrf(&self) -> String {
        Digest::of_parts(&[b"csrf", self.secret.expose().as_bytes()]).base64url()
    }

    /// Sets the cookie if the browser doesn't have it.
    pub(super) fn remember(&self, response: Response) -> Response {
        if self.is_new {
            self.cookies.set(response, &self.cookies.browser, self.secret.expose())
        } else {
            response
        }
    }

    /// Signs the browser in: the session's secret goes into a cookie of its own.
    pub(super) fn sign_in(&self, response: Response, session: &Secret) -> Response {
        self.cookies.set(response, &self.cookies.session, session.expose())
    }

    /// Takes the session's cookie away.
    pub(super) fn sign_out(&self, response: Response) -> Response {
        self.cookies.clear(response, &self.cookies.session)
    }

    /// The session's secret, if the browser sends one.
    pub(super) fn session(&self, headers: &HeaderMap) -> Option<String> {
        cookie(headers, &self.cookies.session)
    }
}

/// The names of a tenant's cookies. With https they are `__Host-` cookies: set by this very host, over TLS, for all paths;
/// so their names say which tenant they belong to.
struct Cookies {
    browser: String,
    session: String,
    secure: bool,
}

impl Cookies {
    fn of(tenant: &Tenant) -> Self {
        let secure = tenant.issuer.starts_with("https://");
        let prefix = if secure { "__Host-" } else { "" };
        let name = |what: &str| format!("{prefix}taskpass-{what}-{}", tenant.name);
        Self { browser: name("browser"), session: name("session"), secure }
    }

    /// `Lax`: the way back from an identity provider is a cross-site navigation, and must bring the cookie.
    fn attributes(&self) -> &'static str {
        if self.secure { "Path=/; HttpOnly; SameSite=Lax; Secure" } else { "Path=/; HttpOnly; SameSite=Lax" }
    }

    fn set(&self, mut response: Response, name: &str, value: &str) -> Response {
        let text = format!("{name}={value}; {}", self.attributes());
        if let Ok(mut value) = HeaderValue::try_from(text) {
            value.set_sensitive(true);
            response.headers_mut().append(SET_COOKIE, value);
        }
        response
    }

    fn clear(&self, mut response: Response, name: &str) -> Response {
        let text = format!("{name}=; Max-Age=0; {}", self.attributes());
        if let Ok(value) = HeaderValue::try_from(text) {
            response.headers_mut().append(SET_COOKIE, value);
        }
        response
    }
}

/// A cookie's value. One that comes twice is none: somebody else may have set the other.
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut found = all
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned());
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

fn is_secret(text: &str, prefix: &str) -> bool {
    let rest = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
    rest.is_some_and(|rest| Digest::from_base64url(rest).is_some())
}

/// A form that a page of ours has sent from this browser.
///
/// RFC 9700 §4.7 and RFC 6749 §10.12: a request that changes something must be tied to the browser that asked for it.
pub(super) struct ProtectedForm {
    form: FormBody,
    pub(super) browser: Browser,
    pub(super) headers: HeaderMap,
}

impl FromRequest<Node> for ProtectedForm {
    type Rejection = Failure;

    async fn from_request(request: Request, node: &Node) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let InTenant(tenant) = InTenant::from_request_parts(&mut parts, node).await?;
        let browser = Browser::from_request_parts(&mut parts, node).await?;
        let headers = parts.headers.clone();
        let sent_by_us = !browser.is_new && is_same_origin(&headers, &tenant);
        let form = FormBody::from_request(Request::from_parts(parts, body), node).await?;
        let form = Self { form, browser, headers };
        let proof = form.params()?.one("csrf").map_err(Refusal::from)?.map(str::to_owned);
        let expected = Digest::from_base64url(&form.browser.csrf());
        let proved = proof.and_then(|proof| Digest::from_base64url(&proof)).zip(expected);
        if sent_by_us && proved.is_some_and(|(proof, expected)| proof.matches(&expected)) {
            Ok(form)
        } else {
            Err(Refusal::FormForged.into())
        }
    }
}

impl ProtectedForm {
    /// The fields.
    pub(super) fn params(&self) -> Result<Params<'_>, Refusal> {
        self.form.params()
    }

    /// A field that may come once.
    pub(super) fn field(&self, name: &'static str) -> Result<Option<String>, Refusal> {
        Ok(self.params()?.one(name)?.map(str::to_owned))
    }
}

/// Browsers say where a form was sent from. One that says neither is old; the hidden field is proof enough.
fn is_same_origin(headers: &HeaderMap, tenant: &Tenant) -> bool {
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if site.is_some_and(|site| site != "same-origin") {
        return false;
    }
    let own = url::Url::parse(&tenant.issuer).map(|url| url.origin().ascii_serialization());
    match headers.get(ORIGIN) {
        // Our pages send no referrer, and with that policy browsers say `null` for a form of their own page.
        Some(origin) => origin == "null" || own.is_ok_and(|own| origin == own.as_str()),
        None => true,
    }
}

/// A page: HTML that nobody keeps, that runs no script, and that nobody can put into a frame. `form_targets` are origins to
/// which a form's answer may redirect: browsers check those too.
pub(super) fn page(status: StatusCode, html: String, form_targets: &[String]) -> Response {
    let mut targets = String::from("'self'");
    for target in form_targets {
        targets.push(' ');
        targets.push_str(target);
    }
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action {targets}; base-uri 'none'; frame-ancestors 'none'"
    );
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, NO_STORE);
    let strict = HeaderValue::from_static(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    );
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::try_from(policy).unwrap_or(strict));
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "interest-cohort=()"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

/// Sends the browser on. 303: whatever was posted isn't posted again.
pub(super) fn see_other(to: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer"));
    match HeaderValue::try_from(to) {
        Ok(to) => headers.insert(LOCATION, to),
        Err(_) => return Response::new(Body::empty()),
    };
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_static(line));
        }
        headers
    }

    #[test]
    fn a_cookie_that_comes_twice_is_none() {
        assert_eq!(cookie(&headers(&["a=1; b=2"]), "b").as_deref(), Some("2"));
        assert_eq!(cookie(&headers(&["b=1", "a=3; b=2"]), "b"), None);
        assert_eq!(cookie(&headers(&["ab=1"]), "b"), None);
    }

    #[test]
    fn only_what_we_make_is_a_secret() {
        let secret = crate::entropy::Entropy::default().secret("tpw");
        assert!(is_secret(secret.expose(), "tpw"));
        assert!(!is_secret(secret.expose(), "tps") && !is_secret("tpw_x", "tpw") && !is_secret("", "tpw"));
    }
}
