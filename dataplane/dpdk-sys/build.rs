//! Finds libdpdk, compiles the shim and generates the bindings of what `allow.rs` names.

use std::env;
use std::path::PathBuf;
use std::process::exit;

mod allow {
    include!("allow.rs");
}

/// The oldest release that the shim is written for.
const VERSION_MIN: &str = "22.11";

fn main() {
    for file in ["allow.rs", "src/shim.h", "src/shim.c"] {
        println!("cargo::rerun-if-changed={file}");
    }

    let mut probe = pkg_config::Config::new();
    // The `rte_config.h` that every header expects comes as `-include`, which pkg-config's parser of flags drops.
    let library = match probe.atleast_version(VERSION_MIN).probe("libdpdk") {
        Ok(library) => library,
        Err(error) => refuse_library(&error),
    };
    let includes: Vec<String> =
        library.include_paths.iter().map(|path| format!("-I{}", path.display())).collect();

    compile_shim(&includes);
    generate_bindings(&includes);
    // Dependants read these as DEP_DPDK_VERSION.
    println!("cargo::metadata=version={}", library.version);
}

/// Ends the build: cargo fails on such lines and shows each as an error of this crate.
fn refuse(lines: &[String]) -> ! {
    for line in lines.iter().flat_map(|text| text.lines()).filter(|line| !line.trim().is_empty()) {
        println!("cargo::error={line}");
    }
    exit(0);
}

fn refuse_library(error: &pkg_config::Error) -> ! {
    refuse(&[
        format!("libdpdk {VERSION_MIN} or newer was not found"),
        "on Debian and Ubuntu: apt-get install libdpdk-dev dpdk pkg-config libclang-dev".into(),
        "on Fedora and its kin: dnf install dpdk-devel dpdk pkgconf clang-devel".into(),
        "built from source: put the directory of its libdpdk.pc into PKG_CONFIG_PATH".into(),
        error.to_string(),
    ]);
}

/// The instruction set that the system's headers ask for: DPDK's inlines do not compile below it.
fn machine_flag() -> Option<String> {
    let output = std::process::Command::new(env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into()))
        .args(["--cflags", "libdpdk"])
        .output()
        .ok()?;
    let flags = String::from_utf8(output.stdout).ok()?;
    flags.split_whitespace().find(|flag| flag.starts_with("-march=")).map(str::to_owned)
}

fn compile_shim(includes: &[String]) {
    let mut build = cc::Build::new();
    build.file("src/shim.c").flag("-include").flag("rte_config.h");
    for include in includes {
        // DPDK's own headers are not free of warnings under -Wextra.
        build.flag(include.replacen("-I", "-isystem", 1));
    }
    if let Some(machine) = machine_flag() {
        build.flag(machine);
    }
    // Some calls that every DPDK application needs have carried the mark "experimental" for years.
    build.define("ALLOW_EXPERIMENTAL_API", None).opt_level(3).warnings(true).extra_warnings(true);
    build.compile("dpdk_shim");
}

fn generate_bindings(includes: &[String]) {
    let mut builder = bindgen::Builder::default()
        .header("src/shim.h")
        .clang_args(includes)
        .clang_args(["-include", "rte_config.h", "-DALLOW_EXPERIMENTAL_API"])
        .use_core()
        .layout_tests(true)
        .derive_default(true)
        .prepend_enum_name(false)
        .allowlist_recursively(false)
        .generate_comments(false);
    if let Some(machine) = machine_flag() {
        builder = builder.clang_arg(machine);
    }
    for name in allow::FUNCTIONS {
        builder = builder.allowlist_function(format!("^{name}$"));
    }
    for name in allow::TYPES {
        builder = builder.allowlist_type(format!("^{name}$"));
    }
    for name in allow::OPAQUE {
        builder = builder
            // With the anonymous members, which would come alone otherwise.
            .blocklist_type(format!("^{name}(__bindgen_ty.*)?$"))
            .raw_line(format!("#[repr(C)] #[derive(Debug)] pub struct {name} {{ _opaque: [u8; 0] }}"));
    }
    let bindings = match builder.generate() {
        Ok(bindings) => bindings,
        Err(error) => {
            refuse(&[format!("no bindings could be generated from the headers of libdpdk: {error}")])
        }
    };
    let Some(folder) = env::var_os("OUT_DIR") else {
        refuse(&["OUT_DIR is not set: build with cargo".into()]);
    };
    if let Err(error) = bindings.write_to_file(PathBuf::from(folder).join("bindings.rs")) {
        refuse(&[format!("the bindings could not be written: {error}")]);
    }
}
