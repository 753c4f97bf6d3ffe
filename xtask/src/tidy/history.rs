//! The form of commits, from the day on which the rule was made a check.

use anyhow::Result;

use super::{Repository, output};
use crate::tools::say;

/// The last commit before the rule was checked.
const BEFORE: &str = "fdaff8295d0c";

const MAX_SUBJECT: usize = 72;

pub(super) fn check(repository: &Repository, violations: &mut Vec<String>) -> Result<()> {
    let range = format!("{BEFORE}..HEAD");
    // Records end with an ASCII record separator, fields with a unit separator.
    let args = ["log", "--no-merges", "--format=%h%x1f%s%x1f%b%x1e", &range];
    let Ok(log) = output(&repository.root, "git", &args) else {
        say("note: the history is not all here, so the form of commits is not checked");
        return Ok(());
    };
    for record in log.split('\x1e').map(str::trim).filter(|record| !record.is_empty()) {
        let mut fields = record.split('\x1f');
        let (hash, subject) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let body = fields.next().unwrap_or_default();
        let length = subject.chars().count();
        if length > MAX_SUBJECT {
            violations.push(format!("commit {hash}: its subject has {length} characters, at most {MAX_SUBJECT}"));
        }
        if !subject.contains(": ") {
            violations.push(format!("commit {hash}: \"{subject}\" does not begin with an area"));
        }
        if body.trim().is_empty() {
            violations.push(format!("commit {hash}: has no body that says why"));
        }
    }
    Ok(())
}
