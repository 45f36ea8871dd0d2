//! What a rule does to a packet that it decides: two rules with the same effect can stand for each other.

use sekisho_engine::policy::{
    Action, LogLevel, OnDeploy, Ruleset, SequenceNumbers, ServiceMatch, SynProxyMode, Timeouts,
};

use crate::words::Helper;

/// The effect of a rule, or of the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Effect {
    action: Action,
    is_logged: bool,
    /// Only of what allows.
    session: Option<Session>,
}

/// What a rule says of the sessions that it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Session {
    timeouts: Timeouts,
    on_deploy: OnDeploy,
    syn_proxy: SynProxyMode,
    sequence_numbers: SequenceNumbers,
    helpers: Vec<(Helper, Vec<ServiceMatch>)>,
    /// Limits count the sessions of one rule: no other rule can stand for it.
    limited_by: Option<usize>,
}

impl Effect {
    /// That of a rule.
    pub(super) fn of_rule(ruleset: &Ruleset, index: usize) -> Self {
        let rule = &ruleset.rules[index];
        let session = (rule.action == Action::Allow).then(|| Session {
            timeouts: ruleset.timeouts[usize::from(rule.timeouts.0)].clone(),
            on_deploy: rule.sessions_on_deploy.unwrap_or(ruleset.inspection.sessions_on_deploy),
            syn_proxy: rule.syn_proxy,
            sequence_numbers: rule.sequence_numbers,
            helpers: rule.helpers.clone(),
            limited_by: rule.limits.as_ref().map(|_| index),
        });
        let is_logged = rule.log.unwrap_or_else(|| logs(ruleset.default_log, rule.action));
        Self { action: rule.action, is_logged, session }
    }

    /// That of the default.
    pub(super) fn of_default(ruleset: &Ruleset) -> Self {
        let action = ruleset.default_action;
        let session = (action == Action::Allow).then(|| Session {
            timeouts: ruleset.timeouts[0].clone(),
            on_deploy: ruleset.inspection.sessions_on_deploy,
            syn_proxy: SynProxyMode::Off,
            sequence_numbers: SequenceNumbers::Keep,
            helpers: Vec::new(),
            limited_by: None,
        });
        Self { action, is_logged: logs(ruleset.default_log, action), session }
    }
}

fn logs(level: LogLevel, action: Action) -> bool {
    match (level, action) {
        (LogLevel::All, _) => true,
        (LogLevel::Drops, action) => action != Action::Allow,
        (LogLevel::Sessions, action) => action == Action::Allow,
        (LogLevel::None, _) => false,
    }
}
