//! What is done to a data folder while no server runs over it.

use crate::config::Settings;
use anyhow::bail;
use mangru_store::{Store, StoreConfig};
use std::time::Duration;

/// The store of a folder that is there, and that nobody reads meanwhile.
fn store(settings: &Settings) -> anyhow::Result<StoreConfig> {
    let config = StoreConfig { retired_grace: Duration::ZERO, ..settings.store() };
    let is_there = ["catalog.db", "objects", "journal"].iter().any(|name| config.data_dir.join(name).exists());
    if !is_there {
        bail!("{} is no data folder", config.data_dir.display());
    }
    Ok(config)
}

/// `mangru reindex`: makes the indexes of all parts anew.
pub(crate) async fn reindex(settings: Settings) -> anyhow::Result<()> {
    let store = Store::open(store(&settings)?).await?;
    let count = store.reindex().await?;
    store.close().await?;
    println!("{count} parts have new indexes");
    Ok(())
}

/// `mangru verify`: compares all parts with their checksums.
pub(crate) async fn verify(settings: Settings) -> anyhow::Result<()> {
    let store = Store::open(store(&settings)?).await?;
    let damaged = store.verify().await?;
    store.close().await?;
    for path in &damaged {
        println!("{path}");
    }
    if !damaged.is_empty() {
        bail!("{} parts are damaged", damaged.len());
    }
    println!("all parts are as they were written");
    Ok(())
}
