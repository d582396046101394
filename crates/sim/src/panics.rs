//! Panics of the product: its supervisor starts the part again, and nobody else would hear of it.

use std::cell::RefCell;
use std::sync::{Arc, Once, Weak};

use crate::world::World;

thread_local! {
    static WORLD: RefCell<Weak<World>> = const { RefCell::new(Weak::new()) };
}

/// Until this is dropped, a panic on this thread is a violation in the world.
#[derive(Debug)]
pub(crate) struct Watching;

impl Drop for Watching {
    fn drop(&mut self) {
        WORLD.with_borrow_mut(|watched| *watched = Weak::new());
    }
}

/// Watches this thread, on which the simulation runs.
#[must_use]
pub(crate) fn watch(world: &Arc<World>) -> Watching {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            before(panic);
            let world = WORLD.try_with(|watched| watched.try_borrow().ok().and_then(|world| world.upgrade()));
            if let Some(world) = world.ok().flatten() {
                let what = panic.to_string();
                world.panicked(what);
            }
        }));
    });
    WORLD.with_borrow_mut(|watched| *watched = Arc::downgrade(world));
    Watching
}
