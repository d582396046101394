//! Why a bot left, decided once by the part that saw it, and whose doing it was.

use serde::{Deserialize, Serialize};

/// Who can do something about how a call ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The people in the meeting: they ended it, refused or removed the bot, or never let it in.
    Host,
    /// The meeting product: it blocked, dropped or demanded something.
    Platform,
    /// The caller: the link, the settings or their own request.
    Customer,
    /// Muster or the machine it runs on.
    Us,
}

/// The kind of the one terminal webhook.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Terminal {
    /// A normal end.
    Stopped,
    /// Removed by a participant.
    Kicked,
    /// Never let in, in time.
    NotAllowed,
    /// Refused by the host.
    Denied,
    /// Something broke.
    Failed,
}

impl Terminal {
    /// The specific `bot_event`; `event` is always `bot.stopped`.
    #[must_use]
    pub const fn bot_event(self) -> &'static str {
        match self {
            Self::Stopped => "bot.stopped",
            Self::Kicked => "bot.kicked",
            Self::NotAllowed => "bot.notallowed",
            Self::Denied => "bot.denied",
            Self::Failed => "bot.failed",
        }
    }

    /// The `bot_status` of the terminal webhook.
    #[must_use]
    pub const fn bot_status(self) -> &'static str {
        match self {
            Self::Stopped | Self::Kicked => "Stopped",
            Self::NotAllowed => "NotAllowed",
            Self::Denied => "Denied",
            Self::Failed => "Error",
        }
    }

    /// The `status_code` inside the terminal webhook.
    #[must_use]
    pub const fn status_code(self) -> u16 {
        match self {
            Self::Stopped | Self::Kicked => 200,
            Self::NotAllowed | Self::Denied | Self::Failed => 500,
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $terminal:ident, $fault:ident, $retry:literal, $message:literal;)*) => {
        /// The terminal reason of a session.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum EndReason {
            $($(#[$doc])* $name,)*
        }

        impl EndReason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable name on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Which terminal webhook it causes.
            #[must_use]
            pub const fn terminal(self) -> Terminal {
                match self { $(Self::$name => Terminal::$terminal,)* }
            }

            /// Who can do something about it.
            #[must_use]
            pub const fn fault(self) -> Fault {
                match self { $(Self::$name => Fault::$fault,)* }
            }

            /// Whether a new attempt may succeed where this one failed: to get in, or back in after a loss from the call.
            #[must_use]
            pub const fn worth_retry(self) -> bool {
                match self { $(Self::$name => $retry,)* }
            }

            /// What a person is told.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $(Self::$name => $message,)* }
            }
        }
    };
}

reasons! {
    /// The caller asked the bot to leave.
    LeaveRequested = "leave_requested", Stopped, Customer, false, "The bot left because it was asked to";
    /// The host ended the meeting.
    HostEnded = "host_ended", Stopped, Host, false, "The host ended the meeting";
    /// The call ended; whoever ran the bot did not say why.
    CallEnded = "call_ended", Stopped, Host, false, "The call ended; the service that ran the bot did not say why";
    /// Everyone else left.
    EveryoneLeft = "everyone_left", Stopped, Host, false, "Everyone else left the meeting";
    /// Nobody ever came.
    NoOneJoined = "no_one_joined", Stopped, Host, false, "Nobody joined the meeting";
    /// Nobody spoke for too long.
    Silence = "silence", Stopped, Host, false, "Nobody spoke for the configured time";
    /// Only other bots are left.
    OnlyBotsLeft = "only_bots_left", Stopped, Host, false, "Only bots were left in the meeting";
    /// The configured maximum stay was reached.
    MaxDuration = "max_duration", Stopped, Customer, false, "The configured maximum recording time was reached";
    /// The worker was shut down and its grace period was over.
    WorkerShutdown = "worker_shutdown", Stopped, Us, false, "The worker running the bot was shut down";
    /// A participant removed the bot, or sent it back to the waiting room, where it was left.
    Kicked = "kicked", Kicked, Host, false, "A participant removed the bot from the meeting";
    /// Nobody let the bot in.
    LobbyTimeout = "lobby_timeout", NotAllowed, Host, false, "Nobody let the bot in before the waiting room timeout";
    /// The host refused entry.
    JoinDenied = "join_denied", Denied, Host, false, "The host denied the bot's request to join";
    /// No such meeting.
    MeetingNotFound = "meeting_not_found", Failed, Customer, false, "The meeting does not exist or the link is wrong";
    /// The meeting is over already.
    MeetingOver = "meeting_over", Failed, Customer, false, "The meeting was already over";
    /// The meeting has not started.
    MeetingNotStarted = "meeting_not_started", Failed, Host, true, "The meeting had not been started";
    /// The meeting takes no more participants.
    MeetingFull = "meeting_full", Failed, Host, false, "The meeting is full";
    /// The passcode was refused.
    PasswordWrong = "password_wrong", Failed, Customer, false, "The meeting refused the passcode";
    /// Guests may not join; a signed-in profile is needed.
    SignInRequired = "sign_in_required", Failed, Platform, false, "The meeting lets only signed-in participants join";
    /// A captcha stood in the way; we do not solve those.
    Captcha = "captcha", Failed, Platform, false, "The platform asked for a captcha";
    /// The platform refuses bots or this guest.
    PlatformBlocked = "platform_blocked", Failed, Platform, false, "The platform blocked the bot";
    /// The connection to the meeting broke and did not come back.
    ConnectionLost = "connection_lost", Failed, Platform, true, "The connection to the meeting was lost";
    /// The page is not what the platform pack expects.
    UiChanged = "ui_changed", Failed, Us, true, "The meeting page did not offer what the platform pack expects";
    /// The bot did not start in time.
    LaunchTimeout = "launch_timeout", Failed, Us, true, "The bot could not be started in time";
    /// No worker had room in time.
    NoCapacity = "no_capacity", Failed, Us, false, "No worker had room for the bot in time";
    /// The worker or its bot vanished.
    WorkerLost = "worker_lost", Failed, Us, true, "The worker running the bot was lost";
    /// The bot's browser or process died or hung, or the page of its meeting did.
    BotCrashed = "bot_crashed", Failed, Us, true, "The bot process ended unexpectedly";
    /// The page played no audio although someone was there to be heard.
    CaptureFailed = "capture_failed", Failed, Us, false, "The bot was in the call but captured no audio";
    /// The service that was to run the bot did not, or fell silent.
    RemoteFailed = "remote_failed", Failed, Us, false, "The service that runs the bot refused it, or did not say how it fares";
    /// The worker has simulated bots only, and the meeting is a real one.
    SimulatedOnly = "simulated_only", Failed, Us, false, "The worker has simulated bots only, which attend nothing but sandbox meetings";
    /// Its machine ran out of memory, and it was the one to go.
    HostOutOfMemory = "host_out_of_memory", Failed, Us, true, "The machine that the bot ran on was about to run out of memory";
    /// It used more memory than a bot may.
    OverBudget = "over_budget", Failed, Us, false, "The bot used more memory than one bot may have (worker.bot_memory_limit)";
    /// Something else on our side. Also what a later version calls by a name that this one does not know.
    #[serde(other)]
    Internal = "internal", Failed, Us, true, "An internal error ended the bot";
}

impl std::fmt::Display for EndReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serde_name_is_the_wire_name() {
        for reason in EndReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }

    #[test]
    fn a_reason_of_a_later_version_is_read() {
        let reason: EndReason = serde_json::from_str(r#""of_a_later_version""#).unwrap();
        assert_eq!(reason, EndReason::Internal);
        let reason: EndReason = serde_json::from_value("of_a_later_version".into()).unwrap();
        assert_eq!(reason, EndReason::Internal);
    }

    #[test]
    fn a_human_decision_is_never_retried() {
        for reason in EndReason::ALL.iter().filter(|r| matches!(r.terminal(), Terminal::Kicked | Terminal::Denied)) {
            assert!(!reason.worth_retry(), "{reason}");
        }
    }
}
