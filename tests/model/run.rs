//! Runs a model, and says what came of it.

use std::fmt::{Debug, Write as _};
use std::hash::Hash;
use std::io::Write as _;

use stateright::{Checker, Expectation, HasDiscoveries, Model};
use taskpass::time::monotonic;

/// A model that knows how late the worst accept was that it saw, in ticks.
pub(crate) trait Judged: Model {
    /// The latest accept after an acknowledgement.
    fn worst(&self) -> u8;
}

/// What a run has seen.
#[derive(Debug)]
pub(crate) struct Seen {
    /// What must always hold and didn't, with the number of steps that lead there.
    pub(crate) broken: Option<(&'static str, usize)>,
    /// What must be possible and wasn't.
    pub(crate) missing: Vec<&'static str>,
    /// The latest accept after an acknowledgement, in ticks.
    pub(crate) worst: u8,
}

/// Looks at every state, breadth first, until something is found broken or nothing is left; or goes on to the end.
pub(crate) fn run<M>(name: &str, model: M, to_the_end: bool) -> Seen
where
    M: Judged + Send + Sync + 'static,
    M::State: Debug + Hash + Send + Sync + Clone + PartialEq + 'static,
    M::Action: Debug + Clone + PartialEq,
{
    let started = monotonic();
    let finish =
        if to_the_end { HasDiscoveries::AllOf(["never"].into()) } else { HasDiscoveries::AnyFailures };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let checker = model.checker().threads(threads).finish_when(finish).spawn_bfs().join();
    let mut found = checker.discoveries();
    let (mut broken, mut missing, mut path) = (None, Vec::new(), String::new());
    for property in checker.model().properties() {
        match (property.expectation, found.remove(property.name)) {
            (Expectation::Sometimes, None) => missing.push(property.name),
            (Expectation::Always | Expectation::Eventually, Some(steps)) if broken.is_none() => {
                let actions = steps.into_actions();
                broken = Some((property.name, actions.len()));
                for action in actions {
                    let _ = write!(
                        path,
                        "
    {action:?}"
                    );
                }
            }
            _ => {}
        }
    }
    let seen = Seen { broken, missing, worst: checker.model().worst() };
    // Not through `println!`: the figures are for everyone who runs the tests, whether they pass or fail.
    let _ = writeln!(
        std::io::stdout(),
        "{name}: {} states, depth {}, {:.1} s; {} ticks after the acknowledgement{}",
        checker.unique_state_count(),
        checker.max_depth(),
        monotonic().duration_since(started).as_secs_f64(),
        match seen.broken {
            Some((broken, steps)) =>
                format!("after {steps} steps not: {broken}; worst accept {}", seen.worst),
            None => format!("holds; worst accept {}", seen.worst),
        },
        if std::env::args().any(|argument| argument == "--nocapture") { path.as_str() } else { "" },
    );
    seen
}
