//! A real Prometheus beside Mangru.

use super::client;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running Prometheus that takes remote writes; killed when it is dropped.
pub(crate) struct Prometheus {
    child: Child,
    pub(crate) address: String,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// Starts one over `data` in a folder, and waits until it answers; `OWN_ADDRESS` in the configuration is its own.
    pub(crate) async fn start(programs: &Path, folder: &Path, config: &str) -> Self {
        // Prometheus does not say which port it took: a free one is looked for first.
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("its address").to_string();
        drop(free);
        let config = config.replace("OWN_ADDRESS", &address);
        std::fs::write(folder.join("prometheus.yml"), config).expect("written");
        let log = std::fs::File::create(folder.join("log")).expect("a log");
        let child = Command::new(programs.join("prometheus"))
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg("--storage.tsdb.retention.time=100y")
            .arg("--web.enable-remote-write-receiver")
            .arg("--enable-feature=exemplar-storage,native-histograms")
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus starts");
        let running = Self { child, address: format!("http://{address}") };
        let deadline = Instant::now() + Duration::from_mins(1);
        let ready = format!("{}/-/ready", running.address);
        while !client().get(&ready).send().await.is_ok_and(|answer| answer.status().is_success()) {
            assert!(Instant::now() < deadline, "{}", std::fs::read_to_string(folder.join("log")).unwrap_or_default());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        running
    }
}
