//! A browser with a cookie jar, and the person who sits at it: follows redirects within the server, fills in forms as they
//! stand in the pages.

use std::collections::BTreeMap;

use http::header::{LOCATION, SET_COOKIE};
use taskpass::entropy::Entropy;
use taskpass::storage::sessions::{self, Session};
use taskpass::time::Timestamp;

use super::{CORP, Tenant, World};

/// The verifier of RFC 7636, appendix B, and its challenge.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// Where the public client of the tests gets its codes.
pub(crate) const DESK: &str = "http://127.0.0.1:49152/callback";

/// A browser.
pub(crate) struct Browser {
    http: reqwest::Client,
    issuer: String,
    pub(crate) tenant: &'static str,
    pub(crate) jar: BTreeMap<String, String>,
}

/// What a request led to.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    /// Where it sends the browser; empty if nowhere.
    pub(crate) location: String,
    pub(crate) html: String,
}

impl Page {
    /// A parameter of where the browser is sent.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let url = url::Url::parse(&self.location).ok()?;
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// The rule that an error page names.
    #[track_caller]
    pub(crate) fn assert_error(&self, rule: &str) {
        assert!(self.status >= 400, "{} to {:?}", self.status, self.location);
        assert!(self.location.is_empty());
        assert!(self.html.contains(rule), "{}", self.html);
    }

    /// The refusal with which the client is told.
    #[track_caller]
    pub(crate) fn assert_back(&self, error: &str) {
        assert_eq!(
            self.parameter("error").as_deref(),
            Some(error),
            "{} {} {}",
            self.status,
            self.location,
            self.html
        );
        assert!(self.parameter("iss").is_some() && self.parameter("code").is_none());
    }

    /// The hidden fields of the first form that is sent to `action`.
    pub(crate) fn hidden(&self, action: &str) -> Vec<(String, String)> {
        let Some(at) = self.html.find(&format!("action=\"{action}\"")) else {
            panic!("no form is sent to {action}: {}", self.html)
        };
        let form = &self.html[at..];
        let form = &form[..form.find("</form>").unwrap()];
        let value = |tag: &str, name: &str| {
            let rest = tag.split_once(&format!("{name}=\""))?.1;
            Some(rest[..rest.find('"')?].replace("&amp;", "&"))
        };
        let hidden = form.split("<input").skip(1).map(|tag| tag.split('>').next().unwrap_or_default());
        hidden
            .filter(|tag| tag.contains("type=\"hidden\""))
            .filter_map(|tag| Some((value(tag, "name")?, value(tag, "value").unwrap_or_default())))
            .collect()
    }
}

impl Browser {
    /// A browser that has never been here.
    pub(crate) fn new(tenant: &Tenant) -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        Self {
            http: http.build().unwrap(),
            issuer: tenant.issuer.clone(),
            tenant: tenant.name,
            jar: BTreeMap::new(),
        }
    }

    /// A browser in which a person of the company is signed in, as if it had come back from there.
    pub(crate) async fn of(world: &World, tenant: &Tenant, subject: &str) -> Self {
        let mut browser = Self::new(tenant);
        browser.sign_in(world, tenant, subject).await;
        browser
    }

    /// Signs a person of the company in; the session's id.
    pub(crate) async fn sign_in(&mut self, world: &World, tenant: &Tenant, subject: &str) -> String {
        let entropy = Entropy::default();
        let (now, secret) = (Timestamp(tenant.now()), entropy.secret("tps"));
        let session = Session {
            id: entropy.ordered_id("ses", now),
            user: tenant.person(subject),
            idp: "corp".into(),
            issuer: CORP.into(),
            subject: subject.into(),
            upstream_sid: Some(tenant.session(subject)),
            name: subject.into(),
            email: format!("{subject}@example.com"),
            groups: Vec::new(),
            signed_in_at: now,
            expires_at: now.plus(12 * 3600),
            ended_at: None,
        };
        let mut tx = world.app().server.db.write().await.unwrap();
        sessions::insert(&mut tx, self.tenant, &secret.hash(), &session).await.unwrap();
        tx.commit().await.unwrap();
        self.jar.insert(format!("taskpass-session-{}", self.tenant), secret.expose().to_owned());
        session.id
    }

    fn url(&self, to: &str) -> String {
        if to.starts_with("http") {
            return to.to_owned();
        }
        let origin = url::Url::parse(&self.issuer).unwrap().origin().ascii_serialization();
        format!("{origin}{to}")
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Page {
        let cookies: Vec<_> = self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let response = request.header("cookie", cookies.join("; ")).send().await.unwrap();
        for line in response.headers().get_all(SET_COOKIE) {
            let line = line.to_str().unwrap();
            assert!(
                line.contains("HttpOnly") && line.contains("SameSite=Lax") && line.contains("Path=/"),
                "{line}"
            );
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() {
                self.jar.remove(name);
            } else {
                self.jar.insert(name.to_owned(), value.to_owned());
            }
        }
        let location = response.headers().get(LOCATION).map(|to| to.to_str().unwrap().to_owned());
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let html = response.text().await.unwrap();
        assert!(!html.to_lowercase().contains("<script"), "{html}");
        Page { status, headers, location: location.unwrap_or_default(), html }
    }

    /// Opens a path of this server, without following where it leads.
    pub(crate) async fn get(&mut self, to: &str) -> Page {
        let request = self.http.get(self.url(to));
        self.send(request).await
    }

    /// Opens a path and follows redirects as long as they stay on this server.
    pub(crate) async fn visit(&mut self, to: &str) -> Page {
        let mut page = self.get(to).await;
        for _ in 0..5 {
            if !page.location.starts_with('/') && !page.location.starts_with(&self.url("/")) {
                return page;
            }
            page = self.get(&page.location.clone()).await;
        }
        panic!("redirected for ever: {page:?}")
    }

    /// Posts a form as a page of this server would.
    pub(crate) async fn post(&mut self, to: &str, fields: &[(&str, &str)]) -> Page {
        let request = self.http.post(self.url(to)).header("sec-fetch-site", "same-origin");
        self.send(filled(request, fields)).await
    }

    /// The same with headers of one's own.
    pub(crate) async fn post_with(
        &mut self,
        to: &str,
        fields: &[(&str, &str)],
        headers: &[(&'static str, &str)],
    ) -> Page {
        let mut request = filled(self.http.post(self.url(to)), fields);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request).await
    }

    /// Fills in the form of a page that is sent to `action`.
    pub(crate) async fn submit(&mut self, page: &Page, action: &str, fields: &[(&str, &str)]) -> Page {
        let mut all = page.hidden(action);
        all.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let all: Vec<_> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.post(action, &all).await
    }

    /// The path of one of this tenant's pages.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", url::Url::parse(&self.issuer).unwrap().path().trim_end_matches('/'))
    }
}

fn filled(request: reqwest::RequestBuilder, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    request.header("content-type", "application/x-www-form-urlencoded").body(body)
}

/// An authorization request by the public client of the tests, for reading tickets.
pub(crate) fn asking() -> Vec<(String, String)> {
    [
        ("response_type", "code"),
        ("client_id", "desk"),
        ("redirect_uri", DESK),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("resource", super::TICKETS),
        ("scope", "tickets.read"),
        ("state", "client's own"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// The same with other parameters; an empty value takes one out.
pub(crate) fn asking_with(changes: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut pairs = asking();
    for (name, value) in changes {
        pairs.retain(|(other, _)| other != name);
        if !value.is_empty() {
            pairs.push(((*name).to_owned(), (*value).to_owned()));
        }
    }
    pairs
}

/// The path with the query of an authorization request.
pub(crate) fn authorize(browser: &Browser, pairs: &[(String, String)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    format!("{}?{query}", browser.path("/oauth/authorize"))
}

impl Browser {
    /// Asks, agrees, and comes back with what the client is told.
    pub(crate) async fn agree(&mut self, pairs: &[(String, String)]) -> Page {
        let page = self.visit(&authorize(self, pairs)).await;
        assert_eq!(page.status, 200, "{} {}", page.location, page.html);
        let action = self.path("/consent");
        self.submit(&page, &action, &[("decision", "allow")]).await
    }

    /// The code of a request that the person agrees to.
    pub(crate) async fn code(&mut self, pairs: &[(String, String)]) -> String {
        let page = self.agree(pairs).await;
        page.parameter("code").unwrap_or_else(|| panic!("{} {} {}", page.status, page.location, page.html))
    }
}

impl Tenant {
    /// The public client redeems a code.
    pub(crate) fn redeem(&self, code: &str) -> super::Form {
        self.bare("/oauth/token")
            .add("grant_type", "authorization_code")
            .add("client_id", "desk")
            .add("code", code)
            .add("redirect_uri", DESK)
            .add("code_verifier", VERIFIER)
    }

    /// The public client refreshes.
    pub(crate) fn refresh(&self, refresh_token: &str) -> super::Form {
        self.bare("/oauth/token")
            .add("grant_type", "refresh_token")
            .add("client_id", "desk")
            .add("refresh_token", refresh_token)
    }
}
