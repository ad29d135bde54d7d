//! The files in `deploy/` are what their readers expect, as far as this machine can tell.

use std::path::{Path, PathBuf};
use std::process::Command;

fn deploy(name: &str) -> PathBuf {
    Path::new("deploy").join(name)
}

#[test]
fn the_example_configuration_is_accepted_and_says_the_defaults() {
    let check = |file: &Path| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_mangru")).args(["config", "check"]).arg(file).output().expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut settings: serde_json::Value = serde_json::from_slice(&output.stdout).expect("settings are JSON");
        settings["data_dir"] = serde_json::Value::Null;
        settings
    };
    let folder = tempfile::tempdir().expect("folder");
    let empty = folder.path().join("empty.yaml");
    std::fs::write(&empty, "{}\n").expect("write");
    assert_eq!(check(&deploy("mangru.yaml")), check(&empty));
}

#[test]
fn manifests_are_yaml_with_the_probes_of_the_server() {
    let text = std::fs::read_to_string(deploy("kubernetes/mangru.yaml")).expect("manifest");
    let documents: Vec<serde_json::Value> =
        text.split("\n---\n").map(|document| serde_saphyr::from_str(document).expect("YAML")).collect();
    assert_eq!(documents.len(), 2);
    let container = &documents[1]["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/readyz");
    assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/healthz");
    assert_eq!(documents[1]["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"], true);
}

#[test]
fn the_unit_is_one_that_systemd_understands() {
    let text = std::fs::read_to_string(deploy("mangru.service")).expect("unit");
    let mut section = String::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(name) => section = name.to_owned(),
            None => assert!(line.contains('=') && !section.is_empty(), "`{line}` is no setting"),
        }
    }
    let Ok(output) = Command::new("systemd-analyze").arg("verify").arg(deploy("mangru.service")).output() else {
        eprintln!("!!! systemd-analyze is not here: the unit is read by this test alone");
        return;
    };
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    let unknown: Vec<&str> = complaints.lines().filter(|line| line.contains("Unknown")).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn the_container_runs_as_nobody_special_from_a_build_of_its_own() {
    let text = std::fs::read_to_string(deploy("Containerfile")).expect("file");
    let stages = text.lines().filter(|line| line.starts_with("FROM ")).count();
    assert_eq!(stages, 2);
    assert!(text.lines().any(|line| line == "USER nonroot"));
    let known = ["FROM", "RUN", "WORKDIR", "COPY", "USER", "VOLUME", "EXPOSE", "ENV", "ENTRYPOINT", "CMD", "#", " "];
    for line in text.lines().filter(|line| !line.is_empty()) {
        assert!(known.iter().any(|word| line.starts_with(word)), "`{line}` is no instruction");
    }
}
