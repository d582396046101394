//! What others call the causes of an end, in our words. Their lists are open: what is not here is `None`.

use muster_session::EndReason;

/// `sub_code` of `call_ended` and `fatal`.
pub(super) fn recall(sub_code: &str) -> Option<EndReason> {
    Some(match sub_code {
        "bot_received_leave_call" => EndReason::LeaveRequested,
        "call_ended_by_host" | "call_ended_by_platform_idle" | "call_ended_by_platform_max_length" => {
            EndReason::HostEnded
        }
        "timeout_exceeded_everyone_left" => EndReason::EveryoneLeft,
        "timeout_exceeded_noone_joined" => EndReason::NoOneJoined,
        "timeout_exceeded_silence_detected" => EndReason::Silence,
        "timeout_exceeded_only_bots_detected_using_participant_names"
        | "timeout_exceeded_only_bots_detected_using_participant_events" => EndReason::OnlyBotsLeft,
        "timeout_exceeded_max_duration"
        | "timeout_exceeded_in_call_recording"
        | "timeout_exceeded_in_call_not_recording"
        | "timeout_exceeded_recording_permission_denied" => EndReason::MaxDuration,
        "bot_kicked_from_call" => EndReason::Kicked,
        "bot_kicked_from_waiting_room" => EndReason::JoinDenied,
        "timeout_exceeded_waiting_room" | "call_ended_by_platform_waiting_room_timeout" => EndReason::LobbyTimeout,
        "meeting_not_found" | "meeting_link_expired" | "meeting_link_invalid" | "zoom_invalid_webinar_invite" => {
            EndReason::MeetingNotFound
        }
        "meeting_not_started"
        | "zoom_meeting_host_inactive"
        | "zoom_another_meeting_in_progress"
        | "google_meet_meeting_room_not_ready"
        | "microsoft_teams_event_not_started_for_external" => EndReason::MeetingNotStarted,
        "meeting_full" | "meeting_locked" => EndReason::MeetingFull,
        "meeting_ended" => EndReason::MeetingOver,
        "meeting_password_incorrect" => EndReason::PasswordWrong,
        "meeting_requires_sign_in"
        | "meeting_requires_registration"
        | "zoom_registration_required"
        | "zoom_email_required"
        | "google_meet_login_not_available"
        | "google_meet_sign_in_failed"
        | "google_meet_sso_sign_in_failed"
        | "google_meet_sign_in_missing_login_credentials"
        | "google_meet_sign_in_missing_recovery_credentials"
        | "google_meet_sso_sign_in_missing_login_credentials"
        | "google_meet_sso_sign_in_missing_totp_secret"
        | "microsoft_teams_sign_in_credentials_missing"
        | "microsoft_teams_sign_in_failed"
        | "microsoft_teams_2fa_required" => EndReason::SignInRequired,
        "google_meet_sign_in_captcha_failed"
        | "zoom_captcha_required"
        | "microsoft_teams_captcha_detected"
        | "microsoft_teams_captcha_error" => EndReason::Captcha,
        "google_meet_bot_blocked"
        | "google_meet_knocking_disabled"
        | "google_meet_permission_denied_breakout"
        | "google_meet_watermark_kicked"
        | "zoom_account_blocked"
        | "zoom_email_blocked_by_admin"
        | "zoom_error_multiple_device_join"
        | "zoom_invalid_join_token"
        | "zoom_invalid_signature"
        | "zoom_meeting_not_accessible"
        | "zoom_sdk_app_not_published"
        | "zoom_sdk_credentials_missing"
        | "zoom_sdk_update_required"
        | "zoom_web_disallowed"
        | "microsoft_teams_bot_not_invited"
        | "microsoft_teams_breakout_room_unsupported" => EndReason::PlatformBlocked,
        "zoom_connection_failed" | "zoom_join_timeout" | "microsoft_teams_call_dropped" => EndReason::ConnectionLost,
        "google_meet_internal_error" | "microsoft_teams_internal_error" => EndReason::UiChanged,
        "failed_to_launch_in_time" => EndReason::LaunchTimeout,
        "bot_errored" | "google_meet_video_error" | "zoom_internal_error" | "webex_join_meeting_error" => {
            EndReason::Internal
        }
        _ => return None,
    })
}

/// `event_sub_type` of `could_not_join_meeting`, `fatal_error` and `leave_requested`.
pub(super) fn attendee(sub_type: &str) -> Option<EndReason> {
    Some(match sub_type {
        "user_requested" => EndReason::LeaveRequested,
        "auto_leave_silence" => EndReason::Silence,
        "auto_leave_only_participant_in_meeting" => EndReason::EveryoneLeft,
        "auto_leave_max_uptime_exceeded" | "global_runtime_timeout" => EndReason::MaxDuration,
        "auto_leave_could_not_enable_closed_captions" => EndReason::CaptureFailed,
        "meeting_not_started_waiting_for_host" | "authorized_user_not_in_meeting_timeout_exceeded" => {
            EndReason::MeetingNotStarted
        }
        "meeting_not_found" => EndReason::MeetingNotFound,
        "waiting_room_timeout_exceeded" => EndReason::LobbyTimeout,
        "request_to_join_denied" => EndReason::JoinDenied,
        "login_required" | "bot_login_attempt_failed" => EndReason::SignInRequired,
        "blocked_by_captcha" => EndReason::Captcha,
        "zoom_authorization_failed" | "unpublished_zoom_app" | "zoom_app_cannot_join_anonymously" => {
            EndReason::PlatformBlocked
        }
        "unable_to_connect_to_meeting" | "zoom_meeting_status_failed" => EndReason::ConnectionLost,
        "ui_element_not_found" => EndReason::UiChanged,
        "bot_not_launched" => EndReason::LaunchTimeout,
        "heartbeat_timeout" => EndReason::WorkerLost,
        "process_terminated" => EndReason::BotCrashed,
        "out_of_credits" => EndReason::NoCapacity,
        "attendee_internal_error" | "rtmp_connection_failed" | "zoom_sdk_internal_error" => EndReason::Internal,
        _ => return None,
    })
}

/// `completion_reason`.
pub(super) fn vexa(reason: &str) -> Option<EndReason> {
    Some(match reason {
        "stopped" | "stopped_before_admission" => EndReason::LeaveRequested,
        "left_alone" => EndReason::EveryoneLeft,
        "startup_alone" => EndReason::NoOneJoined,
        "stopped_with_no_audio" => EndReason::Silence,
        "max_bot_time_exceeded" => EndReason::MaxDuration,
        "evicted" => EndReason::Kicked,
        "awaiting_admission_timeout" => EndReason::LobbyTimeout,
        "awaiting_admission_rejected" => EndReason::JoinDenied,
        "validation_error" => EndReason::MeetingNotFound,
        "auth_session_missing" => EndReason::SignInRequired,
        "join_failure" => EndReason::ConnectionLost,
        _ => return None,
    })
}

/// `leave_reason`: a sentence such as `Muster left the meeting. Reason: Host ended the meeting.` That somebody left is no cause.
pub(super) fn zoom(sentence: &str) -> EndReason {
    let sentence = sentence.to_lowercase();
    let why = sentence.rsplit_once("reason:").map_or(&*sentence, |(_, why)| why).trim();
    let says = |words: &[&str]| words.iter().any(|words| why.contains(words));
    if says(&["removed by", "was removed", "kicked"]) {
        EndReason::Kicked
    } else if says(&["host ended", "host closed", "meeting ended", "ended the meeting", "free meeting"]) {
        EndReason::HostEnded
    } else if says(&["waiting for the host", "host did not join", "host not present"]) {
        EndReason::MeetingNotStarted
    } else if says(&["network", "connection", "disconnect", "timeout", "timed out"]) {
        EndReason::ConnectionLost
    } else if why.is_empty() || says(&["left the meeting"]) {
        EndReason::CallEnded
    } else {
        EndReason::Internal
    }
}
