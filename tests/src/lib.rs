//! What the end-to-end tests share: the catalogue of defects.

pub mod defects;
