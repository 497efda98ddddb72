//! Every page in every state, rendered and looked through.

mod markup;
pub(super) mod samples;

use self::markup::{Element, elements};
use super::samples;

/// Where a page is looked through for what it may not have.
fn check(name: &str, html: &str) {
    assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">"), "{name}");
    let elements = elements(html).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
    let of = |tag: &'static str| elements.iter().filter(move |element| element.tag == tag);
    for tag in ["h1", "title", "main", "header", "footer"] {
        assert_eq!(of(tag).count(), 1, "{name}: one {tag}");
    }
    for element in &elements {
        assert!(!["script", "style", "iframe", "object", "base"].contains(&element.tag.as_str()), "{name}");
        for (attribute, _) in &element.attributes {
            let banned = attribute == "style" || attribute.starts_with("on") || attribute == "srcdoc";
            assert!(!banned, "{name}: {attribute} at {}", element.tag);
        }
    }
    check_references(name, &elements);
    check_headings(name, &elements);
    for form in of("form") {
        assert_eq!(form.attribute("method"), Some("post"), "{name}");
        let csrf = elements.iter().find(|field| field.is_in(form) && field.attribute("name") == Some("csrf"));
        assert_eq!(csrf.and_then(|field| field.attribute("value")), Some("csrf-of-this-browser"), "{name}");
    }
    for button in of("button") {
        assert!(of("form").any(|form| button.is_in(form)), "{name}: a button outside of forms");
        assert!(!button.text.trim().is_empty(), "{name}: a button without a name");
    }
    for input in of("input").filter(|input| input.attribute("type") != Some("hidden")) {
        let id = input.attribute("id").unwrap_or_else(|| panic!("{name}: an input without an id"));
        let labels: Vec<_> = of("label").filter(|label| label.attribute("for") == Some(id)).collect();
        assert_eq!(labels.len(), 1, "{name}: labels of {id}");
        assert!(!labels[0].text.trim().is_empty(), "{name}: an empty label of {id}");
    }
    for image in of("img") {
        assert!(image.attribute("alt").is_some(), "{name}");
    }
}

/// Links, actions and files stay within the tenant; what refers to an id finds it, once.
fn check_references(name: &str, elements: &[Element]) {
    let base = if name.contains("tenant") { "/t/acme/" } else { "/" };
    for element in elements {
        for attribute in ["href", "src", "action"] {
            let Some(target) = element.attribute(attribute) else { continue };
            let inside = target.starts_with(base) && !target.starts_with("//");
            let leaves = name.starts_with("leaving") && target.starts_with("https://idp.example.com/");
            assert!(inside || leaves || target == "#content", "{name}: {attribute} {target}");
        }
        for attribute in ["aria-labelledby", "aria-describedby", "for"] {
            let Some(target) = element.attribute(attribute) else { continue };
            let found = elements.iter().filter(|other| other.attribute("id") == Some(target)).count();
            assert_eq!(found, 1, "{name}: {attribute} {target}");
        }
        if let Some(id) = element.attribute("id") {
            let same = elements.iter().filter(|other| other.attribute("id") == Some(id)).count();
            assert_eq!(same, 1, "{name}: id {id}");
        }
    }
}

/// A heading is at most one level below the one before it.
fn check_headings(name: &str, elements: &[Element]) {
    let mut before = 0;
    for element in elements {
        let Some(level) = element.tag.strip_prefix('h').and_then(|level| level.parse::<u8>().ok()) else {
            continue;
        };
        assert!(level <= before + 1, "{name}: h{level} after h{before}: {}", element.text);
        assert!(!element.text.trim().is_empty(), "{name}: an empty h{level}");
        before = level;
    }
}

#[test]
fn every_page_is_whole_and_inert() {
    let samples = samples();
    for (name, html) in &samples {
        check(name, html);
        assert!(!html.to_ascii_lowercase().contains("<script"), "{name}");
        let unseen = |letter: char| {
            letter != '\n' && (letter.is_control() || "\u{202e}\u{2066}\u{200b}\u{feff}".contains(letter))
        };
        assert!(!html.contains(unseen), "{name}");
    }
    for state in ["sign-in", "consent", "account", "withdrawn", "error", "signed-out"] {
        assert!(samples.iter().any(|(name, _)| name.starts_with(state)), "{state}");
        assert!(
            samples.iter().any(|(name, _)| name.starts_with(state) && name.contains("hostile")),
            "{state}"
        );
    }
}

#[test]
fn no_template_prints_anything_unescaped() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ui/templates");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for banned in ["|safe", "| safe", "|e(", "|escape", "style=", "<script", "javascript:"] {
            assert!(!text.contains(banned), "{}: {banned}", path.display());
        }
    }
}

#[test]
fn nothing_is_cut_short() {
    let page = |wanted: &str| samples().into_iter().find(|(name, _)| *name == wanted).unwrap().1;
    let html = page("consent-hostile");
    assert!(html.contains(&"y".repeat(3_000)), "the long purpose");
    assert!(html.contains("⟨U+202E⟩") && html.contains("⟨U+200B⟩"));
    let html = page("consent-60-tools");
    for number in 1..=60 {
        assert!(html.contains(&format!("<code>tool_{number}</code>")), "tool_{number}");
    }
}

#[test]
fn only_what_waits_looks_again() {
    for (name, html) in samples() {
        assert_eq!(html.contains("http-equiv=\"refresh\""), name.starts_with("leaving"), "{name}");
    }
}

/// With `TASKPASS_UI_SAMPLES` the pages are written into that folder, to be looked at.
#[test]
fn samples_can_be_looked_at() {
    #[expect(clippy::disallowed_methods, reason = "a switch of this test alone")]
    let Ok(folder) = std::env::var("TASKPASS_UI_SAMPLES") else { return };
    let folder = std::path::Path::new(&folder);
    std::fs::create_dir_all(folder).unwrap();
    for name in ["taskpass.css", "logo.svg", "favicon.svg"] {
        std::fs::write(folder.join(name), super::asset(name).unwrap().1).unwrap();
    }
    for (name, html) in samples() {
        let html = html.replace("\"/t/acme/assets/", "\"").replace("\"/assets/", "\"");
        std::fs::write(folder.join(name).with_extension("html"), html).unwrap();
    }
}
