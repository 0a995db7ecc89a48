//! Work on many items at once, whose results are taken one by one in the order of the items.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Results that may wait for an earlier one, for each thread: what a slow item keeps in memory.
const AHEAD: usize = 4;

/// What the threads share.
struct State<I, U> {
    items: I,
    /// Results that nobody has taken.
    done: BTreeMap<usize, U>,
    /// Items that somebody works on or has worked on.
    n_begun: usize,
    n_taken: usize,
    has_ended: bool,
}

/// Applies some work to every item, on so many threads, and hands the results over in the order of the items, until one is
/// refused.
///
/// Not by rayon: there a thread that waits for the parts of one run takes up another run meanwhile, and a third within
/// that, so that memory grows with the number of runs.
///
/// # Errors
/// The first refusal. Items that nobody has begun are then left alone.
pub(crate) fn in_turn<T: Send, U: Send, E>(
    items: Vec<T>,
    n_threads: usize,
    work: impl Fn(T) -> U + Sync,
    mut take: impl FnMut(U) -> Result<(), E>,
) -> Result<(), E> {
    let n_items = items.len();
    let state =
        State { items: items.into_iter(), done: BTreeMap::new(), n_begun: 0, n_taken: 0, has_ended: n_items == 0 };
    let (state, changed) = (&Mutex::new(state), &Condvar::new());
    std::thread::scope(|scope| {
        for _thread in 0..n_threads {
            scope.spawn(|| {
                while let Some((index, item)) = next(state, changed, AHEAD * n_threads) {
                    let result = work(item);
                    locked(state).done.insert(index, result);
                    changed.notify_all();
                }
            });
        }
        // However this ends, the threads must.
        let _end = OnDrop(|| {
            locked(state).has_ended = true;
            changed.notify_all();
        });
        (0..n_items).try_for_each(|index| {
            let mut shared = locked(state);
            let result = loop {
                match shared.done.remove(&index) {
                    Some(result) => break result,
                    None => shared = changed.wait(shared).unwrap_or_else(PoisonError::into_inner),
                }
            };
            shared.n_taken += 1;
            drop(shared);
            changed.notify_all();
            take(result)
        })
    })
}

/// The next item, once it is not too far ahead of what has been taken.
fn next<T, U>(
    state: &Mutex<State<impl Iterator<Item = T>, U>>,
    changed: &Condvar,
    n_ahead: usize,
) -> Option<(usize, T)> {
    let mut shared = locked(state);
    while !shared.has_ended && shared.n_taken + n_ahead <= shared.n_begun {
        shared = changed.wait(shared).unwrap_or_else(PoisonError::into_inner);
    }
    let item = if shared.has_ended { None } else { shared.items.next() };
    let index = shared.n_begun;
    shared.n_begun += 1;
    item.map(|item| (index, item))
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items_and_never_far_behind() {
        for n_threads in [1, 2, 5] {
            let (n_begun, mut taken) = (AtomicUsize::new(0), Vec::new());
            let work = |item: usize| {
                n_begun.fetch_add(1, Ordering::SeqCst);
                // The first of each ten takes longest.
                std::thread::sleep(std::time::Duration::from_micros(if item.is_multiple_of(10) { 3000 } else { 10 }));
                item * item
            };
            let take = |result| {
                taken.push(result);
                let ahead = n_begun.load(Ordering::SeqCst) - taken.len();
                if ahead <= AHEAD * n_threads { Ok(()) } else { Err(ahead) }
            };
            assert_eq!(in_turn((0..100).collect(), n_threads, work, take), Ok(()));
            assert!(taken.into_iter().eq((0..100).map(|item| item * item)));
        }
        assert_eq!(in_turn(Vec::<u8>::new(), 2, |item| item, |_| Err("none")), Ok(()));
    }

    #[test]
    fn a_refusal_ends_the_work() {
        let n_begun = AtomicUsize::new(0);
        let work = |item: usize| {
            n_begun.fetch_add(1, Ordering::SeqCst);
            item
        };
        let refused = in_turn((0..10_000).collect(), 2, work, |item| if item < 5 { Ok(()) } else { Err(item) });
        assert_eq!(refused, Err(5));
        assert!(n_begun.load(Ordering::SeqCst) < 100);
    }
}
