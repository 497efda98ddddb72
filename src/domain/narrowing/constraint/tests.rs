use serde_json::{from_str, json};

use super::*;

fn constraint(value: &Value) -> Constraint {
    Constraint::parse(value).unwrap()
}

#[test]
fn refuses_unknown_malformed_and_contradictory_keywords() {
    for value in [
        json!(null),
        json!([]),
        json!({"type": "string"}),
        json!({"Maximum": 1}),
        json!({"pattern": "a"}),
        json!({"exclusiveMaximum": 1}),
        json!({"not": {}}),
        json!({"maximum": "50"}),
        json!({"maximum": null}),
        json!({"maximum": 1e300}),
        json!({"const": 1e300}),
        json!({"enum": [{"a": [1e300]}]}),
        json!({"enum": []}),
        json!({"enum": "a"}),
        json!({"minLength": -1}),
        json!({"maxLength": 1.5}),
        json!({"maxItems": "1"}),
        json!({"prefix": ["a"]}),
        json!({"required": 1}),
        json!({"minimum": 2, "maximum": 1}),
        json!({"minLength": 2, "maxLength": 1}),
        json!({"prefix": "abc", "maxLength": 2}),
        json!({"maximum": 1, "maxLength": 2}),
        json!({"maximum": 1, "maxItems": 2}),
        json!({"const": 1, "enum": [2, 3]}),
        json!({"const": "a", "maximum": 2}),
        json!({"enum": [3, 4], "maximum": 2}),
    ] {
        assert!(Constraint::parse(&value).is_err(), "{value}");
    }
    assert!(Constraint::parse(&json!({"enum": vec![1; MAX_VALUES + 1]})).is_err());
}

#[test]
fn allows_by_type_and_bound() {
    for (keywords, good, bad) in [
        (
            r#"{"maximum":50}"#,
            r"[50,50.0,-1,-0.0,5e1]",
            r#"[51,50.000001,"50",null,true,[50],9007199254740993.0,1e300]"#,
        ),
        (r#"{"minimum":0}"#, r"[0,-0,-0.0,18446744073709551615]", r#"[-1,-5e-324,18446744073709551616,"0"]"#),
        (r#"{"maximum":9007199254740992}"#, "[9007199254740992]", "[9007199254740993,9007199254740992.0]"),
        (r#"{"const":1}"#, "[1,1.0]", r#"["1",true,[1],{"a":1}]"#),
        (r#"{"enum":["a",null]}"#, r#"["a",null]"#, r#"["A","а","a ","a\u0301",false,0,""]"#),
        (r#"{"maxLength":2}"#, r#"["","é","😀😀"]"#, r#"["abc","e\u0301x",1,null,[]]"#),
        (r#"{"minLength":1}"#, r#"["a"]"#, r#"["",["a"],1]"#),
        (r#"{"prefix":"INC-"}"#, r#"["INC-","INC-1"]"#, r#"["inc-1"," INC-1","INC","ＩNC-1",7]"#),
        (r#"{"maxItems":1}"#, "[[],[1]]", r#"[[1,2],{"length":0},"a",null]"#),
        ("{}", r#"[null,1,"a",[],{}]"#, "[]"),
    ] {
        let constraint = constraint(&from_str(keywords).unwrap());
        let list = |text: &str| from_str::<Vec<Value>>(text).unwrap();
        for value in list(good) {
            assert!(constraint.shape.allows(&value), "{keywords} {value}");
        }
        for value in list(bad) {
            assert!(!constraint.shape.allows(&value), "{keywords} {value}");
        }
    }
}

#[test]
fn within_follows_what_is_allowed() {
    for (child, parent, expected) in [
        (json!({"maximum": 50}), json!({"maximum": 50.0}), true),
        (json!({"maximum": 51}), json!({"maximum": 50}), false),
        (json!({"maximum": 9_007_199_254_740_993_u64}), json!({"maximum": 9_007_199_254_740_992_u64}), false),
        (json!({"minimum": -1}), json!({"minimum": 0}), false),
        (json!({"minimum": 0, "maximum": 5}), json!({"maximum": 50}), true),
        (json!({"maximum": 5}), json!({"minimum": 0, "maximum": 50}), false),
        (json!({}), json!({"maximum": 50}), false),
        (json!({"maximum": 50}), json!({}), true),
        (json!({"maxLength": 5}), json!({"maximum": 50}), false),
        (json!({"const": 50}), json!({"maximum": 50}), true),
        (json!({"const": "50"}), json!({"maximum": 50}), false),
        (json!({"enum": [1, 51]}), json!({"maximum": 50}), false),
        (json!({"enum": ["a"]}), json!({"enum": ["b", "a"]}), true),
        (json!({"enum": ["A"]}), json!({"enum": ["a"]}), false),
        (json!({"minimum": 3, "maximum": 3}), json!({"enum": [1, 3]}), true),
        (json!({"const": 3}), json!({"minimum": 3, "maximum": 3}), true),
        (json!({"prefix": "ab", "maxLength": 2}), json!({"const": "ab"}), true),
        (json!({"prefix": "abc"}), json!({"prefix": "ab"}), true),
        (json!({"prefix": "a"}), json!({"prefix": "ab"}), false),
        (json!({"prefix": "abc"}), json!({"minLength": 3}), true),
        (json!({"maxItems": 0}), json!({"const": []}), true),
        (json!({"maxItems": 3}), json!({"maxItems": 2}), false),
        (json!({"required": true}), json!({}), true),
        (json!({}), json!({"required": true}), false),
        (json!({"required": false}), json!({"required": true}), false),
        (json!({"const": 1}), json!({"const": 1, "required": true}), false),
    ] {
        assert_eq!(constraint(&child).within(&constraint(&parent)), expected, "{child} {parent}");
    }
}

#[test]
fn meet_is_what_both_allow() {
    for (a, b, expected) in [
        (json!({"minimum": 1}), json!({"maximum": 9}), Some(json!({"minimum": 1, "maximum": 9}))),
        (json!({"minimum": 1, "maximum": 5}), json!({"minimum": 5}), Some(json!({"const": 5}))),
        (json!({"maximum": 1}), json!({"minimum": 2}), None),
        (
            json!({"enum": [1, 2, 60]}),
            json!({"maximum": 50, "required": true}),
            Some(json!({"enum": [1, 2], "required": true})),
        ),
        (
            json!({"prefix": "ab"}),
            json!({"prefix": "a", "maxLength": 4}),
            Some(json!({"minLength": 2, "maxLength": 4, "prefix": "ab"})),
        ),
        (json!({"prefix": "ab"}), json!({"prefix": "b"}), None),
        (json!({"maxLength": 4}), json!({"maxItems": 4}), None),
        (json!({}), json!({"maxItems": 4}), Some(json!({"maxItems": 4}))),
    ] {
        let (left, right) = (constraint(&a), constraint(&b));
        let expected = expected.map(|value| constraint(&value));
        assert_eq!(left.meet(&right), expected, "{a} {b}");
        assert_eq!(right.meet(&left), expected, "{b} {a}");
        if let Some(common) = expected {
            assert_eq!(constraint(&common.to_json()), common);
            assert!(common.within(&left) && common.within(&right));
        }
    }
}
