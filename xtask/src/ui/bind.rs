//! From the compiler's module to what a browser loads: the module, its glue, and the module compressed.

use anyhow::{Context as _, Result, bail};
use brotli::enc::BrotliEncoderParams;
use wasm_bindgen_cli_support::Bindgen;

/// Before the hash that leptos' code splitting puts in an export; the hash follows the machine, not the source.
const MARKER: &[u8] = b"_WASM_SPLIT_MARKER_";
const MARKER_DIGITS: usize = 16;

/// The files of the bundle.
pub(super) fn bind(mut module: Vec<u8>) -> Result<Vec<(&'static str, Vec<u8>)>> {
    zero_markers(&mut module);
    let mut output = Bindgen::new()
        .input_bytes("mangru_ui", module)
        .web(true)?
        .typescript(false)
        .omit_default_module_path(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate_output()
        .context("cannot bind the module")?;
    if output.snippets().values().any(|snippets| !snippets.is_empty()) || !output.local_modules().is_empty() {
        bail!("the bundle needs extra JavaScript files, which the server does not serve");
    }
    let glue = output.js().as_bytes().to_vec();
    let module = output.wasm_mut().emit_wasm();
    let mut compressed = Vec::new();
    let params =
        BrotliEncoderParams { quality: 11, lgwin: 22, size_hint: module.len(), ..BrotliEncoderParams::default() };
    brotli::BrotliCompress(&mut module.as_slice(), &mut compressed, &params).context("cannot compress the module")?;
    Ok(vec![("mangru_ui.js", glue), ("mangru_ui_bg.wasm", module), ("mangru_ui_bg.wasm.br", compressed)])
}

fn zero_markers(module: &mut [u8]) {
    let mut at = 0;
    while let Some(found) = module[at..].windows(MARKER.len()).position(|window| window == MARKER) {
        let digits = at + found + MARKER.len();
        let end = (digits + MARKER_DIGITS).min(module.len());
        if module[digits..end].iter().all(u8::is_ascii_hexdigit) {
            module[digits..end].fill(b'0');
        }
        at = digits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hash_of_the_marker_is_zeroed() {
        let mut module = b"abc_WASM_SPLIT_MARKER_0123456789abcdefversion_WASM_SPLIT_MARKER_short".to_vec();
        zero_markers(&mut module);
        assert_eq!(module, b"abc_WASM_SPLIT_MARKER_0000000000000000version_WASM_SPLIT_MARKER_short");
    }
}
