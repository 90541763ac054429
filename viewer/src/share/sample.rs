//! A comparison for tests: two metrics of the published A100 runs, curves thinned to five points.

use fidelio_shared::schema::comparison::Comparison;

/// The comparison.
pub fn comparison() -> Comparison {
    serde_json::from_str(include_str!("../../fixtures/comparison.json")).expect("the fixture is a comparison")
}
