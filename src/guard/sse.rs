//! Server-sent events as bytes: where one ends, what it carries, and how one is written (WHATWG HTML, section 9.2).

use bytes::{Bytes, BytesMut};
use serde_json::Value;

/// Splits a stream into whole events, each with the blank line that ends it. Line ends may be LF, CR LF or CR.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    buffer: BytesMut,
    /// Up to where the buffer was searched.
    searched: usize,
    /// Whether the line that begins at `searched` is empty so far.
    at_line_start: bool,
}

impl Splitter {
    /// At the beginning of a stream.
    pub(super) fn new() -> Self {
        Self { buffer: BytesMut::new(), searched: 0, at_line_start: true }
    }

    /// Takes more bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole event, if there is one.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        while self.searched < self.buffer.len() {
            let byte = self.buffer[self.searched];
            let width = match (byte, self.buffer.get(self.searched + 1)) {
                (b'\r', Some(b'\n')) => 2,
                // Whether a line feed follows isn't known yet.
                (b'\r', None) => return None,
                (b'\r' | b'\n', _) => 1,
                _ => 0,
            };
            self.searched += width.max(1);
            if width > 0 && self.at_line_start {
                let event = self.buffer.split_to(self.searched).freeze();
                self.searched = 0;
                return Some(event);
            }
            self.at_line_start = width > 0;
        }
        None
    }

    /// How much is held back.
    pub(super) fn held(&self) -> usize {
        self.buffer.len()
    }
}

/// The data of an event: its `data` lines, joined. `None` when it has none.
pub(super) fn data(event: &str) -> Option<String> {
    let text = event.strip_prefix('\u{feff}').unwrap_or(event);
    let mut data: Option<String> = None;
    for line in lines(text) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if field == "data" {
            let value = value.strip_prefix(' ').unwrap_or(value);
            match &mut data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => data = Some(value.to_owned()),
            }
        }
    }
    data
}

/// The same event with other data. Of its other lines only those stay that every reader takes for the same field: some
/// end a line at whatever Unicode calls a line end, and would find data there that nobody has looked at.
pub(super) fn with_data(event: &str, data: Option<&str>) -> Bytes {
    let text = event.strip_prefix('\u{feff}').unwrap_or(event);
    let mut out = String::with_capacity(text.len());
    for line in lines(text).filter(|line| !line.is_empty()) {
        let field = line.split_once(':').map_or(line, |(field, _)| field);
        let plain = line.chars().all(|letter| matches!(letter, ' '..='~'));
        if field != "data" && plain {
            out.push_str(line);
            out.push('\n');
        }
    }
    // Serialized JSON has no line ends that are ASCII, and says the others in other words.
    if let Some(data) = data {
        let escaped = |letter: char| match letter {
            '\u{85}' | '\u{2028}' | '\u{2029}' => format!("\\u{:04x}", u32::from(letter)),
            letter => letter.to_string(),
        };
        out.push_str("data: ");
        out.extend(data.chars().map(escaped));
        out.push('\n');
    }
    out.push('\n');
    out.into()
}

/// An event of its own.
pub(super) fn message(data: &Value) -> Bytes {
    format!("event: message\ndata: {data}\n\n").into()
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    // A CR LF gives an empty piece between the two, which is no field.
    text.split(['\r', '\n'])
}

/// Whether a stream stands between two events, told from its bytes as they pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Boundary {
    /// Line ends seen in a row; the beginning of a stream is one.
    ends: u8,
    last: u8,
}

impl Boundary {
    /// At the beginning of a stream.
    pub(super) fn new() -> Self {
        Self { ends: 2, last: b'\n' }
    }

    /// These bytes passed.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' if self.last == b'\r' => {}
                b'\r' | b'\n' => self.ends = self.ends.saturating_add(1),
                _ => self.ends = 0,
            }
            self.last = *byte;
        }
    }

    /// Whether an event may begin here.
    pub(super) fn is_between(self) -> bool {
        self.ends >= 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&str]) -> Vec<String> {
        let mut splitter = Splitter::new();
        let mut events = Vec::new();
        for piece in pieces {
            splitter.push(piece.as_bytes());
            while let Some(event) = splitter.next() {
                events.push(String::from_utf8(event.to_vec()).unwrap());
            }
        }
        events
    }

    #[test]
    fn events_are_whole_however_they_arrive() {
        for text in ["data: a\n\ndata: b\n\n", "data: a\r\n\r\ndata: b\r\n\r\n", "data: a\r\rdata: b\r\r:"] {
            let whole = split(&[text]);
            assert_eq!(whole.len(), 2, "{text:?}");
            let letters: Vec<_> = text.split_inclusive(|_| true).collect();
            let single = split(&letters);
            let datas = |events: &[String]| events.iter().map(|event| data(event)).collect::<Vec<_>>();
            assert_eq!(datas(&single), [Some("a".to_owned()), Some("b".to_owned())], "{text:?}");
            assert_eq!(datas(&whole), datas(&single));
        }
        assert!(split(&["data: a\n", "data: b"]).is_empty());
    }

    #[test]
    fn data_is_joined_and_replaced() {
        let event = "\u{feff}id: 7\nevent: message\ndata: {\"a\":\ndata:1}\n: note\n\n";
        assert_eq!(data(event).unwrap(), "{\"a\":\n1}");
        let replaced = with_data("id: 7\r\ndata: {}\r\nretry: 5\r\n\r\n", Some("{\"x\":\"\\n\"}"));
        assert_eq!(replaced, "id: 7\nretry: 5\ndata: {\"x\":\"\\n\"}\n\n");
        assert_eq!(with_data("\u{feff}data: secret\n\n", Some("1")), "data: 1\n\n");
        assert_eq!(data(": ping\n\n"), None);
        assert_eq!(data("data\n\n"), Some(String::new()));
    }

    #[test]
    fn an_event_may_begin_only_between_events() {
        let mut boundary = Boundary::new();
        assert!(boundary.is_between());
        for (bytes, between) in [
            ("data: a", false),
            ("\n", false),
            ("\n", true),
            ("data: b\r\n", false),
            ("\r\n", true),
            (":\n", false),
        ] {
            boundary.pass(bytes.as_bytes());
            assert_eq!(boundary.is_between(), between, "{bytes:?}");
        }
    }
}
