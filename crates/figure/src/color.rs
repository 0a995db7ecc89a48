//! Colours: two themes, a scale of density, and curves that are told apart.

use std::str::FromStr;

/// Light or dark ground.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// Dark on white, for paper.
    #[default]
    Light,
    /// Light on dark, for screens and slides.
    Dark,
}

impl FromStr for Theme {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "light" => Ok(Self::Light),
            "dark" => Ok(Self::Dark),
            other => Err(format!("theme {other:?}: expected light or dark")),
        }
    }
}

/// The colours of a theme, as the HTML report has them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Colors {
    pub(crate) ground: &'static str,
    pub(crate) text: &'static str,
    pub(crate) muted: &'static str,
    pub(crate) line: &'static str,
    pub(crate) grid: &'static str,
    pub(crate) series: &'static str,
    pub(crate) accent: &'static str,
    pub(crate) band: &'static str,
    pub(crate) band_opacity: f64,
    /// Of what lies outside the search space in a heat map.
    pub(crate) veil_opacity: f64,
    /// Of several curves.
    pub(crate) curves: [&'static str; 6],
}

/// Curves that follow Okabe & Ito's choice, so that they differ for colour-blind eyes; on the light ground those that are
/// too pale for lines are darkened.
const LIGHT: Colors = Colors {
    ground: "#ffffff",
    text: "#16202c",
    muted: "#55606e",
    line: "#9aa4b1",
    grid: "#e6eaef",
    series: "#2c728e",
    accent: "#c2410c",
    band: "#1f5f96",
    band_opacity: 0.10,
    veil_opacity: 0.45,
    curves: ["#0072b2", "#b8790a", "#00805d", "#b0568a", "#2a2f36", "#6a51a3"],
};

const DARK: Colors = Colors {
    ground: "#181f27",
    text: "#e8edf3",
    muted: "#9fabba",
    line: "#5b6775",
    grid: "#2a333e",
    series: "#4fb3c8",
    accent: "#ff9a57",
    band: "#a5cdf2",
    band_opacity: 0.13,
    veil_opacity: 0.5,
    curves: ["#56b4e9", "#f0b232", "#2fbf95", "#e39bc6", "#e8edf3", "#b3a4e0"],
};

impl Theme {
    pub(crate) fn colors(self) -> Colors {
        match self {
            Self::Light => LIGHT,
            Self::Dark => DARK,
        }
    }
}

/// Viridis at ninths; what lies between is mixed.
const VIRIDIS: [[u8; 3]; 9] = [
    [0x44, 0x01, 0x54],
    [0x47, 0x2d, 0x7b],
    [0x3b, 0x52, 0x8b],
    [0x2c, 0x72, 0x8e],
    [0x21, 0x91, 0x8c],
    [0x28, 0xae, 0x80],
    [0x5e, 0xc9, 0x62],
    [0xad, 0xdc, 0x30],
    [0xfd, 0xe7, 0x25],
];

/// The colour of a share in `[0, 1]` of the scale of density: the more, the farther from the ground.
///
/// # Examples
/// ```
/// use epsiloscope_figure::{Theme, density_color};
///
/// assert_eq!(density_color(1.0, Theme::Dark), [0xfd, 0xe7, 0x25]);
/// assert_eq!(density_color(1.0, Theme::Light), [0x44, 0x01, 0x54]);
/// ```
pub fn density_color(share: f64, theme: Theme) -> [u8; 3] {
    let share = share.clamp(0.0, 1.0);
    let share = if theme == Theme::Light { 1.0 - share } else { share };
    let place = share * (VIRIDIS.len() - 1) as f64;
    let below = (place as usize).min(VIRIDIS.len() - 2);
    let weight = place - below as f64;
    let mixed = |channel: usize| {
        let [low, high] = [below, below + 1].map(|stop| f64::from(VIRIDIS[stop][channel]));
        (low + weight * (high - low)).round() as u8
    };
    [0, 1, 2].map(mixed)
}

/// `#21918c`
pub(crate) fn hex([red, green, blue]: [u8; 3]) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance, WCAG 2.
    fn luminance(color: [u8; 3]) -> f64 {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(color[0]) + 0.7152 * linear(color[1]) + 0.0722 * linear(color[2])
    }

    fn parsed(hex: &str) -> [u8; 3] {
        [1, 3, 5].map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
    }

    /// Read without colour, more is farther from the ground.
    #[test]
    fn lightness_alone_orders_densities() {
        for (theme, sign) in [(Theme::Dark, 1.0), (Theme::Light, -1.0)] {
            let lightness: Vec<f64> =
                (0..=100).map(|step| sign * luminance(density_color(f64::from(step) / 100.0, theme))).collect();
            assert!(lightness.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    /// WCAG 2: text 4.5, what is drawn 3.
    #[test]
    fn everything_stands_out_from_the_ground() {
        for theme in [Theme::Light, Theme::Dark] {
            let colors = theme.colors();
            let contrast = |hex: &str| {
                let (a, b) = (luminance(parsed(hex)), luminance(parsed(colors.ground)));
                (a.max(b) + 0.05) / (a.min(b) + 0.05)
            };
            for text in [colors.text, colors.muted, colors.accent, colors.band] {
                assert!(contrast(text) >= 4.5, "{text}: {}", contrast(text));
            }
            for line in colors.curves.into_iter().chain([colors.series]) {
                assert!(contrast(line) >= 3.0, "{line}: {}", contrast(line));
            }
        }
    }
}
