//! The search: proposes, runs, keeps.

use std::collections::{BTreeMap, VecDeque};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use epsiloscope_format::publish;

use crate::error::SearchError;
use crate::log::{FORMAT, Identity, Log, Logged};
use crate::metric::{Found, Metric};
use crate::parameter::{Parameter, Value};
use crate::process::{Exit, Limits, STDERR, STDOUT, run};
use crate::strategy::{Strategy, Tried, texts};
use crate::table::trials_parquet;
use crate::template::{Filling, Template};
use crate::trial::{Outcome, Point, Trial};

/// The finished trials as a table.
const TABLE: &str = "trials.parquet";
/// Where the trials' folders are.
const TRIALS: &str = "trials";
/// If so many points come first and every one fails, so will the others; fewer than these are all run.
const HOPELESS_POINTS: usize = 5;

/// What is searched, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is varied; the names differ.
    pub parameters: Vec<Parameter>,
    /// How points are chosen.
    pub strategy: Strategy,
    /// The command.
    pub template: Template,
    /// What it prints.
    pub metric: Metric,
    /// Of the strategy, and of each point's first trial.
    pub seed: u64,
    /// Trials per point, with seeds one apart.
    pub n_seeds: u64,
    /// How long a trial may take.
    pub timeout: Option<Duration>,
    /// How much a trial may print to standard output, and to standard error.
    pub output_bytes: u64,
}

/// A search in a folder, with the trials that are finished.
pub struct Search {
    dir: PathBuf,
    settings: Settings,
    log: Log,
    /// By point and seed.
    finished: BTreeMap<(usize, u64), Logged>,
    points: Vec<Point>,
}

/// How a search came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The strategy has no more points.
    Finished,
    /// Somebody asked it to stop.
    Interrupted,
}

/// What happens.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// So many trials are to be run next, so many of which had been finished earlier.
    Batch {
        /// All of them.
        trials: usize,
        /// Those in the log.
        finished: usize,
    },
    /// A trial has ended and is in the log.
    Trial {
        /// The point's number.
        point: usize,
        /// Its parameters as written into the command.
        values: &'a [String],
        /// How it ended.
        trial: &'a Trial,
        /// Where its output is.
        dir: &'a Path,
    },
}

/// Is told of what happens.
pub trait Observer {
    /// Something has happened.
    fn observe(&mut self, event: Event<'_>);
}

impl<F: FnMut(Event<'_>)> Observer for F {
    fn observe(&mut self, event: Event<'_>) {
        self(event);
    }
}

/// A trial to be run.
struct Job {
    point: usize,
    seed: u64,
    values: Vec<String>,
    dir: PathBuf,
}

impl Settings {
    fn check(&self) -> Result<(), SearchError> {
        let variables: Vec<String> = self.parameters.iter().map(Parameter::variable).collect();
        for (index, variable) in variables.iter().enumerate() {
            if variables[..index].contains(variable) {
                let text = self.parameters[index].name().to_owned();
                return Err(SearchError::Parameter {
                    text,
                    expected: "expected another name than the others'".to_owned(),
                });
            }
        }
        if self.parameters.is_empty() || self.n_seeds == 0 {
            return Err(SearchError::Strategy("expected at least one parameter and one seed".to_owned()));
        }
        self.strategy.check()
    }

    /// What makes it another search. Jobs, time-outs and the number of points do not.
    fn identity(&self) -> Identity {
        let parameters: Vec<String> = self.parameters.iter().map(Parameter::to_string).collect();
        let pairs = [
            ("format", FORMAT.to_owned()),
            ("parameters", parameters.join(" ")),
            ("strategy", self.strategy.identity(&self.parameters)),
            ("command", self.template.text().to_owned()),
            ("metric", self.metric.pattern().to_owned()),
            ("goal", self.metric.goal().name().to_owned()),
            ("seed", self.seed.to_string()),
            ("seeds per point", self.n_seeds.to_string()),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl Search {
    /// Begins a search in a folder, or takes up the one that is there.
    ///
    /// # Errors
    /// Settings out of their ranges, a folder with another search or another searcher, a damaged log.
    pub fn open(dir: &Path, settings: Settings) -> Result<Self, SearchError> {
        settings.check()?;
        let (log, trials) = Log::open(dir, &settings.identity())?;
        // Commands may change their directory.
        let dir = std::path::absolute(dir)?;
        // Of a trial that was run again, the later line.
        let finished = trials.into_iter().map(|trial| ((trial.point, trial.seed), trial)).collect();
        Ok(Self { dir, settings, log, finished, points: Vec::new() })
    }

    /// What is searched, and how.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Lets failed trials be run again, as if they had not been.
    pub fn forget_failed(&mut self) {
        self.finished.retain(|_key, logged| !matches!(logged.outcome, Outcome::Failed { .. }));
    }

    /// Every point whose trials are all finished, in the order of proposal.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// Every finished trial, by point and seed.
    pub(crate) fn finished(&self) -> impl Iterator<Item = &Logged> {
        self.finished.values()
    }

    /// Where the trials' folders and the table are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Searches to the end, `jobs` trials at a time, or until `stop` is set. Afterwards the table of trials is there.
    ///
    /// # Errors
    /// [`SearchError::AllFail`] where no trial has a chance, and what writing and starting commands brings.
    pub fn run(&mut self, jobs: usize, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<Ended, SearchError> {
        let outcome = self.run_batches(jobs, stop, observer);
        let table = trials_parquet(self)?;
        publish(&self.dir, TABLE, &table)?;
        outcome
    }

    fn run_batches(
        &mut self,
        jobs: usize,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Ended, SearchError> {
        loop {
            let Settings { strategy, parameters, seed, .. } = &self.settings;
            let batch = strategy.next(parameters, *seed, &self.tried());
            if batch.is_empty() {
                return Ok(Ended::Finished);
            }
            if self.run_batch(batch, jobs, stop, observer)? == Ended::Interrupted {
                return Ok(Ended::Interrupted);
            }
        }
    }

    /// What the strategy is to know.
    pub(crate) fn tried(&self) -> Vec<Tried> {
        let goal = self.settings.metric.goal();
        let tried =
            |point: &Point| Tried { values: point.values.clone(), cost: point.value().map(|value| goal.cost(value)) };
        self.points.iter().map(tried).collect()
    }

    fn run_batch(
        &mut self,
        batch: Vec<Vec<Value>>,
        jobs: usize,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Ended, SearchError> {
        let first = self.points.len();
        let mut queue = VecDeque::new();
        for (index, values) in batch.iter().enumerate() {
            queue.extend(self.jobs_of(first + index, values));
        }
        let trials = batch.len() * self.settings.n_seeds as usize;
        observer.observe(Event::Batch { trials, finished: trials - queue.len() });
        self.run_queue(queue, jobs, stop, observer)?;
        for (index, values) in batch.into_iter().enumerate() {
            match self.point(first + index, values) {
                Some(point) => self.points.push(point),
                None => return Ok(Ended::Interrupted),
            }
        }
        Ok(Ended::Finished)
    }

    /// The trials of a point that are not finished. One with other values is of another course of the search, before failed
    /// trials were run again, and counts for nothing.
    fn jobs_of(&mut self, point: usize, values: &[Value]) -> Vec<Job> {
        let values = texts(&self.settings.parameters, values);
        let mut jobs = Vec::new();
        for seed in self.seeds() {
            self.finished.retain(|key, logged| *key != (point, seed) || logged.values == values);
            if !self.finished.contains_key(&(point, seed)) {
                let dir = trial_dir(&self.dir, point, seed);
                jobs.push(Job { point, seed, values: values.clone(), dir });
            }
        }
        jobs
    }

    fn seeds(&self) -> impl Iterator<Item = u64> + use<> {
        let (first, n) = (self.settings.seed, self.settings.n_seeds);
        (0..n).map(move |offset| first.wrapping_add(offset))
    }

    /// A point all of whose trials are finished.
    fn point(&self, index: usize, values: Vec<Value>) -> Option<Point> {
        let trial = |seed| {
            let Logged { outcome, elapsed_secs, .. } = self.finished.get(&(index, seed))?;
            Some(Trial { seed, outcome: outcome.clone(), elapsed_secs: *elapsed_secs })
        };
        let trials = self.seeds().map(trial).collect::<Option<Vec<Trial>>>()?;
        Some(Point { index, values, trials })
    }

    /// Workers take jobs from the queue; this thread alone writes the log.
    fn run_queue(
        &mut self,
        queue: VecDeque<Job>,
        jobs: usize,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<(), SearchError> {
        let n_workers = jobs.clamp(1, queue.len().max(1));
        let queue = Mutex::new(queue);
        let give_up = AtomicBool::new(false);
        let settings = self.settings.clone();
        let (sender, results) = channel();
        std::thread::scope(|scope| {
            for _worker in 0..n_workers {
                let (sender, queue, settings, give_up) = (sender.clone(), &queue, &settings, &give_up);
                scope.spawn(move || work(settings, queue, [stop, give_up], &sender));
            }
            drop(sender);
            let mut fault = None;
            for result in results {
                if let Err(found) = self.take(result, observer) {
                    give_up.store(true, Ordering::Relaxed);
                    fault.get_or_insert(found);
                }
            }
            fault.map_or(Ok(()), Err)
        })
    }

    fn take(&mut self, (job, result): Done, observer: &mut dyn Observer) -> Result<(), SearchError> {
        let Some(trial) = result? else { return Ok(()) };
        let Job { point, seed, values, dir } = job;
        let Trial { outcome, elapsed_secs, .. } = trial.clone();
        let logged = Logged { point, seed, values, outcome, elapsed_secs };
        self.log.add(&logged)?;
        observer.observe(Event::Trial { point, values: &logged.values, trial: &trial, dir: &dir });
        self.finished.insert((point, seed), logged);
        self.refuse_hopeless()
    }

    /// A misspelt command fails for a thousand points as for five.
    fn refuse_hopeless(&self) -> Result<(), SearchError> {
        let is_failed = |logged: &Logged| matches!(logged.outcome, Outcome::Failed { .. });
        let has_begun = |point| self.finished.range((point, 0)..=(point, u64::MAX)).next().is_some();
        if !self.finished.values().all(is_failed) || !(0..HOPELESS_POINTS).all(has_begun) {
            return Ok(());
        }
        let Some((&(point, seed), Logged { outcome, .. })) = self.finished.first_key_value() else { return Ok(()) };
        let reason = outcome.reason().unwrap_or_default().to_owned();
        let stderr = trial_dir(&self.dir, point, seed).join(STDERR);
        Err(SearchError::AllFail { points: HOPELESS_POINTS, reason, stderr })
    }
}

fn trial_dir(dir: &Path, point: usize, seed: u64) -> PathBuf {
    dir.join(TRIALS).join(format!("{point:05}-seed{seed}"))
}

/// A job with its trial, or nothing if it was stopped.
type Done = (Job, Result<Option<Trial>, SearchError>);

fn work(settings: &Settings, queue: &Mutex<VecDeque<Job>>, stops: [&AtomicBool; 2], results: &Sender<Done>) {
    let is_stopped = || stops.iter().any(|stop| stop.load(Ordering::Relaxed));
    while !is_stopped() {
        // Bound to a name, or the lock would be held while the job runs.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(job) = job else { return };
        let result = run_trial(settings, &job, stops);
        if results.send((job, result)).is_err() {
            return;
        }
    }
}

fn run_trial(settings: &Settings, job: &Job, stops: [&AtomicBool; 2]) -> Result<Option<Trial>, SearchError> {
    // What is there is of a trial that was interrupted.
    if job.dir.symlink_metadata().is_ok() {
        fs_err::remove_dir_all(&job.dir)?;
    }
    fs_err::create_dir_all(&job.dir)?;
    let Job { point, seed, values, dir } = job;
    let filling = Filling { parameters: &settings.parameters, values, seed: *seed, point: *point, dir };
    let limits = Limits { timeout: settings.timeout, output_bytes: settings.output_bytes };
    let began = Instant::now();
    let exit = run(&settings.template.filled(&filling), filling.variables(), dir, limits, stops)?;
    let elapsed_secs = began.elapsed().as_secs_f64();
    let outcome = match exit {
        Exit::Stopped => return Ok(None),
        Exit::TimedOut => Outcome::TimedOut,
        Exit::Failure(reason) => Outcome::Failed { reason },
        Exit::TooMuchOutput => {
            Outcome::Failed { reason: format!("it printed more than {} bytes", settings.output_bytes) }
        }
        Exit::Success => measured(&settings.metric, dir)?,
    };
    Ok(Some(Trial { seed: *seed, outcome, elapsed_secs }))
}

fn measured(metric: &Metric, dir: &Path) -> Result<Outcome, SearchError> {
    let found = metric.find(BufReader::new(fs_err::File::open(dir.join(STDOUT))?))?;
    Ok(match found {
        Some(Found::Value(value)) => Outcome::Completed { value },
        Some(Found::NotFinite(text)) => Outcome::Diverged { text },
        Some(Found::NoNumber(text)) => {
            let shown: String = text.chars().take(60).collect();
            Outcome::Failed { reason: format!("its metric is {shown:?}, which is no number") }
        }
        None => Outcome::Failed { reason: "it printed no metric".to_owned() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cross_entropy::CrossEntropy;
    use crate::metric::Goal;

    fn settings(strategy: Strategy, command: &str) -> Settings {
        let parameters: Vec<Parameter> = vec!["epsilon:1e-8..1e-1".parse().unwrap()];
        Settings {
            template: Template::new(command, &parameters).unwrap(),
            parameters,
            strategy,
            metric: Metric::new("loss", Goal::Minimize).unwrap(),
            seed: 1,
            n_seeds: 2,
            timeout: None,
            output_bytes: 1 << 20,
        }
    }

    /// (log10 ε + 5)² and the seed's share, by a shell and awk.
    const QUADRATIC: &str = "awk 'BEGIN {{ x = log({epsilon})/log(10) + 5; print \"loss=\" x*x + 0.01*{seed} }}'";

    fn points(dir: &Path, settings: Settings, jobs: usize) -> Vec<(Vec<Value>, Option<f64>)> {
        let mut search = Search::open(dir, settings).unwrap();
        assert_eq!(search.run(jobs, &AtomicBool::new(false), &mut |_: Event<'_>| {}).unwrap(), Ended::Finished);
        search.points().iter().map(|point| (point.values.clone(), point.value())).collect()
    }

    #[test]
    fn what_is_tried_does_not_depend_on_how_many_run_at_once() {
        let strategy = Strategy::CrossEntropy { settings: CrossEntropy::default(), max_points: 20 };
        let dirs = [1, 4].map(|jobs| {
            let dir = tempfile::tempdir().unwrap();
            points(dir.path(), settings(strategy.clone(), QUADRATIC), jobs)
        });
        assert_eq!(dirs[0], dirs[1]);
        assert_eq!(dirs[0].len(), 20);
    }

    #[test]
    fn a_search_is_taken_up_and_taken_further() {
        let few = settings(Strategy::Random { points: 3 }, QUADRATIC);
        let many = Settings { strategy: Strategy::Random { points: 6 }, ..few.clone() };
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = points(dir.path(), few, 1);
        let mut n_run = 0;
        let mut search = Search::open(dir.path(), many.clone()).unwrap();
        let mut count = |event: Event<'_>| n_run += usize::from(matches!(event, Event::Trial { .. }));
        search.run(2, &AtomicBool::new(false), &mut count).unwrap();
        drop(search);
        assert_eq!(n_run, 6);
        let both = points(dir.path(), many.clone(), 1);
        assert_eq!((both[..3].to_vec(), both), (first, points(other.path(), many, 1)));
    }

    /// Points that failed may change the course of the search when they are run again.
    #[test]
    fn failed_trials_are_run_again_on_demand() {
        let strategy = Strategy::CrossEntropy { settings: CrossEntropy::default(), max_points: 20 };
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let switch = dir.path().join("works");
        let command = format!(
            "test {{seed}} = 2 || test $(({{trial}} % 3)) = 0 || test -e {} || exit 1; {QUADRATIC}",
            switch.display()
        );
        let of = settings(strategy.clone(), &command);
        let broken = points(&dir.path().join("search"), of.clone(), 1);
        assert_eq!(broken.iter().filter(|(_, value)| value.is_none()).count(), 13);
        fs_err::write(&switch, "").unwrap();
        assert_eq!(points(&dir.path().join("search"), of.clone(), 1), broken);
        let mut search = Search::open(&dir.path().join("search"), of.clone()).unwrap();
        search.forget_failed();
        search.run(3, &AtomicBool::new(false), &mut |_: Event<'_>| {}).unwrap();
        drop(search);
        let whole = points(other.path(), of.clone(), 1);
        assert_eq!(points(&dir.path().join("search"), of, 1), whole);
        assert_ne!(whole, broken);
    }

    #[test]
    fn a_command_that_cannot_work_ends_the_search_early() {
        let dir = tempfile::tempdir().unwrap();
        let mut search = Search::open(dir.path(), settings(Strategy::Random { points: 1000 }, "exit 7")).unwrap();
        let fault = search.run(2, &AtomicBool::new(false), &mut |_: Event<'_>| {}).unwrap_err().to_string();
        assert!(fault.contains("the first 5 points all failed: exit status 7; see /"), "{fault}");
        assert!(dir.path().join(TABLE).is_file());
    }

    #[test]
    fn outcomes_are_told_apart() {
        let commands = [
            ("echo loss=nan", "diverged"),
            ("echo loss=3; exit 1", "failed"),
            ("echo nothing", "failed"),
            ("echo loss=3; sleep 9", "timed-out"),
            ("echo loss=2; echo loss=1e-3", "completed"),
        ];
        for (command, status) in commands {
            let dir = tempfile::tempdir().unwrap();
            let timeout = Some(Duration::from_millis(1500));
            let settings = Settings { timeout, n_seeds: 1, ..settings(Strategy::Random { points: 1 }, command) };
            let mut search = Search::open(dir.path(), settings).unwrap();
            let mut found = Vec::new();
            let mut note = |event: Event<'_>| {
                if let Event::Trial { trial, .. } = event {
                    found.push(trial.outcome.status());
                }
            };
            let _of_no_matter_here = search.run(1, &AtomicBool::new(false), &mut note);
            assert_eq!(found, [status], "{command}");
        }
    }
}
