//! Whole days.

mod a_working_day;
mod revoked_under_load;
