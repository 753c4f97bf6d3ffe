//! The rooms of a crate that holds many: files name those of lower rooms, and nothing by way of the crate's root.

use anyhow::Result;

use super::Repository;

/// Before the name of a crate and the list of its rooms, in ARCHITECTURE.md.
const MARK: &str = "Rooms of ";

pub(super) fn check(repository: &Repository, violations: &mut Vec<String>) -> Result<()> {
    let houses: Vec<(String, Vec<String>)> = repository.architecture.lines().filter_map(rooms).collect();
    if houses.is_empty() {
        violations.push(format!("ARCHITECTURE.md: no line begins with \"{MARK}\""));
    }
    for (name, rooms) in houses {
        let source = format!("crates/{name}/src/");
        for (path, text) in repository.rust_files() {
            let Some((room, file)) = path.strip_prefix(&source).and_then(|path| path.split_once('/')) else { continue };
            let Some(own) = rooms.iter().position(|known| known == room) else {
                violations.push(format!("{path}: ARCHITECTURE.md lists no room `{room}` of {name}"));
                continue;
            };
            // Tests may look up.
            let is_test = file.ends_with("tests.rs");
            let shipped = text.lines().take_while(|line| !line.trim_start().starts_with("mod tests"));
            for (idx, line) in shipped.enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
                for word in line.match_indices("crate::").map(|(at, mark)| &line[at + mark.len()..]) {
                    let end = word.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(word.len());
                    let target = &word[..end];
                    if target.is_empty() || target.starts_with(char::is_uppercase) {
                        violations.push(format!("{path}:{}: imports by way of lib.rs", idx + 1));
                    } else if !is_test && rooms.iter().position(|known| known == target).is_some_and(|at| at > own) {
                        violations.push(format!("{path}:{}: names {target}, which is above {room}", idx + 1));
                    }
                }
            }
        }
    }
    Ok(())
}

/// The crate of a line of ARCHITECTURE.md, and its rooms from the lowest.
fn rooms(line: &str) -> Option<(String, Vec<String>)> {
    let mut words = line.strip_prefix(MARK)?.split('`').skip(1).step_by(2).map(str::to_owned);
    Some((words.next()?, words.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_a_crate_and_its_rooms() {
        let line = "Rooms of `skimp-x`, from the lowest: `a`, `b` (what it is).";
        assert_eq!(rooms(line), Some(("skimp-x".to_owned(), vec!["a".to_owned(), "b".to_owned()])));
        assert_eq!(rooms("Roommates of `x`"), None);
    }
}
