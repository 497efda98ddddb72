use super::*;

const S: u64 = 30;

fn at(seconds: u64) -> Uptime {
    Uptime::at(Duration::from_secs(seconds))
}

fn id(instance: &str) -> InstanceId {
    InstanceId { enforcer: "guard".into(), instance: instance.into() }
}

fn request(applied_seq: u64) -> LeaseRequest {
    LeaseRequest {
        generation: "g".into(),
        applied_seq,
        nonce: "n".into(),
        instance: "i".into(),
        lease_seconds: S,
        version: "1".into(),
        head_proof: None,
    }
}

fn stand(acknowledged: usize, expired: usize, waiting: usize) -> Standing {
    Standing { acknowledged, expired, waiting }
}

fn arrive(leases: &mut Leases, id: &InstanceId, (applied, head): (u64, u64), now: Uptime) {
    leases.arrive(id, &request(applied), head, now).unwrap();
    leases.acknowledge(id, "g", applied);
}

fn stands(leases: &Leases, seq: u64, now: u64) -> Standing {
    standing(leases.positions(at(now)), seq)
}

#[test]
fn an_instance_that_told_one_node_needs_not_tell_the_others() {
    let (mut one, mut other) = (Leases::of("g"), Leases::of("g"));
    arrive(&mut one, &id("a"), (4, 4), at(0));
    arrive(&mut other, &id("a"), (5, 5), at(1));
    let both = one.positions(at(2)).chain(other.positions(at(2)));
    assert_eq!(standing(both, 5), stand(1, 0, 0));
    let both = one.positions(at(2)).chain(other.positions(at(2)));
    assert_eq!(standing(both, 6), stand(0, 0, 1));
}

#[test]
fn a_cutoff_waits_for_the_word_of_each_instance_or_the_end_of_its_lease() {
    let mut leases = Leases::of("g");
    arrive(&mut leases, &id("a"), (4, 4), at(0));
    arrive(&mut leases, &id("b"), (4, 4), at(5));
    assert_eq!(stands(&leases, 5, 6), stand(0, 0, 2));
    arrive(&mut leases, &id("a"), (5, 5), at(7));
    assert_eq!(stands(&leases, 5, 8), stand(1, 0, 1));
    assert_eq!(stands(&leases, 5, 35), stand(1, 0, 1));
    assert_eq!(stands(&leases, 5, 36), stand(1, 1, 0));
}

#[test]
fn a_renewal_that_came_after_the_cutoff_does_not_hide_the_lease_from_before_it() {
    let mut leases = Leases::of("g");
    arrive(&mut leases, &id("a"), (4, 4), at(0));
    // The answer to this one carries entry 5; if it is lost, the older lease still runs without it.
    arrive(&mut leases, &id("a"), (4, 5), at(10));
    assert_eq!(stands(&leases, 5, 30), stand(0, 0, 1));
    assert_eq!(stands(&leases, 5, 31), stand(0, 1, 0));
}

#[test]
fn many_renewals_are_taken_together_to_the_safe_side() {
    let mut leases = Leases::of("g");
    for head in 1..=40 {
        arrive(&mut leases, &id("a"), (0, head), at(head));
    }
    let lease = &leases.instances[&id("a")];
    assert!(lease.grants.len() <= GRANTS);
    // The oldest lease that runs at 40 was granted at 10 under head 10; saying less is safe, saying more is not.
    assert!(lease.pending_head(at(40)).unwrap() <= 10);
    assert_eq!(lease.pending_head(at(71)), None);
}

#[test]
fn under_another_log_nothing_counts_as_applied() {
    let mut leases = Leases::of("g");
    arrive(&mut leases, &id("a"), (9, 9), at(0));
    leases.start_over("h");
    // A word about the old log that comes late says nothing about the new one.
    leases.acknowledge(&id("a"), "g", 9);
    assert_eq!(stands(&leases, 1, 1), stand(0, 0, 1));
    assert_eq!(stands(&leases, 1, 31), stand(0, 1, 0));
}

#[test]
fn the_table_is_bounded_and_forgets_who_is_gone() {
    let mut leases = Leases::of("g");
    for number in 0..MOST_OF_ONE {
        leases.arrive(&id(&number.to_string()), &request(0), 0, at(0)).unwrap();
    }
    assert_eq!(leases.arrive(&id("one more"), &request(0), 0, at(1)), Err(TooManyLeases));
    let other =
        |number: usize| InstanceId { enforcer: format!("{}", number % 8), instance: number.to_string() };
    for number in MOST_OF_ONE..MOST {
        leases.arrive(&other(number), &request(0), 0, at(0)).expect("one enforcer takes no room of others");
    }
    assert_eq!(leases.arrive(&other(MOST), &request(0), 0, at(1)), Err(TooManyLeases));
    assert!(leases.arrive(&id("7"), &request(0), 0, at(1)).is_ok());
    assert!(leases.arrive(&id("one more"), &request(0), 0, at(1_000)).is_ok());
    assert_eq!(leases.len(), 1);
}
