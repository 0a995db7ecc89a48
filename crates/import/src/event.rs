//! What is read of TensorBoard's messages; fields that are not named here are passed over.
//!
//! The numbers are those of `event.proto`, `summary.proto` and `histogram.proto` of TensorFlow.

use crate::wire::{NoMessage, fields};

/// A record of an event file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Event {
    /// Seconds since 1970.
    pub(crate) wall_time: f64,
    pub(crate) step: i64,
    pub(crate) values: Vec<Value>,
    /// Whether a session begins: what was written of later steps is void.
    pub(crate) is_start: bool,
}

/// The status of a session that begins.
const START: i64 = 1;
/// The plugin of TensorBoard's second format, a tensor of 30 linear bins.
const LINEAR: &str = "histograms";

/// A value of a record.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Value {
    pub(crate) tag: String,
    pub(crate) histogram: Option<HistogramProto>,
    /// Whether it is a histogram of linear bins.
    pub(crate) is_linear: bool,
}

/// Counts of signed values.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct HistogramProto {
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// Values, those in no bin included.
    pub(crate) num: f64,
    pub(crate) sum_squares: f64,
    /// The right end of each bin.
    pub(crate) bucket_limit: Vec<f64>,
    pub(crate) bucket: Vec<f64>,
}

impl Event {
    pub(crate) fn decode(message: &[u8]) -> Result<Self, NoMessage> {
        let mut event = Self::default();
        for field in fields(message) {
            match field? {
                (1, time) => event.wall_time = time.double()?,
                (2, step) => event.step = step.integer()?,
                (5, summary) => {
                    for value in fields(summary.bytes()?) {
                        if let (1, value) = value? {
                            event.values.push(Value::decode(value.bytes()?)?);
                        }
                    }
                }
                (7, session_log) => {
                    for status in fields(session_log.bytes()?) {
                        if let (1, status) = status? {
                            event.is_start = status.integer()? == START;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(event)
    }
}

impl Value {
    fn decode(message: &[u8]) -> Result<Self, NoMessage> {
        let mut value = Self::default();
        for field in fields(message) {
            match field? {
                (1, tag) => tag.text()?.clone_into(&mut value.tag),
                (5, histogram) => value.histogram = Some(HistogramProto::decode(histogram.bytes()?)?),
                (9, metadata) => value.is_linear = plugin(metadata.bytes()?)? == Some(LINEAR),
                _ => {}
            }
        }
        Ok(value)
    }
}

/// The plugin that a value's metadata name.
fn plugin(metadata: &[u8]) -> Result<Option<&str>, NoMessage> {
    let mut name = None;
    for field in fields(metadata) {
        if let (1, plugin_data) = field? {
            for field in fields(plugin_data.bytes()?) {
                if let (1, text) = field? {
                    name = Some(text.text()?);
                }
            }
        }
    }
    Ok(name)
}

impl HistogramProto {
    fn decode(message: &[u8]) -> Result<Self, NoMessage> {
        let mut histogram = Self::default();
        for field in fields(message) {
            match field? {
                (1, min) => histogram.min = min.double()?,
                (2, max) => histogram.max = max.double()?,
                (3, num) => histogram.num = num.double()?,
                (5, sum_squares) => histogram.sum_squares = sum_squares.double()?,
                (6, limits) => limits.extend_doubles(&mut histogram.bucket_limit)?,
                (7, counts) => counts.extend_doubles(&mut histogram.bucket)?,
                _ => {}
            }
        }
        Ok(histogram)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::tests::{bytes_field, double_field, integer_field};

    /// The message of an event.
    pub(crate) fn encoded(event: &Event) -> Vec<u8> {
        let values: Vec<u8> = event.values.iter().flat_map(|value| bytes_field(1, &encoded_value(value))).collect();
        let start = if event.is_start { bytes_field(7, &integer_field(1, START)) } else { Vec::new() };
        [double_field(1, event.wall_time), integer_field(2, event.step), bytes_field(5, &values), start].concat()
    }

    fn encoded_value(value: &Value) -> Vec<u8> {
        let histogram = value.histogram.as_ref().map_or(Vec::new(), |of| {
            let packed = |values: &[f64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
            let message = [
                double_field(1, of.min),
                double_field(2, of.max),
                double_field(3, of.num),
                double_field(5, of.sum_squares),
                bytes_field(6, &packed(&of.bucket_limit)),
                bytes_field(7, &packed(&of.bucket)),
            ];
            bytes_field(5, &message.concat())
        });
        let linear = if value.is_linear {
            bytes_field(9, &bytes_field(1, &bytes_field(1, LINEAR.as_bytes())))
        } else {
            Vec::new()
        };
        [bytes_field(1, value.tag.as_bytes()), histogram, linear].concat()
    }

    #[test]
    fn messages_are_read_as_they_are_written() {
        let histogram = HistogramProto {
            min: -1.0,
            max: 2.0,
            num: 3.0,
            sum_squares: 5.0,
            bucket_limit: vec![0.0, 3.0],
            bucket: vec![1.0, 2.0],
        };
        let values = vec![
            Value { tag: "a".to_owned(), histogram: Some(histogram), is_linear: false },
            Value { tag: "b".to_owned(), histogram: None, is_linear: true },
        ];
        let event = Event { wall_time: 1.5, step: -7, values, is_start: true };
        assert_eq!(Event::decode(&encoded(&event)), Ok(event));
        assert_eq!(Event::decode(b"\x2a\x05no"), Err(NoMessage));
    }
}
