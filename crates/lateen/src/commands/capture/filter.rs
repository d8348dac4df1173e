//! The two packet filters: reading what they have, writing what is wanted.

use anyhow::Context;
use lateen_capture::model::{Family, Rule};
use lateen_capture::standing::Standing;
use lateen_capture::{iptables, nftables};

use super::program;

/// How the rules are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Filter {
    /// With iptables-restore.
    Iptables,
    /// With nft.
    Nftables,
}

/// Rules that are read, and the way from there to those that are wanted.
struct Plan {
    /// What they are called.
    name: &'static str,
    standing: Standing,
    /// The program that changes them.
    program: &'static str,
    arguments: &'static [&'static str],
    /// What it reads.
    input: String,
}

impl Filter {
    pub(in crate::commands) fn chosen(nftables: bool) -> Self {
        if nftables { Self::Nftables } else { Self::Iptables }
    }

    /// Makes `wanted` all that there is of ours, says what it does, and looks whether it came so.
    pub(super) fn apply(self, known: &[Rule], wanted: &[Rule]) -> anyhow::Result<()> {
        for plan in self.plans(known, wanted)? {
            if plan.standing == Standing::InPlace {
                println!("{}: nothing to do", plan.name);
                continue;
            }
            println!("{} {}, reading:", plan.program, plan.arguments.join(" "));
            for line in plan.input.lines() {
                println!("  {line}");
            }
            program::run(plan.program, plan.arguments, &plan.input)?;
        }
        for plan in self.plans(known, wanted)? {
            let Standing::Differs(differences) = &plan.standing else { continue };
            let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
            anyhow::bail!(
                "{} has something else than it was told; others may write rules at the same time: {}",
                plan.name,
                differences.join("; ")
            );
        }
        Ok(())
    }

    /// Whether `wanted` is all that there is of ours; says what is not as wanted.
    pub(super) fn check(self, known: &[Rule], wanted: &[Rule]) -> anyhow::Result<bool> {
        let mut in_place = true;
        for plan in self.plans(known, wanted)? {
            match plan.standing {
                Standing::InPlace => println!("{}: in place", plan.name),
                Standing::Absent => println!("{}: nothing of it is there", plan.name),
                Standing::Differs(ref differences) => {
                    for difference in differences {
                        println!("{}: {difference}", plan.name);
                    }
                }
            }
            in_place &= plan.standing == Standing::InPlace;
        }
        Ok(in_place)
    }

    fn plans(self, known: &[Rule], wanted: &[Rule]) -> anyhow::Result<Vec<Plan>> {
        match self {
            Self::Iptables => {
                let mut plans = Vec::new();
                for family in Family::BOTH {
                    plans.extend(iptables_plan(known, wanted, family)?);
                }
                Ok(plans)
            }
            Self::Nftables => Ok(vec![nftables_plan(wanted)?]),
        }
    }
}

/// `None` for a family that the kernel does not have and that nothing is wanted of.
fn iptables_plan(known: &[Rule], wanted: &[Rule], family: Family) -> anyhow::Result<Option<Plan>> {
    let needed = wanted.iter().any(|rule| rule.is_of(family));
    let saved = match program::run(iptables::save_program(family), &[], "") {
        Ok(text) => iptables::Saved::parse(&text),
        Err(_) if !needed && family == Family::V6 => return Ok(None),
        Err(error) => return Err(error).context("the rules cannot be read"),
    };
    Ok(Some(Plan {
        name: match family {
            Family::V4 => "iptables",
            Family::V6 => "ip6tables",
        },
        standing: iptables::compare(known, wanted, family, &saved),
        program: iptables::restore_program(family),
        arguments: &["--noflush"],
        input: iptables::change(known, wanted, family, &saved),
    }))
}

fn nftables_plan(wanted: &[Rule]) -> anyhow::Result<Plan> {
    // Priorities as numbers; all else by name.
    let text = program::run("nft", &["-y", "list", "ruleset", "inet"], "")
        .context("the rules cannot be read")?;
    let listing = nftables::Listing::parse(&text);
    Ok(Plan {
        name: "nftables",
        standing: nftables::compare(wanted, &listing),
        program: "nft",
        arguments: &["-f", "-"],
        input: nftables::change(wanted, &listing),
    })
}
