//! What `taskpass bench` prints: one JSON object for scripts, a table beside the project's targets for people.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::proc::Memory;
use super::server::Server;
use super::{Options, Sample};
use crate::cli::error::CliError;

/// The figures of one run; the JSON object has exactly these members.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    /// Good answers a second.
    pub(super) per_second: f64,
    /// Median latency in milliseconds.
    pub(super) p50_ms: f64,
    /// 99th percentile of the latency.
    pub(super) p99_ms: f64,
    /// 99.9th percentile of the latency.
    pub(super) p999_ms: f64,
    /// The server's processor time an operation, in microseconds.
    pub(super) server_cpu_us: f64,
    /// The processor time of the signatures that an operation can't avoid, measured just before.
    pub(super) signature_cpu_us: f64,
    /// The second over the first.
    pub(super) signature_share: f64,
    /// The most resident memory that the server ever held, in MiB.
    pub(super) peak_rss_mib: f64,
    /// `sqlite` or `postgres`.
    pub(super) database: &'static str,
    /// Whether what was acknowledged is on disk; false on SQLite in a file system in memory.
    pub(super) durable: bool,
    /// Resident memory before the first request.
    pub(super) idle_rss_mib: f64,
    /// Good answers.
    pub(super) operations: u64,
    /// All other answers and broken connections.
    pub(super) failures: u64,
    /// Connections.
    pub(super) connections: u16,
    /// Tokens that were alive for the next figure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) live_tokens: Option<u32>,
    /// Resident memory with that many tokens, each introspected once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) live_rss_mib: Option<f64>,
}

/// Label, measured, target, and whether the target was met.
pub(super) type Row = (&'static str, String, &'static str, Option<bool>);

/// The figures, and what is said around them.
#[derive(Clone, Debug)]
pub(super) struct Report {
    what: &'static str,
    elapsed: Duration,
    first_failure: Option<String>,
    /// The figures.
    pub(super) figures: Figures,
}

impl Report {
    /// Reads the server's memory and makes the report; `signatures` is the processor time of one operation's.
    pub(super) fn new(
        what: &'static str,
        server: &Server,
        options: &Options,
        sample: &Sample,
        signatures: Duration,
    ) -> Result<Self, CliError> {
        let mut report = Self::of(what, sample, signatures);
        report.figures.peak_rss_mib = rounded(server.memory_mib(Memory::Peak)?);
        report.figures.idle_rss_mib = rounded(server.idle_mib);
        report.figures.database = server.database;
        report.figures.durable = server.durable;
        report.figures.connections = options.connections;
        Ok(report)
    }

    fn of(what: &'static str, Sample { measurement, server_time }: &Sample, signatures: Duration) -> Self {
        let answered = measurement.operations + measurement.failures;
        let server_cpu_us = over(server_time.as_secs_f64() * 1e6, number(answered));
        let signature_cpu_us = signatures.as_secs_f64() * 1e6;
        let percentile =
            |quantile| rounded(number(measurement.latencies.value_at_quantile(quantile)) / 1000.0);
        let figures = Figures {
            per_second: rounded(over(number(measurement.operations), measurement.elapsed.as_secs_f64())),
            p50_ms: percentile(0.5),
            p99_ms: percentile(0.99),
            p999_ms: percentile(0.999),
            server_cpu_us: rounded(server_cpu_us),
            signature_cpu_us: rounded(signature_cpu_us),
            signature_share: rounded(over(signature_cpu_us, server_cpu_us)),
            peak_rss_mib: 0.0,
            database: "",
            durable: false,
            idle_rss_mib: 0.0,
            operations: measurement.operations,
            failures: measurement.failures,
            connections: 0,
            live_tokens: None,
            live_rss_mib: None,
        };
        let first_failure = measurement.first_failure.clone();
        Self { what, elapsed: measurement.elapsed, first_failure, figures }
    }

    /// An error if any request failed, or none succeeded.
    pub(super) fn verdict(&self) -> Result<(), CliError> {
        let Figures { operations, failures, .. } = self.figures;
        match &self.first_failure {
            Some(first) => Err(CliError::new(format!(
                "{failures} of {} requests failed, the first with {first}",
                operations + failures
            ))),
            None if operations == 0 => Err(CliError::new("nothing was measured")),
            None => Ok(()),
        }
    }

    fn rows(&self) -> Vec<Row> {
        let figures = &self.figures;
        let milliseconds = |value: f64| format!("{value:.2} ms");
        let microseconds = |value: f64| format!("{value:.1} µs");
        let exchange = self.what == "exchange";
        let (rate, rate_target, tail, tail_target) = if exchange {
            (5000.0, "≥ 5,000/s", 25.0, "≤ 25 ms")
        } else {
            (30_000.0, "≥ 30,000/s", 5.0, "≤ 5 ms")
        };
        let share = (figures.signature_share * 100.0, if exchange { "≥ 50 %" } else { "" });
        let mut rows = vec![
            (
                "throughput",
                format!("{:.0}/s", figures.per_second),
                rate_target,
                Some(figures.per_second >= rate),
            ),
            ("latency p50", milliseconds(figures.p50_ms), "", None),
            ("latency p99", milliseconds(figures.p99_ms), tail_target, Some(figures.p99_ms <= tail)),
            ("latency p99.9", milliseconds(figures.p999_ms), "", None),
            ("server CPU per operation", microseconds(figures.server_cpu_us), "", None),
            ("  of it signatures", microseconds(figures.signature_cpu_us), "", None),
            ("  signature share", format!("{:.1} %", share.0), share.1, exchange.then_some(share.0 >= 50.0)),
            memory("memory, idle", figures.idle_rss_mib, Some(("≤ 40 MB", 40.0))),
            memory("memory, peak", figures.peak_rss_mib, None),
        ];
        if let Some(mib) = figures.live_rss_mib {
            // The target speaks of 100,000 tokens.
            let target = (figures.live_tokens == Some(100_000)).then_some(("≤ 120 MB", 120.0));
            rows.push(memory("memory, live tokens", mib, target));
        }
        rows
    }
}

/// Targets are in megabytes, the kernel's figures in KiB.
fn memory(label: &'static str, mib: f64, target: Option<(&'static str, f64)>) -> Row {
    let megabytes = mib * 1.048_576;
    let (text, met) = target.map_or(("", None), |(text, most)| (text, Some(megabytes <= most)));
    (label, format!("{megabytes:.1} MB"), text, met)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = &self.figures;
        let durable = if figures.durable { "durable" } else { "NOT durable: the folder is in memory" };
        let (connections, seconds) = (figures.connections, self.elapsed.as_secs_f64());
        let (what, database) = (self.what, figures.database);
        writeln!(f, "{what}: {connections} connections, {seconds:.1} s, {database}, {durable}")?;
        let operations = figures.operations;
        let failures = figures.failures;
        writeln!(f, "{operations} operations, {failures} failures")?;
        if let Some(live) = figures.live_tokens {
            writeln!(f, "{live} live tokens")?;
        }
        table(f, &self.rows())
    }
}

/// The rows beside their targets.
pub(super) fn table(f: &mut fmt::Formatter<'_>, rows: &[Row]) -> fmt::Result {
    writeln!(f, "\n{:<26}{:>14}   {:<12}", "", "measured", "target")?;
    for (label, measured, target, met) in rows {
        let verdict = match met {
            Some(true) => "met",
            Some(false) => "missed",
            None => "",
        };
        let line = format!("{label:<26}{measured:>14}   {target:<12} {verdict}");
        writeln!(f, "{}", line.trim_end())?;
    }
    if cfg!(debug_assertions) {
        writeln!(f, "\nThis is a debug build: the figures say nothing. Build with --release.")?;
    }
    Ok(())
}

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "counts and microseconds far below 2^53")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

/// The quotient; nothing over nothing is nothing.
pub(super) fn over(dividend: f64, divisor: f64) -> f64 {
    if divisor > 0.0 { dividend / divisor } else { 0.0 }
}

/// To three digits after the point.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;

    use super::super::load::Measurement;
    use super::*;

    fn sample(failure: Option<&str>) -> Sample {
        let mut latencies = Histogram::new_with_max(60_000_000, 3).unwrap();
        latencies.record_n(1000, 99).unwrap();
        latencies.record_n(20_000, 1).unwrap();
        let measurement = Measurement {
            operations: 100,
            failures: failure.iter().count() as u64,
            first_failure: failure.map(str::to_owned),
            elapsed: Duration::from_millis(500),
            latencies,
        };
        Sample { measurement, server_time: Duration::from_millis(10) }
    }

    #[test]
    fn the_figures_follow_from_the_sample() {
        let report = Report::of("exchange", &sample(None), Duration::from_micros(60));
        let json = serde_json::to_value(&report.figures).unwrap();
        let names: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            names.join(" "),
            "per_second p50_ms p99_ms p999_ms server_cpu_us signature_cpu_us signature_share peak_rss_mib database \
             durable idle_rss_mib operations failures connections"
        );
        assert_eq!(json["per_second"], 200.0);
        assert_eq!(json["p50_ms"], 1.0);
        assert!(json["p999_ms"].as_f64().unwrap() >= 20.0);
        assert_eq!(json["server_cpu_us"], 100.0);
        assert_eq!(json["signature_share"], 0.6);
        report.verdict().unwrap();
    }

    #[test]
    fn the_table_names_what_was_missed() {
        let mut report = Report::of("introspect", &sample(None), Duration::ZERO);
        report.figures.live_tokens = Some(100_000);
        report.figures.live_rss_mib = Some(120.0);
        let text = report.to_string();
        let line = |label: &str| text.lines().find(|line| line.contains(label)).unwrap().to_owned();
        assert!(line("throughput").ends_with("missed"), "{text}");
        assert!(line("latency p99 ").ends_with("met"), "{text}");
        assert!(line("memory, live").ends_with("missed"), "{text}");
        assert!(line("signature share").ends_with("0.0 %"), "{text}");
    }

    #[test]
    fn a_run_with_one_failure_fails() {
        let error =
            Report::of("exchange", &sample(Some("HTTP 400: x")), Duration::ZERO).verdict().unwrap_err();
        assert_eq!(error.message, "1 of 101 requests failed, the first with HTTP 400: x");
        let mut nothing = sample(None);
        nothing.measurement.operations = 0;
        assert!(Report::of("exchange", &nothing, Duration::ZERO).verdict().is_err());
    }
}
