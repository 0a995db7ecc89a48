//! Axes: lines, ticks, labels.

use crate::canvas::{Anchor, Canvas, Lettering, Rect};
use crate::font::Face;
use crate::scale::{Scale, decade_ticks, linear_ticks, written};
use crate::text::Text;

/// Of labels at ticks.
pub(crate) const TICK_SIZE: f64 = 10.5;
/// Of what an axis shows.
pub(crate) const LABEL_SIZE: f64 = 11.5;
const TICK_LENGTH: f64 = 4.0;
/// Between labels side by side, and below each other.
const APART: (f64, f64) = (34.0, 20.0);

/// On which side of a plot an axis is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Bottom,
    Left,
}

/// A place on an axis, and what is written there.
pub(crate) struct Tick {
    pub(crate) at: f64,
    pub(crate) label: Text,
}

/// A logarithmic scale of some whole decades.
pub(crate) fn decades((low, high): (i32, i32), pixels: (f64, f64)) -> Scale {
    Scale { domain: (f64::from(low), f64::from(high)), pixels }
}

/// Powers of ten; those without room for a label have a shorter tick.
pub(crate) fn log_axis(canvas: &mut Canvas, side: Side, plot: Rect, scale: Scale, label: &Text) {
    let range = (scale.domain.0 as i32, scale.domain.1 as i32);
    let labelled = decade_ticks(range, scale.length(), if side == Side::Bottom { APART.0 } else { APART.1 });
    let ticks = labelled
        .iter()
        .map(|&exponent| Tick { at: scale.at(f64::from(exponent)), label: Text::default().power(exponent) });
    let ticks: Vec<Tick> = ticks.collect();
    let all = decade_ticks(range, scale.length(), 5.0);
    let others = all.into_iter().filter(|exponent| !labelled.contains(exponent));
    let minor: Vec<f64> = others.map(|exponent| scale.at(f64::from(exponent))).collect();
    axis(canvas, side, plot, &ticks, &minor, label);
}

/// Round values.
pub(crate) fn linear_axis(canvas: &mut Canvas, side: Side, plot: Rect, scale: Scale, label: &Text) {
    let apart = if side == Side::Bottom { 2.0 * APART.0 } else { 1.6 * APART.1 };
    let about = (scale.length() / apart).clamp(1.0, 8.0) as usize;
    let values = linear_ticks(scale.domain.0, scale.domain.1, about);
    let tick = |&value: &f64| Tick { at: scale.at(value), label: Text::from(written(value).as_str()) };
    let ticks: Vec<Tick> = values.iter().map(tick).collect();
    axis(canvas, side, plot, &ticks, &[], label);
}

/// Lines across the plot at round values of its left axis.
pub(crate) fn grid(canvas: &mut Canvas, plot: Rect, scale: Scale) {
    let about = (scale.length() / (1.6 * APART.1)).clamp(1.0, 8.0) as usize;
    let color = canvas.colors.grid;
    canvas.group("grid", |canvas| {
        for value in linear_ticks(scale.domain.0, scale.domain.1, about) {
            let y = scale.at(value);
            canvas.line("rule", (plot.x, y), (plot.right(), y), color, &[]);
        }
    });
}

/// An axis with ticks at given places, and what it shows.
pub(crate) fn axis(canvas: &mut Canvas, side: Side, plot: Rect, ticks: &[Tick], minor: &[f64], label: &Text) {
    let class = match side {
        Side::Bottom => "x axis",
        Side::Left => "y axis",
    };
    let color = canvas.colors.line;
    canvas.group(class, |canvas| {
        let (from, to) = match side {
            Side::Bottom => ((plot.x, plot.bottom()), (plot.right(), plot.bottom())),
            Side::Left => ((plot.x, plot.y), (plot.x, plot.bottom())),
        };
        canvas.line("base", from, to, color, &[]);
        for &at in minor {
            draw_tick(canvas, side, plot, at, 0.6 * TICK_LENGTH, "minor");
        }
        for tick in ticks {
            draw_tick(canvas, side, plot, tick.at, TICK_LENGTH, "tick");
            draw_tick_label(canvas, side, plot, tick);
        }
        draw_label(canvas, side, plot, label);
    });
}

fn draw_tick(canvas: &mut Canvas, side: Side, plot: Rect, at: f64, length: f64, class: &str) {
    let (from, to) = match side {
        Side::Bottom => ((at, plot.bottom()), (at, plot.bottom() + length)),
        Side::Left => ((plot.x - length, at), (plot.x, at)),
    };
    let color = canvas.colors.line;
    canvas.line(class, from, to, color, &[]);
}

fn draw_tick_label(canvas: &mut Canvas, side: Side, plot: Rect, tick: &Tick) {
    let middle = tick.at + 0.36 * TICK_SIZE;
    let (place, anchor) = match side {
        Side::Bottom => ((tick.at, plot.bottom() + TICK_LENGTH + 12.0), Anchor::Middle),
        Side::Left => ((plot.x - TICK_LENGTH - 3.0, middle), Anchor::End),
    };
    let color = canvas.colors.muted;
    canvas.text(&tick.label, place, Lettering::new(TICK_SIZE, color, anchor));
}

fn draw_label(canvas: &mut Canvas, side: Side, plot: Rect, label: &Text) {
    let room = if side == Side::Bottom { plot.width + 40.0 } else { plot.height + 20.0 };
    let cut = label.cut(room, LABEL_SIZE, Face::Regular);
    let (center, middle) = (plot.x + plot.width / 2.0, plot.y + plot.height / 2.0);
    let place = match side {
        Side::Bottom => (center, plot.bottom() + 35.0),
        Side::Left => (plot.x - 40.0, middle),
    };
    let color = canvas.colors.muted;
    let upwards = side != Side::Bottom;
    canvas.text(&cut, place, Lettering { upwards, ..Lettering::new(LABEL_SIZE, color, Anchor::Middle) });
}
