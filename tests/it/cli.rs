//! The program as people and service managers run it.

pub mod advice;
pub mod check;
pub mod commands;
pub mod doctor;
pub mod embedded;
pub mod import;
pub mod lifecycle;
pub mod logs;
pub mod metrics;
pub mod secrets;
pub mod supervisor;
pub mod variables;
