//! Narrowing never widens: the laws of `domain::narrowing` on generated details, related pairs and calls near the bounds.

mod generators;

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use taskpass::domain::narrowing::{DetailTypes, OperatorType, ToolGrants};
use taskpass::protocol::authorization_details::AuthorizationDetails;

use self::generators::{
    Call, after, aimed_calls, call, change, details, is_well_formed, number, payment, related,
};

fn ten_thousand() -> Config {
    Config { cases: 10_000, failure_persistence: None, max_global_rejects: 100_000, ..Config::default() }
}

fn read(details: &Value) -> AuthorizationDetails {
    AuthorizationDetails::parse(&details.to_string()).unwrap()
}

fn allows(grants: &ToolGrants, call: &Call) -> bool {
    grants.allows(call.location, call.tool, &call.arguments).is_ok()
}

fn within(child: &AuthorizationDetails, parent: &AuthorizationDetails) -> bool {
    DetailTypes::builtin().within(child, parent).is_ok()
}

proptest! {
    #![proptest_config(ten_thousand())]

    #[test]
    fn what_a_child_allows_its_parent_allows((child, parent) in related(), calls in vec(call(), 4)) {
        let (child_details, parent_details) = (read(&child), read(&parent));
        if within(&child_details, &parent_details) {
            let (small, large) = (ToolGrants::of(&child_details), ToolGrants::of(&parent_details));
            for call in calls.into_iter().chain(aimed_calls(&child)).chain(aimed_calls(&parent)) {
                prop_assert!(!allows(&small, &call) || allows(&large, &call), "{call:?}");
            }
        }
    }

    #[test]
    fn what_a_meet_allows_both_allow((a, b) in related(), calls in vec(call(), 4)) {
        let (left, right) = (read(&a), read(&b));
        let common = DetailTypes::builtin().meet(&left, &right);
        prop_assert!(within(&common, &left) && within(&common, &right), "{common:?}");
        // Nothing is lost where one side lies within the other.
        let whole = within(&left, &right) || within(&right, &left);
        let [left, right, common] = [&left, &right, &common].map(ToolGrants::of);
        for call in calls.into_iter().chain(aimed_calls(&a)).chain(aimed_calls(&b)) {
            let both = allows(&left, &call) && allows(&right, &call);
            prop_assert!(!allows(&common, &call) || both, "{call:?} {common:?}");
            prop_assert!(allows(&common, &call) || !both || !whole, "{call:?} {common:?}");
        }
    }

    #[test]
    fn a_meet_of_strangers_is_within_both(a in details(), b in details(), calls in vec(call(), 4)) {
        let (left, right) = (read(&a), read(&b));
        let common = DetailTypes::builtin().meet(&left, &right);
        prop_assert!(is_well_formed(&common.to_value()));
        prop_assert!(within(&common, &left) && within(&common, &right), "{common:?}");
        prop_assert_eq!(&common, &DetailTypes::builtin().meet(&left, &right));
        let [left, right, common] = [&left, &right, &common].map(ToolGrants::of);
        for call in calls.into_iter().chain(aimed_calls(&a)).chain(aimed_calls(&b)) {
            let both = allows(&left, &call) && allows(&right, &call);
            prop_assert!(!allows(&common, &call) || both, "{call:?} {common:?}");
        }
    }

    #[test]
    fn details_are_within_themselves_in_every_spelling(one in details()) {
        let details = read(&one);
        prop_assert!(within(&details, &details));
        let canonical = AuthorizationDetails::parse(&details.canonical()).unwrap();
        prop_assert!(within(&canonical, &details) && within(&details, &canonical));
        prop_assert_eq!(canonical.canonical(), details.canonical());
        let same = DetailTypes::builtin().meet(&details, &details);
        prop_assert!(within(&same, &details) && within(&details, &same));
    }

    #[test]
    fn within_is_transitive((b, a) in related(), changes in vec(change(), 1..3)) {
        let c = after(&b, &changes);
        let (a, b, c) = (read(&a), read(&b), read(&c));
        prop_assert!(!(within(&c, &b) && within(&b, &a)) || within(&c, &a));
    }

    #[test]
    fn a_tool_that_may_be_called_is_listed(one in details(), call in call()) {
        let details = read(&one);
        let listed = DetailTypes::builtin().tools_for(&details, call.location);
        let allowed = DetailTypes::builtin().allows_call(&details, call.location, call.tool, &call.arguments);
        prop_assert!(allowed.is_err() || listed.contains(call.tool));
    }

    #[test]
    fn parsing_never_panics(text in "[\\[\\]{}\",:a-z0-9.eE+\\\\-]{0,60}|\\PC{0,40}") {
        if let Ok(details) = AuthorizationDetails::parse(&text) {
            prop_assert!(AuthorizationDetails::parse(&details.canonical()).is_ok());
        }
    }
}

static PAYMENTS: LazyLock<DetailTypes> = LazyLock::new(|| {
    let payment = OperatorType::from_value(json!({
        "type": "payment",
        "schema": {"type": "object", "properties": {"amount": {"type": "number"}}},
        "narrowing": {"currency": "equal", "accounts": "subset", "amount": "at_most", "path": "prefix"}
    }));
    DetailTypes::with(vec![payment.unwrap()]).unwrap()
});

/// What a resource would make of a payment detail, with an absent member read as "any" or as "none".
fn resource_allows(
    details: &AuthorizationDetails,
    absent_is_any: bool,
    order: &(Value, &str, Value, &str),
) -> bool {
    details.iter().any(|detail| {
        let member =
            |name: &str, fits: &dyn Fn(&Value) -> bool| detail.object().get(name).map_or(absent_is_any, fits);
        member("currency", &|own| *own == order.0)
            && member("accounts", &|own| own.as_array().unwrap().contains(&json!(order.1)))
            && member("amount", &|own| exact(&order.2) <= exact(own))
            && member("path", &|own| order.3.starts_with(own.as_str().unwrap()))
    })
}

/// Twice the number, exactly: the generated fractions are halves.
#[expect(clippy::cast_possible_truncation, reason = "twice a generated number is a small integer")]
fn exact(number: &Value) -> i128 {
    let whole = number.as_i64().map(i128::from).or(number.as_u64().map(i128::from));
    whole.map_or_else(|| (number.as_f64().unwrap() * 2.0) as i128, |n| n * 2)
}

proptest! {
    #![proptest_config(ten_thousand())]

    #[test]
    fn operator_types_obey_the_laws(
        a in vec(payment(), 1..4),
        b in vec(payment(), 1..4),
        c in vec(payment(), 1..3),
        order in (select(vec![json!("EUR"), json!("eur")]), select(vec!["a", "b", "c"]), number(), select(vec!["/a/b/c", "/A/x", "/a"])),
        absent_is_any in any::<bool>(),
    ) {
        let types = &*PAYMENTS;
        let [a, b, c] = [a, b, c].map(|list| AuthorizationDetails::from_value(list.into()).unwrap());
        let within = |child: &AuthorizationDetails, parent: &AuthorizationDetails| types.within(child, parent).is_ok();
        let allows = |details: &AuthorizationDetails| resource_allows(details, absent_is_any, &order);
        prop_assert!(within(&a, &a));
        prop_assert!(!within(&a, &b) || !allows(&a) || allows(&b));
        prop_assert!(!within(&c, &b) || !within(&b, &a) || within(&c, &a));
        let common = types.meet(&a, &b);
        prop_assert!(within(&common, &a) && within(&common, &b), "{common:?}");
        prop_assert!(!allows(&common) || (allows(&a) && allows(&b)), "{common:?}");
    }
}

/// The same samples on every run.
fn samples<S: Strategy>(strategy: &S, count: usize) -> Vec<S::Value> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// `part` is at least `percent` of `whole`.
fn at_least(percent: usize, part: usize, whole: usize, what: &str) {
    assert!(part * 100 >= percent * whole, "{what}: only {part} of {whole}");
}

#[test]
fn the_laws_are_not_vacuous() {
    let cases = samples(&(related(), vec(call(), 4)), 2_000);
    let total = cases.len();
    let (mut inside, mut proper, mut calls, mut allowed, mut both, mut met) = (0, 0, 0, 0, 0, 0);
    for ((child, parent), drawn) in cases {
        let (child_details, parent_details) = (read(&child), read(&parent));
        inside += usize::from(within(&child_details, &parent_details));
        let narrower = within(&child_details, &parent_details) && !within(&parent_details, &child_details);
        proper += usize::from(narrower && !child_details.is_empty());
        let common = ToolGrants::of(&DetailTypes::builtin().meet(&child_details, &parent_details));
        let (small, large) = (ToolGrants::of(&child_details), ToolGrants::of(&parent_details));
        for call in drawn.into_iter().chain(aimed_calls(&child)) {
            calls += 1;
            allowed += usize::from(allows(&small, &call));
            if allows(&small, &call) && allows(&large, &call) {
                both += 1;
                met += usize::from(allows(&common, &call));
            }
        }
    }
    at_least(10, inside, total, "pairs within");
    at_least(10, total - inside, total, "pairs not within");
    at_least(10, proper, total, "pairs strictly within");
    at_least(10, allowed, calls, "calls allowed");
    at_least(10, calls - allowed, calls, "calls refused");
    at_least(95, met, both, "calls that both sides allow and their meet too");

    let pairs = samples(&(payment(), payment()), 2_000);
    let list = |one: &Value| AuthorizationDetails::from_value(json!([one])).unwrap();
    let inside = pairs.iter().filter(|(a, b)| PAYMENTS.within(&list(a), &list(b)).is_ok()).count();
    let common = pairs.iter().filter(|(a, b)| !PAYMENTS.meet(&list(a), &list(b)).is_empty()).count();
    at_least(2, inside, pairs.len(), "payments within");
    at_least(5, common, pairs.len(), "payments with a common part");
}

/// Takes a keyword out of all tools, and all their constraints, of some details.
fn without(details: &Value, keyword: &str) -> Value {
    let mut details = details.clone();
    for detail in details.as_array_mut().unwrap() {
        for tool in detail["tools"].as_array_mut().unwrap() {
            tool.as_object_mut().unwrap().shift_remove(keyword);
            let Some(rules) = tool.get_mut("arguments").and_then(Value::as_object_mut) else { continue };
            for constraint in rules.values_mut() {
                constraint.as_object_mut().unwrap().shift_remove(keyword);
            }
        }
    }
    details
}

#[test]
fn a_broken_within_is_caught() {
    type Broken = fn(&Value, &Value) -> bool;
    let blind_to: [(&str, Broken); 13] = [
        ("everything", |_, _| true),
        ("the direction", |child, parent| within(&read(parent), &read(child))),
        ("arguments", |child, parent| within(&read(child), &read(&without(parent, "arguments")))),
        ("additionalArguments", |child, parent| {
            within(&read(child), &read(&without(parent, "additionalArguments")))
        }),
        ("required", |child, parent| within(&read(child), &read(&without(parent, "required")))),
        ("minimum", |child, parent| within(&read(child), &read(&without(parent, "minimum")))),
        ("maximum", |child, parent| within(&read(child), &read(&without(parent, "maximum")))),
        ("minLength", |child, parent| within(&read(child), &read(&without(parent, "minLength")))),
        ("maxLength", |child, parent| within(&read(child), &read(&without(parent, "maxLength")))),
        ("prefix", |child, parent| within(&read(child), &read(&without(parent, "prefix")))),
        ("maxItems", |child, parent| within(&read(child), &read(&without(parent, "maxItems")))),
        ("const", |child, parent| within(&read(child), &read(&without(parent, "const")))),
        ("the case of tool names", |child, parent| {
            let folded =
                |details: &Value| read(&details.to_string().replace("\"Find\"", "\"find\"").parse().unwrap());
            within(&folded(child), &folded(parent))
        }),
    ];
    let cases = samples(&(related(), vec(call(), 4)), 5_000);
    for (what, broken) in blind_to {
        let caught = cases.iter().any(|((child, parent), drawn)| {
            broken(child, parent) && {
                let (small, large) = (ToolGrants::of(&read(child)), ToolGrants::of(&read(parent)));
                let calls = drawn.iter().cloned().chain(aimed_calls(child)).chain(aimed_calls(parent));
                calls.into_iter().any(|call| allows(&small, &call) && !allows(&large, &call))
            }
        });
        assert!(caught, "nobody noticed that within was blind to {what}");
    }
}
