//! stub
use super::Row;
/// stub
pub fn report(_rows: &[Row]) -> String {
    String::new()
}
