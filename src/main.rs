use std::process::ExitCode;

fn main() -> ExitCode {
    innerloop::run()
}
