//! Laws, tried on ten thousand generated cases each.

mod cutoff;
mod narrowing;
