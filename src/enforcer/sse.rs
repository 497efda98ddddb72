//! Server-sent events (WHATWG HTML §9.2), as much of them as our feed uses.

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// Its name; empty when none was given.
    pub(super) name: String,
    /// Its id; empty when none was given.
    pub(super) id: String,
    /// Its data, lines joined by newlines.
    pub(super) data: String,
}

/// The longest event that is read, in bytes.
const LONGEST: usize = 16 * 1024 * 1024;

/// An event is longer than anything we read, or isn't text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream is not one of server-sent events, or an event is too long")]
pub(super) struct Unreadable;

/// Cuts a stream of bytes into events.
#[derive(Debug, Default)]
pub(super) struct Reader {
    buffer: Vec<u8>,
    /// Up to here there is no end of an event in the buffer.
    searched: usize,
}

impl Reader {
    /// Takes what has arrived, and hands out the events that are complete. Comments come out as nothing.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Unreadable> {
        self.buffer.extend_from_slice(bytes);
        let mut events = Vec::new();
        let mut begin = 0;
        while let Some(end) = find(&self.buffer[self.searched.max(begin)..]) {
            let end = self.searched.max(begin) + end;
            let text = std::str::from_utf8(&self.buffer[begin..end]).map_err(|_| Unreadable)?;
            events.extend(parse(text));
            begin = end + 2;
        }
        self.buffer.drain(..begin);
        // The first half of the end may be the last byte.
        self.searched = self.buffer.len().saturating_sub(1);
        if self.buffer.len() > LONGEST { Err(Unreadable) } else { Ok(events) }
    }
}

fn find(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair == b"\n\n")
}

fn parse(text: &str) -> Option<Event> {
    let mut event = Event::default();
    let mut data: Vec<&str> = Vec::new();
    for line in text.lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut event.name),
            "id" => value.clone_into(&mut event.id),
            "data" => data.push(value),
            _ => {}
        }
    }
    event.data = data.join("\n");
    (event != Event::default()).then_some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_whole_however_they_are_cut() {
        let text = b": hello\n\nevent: cutoffs\nid: g.4\ndata: {\"a\":1}\n\nevent: heartbeat\ndata: 4\n\n";
        for cut in 0..text.len() {
            let mut reader = Reader::default();
            let mut events = reader.read(&text[..cut]).unwrap();
            events.extend(reader.read(&text[cut..]).unwrap());
            let names: Vec<_> =
                events.iter().map(|event| (event.name.as_str(), event.data.as_str())).collect();
            assert_eq!(names, [("cutoffs", "{\"a\":1}"), ("heartbeat", "4")], "cut at {cut}");
            assert_eq!(events[0].id, "g.4");
        }
    }

    #[test]
    fn what_never_ends_is_refused() {
        let mut reader = Reader::default();
        let piece = vec![b'x'; 1024 * 1024];
        assert!((0..20).any(|_| reader.read(&piece).is_err()));
        assert_eq!(Reader::default().read(b"data: \xff\n\n"), Err(Unreadable));
    }
}
