//! The registry file: YAML in, one JSON document out, with the files that it names taken in.

mod shape;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::error::CliError;
use crate::domain::registry;
use crate::jose::{JwkError, JwkSet};
use crate::protocol::strict_json;

/// The largest file that is read, in bytes; a registry of ten thousand agents is a third of it.
const LARGEST: u64 = 16 << 20;

/// Reads a registry file (YAML, or JSON, which is YAML too) as one JSON document with everything inlined.
///
/// `-` reads standard input. Members `jwks_file` and `bundle_file` are read relative to the file's own folder (for
/// standard input, the current one) and become `jwks` and `bundle`. What the members mean is not judged here; that
/// they have the types that they should is.
///
/// # Errors
/// Exit code 2, with the line where it can be told: not YAML, a repeated key, a second document, an unknown member or
/// one of another type, a file that can't be read or isn't a key set, a private key where a public one belongs.
pub fn read(path: impl AsRef<Path>) -> Result<Value, CliError> {
    checked(path.as_ref(), Bundles::Inlined)
}

/// The same for a server that reads its own registry: `bundle_file` stays, as an absolute path, so that the server
/// reads the bundle again when it changes.
pub fn read_on_server(path: impl AsRef<Path>) -> Result<Value, CliError> {
    checked(path.as_ref(), Bundles::Watched)
}

fn checked(path: &Path, bundles: Bundles) -> Result<Value, CliError> {
    let (document, text) = read_with(path, bundles)?;
    shape::check(&document, &text, path)?;
    Ok(document)
}

/// What becomes of a `bundle_file`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bundles {
    /// It is read now: the server that gets the document is another machine.
    Inlined,
    /// It is read now to see that it can be, and stays a file for the server to read again.
    Watched,
}

/// The document with everything taken in, and the text of the file itself.
fn read_with(path: &Path, bundles: Bundles) -> Result<(Value, String), CliError> {
    let (text, folder) = if path == Path::new("-") {
        (text_of(std::io::stdin().lock(), path)?, Path::new("."))
    } else {
        let file = std::fs::File::open(path).map_err(|error| unreadable(path, &error))?;
        (
            text_of(file, path)?,
            path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")),
        )
    };
    let mut document = parse(&text, path)?;
    check_sections(&document, path)?;
    let folder = std::path::absolute(folder).map_err(|error| unreadable(path, &error))?;
    Inliner { folder, bundles }.document(&mut document)?;
    Ok((document, text))
}

/// The JSON Schema of the file: the registry document's, with the `_file` members that are taken in here.
pub fn json_schema() -> Value {
    let mut schema = registry::json_schema();
    allow_jwks_file(&mut schema);
    schema
}

/// Wherever `jwks` may stand, lets `jwks_file` stand instead.
fn allow_jwks_file(schema: &mut Value) {
    let file =
        || json!({ "type": "string", "description": "Or a file beside this one that holds the JWK set." });
    match schema {
        Value::Array(list) => {
            list.iter_mut().for_each(allow_jwks_file);
            // A way to say who one is, of several: the file is one more way.
            let way = list.iter().find(|way| way.pointer("/properties/jwks").is_some()).cloned();
            if let Some(mut way) = way {
                way["description"] = json!("Public keys in a file, for `private_key_jwt`.");
                way["properties"] = json!({ "jwks_file": file() });
                way["required"] = json!(["jwks_file"]);
                list.push(way);
            }
        }
        Value::Object(members) => {
            members.values_mut().for_each(allow_jwks_file);
            let required = members.get("required").and_then(Value::as_array);
            let optional = !required.is_some_and(|names| names.iter().any(|name| name == "jwks"));
            let properties = members.get_mut("properties").and_then(Value::as_object_mut);
            if let Some(properties) = properties.filter(|all| optional && all.contains_key("jwks")) {
                properties.insert("jwks_file".into(), file());
            }
        }
        _ => {}
    }
}

/// The sections of a document that [`read`] returned: each tenant's name and what it says.
pub fn sections(document: &Value) -> Vec<(&str, &Value)> {
    let list = document.get("tenants").and_then(Value::as_array);
    let named = |section| Some((Value::get(section, "tenant")?.as_str()?, section));
    list.into_iter().flatten().filter_map(named).collect()
}

fn usage(message: String) -> CliError {
    CliError::new(message).exit_code(CliError::USAGE)
}

fn unreadable(path: &Path, error: &std::io::Error) -> CliError {
    usage(format!("can't read {}: {error}", path.display()))
}

fn text_of(reader: impl std::io::Read, path: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    reader.take(LARGEST + 1).read_to_string(&mut text).map_err(|error| unreadable(path, &error))?;
    if text.len() as u64 > LARGEST {
        return Err(usage(format!("{} is larger than {} MiB", path.display(), LARGEST >> 20)));
    }
    Ok(text)
}

fn parse(text: &str, path: &Path) -> Result<Value, CliError> {
    let options = serde_saphyr::options! {
        // YAML 1.2: a country code `no` or a switch `on` is the text that it looks like.
        strict_booleans: true,
        reject_unsupported_tags: true,
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::Error,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        // The words for users: the others advise on the library's options.
        let words = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
        let place = error.location().map(|place| format!(":{}:{}", place.line(), place.column()));
        usage(format!("{}{} is not usable YAML: {words}", path.display(), place.unwrap_or_default()))
    })
}

fn check_sections(document: &Value, path: &Path) -> Result<(), CliError> {
    let path = path.display();
    let Some(list) = document.get("tenants").and_then(Value::as_array).filter(|list| !list.is_empty()) else {
        return Err(usage(format!("{path} names no tenant"))
            .hint("a registry begins with `version: 1`, then `tenants:` and a list of `- tenant: NAME`"));
    };
    let mut names = std::collections::BTreeSet::new();
    for (index, section) in list.iter().enumerate() {
        let name = section.get("tenant").and_then(Value::as_str);
        let name =
            name.ok_or_else(|| usage(format!("{path}: tenants[{index}] has no name under `tenant`")))?;
        if !names.insert(name) {
            return Err(usage(format!("{path}: tenant {name} has two sections; write one")));
        }
    }
    Ok(())
}

/// Takes in the files that a document names, and only where the format has such members: a JSON Schema or a detail
/// may well contain a member that happens to be called `jwks_file`.
struct Inliner {
    folder: PathBuf,
    bundles: Bundles,
}

impl Inliner {
    fn document(&self, document: &mut Value) -> Result<(), CliError> {
        for (index, section) in items(document, "tenants").enumerate() {
            let place = format!("tenants[{index}]");
            for (index, domain) in items(section, "trust_domains").enumerate() {
                self.inline(domain, "bundle", &format!("{place}.trust_domains[{index}]"))?;
            }
            for (index, provider) in items(section, "identity_providers").enumerate() {
                self.inline(provider, "jwks", &format!("{place}.identity_providers[{index}]"))?;
            }
            for kind in ["agents", "clients", "enforcers"] {
                for (index, entry) in items(section, kind).enumerate() {
                    for (number, identity) in items(entry, "identities").enumerate() {
                        self.inline(
                            identity,
                            "jwks",
                            &format!("{place}.{kind}[{index}].identities[{number}]"),
                        )?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Replaces `<member>_file` by `<member>` with what the file holds.
    fn inline(&self, entry: &mut Value, member: &'static str, place: &str) -> Result<(), CliError> {
        let name = format!("{member}_file");
        let Some(entry) = entry.as_object_mut().filter(|entry| entry.contains_key(&name)) else {
            return Ok(());
        };
        if entry.contains_key(member) {
            return Err(usage(format!("{place} has both `{name}` and `{member}`; keep one")));
        }
        let file = entry.get(&name).and_then(Value::as_str);
        let file = file.ok_or_else(|| usage(format!("{place}.{name} is not a file's path")))?;
        let path = self.folder.join(file);
        let keys = key_set(&path, member)
            .map_err(|error| CliError { message: format!("{place}.{name}: {}", error.message), ..error })?;
        let taken = match (member, self.bundles) {
            ("bundle", Bundles::Watched) => (name.clone(), json!(path)),
            _ => (member.to_owned(), keys),
        };
        // What is taken in stands where its file was named, so that the order of the rest stays.
        let members = std::mem::take(entry).into_iter();
        *entry = members.map(|(key, value)| if key == name { taken.clone() } else { (key, value) }).collect();
        Ok(())
    }
}

/// The objects under `member`, where it is a list.
fn items<'a>(value: &'a mut Value, member: &str) -> impl Iterator<Item = &'a mut Value> {
    value.get_mut(member).and_then(Value::as_array_mut).into_iter().flatten()
}

fn key_set(path: &Path, member: &str) -> Result<Value, CliError> {
    let file = std::fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    let text = text_of(file, path)?;
    let set = strict_json::object(text.as_bytes(), 8)
        .map_err(|error| usage(format!("{} is {error}", path.display())))?;
    let set = as_set(set);
    let parsed = if member == "bundle" { JwkSet::parse_spiffe_bundle(&set) } else { JwkSet::parse(&set) };
    parsed.map_err(|error| {
        let refused = usage(format!("{}: {error}", path.display()));
        match error {
            JwkError::PrivateKey => refused.hint("nothing was sent; keep the private half where it is used"),
            _ => refused,
        }
    })?;
    Ok(set)
}

/// A single JWK is a set of one; a private key file says so by failing the check that follows.
fn as_set(object: Map<String, Value>) -> Value {
    if object.contains_key("kty") {
        return json!({ "keys": [object] });
    }
    match object.get("private_jwk") {
        Some(jwk) => json!({ "keys": [jwk] }),
        None => Value::Object(object),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{Algorithm, PrivateJwk};

    fn write(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Without a look at the members' types, which these tests take liberties with.
    fn raw(path: &Path) -> Result<Value, CliError> {
        read_with(path, Bundles::Inlined).map(|(document, _)| document)
    }

    fn refuse(yaml: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let error = raw(&write(&folder, "registry.yaml", yaml)).unwrap_err();
        assert_eq!(error.exit_code, CliError::USAGE);
        error.to_string()
    }

    #[test]
    fn reads_yaml_as_the_text_that_it_looks_like() {
        let folder = tempfile::tempdir().unwrap();
        let yaml = "version: 1\ntenants:\n  - tenant: main\n    agents:\n      - {agent: no, tier: 2, on: true, since: 2026-01-01}\n    policies: |\n      permit(principal, action, resource);\n";
        let document = raw(&write(&folder, "registry.yaml", yaml)).unwrap();
        assert_eq!(
            document,
            json!({"version": 1, "tenants": [{"tenant": "main",
                "agents": [{"agent": "no", "tier": 2, "on": true, "since": "2026-01-01"}],
                "policies": "permit(principal, action, resource);\n"}]})
        );
        assert_eq!(sections(&document)[0].0, "main");
    }

    #[test]
    fn names_the_line_of_what_is_wrong() {
        let twice = refuse("version: 1\ntenants:\n  - tenant: main\n    agents: []\n    agents: []\n");
        assert!(twice.contains("registry.yaml:5:") && twice.contains("duplicate"), "{twice}");
        let broken = refuse("version: 1\ntenants: [\n");
        assert!(broken.contains("not usable YAML"), "{broken}");
        assert!(refuse("version: 1\ntenants: [{tenant: !!python/object x}]\n").contains("not usable YAML"));
        assert!(refuse("tenants: [{tenant: a}]\n---\ntenants: []\n").contains("not usable YAML"));
    }

    #[test]
    fn refuses_documents_without_named_sections() {
        for yaml in ["", "version: 1\n", "tenants: []\n", "tenants: main\n", "- tenants\n"] {
            assert!(refuse(yaml).contains("names no tenant"), "{yaml}");
        }
        assert!(refuse("tenants: [{agents: []}]\n").contains("tenants[0] has no name"));
        assert!(refuse("tenants: [{tenant: a}, {tenant: a}]\n").contains("two sections"));
    }

    #[test]
    fn takes_in_key_files_beside_the_document() {
        let folder = tempfile::tempdir().unwrap();
        let public = PrivateJwk::generate(Algorithm::ES256).unwrap().public().unwrap().to_json();
        let mut svid = public.clone();
        svid["use"] = json!("jwt-svid");
        write(&folder, "bundle.json", &json!({"keys": [svid]}).to_string());
        write(&folder, "one.json", &public.to_string());
        let yaml = "tenants:\n  - tenant: main\n    trust_domains: [{trust_domain: d.example, bundle_file: ./bundle.json, keep_seconds: 9}]\n    agents: [{agent: a, identities: [{jwks_file: one.json}]}]\n    detail_types: [{type: t, schema: {jwks_file: stays}}]\n";
        let document = raw(&write(&folder, "registry.yaml", yaml)).unwrap();
        let section = &document["tenants"][0];
        assert_eq!(
            section["trust_domains"][0],
            json!({"trust_domain": "d.example", "bundle": {"keys": [svid]}, "keep_seconds": 9})
        );
        assert_eq!(section["agents"][0]["identities"][0], json!({"jwks": {"keys": [public]}}));
        assert_eq!(section["detail_types"][0]["schema"], json!({"jwks_file": "stays"}));
        let (watched, _) = read_with(&folder.path().join("registry.yaml"), Bundles::Watched).unwrap();
        let bundle = folder.path().join("./bundle.json");
        assert_eq!(watched["tenants"][0]["trust_domains"][0]["bundle_file"], json!(bundle));
        assert_eq!(watched["tenants"][0]["agents"], section["agents"]);
    }

    #[test]
    fn the_schema_knows_the_files() {
        let validator = jsonschema::validator_for(&json_schema()).unwrap();
        let file = |entry: Value| {
            let mut section = entry.as_object().unwrap().clone();
            section.insert("tenant".into(), json!("main"));
            json!({"version": 1, "tenants": [section]})
        };
        let idp = |keys: Value| file(json!({"identity_providers": [keys]}));
        let enforcer = |identity: Value| {
            file(json!({"enforcers": [{"enforcer": "e", "resources": [], "identities": [identity]}]}))
        };
        for good in [
            idp(json!({"id": "corp", "issuer": "https://idp.example", "jwks_file": "a.json"})),
            idp(json!({"id": "corp", "issuer": "https://idp.example", "jwks": {"keys": []}})),
            enforcer(json!({"jwks_file": "a.json"})),
            enforcer(json!({"jwks": {"keys": []}})),
            enforcer(json!({"spiffe_id": "spiffe://d.example/e"})),
        ] {
            let errors: Vec<_> = validator.iter_errors(&good).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?}");
        }
        assert!(!validator.is_valid(&enforcer(json!({"jwks_fiel": "a.json"}))));
    }

    #[test]
    fn never_sends_a_private_key() {
        let folder = tempfile::tempdir().unwrap();
        let key: Value =
            serde_json::from_str(&PrivateJwk::generate(Algorithm::ES256).unwrap().to_text()).unwrap();
        write(&folder, "a.json", &key.to_string());
        write(&folder, "b.json", &json!({"client_id": "a", "private_jwk": key}).to_string());
        for file in ["a.json", "b.json"] {
            let yaml = format!(
                "tenants: [{{tenant: m, clients: [{{client: c, identities: [{{jwks_file: {file}}}]}}]}}]\n"
            );
            let error = read(write(&folder, "registry.yaml", &yaml)).unwrap_err();
            assert!(error.message.starts_with("tenants[0].clients[0].identities[0].jwks_file: "), "{error}");
            assert!(error.message.contains("private") && error.hint.is_some(), "{error}");
            assert!(!error.to_string().contains(key["d"].as_str().unwrap()));
        }
    }

    #[test]
    fn refuses_missing_twofold_and_broken_key_files() {
        let entry =
            |text: &str| refuse(&format!("tenants: [{{tenant: m, identity_providers: [{{{text}}}]}}]\n"));
        assert!(entry("jwks_file: nowhere.json").contains("can't read"));
        assert!(entry("jwks_file: nowhere.json, jwks: {keys: []}").contains("keep one"));
        assert!(entry("jwks_file: 3").contains("not a file's path"));
        assert!(entry("jwks_file: registry.yaml").contains("not a strict JSON object"));
        assert!(refuse_missing().contains("can't read"));
    }

    fn refuse_missing() -> String {
        read("/nonexistent/registry.yaml").unwrap_err().to_string()
    }
}
