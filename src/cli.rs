//! The command line: what each command takes, and its exit code.

mod detect;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use tracing::level_filters::LevelFilter;

use crate::config::container::Limits;
use crate::config::file::{log_level, state_directory};
use crate::config::flags::{Flags, Reach};
use crate::config::listen::{LISTEN_MAX, Listen};
use crate::config::otlp::Otlp;
use crate::config::otlp_variables::Variables;
use crate::config::{Config, Problem, STATE_INTERVAL, State, godebug};
use crate::frame::packets::TraceLines;
use crate::model::log::LogFormat;
use crate::serve::guard;
use crate::tools;
use detect::DetectArgs;

/// Usage or config is wrong (EX_USAGE of sysexits.h).
const EXIT_USAGE: u8 = 64;

const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (revision ",
    env!("BUILD_REVISION"),
    ", built ",
    env!("BUILD_DATE"),
    ")"
);

const AFTER: &str = "\
Examples:
  godebug-exporter demo
      a recorded service, replayed as if live; nothing else is needed
  godebug-exporter exec -- ./my-service --flag
      starts a Go service, reads its GODEBUG output, serves http://localhost:10390/metrics
  godebug-exporter run --service checkout --file /var/log/checkout/stderr.log
      follows the stderr of a service that runs with GODEBUG=gctrace=1,schedtrace=1000
  godebug-exporter run --config /etc/godebug-exporter.yaml
      several services, their expvar endpoints, labels of your own

Exit codes: 0 fine, 1 failure, 64 wrong usage or config; exec gives the child's own.";

/// Turns what the Go runtime says about itself into Prometheus metrics, from outside the process.
#[derive(Debug, Parser)]
#[command(name = "godebug-exporter", version = VERSION, after_help = AFTER, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon: read services, serve /metrics.
    Run(RunArgs),
    /// Start a command, read its GODEBUG output, pass everything else through.
    ///
    /// The command gets `gctrace=1,schedtrace=1000` in GODEBUG unless it has these keys already.
    /// Its stdin, stdout and terminal are untouched; signals are passed on; its exit status
    /// becomes ours (128+N when signal N ended it).
    Exec(ExecArgs),
    /// The exporter of an exec: started by it, with its flags.
    #[command(name = tools::exec::EXPORTER_COMMAND, hide = true)]
    ExecExporter(ExecArgs),
    /// Read traces from files or stdin, print one JSON object a record.
    ///
    /// Records go to stdout, a summary to stderr. Exits with 1 if a file cannot be read.
    Parse {
        /// Files with GODEBUG output; none, or -, is stdin.
        files: Vec<PathBuf>,
    },
    /// Replay a history of goroutine counts and tell when a leak would have been suspected.
    ///
    /// Reads CSV lines `unix_seconds,goroutines[,process_start_unix_seconds]`, or Prometheus'
    /// answer to /api/v1/query_range for go_goroutines (and process_start_time_seconds, which tells
    /// restarts). Prints one JSON object a change of verdict, and a last one with totals.
    Detect(DetectArgs),
    /// Check a config file and tell every problem at once.
    Check {
        /// The config file.
        file: PathBuf,
    },
    /// Replay the recording of real Go services as if they ran now.
    Demo {
        /// Where to listen [default: 127.0.0.1:10390].
        #[arg(long, value_name = "ADDR:PORT", value_parser = Listen::new)]
        listen: Option<Listen>,
    },
    /// Copy this program into a directory, as godebug-exporter.
    ///
    /// For an init container whose image has no shell: it puts the program on a volume, and the
    /// service in another container starts under exec.
    Install {
        /// The directory; it must be there.
        directory: PathBuf,
    },
    /// Print a shell's completions.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
struct Common {
    /// Where to serve /metrics: an address and a port, or unix:///PATH; may be given several times
    /// [default: 0.0.0.0:10390].
    #[arg(long, alias = "web.listen-address", value_name = "ADDR:PORT", value_parser = Listen::new)]
    listen: Vec<Listen>,
    /// TLS and passwords for /metrics: a web configuration file as Prometheus and its exporters take it.
    #[arg(long, alias = "web.config.file", value_name = "FILE")]
    web_config_file: Option<PathBuf>,
    /// Value of the label service on every series; exec takes the command's name by itself.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// The service's expvar endpoint: http://127.0.0.1:6060/debug/vars. Read every 15 s; a config
    /// file can say otherwise.
    #[arg(long, value_name = "URL")]
    expvar: Option<String>,
    /// The service's pprof endpoint: http://127.0.0.1:6060/debug/pprof. Goroutines and threads are
    /// read every 30 s; a config file can say otherwise.
    #[arg(long, value_name = "URL")]
    pprof: Option<String>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    limits: Limits,
    /// Push by OTLP to this receiver: http://collector:4317 (gRPC), http://collector:4318 (HTTP).
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// Least important of our own log lines to write: error, warn, info, debug [default: info; exec: warn].
    #[arg(long, value_name = "LEVEL", value_parser = log_level)]
    log_level: Option<LevelFilter>,
    /// How our own log lines are written: logfmt or json.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Config file (YAML); without one, the flags below describe one service.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["service", "expvar", "pprof", "file", "stdin", "fifo", "pod_log", "from_beginning", "Reach"])]
    config: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
    /// Follow the file that holds the service's stderr.
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Read a file, or a container's log, that is there already from its beginning, not from its end.
    #[arg(long)]
    from_beginning: bool,
    /// Read the service's stderr from our stdin; at its end we go on serving what we know.
    #[arg(long)]
    stdin: bool,
    /// Read the service's stderr from a named pipe.
    #[arg(long, value_name = "PATH")]
    fifo: Option<PathBuf>,
    /// Follow the log of this container of our own pod through the API server: nothing about the service
    /// is changed. Needs POD_NAME in the environment, and a Role that lets us get pods/log.
    #[arg(long, value_name = "CONTAINER")]
    pod_log: Option<String>,
    /// Listen on the sockets that systemd has opened for us (systemd.socket(5)), not on --listen.
    #[arg(long, alias = "web.systemd-socket")]
    web_systemd_socket: bool,
    /// Where counters and positions outlive us: after a restart, or a crash, nothing is lost and
    /// nothing counted twice.
    #[arg(long, value_name = "DIR", value_parser = state_directory)]
    state_dir: Option<PathBuf>,
    /// Read every file (and stdin) to its end, print the metrics on stdout, exit; endpoints are
    /// not read.
    #[arg(long)]
    once: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TraceLinesArg {
    /// Pass the command's stderr on byte for byte.
    Keep,
    /// Leave the trace lines out.
    Strip,
}

#[derive(Debug, Args)]
struct ExecArgs {
    #[command(flatten)]
    common: Common,
    /// What to do with the trace lines in the stderr we pass on.
    #[arg(long, value_enum, default_value = "strip")]
    trace_lines: TraceLinesArg,
    /// What to ask the runtime for, unless GODEBUG has the key already. With scheddetail=1 every
    /// goroutine is listed at each sample: that gives go_goroutines, and costs the service some
    /// 10 µs a goroutine.
    #[arg(long, value_name = "KEY=VALUE,…", default_value = godebug::WANTED, value_parser = godebug::check)]
    godebug: String,
    /// Push by OTLP as the OTEL_ variables in the environment say. They are the command's too, so that
    /// exec reads them only if it is told to.
    #[arg(long)]
    otlp_env: bool,
    /// The command and its arguments; -- before it keeps its flags apart from ours.
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs the command that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { EXIT_USAGE } else { 0 };
            // A closed stdout is no failure of ours.
            let _closed = error.print();
            return ExitCode::from(code);
        }
    };
    match run(cli.command) {
        Ok(code) => code,
        Err(Failure::Usage(lines)) => {
            complain(&lines);
            ExitCode::from(EXIT_USAGE)
        }
        Err(Failure::Other(error)) => {
            complain(&[format!("{error:#}")]);
            ExitCode::FAILURE
        }
    }
}

/// How a command fails.
enum Failure {
    Usage(Vec<String>),
    Other(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

fn complain(lines: &[String]) {
    let mut out = std::io::stderr().lock();
    for line in lines {
        // Nobody is left to tell if stderr is gone.
        let _closed = writeln!(out, "godebug-exporter: {line}");
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Run(args) => {
            let once = args.once;
            let (config, file) = run_config(args)?;
            check_web(&config)?;
            if once { tools::once::run(config)? } else { tools::daemon::run(config, file)? }
        }
        Command::Exec(args) => {
            let config = exec_config(&args)?;
            check_web(&config)?;
            return Ok(tools::exec::run(&config, &args.command, &args.godebug)?);
        }
        Command::ExecExporter(args) => {
            let trace_lines = match args.trace_lines {
                TraceLinesArg::Keep => TraceLines::Keep,
                TraceLinesArg::Strip => TraceLines::Strip,
            };
            tools::exec::exporter::run(exec_config(&args)?, trace_lines)?;
        }
        Command::Parse { files } => return Ok(tools::parse::run(&files)?),
        Command::Detect(args) => return Ok(tools::detect::run(&args.files, &args.params())?),
        Command::Check { file } => {
            let config = read_config(&file)?;
            let web = check_web(&config)?;
            tools::check::report(&file, &config, web.as_ref())?;
        }
        Command::Demo { listen } => tools::demo::run(listen)?,
        Command::Install { directory } => tools::install::run(&directory)?,
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Cli::command(),
                "godebug-exporter",
                &mut std::io::stdout(),
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The settings, and the file that they came from with what it says.
fn run_config(args: RunArgs) -> Result<(Config, Option<(PathBuf, Config)>), Failure> {
    let file = args.config.map(|file| read_config(&file).map(|config| (file, config)));
    let file = file.transpose()?;
    let mut config = match &file {
        Some((_, config)) => config.clone(),
        None => Flags {
            service: args.common.service.clone(),
            file: args.file,
            from_beginning: args.from_beginning,
            stdin: args.stdin,
            fifo: args.fifo,
            pod_log: args.pod_log,
            child: false,
            expvar: args.common.expvar.clone(),
            reach: args.common.reach.clone(),
            limits: args.common.limits.clone(),
            pprof: args.common.pprof.clone(),
        }
        .config(None)
        .map_err(|what| Failure::Usage(vec![what]))?,
    };
    config.web.systemd_socket |= args.web_systemd_socket;
    if let Some(directory) = args.state_dir {
        let interval = config.state.map_or(STATE_INTERVAL, |state| state.interval);
        config.state = Some(State { directory, interval });
    }
    override_with(&mut config, &args.common)?;
    with_variables(&mut config);
    Ok((config, file))
}

/// What the user's flags and file do not say, OpenTelemetry's variables may.
fn with_variables(config: &mut Config) {
    let variables = Variables::read(&|name| std::env::var(name).ok());
    config.ignored.clone_from(&variables.ignored);
    config.otlp = variables.complete(config.otlp.take());
}

fn override_with(config: &mut Config, common: &Common) -> Result<(), Failure> {
    if common.listen.len() > LISTEN_MAX {
        return Err(Failure::Usage(vec![format!("give --listen at most {LISTEN_MAX} times")]));
    }
    if !common.listen.is_empty() {
        config.listen.clone_from(&common.listen);
    }
    if common.web_config_file.is_some() {
        config.web.config_file.clone_from(&common.web_config_file);
    }
    config.log.level = common.log_level.unwrap_or(config.log.level);
    config.log.format = common.log_format.unwrap_or(config.log.format);
    if let Some(endpoint) = &common.otlp_endpoint {
        let usage = |what| Failure::Usage(vec![format!("--otlp-endpoint: {what}")]);
        let to = Otlp::to(endpoint).map_err(usage)?;
        config.otlp = Some(to.or(config.otlp.take().unwrap_or_default()));
    }
    Ok(())
}

/// A web configuration file that is wrong is told before anything starts.
fn check_web(config: &Config) -> Result<Option<guard::Checked>, Failure> {
    config.web.config_file.as_deref().map(guard::check).transpose().map_err(Failure::Usage)
}

fn exec_config(args: &ExecArgs) -> Result<Config, Failure> {
    let flags = Flags {
        service: args.common.service.clone(),
        child: true,
        expvar: args.common.expvar.clone(),
        reach: args.common.reach.clone(),
        limits: args.common.limits.clone(),
        pprof: args.common.pprof.clone(),
        ..Flags::default()
    };
    let program = args.command.first().map(PathBuf::from);
    let name = program
        .as_deref()
        .and_then(std::path::Path::file_name)
        .map(|name| name.to_string_lossy().into_owned());
    let mut config = flags.config(name.as_deref()).map_err(|what| Failure::Usage(vec![what]))?;
    // Our log shares stderr with the command's: in good times it is the command's alone.
    config.log.level = LevelFilter::WARN;
    override_with(&mut config, &args.common)?;
    if args.otlp_env {
        with_variables(&mut config);
    }
    Ok(config)
}

fn read_config(file: &std::path::Path) -> Result<Config, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::Usage(vec![format!("cannot read the config {}: {error}", file.display())])
    })?;
    crate::config::file::read(&text).map_err(|problems| {
        let tell = |problem: &Problem| format!("{}: {problem}", file.display());
        Failure::Usage(problems.iter().map(tell).collect())
    })
}
