//! What was measured, as a table for people or one JSON document for programs.

use std::{fmt, fs};

use serde::Serialize;

use crate::Result;

/// One measured figure, beside its floor and its bound where it has them.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    what: String,
    unit: &'static str,
    product: f64,
    floor: Option<f64>,
    ratio: Option<f64>,
    bound: Option<Bound>,
    pass: Option<bool>,
}

/// What the figure or its ratio to the floor must not exceed.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Bound {
    Ratio(f64),
    Figure(f64),
}

impl Line {
    /// A figure of the product.
    pub(crate) fn new(what: impl Into<String>, unit: &'static str, product: f64) -> Self {
        let what = what.into();
        Self {
            what,
            unit,
            product,
            floor: None,
            ratio: None,
            bound: None,
            pass: None,
        }
    }

    /// What the machine can do, in the same unit.
    pub(crate) fn beside(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self.ratio = Some(self.product / floor);
        self
    }

    /// The ratio must be at most this.
    pub(crate) fn at_most_times(mut self, bound: f64) -> Self {
        self.bound = Some(Bound::Ratio(bound));
        self.pass = self.ratio.map(|ratio| ratio <= bound);
        self
    }

    /// The figure must be at most this.
    pub(crate) fn at_most(mut self, bound: f64) -> Self {
        self.bound = Some(Bound::Figure(bound));
        self.pass = Some(self.product <= bound);
        self
    }
}

/// All that was measured in one run, and where.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    date: String,
    quick: bool,
    machine: Machine,
    postgresql: String,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Machine {
    cpu: String,
    cores: usize,
    memory_mib: u64,
    kernel: String,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    lines: Vec<Line>,
}

impl Report {
    pub(crate) fn new(quick: bool, postgresql: String) -> Self {
        let date = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M %Z").to_string();
        Self {
            date,
            quick,
            machine: Machine::this(),
            postgresql,
            rows: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, name: &str, mut lines: Vec<Line>) {
        if self.quick {
            // Bounds are for the numbers of a full run.
            for line in &mut lines {
                line.pass = None;
            }
        }
        let name = name.to_owned();
        self.rows.push(Row { name, lines });
    }

    pub(crate) fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)?)
    }
}

impl Machine {
    fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':'))
                .map_or("?".into(), |(_, v)| v.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
        Self {
            cpu: field(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_mib: kib / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine {
            cpu,
            cores,
            memory_mib,
            kernel,
        } = &self.machine;
        let quick = if self.quick {
            "; QUICK: these figures mean nothing"
        } else {
            ""
        };
        writeln!(
            f,
            "{}; {cores} x {cpu}, {memory_mib} MiB, Linux {kernel}, {}{quick}",
            self.date, self.postgresql
        )?;
        let heads = [
            "row", "what", "unit", "product", "floor", "ratio", "bound", "",
        ];
        let mut cells = vec![heads.map(str::to_owned)];
        for row in &self.rows {
            cells.extend(row.lines.iter().map(|line| line.cells(&row.name)));
        }
        let width = |column: usize| {
            cells
                .iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: [usize; 8] = std::array::from_fn(width);
        for row in &cells {
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                // Texts to the left, numbers to the right.
                match column {
                    0..3 | 7 => write!(f, "{cell:<width$}  ")?,
                    _ => write!(f, "{cell:>width$}  ")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl Line {
    fn cells(&self, row: &str) -> [String; 8] {
        let number = |value: Option<f64>| value.map_or(String::new(), digits);
        let bound = match self.bound {
            Some(Bound::Ratio(bound)) => format!("<= {bound} x"),
            Some(Bound::Figure(bound)) => format!("<= {}", digits(bound)),
            None => String::new(),
        };
        let verdict = match self.pass {
            Some(true) => "pass",
            Some(false) => "MISS",
            None => "",
        };
        [
            row.to_owned(),
            self.what.clone(),
            self.unit.to_owned(),
            digits(self.product),
            number(self.floor),
            self.ratio.map_or(String::new(), |ratio| match ratio {
                tiny if tiny < 0.01 => format!("{tiny:.5}"),
                _ => format!("{ratio:.2}"),
            }),
            bound,
            verdict.to_owned(),
        ]
    }
}

/// Four significant digits where there is a fraction to show.
fn digits(value: f64) -> String {
    match value.abs() {
        whole if whole >= 1000.0 || value.fract() == 0.0 => format!("{value:.0}"),
        hundreds if hundreds >= 100.0 => format!("{value:.1}"),
        tens if tens >= 10.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
