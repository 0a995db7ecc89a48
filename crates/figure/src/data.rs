//! What figures are of.

use epsiloscope_histogram::Histogram;

use crate::text::Text;

/// Panels that are drawn together.
#[derive(Clone, Debug)]
pub struct Figure {
    /// In reading order.
    pub panels: Vec<Panel>,
}

/// One drawing.
#[derive(Clone, Debug)]
pub enum Panel {
    /// Magnitudes through training.
    HeatMap(HeatMap),
    /// Histograms, or shares below.
    Curves(Curves),
    /// Bounds of a run's parts.
    Bounds(Bounds),
    /// Search spaces of runs and optimizers.
    SearchSpaces(SearchSpaces),
}

/// What stands above a panel.
#[derive(Clone, Debug)]
pub struct Heading {
    /// Which run.
    pub title: Text,
    /// Of what, how much of it.
    pub subtitle: Text,
}

/// What magnitudes are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measure {
    /// What enters the optimizer's moments.
    Gradient,
    /// The ε at which an optimizer's ε and gradient weigh the same.
    CriticalEpsilon {
        /// Whose.
        optimizer: String,
    },
    /// Something else that was recorded, by its name.
    Other(String),
    /// Several of these, on one axis.
    Several,
}

impl Measure {
    /// Of a quantity as runs name it.
    ///
    /// # Examples
    /// ```
    /// use epsiloscope_figure::Measure;
    ///
    /// assert_eq!(Measure::of("gradient"), Measure::Gradient);
    /// assert_eq!(Measure::of("critical_epsilon.adam"), Measure::CriticalEpsilon { optimizer: "adam".to_owned() });
    /// ```
    pub fn of(quantity: &str) -> Self {
        match quantity.strip_prefix("critical_epsilon.") {
            Some(optimizer) => Self::CriticalEpsilon { optimizer: optimizer.to_owned() },
            None if quantity == epsiloscope_format::GRADIENT => Self::Gradient,
            None => Self::Other(quantity.to_owned()),
        }
    }

    /// In words.
    pub fn name(&self) -> Text {
        match self {
            Self::Gradient => Text::from("gradient magnitude"),
            Self::CriticalEpsilon { optimizer } => Text::from("critical ").italic("ε").and(&format!(" of {optimizer}")),
            Self::Other(quantity) => Text::from(format!("magnitude of {quantity}").as_str()),
            Self::Several => Text::from("magnitudes"),
        }
    }

    /// With its unit, for an axis.
    pub fn axis(&self) -> Text {
        match self {
            Self::Gradient => Text::from("gradient magnitude |").italic("g").and("| (loss per unit of parameter)"),
            Self::CriticalEpsilon { .. } => self.name().and(" (unit of the denominator)"),
            Self::Other(_) => self.name().and(" (as recorded)"),
            Self::Several => Text::from("gradient magnitude |")
                .italic("g")
                .and("| (loss per unit of parameter), critical ")
                .italic("ε"),
        }
    }
}

/// Magnitudes through training.
#[derive(Clone, Debug)]
pub struct HeatMap {
    /// Above it.
    pub heading: Heading,
    /// Of what.
    pub measure: Measure,
    /// In order of steps.
    pub columns: Vec<Column>,
    /// Steps between two recorded ones.
    pub cadence: i64,
    /// Where ε lies.
    pub marks: Marks,
}

/// The magnitudes of a window of steps.
#[derive(Clone, Debug)]
pub struct Column {
    /// First and last step.
    pub steps: (i64, i64),
    /// `None` if nothing was recorded in it.
    pub histogram: Option<Histogram>,
}

/// Histograms in one drawing.
#[derive(Clone, Debug)]
pub struct Curves {
    /// Above it.
    pub heading: Heading,
    /// What curves show.
    pub form: Form,
    /// Of what; if there are several, of the first.
    pub measure: Measure,
    /// In order.
    pub curves: Vec<Curve>,
    /// Whether the curves follow each other in training, and are coloured so.
    pub is_sequence: bool,
    /// Where ε lies.
    pub marks: Marks,
}

/// What is drawn of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Share of the elements per decade.
    Density,
    /// Share of the elements below each edge.
    Cumulative,
}

/// One histogram.
#[derive(Clone, Debug)]
pub struct Curve {
    /// In the legend, if there are several.
    pub name: Text,
    /// Its counts.
    pub histogram: Histogram,
}

/// Where ε lies among the magnitudes shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Marks {
    /// Where it is worth searching.
    pub search: Option<SearchMark>,
    /// One value of it.
    pub epsilon: Option<EpsilonMark>,
}

/// The search space of ε.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SearchMark {
    /// Its exponents of ten.
    pub exponents: (i32, i32),
    /// The magnitudes with which its ends compete.
    pub at: (f64, f64),
}

/// A value of ε.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpsilonMark {
    /// As the optimizer has it.
    pub epsilon: f64,
    /// The magnitude that it competes with.
    pub at: f64,
    /// Whose.
    pub of: EpsilonOf,
}

/// Whose an ε is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpsilonOf {
    /// The run was trained with it.
    Run,
    /// The optimizer has it unless told otherwise.
    Default,
}

impl EpsilonOf {
    /// `run's` or `default`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run’s",
            Self::Default => "default",
        }
    }
}

/// Bounds of the parts of a run, for one optimizer.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Above it.
    pub heading: Heading,
    /// Whose ε.
    pub optimizer: String,
    /// What a row is: `tensor`, `layer`, `kind`, `run`.
    pub noun: String,
    /// In any order; they are sorted by their lower bounds.
    pub rows: Vec<BoundRow>,
    /// The run's search space and ε, in the optimizer's own ε.
    pub marks: Marks,
}

/// The bounds of one part.
#[derive(Clone, Debug, PartialEq)]
pub struct BoundRow {
    /// Its name.
    pub name: String,
    /// The lower bound of ε.
    pub lower: Interval,
    /// The upper.
    pub upper: Interval,
    /// Whether it sets the run's lower bound.
    pub sets_lower: bool,
    /// Whether it sets the run's upper bound.
    pub sets_upper: bool,
}

/// A value and where it lies for certain, or with the confidence of the estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The value.
    pub value: f64,
    /// No smaller than this, if that is known.
    pub low: Option<f64>,
    /// No greater.
    pub high: Option<f64>,
}

/// Search spaces of runs and optimizers.
#[derive(Clone, Debug)]
pub struct SearchSpaces {
    /// Above it.
    pub heading: Heading,
    /// In order.
    pub rows: Vec<SearchSpaceRow>,
}

/// The search space of one optimizer on one run.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchSpaceRow {
    /// The run's name.
    pub run: String,
    /// Whose ε.
    pub optimizer: String,
    /// Exponents of ten of the search space.
    pub exponents: (i32, i32),
    /// The bounds that they are nearest to.
    pub bounds: (f64, f64),
    /// The run's ε, if it was trained with this optimizer.
    pub own: Option<f64>,
    /// The optimizer's default.
    pub default: f64,
}
