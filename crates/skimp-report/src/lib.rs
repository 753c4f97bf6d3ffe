//! Records of runs, written as tables, CSV, JSON and HTML.
