//! Details, related details, and calls near their bounds.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};
use taskpass::domain::narrowing::DetailTypes;
use taskpass::protocol::authorization_details::AuthorizationDetails;

const LOCATIONS: [&str; 2] = ["https://a.example/mcp", "https://b.example/mcp"];
const TOOLS: [&str; 3] = ["find", "Find", "close"];
const POINTERS: [&str; 9] = ["/n", "/n", "/s", "/l", "/N", "/f", "/f/x", "/f/y", "/f/x/z"];

#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) location: &'static str,
    pub(super) tool: &'static str,
    pub(super) arguments: Value,
}

pub(super) fn number() -> impl Strategy<Value = Value> {
    select(vec![
        json!(4),
        json!(5),
        json!(5.0),
        json!(5.5),
        json!(6),
        json!(-1),
        json!(0),
        json!(-0.0),
        json!(50),
        json!(51),
        json!(9_007_199_254_740_992_u64),
        json!(9_007_199_254_740_993_u64),
        json!(9_007_199_254_740_992.0),
        json!(u64::MAX),
        json!(i64::MIN),
    ])
}

/// A number that a constraint may hold.
fn bound() -> impl Strategy<Value = Value> {
    number().prop_filter("exact", |n| n.as_f64().is_some_and(|f| f.abs() < 9e15) || !n.is_f64())
}

fn text() -> impl Strategy<Value = Value> {
    select(vec!["", "a", "ab", "abc", "b", "A", "\u{e9}", "e\u{301}", "\u{430}b", "ab/../c", "5"])
        .prop_map(Value::from)
}

fn list() -> impl Strategy<Value = Value> {
    vec(select(vec![json!(1), json!("a"), json!(5.0)]), 0..4).prop_map(Value::from)
}

fn filter() -> impl Strategy<Value = Value> {
    (option::of(number()), option::of(text()), option::of(number())).prop_map(|(x, y, z)| {
        let x = x.map(|x| z.map_or(x, |z| json!({ "z": z })));
        Value::Object(
            [("x", x), ("y", y)]
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect(),
        )
    })
}

fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![number(), text(), list(), filter(), Just(Value::Null), Just(json!(true))]
}

fn constraint() -> impl Strategy<Value = Value> {
    let numeric = (option::of(bound()), option::of(bound()))
        .prop_map(|(low, high)| json!({"minimum": low, "maximum": high}));
    let textual = (option::of(0..3_u64), option::of(1..4_u64), option::of(text()))
        .prop_map(|(min, max, prefix)| json!({"minLength": min, "maxLength": max, "prefix": prefix}));
    let finite = vec(prop_oneof![bound(), text(), list(), filter()], 1..4)
        .prop_map(|values| json!({ "enum": values }));
    let single = prop_oneof![bound(), text(), list(), filter()].prop_map(|value| json!({ "const": value }));
    let keywords = prop_oneof![
        3 => numeric,
        3 => textual,
        1 => (0..4_u64).prop_map(|max| json!({"maxItems": max})),
        2 => finite,
        2 => single,
        2 => Just(json!({})),
    ];
    (keywords, proptest::bool::weighted(0.2)).prop_map(|(mut keywords, required)| {
        let members = keywords.as_object_mut().unwrap();
        members.retain(|_, value| !value.is_null());
        if required {
            members.insert("required".to_owned(), json!(true));
        }
        keywords
    })
}

/// A constraint that mostly has the type its pointer suggests.
fn named_constraint() -> impl Strategy<Value = (&'static str, Value)> {
    let usual = (select(&POINTERS[..4]), constraint());
    prop_oneof![2 => usual, 1 => (select(&POINTERS[..]), constraint())]
}

fn tool() -> impl Strategy<Value = Value> {
    let name = prop_oneof![4 => Just(TOOLS[0]), 1 => select(&TOOLS[..])];
    (name, vec(named_constraint(), 0..4), option::of(proptest::bool::weighted(0.3))).prop_map(
        |(name, rules, open)| {
            let mut tool = Map::from_iter([("name".to_owned(), json!(name))]);
            if !rules.is_empty() {
                let rules = rules.into_iter().map(|(pointer, constraint)| (pointer.to_owned(), constraint));
                tool.insert("arguments".to_owned(), Value::Object(rules.collect()));
            }
            if let Some(open) = open {
                tool.insert("additionalArguments".to_owned(), json!(open));
            }
            Value::Object(tool)
        },
    )
}

fn detail() -> impl Strategy<Value = Value> {
    (select(vec![&LOCATIONS[..1], &LOCATIONS[1..], &LOCATIONS[..]]), vec(tool(), 1..3)).prop_map(
        |(locations, tools)| json!({"type": "mcp_tool_call", "locations": locations, "tools": tools}),
    )
}

pub(super) fn is_well_formed(details: &Value) -> bool {
    let accepted = ["mcp_tool_call".to_owned()];
    AuthorizationDetails::from_value(details.clone())
        .is_ok_and(|list| DetailTypes::builtin().check(&list, &accepted).is_ok())
}

/// Well-formed details, as JSON.
pub(super) fn details() -> impl Strategy<Value = Value> {
    vec(detail().prop_map(|detail| json!([detail])).prop_filter("well formed", is_well_formed), 1..3)
        .prop_map(|lists| lists.into_iter().map(|mut list| list[0].take()).collect())
}

/// One small change to some tool of some detail, which may narrow or widen.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Constrain(&'static str, Value),
    Free(Index),
    Shift(Index, i64),
    Loosen(Index, Index),
    Close(bool),
    Rename(&'static str),
    DropTool,
    AddTool(Value),
    Locations(usize),
    DropDetail,
}

pub(super) fn change() -> impl Strategy<Value = (Index, Index, Change)> {
    let change = prop_oneof![
        4 => named_constraint().prop_map(|(pointer, constraint)| Change::Constrain(pointer, constraint)),
        1 => any::<Index>().prop_map(Change::Free),
        4 => (any::<Index>(), prop_oneof![3 => Just(-1_i64), 1 => Just(1)]).prop_map(|(at, by)| Change::Shift(at, by)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(at, keyword)| Change::Loosen(at, keyword)),
        2 => proptest::bool::weighted(0.7).prop_map(Change::Close),
        1 => select(&TOOLS[..]).prop_map(Change::Rename),
        2 => Just(Change::DropTool),
        1 => tool().prop_map(Change::AddTool),
        1 => (0..2_usize).prop_map(Change::Locations),
        2 => Just(Change::DropDetail),
    ];
    (any::<Index>(), any::<Index>(), change)
}

fn changed(details: &Value, (detail, tool, change): &(Index, Index, Change)) -> Value {
    let mut changed = details.clone();
    let list = changed.as_array_mut().unwrap();
    let detail = detail.index(list.len());
    if matches!(change, Change::DropDetail) {
        list.remove(detail);
        return changed;
    }
    if let Change::Locations(which) = change {
        list[detail]["locations"] = json!([LOCATIONS[*which]]);
        return changed;
    }
    let tools = list[detail]["tools"].as_array_mut().unwrap();
    let at = tool.index(tools.len());
    match change {
        Change::DropTool => drop(tools.remove(at)),
        Change::AddTool(tool) => tools.push(tool.clone()),
        Change::Rename(name) => tools[at]["name"] = json!(name),
        Change::Close(open) => tools[at]["additionalArguments"] = json!(!open),
        Change::Constrain(pointer, constraint) => tools[at]["arguments"][pointer] = constraint.clone(),
        _ => change_a_rule(&mut tools[at], change),
    }
    changed
}

fn change_a_rule(tool: &mut Value, change: &Change) {
    let Some(rules) =
        tool.get_mut("arguments").and_then(Value::as_object_mut).filter(|rules| !rules.is_empty())
    else {
        return;
    };
    let pick =
        |index: &Index, map: &Map<String, Value>| map.keys().nth(index.index(map.len())).unwrap().clone();
    match change {
        Change::Free(index) => drop(rules.shift_remove(&pick(index, rules))),
        Change::Shift(index, by) => {
            let pointer = pick(index, rules);
            for (keyword, value) in rules[&pointer].as_object_mut().unwrap() {
                let by = if keyword.starts_with("min") { -by } else { *by };
                if let (Some(n), false) = (value.as_i64(), keyword == "const") {
                    *value = json!(n.saturating_add(by));
                }
            }
        }
        Change::Loosen(index, keyword) => {
            let pointer = pick(index, rules);
            let keywords = rules[&pointer].as_object_mut().unwrap();
            if !keywords.is_empty() {
                let keyword = pick(keyword, keywords);
                keywords.shift_remove(&keyword);
            }
        }
        _ => {}
    }
}

/// Details and others that were made from them by a few changes, mostly narrowing ones.
pub(super) fn related() -> impl Strategy<Value = (Value, Value)> {
    (details(), vec(change(), 0..4)).prop_map(|(parent, changes)| (after(&parent, &changes), parent))
}

/// The details after these changes, without those that would leave them malformed.
pub(super) fn after(details: &Value, changes: &[(Index, Index, Change)]) -> Value {
    changes.iter().fold(details.clone(), |details, change| {
        if details.as_array().is_some_and(Vec::is_empty) {
            return details;
        }
        let next = changed(&details, change);
        if is_well_formed(&next) { next } else { details }
    })
}

pub(super) fn call() -> impl Strategy<Value = Call> {
    let tool = prop_oneof![6 => Just(TOOLS[0]), 1 => select(&TOOLS[..])];
    // Mostly the type that a constraint on this argument has, sometimes any.
    let n = option::of(prop_oneof![4 => number().boxed(), 1 => anything().boxed()]);
    let s = option::of(prop_oneof![4 => text().boxed(), 1 => anything().boxed()]);
    let l = option::weighted(0.3, prop_oneof![4 => list().boxed(), 1 => anything().boxed()]);
    let f = option::weighted(0.4, prop_oneof![4 => filter().boxed(), 1 => anything().boxed()]);
    let upper = option::weighted(0.1, anything());
    (select(&LOCATIONS[..]), tool, n, s, l, f, upper).prop_map(|(location, tool, n, s, l, f, upper)| {
        let members = [("n", n), ("s", s), ("l", l), ("f", f), ("N", upper)];
        let arguments =
            members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        Call { location, tool, arguments: Value::Object(arguments) }
    })
}

/// Calls made from the bounds that the details name: each value stands on a bound, or one step beside it.
pub(super) fn aimed_calls(details: &Value) -> Vec<Call> {
    let mut calls = Vec::new();
    for detail in details.as_array().unwrap() {
        for tool in detail["tools"].as_array().unwrap() {
            let name = TOOLS.into_iter().find(|name| tool["name"] == *name).unwrap();
            let rules = tool.get("arguments").and_then(Value::as_object).cloned().unwrap_or_default();
            for shift in [-1, 0, 1] {
                let mut arguments = json!({});
                for (pointer, constraint) in &rules {
                    place(&mut arguments, pointer, near(constraint, shift));
                }
                calls.extend(LOCATIONS.map(|location| Call {
                    location,
                    tool: name,
                    arguments: arguments.clone(),
                }));
            }
        }
    }
    calls
}

fn near(constraint: &Value, shift: i64) -> Value {
    for keyword in ["const", "minimum", "maximum"] {
        if let Some(value) = constraint.get(keyword) {
            return value.as_i64().map_or_else(|| value.clone(), |n| json!(n.saturating_add(shift)));
        }
    }
    if let Some(values) = constraint["enum"].as_array() {
        return values[0].clone();
    }
    let length = |keyword: &str| constraint[keyword].as_u64();
    if let Some(items) = length("maxItems") {
        return Value::Array(vec![json!(1); items.saturating_add_signed(shift).try_into().unwrap()]);
    }
    let prefix = constraint["prefix"].as_str().unwrap_or_default();
    let wanted = length("maxLength").or(length("minLength")).unwrap_or(1).saturating_add_signed(shift);
    let missing = usize::try_from(wanted).unwrap().saturating_sub(prefix.chars().count());
    json!(format!("{prefix}{}", "x".repeat(missing)))
}

fn place(arguments: &mut Value, pointer: &str, value: Value) {
    let mut place = arguments;
    for token in pointer[1..].split('/') {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[token];
    }
    if place.is_null() {
        *place = value;
    }
}

pub(super) fn payment() -> impl Strategy<Value = Value> {
    let members = (
        select(vec![json!("EUR"), json!("eur")]),
        option::weighted(0.9, vec(select(vec!["a", "b", "c"]), 1..3)),
        option::weighted(
            0.9,
            number().prop_filter("exact", |n| !n.is_f64() || n.as_f64().is_some_and(|f| f.abs() < 9e15)),
        ),
        option::weighted(0.9, select(vec!["", "/a/", "/a/b", "/A/"])),
    );
    members.prop_map(|(currency, accounts, amount, path)| {
        let mut payment = json!({"type": "payment", "currency": currency, "accounts": accounts, "amount": amount, "path": path});
        payment.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        payment
    })
}
