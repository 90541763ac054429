//! axe-core in the page: what it finds wrong for people who do not see, hear or point.

use serde_json::{Value, json};

use super::page::Browser;

impl Browser {
    /// Fails when axe-core finds something serious or critical; without it here, says so and goes on.
    pub async fn is_accessible(&self, page: &str) {
        let Some(violations) = self.axe().await else { return };
        let bad: Vec<&Value> = violations
            .iter()
            .filter(|violation| violation["impact"] == "serious" || violation["impact"] == "critical")
            .collect();
        assert!(bad.is_empty(), "axe-core finds on {page}: {}", json!(bad));
    }

    /// Every rule that the page breaks, whatever its weight, with the elements that break it.
    pub async fn axe(&self) -> Option<Vec<Value>> {
        let Some(file) = std::env::var_os("FIDELIO_AXE") else {
            eprintln!("SKIPPED: FIDELIO_AXE does not name axe.min.js; `.ci/setup.sh axe` fetches it");
            return None;
        };
        let source = std::fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("FIDELIO_AXE names {}: {error}", file.display()));
        // Through the tools, not a script element: the page's policy would not have it.
        self.cdp("Runtime.evaluate", json!({"expression": source}));
        let script = "
            const [done] = arguments;
            const told = ({id, impact, help, nodes}) =>
                ({id, impact, help, nodes: nodes.map(node => `${node.target.join(' ')}: ${node.failureSummary}`)});
            axe.run(document, {resultTypes: ['violations']})
                .then(result => done(result.violations.map(told)), error => done(`${error}`));";
        let found = self.script_async(script, Vec::new()).await;
        Some(found.as_array().unwrap_or_else(|| panic!("axe-core fails: {found}")).clone())
    }
}
