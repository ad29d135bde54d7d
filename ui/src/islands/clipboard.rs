//! Putting a text on the clipboard, over plain HTTP under a host name, too.

use js_sys::Reflect;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Clipboard, Document, Element, HtmlDocument, HtmlElement, HtmlTextAreaElement};

/// Copies what a button carries, and lets it say one of two words: that it did, or that it could not.
pub(super) fn copy(button: Element, [copied, refused]: [String; 2]) {
    let text = button.get_attribute("data-copy").unwrap_or_default();
    let say = move |button: &Element, is_copied: bool| {
        button.set_text_content(Some(if is_copied { &copied } else { &refused }));
    };
    match clipboard() {
        Some(clipboard) => {
            let written = clipboard.write_text(&text);
            spawn_local(async move {
                let is_copied = JsFuture::from(written).await.is_ok() || copy_selected(&button, &text).unwrap_or(false);
                say(&button, is_copied);
            });
        }
        // At once: some browsers allow it only while the click is handled.
        None => {
            let is_copied = copy_selected(&button, &text).unwrap_or(false);
            say(&button, is_copied);
        }
    }
}

/// The clipboard of the browser, which there is only over HTTPS and on this machine itself.
fn clipboard() -> Option<Clipboard> {
    let navigator = web_sys::window()?.navigator();
    let found = Reflect::get(&navigator, &JsValue::from_str("clipboard")).ok()?;
    (!found.is_undefined() && !found.is_null()).then(|| navigator.clipboard())
}

/// Copies as a person would: by a field with the text, selected. None where the page has no room for it.
fn copy_selected(button: &Element, text: &str) -> Option<bool> {
    let document: Document = button.owner_document()?;
    let commands = document.dyn_ref::<HtmlDocument>()?;
    let field: HtmlTextAreaElement = document.create_element("textarea").ok()?.dyn_into().ok()?;
    field.set_value(text);
    field.set_class_name("unseen");
    // Beside the button: in a dialog nothing outside takes the focus.
    button.parent_element()?.append_child(&field).ok()?;
    field.select();
    let is_copied = commands.exec_command("copy").unwrap_or(false);
    field.remove();
    if let Some(button) = button.dyn_ref::<HtmlElement>() {
        // A button that does not take its focus back does no harm.
        let _ = button.focus();
    }
    Some(is_copied)
}
