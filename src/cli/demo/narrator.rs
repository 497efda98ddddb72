//! What the demo says: a step, whether it went as it must, how long it took, and what was seen.

use std::io::IsTerminal as _;
use std::time::Duration;

use serde::Serialize;

use crate::jose::JwkError;
use crate::time::monotonic;

/// Something went otherwise than it must; the demo ends here.
#[derive(Debug)]
pub(super) struct Failure(pub(super) String);

impl Failure {
    /// A failure in these words.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Self(text)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<JwkError> for Failure {
    fn from(error: JwkError) -> Self {
        Self(error.to_string())
    }
}

/// What a step saw: lines that come from responses.
pub(super) type Seen = Vec<String>;

/// Fails with `otherwise` unless it holds.
pub(super) fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure(otherwise())) }
}

/// One step, as `--json` prints it.
#[derive(Serialize)]
pub(super) struct Step {
    name: &'static str,
    ok: bool,
    ms: f64,
    detail: String,
}

/// Tells the story to a person, or keeps it for a program.
pub(super) struct Narrator {
    for_people: bool,
    colour: bool,
    steps: Vec<Step>,
}

/// The column in which the timings end.
const WIDTH: usize = 78;

impl Narrator {
    /// A narrator that prints as it goes, or with `json` prints nothing before the end.
    pub(super) fn new(json: bool) -> Self {
        Self { for_people: !json, colour: !json && std::io::stdout().is_terminal(), steps: Vec::new() }
    }

    /// A line between steps.
    pub(super) fn say(&self, text: &str) {
        if self.for_people {
            println!("{text}");
        }
    }

    /// Plays one step and tells how it went.
    pub(super) async fn step(
        &mut self,
        name: &'static str,
        title: &str,
        work: impl Future<Output = Result<Seen, Failure>>,
    ) -> Result<(), Failure> {
        let started = monotonic();
        let outcome = work.await;
        let took = monotonic().saturating_duration_since(started);
        let (ok, lines) = match &outcome {
            Ok(lines) => (true, lines.clone()),
            Err(failure) => (false, failure.0.lines().map(str::to_owned).collect()),
        };
        self.print(title, ok, took, &lines);
        let ms = (took.as_secs_f64() * 100_000.0).round() / 100.0;
        self.steps.push(Step { name, ok, ms, detail: lines.join("\n") });
        outcome.map(|_| ())
    }

    fn print(&self, title: &str, ok: bool, took: Duration, lines: &[String]) {
        if !self.for_people {
            return;
        }
        let number = self.steps.len() + 1;
        let time = if took < Duration::from_secs(1) {
            format!("{:.1} ms", took.as_secs_f64() * 1000.0)
        } else {
            format!("{:.2} s", took.as_secs_f64())
        };
        let used = 6 + title.chars().count() + time.len();
        let gap = " ".repeat(WIDTH.saturating_sub(used).max(2));
        let mark = if ok { self.paint("32", "✓") } else { self.paint("31", "✗") };
        let title = self.paint("1", title);
        println!("\n{mark} {number:>2}  {title}{gap}{}", self.paint("2", &time));
        for line in lines {
            println!("      {line}");
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Every step so far.
    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }
}

/// A name and what stands beside it, aligned with the others.
pub(super) fn line(name: &str, value: impl std::fmt::Display) -> String {
    format!("{name:<12} {value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failed_step_is_told_and_ends_the_story() {
        let mut narrator = Narrator::new(true);
        narrator.step("good", "Good", async { Ok(vec!["a".into(), "b".into()]) }).await.unwrap();
        assert!(narrator.step("bad", "Bad", async { Err(Failure::new("no")) }).await.is_err());
        let steps = serde_json::to_value(narrator.steps()).unwrap();
        assert_eq!((&steps[0]["ok"], &steps[0]["detail"]), (&true.into(), &"a\nb".into()));
        assert_eq!((&steps[1]["ok"], &steps[1]["detail"]), (&false.into(), &"no".into()));
    }
}
