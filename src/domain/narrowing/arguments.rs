//! What the arguments of one tool call may be: constraints by JSON Pointer, and whether unnamed arguments may appear.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use serde_json::{Map, Value};

use super::Reason;
use super::constraint::{Constraint, Shape};
use super::pointer::{Found, Pointer, find};

/// The most constrained arguments of one tool.
const MAX_ARGUMENTS: usize = 64;

/// The `arguments` and `additionalArguments` of a tool.
///
/// A pointer allows only objects on its way: with `/filter/limit` named, `filter` is an object or absent.
///
/// `additionalArguments: false` closes the arguments: a value may stand only at or below a *leaf*, which is a named pointer
/// with no other named pointer beneath it. With `/filter` and `/filter/limit` named, `filter` may hold `limit` and nothing
/// else; with `/filter` alone it may hold anything that its own constraint lets pass.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ArgumentRules {
    rules: BTreeMap<Pointer, Constraint>,
    closed: bool,
}

impl ArgumentRules {
    pub(super) fn parse(arguments: Option<&Value>, additional: Option<&Value>) -> Result<Self, Reason> {
        let closed = match additional {
            None | Some(Value::Bool(true)) => false,
            Some(Value::Bool(false)) => true,
            Some(_) => {
                return Err(Reason::new("additionalArguments must be true or false", "/additionalArguments"));
            }
        };
        let empty = Map::new();
        let constraints = match arguments {
            None => &empty,
            Some(Value::Object(constraints)) => constraints,
            Some(_) => {
                return Err(Reason::new("arguments must be an object of constraints", "/arguments"));
            }
        };
        if constraints.len() > MAX_ARGUMENTS {
            return Err(Reason::new("too many constrained arguments", "/arguments"));
        }
        let mut rules = BTreeMap::new();
        for (text, constraint) in constraints {
            let at = |what| Reason::new(what, text);
            let pointer = Pointer::parse(text).map_err(at)?;
            rules.insert(pointer, Constraint::parse(constraint).map_err(at)?);
        }
        Self { rules, closed }.checked()
    }

    /// A pointer above another one leads through an object, so it may say no more than that it is required.
    fn checked(self) -> Result<Self, Reason> {
        for (pointer, constraint) in &self.rules {
            if constraint.shape != Shape::Any && self.names_beneath(pointer.tokens()) {
                return Err(Reason::new(
                    "a constrained argument lies beneath another one",
                    pointer.to_string(),
                ));
            }
        }
        Ok(self)
    }

    /// Whether a call with these arguments is allowed; if not, which argument isn't. `null` stands for no arguments.
    pub(super) fn allows(&self, arguments: &Value) -> Result<(), Reason> {
        let empty = Value::Object(Map::new());
        let arguments = match arguments {
            Value::Object(_) => arguments,
            Value::Null => &empty,
            _ => return Err(Reason::new("the arguments must be an object", "")),
        };
        for (pointer, constraint) in &self.rules {
            allowed(pointer.find(arguments), constraint)
                .map_err(|what| Reason::new(what, pointer.to_string()))?;
        }
        match self.first_unnamed(&mut Vec::new(), arguments) {
            Some(path) if self.closed => Err(Reason::new("this argument is not among those named", path)),
            _ => Ok(()),
        }
    }

    /// Everything that this one allows, the parent allows too. If not, says which argument could be more.
    ///
    /// Sound always. It refuses one thing that a longer proof could accept: rules that are within only because no call at
    /// all fits them.
    pub(super) fn within(&self, parent: &Self) -> Result<(), Reason> {
        for (pointer, constraint) in &parent.rules {
            if !self.implies(pointer, constraint) {
                return Err(Reason::new(
                    "this argument is less constrained than what was granted",
                    pointer.to_string(),
                )
                .limited_to(constraint.to_json()));
            }
        }
        if !parent.closed {
            return Ok(());
        }
        if !self.closed {
            return Err(Reason::new(
                "additional arguments are allowed that were not granted",
                "/additionalArguments",
            ));
        }
        for (pointer, constraint) in self.rules.iter().filter(|(pointer, _)| self.is_leaf(pointer.tokens())) {
            let path = pointer.tokens();
            let finite = || match &constraint.shape {
                Shape::OneOf(values) => values.iter().all(|value| parent.names_all_of(path, value)),
                _ => false,
            };
            if !parent.names(path) && !finite() {
                return Err(Reason::new("this argument was not granted", pointer.to_string()));
            }
        }
        Ok(())
    }

    /// What both allow: never more, and mostly all. None if that is nothing, or if the keywords can't say it: two open
    /// sides that agree on an optional argument only in that it must be absent have no common part here.
    pub(super) fn meet(&self, other: &Self) -> Option<Self> {
        let closed = self.closed || other.closed;
        let mut rules = BTreeMap::new();
        let pointers: BTreeSet<&Pointer> = self.rules.keys().chain(other.rules.keys()).collect();
        for pointer in pointers {
            let (a, b) = (self.rules.get(pointer), other.rules.get(pointer));
            let required = a.is_some_and(|a| a.required) || b.is_some_and(|b| b.required);
            let merged = match (a, b) {
                (Some(a), Some(b)) => a.meet(b),
                (one, two) => one.or(two).cloned(),
            };
            let possible = self.can_appear(pointer.tokens()) && other.can_appear(pointer.tokens());
            match merged.filter(|_| possible) {
                Some(constraint) => drop(rules.insert(pointer.clone(), constraint)),
                // Not named in closed rules, an argument can't appear: just what is wanted.
                None if closed && !required => {}
                None => return None,
            }
        }
        let common = Self { rules, closed }.fold_into_finite_sets(self, other)?.checked().ok()?;
        let fits = common.rules.len() <= MAX_ARGUMENTS
            && common.within(self).is_ok()
            && common.within(other).is_ok();
        fits.then_some(common)
    }

    /// Adds `arguments` and `additionalArguments` to a tool.
    pub(super) fn write(&self, tool: &mut Map<String, Value>) {
        if !self.rules.is_empty() {
            let rules =
                self.rules.iter().map(|(pointer, constraint)| (pointer.to_string(), constraint.to_json()));
            tool.insert("arguments".to_owned(), Value::Object(rules.collect()));
        }
        if self.closed {
            tool.insert("additionalArguments".to_owned(), false.into());
        }
    }

    /// Where one side lists the values of an object and the other constrains its members, keeps the values that fit.
    fn fold_into_finite_sets(mut self, a: &Self, b: &Self) -> Option<Self> {
        let pointers: Vec<Pointer> = self.rules.keys().cloned().collect();
        for pointer in pointers {
            let path = pointer.tokens();
            let Some(Constraint { required, shape: Shape::OneOf(values) }) = self.rules.get(&pointer) else {
                continue;
            };
            if !self.names_beneath(path) {
                continue;
            }
            let beneath: BTreeMap<Pointer, Constraint> = self
                .rules
                .iter()
                .filter(|(lower, _)| lower.tokens().len() > path.len() && lower.tokens().starts_with(path))
                .map(|(lower, constraint)| (lower.clone(), constraint.clone()))
                .collect();
            let fits = |value: &&Value| {
                let fit = |(lower, rule): (&Pointer, &Constraint)| {
                    allowed(find(&lower.tokens()[path.len()..], value), rule).is_ok()
                };
                beneath.iter().all(fit)
                    && [a, b].iter().all(|side| !side.closed || side.names_all_of(path, value))
            };
            let values: Vec<Value> = values.iter().filter(fits).cloned().collect();
            let required = *required || beneath.values().any(|rule| rule.required);
            self.rules.retain(|lower, _| !beneath.contains_key(lower));
            if !values.is_empty() {
                self.rules.insert(pointer, Constraint { required, shape: Shape::OneOf(values) });
            } else if required || !self.closed {
                return None;
            } else {
                self.rules.remove(&pointer);
            }
        }
        Some(self)
    }

    /// Whether in every allowed call the argument at `pointer` obeys `constraint`.
    fn implies(&self, pointer: &Pointer, constraint: &Constraint) -> bool {
        let path = pointer.tokens();
        let above = (1..path.len()).find_map(|length| match self.rules.get(&path[..length]) {
            Some(Constraint { required, shape: Shape::OneOf(values) }) => Some((length, *required, values)),
            _ => None,
        });
        if let Some((length, required, values)) = above {
            return (required || !constraint.required)
                && values.iter().all(|value| allowed(find(&path[length..], value), constraint).is_ok());
        }
        let present = !constraint.required
            || self.rules.iter().any(|(p, c)| c.required && p.tokens().starts_with(path));
        let absent = !self.can_appear(path);
        let shaped = absent
            || constraint.shape == Shape::Any
            || self.rules.get(pointer).is_some_and(|own| {
                own.within(&Constraint { required: false, shape: constraint.shape.clone() })
            });
        // What stands above the argument must be an object: so it is above any named pointer.
        let holder = pointer.holder();
        let reachable = holder.is_empty() || self.names_beneath(holder) || !self.can_appear(holder);
        present && shaped && reachable
    }

    /// Whether any allowed call may have a value at this path.
    fn can_appear(&self, path: &[String]) -> bool {
        !self.closed || self.names(path) || self.names_beneath(path)
    }

    /// A leaf stands at this path or above it.
    fn names(&self, path: &[String]) -> bool {
        (1..=path.len()).any(|length| self.is_leaf(&path[..length]))
    }

    /// Every member of a value that stands at this path is at or below a leaf.
    fn names_all_of(&self, path: &[String], value: &Value) -> bool {
        self.names(path)
            || (self.names_beneath(path)
                && value.is_object()
                && self.first_unnamed(&mut path.to_vec(), value).is_none())
    }

    fn is_leaf(&self, path: &[String]) -> bool {
        self.rules.contains_key(path) && !self.names_beneath(path)
    }

    /// A pointer is named that leads through this path. In the map's order it comes right after the path itself.
    fn names_beneath(&self, path: &[String]) -> bool {
        let mut following = self.rules.range::<[String], _>((Bound::Excluded(path), Bound::Unbounded));
        following.next().is_some_and(|(next, _)| next.tokens().starts_with(path))
    }

    /// The first member, anywhere below `path`, that no leaf stands at or above. Asked only where `path` is the root or
    /// leads to a named pointer.
    fn first_unnamed(&self, path: &mut Vec<String>, value: &Value) -> Option<String> {
        for (name, member) in value.as_object()? {
            path.push(name.clone());
            let unnamed = if self.is_leaf(path) {
                None
            } else if self.names_beneath(path) {
                self.first_unnamed(path, member)
            } else {
                Some(Pointer::print(path))
            };
            path.pop();
            if unnamed.is_some() {
                return unnamed;
            }
        }
        None
    }
}

fn allowed(found: Found<'_>, constraint: &Constraint) -> Result<(), &'static str> {
    match found {
        Found::Value(value) if constraint.shape.allows(value) => Ok(()),
        Found::Value(_) => Err("the value of this argument is not allowed"),
        Found::Nothing if constraint.required => Err("this argument is required"),
        Found::Nothing => Ok(()),
        Found::Blocked => Err("only objects may stand above this argument"),
    }
}

#[cfg(test)]
mod tests;
