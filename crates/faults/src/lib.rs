//! What goes wrong between a caller and a backend: planned, and repeatable.
//!
//! A [`Plan`] says for each call what happens to it; [`call`] makes it happen. Queue and store each have a decorator that
//! runs every method through it, for their conformance suites, for tests that stop a process at each of its steps, and for
//! the simulation. Nothing of this is in a running product.

mod plan;

use std::fmt;
use std::time::Duration;

pub use plan::{Nth, Rates, Seeded};

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is made this much later.
    Delay(Duration),
    /// It is made twice, as by a client library that tries again by itself; the caller hears the second answer.
    Duplicate,
    /// It is made, and the caller hears that the backend is out of reach.
    LostAnswer,
    /// It is not made: the backend has too much to do.
    Throttle,
    /// It is not made: the backend is out of reach.
    Refuse,
    /// It is not made, and the caller hears nothing any more: its process died right before.
    CrashBefore,
    /// It is made, and the caller hears nothing any more: its process died right after.
    CrashAfter,
}

/// Says what happens to calls. Asked once for each, in the order in which they are made.
pub trait Plan: Send + Sync + fmt::Debug + 'static {
    /// What happens to this call of `operation`, which is the name of a method; `None` if nothing special.
    fn next(&self, operation: &'static str) -> Option<Fault>;

    /// A caller has come to a [`Fault::CrashBefore`] or [`Fault::CrashAfter`], and waits for ever now: end it.
    fn crashed(&self) {}
}

/// Makes a call as planned. `make` starts the call, twice at most; `unavailable` is the error of a backend that is out of
/// reach, with what it says. Never returns after a planned crash.
pub async fn call<T, E, F>(
    plan: &dyn Plan,
    operation: &'static str,
    unavailable: impl FnOnce(&'static str) -> E,
    mut make: impl FnMut() -> F,
) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    match plan.next(operation) {
        None => make().await,
        Some(Fault::Delay(time)) => {
            tokio::time::sleep(time).await;
            make().await
        }
        Some(Fault::Duplicate) => {
            let _ = make().await;
            make().await
        }
        Some(Fault::LostAnswer) => {
            make().await?;
            Err(unavailable("the answer was lost"))
        }
        Some(Fault::Throttle) => Err(unavailable("too many requests")),
        Some(Fault::Refuse) => Err(unavailable("connection refused")),
        Some(Fault::CrashBefore) => crash(plan).await,
        Some(Fault::CrashAfter) => {
            let _ = make().await;
            crash(plan).await
        }
    }
}

async fn crash<T>(plan: &dyn Plan) -> T {
    plan.crashed();
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// How often a call was made under a fault, and what the caller heard; `None` if nothing.
    async fn made(fault: Fault) -> (u32, Option<Result<u32, &'static str>>) {
        let count = AtomicU32::new(0);
        let plan = Nth::new(1, fault);
        let answer = call(&plan, "write", |detail| detail, || async { Ok(count.fetch_add(1, Ordering::SeqCst)) });
        let heard = tokio::select! {
            biased;
            answer = answer => Some(answer),
            () = plan.crash() => None,
        };
        (count.load(Ordering::SeqCst), heard)
    }

    #[tokio::test(start_paused = true)]
    async fn each_fault_is_what_it_says() {
        assert_eq!(made(Fault::Delay(Duration::from_secs(3_600))).await, (1, Some(Ok(0))));
        assert_eq!(made(Fault::Duplicate).await, (2, Some(Ok(1))));
        assert_eq!(made(Fault::LostAnswer).await, (1, Some(Err("the answer was lost"))));
        assert_eq!(made(Fault::Throttle).await, (0, Some(Err("too many requests"))));
        assert_eq!(made(Fault::Refuse).await, (0, Some(Err("connection refused"))));
        assert_eq!(made(Fault::CrashBefore).await, (0, None));
        assert_eq!(made(Fault::CrashAfter).await, (1, None));
    }

    #[tokio::test]
    async fn an_answer_that_is_an_error_is_passed_on() {
        let plan = Nth::new(1, Fault::LostAnswer);
        let answer: Result<(), _> = call(&plan, "write", |detail| detail, || async { Err("conflict") }).await;
        assert_eq!(answer, Err("conflict"), "there is no lost yes in it");
    }
}
