//! `include/nyario.h` is what cbindgen makes of this crate. With `NYARIO_WRITE_HEADER=1` it is written, otherwise
//! compared. nyario-manual gives it its sections.

use std::path::Path;

#[test]
fn header_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml is valid");
    let bindings = cbindgen::Builder::new().with_crate(root).with_config(config).generate().expect("bindings");
    let mut made = Vec::new();
    bindings.write(&mut made);
    // cbindgen's own comments are of a newer C than the rest, which any C compiler takes.
    let made = String::from_utf8(made)
        .expect("text")
        .replace(" // __cplusplus", " /* __cplusplus */")
        .replace("  // extern \"C\"", " /* extern \"C\" */");
    let made = nyario_manual::arrange::arrange(&made, &root.join("src"));
    let path = root.join("../include/nyario.h");
    if std::env::var_os("NYARIO_WRITE_HEADER").is_some() {
        std::fs::write(&path, &made).expect("include/nyario.h can be written");
    }
    let committed = std::fs::read_to_string(&path).expect("include/nyario.h is committed");
    assert!(made == committed, "include/nyario.h has drifted from nyario-capi: run `make header` and commit it");
}

#[test]
fn header_states_the_version_of_the_library() {
    let header = include_str!("../../include/nyario.h");
    for (name, value) in [
        ("MAJOR", env!("CARGO_PKG_VERSION_MAJOR")),
        ("MINOR", env!("CARGO_PKG_VERSION_MINOR")),
        ("PATCH", env!("CARGO_PKG_VERSION_PATCH")),
    ] {
        let line = format!("#define NYARIO_VERSION_{name} {value}\n");
        assert!(header.contains(&line), "cbindgen.toml lacks {line}");
    }
}
