//! Receivers behind certificates of an authority of one's own: a webhook over HTTPS, and mail after STARTTLS.

mod alerting;
mod harness;

use alerting::{Listener, RULES, decline_cards, routes, start, until};
use std::path::{Path, PathBuf};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

/// The error of the newest attempt.
async fn last_error(server: &harness::Server) -> Option<String> {
    let told = server.get("/api/v1/alerts/notifications", &[]).await;
    told["notifications"][0]["last_error"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_over_https_is_trusted_by_the_authority_that_is_named_and_by_no_other() {
    let Some(python) = harness::tool("MANGRU_TEST_PYTHON") else { return };
    let (server_pem, key, authority) = (file("server.pem"), file("server.key"), file("authority.pem"));
    let files = [&server_pem, &key].map(|path| path.to_str().expect("text"));
    let hook = Listener::start(&python, "https_hook.py", &files);
    let folder = tempfile::tempdir().expect("folder");
    let url = format!("https://localhost:{}/hook", hook.port);
    let untrusted = routes(&format!("  webhook_configs: [{{url: '{url}'}}]\n"));
    let server = start(folder.path(), RULES, &untrusted);
    decline_cards(&server).await;
    let error = until("a failed attempt", async || last_error(&server).await).await;
    assert!(error.to_lowercase().contains("certificate"), "{error}");
    assert!(hook.first().is_none(), "nothing was sent to a server that is not trusted");

    // The outbox delivers once the file that changed names the authority.
    let trusted = format!(
        "  webhook_configs: [{{url: '{url}', http_config: {{tls_config: {{ca_file: '{}'}}}}}}]\n",
        authority.display()
    );
    std::fs::write(folder.path().join("notify.yml"), routes(&trusted)).expect("written");
    let body = until("the notification", async || hook.first()).await;
    assert_eq!(body["alerts"][0]["labels"]["alertname"], "CardDeclined");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_out_after_starttls_to_a_server_that_the_authority_vouches_for() {
    let Some(python) = harness::tool("MANGRU_TEST_PYTHON") else { return };
    let (server_pem, key, authority) = (file("server.pem"), file("server.key"), file("authority.pem"));
    let files = [&server_pem, &key].map(|path| path.to_str().expect("text"));
    let mailbox = Listener::start(&python, "mailbox.py", &["0", files[0], files[1]]);
    let folder = tempfile::tempdir().expect("folder");
    let mail = |tls: &str| {
        let (from, port) = ("from: 'mangru@shop.example'", mailbox.port);
        routes(&format!("  email_configs: [{{to: 'a@shop.example', {from}, smarthost: 'localhost:{port}'{tls}}}]\n"))
    };
    let server = start(folder.path(), RULES, &mail(""));
    decline_cards(&server).await;
    let error = until("a failed attempt", async || last_error(&server).await).await;
    assert!(error.to_lowercase().contains("certificate"), "{error}");
    assert!(mailbox.first().is_none(), "nothing was sent to a server that is not trusted");

    let trusted = mail(&format!(", tls_config: {{ca_file: '{}'}}", authority.display()));
    std::fs::write(folder.path().join("notify.yml"), trusted).expect("written");
    let got = until("the mail", async || mailbox.first()).await;
    assert_eq!((&got["encrypted"], &got["to"][0]), (&true.into(), &"a@shop.example".into()));
    server.stop();
}
