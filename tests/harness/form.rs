//! A form on its way to one endpoint of one tenant.

use form_urlencoded::Serializer;

/// Its parameters, in order; nothing keeps a test from naming one twice.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) tenant: String,
    pub(crate) url: String,
    pub(crate) pairs: Vec<(String, String)>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Form {
    pub(crate) fn new(tenant: &str, url: String) -> Self {
        Self { tenant: tenant.to_owned(), url, pairs: Vec::new(), headers: Vec::new() }
    }

    /// Sets a parameter, in place of one that is there.
    pub(crate) fn set(self, name: &str, value: impl ToString) -> Self {
        self.without(name).add(name, value)
    }

    /// Adds a parameter beside those of its name.
    pub(crate) fn add(mut self, name: &str, value: impl ToString) -> Self {
        self.pairs.push((name.to_owned(), value.to_string()));
        self
    }

    /// Takes a parameter out.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.pairs.retain(|(other, _)| other != name);
        self
    }

    /// Sends a header too.
    pub(crate) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// The value of a parameter.
    pub(crate) fn get(&self, name: &str) -> &str {
        &self.pairs.iter().find(|(other, _)| other == name).unwrap().1
    }

    /// As it is sent.
    pub(crate) fn body(&self) -> String {
        Serializer::new(String::new()).extend_pairs(&self.pairs).finish()
    }
}
