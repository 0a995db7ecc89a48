//! The elements of a figure, one after the other.

use std::str::FromStr;

use roxmltree::Node;
use zeno::{Cap, Command, Fill, Join, Mask, PathBuilder, PathData, Stroke, Style, Transform};

use crate::image;
use crate::letters;
use crate::paint::{Paint, paint, referred};
use crate::pixels::Pixels;

/// Why an element cannot be drawn.
#[derive(Debug)]
pub(crate) struct Fault(pub(crate) String);

/// Draws an element and what is in it.
pub(crate) fn draw(node: Node<'_, '_>, scale: f64, pixels: &mut Pixels) -> Result<(), Fault> {
    match node.tag_name().name() {
        "svg" => draw_children(node, scale, pixels),
        "g" => draw_group(node, scale, pixels),
        "rect" => draw_shape(node, &rect(node)?[..], scale, pixels),
        "circle" => draw_shape(node, &circle(node)?[..], scale, pixels),
        "line" => draw_shape(node, &line(node)?[..], scale, pixels),
        "path" => draw_shape(node, node.attribute("d").unwrap_or_default(), scale, pixels),
        "text" => letters::draw(node, scale, pixels),
        "image" => image::draw(node, scale, pixels),
        // Words, and what others refer to.
        "desc" | "title" | "clipPath" | "linearGradient" => Ok(()),
        other => Err(Fault(format!("element {other:?} is not one of a figure"))),
    }
}

fn draw_children(node: Node<'_, '_>, scale: f64, pixels: &mut Pixels) -> Result<(), Fault> {
    node.children().filter(Node::is_element).try_for_each(|child| draw(child, scale, pixels))
}

fn draw_group(node: Node<'_, '_>, scale: f64, pixels: &mut Pixels) -> Result<(), Fault> {
    let Some(reference) = node.attribute("clip-path") else { return draw_children(node, scale, pixels) };
    let id = reference.trim_start_matches("url(#").trim_end_matches(')');
    let clip = referred(node.document(), id, "clipPath")?.first_element_child();
    let clip = clip.ok_or_else(|| Fault(format!("clip {id} is empty")))?;
    let [x, y, width, height] = box_of(clip)?.map(|side| scale * side);
    pixels.clipped((x, y, x + width, y + height), |pixels| draw_children(node, scale, pixels))
}

fn draw_shape(node: Node<'_, '_>, path: impl PathData + Copy, scale: f64, pixels: &mut Pixels) -> Result<(), Fault> {
    let rows = if node.tag_name().name() == "rect" {
        let [_, y, _, height] = box_of(node)?;
        (scale * y, scale * (y + height))
    } else {
        (0.0, 0.0)
    };
    if let Some(fill) = paint(node, "fill", rows)? {
        cover(path, Fill::NonZero, &fill, scale, pixels);
    }
    if let Some(stroke) = paint(node, "stroke", rows)? {
        let dashes = dashes(node)?;
        let mut style = Stroke::new(number_or(node, "stroke-width", 1.0)? as f32);
        style.cap(Cap::Butt).join(Join::Round);
        if !dashes.is_empty() {
            style.dash(&dashes, 0.0);
        }
        cover(path, style, &stroke, scale, pixels);
    }
    Ok(())
}

/// Paints a path that is in pixels of the figure.
pub(crate) fn cover<'a>(
    path: impl PathData,
    style: impl Into<Style<'a>>,
    paint: &Paint,
    scale: f64,
    pixels: &mut Pixels,
) {
    let scale = scale as f32;
    let (mask, place) = Mask::new(path).style(style).transform(Some(Transform::scale(scale, scale))).render();
    pixels.cover(&mask, place, paint);
}

fn dashes(node: Node<'_, '_>) -> Result<Vec<f32>, Fault> {
    let text = node.attribute("stroke-dasharray").unwrap_or_default();
    text.split_whitespace().map(|dash| parsed(node, "stroke-dasharray", dash)).collect()
}

/// Left, top, width and height.
pub(crate) fn box_of(node: Node<'_, '_>) -> Result<[f64; 4], Fault> {
    Ok([number_or(node, "x", 0.0)?, number_or(node, "y", 0.0)?, required(node, "width")?, required(node, "height")?])
}

fn rect(node: Node<'_, '_>) -> Result<Vec<Command>, Fault> {
    let [x, y, width, height] = box_of(node)?.map(|side| side as f32);
    let radius = (number_or(node, "rx", 0.0)? as f32).min(width / 2.0).min(height / 2.0);
    let mut path = Vec::new();
    if radius <= 0.0 {
        path.move_to([x, y]).line_to([x + width, y]).line_to([x + width, y + height]).line_to([x, y + height]).close();
        return Ok(path);
    }
    let (right, bottom) = (x + width, y + height);
    path.move_to([x + radius, y])
        .line_to([right - radius, y])
        .quad_to([right, y], [right, y + radius])
        .line_to([right, bottom - radius])
        .quad_to([right, bottom], [right - radius, bottom])
        .line_to([x + radius, bottom])
        .quad_to([x, bottom], [x, bottom - radius])
        .line_to([x, y + radius])
        .quad_to([x, y], [x + radius, y])
        .close();
    Ok(path)
}

fn circle(node: Node<'_, '_>) -> Result<Vec<Command>, Fault> {
    let (x, y, radius): (f32, f32, f32) = (required(node, "cx")?, required(node, "cy")?, required(node, "r")?);
    let mut path = Vec::new();
    path.add_circle([x, y], radius);
    Ok(path)
}

fn line(node: Node<'_, '_>) -> Result<Vec<Command>, Fault> {
    let [x1, y1, x2, y2] = ["x1", "y1", "x2", "y2"].map(|name| required::<f32>(node, name));
    let mut path = Vec::new();
    path.move_to([x1?, y1?]).line_to([x2?, y2?]);
    Ok(path)
}

/// A side of the page, in pixels.
pub(crate) fn length(node: Node<'_, '_>, name: &str) -> Result<f64, Fault> {
    required(node, name)
}

pub(crate) fn required<T: FromStr>(node: Node<'_, '_>, name: &str) -> Result<T, Fault> {
    let text = node.attribute(name).ok_or_else(|| Fault(format!("{} without {name}", node.tag_name().name())))?;
    parsed(node, name, text)
}

pub(crate) fn number_or(node: Node<'_, '_>, name: &str, usual: f64) -> Result<f64, Fault> {
    node.attribute(name).map_or(Ok(usual), |text| parsed(node, name, text))
}

fn parsed<T: FromStr>(node: Node<'_, '_>, name: &str, text: &str) -> Result<T, Fault> {
    let fault = |_not_a_number| Fault(format!("{name} of {}: {text:?}: expected a number", node.tag_name().name()));
    text.parse().map_err(fault)
}
