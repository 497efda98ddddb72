//! The arguments of `taskpass bench`.

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

fn parse(line: &str) -> Result<Args, String> {
    let words = std::iter::once("bench").chain(line.split_whitespace());
    Command::try_parse_from(words).map(|command| command.args).map_err(|error| error.to_string())
}

#[test]
fn defaults_are_those_of_the_targets() {
    let What::Exchange(options) = parse("exchange").unwrap().what else { panic!() };
    assert_eq!((options.connections(), options.duration()), (64, Some(Duration::from_secs(10))));
    assert!(!options.json && options.database_url.is_none());
    let What::Exchange(options) = parse("exchange --requests 5 --json").unwrap().what else { panic!() };
    assert_eq!((options.requests, options.duration(), options.json), (Some(5), None, true));
    parse("guard").unwrap();
}

#[test]
fn a_password_in_the_database_url_is_not_printed() {
    let args = parse("introspect --live-tokens 9 --database-url postgres://u:hunter2@h/d").unwrap();
    assert!(!format!("{args:?}").contains("hunter2"));
}

#[test]
fn refuses_what_can_not_be_measured() {
    for line in [
        "",
        "exchange --seconds 0",
        "exchange --seconds 121",
        "exchange --seconds 5 --requests 5",
        "exchange --connections 0",
        "exchange --live-tokens 5",
        "exchange --database-url sqlite:here",
        "guard --rate 0",
        "guard --duration 121",
        "guard --connections 0",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
    assert!(parse("--help").unwrap_err().contains("taskpass bench introspect --live-tokens 100000"));
    assert!(parse("exchange --help").unwrap_err().contains("Examples:"));
}
