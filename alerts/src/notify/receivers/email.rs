//! Mail over SMTP.

use super::fields::Email;
use super::words::Told;
use super::{Outcome, Unmade, secret_or};
use crate::notify::config::Global;
use lettre::address::Envelope;
use lettre::message::{Mailbox, MultiPart, SinglePart, header};
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

/// The addresses of a list: commas in quotes part nothing.
fn mailboxes(text: &str) -> Result<Vec<Mailbox>, String> {
    let (mut pieces, mut start, mut in_quotes, mut is_escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' if !is_escaped => in_quotes = !in_quotes,
            ',' if !in_quotes => {
                pieces.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    pieces.push(&text[start..]);
    let wanted = pieces.into_iter().map(str::trim).filter(|one| !one.is_empty());
    wanted.map(|one| one.parse().map_err(|error| format!("`{one}` is not an address: {error}"))).collect()
}

/// The mail as it is sent. As Alertmanager's, it goes to those of `to`; the headers `From`, `To` and `Cc` are what is shown.
pub(super) fn message(fields: &Email, told: &Told<'_>, global: &Global) -> Result<Message, String> {
    let header =
        |name: &str| fields.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|one| one.1);
    let sender = match (&fields.from, &global.smtp_from) {
        (Some(words), _) => told.say_exactly(words)?,
        (None, Some(text)) => text.clone(),
        (None, None) => return Err("from is missing".to_owned()),
    };
    let from = mailboxes(&sender)?.into_iter().next().ok_or("from is empty")?;
    let to = mailboxes(&fields.to.as_ref().map_or_else(|| Ok(String::new()), |words| told.say_exactly(words))?)?;
    let receivers = to.iter().map(|one| one.email.clone()).collect();
    let envelope = Envelope::new(Some(from.email.clone()), receivers).map_err(|error| format!("to: {error}"))?;
    let shown = |name: &str| header(name).map_or(Ok(Vec::new()), |words| mailboxes(&told.say(Some(words), "")?));
    let (shown_from, shown_to) = (shown("from")?, shown("to")?);
    let subject = told.say(header("subject"), "email.default.subject")?;
    let key = told.decision.idempotency_key();
    let mut builder = Message::builder()
        .envelope(envelope)
        .subject(subject.replace(['\r', '\n'], " "))
        // The same mail has the same id however often it is sent.
        .message_id(Some(format!("<{key}@mangru>")));
    let or = |shown: Vec<Mailbox>, real: Vec<Mailbox>| if shown.is_empty() { real } else { shown };
    for one in or(shown_from, vec![from]) {
        builder = builder.from(one);
    }
    for one in or(shown_to, to) {
        builder = builder.to(one);
    }
    for one in shown("cc")? {
        builder = builder.cc(one);
    }
    for one in shown("reply-to")? {
        builder = builder.reply_to(one);
    }
    for (name, words) in &fields.headers {
        if ["subject", "from", "to", "cc", "reply-to"].iter().any(|known| name.eq_ignore_ascii_case(known)) {
            continue;
        }
        let said = told.say(Some(words), "")?.replace(['\r', '\n'], " ");
        let name = header::HeaderName::new_from_ascii(name.clone()).map_err(|_| format!("`{name}` is no header"))?;
        builder = builder.raw_header(header::HeaderValue::new(name, said));
    }
    let text = told.say(fields.text.as_ref(), "email.default.text")?;
    let html = told.say_html(fields.html.as_ref(), "email.default.html")?;
    // A part that is empty is left out.
    let made = match (text.is_empty(), html.is_empty()) {
        (_, true) => builder.singlepart(SinglePart::plain(text)),
        (true, false) => builder.singlepart(SinglePart::html(html)),
        (false, false) => builder.multipart(MultiPart::alternative_plain_html(text, html)),
    };
    made.map_err(|error| error.to_string())
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
        );
        let password = password.map_err(|unmade| match unmade {
            Unmade::NotYet(message) | Unmade::Never(message) => message,
        })?;
        builder = builder.credentials(Credentials::new(user.clone(), password.unwrap_or_default()));
    }
    Ok(builder.build())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::NotifyConfig;
    use crate::notify::receivers::{fields::Way, words};
    use std::path::Path;

    /// The mail of a sample, with its envelope.
    fn mail(fields: &str) -> (Vec<String>, String) {
        let text = format!(
            "global: {{smtp_smarthost: 'localhost:25', smtp_from: 'mangru@x.y'}}\nroute: {{receiver: a}}\n\
             receivers:\n- name: a\n  email_configs: [{fields}]\n"
        );
        let config = NotifyConfig::read("a.yml", &text, Path::new(".")).expect("a configuration");
        let decision = words::samples("a", Way { kind: "email", place: 0, sends_resolved: true }).remove(0);
        let told = Told::new(&config, &decision, "http://localhost").expect("told");
        let mail = message(&config.receivers["a"].email_configs[0], &told, &config.global).expect("a mail");
        let to = mail.envelope().to().iter().map(ToString::to_string).collect();
        (to, String::from_utf8(mail.formatted()).expect("text"))
    }

    #[test]
    fn lists_of_addresses_are_read_as_such_and_headers_show_others() {
        let (to, text) = mail(r#"{to: '"Doe, Jane" <j@x.y>, k@x.y', headers: {Cc: 'a@b.c, d@e.f'}}"#);
        assert_eq!(to, ["j@x.y", "k@x.y"]);
        // The name has a comma, which is encoded.
        assert!(text.contains("To: =?utf-8?b?RG9lLCBKYW5l?= <j@x.y>, k@x.y\r\n"), "{text}");
        assert!(text.contains("Cc: a@b.c, d@e.f\r\n") && text.contains("From: mangru@x.y\r\n"), "{text}");
        let (to, text) = mail("{to: 'k@x.y', headers: {from: 'Alerts <no@x.y>', To: 'all@x.y', X-Team: shop}}");
        assert_eq!(to, ["k@x.y"]);
        assert!(text.contains("From: Alerts <no@x.y>\r\n") && text.contains("To: all@x.y\r\n"), "{text}");
        assert!(text.contains("X-Team: shop\r\n") && !text.contains("k@x.y"), "{text}");
    }

    #[test]
    fn an_empty_part_is_left_out_and_html_is_escaped() {
        let (_, text) = mail("{to: 'k@x.y', html: '', text: 'of {{ .Status }}'}");
        assert!(text.contains("of firing") && !text.contains("text/html") && !text.contains("multipart"), "{text}");
        let (_, text) =
            mail("{to: 'k@x.y', text: '', html: '<b>{{ .Status }}</b> {{ \"a<b\" }}{{ safeHtml \"<i>\" }}'}");
        assert!(text.contains("<b>firing</b> a&lt;b<i>") && !text.contains("text/plain"), "{text}");
    }
}
