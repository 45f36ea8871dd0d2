//! Plots as SVG: how a figure grows, ours and its peers', beside the goals.

use std::collections::BTreeMap;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use crate::statistics::{amount, number};

const SIZE: (u32, u32) = (720, 420);
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 90, 181),
    RGBColor(120, 120, 120),
    RGBColor(220, 50, 32),
    RGBColor(0, 140, 90),
    RGBColor(180, 110, 0),
    RGBColor(130, 60, 160),
    RGBColor(0, 150, 170),
    RGBColor(90, 60, 30),
];
const GOAL: RGBColor = RGBColor(0, 0, 0);
/// Values that lie further apart than this are drawn on a logarithmic scale.
const LINEAR_MAX: f64 = 20.0;
/// Above the highest value there is room for the legend.
const HEADROOM: f64 = 1.5;

/// A plot before it is drawn: points by the value along the lower edge.
#[derive(Debug, Default)]
pub(super) struct Plot {
    pub(super) title: String,
    pub(super) axis: String,
    /// By subject, in the order of the legend.
    pub(super) lines: Vec<(String, BTreeMap<u64, f64>)>,
    /// What is to be reached.
    pub(super) goals: BTreeMap<u64, f64>,
}

type Fault = DrawingAreaErrorKind<std::io::Error>;

impl Plot {
    /// Whether there is anything to be seen of growth.
    pub(super) fn grows(&self) -> bool {
        self.lines.iter().any(|(_, points)| points.len() > 1)
    }

    /// Draws it.
    pub(super) fn svg(&self) -> String {
        let mut svg = String::new();
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        // Text in memory takes whatever is drawn.
        let drawn = self.draw(&root).map_err(|fault| fault.to_string());
        debug_assert_eq!(drawn, Ok(()));
        drop(root);
        svg
    }

    fn draw(&self, root: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), String> {
        let values =
            || self.lines.iter().flat_map(|(_, points)| points.values()).chain(self.goals.values()).copied();
        let max = values().fold(0.0, f64::max).max(1e-9);
        let min = values().filter(|value| *value > 0.0).fold(max, f64::min);
        let outcome = if max / min > LINEAR_MAX {
            self.draw_with(root, (min / 1.5..max * HEADROOM * HEADROOM).log_scale())
        } else {
            self.draw_with(root, 0.0..max * HEADROOM)
        };
        outcome.map_err(|fault| fault.to_string())
    }

    fn draw_with<Y>(&self, root: &DrawingArea<SVGBackend<'_>, Shift>, y: Y) -> Result<(), Fault>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        let xs = || self.lines.iter().flat_map(|(_, points)| points.keys()).map(|x| place(*x));
        let (first, last) = (xs().fold(f64::MAX, f64::min), xs().fold(f64::MIN, f64::max));
        let x = (first / 1.3..last * 1.3).log_scale();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(root)
            .caption(&self.title, ("sans-serif", 17))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(84)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc(&self.axis)
            .x_label_formatter(&|x| tick(*x))
            .y_label_formatter(&|y| number(*y))
            .draw()?;
        for ((name, points), colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let line = || points.iter().map(|(x, y)| (place(*x), *y));
            let style = ShapeStyle::from(colour).stroke_width(2);
            chart
                .draw_series(LineSeries::new(line(), style).point_size(3))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        if !self.goals.is_empty() {
            let marks =
                self.goals.iter().map(|(x, y)| TriangleMarker::new((place(*x), *y), 6, GOAL.filled()));
            chart
                .draw_series(marks)?
                .label("goal")
                .legend(|(x, y)| TriangleMarker::new((x + 9, y), 6, GOAL.filled()));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .border_style(RGBColor(200, 200, 200))
            .draw()?;
        root.present()
    }
}

/// What stands at a mark of the lower edge.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "marks lie between counts")]
fn tick(x: f64) -> String {
    amount(x.round() as u64)
}

/// Where a value lies on a logarithmic scale, on which there is no zero.
fn place(value: u64) -> f64 {
    value.max(1) as f64
}
