//! The house: each floor imports from the floors below it, never upward, never sideways except inside its own folder.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};

/// Each module's floor. Modules on one floor don't know each other, but for those listed in `NEIGHBOURS`.
const FLOORS: &[(&str, u8)] = &[
    ("entropy", 0),
    ("prompt", 0),
    ("protocol", 0),
    ("secret", 0),
    ("time", 0),
    ("tls", 0),
    ("config", 1),
    ("jose", 2),
    ("domain", 3),
    ("agent", 4),
    ("enforcer", 4),
    ("policy", 4),
    ("storage", 4),
    ("upstream", 4),
    ("flows", 5),
    ("ui", 5),
    ("guard", 6),
    ("http", 6),
    ("app", 7),
    ("cli", 7),
    ("telemetry", 7),
    ("main", 7),
];

/// Floor 0 is one room, and so is floor 7.
fn may_import(from: &str, to: &str) -> bool {
    let floor = |name: &str| FLOORS.iter().find(|(known, _)| *known == name).map(|(_, floor)| *floor);
    let (Some(own), Some(other)) = (floor(from), floor(to)) else { panic!("{from} or {to} is on no floor") };
    from == to || other < own || (own == other && matches!(own, 0 | 7))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    let module = |path: &Path| {
        let first = path.strip_prefix(&root).unwrap().components().next().unwrap();
        first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
    };
    found
        .into_iter()
        .map(|path| (module(&path), path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect()
}

#[test]
fn no_floor_imports_upward_or_sideways() {
    let mut wrong = Vec::new();
    for (module, path, text) in all().iter().filter(|(module, ..)| module != "lib") {
        for (_, rest) in text.match_indices("crate::").map(|(at, _)| text.split_at(at + 7)) {
            let to: String =
                rest.chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect();
            if to.starts_with(char::is_lowercase) && !may_import(module, &to) {
                wrong.push(format!("{}: {module} imports {to}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn foreign_crates_stay_in_their_rooms() {
    let rooms: &[(&str, &[&str])] = &[
        ("josekit::", &["jose"]),
        ("cedar_policy::", &["policy"]),
        ("oauth2::", &["upstream"]),
        ("sqlx::query", &["storage"]),
        ("askama::", &["ui"]),
        ("axum::", &["http", "guard", "enforcer", "agent", "cli"]),
        ("hyper::", &["guard", "app", "cli"]),
        ("hyper_util::", &["guard", "app", "cli"]),
    ];
    let mut wrong = Vec::new();
    for (module, path, text) in all() {
        for (name, allowed) in rooms {
            if text.contains(name) && !allowed.contains(&module.as_str()) {
                wrong.push(format!("{}: {name} belongs into {allowed:?}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn rooms_are_small() {
    let before_tests = |text: &str| text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
    let large: Vec<_> = all()
        .into_iter()
        .filter(|(_, path, text)| !path.to_string_lossy().contains("tests") && before_tests(text) > 400)
        .map(|(_, path, text)| format!("{}: {}", path.display(), before_tests(&text)))
        .collect();
    assert!(large.is_empty(), "past 400 lines before their tests: {large:#?}");
}
