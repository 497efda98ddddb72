//! HTTP/1.1 over plain sockets: a request can be written to several servers before any answer is read, which no HTTP
//! client offers, and which is what makes a race.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// A server that says nothing for this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a server answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The body; null if there is none.
    pub(crate) body: Value,
}

impl Answer {
    /// The member `name`, if it is a string.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_default()
    }

    /// Whether the request was refused because its assertion was used before.
    pub(crate) fn is_replay(&self) -> bool {
        self.status == 401
            && self.text("error") == "invalid_client"
            && self.text("rule") == "client_assertion_replayed"
            && self.body.get("access_token").is_none()
    }

    /// The token, of an answer that has one.
    pub(crate) fn token(&self) -> Option<String> {
        (self.status == 200).then(|| self.body["access_token"].as_str().map(str::to_owned)).flatten()
    }
}

/// One connection that is kept open, and opened again when it broke.
pub(crate) struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    patience: Duration,
}

impl Connection {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, patience: PATIENCE }
    }

    /// One that waits this long for an answer.
    pub(crate) fn patient(address: SocketAddr, patience: Duration) -> Self {
        Self { patience, ..Self::new(address) }
    }

    /// Sends one request and waits for its answer.
    pub(crate) fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.send(request)?;
        self.receive()
    }

    /// Sends one request; [`Connection::receive`] must follow.
    pub(crate) fn send(&mut self, request: &[u8]) -> io::Result<()> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => open(self.address, self.patience)?,
        };
        // Put back only when the request is out: a broken connection isn't used again.
        let stream = self.stream.insert(stream);
        stream.write_all(request).inspect_err(|_| self.stream = None)
    }

    /// The answer to the request that was sent last.
    pub(crate) fn receive(&mut self) -> io::Result<Answer> {
        let mut stream = self.stream.take().ok_or(io::ErrorKind::NotConnected)?;
        let (answer, keep) = read(&mut stream)?;
        if keep {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
}

fn open(address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience))?;
    Ok(stream)
}

fn read(stream: &mut TcpStream) -> io::Result<(Answer, bool)> {
    let mut bytes = Vec::with_capacity(4096);
    let mut part = [0; 8192];
    loop {
        let read = stream.read(&mut part)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&part[..read]);
        if let Some(answer) = parse(&bytes)? {
            return Ok(answer);
        }
    }
}

/// Every answer of Taskpass has a `Content-Length`.
fn parse(bytes: &[u8]) -> io::Result<Option<(Answer, bool)>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let head =
        str::from_utf8(&bytes[..end]).map_err(|_| invalid("the head isn't text"))?.to_ascii_lowercase();
    let status =
        head.get(9..12).and_then(|digits| digits.parse().ok()).ok_or_else(|| invalid("no status"))?;
    let field = |name: &str| {
        head.split("\r\n")
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.trim())
    };
    let length: usize = field("content-length")
        .and_then(|value| value.parse().ok())
        .ok_or_else(|| invalid("no Content-Length"))?;
    let body = &bytes[end + 4..];
    if body.len() < length {
        return Ok(None);
    }
    if body.len() > length {
        return Err(invalid("more bytes than Content-Length says"));
    }
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(body)? };
    Ok(Some((Answer { status, body }, field("connection") != Some("close"))))
}
