//! What shapes are painted with.

use roxmltree::{Document, Node};

use crate::document::{Fault, number_or, required};

/// A colour, or colours that change upwards.
pub(crate) struct Paint {
    /// From above to below, by pixel rows; a single one is everywhere.
    stops: Vec<(f64, [u8; 3])>,
    pub(crate) opacity: f64,
}

impl Paint {
    pub(crate) fn flat(color: [u8; 3], opacity: f64) -> Self {
        Self { stops: vec![(0.0, color)], opacity }
    }

    /// The colour of a row.
    pub(crate) fn at(&self, y: f64) -> [u8; 3] {
        let next = self.stops.partition_point(|(at, _)| *at <= y);
        let (Some(&before), Some(&after)) = (self.stops.get(next.wrapping_sub(1)), self.stops.get(next)) else {
            let end = if next == 0 { self.stops.first() } else { self.stops.last() };
            return end.map_or([0; 3], |(_, color)| *color);
        };
        let weight = (y - before.0) / (after.0 - before.0);
        let mixed = |channel: usize| {
            let [low, high] = [before, after].map(|(_, color)| f64::from(color[channel]));
            (low + weight * (high - low)).round() as u8
        };
        [0, 1, 2].map(mixed)
    }
}

/// What an element is filled or stroked with, whose rows lie between two; `None` for nothing.
pub(crate) fn paint(node: Node<'_, '_>, attribute: &str, rows: (f64, f64)) -> Result<Option<Paint>, Fault> {
    let opacity = number_or(node, &format!("{attribute}-opacity"), 1.0)?;
    match node.attribute(attribute) {
        None | Some("none") => Ok(None),
        Some(reference) if reference.starts_with("url(#") => {
            let id = reference.trim_start_matches("url(#").trim_end_matches(')');
            Ok(Some(Paint { stops: stops(referred(node.document(), id, "linearGradient")?, rows)?, opacity }))
        }
        Some(color) => Ok(Some(Paint::flat(parsed(color)?, opacity))),
    }
}

/// The element of a name and kind that another refers to.
pub(crate) fn referred<'a>(document: &'a Document<'a>, id: &str, kind: &str) -> Result<Node<'a, 'a>, Fault> {
    let is_meant = |node: &Node<'_, '_>| node.has_tag_name_of(kind) && node.attribute("id") == Some(id);
    document.descendants().find(is_meant).ok_or_else(|| Fault(format!("no {kind} is called {id}")))
}

/// The stops of an upright gradient: offset 0 below, 1 above.
fn stops(gradient: Node<'_, '_>, (top, bottom): (f64, f64)) -> Result<Vec<(f64, [u8; 3])>, Fault> {
    let stop = |node: Node<'_, '_>| {
        let offset: f64 = required(node, "offset")?;
        let color = node.attribute("stop-color").ok_or_else(|| Fault("a stop without colour".to_owned()))?;
        Ok((bottom + offset * (top - bottom), parsed(color)?))
    };
    let mut stops: Vec<_> = gradient.children().filter(Node::is_element).map(stop).collect::<Result<_, Fault>>()?;
    stops.reverse();
    Ok(stops)
}

/// `#21918c`
fn parsed(color: &str) -> Result<[u8; 3], Fault> {
    let fault = || Fault(format!("colour {color:?}: expected #rrggbb"));
    let digits = color.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii()).ok_or_else(fault)?;
    let number = u32::from_str_radix(digits, 16).map_err(|_not_a_number| fault())?;
    Ok([(number >> 16) as u8, (number >> 8) as u8, number as u8])
}

/// Names of elements, whatever their namespace.
trait Named {
    fn has_tag_name_of(&self, name: &str) -> bool;
}

impl Named for Node<'_, '_> {
    fn has_tag_name_of(&self, name: &str) -> bool {
        self.tag_name().name() == name
    }
}
