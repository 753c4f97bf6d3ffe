//! What the page carries with it.

/// Style of the page.
pub(super) const CSS: &str = include_str!("../../assets/report.css");

/// Behavior of every page: errors, colors, theme, printing.
pub(super) const PAGE_SCRIPT: &str = include_str!("../../assets/page.js");

/// Behavior of a study's page: charts.
pub(super) const SCRIPT: &str = include_str!("../../assets/report.js");

/// Style of a sweep's page besides.
pub(super) const EXPLORER_CSS: &str = include_str!("../../assets/explorer.css");

/// Behavior of a sweep's page: one scope, a file for each of its parts.
pub(super) const EXPLORER_SCRIPT: &str = concat!(
    "(() => {\n\"use strict\";\n",
    include_str!("../../assets/explorer/data.js"),
    include_str!("../../assets/explorer/filter.js"),
    include_str!("../../assets/explorer/state.js"),
    include_str!("../../assets/explorer/scatter.js"),
    include_str!("../../assets/explorer/parallel.js"),
    include_str!("../../assets/explorer/table.js"),
    include_str!("../../assets/explorer/detail.js"),
    include_str!("../../assets/explorer/exports.js"),
    include_str!("../../assets/explorer/main.js"),
    "})();\n"
);

/// Style of an optimization's page besides.
pub(super) const OPTIMIZE_CSS: &str = include_str!("../../assets/optimize.css");

/// Behavior of an optimization's page.
pub(super) const OPTIMIZE_SCRIPT: &str = include_str!("../../assets/optimize.js");

/// Chart.js as its authors built it; see `assets/chartjs/README.md`.
const CHART_JS: &str = include_str!("../../assets/chartjs/chart.umd.min.js");

/// Chart.js without the comment that makes developer tools look for a source map beside the page.
pub(super) fn chart_js() -> &'static str {
    CHART_JS.split("//# sourceMappingURL").next().unwrap_or(CHART_JS)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    /// SHA-256 of the vendored file, as in its README.
    const CHART_JS_SHA256: &str = "87364cc2b2a76a6684929e7d6b80b18a897794db38400caff1fcf1791c6925d2";

    #[test]
    fn vendored_library_is_the_stated_one() {
        let digest: String = Sha256::digest(CHART_JS).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, CHART_JS_SHA256);
        let readme = include_str!("../../assets/chartjs/README.md");
        assert!(readme.contains(CHART_JS_SHA256));
        assert!(include_str!("../../assets/chartjs/LICENSE.md").starts_with("The MIT License"));
    }

    #[test]
    fn scripts_do_not_end_their_element() {
        for script in [chart_js(), PAGE_SCRIPT, SCRIPT, EXPLORER_SCRIPT, OPTIMIZE_SCRIPT] {
            assert!(!script.contains("</script") && !script.contains("<!--"));
        }
        assert!(chart_js().len() > 200_000 && !chart_js().contains("sourceMappingURL"));
    }
}
