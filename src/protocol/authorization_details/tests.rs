use serde_json::json;

use super::canonical::write_double;
use super::*;

fn parse(text: &str) -> Result<AuthorizationDetails, ParseError> {
    AuthorizationDetails::parse(text)
}

#[test]
fn keeps_the_members_in_their_order() {
    let text = r#"[{"type":"a","z":1,"b":[true,null,-1.5],"é":"\u00e9"}]"#;
    let details = parse(text).unwrap();
    assert_eq!(
        serde_json::to_string(&details).unwrap(),
        r#"[{"type":"a","z":1,"b":[true,null,-1.5],"é":"é"}]"#
    );
    assert_eq!(details.iter().next().unwrap().kind(), "a");
    assert_eq!(parse("[]").unwrap(), AuthorizationDetails::default());
}

#[test]
fn refuses_what_is_not_a_list_of_typed_objects() {
    for (text, why) in [
        ("", ParseError::NotJson),
        ("[", ParseError::NotJson),
        ("[] []", ParseError::NotJson),
        ("[{\"type\":\"a\"},]", ParseError::NotJson),
        ("{\"type\":\"a\"}", ParseError::NotAnArray),
        ("null", ParseError::NotAnArray),
        ("\"[]\"", ParseError::NotAnArray),
        ("[[]]", ParseError::NotAnObject(0)),
        ("[{\"type\":\"a\"},1]", ParseError::NotAnObject(1)),
        ("[{}]", ParseError::TypeMissing(0)),
        ("[{\"type\":null}]", ParseError::TypeMissing(0)),
        ("[{\"type\":\"\"}]", ParseError::TypeMissing(0)),
        ("[{\"type\":[\"a\"]}]", ParseError::TypeMissing(0)),
        ("[{\"Type\":\"a\"}]", ParseError::TypeMissing(0)),
        ("[{\"type\":\"a\",\"x\":\"\\ud800\"}]", ParseError::NotJson),
        ("\u{feff}[]", ParseError::NotJson),
    ] {
        assert_eq!(parse(text), Err(why), "{text}");
    }
}

#[test]
fn refuses_duplicate_members_at_any_depth_and_in_any_spelling() {
    for text in [
        r#"[{"type":"a","type":"b"}]"#,
        r#"[{"type":"a","x":{"y":1,"y":1}}]"#,
        r#"[{"type":"a","x":[{"limit":1,"\u006cimit":2}]}]"#,
    ] {
        assert_eq!(parse(text), Err(ParseError::DuplicateMember), "{text}");
        assert!(serde_json::from_str::<AuthorizationDetails>(text).is_err());
    }
    assert!(parse(r#"[{"type":"a","x":1,"X":2}]"#).is_ok());
}

#[test]
fn refuses_deep_nesting_long_lists_and_long_texts() {
    let nested =
        |levels: usize| format!("[{{\"type\":\"a\",\"x\":{}{}}}]", "[".repeat(levels), "]".repeat(levels));
    assert!(parse(&nested(MAX_DEPTH - 2)).is_ok());
    assert_eq!(parse(&nested(MAX_DEPTH - 1)), Err(ParseError::TooDeep));
    assert_eq!(parse(&"[".repeat(MAX_TEXT)), Err(ParseError::TooDeep));
    assert!(serde_json::from_str::<AuthorizationDetails>(&nested(MAX_DEPTH - 1)).is_err());
    let value: Value = serde_json::from_str(&nested(MAX_DEPTH - 1)).unwrap();
    assert_eq!(AuthorizationDetails::from_value(value.clone()), Err(ParseError::TooDeep));
    let Value::Object(object) = value[0].clone() else { panic!() };
    assert_eq!(AuthorizationDetail::new(object), Err(ParseError::TooDeep));

    let list = |n: usize| format!("[{}]", vec!["{\"type\":\"a\"}"; n].join(","));
    assert!(parse(&list(MAX_DETAILS)).is_ok());
    assert_eq!(parse(&list(MAX_DETAILS + 1)), Err(ParseError::TooMany));
    assert_eq!(parse(&" ".repeat(MAX_TEXT + 1)), Err(ParseError::TooLong));
}

#[test]
fn refuses_numbers_that_two_readers_may_read_differently() {
    let with = |number: &str| parse(&format!(r#"[{{"type":"a","x":[{number}]}}]"#));
    assert_eq!(with("1e309").err(), Some(ParseError::NotJson));
    assert_eq!(with("-1e309").err(), Some(ParseError::NotJson));
    for number in ["18446744073709551616", "-9223372036854775809", "9007199254740993.0", "1e300", "-1e16"] {
        assert_eq!(with(number).err(), Some(ParseError::InexactNumber), "{number}");
    }
    for number in
        ["18446744073709551615", "-9223372036854775808", "9007199254740993", "-0", "-0.0", "0.1", "1e-400"]
    {
        assert!(with(number).is_ok(), "{number}");
    }
    // A build in which some dependency switches `arbitrary_precision` on would read numbers differently.
    assert!(serde_json::from_str::<Number>("1e400").is_err());
}

#[test]
fn refuses_member_names_that_the_json_library_would_expand() {
    for name in ["$serde_json::private::RawValue", "$serde_json::private::Number"] {
        let text = format!(r#"[{{"type":"a","x":{{"{name}":"1"}}}}]"#);
        assert_eq!(parse(&text), Err(ParseError::ReservedMember));
        let object = Map::from_iter([("type".to_owned(), json!("a")), (name.to_owned(), json!("1"))]);
        assert_eq!(AuthorizationDetail::new(object), Err(ParseError::ReservedMember));
    }
}

#[test]
fn canonical_form_sorts_by_utf16_and_escapes_little() {
    // The sorting sample of RFC 8785 section 3.2.3.
    let text = r#"[{"type":"t","\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh",
        "1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}]"#;
    assert_eq!(
        parse(text).unwrap().canonical(),
        "[{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"type\":\"t\",\"\u{80}\":\"Control\",\
         \"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\
         \"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}]"
    );
    let odd = r#"[{"type":"a/\u0007\u001f\"\\\u007f"}]"#;
    assert_eq!(parse(odd).unwrap().canonical(), "[{\"type\":\"a/\\u0007\\u001f\\\"\\\\\u{7f}\"}]");
}

#[test]
fn canonical_form_prints_numbers_as_ecmascript_does() {
    let mut text = String::new();
    for (double, expected) in [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (-1.5, "-1.5"),
        (0.1, "0.1"),
        (0.000_001, "0.000001"),
        (0.000_000_1, "1e-7"),
        (-1.25e-7, "-1.25e-7"),
        (123_456.789, "123456.789"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (5e-324, "5e-324"),
        (f64::MAX, "1.7976931348623157e+308"),
        (333_333_333.333_333_3, "333333333.3333333"),
        (9_007_199_254_740_991.0, "9007199254740991"),
    ] {
        text.clear();
        write_double(double, &mut text);
        assert_eq!(text, expected);
    }
    let details = parse(r#"[{"type":"a","n":[1.0,-0,-0.0,18446744073709551615,-5]}]"#).unwrap();
    assert_eq!(details.canonical(), r#"[{"n":[1,0,0,18446744073709551615,-5],"type":"a"}]"#);
}

#[test]
fn canonical_form_is_a_fixed_point_and_ignores_order() {
    let one = parse(r#"[{"type":"a","b":{"d":1,"c":2.50}}]"#).unwrap();
    let two = parse(r#"[{"b":{"c":2.5,"d":1},"type":"a"}]"#).unwrap();
    assert_eq!(one.canonical(), two.canonical());
    assert_eq!(parse(&one.canonical()).unwrap().canonical(), one.canonical());
    assert_eq!(one.iter().next().unwrap().canonical(), one.canonical().trim_matches(['[', ']']));
}
