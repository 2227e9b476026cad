//! `psstat check`: shows what a job would measure, and measures nothing.

use crate::error::Error;
use crate::files::output;
use crate::job::Job;
use crate::messages::Messages;

/// Prints what the job would measure, and warns of mistakes. That there is a job means that command line and file are
/// valid.
///
/// # Errors
/// If standard output cannot be written.
pub fn run(job: &Job) -> Result<(), Error> {
    output::print(summary(job).as_bytes())?;
    let mut messages = Messages::default();
    messages.warn_of(&job.mistakes);
    messages.write();
    Ok(())
}

/// Selector by selector, with the tags of its lines. An option that has slipped below `[tags]` is
/// visible there.
pub fn summary(job: &Job) -> String {
    let plan = &job.plan;
    let mut text = String::from("valid; psstat would measure\n");
    for (selector, tags) in plan.selectors.iter().zip(&plan.tags) {
        let tags: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        text += &format!("  {selector}\n    tags: {}\n", tags.join(", "));
    }
    let fields: Vec<&str> = plan.fields.as_slice().iter().map(|field| field.name()).collect();
    text += &format!("  fields: {}; memory: {}\n", fields.join(", "), plan.memory.name());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Invocation, parse};
    use crate::files::config::ReadConfigError;
    use crate::settings::Surroundings;
    use std::ffi::OsString;

    #[test]
    fn a_summary_has_selectors_tags_fields_and_memory() {
        let surroundings = Surroundings::made_up(|_| Err(ReadConfigError::TooLong));
        let args = ["psstat", "check", "--pattern=web:nginx", "--tag=env=x", "--pid=7"];
        let Ok(Invocation::Check(job)) = parse(args.map(OsString::from), &surroundings) else {
            panic!("not checked")
        };
        assert_eq!(
            summary(&job),
            "valid; psstat would measure\n  web: pattern nginx\n    tags: host=tengu, env=x\n  (by \
             their own names): pid 7\n    tags: host=tengu, env=x\n  fields: p_cpu, p_mem, n_proc; \
             memory: auto\n"
        );
    }
}
