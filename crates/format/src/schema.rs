//! The tables of a run: columns, types, units, encodings.
//!
//! Types are those every reader takes, Spark 3.5 included: signed integers, FLOAT, DOUBLE, UTF8, BOOLEAN,
//! TIMESTAMP(MICROS, UTC). NaN never stands in a float column: it is null and counted in `tensors`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// The version of everything this module and the manifest define. Readers refuse others.
pub const SCHEMA_VERSION: u64 = 2;

/// A name of a tensor or scalar is at most so long.
pub const MAX_NAME_BYTES: usize = 512;

/// A table of the run directory; each is a folder of part files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Table {
    /// Magnitudes of recorded elements.
    Magnitudes,
    /// Counts per bin, of every element.
    Histograms,
    /// Health of each tensor at each step, over every element.
    Tensors,
    /// Scalars of the user's own.
    Scalars,
    /// Scalars of each step. Written last.
    Steps,
}

/// How a column is encoded in Parquet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Dictionary of long runs, for the columns that rows are grouped by.
    Runs,
    /// Dictionary, for columns of few distinct values.
    Dictionary,
    /// `DELTA_BINARY_PACKED`, for integers that grow or stay small.
    Delta,
    /// As it is.
    Plain,
}

/// A column: what it is called, what it holds, how it is stored.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its logical type.
    pub data_type: DataType,
    /// Whether null may stand in it.
    pub nullable: bool,
    /// How it is stored.
    pub encoding: Encoding,
    /// What it means, with its unit.
    pub meaning: &'static str,
}

impl Table {
    /// Every table, in the order in which a flush publishes them.
    pub const ALL: [Self; 5] = [Self::Magnitudes, Self::Histograms, Self::Tensors, Self::Scalars, Self::Steps];

    /// The folder's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Magnitudes => "magnitudes",
            Self::Histograms => "histograms",
            Self::Tensors => "tensors",
            Self::Scalars => "scalars",
            Self::Steps => "steps",
        }
    }

    /// The columns in order.
    pub fn columns(self) -> Vec<Column> {
        let step_encoding = if self == Self::Steps { Encoding::Delta } else { Encoding::Runs };
        let step = required("step", DataType::Int64, step_encoding, "optimizer step, counted from 1");
        let tensor = required("tensor", DataType::Utf8, Encoding::Runs, "name of the parameter tensor");
        let quantity = required("quantity", DataType::Utf8, Encoding::Runs, "what the magnitudes are of");
        let own = match self {
            Self::Magnitudes => vec![
                required("element", DataType::Int64, Encoding::Delta, "index into the flattened tensor"),
                nullable("magnitude", DataType::Float32, Encoding::Plain, "absolute value; null if not a number"),
                nullable(
                    "negative",
                    DataType::Boolean,
                    Encoding::Plain,
                    "whether below zero; null if signs are not kept",
                ),
            ],
            Self::Histograms => vec![
                required("bin", DataType::Int32, Encoding::Delta, "floor(40·log10 magnitude)"),
                required("count", DataType::Int64, Encoding::Delta, "elements in the bin, above 0"),
            ],
            Self::Tensors => vec![
                required("numel", DataType::Int64, Encoding::Dictionary, "elements of the tensor"),
                required("zeros", DataType::Int64, Encoding::Delta, "elements that are exactly 0"),
                required("nan", DataType::Int64, Encoding::Delta, "elements that are not a number"),
                required("pos_inf", DataType::Int64, Encoding::Delta, "elements that are +∞"),
                required("neg_inf", DataType::Int64, Encoding::Delta, "elements that are −∞"),
                nullable("min_nonzero", DataType::Float32, Encoding::Plain, "least finite magnitude above 0"),
                nullable("max", DataType::Float32, Encoding::Plain, "greatest finite magnitude"),
                required("sum_of_squares", DataType::Float64, Encoding::Plain, "over all finite elements"),
            ],
            Self::Scalars => vec![
                required("name", DataType::Utf8, Encoding::Runs, "as the training loop calls it"),
                nullable("value", DataType::Float64, Encoding::Plain, "its value; null if not a number"),
            ],
            Self::Steps => vec![
                nullable("epoch", DataType::Int32, Encoding::Dictionary, "pass over the data, counted from 1"),
                required("time", timestamp(), Encoding::Delta, "wall-clock time, a label only"),
                nullable("loss", DataType::Float64, Encoding::Plain, "as the training loop computed it"),
                nullable("learning_rate", DataType::Float64, Encoding::Plain, "of this step"),
                nullable("loss_scale", DataType::Float64, Encoding::Plain, "divided out of the recorded gradients"),
                required(
                    "overflow",
                    DataType::Boolean,
                    Encoding::Plain,
                    "whether scaled gradients were not all finite",
                ),
            ],
        };
        let shared = match self {
            Self::Steps | Self::Scalars => vec![step],
            Self::Magnitudes | Self::Histograms | Self::Tensors => vec![step, tensor, quantity],
        };
        shared.into_iter().chain(own).collect()
    }

    /// The Arrow schema in which the table is read and written: names as dictionaries, everything else plain.
    pub fn arrow_schema(self) -> SchemaRef {
        let field = |column: &Column| Field::new(column.name, in_memory_type(column), column.nullable);
        Arc::new(Schema::new(self.columns().iter().map(field).collect::<Vec<_>>()))
    }

    /// The leading columns by which rows are sorted, ascending.
    pub fn sorted_by(self) -> usize {
        match self {
            Self::Magnitudes | Self::Histograms => 4,
            Self::Tensors => 3,
            Self::Steps | Self::Scalars => 1,
        }
    }
}

fn required(name: &'static str, data_type: DataType, encoding: Encoding, meaning: &'static str) -> Column {
    Column { name, data_type, nullable: false, encoding, meaning }
}

fn nullable(name: &'static str, data_type: DataType, encoding: Encoding, meaning: &'static str) -> Column {
    Column { nullable: true, ..required(name, data_type, encoding, meaning) }
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Names repeat in millions of rows: in memory they are keys into a dictionary, in the file plain UTF8.
fn in_memory_type(column: &Column) -> DataType {
    match column.data_type {
        DataType::Utf8 => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
        _ => column.data_type.clone(),
    }
}
