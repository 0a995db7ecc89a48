//! Threads that count, so that a training on many cores does not wait for one.

use std::cmp::Reverse;
use std::sync::{Mutex, MutexGuard, PoisonError};

use epsiloscope_moments::Observer;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Beyond so many threads memory is the limit.
const MOST_THREADS: usize = 16;
/// Fewer elements that other threads could take are counted before these are awake.
const FEWEST_ELEMENTS: usize = 1 << 18;

/// Observers, each with a thread of its own if there are several.
pub(crate) struct Workers {
    /// None where one thread does, or no others can be had: the caller's own counts.
    pool: Option<ThreadPool>,
    observers: Vec<Mutex<Observer>>,
}

impl Workers {
    pub(crate) fn new(n_threads: usize) -> Self {
        let n_threads = n_threads.clamp(1, MOST_THREADS);
        let named = |index| format!("epsiloscope-count-{index}");
        let pool = || ThreadPoolBuilder::new().num_threads(n_threads).thread_name(named).build().ok();
        let pool = if n_threads == 1 { None } else { pool() };
        let n_observers = pool.as_ref().map_or(1, ThreadPool::current_num_threads);
        Self { pool, observers: (0..n_observers).map(|_| Mutex::new(Observer::new())).collect() }
    }

    /// An observer for the caller's own thread.
    pub(crate) fn observer(&mut self) -> &mut Observer {
        self.observers[0].get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes of each task, in any order; the longest are begun first, by the numbers of their elements.
    pub(crate) fn map<T: Send, R: Send>(
        &mut self,
        mut tasks: Vec<T>,
        numel: impl Fn(&T) -> usize,
        take: impl Fn(&mut Observer, T) -> R + Sync,
    ) -> Vec<R> {
        tasks.sort_by_key(|task| Reverse(numel(task)));
        let n_others: usize = tasks.iter().skip(1).map(&numel).sum();
        let Some(pool) = self.pool.as_ref().filter(|_| FEWEST_ELEMENTS <= n_others) else {
            let observer = self.observer();
            return tasks.into_iter().map(|task| take(observer, task)).collect();
        };
        let results = Mutex::new(Vec::with_capacity(tasks.len()));
        pool.in_place_scope_fifo(|scope| {
            for task in tasks {
                let (take, results, observers) = (&take, &results, &self.observers);
                scope.spawn_fifo(move |_| {
                    let own = rayon::current_thread_index().unwrap_or_default();
                    let result = take(&mut lock(&observers[own]), task);
                    lock(results).push(result);
                });
            }
        });
        results.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A panic ends the recording; whose counters it leaves behind does not matter.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
