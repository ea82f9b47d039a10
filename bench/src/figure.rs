//! One measured thing: its values, those of what it is compared with, and the aim.

use serde_json::{Value, json};

/// What is good enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Aim {
    /// The ratio must be this or more.
    RatioAtLeast(f64),
    /// The ratio must be this or less.
    RatioAtMost(f64),
    /// The median must be this or less.
    AtMost(f64),
    /// Each value must be this or less.
    EachAtMost(f64),
}

/// What something is compared with.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its values: as many as the other has, from the same rounds; or one, for an ideal.
    pub(crate) values: Vec<f64>,
}

/// One measured thing.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) measured: Vec<f64>,
    pub(crate) reference: Reference,
    pub(crate) aim: Option<Aim>,
}

impl Figure {
    /// The value over the reference's, round by round: neighbours in time, so that the machine's drift cancels.
    fn ratios(&self) -> Vec<f64> {
        let reference = self.reference.values.iter().cycle();
        self.measured.iter().zip(reference).map(|(measured, reference)| measured / reference).collect()
    }

    /// The median ratio, and the least and the greatest.
    pub(crate) fn ratio(&self) -> (f64, f64, f64) {
        let ratios = self.ratios();
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (median(&ratios), least, greatest)
    }

    /// Whether the aim is met, where there is one.
    pub(crate) fn met(&self) -> Option<bool> {
        let (ratio, ..) = self.ratio();
        self.aim.map(|aim| match aim {
            Aim::RatioAtLeast(least) => ratio >= least,
            Aim::RatioAtMost(most) => ratio <= most,
            Aim::AtMost(most) => median(&self.measured) <= most,
            Aim::EachAtMost(most) => self.measured.iter().all(|value| *value <= most),
        })
    }

    /// The aim in words.
    pub(crate) fn aim_text(&self) -> String {
        let unit = self.unit;
        match self.aim {
            None => String::new(),
            Some(Aim::RatioAtLeast(ratio)) => format!("≥ {ratio:?}×"),
            Some(Aim::RatioAtMost(ratio)) => format!("≤ {ratio:?}×"),
            Some(Aim::AtMost(most)) => format!("≤ {most} {unit}"),
            Some(Aim::EachAtMost(most)) => format!("≤ {most} {unit}, each time"),
        }
    }

    /// All of it.
    pub(crate) fn to_json(&self) -> Value {
        let (ratio, least, greatest) = self.ratio();
        json!({
            "what": self.what,
            "unit": self.unit,
            "measured": { "median": median(&self.measured), "rounds": self.measured },
            "reference": {
                "name": self.reference.name,
                "median": median(&self.reference.values),
                "rounds": self.reference.values,
            },
            "ratio": { "median": ratio, "least": least, "greatest": greatest },
            "aim": self.aim_text(),
            "met": self.met(),
        })
    }
}

/// The middle value; of an even number of values, the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (count, middle) if count % 2 == 1 => sorted[middle],
        (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(measured: &[f64], reference: &[f64], aim: Aim) -> Figure {
        let reference = Reference { name: "nginx", values: reference.to_vec() };
        Figure { what: "x".into(), unit: "ms", measured: measured.to_vec(), reference, aim: Some(aim) }
    }

    #[test]
    fn the_median_ignores_one_bad_round() {
        assert_eq!(median(&[3.0, 900.0, 1.0]), 3.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn ratios_pair_the_rounds_and_an_ideal_serves_all_of_them() {
        let paired = figure(&[2.0, 40.0, 6.0], &[1.0, 10.0, 2.0], Aim::RatioAtMost(3.0));
        assert_eq!(paired.ratio(), (3.0, 2.0, 4.0));
        assert_eq!(figure(&[60.0, 55.0, 100.0], &[50.0], Aim::RatioAtMost(1.0)).ratio(), (1.2, 1.1, 2.0));
    }

    #[test]
    fn an_aim_is_met_or_not() {
        let (measured, reference) = (&[1.0, 1.0, 9.0], &[2.0]);
        for (aim, met) in [
            (Aim::RatioAtLeast(0.5), true),
            (Aim::RatioAtLeast(0.51), false),
            (Aim::RatioAtMost(0.49), false),
            (Aim::AtMost(1.0), true),
            (Aim::EachAtMost(1.0), false),
        ] {
            assert_eq!(figure(measured, reference, aim).met(), Some(met), "{aim:?}");
        }
    }
}
