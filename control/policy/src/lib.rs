//! The policy and appliance files: read, checked, explained, compiled for the engine.
