//! Two servers on one PostgreSQL: one is killed or cut off from the database, the database is stopped, killed, set back.

use super::cluster::Cluster;
use super::enforcer::Nature;
use super::history::Ordeal;
use super::play::EVERYBODY;
use super::proxy::{Proxy, Weather};
use super::restored::perish;
use super::stage::{Kind, Member, Plan, Stage};
use super::{assert_clean, wanted};

/// Half of the enforcers go to the first node, half to the second.
fn stage(database_urls: Vec<String>) -> Stage {
    let kinds = vec![Kind::Guard, Kind::Guard, Kind::Own(Nature::Library), Kind::Own(Nature::Polling)];
    let stage = Stage::build(Plan { nodes: 2, kinds, database_urls, ..Plan::default() });
    of_second_node(&stage).into_iter().for_each(|member| lead(&stage, member, 1));
    stage
}

fn of_second_node(stage: &Stage) -> Vec<&Member> {
    stage.members.iter().skip(1).step_by(2).collect()
}

fn lead(stage: &Stage, member: &Member, node: usize) {
    member.way.lead_to(stage.recipes[node].address);
    member.way.cut();
}

#[test]
fn a_node_is_killed_or_cut_off_from_the_database() {
    if !wanted("a_node_is_killed_or_cut_off_from_the_database") {
        return;
    }
    let Some(cluster) = Cluster::start("faults of nodes") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let way = runtime.block_on(Proxy::start("127.0.0.1:0".parse().unwrap(), cluster.address(), false));
    let direct = cluster.create("nodes", None);
    let mut through = url::Url::parse(&direct).unwrap();
    through.set_port(Some(way.address.port())).unwrap();
    let stage = stage(vec![direct, through.into()]);

    let report = stage.play("a node cut off from its database", 4, |play| {
        // With both nodes there, a receipt takes no longer than their next words to each other.
        play.revoke_effectively();
        let second = &of_second_node(&stage)[..];
        let begun = play.begin(Ordeal::Apart, second, || way.others().set(Weather::DEAD));
        assert!(play.revoke());
        play.outlast(1.0);
        assert!(play.revoke());
        play.end(begun, || {
            way.others().set(Weather::FAIR);
            way.others().cut();
        });
        assert!(play.revoke());
        // Its connections have to be made anew.
        play.sleep(3.0);
    });
    assert_clean(&report, &stage);

    let report = stage.play("a node killed, its enforcers led to the other", 3, |play| {
        assert!(play.revoke());
        let second = &of_second_node(&stage)[..];
        let begun = play.begin(Ordeal::Troubled, second, || stage.node(1).kill());
        play.end(begun, || second.iter().for_each(|member| lead(&stage, member, 0)));
        assert!(play.revoke());
        play.sleep(1.0);
        assert!(play.revoke());
    });
    assert_clean(&report, &stage);
}

#[test]
fn the_database_is_stopped_and_killed() {
    if !wanted("the_database_is_stopped_and_killed") {
        return;
    }
    let Some(cluster) = Cluster::start("faults of a database") else { return };
    let url = cluster.create("faults", None);
    let stage = stage(vec![url.clone(), url]);
    let report = stage.play("PostgreSQL stopped", 3, |play| {
        play.talk_to(1);
        assert!(play.revoke());
        let begun = play.begin(Ordeal::Apart, EVERYBODY, || cluster.stop());
        // Acknowledged or not: it must not be lost if it is.
        let acknowledged = std::thread::scope(|scope| {
            let revoking = scope.spawn(|| play.revoke());
            play.outlast(1.0);
            play.end(begun, || cluster.go_on());
            revoking.join().unwrap()
        });
        eprintln!(
            "    a revocation sent meanwhile was {}",
            if acknowledged { "acknowledged" } else { "not acknowledged" }
        );
        play.sleep(2.0);
        assert!(play.revoke());
    });
    assert_clean(&report, &stage);
    let report = stage.play("PostgreSQL killed", 3, |play| {
        assert!(play.revoke());
        let begun = play.begin(Ordeal::Apart, EVERYBODY, || cluster.kill());
        assert!(!play.revoke(), "nothing could have been written");
        play.outlast(1.0);
        play.end(begun, || cluster.restart());
        play.sleep(2.0);
        assert!(play.revoke());
    });
    assert_clean(&report, &stage);
}

#[test]
fn a_restored_postgres_database_brings_nobody_back() {
    if !wanted("a_restored_postgres_database_brings_nobody_back") {
        return;
    }
    let Some(cluster) = Cluster::start("a restored database") else { return };
    let url = cluster.create("current", None);
    let stage = stage(vec![url.clone(), url]);
    let stop = || (0..2).for_each(|index| stage.node(index).kill());
    let start = || (0..2).for_each(|index| stage.restart_node(index));
    let report = stage.play("older database put back (PostgreSQL)", 3, |play| {
        let begun = play.begin(Ordeal::Troubled, EVERYBODY, || {
            stop();
            wait_until_alone();
            cluster.create("older", Some("current"));
            start();
        });
        assert!(play.revoke());
        play.sleep(0.5);
        assert!(play.revoke());
        play.wait_until_known(&stage.everybody());
        play.sleep(0.8);
        let log = stage.mint(0, "under the old log").unwrap().issued.log;
        stop();
        cluster.drop_database("current");
        cluster.create("current", Some("older"));
        start();
        play.end(begun, || perish(play, &stage, &log));
        assert!(play.revoke());
        play.outlast(1.0);
    });
    assert_clean(&report, &stage);
}

/// The server ends the sessions of those who are gone.
fn wait_until_alone() {
    std::thread::sleep(std::time::Duration::from_millis(500));
}
