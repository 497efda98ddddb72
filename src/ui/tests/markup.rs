//! A reader of HTML that knows just enough to see whether a page is put together well.

/// An element, in the order of its start tag.
#[derive(Debug)]
pub(super) struct Element {
    pub(super) tag: String,
    pub(super) attributes: Vec<(String, String)>,
    /// All text within it.
    pub(super) text: String,
    /// The places of its start and of its end in the page.
    span: (usize, usize),
}

const VOID: [&str; 5] = ["meta", "link", "img", "input", "br"];
/// What may not stand within a paragraph: a browser would close it.
const BLOCKS: [&str; 14] =
    ["p", "ul", "dl", "div", "section", "article", "form", "details", "pre", "h1", "h2", "h3", "h4", "h5"];

impl Element {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn is_in(&self, outer: &Self) -> bool {
        outer.span.0 < self.span.0 && self.span.1 <= outer.span.1
    }
}

/// All elements of a page; or what is wrong with it.
pub(super) fn elements(html: &str) -> Result<Vec<Element>, String> {
    let mut found: Vec<Element> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut rest = html.strip_prefix("<!doctype html>").ok_or("no doctype")?;
    while let Some(start) = rest.find('<') {
        let text = &rest[..start];
        if text.contains('>') {
            return Err(format!("a stray > in {text:?}"));
        }
        for index in &open {
            found[*index].text.push_str(text);
        }
        let end = rest[start..].find('>').ok_or("a tag that doesn't end")? + start;
        let at = html.len() - rest.len() + start;
        let tag = &rest[start + 1..end];
        if let Some(name) = tag.strip_prefix('/') {
            let index = open.pop().ok_or_else(|| format!("</{name}> closes nothing"))?;
            if found[index].tag != name {
                return Err(format!(
                    "</{name}> closes <{}> at {}",
                    found[index].tag,
                    &html[at.saturating_sub(80)..at]
                ));
            }
            found[index].span.1 = at;
        } else {
            let element = start_tag(tag, at)?;
            let in_paragraph =
                open.iter().any(|index| ["p", "button", "summary"].contains(&found[*index].tag.as_str()));
            if in_paragraph && BLOCKS.contains(&element.tag.as_str()) {
                return Err(format!("<{}> within a paragraph or button", element.tag));
            }
            if element.tag == "form" && open.iter().any(|index| found[*index].tag == "form") {
                return Err("a form within a form".into());
            }
            if !VOID.contains(&element.tag.as_str()) {
                open.push(found.len());
            }
            found.push(element);
        }
        rest = &rest[end + 1..];
    }
    if open.is_empty() { Ok(found) } else { Err(format!("<{}> isn't closed", found[open[0]].tag)) }
}

fn start_tag(tag: &str, at: usize) -> Result<Element, String> {
    let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
    if name.is_empty() || !name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit()) {
        return Err(format!("a tag {tag:?}"));
    }
    let mut attributes: Vec<(String, String)> = Vec::new();
    while !rest.trim_start().is_empty() {
        rest = rest.trim_start();
        let end = rest.find(['=', ' ']).unwrap_or(rest.len());
        let (attribute, after) = rest.split_at(end);
        let value = match after.strip_prefix("=\"") {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"').ok_or_else(|| format!("quotes in {tag:?}"))?;
                rest = after;
                value
            }
            None if after.starts_with('=') => return Err(format!("no quotes in {tag:?}")),
            None => {
                rest = after;
                ""
            }
        };
        if attributes.iter().any(|(known, _)| known == attribute) {
            return Err(format!("{attribute} twice in {tag:?}"));
        }
        attributes.push((attribute.to_owned(), value.to_owned()));
    }
    Ok(Element { tag: name.to_owned(), attributes, text: String::new(), span: (at, at) })
}
