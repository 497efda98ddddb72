//! The server and everybody around it.

use std::net::SocketAddr;
use std::ops::Deref;

use serde_json::{Value, json};
use taskpass::app::App;
use taskpass::config::{ServeArgs, ServeConfig};
use taskpass::domain::registry::Document;
use taskpass::flows::audit_trail::{self, Shown};
use taskpass::time::{Clock, Timestamp};

use super::database::Database;
use super::{Engine, Form, Reply, START, Tenant, assert_refused, section};

/// A server on a database of its own. As a tenant it is `main`; `acme` is the other one, with the same names and other keys.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) clock: Clock,
    pub(crate) acme: Tenant,
    pub(crate) config: ServeConfig,
    main: Tenant,
    app: Option<App>,
    database: Database,
}

impl Deref for World {
    type Target = Tenant;

    fn deref(&self) -> &Tenant {
        &self.main
    }
}

/// Runs a test in a world of its own, and afterwards checks what must hold whatever happened: the audit chains are
/// whole, and no credential stands in them.
pub(crate) fn run(engine: Engine, test: impl AsyncFnOnce(&mut World)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let Some(mut world) = World::start(engine, true).await else { return };
        test(&mut world).await;
        if world.app.is_some() {
            world.check_evidence().await;
        }
        world.end().await;
    });
}

/// A port that is free now. Another program could take it first; then the server doesn't start, and says so.
fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl World {
    /// A running world, with the tests' registry or with nothing in it. `None` if the engine is not there.
    pub(crate) async fn start(engine: Engine, populated: bool) -> Option<Self> {
        taskpass::tls::install_provider();
        let database = Database::create(engine).await?;
        let clock = Clock::manual(Timestamp(START));
        let listen = free_address();
        let public_url = format!("http://{listen}");
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let arguments = ServeArgs {
            listen: Some(listen),
            public_url: Some(public_url.clone()),
            database_url: Some(database.url.clone()),
            data_dir: Some(database.folder.path().join("data")),
            token_limit_per_second: Some(0),
            introspection_limit_per_second: Some(0),
            disk_reserve_mib: Some(1),
            ..ServeArgs::default()
        };
        let config = arguments.complete().unwrap();
        let main = Tenant::new("main", public_url.clone(), clock.clone(), http.clone());
        let acme = Tenant::new("acme", format!("{public_url}/t/acme"), clock.clone(), http);
        let document = populated.then(|| {
            let document = json!({ "version": 1, "tenants": [section(&main), section(&acme)] });
            serde_json::from_value::<Document>(document).unwrap()
        });
        let app = App::start(&config, clock.clone(), document).await.unwrap();
        Some(Self { engine, clock, acme, config, main, app: Some(app), database })
    }

    /// Lets time pass, and the server look at its log afterwards, as it does every moment.
    pub(crate) async fn pass(&self, seconds: u32) {
        self.clock.advance(seconds);
        self.app().server.refresh().await.unwrap();
    }

    /// The running server.
    pub(crate) fn app(&self) -> &App {
        self.app.as_ref().unwrap()
    }

    /// The other tenant too.
    pub(crate) fn tenant(&self, name: &str) -> &Tenant {
        if name == "main" { &self.main } else { &self.acme }
    }

    /// Stops the server and starts it again on the same database, with whatever was changed in `config`.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Stops the server.
    pub(crate) async fn stop(&mut self) {
        self.app.take().unwrap().stop().await;
    }

    /// Starts it again on the same database.
    pub(crate) async fn start_again(&mut self) {
        self.app = Some(App::start(&self.config, self.clock.clone(), None).await.unwrap());
    }

    /// Stops the server for good: nobody answers there any more.
    pub(crate) async fn halt(&mut self) {
        self.app.take().unwrap().stop().await;
    }

    /// Starts the server again after [`World::halt`].
    pub(crate) async fn revive(&mut self) {
        self.app = Some(App::start(&self.config, self.clock.clone(), None).await.unwrap());
    }

    /// A second node of the same server on the same database, and the URL at which it listens.
    pub(crate) async fn second_node(&self) -> (App, String) {
        let listen = free_address();
        let config = ServeConfig { listen, ..self.config.clone() };
        (App::start(&config, self.clock.clone(), None).await.unwrap(), format!("http://{listen}"))
    }

    /// Stops everything and leaves nothing behind.
    pub(crate) async fn end(mut self) {
        if let Some(app) = self.app.take() {
            app.stop().await;
        }
        self.database.remove().await;
    }

    /// Where the server keeps what isn't in the database.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.database.folder.path()
    }

    /// Lets time pass; the server goes on reading its log meanwhile.
    pub(crate) async fn advance(&self, seconds: i64) {
        self.clock.advance(u32::try_from(seconds).unwrap());
        if let Some(app) = &self.app {
            app.server.refresh().await.unwrap();
        }
    }

    // --- Evidence --------------------------------------------------------------------------------------------

    /// Every audit row of a tenant.
    pub(crate) async fn audit(&self, tenant: &str) -> Vec<Shown> {
        let server = &self.app().server;
        audit_trail::read(server, &server.tenant(tenant).unwrap(), 0, i64::from(i32::MAX)).await.unwrap()
    }

    /// How many tokens have a record, in all tenants.
    pub(crate) async fn token_records(&self) -> i64 {
        self.number("SELECT count(*) FROM tokens").await
    }

    /// One number from the database.
    #[expect(clippy::disallowed_methods, reason = "a look behind the server's back")]
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        use taskpass::storage::Tx;
        match self.app().server.db.read().await.unwrap() {
            Tx::Sqlite(mut tx) => sqlx::query_scalar(sql).fetch_one(&mut *tx).await.unwrap(),
            Tx::Postgres(mut tx) => sqlx::query_scalar(sql).fetch_one(&mut *tx).await.unwrap(),
        }
    }

    /// A change behind the server's back. How many rows it hit.
    #[expect(clippy::disallowed_methods, reason = "a hand in the database that is not the server's")]
    pub(crate) async fn tamper(&self, sql: &'static str) -> u64 {
        use taskpass::storage::Tx;
        let mut tx = self.app().server.db.write().await.unwrap();
        let hit = match &mut tx {
            Tx::Sqlite(tx) => sqlx::query(sql).execute(&mut **tx).await.unwrap().rows_affected(),
            Tx::Postgres(tx) => sqlx::query(sql).execute(&mut **tx).await.unwrap().rows_affected(),
        };
        tx.commit().await.unwrap();
        hit
    }

    /// Posts a form that must be refused so, by exactly one audit row that names the rule, and no token recorded.
    pub(crate) async fn refuses(&self, form: &Form, status: u16, error: &str, rule: &str) -> Reply {
        self.refuses_to(&form.tenant, self.post(form), (status, error, rule)).await
    }

    /// Exactly one row was added, it names the rule, and no token was recorded.
    pub(crate) async fn assert_audited(&self, tenant: &str, rows: usize, tokens: i64, rule: &str) {
        let after = self.audit(tenant).await;
        let rules: Vec<_> = after[rows..].iter().map(|row| row.event["rule"].clone()).collect();
        assert_eq!(rules, [Value::from(rule)], "one audit row names the rule");
        let last = &after[rows].event;
        assert_eq!((&last["granted"], &last["jti"]), (&json!(false), &Value::Null));
        // Fewer is fine: the server forgets records of days ago by its own schedule.
        assert!(self.token_records().await <= tokens, "a refusal must issue nothing");
    }

    /// A request of any kind that must be refused so (status, error, rule), by exactly one audit row of the tenant.
    pub(crate) async fn refuses_to(
        &self,
        tenant: &str,
        asked: impl Future<Output = Reply>,
        (status, error, rule): (u16, &str, &str),
    ) -> Reply {
        let (rows, tokens) = (self.audit(tenant).await.len(), self.token_records().await);
        let reply = asked.await;
        assert_refused(&reply, status, error, rule);
        self.assert_audited(tenant, rows, tokens, rule).await;
        reply
    }

    /// What verification finds wrong with a tenant's chain.
    pub(crate) async fn first_bad(&self, tenant: &str) -> Option<(u64, String)> {
        // The server may be writing a row this moment.
        let mut tx = self.app().server.db.snapshot().await.unwrap();
        audit_trail::verify(&mut tx, tenant, None).await.unwrap().first_bad
    }

    async fn check_evidence(&self) {
        for tenant in [&self.main, &self.acme] {
            if self.app().server.tenant(tenant.name).is_none() {
                continue;
            }
            assert_eq!(self.first_bad(tenant.name).await, None);
            let rows: Vec<_> =
                self.audit(tenant.name).await.iter().map(|row| row.event.to_string()).collect();
            let secrets = tenant.secrets.lock().unwrap();
            for secret in secrets.iter() {
                // Enough of its end to know it by, whatever was cut off.
                let tail = &secret[secret.len().saturating_sub(24)..];
                assert!(!rows.iter().any(|row| row.contains(tail)), "an audit row holds a credential");
            }
        }
    }

    /// Reads an answer of the other node.
    pub(crate) async fn post_to(&self, node: &str, form: &Form) -> Reply {
        let form = Form { url: form.url.replace(&self.main.issuer, node), ..form.clone() };
        self.post(&form).await
    }
}
