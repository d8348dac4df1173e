//! The canary: weights that are kept, and kept anew after an edit.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::requests::CATALOG;
use super::tool::curl_many;
use super::{Outcome, Site};

/// Requests in one sample.
const SAMPLE: u32 = 300;
/// How long an edit may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// 90/10 as the YAML says, then 50/50 after an edit. The bounds lie more than four standard
/// deviations around what is expected.
pub async fn split(site: &Site) -> Outcome {
    let first = second_version(site).await?;
    ensure!((8..=52).contains(&first), "{first} of {SAMPLE} went to v2, expected about 30");

    site.folders
        .edit("50-routes.yaml", &[("weight: 90", "weight: 50"), ("weight: 10", "weight: 50")])?;
    let edited = Instant::now();
    loop {
        let then = second_version(site).await?;
        if (114..=186).contains(&then) {
            return Ok(format!("{first} of {SAMPLE}, then {then} of {SAMPLE} went to v2"));
        }
        ensure!(
            edited.elapsed() < PATIENCE,
            "{then} of {SAMPLE} went to v2 after the edit, expected about 150"
        );
    }
}

async fn second_version(site: &Site) -> anyhow::Result<usize> {
    let inside = site.seen_from("visitor", "catalog")?;
    let answers = curl_many(inside, CATALOG, "/", SAMPLE).await?;
    ensure!(
        answers.len() == SAMPLE as usize && answers.iter().all(|(status, _)| *status == 200),
        "not all of {SAMPLE} requests were answered with 200"
    );
    Ok(answers.iter().filter(|(_, body)| body == "catalog v2").count())
}
