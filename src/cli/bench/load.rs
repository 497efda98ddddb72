//! A load generator for HTTP/1.1 (RFC 9112) that leaves the processors to the server: requests are bytes made
//! beforehand, each connection is one task with one request under way, and all of them share one thread, so that
//! nothing is locked and nobody is woken on another processor.

pub(super) mod pace;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

use crate::cli::error::CliError;
use crate::time::monotonic;

/// One HTTP request, head and body.
pub(super) type Request = Box<[u8]>;

/// What an answer's body must satisfy besides the status 200; `Err` says what it lacks.
pub(super) type Check = Box<dyn Fn(&[u8]) -> Result<(), &'static str> + Send>;

/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 1024 * 1024;
/// How long nothing at all may be answered before the run is given up.
const STALLED: Duration = Duration::from_secs(30);

/// In which order requests are taken.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// Each once, from the first to the last; the run ends when none is left.
    Once,
    /// Any of them at random, again and again; the seed must not be 0.
    Random(u64),
}

/// What to send, where to, and for how long.
pub(super) struct Load {
    /// The server.
    pub(super) address: SocketAddr,
    /// How many connections are kept open.
    pub(super) connections: usize,
    /// The requests to take from.
    pub(super) requests: Arc<Vec<Request>>,
    /// How they are taken.
    pub(super) order: Order,
    /// When to stop sending, counted from the first request.
    pub(super) duration: Option<Duration>,
    /// How many to send at most.
    pub(super) operations: Option<u64>,
    /// What each answer must satisfy.
    pub(super) check: Check,
}

/// What came of a load.
#[derive(Debug)]
pub(super) struct Measurement {
    /// Answers with status 200 that passed the check.
    pub(super) operations: u64,
    /// All others, broken connections included.
    pub(super) failures: u64,
    /// The first failure, in words.
    pub(super) first_failure: Option<String>,
    /// From the first request sent to the last answer read.
    pub(super) elapsed: Duration,
    /// Microseconds from just before a request was written, or from when it was due, to when its answer had been read;
    /// good answers only.
    pub(super) latencies: Histogram<u32>,
}

impl Measurement {
    /// The measurement, or the first failure as an error: for the parts of a run that must not fail at all.
    pub(super) fn without_failure(self, what: &str) -> Result<Self, CliError> {
        match &self.first_failure {
            None => Ok(self),
            Some(first) => {
                Err(CliError::new(format!("{what}: {} failed, the first with {first}", self.failures)))
            }
        }
    }
}

/// Sends the load and waits for all answers. It runs on a thread of its own, outside the caller's runtime.
pub(super) async fn drive(load: Load) -> Result<Measurement, CliError> {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(LocalSet::new().run_until(drive_here(load)))
    };
    tokio::task::spawn_blocking(run).await.map_err(|error| CliError::new(error.to_string()))?
}

async fn drive_here(load: Load) -> Result<Measurement, CliError> {
    let mut connections = Vec::with_capacity(load.connections);
    for _ in 0..load.connections {
        connections.push(Connection::open(load.address).await?);
    }
    let started = monotonic();
    let run = Rc::new(Run::new(load, started)?);
    let mut tasks = JoinSet::new();
    for connection in connections {
        tasks.spawn_local(Rc::clone(&run).keep_busy(connection));
    }
    tokio::select! {
        _ = tasks.join_all() => {}
        () = run.stalls() => {
            let seconds = STALLED.as_secs();
            return Err(CliError::new(format!("the server has answered nothing for {seconds} seconds")).exit_code(4));
        }
    }
    Ok(Rc::into_inner(run).ok_or_else(|| CliError::new("a connection outlived its run"))?.measured())
}

/// What the connections of one load share, on their one thread.
struct Run {
    load: Load,
    started: Instant,
    taken: Cell<u64>,
    random: Cell<u64>,
    operations: Cell<u64>,
    failures: Cell<u64>,
    first_failure: RefCell<Option<String>>,
    latencies: RefCell<Histogram<u32>>,
}

impl Run {
    fn new(load: Load, started: Instant) -> Result<Self, CliError> {
        let seed = match load.order {
            Order::Once => 1,
            Order::Random(seed) => seed,
        };
        // Up to 60 s with three digits: what takes longer counts as 60 s.
        let latencies =
            Histogram::new_with_max(60_000_000, 3).map_err(|error| CliError::new(error.to_string()))?;
        Ok(Self {
            load,
            started,
            taken: Cell::new(0),
            random: Cell::new(seed),
            operations: Cell::new(0),
            failures: Cell::new(0),
            first_failure: RefCell::new(None),
            latencies: RefCell::new(latencies),
        })
    }

    /// The index of the next request, unless it is time to stop.
    fn take(&self) -> Option<usize> {
        let taken = self.taken.get();
        if self.load.operations.is_some_and(|most| taken >= most) {
            return None;
        }
        if self.load.duration.is_some_and(|duration| monotonic().duration_since(self.started) >= duration) {
            return None;
        }
        let available = self.load.requests.len();
        let number = match self.load.order {
            Order::Once => taken,
            Order::Random(_) => self.next_random().checked_rem(u64::try_from(available).ok()?)?,
        };
        let index = usize::try_from(number).ok().filter(|index| *index < available)?;
        self.taken.set(taken + 1);
        Some(index)
    }

    /// Marsaglia's xorshift: good enough to spread requests, and a few instructions.
    fn next_random(&self) -> u64 {
        let mut bits = self.random.get();
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        self.random.set(bits);
        bits
    }

    async fn keep_busy(self: Rc<Self>, mut connection: Connection) {
        while let Some(index) = self.take() {
            // Nobody listens any more; the failure that broke the connection has been counted.
            if self.ask(&mut connection, index, monotonic()).await.is_err() {
                return;
            }
        }
    }

    /// Sends one request and records its answer, timed from `since`. A connection that ends with it is made anew.
    async fn ask(&self, connection: &mut Connection, index: usize, since: Instant) -> io::Result<()> {
        let keep = match connection.ask(&self.load.requests[index]).await {
            Ok(answer) => {
                self.record(since, &answer, connection.body(&answer));
                !answer.close
            }
            Err(error) => {
                self.fail(|| format!("a broken connection: {error}"));
                false
            }
        };
        if !keep {
            *connection = Connection::open(self.load.address).await?;
        }
        Ok(())
    }

    fn measured(self) -> Measurement {
        Measurement {
            operations: self.operations.get(),
            failures: self.failures.get(),
            first_failure: self.first_failure.into_inner(),
            elapsed: monotonic().duration_since(self.started),
            latencies: self.latencies.into_inner(),
        }
    }

    fn record(&self, sent: Instant, answer: &Answer, body: &[u8]) {
        if answer.status != 200 {
            return self.fail(|| format!("HTTP {}: {}", answer.status, excerpt(body)));
        }
        if let Err(lacking) = (self.load.check)(body) {
            return self.fail(|| format!("HTTP 200 that {lacking}: {}", excerpt(body)));
        }
        let took = u64::try_from(monotonic().duration_since(sent).as_micros()).unwrap_or(u64::MAX);
        self.latencies.borrow_mut().saturating_record(took);
        self.operations.set(self.operations.get() + 1);
    }

    fn fail(&self, describe: impl FnOnce() -> String) {
        self.failures.set(self.failures.get() + 1);
        self.first_failure.borrow_mut().get_or_insert_with(describe);
    }

    /// Returns once no answer has come for [`STALLED`].
    async fn stalls(&self) {
        let mut before = u64::MAX;
        loop {
            let answered = self.operations.get() + self.failures.get();
            if answered == before {
                return;
            }
            before = answered;
            tokio::time::sleep(STALLED).await;
        }
    }
}

fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(2000)]).into_owned()
}

/// Whether `text` stands anywhere in `body`.
pub(super) fn contains(body: &[u8], text: &[u8]) -> bool {
    body.windows(text.len()).any(|window| window == text)
}

/// One connection that is kept open.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// The head of an answer, and where its body lies in the connection's buffer.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status code.
    pub(super) status: u16,
    /// Whether the server closes the connection after it.
    close: bool,
    body: Range<usize>,
}

impl Connection {
    /// Connects.
    pub(super) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 8 * 1024] })
    }

    /// Sends one request and reads its answer.
    pub(super) async fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        let mut filled = 0;
        loop {
            if filled == self.buffer.len() {
                self.grow(filled * 2)?;
            }
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            filled += read;
            let Some(head) = parse_head(&self.buffer[..filled])? else {
                continue;
            };
            let end = head.body.end;
            if end > self.buffer.len() {
                self.grow(end)?;
            }
            // Only one request is under way, so nothing may follow its answer.
            if filled > end {
                return Err(invalid("more bytes than Content-Length says"));
            }
            self.stream.read_exact(&mut self.buffer[filled..end]).await?;
            return Ok(head);
        }
    }

    /// The body of the answer that was read last.
    pub(super) fn body(&self, answer: &Answer) -> &[u8] {
        &self.buffer[answer.body.clone()]
    }

    fn grow(&mut self, length: usize) -> io::Result<()> {
        if length > LONGEST_ANSWER {
            return Err(invalid("the answer is too long"));
        }
        self.buffer.resize(length, 0);
        Ok(())
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Reads the head of an answer (RFC 9112 §4, §6.2), once all of it has come. Only bodies with a `Content-Length` are
/// understood: whatever Taskpass answers has one.
fn parse_head(bytes: &[u8]) -> io::Result<Option<Answer>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = str::from_utf8(&bytes[..end]).map_err(|_| invalid("the head isn't text"))?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).and_then(|rest| rest.get(..3));
    let status = status.and_then(|digits| digits.parse().ok()).ok_or_else(|| invalid("no status line"))?;
    let (mut length, mut close) = (None, false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<usize>().ok();
        } else if name.eq_ignore_ascii_case("connection") {
            close = value.trim().eq_ignore_ascii_case("close");
        }
    }
    let start = end + 4;
    let length = length.filter(|length| *length <= LONGEST_ANSWER);
    let length = length.ok_or_else(|| invalid("no Content-Length, or one too large"))?;
    Ok(Some(Answer { status, close, body: start..start + length }))
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
