//! Rows of a table for polars, read by our own readers: only the columns that it asks for, only the rows that it keeps.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use polars::prelude::*;
use rayon::prelude::*;

use crate::error::QueryError;
use crate::source::Source;

/// What is wrong with runs, by their place: a line each.
pub(crate) type Faults = Arc<Mutex<BTreeMap<usize, QueryError>>>;

/// What scans of one statement have in common.
#[derive(Clone)]
pub(crate) struct Limits {
    /// What a scan may keep.
    pub(crate) bytes: usize,
    /// Rows that are aggregated at a time.
    pub(crate) batch_rows: u64,
    /// Set where a scan would have kept more.
    pub(crate) exceeded_by: Arc<Mutex<Option<&'static str>>>,
    pub(crate) faults: Faults,
}

/// Some sources of a table, as polars scans them.
#[derive(Clone)]
pub(crate) struct TableScan {
    pub(crate) name: &'static str,
    pub(crate) schema: SchemaRef,
    pub(crate) sources: Arc<[Arc<Source>]>,
    pub(crate) limits: Limits,
}

impl TableScan {
    /// As polars takes it.
    pub(crate) fn lazy(&self) -> PolarsResult<LazyFrame> {
        let args =
            ScanArgsAnonymous { schema: Some(self.schema.clone()), name: self.name, ..ScanArgsAnonymous::default() };
        LazyFrame::anonymous_scan(Arc::new(self.clone()), args)
    }

    /// The same table, some sources at a time; one batch at least.
    pub(crate) fn batches(&self) -> Vec<Self> {
        let mut batches: Vec<Vec<Arc<Source>>> = vec![Vec::new()];
        let mut n_rows = 0;
        for source in self.sources.iter() {
            if self.limits.batch_rows < n_rows + source.n_rows && 0 < n_rows {
                batches.push(Vec::new());
                n_rows = 0;
            }
            n_rows += source.n_rows;
            batches.last_mut().expect("there is one").push(Arc::clone(source));
        }
        batches.into_iter().map(|sources| Self { sources: sources.into(), ..self.clone() }).collect()
    }

    /// Reads and filters sources on all cores; rows come in the order of the sources.
    fn gathered(&self, names: &[&str], predicate: Option<&Expr>) -> PolarsResult<Vec<DataFrame>> {
        let n_bytes = AtomicUsize::new(0);
        let read = |source: &Arc<Source>| self.kept(source, names, predicate, &n_bytes);
        let frames: Vec<PolarsResult<DataFrame>> = self.sources.par_iter().map(read).collect();
        frames.into_iter().collect()
    }

    /// The first rows, and no source after them.
    fn first(&self, names: &[&str], n_rows: usize) -> PolarsResult<Vec<DataFrame>> {
        let mut frames = Vec::new();
        let mut n_left = n_rows;
        let n_bytes = AtomicUsize::new(0);
        for source in self.sources.iter() {
            if n_left == 0 {
                break;
            }
            let frame = self.kept(source, names, None, &n_bytes)?.head(Some(n_left));
            n_left -= frame.height();
            frames.push(frame);
        }
        Ok(frames)
    }

    fn kept(
        &self,
        source: &Source,
        names: &[&str],
        predicate: Option<&Expr>,
        n_bytes: &AtomicUsize,
    ) -> PolarsResult<DataFrame> {
        let limit = self.limits.bytes;
        let exceeded = || {
            *locked(&self.limits.exceeded_by) = Some(self.name);
            polars_err!(ComputeError: "more rows than fit")
        };
        if limit < n_bytes.load(Ordering::Relaxed) {
            return Err(exceeded());
        }
        let frame = source.read(&self.schema, names).map_err(|fault| self.noted(source, fault))?;
        let frame = match predicate {
            Some(predicate) => frame.lazy().filter(predicate.clone()).collect()?,
            None => frame,
        };
        let kept = frame.estimated_size();
        if limit < kept + n_bytes.fetch_add(kept, Ordering::Relaxed) { Err(exceeded()) } else { Ok(frame) }
    }

    /// A run's fault is the run's; one of no run ends the statement.
    fn noted(&self, source: &Source, fault: QueryError) -> PolarsError {
        let told = polars_err!(ComputeError: "{fault}");
        if let Some(owner) = source.owner {
            locked(&self.limits.faults).entry(owner).or_insert(fault);
        }
        told
    }
}

impl AnonymousScan for TableScan {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn scan(&self, args: AnonymousScanArgs) -> PolarsResult<DataFrame> {
        let names: Vec<&str> = match &args.with_columns {
            Some(names) => names.iter().map(PlSmallStr::as_str).collect(),
            None => self.schema.iter_names().map(PlSmallStr::as_str).collect(),
        };
        let predicate = args.predicate.as_ref().and_then(without_hints);
        let frames = match args.n_rows {
            Some(n_rows) => self.first(&names, n_rows)?,
            None => self.gathered(&names, predicate.as_ref())?,
        };
        let mut all = DataFrame::empty_with_schema(&self.schema).select(names)?;
        for frame in frames {
            all.vstack_mut_owned(frame)?;
        }
        match predicate.filter(|_predicate| args.n_rows.is_some()) {
            Some(predicate) => all.lazy().filter(predicate).collect(),
            None => Ok(all),
        }
    }

    fn allows_predicate_pushdown(&self) -> bool {
        true
    }

    fn allows_projection_pushdown(&self) -> bool {
        true
    }
}

/// A predicate without what polars adds to it for its own use: which rows the first ones in an order, found so far, rule
/// out. It is no expression that could be run elsewhere.
fn without_hints(predicate: &Expr) -> Option<Expr> {
    match predicate {
        Expr::Display { fmt_str, .. } if fmt_str.starts_with("dynamic_pred: ") => None,
        Expr::BinaryExpr { left, op: Operator::And | Operator::LogicalAnd, right } => {
            match (without_hints(left), without_hints(right)) {
                (Some(left), Some(right)) => Some(left.and(right)),
                (left, right) => left.or(right),
            }
        }
        other => Some(other.clone()),
    }
}

pub(crate) fn locked<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
