//! Compiles what only C can say: DPDK's inline functions and structures. The public headers of libdpdk are enough.

fn main() {
    for file in ["src/shim.c", "src/shim.h"] {
        println!("cargo::rerun-if-changed={file}");
    }
    let library = match pkg_config::Config::new()
        .cargo_metadata(false)
        .atleast_version("22.11")
        .probe("libdpdk")
    {
        Ok(library) => library,
        Err(error) => {
            println!(
                "cargo::error=libdpdk 22.11 or newer was not found; on Debian: apt-get install libdpdk-dev"
            );
            for line in error.to_string().lines().filter(|line| !line.trim().is_empty()) {
                println!("cargo::error={line}");
            }
            return;
        }
    };
    let mut build = cc::Build::new();
    build.file("src/shim.c").flag("-include").flag("rte_config.h");
    for path in &library.include_paths {
        build.flag("-isystem").flag(path);
    }
    if let Some(machine) = machine_flag() {
        build.flag(machine);
    }
    // RSS hashes and reading an mbuf's dynamic field carry the mark "experimental" in some releases.
    build.define("ALLOW_EXPERIMENTAL_API", None).opt_level(3).warnings(true).extra_warnings(true);
    build.compile("traffic_device_shim");
    for path in &library.link_paths {
        println!("cargo::rustc-link-search=native={}", path.display());
    }
    // Only what the shim calls: the program under test brings the rest.
    for name in ["ethdev", "mbuf", "mempool", "ring", "eal"] {
        println!("cargo::rustc-link-lib=dylib=rte_{name}");
    }
}

/// The instruction set that the system's headers ask for, which pkg-config's parser of flags drops.
fn machine_flag() -> Option<String> {
    let program = std::env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let output = std::process::Command::new(program).args(["--cflags", "libdpdk"]).output().ok()?;
    let flags = String::from_utf8(output.stdout).ok()?;
    flags.split_whitespace().find(|flag| flag.starts_with("-march=")).map(str::to_owned)
}
