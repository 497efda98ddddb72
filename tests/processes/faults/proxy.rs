//! A TCP proxy whose connections can be slowed down, swallowed in either direction, and cut. It tells apart who connects
//! by the process at the other end, since all enforcers know the server by one name.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

/// How a way treats what goes over it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weather {
    /// What the enforcer sends is swallowed; nobody is told.
    pub(super) swallow_up: bool,
    /// What the server sends from now on is swallowed; what is under way still arrives.
    pub(super) swallow_down: bool,
    /// How long each piece is under way, up and down.
    pub(super) delay_up: Duration,
    pub(super) delay_down: Duration,
    /// New connections are refused.
    pub(super) refuse: bool,
}

impl Weather {
    /// Half open: connections stand, and nothing comes through.
    pub(super) const DEAD: Self = Self { swallow_up: true, swallow_down: true, ..Self::FAIR };
    pub(super) const FAIR: Self = Self {
        swallow_up: false,
        swallow_down: false,
        delay_up: Duration::ZERO,
        delay_down: Duration::ZERO,
        refuse: false,
    };
}

/// The way of one process, or of everybody else.
pub(super) struct Way {
    weather: watch::Sender<Weather>,
    /// Moves when every connection is to be cut.
    cut: watch::Sender<u64>,
    target: Mutex<SocketAddr>,
    /// Leases that the server has sent down this way.
    leases: AtomicUsize,
}

impl Way {
    fn to(target: SocketAddr) -> Arc<Self> {
        Arc::new(Self {
            weather: watch::Sender::new(Weather::FAIR),
            cut: watch::Sender::new(0),
            target: Mutex::new(target),
            leases: AtomicUsize::new(0),
        })
    }

    pub(super) fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Breaks every connection.
    pub(super) fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Leads elsewhere from now on; standing connections stay.
    pub(super) fn lead_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = target;
    }

    pub(super) fn leases(&self) -> usize {
        self.leases.load(Ordering::SeqCst)
    }
}

/// A listening proxy.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    ways: Arc<Mutex<HashMap<u32, Arc<Way>>>>,
    others: Arc<Way>,
}

impl Proxy {
    /// Listens on `address` and leads everybody to `target` until told otherwise; each process by a way of its own, or all
    /// by one.
    pub(super) async fn start(address: SocketAddr, target: SocketAddr, by_process: bool) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let proxy =
            Self { address: listener.local_addr().unwrap(), ways: Arc::default(), others: Way::to(target) };
        let (ways, others) = (Arc::clone(&proxy.ways), Arc::clone(&proxy.others));
        tokio::spawn(async move {
            loop {
                let Ok((client, peer)) = listener.accept().await else { continue };
                let (ways, others) = (Arc::clone(&ways), Arc::clone(&others));
                tokio::spawn(async move {
                    let way = if by_process { find_soon(&ways, peer).await } else { Some(others) };
                    // Never by another's way: it would be open while this one's is cut. Whoever isn't known has to come again.
                    let Some(way) = way else { return };
                    // Whatever breaks is a broken connection to both ends.
                    let _ = carry(&way, client).await;
                });
            }
        });
        proxy
    }

    /// The way of this process from now on.
    pub(super) fn way_of(&self, pid: u32) -> Arc<Way> {
        let target = *self.others.target.lock().unwrap();
        Arc::clone(self.ways.lock().unwrap().entry(pid).or_insert_with(|| Way::to(target)))
    }

    /// The way of a process that takes another's place.
    pub(super) fn put(&self, pid: u32, way: Arc<Way>) {
        self.ways.lock().unwrap().insert(pid, way);
    }

    /// The way of everybody who has none of their own.
    pub(super) fn others(&self) -> &Way {
        &self.others
    }
}

async fn carry(way: &Arc<Way>, client: TcpStream) -> io::Result<()> {
    let mut cut = way.cut.subscribe();
    cut.mark_unchanged();
    if way.weather.borrow().refuse {
        return Ok(());
    }
    let target = *way.target.lock().unwrap();
    let server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    let up = pipe(Arc::clone(way), true, client_in, server_out);
    let down = pipe(Arc::clone(way), false, server_in, client_out);
    tokio::select! {
        ended = up => ended,
        ended = down => ended,
        _ = cut.changed() => Ok(()),
    }
}

/// One direction. What is swallowed is gone; the end of a swallowed direction isn't told either.
async fn pipe(
    way: Arc<Way>,
    up: bool,
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
) -> io::Result<()> {
    let (sender, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(256);
    let swallows = {
        let way = Arc::clone(&way);
        move || {
            let weather = *way.weather.borrow();
            if up { weather.swallow_up } else { weather.swallow_down }
        }
    };
    let read = async {
        let mut part = vec![0; 32 * 1024];
        loop {
            let read = from.read(&mut part).await?;
            while read == 0 && swallows() {
                sleep(Duration::from_millis(20)).await;
            }
            if read == 0 {
                return io::Result::Ok(());
            }
            if swallows() {
                continue;
            }
            let weather = *way.weather.borrow();
            let delay = if up { weather.delay_up } else { weather.delay_down };
            if !up && part[..read].windows(8).any(|bytes| bytes == b"head_seq") {
                way.leases.fetch_add(1, Ordering::SeqCst);
            }
            if sender.send((Instant::now() + delay, part[..read].to_vec())).await.is_err() {
                return Ok(());
            }
        }
    };
    let write = async {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            to.write_all(&piece).await?;
        }
        io::Result::Ok(())
    };
    tokio::select! {
        ended = read => ended,
        ended = write => ended,
    }
}

/// The same, also for a process that was started this moment and is here before its way is.
async fn find_soon(ways: &Arc<Mutex<HashMap<u32, Arc<Way>>>>, peer: SocketAddr) -> Option<Arc<Way>> {
    for _ in 0..50 {
        let ways = Arc::clone(ways);
        // The kernel's table may be long: what is under way on others' ways doesn't wait for it.
        let way = tokio::task::spawn_blocking(move || find(&ways, peer)).await.unwrap();
        if way.is_some() {
            return way;
        }
        sleep(Duration::from_millis(20)).await;
    }
    None
}

/// The way of the process that holds the socket `peer` of this machine.
fn find(ways: &Mutex<HashMap<u32, Arc<Way>>>, peer: SocketAddr) -> Option<Arc<Way>> {
    let inode = inode_of(peer)?;
    let ways = ways.lock().unwrap();
    ways.iter().find(|(pid, _)| holds(**pid, &inode)).map(|(_, way)| Arc::clone(way))
}

/// The kernel's number of the socket with this local address (proc(5), `/proc/net/tcp`).
fn inode_of(local: SocketAddr) -> Option<String> {
    let SocketAddr::V4(v4) = local else { return None };
    let address = format!("{:08X}:{:04X}", u32::from_le_bytes(v4.ip().octets()), v4.port());
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let row = table.lines().find(|row| row.split_whitespace().nth(1) == Some(address.as_str()))?;
    row.split_whitespace().nth(9).map(str::to_owned)
}

fn holds(pid: u32, inode: &str) -> bool {
    let link = format!("socket:[{inode}]");
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    open.flatten()
        .any(|file| std::fs::read_link(file.path()).is_ok_and(|target| target.to_string_lossy() == link))
}
