//! What pages load: one style sheet, the logo, the icon. All of it lies in the binary.

use std::sync::LazyLock;

use crate::secret::Digest;

const FILES: [(&str, &str, &str); 3] = [
    ("taskpass.css", "text/css; charset=utf-8", include_str!("assets/taskpass.css")),
    ("logo.svg", "image/svg+xml", include_str!("assets/logo.svg")),
    ("favicon.svg", "image/svg+xml", include_str!("assets/favicon.svg")),
];

/// The first half of the SHA-256 of each file, in hexadecimal.
static VERSIONS: LazyLock<[String; FILES.len()]> =
    LazyLock::new(|| FILES.map(|(_, _, body)| Digest::of(body.as_bytes()).hex()[..32].to_owned()));

/// The file of that name: its content type, its text, and a version that changes when the text does. Pages link to
/// `{base}/assets/{name}?v={version}`; the version also makes an `ETag`, once it is put into quotes.
pub fn asset(name: &str) -> Option<(&'static str, &'static str, &'static str)> {
    let index = FILES.iter().position(|(known, ..)| *known == name)?;
    let (_, content_type, body) = FILES[index];
    Some((content_type, body, &VERSIONS[index]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_by_their_whole_name() {
        let (content_type, body, version) = asset("taskpass.css").unwrap();
        assert!(content_type.starts_with("text/css") && body.contains("prefers-color-scheme"));
        assert_eq!(version.len(), 32);
        assert_ne!(version, asset("logo.svg").unwrap().2);
        for name in ["", "taskpass", "../taskpass.css", "TASKPASS.CSS", "taskpass.css "] {
            assert!(asset(name).is_none());
        }
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        for (name, _, body) in FILES {
            for banned in ["url(", "@import", "//", "data:", "<script", "javascript"] {
                let body = body.replace("http://www.w3.org/2000/svg", "");
                assert!(!body.contains(banned), "{name} has {banned}");
            }
        }
    }
}
