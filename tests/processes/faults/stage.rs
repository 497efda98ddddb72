//! Servers, enforcers, the proxy between them, and what is behind the guards.

use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use taskpass::time::monotonic;

use super::enforcer::{ENTRY, Nature, ORDERS, Orders};
use super::proxy::{Proxy, Way};
use crate::node::{Node, Recipe, free_addresses, last_words, taskpass, write_registry};
use crate::wire::Connection;
use crate::world::{RESOURCE, World};

/// What stands at a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `taskpass guard`.
    Guard,
    /// One of ours.
    Own(Nature),
}

/// How long the enforcers' lease is, in seconds.
pub(super) fn lease_seconds() -> u64 {
    if is_long() { 30 } else { 2 }
}

/// Whether the run takes its time.
pub(super) fn is_long() -> bool {
    crate::setting("TASKPASS_FAULTS").as_deref() == Some("long")
}

/// Signals a process that we started and haven't waited for.
pub(super) fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Makes a process stand still, and returns when it does: the signal alone doesn't say that nothing of it runs on.
pub(super) fn stop(pid: u32) {
    signal(pid, Signal::STOP);
    let started = monotonic();
    while !matches!(state_of(pid), None | Some('T' | 'Z')) {
        assert!(monotonic().duration_since(started) < Duration::from_secs(30), "{pid} doesn't stop");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What a process does, in the kernel's letter (proc(5)); nothing if there is none.
pub(super) fn state_of(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// An enforcer, killed when dropped.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    pub(super) way: Arc<Way>,
    kind: Kind,
    local: SocketAddr,
    folder: PathBuf,
    child: Mutex<Child>,
    /// The file that says by how much its wall clock is off, if it can be.
    clock: Option<PathBuf>,
}

impl Drop for Member {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Member {
    pub(super) fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// Whether it has a bug planted in it.
    pub(super) fn is_planted(&self) -> bool {
        !matches!(self.kind, Kind::Guard | Kind::Own(Nature::Library | Nature::Polling))
    }

    /// SIGKILL.
    pub(super) fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(super) fn last_words(&self) -> String {
        format!("{}:\n{}", self.name, last_words(&self.folder.join(format!("{}.log", self.name))))
    }
}

/// What is to be put on the stage.
#[derive(Default)]
pub(super) struct Plan {
    /// Where the nodes keep what they know; SQLite in the stage's folder unless it is given.
    pub(super) database_urls: Vec<String>,
    pub(super) nodes: usize,
    pub(super) kinds: Vec<Kind>,
    /// Wall clocks can be set.
    pub(super) clocks: bool,
    /// The database is on a disk of this many bytes.
    pub(super) disk: Option<u64>,
}

/// Everything that plays, stopped when dropped.
pub(super) struct Stage {
    pub(super) members: Vec<Member>,
    pub(super) nodes: Vec<Mutex<Node>>,
    pub(super) recipes: Vec<Recipe>,
    pub(super) world: World,
    pub(super) proxy: Proxy,
    upstream: SocketAddr,
    plan: Plan,
    // The last to go: the folder, and what the proxy runs on.
    pub(super) folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

/// The library that lies about the wall clock, if it is installed.
pub(super) fn lying_clock() -> Option<&'static str> {
    const WHERE: [&str; 2] = ["/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime"];
    let file = "libfaketimeMT.so.1";
    WHERE.iter().find(|folder| Path::new(folder).join(file).exists()).copied()
}

fn with_clock(mut command: Command, file: &Path) -> Command {
    std::fs::write(file, "+0").unwrap();
    command
        .env("LD_PRELOAD", Path::new(lying_clock().unwrap()).join("libfaketimeMT.so.1"))
        .env("FAKETIME_TIMESTAMP_FILE", file)
        .env("FAKETIME_CACHE_DURATION", "1")
        // What runs forward only isn't touched: no machine's operator can do that either.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command
}

/// Whether what is set is really off: asked of a program that is none of ours.
pub(super) fn clocks_can_be_set(folder: &Path) -> bool {
    let seconds = |set: &str| {
        let file = folder.join("clock-to-try");
        let mut command = with_clock(Command::new("date"), &file);
        std::fs::write(&file, set).unwrap();
        let output = command.arg("+%s").output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse::<i64>().unwrap()
    };
    seconds("+3600") - seconds("+0") > 3_500
}

impl Stage {
    pub(super) fn build(plan: Plan) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let random = || u64::from_le_bytes(taskpass::entropy::Entropy::default().bytes());
        let mut addresses = free_addresses(1 + plan.nodes + 2 * plan.kinds.len(), random);
        let issuer_address = addresses.remove(0);
        let issuer = format!("http://{issuer_address}");
        let world = World::new(issuer.clone());
        write_registry(folder.path(), &world);
        let key_file = folder.path().join("enforcer.json");
        let mut options = std::fs::File::options();
        let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(&key_file).unwrap();
        std::io::Write::write_all(&mut file, world.key_file().as_bytes()).unwrap();

        let recipes: Vec<_> = addresses
            .drain(..plan.nodes)
            .enumerate()
            .map(|(index, address)| Recipe {
                address,
                issuer: issuer.clone(),
                database_url: plan.database_urls.get(index).cloned().unwrap_or_else(|| {
                    let place = if plan.disk.is_some() { "small/taskpass.sqlite" } else { "taskpass.sqlite" };
                    format!("sqlite:{}", folder.path().join(place).display())
                }),
                folder: folder.path().to_owned(),
            })
            .collect();
        let (upstream, proxy) = runtime.block_on(async {
            let upstream = start_upstream().await;
            (upstream, Proxy::start(issuer_address, recipes[0].address, true).await)
        });
        let mut stage = Self {
            members: Vec::new(),
            nodes: Vec::new(),
            recipes,
            world,
            proxy,
            upstream,
            plan,
            folder,
            _runtime: runtime,
        };
        let mut nodes: Vec<_> = (0..stage.recipes.len()).map(|index| stage.spawn_node(index)).collect();
        nodes.iter_mut().for_each(|node| node.wait_until_ready(&stage.world));
        stage.nodes = nodes.into_iter().map(Mutex::new).collect();
        stage.members = (0..stage.plan.kinds.len())
            .map(|index| stage.new_member(index, (addresses[2 * index], addresses[2 * index + 1])))
            .collect();
        stage
    }

    fn spawn_node(&self, index: usize) -> Node {
        let mut command = taskpass();
        if let Some(bytes) = self.plan.disk {
            let small = self.folder.path().join("small");
            std::fs::create_dir_all(&small).unwrap();
            let script = format!("mount -t tmpfs -o size={bytes} none {} && exec \"$@\"", small.display());
            let program = command.get_program().to_owned();
            command = Command::new("unshare");
            command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
            command.args(["--mount", "sh", "-c", &script, "sh"]).arg(program);
            command.env("TASKPASS_DISK_RESERVE_MIB", "8");
        }
        if self.plan.clocks {
            command = with_clock(command, &self.node_clock(index));
        }
        self.recipes[index].spawn_by(command)
    }

    fn node_clock(&self, index: usize) -> PathBuf {
        self.folder.path().join(format!("clock-of-node-{index}"))
    }

    /// Sets the wall clock of a node off by so many seconds; it is so within a second.
    pub(super) fn set_node_clock(&self, index: usize, seconds: i64) {
        std::fs::write(self.node_clock(index), format!("{seconds:+}")).unwrap();
    }

    pub(super) fn set_clock(&self, member: &Member, seconds: i64) {
        std::fs::write(member.clock.as_ref().unwrap(), format!("{seconds:+}")).unwrap();
    }

    /// Starts a node again after it was killed.
    pub(super) fn restart_node(&self, index: usize) {
        let mut node = self.spawn_node(index);
        node.wait_until_ready(&self.world);
        *self.nodes[index].lock().unwrap() = node;
    }

    pub(super) fn node(&self, index: usize) -> std::sync::MutexGuard<'_, Node> {
        self.nodes[index].lock().unwrap()
    }

    fn new_member(&self, index: usize, (address, local): (SocketAddr, SocketAddr)) -> Member {
        let kind = self.plan.kinds[index];
        let name = match kind {
            Kind::Guard => format!("guard-{index}"),
            Kind::Own(nature) => format!("{nature:?}-{index}").to_lowercase(),
        };
        let folder = self.folder.path().to_owned();
        let clock = self.plan.clocks.then(|| folder.join(format!("clock-of-{name}")));
        let child = self.spawn_member(&name, kind, (address, local), clock.as_deref());
        let way = self.proxy.way_of(child.id());
        Member { name, address, way, kind, local, folder, child: Mutex::new(child), clock }
    }

    fn spawn_member(
        &self,
        name: &str,
        kind: Kind,
        (address, local): (SocketAddr, SocketAddr),
        clock: Option<&Path>,
    ) -> Child {
        let folder = self.folder.path();
        let log = folder.join(format!("{name}.log"));
        let output = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let mut command = match kind {
            Kind::Guard => taskpass(),
            Kind::Own(_) => {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.env_clear();
                command
            }
        };
        if let Some(clock) = clock {
            command = with_clock(command, clock);
        }
        match kind {
            Kind::Guard => command
                .args(["guard", "--resource", RESOURCE, "--issuer", &self.world.issuer])
                .args(["--upstream", &format!("http://{}", self.upstream)])
                .args(["--listen", &address.to_string(), "--local", &local.to_string()])
                .args(["--lease-seconds", &lease_seconds().to_string(), "--log", "info"])
                .arg("--credentials")
                .arg(folder.join("enforcer.json"))
                .arg("--data-dir")
                .arg(folder.join(name)),
            Kind::Own(nature) => {
                let credentials = self.world.key_file();
                let orders = Orders { nature, listen: address, credentials, lease_seconds: lease_seconds() };
                command
                    .args(["--exact", ENTRY, "--nocapture", "--test-threads", "1"])
                    .env(ORDERS, serde_json::to_string(&orders).unwrap())
            }
        };
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap()
    }

    /// Starts an enforcer again after it was killed; its way stays as it is.
    pub(super) fn restart(&self, member: &Member) {
        let addresses = (member.address, member.local);
        let child = self.spawn_member(&member.name, member.kind, addresses, member.clock.as_deref());
        self.proxy.put(child.id(), Arc::clone(&member.way));
        *member.child.lock().unwrap() = child;
    }

    /// Every enforcer.
    pub(super) fn everybody(&self) -> Vec<&Member> {
        self.members.iter().collect()
    }

    /// Waits until every enforcer lets this token in.
    pub(super) fn wait_until_enforced(&self, token: &str) {
        let request = presentation(token);
        for member in &self.members {
            let mut tries = 0;
            while !Connection::patient(member.address, Duration::from_secs(5))
                .ask(&request)
                .is_ok_and(|answer| answer.status == 200)
            {
                tries += 1;
                assert!(tries < 400, "an enforcer isn't ready; {}", member.last_words());
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// What everybody wrote last, for whoever looks for a reason.
    pub(super) fn last_words(&self) -> String {
        let nodes = self.nodes.iter().map(|node| node.lock().unwrap().last_words());
        nodes.chain(self.members.iter().map(Member::last_words)).collect::<Vec<_>>().join("\n")
    }
}

/// A request with this token, which any good token opens.
pub(super) fn presentation(token: &str) -> Vec<u8> {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }).to_string();
    let length = body.len();
    format!(
        "POST /mcp HTTP/1.1\r\nHost: tickets.example.com\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The server behind the guards: it has nothing against anybody.
async fn start_upstream() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let pong = || async { axum::Json(json!({ "jsonrpc": "2.0", "id": 1, "result": {} })) };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(pong)).await });
    address
}
