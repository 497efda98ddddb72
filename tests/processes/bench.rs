//! `taskpass bench guard` in miniature: real processes, and figures that fit together. How fast is for a quiet machine and
//! a release build to say.

use serde_json::Value;

use super::node::taskpass;

#[test]
fn the_guard_is_measured_against_the_bare_server() {
    let output = taskpass()
        .args(["bench", "guard", "--rate", "40", "--duration", "1", "--warmup", "1", "--connections", "3"])
        .args(["--cutoffs", "70", "--json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    let figure = |name: &str| figures[name].as_f64().unwrap_or_else(|| panic!("{name}: {figures}"));
    for (name, count) in [("operations", 40.0), ("bare_operations", 40.0), ("failures", 0.0)] {
        assert_eq!(figure(name), count, "{figures}");
    }
    for percentile in ["p50", "p99"] {
        let of = |what: &str| figure(&format!("{what}_{percentile}_us"));
        assert_eq!(of("added"), of("guard") - of("bare"), "{figures}");
    }
    assert!(0.0 < figure("verify_hit_us") && figure("verify_hit_us") < figure("verify_miss_us"), "{figures}");
}
