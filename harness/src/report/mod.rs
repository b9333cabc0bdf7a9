//! Reports: pure serializers over outcomes, one file a format.

pub mod json;
pub mod terminal;
