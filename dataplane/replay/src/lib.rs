//! Captures through the real engine, offline, in the captures' own time.
