//! Words that do not belong into a committed file.

/// In source files: unfinished work. Put together, so that this file does not hold the words itself.
const UNFINISHED: &[(&[&str], &str)] = &[
    (&["to", "do!("], "unfinished code"),
    (&["unimple", "mented!("], "unfinished code"),
    (&["// TO", "DO"], "write an issue instead"),
    (&["# TO", "DO"], "write an issue instead"),
    (&["FIX", "ME"], "write an issue instead"),
];

/// In every file: what holds on one machine only.
const OF_ONE_MACHINE: &[(&[&str], &str)] = &[
    (&["/wo", "rk/"], "a path of one machine"),
    (&["/ro", "ot/"], "a path of one machine"),
    (&["/ho", "me/"], "a path of one machine"),
    (&["registry.", "npmjs.org"], "a registry's host: each machine has its own way there"),
    (&["files.python", "hosted.org"], "a registry's host: each machine has its own way there"),
    (&["pypi.", "org/"], "a registry's host: each machine has its own way there"),
    (&["index.", "crates.io"], "a registry's host: each machine has its own way there"),
    (&["static.", "crates.io"], "a registry's host: each machine has its own way there"),
];

/// Files with text that came from elsewhere as it is.
const AS_THEY_ARE: &[&str] = &["Cargo.lock", "LICENSE"];

/// The phrases that a file must not hold.
pub(super) fn faults(name: &str, text: &str) -> Vec<String> {
    if AS_THEY_ARE.contains(&name) {
        return Vec::new();
    }
    let extension = name.rsplit('.').next().unwrap_or_default();
    let is_source = ["rs", "mjs", "js", "py", "css"].contains(&extension);
    let unfinished = UNFINISHED.iter().filter(|_| is_source);
    let mut faults = Vec::new();
    for (pieces, why) in unfinished.chain(OF_ONE_MACHINE) {
        let phrase = pieces.concat();
        for (number, line) in text.lines().enumerate() {
            if line.contains(&phrase) {
                faults.push(format!("{name}:{} holds `{phrase}`: {why}", number + 1));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::faults;

    #[test]
    fn unfinished_work_and_paths_of_a_machine_are_found() {
        let text = ["fine\n// TO", "DO later\nlet folder = \"/ro", "ot/data\";\n"].concat();
        assert_eq!(faults("a.rs", &text).len(), 2);
        assert_eq!(faults("a.md", &text).len(), 1);
        assert!(faults("Cargo.lock", &text).is_empty());
    }
}
