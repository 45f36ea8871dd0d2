//! Bindings to the system's libdpdk, generated at build time.
