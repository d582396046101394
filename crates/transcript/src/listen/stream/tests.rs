use std::sync::atomic::AtomicU32;

use super::*;

/// A vendor at which every attempt to open a stream is a defect of ours, but for those that never end.
#[derive(Debug)]
struct Broken {
    attempts: AtomicU32,
}

impl Protocol for Broken {
    fn name(&self) -> &'static str {
        "Broken"
    }

    fn request(&self, _: Option<&str>) -> Result<Request, Error> {
        match self.attempts.fetch_add(1, Ordering::Relaxed) {
            0 => panic!("a defect"),
            _ => Err(Error::Setup { detail: "no".into() }),
        }
    }

    fn keep_alive(&self) -> Option<&'static str> {
        None
    }

    fn flush(&self) -> &'static str {
        "flush"
    }

    fn close(&self) -> &'static str {
        "close"
    }

    fn message(&self) -> usize {
        1_600
    }

    fn percent(&self) -> u32 {
        100
    }

    fn answers_silence(&self) -> bool {
        true
    }

    fn refuses(&self, _: u16, _: &str) -> bool {
        false
    }

    fn reader(&self) -> Box<dyn Reader> {
        panic!("there is no connection")
    }
}

fn speak(listener: &mut dyn Listener, from_ms: u64) {
    for at_ms in (from_ms..from_ms + 100).step_by(20) {
        listener.frame("ann", at_ms, &[1; 320], true);
    }
}

#[tokio::test]
async fn what_a_defect_loses_is_counted_and_the_next_words_are_tried_again() {
    let (mut listener, mut heard) = listen(Arc::new(Broken { attempts: AtomicU32::new(0) }), None, Pace::default());
    speak(&mut *listener, 0);
    assert_eq!(heard.recv().await, Some(Heard::Unrecognised { ms: 100 }));
    speak(&mut *listener, 1_000);
    let second = heard.recv().await;
    assert!(matches!(&second, Some(Heard::Trouble(text)) if text.contains("no more is tried")), "{second:?}");
    assert_eq!(heard.recv().await, Some(Heard::Unrecognised { ms: 100 }));
    listener.finish();
    assert_eq!((heard.recv().await, listener.waiting_ms()), (None, 0));
}

#[tokio::test]
async fn a_voice_that_comes_back_goes_on_where_it_was() {
    let protocol = Arc::new(Broken { attempts: AtomicU32::new(1) });
    let (heard, _receiver) = mpsc::unbounded_channel();
    let pace = Pace::default();
    let shared = Arc::new(Shared {
        protocol,
        language: None,
        pace,
        budget: pace.budget(),
        refused: AtomicBool::new(false),
        worked: AtomicBool::new(false),
        told: AtomicBool::new(false),
    });
    let mut streams = Streams { shared, heard: Some(heard), voices: HashMap::new() };
    speak(&mut streams, 0);
    let first = Arc::clone(&streams.voices["ann"].voice);
    streams.gone("ann");
    speak(&mut streams, 200);
    assert!(Arc::ptr_eq(&first, &streams.voices["ann"].voice));
    assert_eq!(streams.waiting_ms(), 200);
}

#[test]
fn too_much_at_a_time_is_no_refusal_for_good() {
    assert!(passes("Too many requests") && passes("12 Concurrent sessions") && passes("Rate limit exceeded"));
    assert!(!passes("Not Authorized"));
}
