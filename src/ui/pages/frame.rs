//! What surrounds every page.

use url::Url;

use crate::ui::asset;

/// What every page knows, whatever it is about.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// The path before every link and form action: empty for the main tenant, `/t/acme` for another one.
    pub base: String,
    /// The issuer's URL.
    pub issuer: String,
    /// The tenant's name, shown unless it is `main`.
    pub tenant: String,
    /// The hidden field `csrf` of every form: what ties a form to this browser.
    pub csrf: String,
    /// Whether the server runs for trying things out (`serve --dev`): said loudly, on every page.
    pub development: bool,
}

/// The person that a page speaks to.
#[derive(Clone, Debug, Default)]
pub struct Person {
    /// Their name, or what their identity provider has in its place.
    pub name: String,
    /// Their e-mail address, as a label only: it identifies nobody.
    pub email: Option<String>,
    /// The name of the identity provider at which they signed in.
    pub provider: String,
}

impl Frame {
    /// The issuer's host and port, by which people know this server.
    pub(crate) fn host(&self) -> String {
        host(&self.issuer)
    }

    /// The URL of one of our files.
    pub(crate) fn asset(&self, name: &str) -> String {
        let version = asset(name).map_or("", |(_, _, version)| version);
        format!("{}/assets/{name}?v={version}", self.base)
    }

    /// The tenant, where there are several.
    pub(crate) fn other_tenant(&self) -> Option<&str> {
        Some(self.tenant.as_str()).filter(|tenant| !tenant.is_empty() && *tenant != "main")
    }
}

/// Host and port of a URL; the text itself if it is none.
pub(crate) fn host(url: &str) -> String {
    let parsed = Url::parse(url).ok();
    let found = parsed.as_ref().and_then(|url| {
        let host = url.host_str()?;
        Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    });
    found.unwrap_or_else(|| url.to_owned())
}

/// What people see of something that has an id, and perhaps a name.
pub(crate) fn name_or_id<'a>(name: &'a str, id: &'a str) -> &'a str {
    if name.trim().is_empty() { id } else { name }
}
