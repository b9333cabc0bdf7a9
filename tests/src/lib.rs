//! What the end-to-end tests share: the catalogue of defects, and where the programs under test are.

pub mod defects;
pub mod programs;
