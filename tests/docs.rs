//! Documentation that is made from the code, and must not drift from it. `UPDATE_DOCS=1 cargo test docs` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use taskpass::domain::refusal::Refusal;

fn check(path: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var("UPDATE_DOCS").is_ok() {
        std::fs::write(&path, text).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == text, "{} is out of date: UPDATE_DOCS=1 cargo test docs", path.display());
}

#[test]
fn errors_md_lists_every_refusal() {
    let mut text = String::from(
        "# Refusals\n\nEvery rule that a caller can break: its name (the `rule` member of the answer, the label of the metric \
         `taskpass_refusals_total`, the `rule` of the audit row), the `error` and status on the wire, and where the rule comes \
         from. Made from `src/domain/refusal.rs`.\n\n| rule | error | status | from | description |\n|---|---|---|---|---|\n",
    );
    for refusal in Refusal::ALL {
        let wire = refusal.wire();
        let (code, status) = (wire.code.as_str(), wire.code.status().as_u16());
        writeln!(text, "| `{}` | `{code}` | {status} | {} | {} |", wire.rule, wire.section, wire.description)
            .unwrap();
    }
    check("docs/errors.md", &text);
}

#[test]
fn registry_schema_is_the_one_of_the_code() {
    let schema = serde_json::to_string_pretty(&taskpass::cli::registry_file::json_schema()).unwrap() + "\n";
    check("docs/registry.schema.json", &schema);
}
