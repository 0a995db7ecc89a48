//! The tables of results: columns, types, units, meanings. The one place where they are written down.
//!
//! Types are those every reader takes, as in a run directory: signed integers, DOUBLE, UTF8, BOOLEAN; null where there is
//! no value, never NaN.

use polars::prelude::{DataFrame, DataType};

/// A table of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResultTable {
    /// What each run is.
    Runs,
    /// Each tensor of a run: its kind and layer, and its gradients' health.
    Tensors,
    /// Counts per bin.
    Histograms,
    /// Bounds of ε.
    Estimates,
    /// What values of ε do.
    Candidates,
    /// How bounds move along a run, and away from those of its calibration.
    Drift,
    /// How far apart the bounds of one configuration's runs are.
    Spread,
    /// What could not be read or analysed.
    Faults,
}

/// A column: what it is called, what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub data_type: DataType,
    /// Whether null may stand in it.
    pub nullable: bool,
    /// What it means, with its unit.
    pub meaning: &'static str,
}

impl ResultTable {
    /// Every table, in the order of the data flow.
    pub const ALL: [Self; 8] = [
        Self::Runs,
        Self::Tensors,
        Self::Histograms,
        Self::Estimates,
        Self::Candidates,
        Self::Drift,
        Self::Spread,
        Self::Faults,
    ];

    /// Those that are about one run at a time.
    pub const PER_RUN: [Self; 5] = [Self::Runs, Self::Tensors, Self::Histograms, Self::Estimates, Self::Candidates];

    /// The name, of the folder as well.
    pub fn name(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Tensors => "tensors",
            Self::Histograms => "histograms",
            Self::Estimates => "estimates",
            Self::Candidates => "candidates",
            Self::Drift => "drift",
            Self::Spread => "spread",
            Self::Faults => "faults",
        }
    }

    /// The table of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    /// What is wrong with a frame of this table, if anything is: other columns, other types, null where none may be.
    pub fn contradiction(self, frame: &DataFrame) -> Option<String> {
        let expected = self.columns();
        let names: Vec<&str> = expected.iter().map(|column| column.name).collect();
        let found: Vec<&str> = frame.columns().iter().map(|column| column.name().as_str()).collect();
        if names != found {
            return Some(format!("{}: columns {found:?}: expected {names:?}", self.name()));
        }
        let wrong = |(column, found): &(Column, &polars::prelude::Column)| {
            *found.dtype() != column.data_type || (found.null_count() > 0 && !column.nullable)
        };
        let (column, found) = expected.into_iter().zip(frame.columns()).find(wrong)?;
        let (kind, nulls) = (found.dtype(), found.null_count());
        Some(format!("{}.{}: {kind}, {nulls} null: expected {}", self.name(), column.name, column.data_type))
    }

    /// Its columns, in order.
    pub fn columns(self) -> Vec<Column> {
        match self {
            Self::Runs => runs(),
            Self::Tensors => tensors(),
            Self::Histograms => histograms(),
            Self::Estimates => estimates(),
            Self::Candidates => candidates(),
            Self::Drift => drift(),
            Self::Spread => spread(),
            Self::Faults => faults(),
        }
    }
}

fn runs() -> Vec<Column> {
    vec![
        text("run", "the run's name"),
        text("path", "the directory or URL it was read from"),
        text(
            "task",
            "digest of what is trained: tensors, data and settings but for optimizer and seed; see `Manifest::task`",
        ),
        text(
            "configuration",
            "digest of the task and the optimizer's settings: runs that agree differ by their seed alone",
        ),
        text("seed", "the label `seed`").or_null(),
        text("mode", "`calibration` (weights frozen) or `monitoring`"),
        text("status", "`finished` or `unfinished`"),
        text("created", "when recording began, RFC 3339"),
        text("finished", "when it ended").or_null(),
        whole("last_step", "the last complete step"),
        small("last_epoch", "its epoch, counted from 1").or_null(),
        whole("missing_steps", "steps that should have been recorded and are not there"),
        whole("dropped_steps", "steps that the recorder could not keep"),
        number("last_loss", "the last loss that is a number").or_null(),
        text("optimizer", "the optimizer it was trained with"),
        number("learning_rate", "at the first step; null like `epsilon` of an imported run of which it is not known")
            .or_null(),
        number("epsilon", "its ε").or_null(),
        number("beta1", "decay rate of the first moment").or_null(),
        number("beta2", "decay rate of the second moment").or_null(),
        number("weight_decay", "weight decay, coupled or not"),
        number("coupled_weight_decay", "the L2 coefficient that was added to the gradients"),
        truth("clipped", "whether gradients were clipped before they were read"),
        whole("accumulated_batches", "micro-batches to a step"),
        whole("tensors", "parameter tensors recorded"),
        whole("elements", "their elements"),
        whole("world_size", "processes that trained"),
        text("labels", "what else describes the run, as a JSON object"),
        text("framework", "what computed the gradients"),
        text("recorded_by", "version of the recorder"),
        text("lacks", "tables that the run has no rows in, and why").or_null(),
    ]
}

fn tensors() -> Vec<Column> {
    vec![
        text("run", "the run's name"),
        text("tensor", "the tensor's name"),
        text("layer", "its name without the last part"),
        text("kind", "`weight`, `bias`, `norm` or `embedding`, by its name and shape"),
        text("quantity", "what the magnitudes are of"),
        whole("steps", "steps at which it was seen"),
        whole("numel", "its elements"),
        number("zero_share", "share of exact zeros over all steps"),
        whole("nan", "elements that were not a number, over all steps"),
        whole("infinite", "elements that were infinite, over all steps"),
        single("min_nonzero", "least finite magnitude above 0").or_null(),
        single("max", "greatest finite magnitude").or_null(),
        number("rms", "root mean square over all finite elements of all steps").or_null(),
    ]
}

fn histograms() -> Vec<Column> {
    vec![
        text("run", "the run's name"),
        text("scope", "what the histogram is over: `tensor`, `layer`, `kind` or `run`"),
        text("name", "the tensor's, layer's or kind's name; null over the run").or_null(),
        text("quantity", "what the magnitudes are of: `gradient`, `critical_epsilon.adam` and so on"),
        whole("first_step", "the first step whose counts were added"),
        whole("last_step", "the last"),
        small("bin", "floor(bins per decade · log10 magnitude)"),
        number("lower", "the bin's lower edge, included"),
        number("upper", "its upper edge, excluded"),
        whole("count", "elements in the bin, over all steps"),
        number(
            "density",
            "probability density per decade over the non-zero finite magnitudes: count · bins per decade / Σ count",
        ),
        number("cumulative", "share of the non-zero finite magnitudes below `upper`"),
        whole("zeros", "elements of the same tensors and steps that are exactly 0"),
        whole("non_finite", "those that are infinite or not a number"),
    ]
}

fn estimates() -> Vec<Column> {
    vec![
        text("run", "the run's name"),
        text("mode", "`calibration` or `monitoring`"),
        text("status", "`finished` or `unfinished`"),
        text("optimizer", "whose ε"),
        whole("step", "the step after which critical ε was looked at"),
        whole("last_step", "the last complete step of the run"),
        text("scope", "`tensor`, `layer`, `kind` or `run`"),
        text("name", "the tensor's, layer's or kind's name; null of the run").or_null(),
        text(
            "combination",
            "how the tensors' bounds became one: `extremes` (the paper's), `pooled` or `robust`; null of a tensor",
        )
        .or_null(),
        number("search_lower", "lower end of the search space, a power of ten"),
        number("search_upper", "upper end"),
        whole("decades", "its width"),
        number("lower", "the lower bound"),
        number("lower_low", "it is no smaller than this: for certain, or with `confidence` if from a sample").or_null(),
        number("lower_high", "it is no greater than this").or_null(),
        number(
            "lower_boot_low",
            "lower end of its bootstrap interval; the bound itself if exact, null if from bins alone",
        )
        .or_null(),
        number("lower_boot_high", "upper end").or_null(),
        text("lower_tensor", "the tensor that sets it"),
        text("lower_method", "how that one is known"),
        whole("lower_sample_size", "from how many values"),
        number("lower_without", "the bound that the other tensors would set").or_null(),
        number("upper", "the upper bound"),
        number("upper_low", "it is no smaller than this: for certain, or with `confidence` if from a sample").or_null(),
        number("upper_high", "it is no greater than this").or_null(),
        number(
            "upper_boot_low",
            "lower end of its bootstrap interval; the bound itself if exact, null if from bins alone",
        )
        .or_null(),
        number("upper_boot_high", "upper end").or_null(),
        text("upper_tensor", "the tensor that sets it"),
        text("upper_method", "how that one is known"),
        whole("upper_sample_size", "from how many values"),
        number("upper_without", "the bound that the other tensors would set").or_null(),
        text(
            "sets",
            "which of the run's bounds tensors of this row set: `lower`, `upper`, `both` or nothing; null of the run",
        )
        .or_null(),
        whole("tensors", "tensors that set bounds in this row"),
        whole("left_out", "tensors of the run that set none"),
        whole("numel", "elements of this row's tensors"),
        whole("sample_size", "values that were ordered"),
        whole("zeros", "values that are exactly 0, left out as the paper does"),
        whole("non_finite", "values that are infinite or not a number, left out"),
        text("method", "the least exact of the tensors' methods: `exact`, `bins`, `sample` or `gradient`"),
        number("percentile", "p, the share of a tensor's elements below its upper bound"),
        number("confidence", "probability with which all intervals of a sample hold"),
        number("beta1", "decay rate of the first moment"),
        number("beta2", "decay rate of the second moment"),
        whole("restarted_after", "the step after which the recorder's moments began again from zero").or_null(),
        number("default_epsilon", "the optimizer's default ε"),
        number("own_epsilon", "the run's ε; null if it was trained with another optimizer").or_null(),
        number("share_below_own", "share of elements whose critical ε is smaller than that").or_null(),
    ]
}

fn candidates() -> Vec<Column> {
    vec![
        text("run", "the run's name"),
        text("optimizer", "whose ε"),
        whole("step", "the step after which critical ε was looked at"),
        text("scope", "`tensor`, `layer`, `kind` or `run`"),
        text("name", "the tensor's, layer's or kind's name; null of the run").or_null(),
        number("epsilon", "the value of ε"),
        text(
            "role",
            "why it is looked at: `own` (the run's), `default` (the optimizer's), `asked` or `grid` (recommended)",
        ),
        number("learning_rate", "the learning rate at the reference, the run's own ε or the default; null if unknown")
            .or_null(),
        number(
            "matched_learning_rate",
            "the learning rate to try with this ε; null like the rates if `learning_rate` is",
        )
        .or_null(),
        number("share_below", "share of elements with smaller critical ε, on which ε rules"),
        number("share_low", "it is no smaller than this"),
        number("share_high", "it is no greater than this"),
        text("regime", "`no effect`, `mixed` or `sgd-like`"),
        number("rate_low", "effective learning rate at `learning_rate`: that of the elements with great gradients")
            .or_null(),
        number("rate_median", "that of the median element").or_null(),
        number("rate_high", "that of the elements with small gradients").or_null(),
        number("sgd_rate", "the rate of the SGD with momentum that this is far above every critical ε").or_null(),
        text("method", "the least exact of the tensors' methods"),
        whole("sample_size", "values known"),
    ]
}

fn drift() -> Vec<Column> {
    vec![
        text("run", "the run's name"),
        text("configuration", "digest of what its seeds have in common"),
        text("mode", "`calibration` or `monitoring`"),
        text("optimizer", "whose ε"),
        text("combination", "how the tensors' bounds became one").or_null(),
        text("scope", "`run`"),
        text("name", "null of the run").or_null(),
        whole("step", "the step"),
        number("lower", "the lower bound, an ε"),
        number("upper", "the upper bound"),
        number("lower_shift", "decades from the lower bound after the first step looked at"),
        number("upper_shift", "the same of the upper bound"),
        text("calibration_run", "the calibration of the same task").or_null(),
        number("lower_from_calibration", "decades from its lower bound").or_null(),
        number("upper_from_calibration", "decades from its upper bound").or_null(),
        truth("within_calibration", "whether its search space contains this step's").or_null(),
    ]
}

fn spread() -> Vec<Column> {
    vec![
        text("configuration", "digest of what the runs have in common"),
        text("mode", "`calibration` or `monitoring`"),
        text("optimizer", "whose ε"),
        text("combination", "how the tensors' bounds became one").or_null(),
        text("scope", "`run`"),
        text("name", "null of the run").or_null(),
        whole("step", "the step"),
        whole("n_runs", "runs that were looked at after this step"),
        number("lower_mean", "10 to the mean of the lower bounds' logarithms"),
        number("lower_deviation", "standard deviation of their logarithms, in decades").or_null(),
        number("lower_min", "the least"),
        number("lower_max", "the greatest"),
        number("lower_boot_low", "lower end of the mean's bootstrap interval over runs").or_null(),
        number("lower_boot_high", "upper end").or_null(),
        number("upper_mean", "10 to the mean of the upper bounds' logarithms"),
        number("upper_deviation", "standard deviation of their logarithms, in decades").or_null(),
        number("upper_min", "the least"),
        number("upper_max", "the greatest"),
        number("upper_boot_low", "lower end of the mean's bootstrap interval over runs").or_null(),
        number("upper_boot_high", "upper end").or_null(),
    ]
}

fn faults() -> Vec<Column> {
    vec![text("fault", "what is wrong with it, naming the file and what was expected")]
}

impl Column {
    fn or_null(self) -> Self {
        Self { nullable: true, ..self }
    }
}

fn column(name: &'static str, data_type: DataType, meaning: &'static str) -> Column {
    Column { name, data_type, nullable: false, meaning }
}

fn text(name: &'static str, meaning: &'static str) -> Column {
    column(name, DataType::String, meaning)
}

fn whole(name: &'static str, meaning: &'static str) -> Column {
    column(name, DataType::Int64, meaning)
}

fn small(name: &'static str, meaning: &'static str) -> Column {
    column(name, DataType::Int32, meaning)
}

fn number(name: &'static str, meaning: &'static str) -> Column {
    column(name, DataType::Float64, meaning)
}

fn single(name: &'static str, meaning: &'static str) -> Column {
    column(name, DataType::Float32, meaning)
}

fn truth(name: &'static str, meaning: &'static str) -> Column {
    column(name, DataType::Boolean, meaning)
}
