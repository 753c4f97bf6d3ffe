//! Running cargo, and finding or installing the tools that tests use.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Prints to stderr; xtask has no result for stdout.
#[allow(clippy::print_stderr, reason = "xtask talks to a person")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

/// The workspace's root folder.
pub(crate) fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(Path::to_path_buf).context("xtask has no parent folder")
}

/// Runs cargo in `root` and fails when it does.
pub(crate) fn cargo(root: &Path, args: &[&str], env: &[(&str, &str)]) -> Result<()> {
    say(&format!("$ cargo {}", args.join(" ")));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo).args(args).envs(env.iter().copied()).current_dir(root))
}

/// Checks the format of every Rust file in a folder. `cargo fmt` does not see modules that a macro declares.
pub(crate) fn rustfmt_check(root: &Path, folder: &str) -> Result<()> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(root.join(folder))?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files.sort_unstable();
    run(Command::new("rustfmt").current_dir(root).args(["--edition", "2024", "--check"]).args(files))
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{} failed ({status})", command.get_program().display());
    }
    Ok(())
}

/// Compares the networks of packages with onnxruntime, those whose name holds `filter`.
pub(crate) fn real_networks(root: &Path, filter: Option<String>) -> Result<()> {
    cargo(root, &["build", "--release", "-p", "skimp-cli"], &[])?;
    let script = root.join("xtask/real_networks.py");
    let mut compare = Command::new(python(root)?);
    compare.arg(script).arg(root.join("target/release/skimp")).arg(root.join("target/real-networks")).args(filter);
    run(&mut compare)
}

/// Exports networks of packages and compares them with onnxruntime: those that no earlier call did, or whose name holds
/// `filter`. Fetches gigabytes on the first call.
pub(crate) fn exported_networks(root: &Path, filter: Option<String>) -> Result<()> {
    cargo(root, &["build", "--release", "-p", "skimp-cli"], &[])?;
    let torch = environment(root, "exports-torch", "xtask/exported_networks.txt")?;
    let keras = environment(root, "exports-keras", "xtask/exported_networks_keras.txt")?;
    let mut compare = Command::new(&torch);
    compare.arg(root.join("xtask/exported/compare.py"));
    compare.arg(root.join("target/release/skimp")).arg(root.join("target/exported-networks"));
    compare.arg(root.join("docs/exported-networks.md")).arg(&torch).arg(keras).args(filter);
    run(&mut compare)
}

/// The interpreter of target/python, made from requirements-test.txt where it is missing or out of date.
pub(crate) fn python(root: &Path) -> Result<PathBuf> {
    environment(root, "python", "requirements-test.txt")
}

/// Runs the tests of the Python package on the module as `cargo test` has built it: no release build, which
/// `pip install .` is.
pub(crate) fn python_package(root: &Path, python: &Path) -> Result<()> {
    // With the features of the other tests, so that nothing else is built.
    cargo(root, &["build", "--workspace", "--lib", "--tests"], &[])?;
    let package = root.join("target/python-package/skimp");
    if package.exists() {
        std::fs::remove_dir_all(&package).with_context(|| package.display().to_string())?;
    }
    copy_folder(&root.join("python/skimp"), &package)?;
    let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let built = root.join("target/debug").join(format!("{prefix}skimp_native{suffix}"));
    std::fs::copy(&built, package.join("_native.abi3.so")).with_context(|| built.display().to_string())?;
    say("running the tests of the Python package");
    let mut tests = Command::new(python);
    tests.args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]).current_dir(root);
    run(tests.env("PYTHONPATH", root.join("target/python-package")).env("PYTHONDONTWRITEBYTECODE", "1"))
}

/// Copies a folder, but for what Python keeps in it.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let path = entry?.path();
        let file = path.file_name().map(|name| to.join(name)).context("a file without a name")?;
        if path.is_dir() && !path.ends_with("__pycache__") {
            copy_folder(&path, &file)?;
        } else if path.is_file() {
            std::fs::copy(&path, file).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

/// The interpreter of a virtual environment in target/, made from a list of requirements where it is missing or out of date.
fn environment(root: &Path, name: &str, requirements: &str) -> Result<PathBuf> {
    let folder = root.join("target").join(name);
    let python = folder.join("bin/python");
    let wanted = std::fs::read_to_string(root.join(requirements)).with_context(|| requirements.to_owned())?;
    let stamp = folder.join("requirements-test.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(python);
    }
    say(&format!("making target/{name} from {requirements}"));
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
    run(install.arg(root.join(requirements)))?;
    std::fs::write(&stamp, wanted).with_context(|| stamp.display().to_string())?;
    Ok(python)
}

/// Installs Debian's Chromium where there is none and this may be done; the browser tests skip without it.
pub(crate) fn chromium() {
    let found = ["chromium", "chromium-browser", "google-chrome"]
        .iter()
        .any(|name| Command::new(name).arg("--version").output().is_ok_and(|out| out.status.success()));
    if found {
        return;
    }
    say("installing chromium for the browser tests");
    let installed = run(Command::new("apt-get").args(["-qq", "update"])).and_then(|()| {
        run(Command::new("apt-get")
            .args(["-qq", "install", "-y", "--no-install-recommends", "chromium"])
            .env("DEBIAN_FRONTEND", "noninteractive"))
    });
    if let Err(error) = installed {
        say(&format!("note: browser tests will be skipped: {error:#}"));
    }
}
