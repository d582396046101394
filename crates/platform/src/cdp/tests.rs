use super::*;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

/// A connection, and the browser's ends of its pipes.
fn pair() -> (Connection, std::io::PipeReader, std::io::PipeWriter) {
    let (browser_reads, we_write) = std::io::pipe().unwrap();
    let (we_read, browser_writes) = std::io::pipe().unwrap();
    let connection = Connection::new(
        pipe::Sender::from_owned_fd(OwnedFd::from(we_write)).unwrap(),
        pipe::Receiver::from_owned_fd(OwnedFd::from(we_read)).unwrap(),
    );
    (connection, browser_reads, browser_writes)
}

fn read_command(pipe: &mut std::io::PipeReader) -> Value {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while pipe.read_exact(&mut byte).is_ok() && byte[0] != 0 {
        bytes.push(byte[0]);
    }
    serde_json::from_slice(&bytes).unwrap()
}

async fn answered_with(answer: &'static str) -> Result<Value, BrowserError> {
    let (connection, mut commands, mut answers) = pair();
    let browser = tokio::task::spawn_blocking(move || {
        let command = read_command(&mut commands);
        assert_eq!(command["sessionId"], "S");
        assert_eq!(command["params"]["a"], 1);
        answers.write_all(answer.replace("ID", &command["id"].to_string()).as_bytes()).unwrap();
        (commands, answers)
    });
    let result = connection.call(Some("S"), "A.b", json!({"a": 1}), ANSWER_WITHIN).await;
    drop(browser.await.unwrap());
    result
}

#[tokio::test]
async fn answers_find_their_command_and_rubbish_is_passed_over() {
    let answer = "not json\0{}\0[1]\0{\"id\":9999,\"result\":{}}\0{\"id\":ID,\"result\":{\"x\":2}}\0";
    assert_eq!(answered_with(answer).await.unwrap(), json!({"x": 2}));
}

#[tokio::test]
async fn a_refusal_says_what_was_refused() {
    let error = answered_with("{\"id\":ID,\"error\":{\"code\":-32000,\"message\":\"no\"}}\0").await.unwrap_err();
    assert_eq!(error.to_string(), "A.b was refused: no (-32000)");
}

#[tokio::test]
async fn everybody_who_waits_hears_of_the_end() {
    let (connection, commands, answers) = pair();
    let waiting = connection.call(None, "A.b", json!({}), ANSWER_WITHIN);
    drop((commands, answers));
    assert!(matches!(waiting.await, Err(BrowserError::Gone)));
    assert!(matches!(connection.call(None, "A.b", json!({}), ANSWER_WITHIN).await, Err(BrowserError::Gone)));
}

#[tokio::test]
async fn a_session_that_is_unknown_was_closed() {
    let error =
        answered_with("{\"id\":ID,\"error\":{\"code\":-32001,\"message\":\"no session\"}}\0").await.unwrap_err();
    assert!(matches!(error, BrowserError::Closed), "{error}");
}

#[tokio::test]
async fn a_cancelled_command_leaves_nothing_behind() {
    let (connection, _commands, _answers) = pair();
    {
        let call = connection.call(None, "A.b", json!({}), ANSWER_WITHIN);
        tokio::pin!(call);
        assert!(futures_util::poll!(&mut call).is_pending());
    }
    assert!(connection.shared.lock().pending.is_empty());
}
