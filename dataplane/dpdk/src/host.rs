//! What EAL changes in the process and on the host beside its own state, and how that is put back.

use std::fs;
use std::path::{Path, PathBuf};

/// The signals that a program may handle; EAL and drivers install handlers of their own for some of them. Real-time
/// signals are not among them: a driver that takes one (the TAP driver does) needs it for as long as it runs.
const SIGNALS: &[i32] = &[
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGPIPE,
    libc::SIGALRM,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGCHLD,
];

/// The handlers of a moment.
pub(crate) struct SignalHandlers(Vec<(i32, libc::sigaction)>);

impl SignalHandlers {
    pub(crate) fn save() -> Self {
        let saved = SIGNALS.iter().filter_map(|&signal| handler(signal).map(|action| (signal, action)));
        Self(saved.collect())
    }

    pub(crate) fn restore(&self) {
        let same = |was: &libc::sigaction, is: libc::sigaction| was.sa_sigaction == is.sa_sigaction;
        let changed = self.0.iter().filter(|(signal, was)| handler(*signal).is_none_or(|is| !same(was, is)));
        for (signal, action) in changed {
            // SAFETY: FFI; installs what was installed before, so the handler is one that this process chose.
            unsafe { libc::sigaction(*signal, action, std::ptr::null_mut()) };
        }
    }
}

fn handler(signal: i32) -> Option<libc::sigaction> {
    // SAFETY: all-zero is a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: FFI; only reads the present handler into a valid place.
    let code = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    (code == 0).then_some(action)
}

/// The folder that EAL makes for files which are never made here: it is removed as soon as EAL is up.
pub(crate) struct RuntimeFolder {
    /// Made by EAL too, if it was not there before.
    parent_made: bool,
}

impl RuntimeFolder {
    /// Removes as well what processes left that were killed while they started.
    pub(crate) fn before_start(prefix: &str) -> Self {
        let parent = base_folder().join("dpdk");
        sweep(&parent, prefix, Path::new("/proc"));
        Self { parent_made: !parent.exists() }
    }

    /// Only empty folders go, so that nothing of another program can be lost.
    pub(crate) fn remove(&self, folder: Option<&Path>) {
        let Some(folder) = folder else { return };
        // Left in place, it harms nobody.
        let _ = fs::remove_dir(folder);
        if let (true, Some(parent)) = (self.parent_made, folder.parent()) {
            let _ = fs::remove_dir(parent);
        }
    }
}

/// Where EAL puts its folder.
fn base_folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("RUNTIME_DIRECTORY") {
        return folder.into();
    }
    // SAFETY: FFI; no precondition.
    if unsafe { libc::getuid() } == 0 {
        return "/var/run".into();
    }
    std::env::var_os("XDG_RUNTIME_DIR").map_or_else(|| "/tmp".into(), PathBuf::from)
}

fn sweep(parent: &Path, prefix: &str, processes: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(prefix)?.strip_prefix('-'));
        let dead = process.is_some_and(|id| id.parse::<u32>().is_ok() && !processes.join(id).exists());
        if dead {
            // Another process may be quicker, or the folder in use after all and not empty.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sweep_takes_only_what_dead_processes_of_ours_left() {
        let folder = tempfile::tempdir().unwrap();
        let processes = tempfile::tempdir().unwrap();
        fs::create_dir(processes.path().join("42")).unwrap();
        for name in ["our-41", "our-42", "our-x", "other-41", "our-43/kept"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        sweep(folder.path(), "our", processes.path());
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["other-41", "our-42", "our-43", "our-x"]);
    }

    #[test]
    fn a_handler_installed_meanwhile_is_taken_back() {
        let saved = SignalHandlers::save();
        // SAFETY: FFI; ignoring a signal is always a valid disposition.
        unsafe { libc::signal(libc::SIGUSR2, libc::SIG_IGN) };
        saved.restore();
        // SAFETY: FFI; sets the default and returns what was set before.
        let before = unsafe { libc::signal(libc::SIGUSR2, libc::SIG_DFL) };
        assert_eq!(before, libc::SIG_DFL);
    }
}
