//! Mail over SMTP.

use super::fields::Email;
use super::words::Told;
use super::{Outcome, secret_or};
use crate::notify::config::Global;
use lettre::message::{Mailbox, MultiPart, header};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use std::time::Duration;

/// How long an attempt may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Sends one mail to all who are named.
pub(super) async fn send(fields: &Email, global: &Global, told: &Told<'_>) -> Outcome {
    let message = match message(fields, told, global) {
        Ok(message) => message,
        Err(message) => return Outcome::Never(message),
    };
    // Files of certificates and passwords may come to be there.
    let transport = match transport(fields, global) {
        Ok(transport) => transport,
        Err(message) => return Outcome::Later(message, None),
    };
    match tokio::time::timeout(TIMEOUT, transport.send(message)).await {
        Err(_) => Outcome::Later("the mail server did not answer in time".to_owned(), None),
        Ok(Ok(_)) => Outcome::Delivered,
        Ok(Err(error)) => {
            let text = match std::error::Error::source(&error) {
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            };
            // A permanent answer of the server will not change by repeating.
            if error.is_permanent() { Outcome::Never(text) } else { Outcome::Later(text, None) }
        }
    }
}

fn message(fields: &Email, told: &Told<'_>, global: &Global) -> Result<Message, String> {
    let to = told.say(fields.to.as_ref(), "")?;
    let from = match (&fields.from, &global.smtp_from) {
        (Some(words), _) => told.say(Some(words), "")?,
        (None, Some(text)) => text.clone(),
        (None, None) => return Err("from is missing".to_owned()),
    };
    let mailbox =
        |text: &str| text.trim().parse::<Mailbox>().map_err(|error| format!("`{text}` is not an address: {error}"));
    let subject = fields.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("subject"));
    let subject = told.say(subject.map(|(_, words)| words), "email.default.subject")?;
    let key = told.decision.idempotency_key();
    let mut builder = Message::builder()
        .from(mailbox(&from)?)
        .subject(subject.replace(['\r', '\n'], " "))
        // The same mail has the same id however often it is sent.
        .message_id(Some(format!("<{key}@mangru>")));
    for one in to.split(',').filter(|one| !one.trim().is_empty()) {
        builder = builder.to(mailbox(one)?);
    }
    for (name, words) in fields.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("subject")) {
        let said = told.say(Some(words), "")?.replace(['\r', '\n'], " ");
        match name.to_ascii_lowercase().as_str() {
            "reply-to" => builder = builder.reply_to(mailbox(&said)?),
            "cc" => builder = builder.cc(mailbox(&said)?),
            "to" | "from" => {}
            _ => {
                let name =
                    header::HeaderName::new_from_ascii(name.clone()).map_err(|_| format!("`{name}` is no header"))?;
                builder = builder.raw_header(header::HeaderValue::new(name, said));
            }
        }
    }
    let text = told.say(fields.text.as_ref(), "email.default.text")?;
    let html = told.say(fields.html.as_ref(), "email.default.html")?;
    builder.multipart(MultiPart::alternative_plain_html(text, html)).map_err(|error| error.to_string())
}

fn transport(fields: &Email, global: &Global) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let smarthost = fields.smarthost.as_ref().or(global.smtp_smarthost.as_ref()).ok_or("smarthost is missing")?;
    let (host, port) = smarthost.rsplit_once(':').ok_or_else(|| format!("smarthost `{smarthost}` has no port"))?;
    let port: u16 = port.parse().map_err(|_| format!("smarthost `{smarthost}` has no port"))?;
    let host = host.trim_matches(['[', ']']);
    let mut tls = TlsParameters::builder(host.to_owned());
    if let Some(given) = &fields.tls_config {
        tls = tls.dangerous_accept_invalid_certs(given.insecure_skip_verify);
        if let Some(path) = &given.ca_file {
            let pem = std::fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))?;
            tls = tls.add_root_certificate(Certificate::from_pem(&pem).map_err(|error| format!("{path}: {error}"))?);
        }
    }
    let tls = || tls.clone().build().map_err(|error| format!("TLS cannot be set up: {error}"));
    let is_required = fields.require_tls.or(global.smtp_require_tls).unwrap_or(true);
    let mode = match (port, is_required) {
        (465, _) => Tls::Wrapper(tls()?),
        (_, true) => Tls::Required(tls()?),
        (_, false) => tls().map_or(Tls::None, Tls::Opportunistic),
    };
    let mut builder =
        AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host).port(port).tls(mode).timeout(Some(TIMEOUT));
    if let Some(hello) = fields.hello.as_ref().or(global.smtp_hello.as_ref()) {
        builder = builder.hello_name(ClientId::Domain(hello.clone()));
    }
    let user = fields.auth_username.as_ref().or(global.smtp_auth_username.as_ref());
    if let Some(user) = user {
        let password = secret_or(
            (fields.auth_password.as_ref(), fields.auth_password_file.as_ref()),
            (global.smtp_auth_password.as_ref(), global.smtp_auth_password_file.as_ref()),
        )?;
        builder = builder.credentials(Credentials::new(user.clone(), password.unwrap_or_default()));
    }
    Ok(builder.build())
}
