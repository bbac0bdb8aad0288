//! What is written, held against what is so; and the order of the code.

pub mod api;
pub mod architecture;
pub mod builds;
pub mod contributing;
pub mod monitoring;
pub mod packaging;
pub mod pasted;
pub mod security;
