//! What every test stands on: a server in this process on either engine, with a clock that stands still, and everybody
//! who talks to it. `cargo test` runs on SQLite; with `TASKPASS_TEST_POSTGRES_URL` (see `scripts/with-postgres`) every
//! test also runs on PostgreSQL.

mod browser;
mod database;
mod document;
mod form;
mod idp;
mod jws;
mod reply;
mod tenant;
mod tls;
mod world;

pub(crate) use browser::{Browser, CHALLENGE, DESK, Page, VERIFIER, asking, asking_with, authorize};
pub(crate) use database::Engine;
pub(crate) use document::*;
pub(crate) use form::Form;
pub(crate) use idp::{Idp, Tokens};
pub(crate) use jws::{Key, b64};
pub(crate) use reply::{Reply, assert_refused, claims};
pub(crate) use tenant::Tenant;
pub(crate) use tls::Site;
pub(crate) use world::{World, run};

/// Runs each named `async fn(&mut World)` as a test on both engines.
macro_rules! on_both_engines {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $name() {
                crate::harness::run(crate::harness::Engine::Sqlite, async |world| super::$name(world).await);
            })+
        }
        mod postgres {
            $(#[test]
            fn $name() {
                crate::harness::run(crate::harness::Engine::Postgres, async |world| super::$name(world).await);
            })+
        }
    };
}
pub(crate) use on_both_engines;
