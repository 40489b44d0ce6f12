//! The command line: commands and options, and what is said of those that do not exist.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::bounds;
use crate::headless::changes::Changes;
use crate::headless::exit::{self, Usage};
use crate::headless::{
    check, compare, completions, cost, eval, export, fit, lessons, minima, presets, sweep, tell, train, verify,
};
use crate::preset;
use crate::train::DeviceChoice;
use crate::tui::capabilities::{BackgroundChoice, ColorChoice, Palette};
use crate::tui::glyphs::GlyphChoice;

/// Watch sequence models learn gradient descent inside their forward pass.
///
/// Without a command the lab opens: on a preset or a session if one is named, else on its gallery.
#[derive(Debug, Parser)]
#[command(name = "innerloop", version = env!("INNERLOOP_VERSION"), args_conflicts_with_subcommands = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 128+n ended by signal n.")]
pub struct Cli {
    #[command(flatten)]
    pub lab: Lab,
    /// Record what the program does in this file, for a report of a fault
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub log: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Every command there is. A new one is a file in `headless` and a variant here.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Open the lab on a preset or a session, and train
    #[command(after_help = "Example: innerloop run gd-ssm --set task.dim=5")]
    Run(Lab),
    /// Open a lesson: a question, and the experiment that settles it
    #[command(after_help = "Example: innerloop lesson one-step")]
    Lesson(OpenLesson),
    /// Watch a run that is trained elsewhere, without changing it
    #[command(after_help = "Example: innerloop watch saves/gd-ssm.ron")]
    Watch(Watch),
    Train(train::Options),
    Eval(eval::Options),
    Sweep(sweep::Options),
    Compare(compare::Options),
    Export(export::Options),
    Fit(fit::Options),
    Minima(minima::Options),
    Cost(cost::Options),
    Lessons(lessons::Options),
    Presets(presets::Options),
    Check(check::Options),
    Verify(verify::Options),
    Completions(completions::Options),
    /// Print the manual page
    Man,
}

/// What the lab opens on, and how it runs.
#[derive(Args, Clone, Debug)]
pub struct Lab {
    /// A preset's name, or the path of a preset or a session; up to four train at once; or the folder of a sweep;
    /// without any, the gallery
    #[arg(value_name = "PRESET|SESSION", num_args = 0..=4, add = completions::presets_and_files())]
    pub what: Vec<String>,
    #[command(flatten)]
    pub changes: Changes,
    #[command(flatten)]
    pub locations: Locations,
    #[command(flatten)]
    pub appearance: Appearance,
}

/// Where the lab computes, and where it saves.
#[derive(Args, Clone, Debug)]
pub struct Locations {
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto", add = completions::devices())]
    pub device: DeviceChoice,
    /// The folder of saved sessions, and of the answers to lessons
    #[arg(long, value_name = "DIR", env = "INNERLOOP_SAVES", default_value = "saves")]
    #[arg(value_hint = clap::ValueHint::DirPath)]
    pub saves: PathBuf,
}

/// How the screen looks.
#[derive(Args, Clone, Debug)]
pub struct Appearance {
    /// How many colours to use
    #[arg(long, value_enum, value_name = "COLORS", default_value_t)]
    pub color: ColorChoice,
    /// The terminal's background, for heatmaps
    #[arg(long, value_enum, value_name = "BACKGROUND", default_value_t)]
    pub background: BackgroundChoice,
    /// The characters to use; auto chooses by the locale
    #[arg(long, value_enum, value_name = "GLYPHS", default_value_t)]
    pub glyphs: GlyphChoice,
    /// The colours of heatmaps
    #[arg(long, value_enum, value_name = "PALETTE", default_value_t)]
    pub palette: Palette,
    /// Show little, and large, for a projector
    #[arg(long)]
    pub projector: bool,
    /// Use the mouse: a click chooses a pane, the wheel moves. The terminal then selects no text
    #[arg(long)]
    pub mouse: bool,
}

/// Which lesson is opened, and how it runs.
#[derive(Args, Clone, Debug)]
pub struct OpenLesson {
    /// A lesson's name, or the path of its file
    #[arg(value_name = "LESSON", add = completions::lessons_and_files())]
    pub lesson: String,
    #[command(flatten)]
    pub locations: Locations,
    #[command(flatten)]
    pub appearance: Appearance,
}

/// What is watched, and how it is shown.
#[derive(Args, Clone, Debug)]
pub struct Watch {
    /// The path of a session, or a folder: the session in it that was saved last, also in the folder of a sweep
    #[arg(value_name = "FILE|DIR", add = completions::session_files())]
    pub what: PathBuf,
    /// Where to compute what is shown: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto", add = completions::devices())]
    pub device: DeviceChoice,
    #[command(flatten)]
    pub appearance: Appearance,
}

/// The arguments in the order that clap parses: options that stand before the command are moved behind it.
pub fn in_order(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = Cli::command();
    let takes_value = |option: &str| {
        let all = std::iter::once(&cli).chain(cli.get_subcommands()).flat_map(clap::Command::get_arguments);
        all.filter(|argument| argument.get_long() == Some(option)).any(|argument| argument.get_action().takes_values())
    };
    let mut place = 1;
    while let Some(word) = arguments.get(place).and_then(|word| word.to_str()) {
        match word.strip_prefix("--") {
            Some("") => break,
            Some(option) if !option.contains('=') && takes_value(option) => place += 2,
            Some(_) => place += 1,
            None if cli.find_subcommand(word).is_some() => {
                arguments[1..=place].rotate_right(1);
                break;
            }
            None => break,
        }
    }
    arguments
}

/// Prints what is wrong with a command line, or the help that it asks for, and returns the exit code.
pub fn refuse(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    // `innerloop trian gd-ssm`: clap complains of the second word, but the first is wrong.
    let first = arguments.get(1).and_then(|word| word.to_str()).filter(|word| !word.starts_with('-'));
    match (error.kind(), first.and_then(unknown)) {
        (ErrorKind::UnknownArgument | ErrorKind::ArgumentConflict, Some(message)) => {
            return exit::code(Err(Usage(message).into()), None);
        }
        (ErrorKind::MissingRequiredArgument, _) => {
            let _ = error.print();
            example(arguments).iter().for_each(|example| tell(&format!("\n{example}")));
        }
        _ => drop(error.print()),
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// What a command line that lacks an argument should look like.
pub fn example(arguments: &[OsString]) -> Option<String> {
    let cli = Cli::command();
    let command = cli.find_subcommand(arguments.get(1)?)?;
    command.get_after_help().map(ToString::to_string).filter(|text| text.starts_with("Example"))
}

/// The message for a first word that is neither a command nor a preset nor a file; none where it is one.
pub fn unknown(word: &str) -> Option<String> {
    let cli = Cli::command();
    let commands = cli.get_subcommands().map(|command| command.get_name().to_owned());
    let names: Vec<String> = commands.chain(preset::names()).collect();
    if names.iter().any(|name| name == word) || preset::is_path(word) {
        return None;
    }
    Some(format!("there is no command and no preset `{}`; {}", bounds::short(word), preset::nearest(word, &names)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(line: &str) -> String {
        let words = in_order(line.split(' ').map(OsString::from));
        words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_may_stand_before_the_command() {
        assert_eq!(ordered("innerloop --device cpu train gd-ssm --json"), "innerloop train --device cpu gd-ssm --json");
        assert_eq!(ordered("innerloop --json --steps=3 train gd-ssm"), "innerloop train --json --steps=3 gd-ssm");
        assert_eq!(ordered("innerloop --help train"), "innerloop train --help");
        for unchanged in
            ["innerloop", "innerloop gd-ssm --device cpu", "innerloop --device train", "innerloop -- train"]
        {
            assert_eq!(ordered(unchanged), unchanged);
        }
        let cli = Cli::try_parse_from(in_order("innerloop --log x --steps 3 train a".split(' ').map(OsString::from)));
        let Ok(Cli { log: Some(_), command: Some(Command::Train(train)), .. }) = cli else { panic!("{cli:?}") };
        assert_eq!(train.changes.steps, Some(3));
    }

    #[test]
    fn a_preset_alone_opens_the_lab_and_run_takes_what_train_takes() {
        let parsed = |line: &str| Cli::try_parse_from(line.split(' '));
        let Ok(Cli { lab, command: None, .. }) = parsed("innerloop gd-ssm --seed 4 --color none") else { panic!() };
        assert_eq!((lab.what.as_slice(), lab.changes.seed), (&["gd-ssm".to_owned()][..], Some(4)));
        let Ok(Cli { command: Some(Command::Run(lab)), .. }) =
            parsed("innerloop run gd-ssm --set task.dim=3 --steps 9 --seed 1")
        else {
            panic!()
        };
        assert_eq!((lab.changes.steps, lab.changes.set.len()), (Some(9), 1));
    }

    #[test]
    fn a_mistyped_command_is_answered_with_what_is_near() {
        assert_eq!(unknown("train"), None);
        assert_eq!(unknown("gd-ssm"), None);
        let said = unknown("trian").unwrap();
        assert!(said.contains("there is no command and no preset `trian`; the nearest are `train`, "), "{said}");
        assert_eq!(said.matches('`').count(), 8, "{said}");
    }

    #[test]
    fn a_command_that_lacks_an_argument_has_an_example_that_parses() {
        for command in ["train", "eval", "check", "completions"] {
            let words = ["innerloop".into(), command.into()];
            let example = example(&words).unwrap();
            let (_, line) = example.split_once(": ").unwrap();
            Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert!(Cli::try_parse_from(["innerloop", command]).is_err());
        }
    }
}
