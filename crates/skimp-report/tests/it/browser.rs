//! The page in headless Chromium: charts draw, nothing overflows, it can be printed.
//!
//! Without a browser on the `PATH` the tests say so and pass.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use skimp_report::records::LayersRecord;
use skimp_report::{SimulationRecord, StudyRecord, html};

use crate::demo;

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path)
        .flat_map(|folder| NAMES.map(|name| folder.join(name)))
        .find(|candidate| candidate.is_file());
    if found.is_none() {
        eprintln!("skipped: no {} on the PATH; install chromium to test reports in a browser", NAMES.join(", "));
    }
    found
}

/// A folder with a report in it and a browser to open it.
pub(crate) struct Session {
    browser: PathBuf,
    folder: tempfile::TempDir,
}

impl Session {
    fn open(study: &StudyRecord) -> Option<Self> {
        Self::with_page(&html::render(study))
    }

    /// With that text as `report.html`; nothing without a browser.
    pub(crate) fn with_page(page: &str) -> Option<Self> {
        let browser = browser()?;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("report.html"), page).unwrap();
        Some(Self { browser, folder })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn run(&self, page: &str, arguments: &[&str]) -> Output {
        let profile = tempfile::tempdir_in(self.folder.path()).unwrap();
        let output =
            self.command(page, profile.path()).arg("--virtual-time-budget=5000").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// A browser that goes on in real time until it is killed.
    pub(crate) fn start(&self, page: &str, arguments: &[&str]) -> Child {
        self.command(page, &self.path("profile")).args(arguments).stderr(Stdio::null()).spawn().unwrap()
    }

    fn command(&self, page: &str, profile: &Path) -> Command {
        let address = format!("file://{}", self.path(page).display());
        let mut command = Command::new(&self.browser);
        command
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--hide-scrollbars", "--allow-file-access-from-files"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(address);
        command
    }

    /// The document after the scripts ran.
    pub(crate) fn dom(&self, page: &str, width: u32) -> String {
        let output = self.run(page, &["--dump-dom", &format!("--window-size={width},900")]);
        String::from_utf8(output.stdout).unwrap()
    }

    /// A frame of that width around the report: browsers do not make windows as narrow as a phone.
    pub(crate) fn frame(&self, width: u32) -> String {
        let name = format!("frame-{width}.html");
        let page = format!(
            "<!DOCTYPE html><body style=\"margin:0\"><iframe id=\"frame\" src=\"report.html\" \
             style=\"border:0;width:{width}px;height:844px\"></iframe>\n<script>onload = () => \
             Object.assign(document.body.dataset, document.getElementById('frame').contentDocument.body.dataset)</script>"
        );
        std::fs::write(self.path(&name), page).unwrap();
        name
    }
}

/// The value of a `data-` attribute of the document's body.
pub(crate) fn attribute(dom: &str, name: &str) -> Option<String> {
    let body = &dom[dom.find("<body")?..];
    let body = &body[..body.find('>')?];
    let value = body.split_once(&format!("{name}=\""))?.1;
    Some(value.split('"').next()?.to_owned())
}

fn assert_drawn(dom: &str, what: &str) {
    assert_eq!(attribute(dom, "data-errors"), None, "{what}");
    assert_eq!(attribute(dom, "data-charts-ready").as_deref(), Some("12"), "{what}");
    assert_eq!(attribute(dom, "data-overflow-px").as_deref(), Some("0"), "{what}");
}

pub(crate) fn assert_picture(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    assert!(bytes.starts_with(b"\x89PNG"), "{}", path.display());
    // An empty page of this size compresses to a few kilobytes.
    assert!(bytes.len() > 30_000, "{}: {} bytes", path.display(), bytes.len());
}

#[test]
fn charts_draw_on_laptop_and_phone() {
    let Some(session) = Session::open(&demo::study()) else { return };
    assert_drawn(&session.dom("report.html", 1366), "laptop");
    let phone = session.frame(390);
    assert_drawn(&session.dom(&phone, 800), "phone");
    let screenshot = |page: &str, name: &str, size: &str| {
        let path = session.path(name);
        session.run(page, &[&format!("--screenshot={}", path.display()), &format!("--window-size={size}")]);
        assert_picture(&path);
    };
    screenshot("report.html", "laptop.png", "1366,768");
    screenshot(&phone, "phone.png", "390,844");
}

#[test]
fn many_layers_with_long_names_fit() {
    let Some(session) = Session::open(&demo::study_with_layers(57)) else { return };
    assert_drawn(&session.dom("report.html", 1366), "laptop");
    assert_drawn(&session.dom(&session.frame(390), 800), "phone");
}

#[test]
fn hostile_names_run_nothing() {
    let mut study = demo::study();
    let evil = "</script><script>document.body.dataset.errors = 'ran'</script><img src=x onerror=\"document.body.dataset.errors='ran'\">";
    study.title = evil.to_owned();
    study.sections.get_mut::<LayersRecord>().unwrap().layers[0].name = evil.to_owned();
    study.sections.get_mut::<SimulationRecord>().unwrap().accelerators[0].layers[0].name = evil.to_owned();
    let Some(session) = Session::open(&study) else { return };
    assert_drawn(&session.dom("report.html", 1366), "hostile names");
}

/// Every button and choice can be used without an error, and the page still draws all charts.
#[test]
fn controls_work() {
    let Some(session) = Session::open(&demo::study()) else { return };
    let page =
        "<!DOCTYPE html><body><iframe id=\"frame\" src=\"report.html\" style=\"width:900px;height:800px\"></iframe>
<script>onload = () => {
  const page = document.getElementById('frame').contentWindow;
  const inside = page.document;
  for (const button of inside.querySelectorAll('button')) { button.click(); button.click(); button.click(); }
  const pressed = inside.querySelectorAll('[aria-pressed=false]').length;
  for (const select of inside.querySelectorAll('select')) {
    select.value = '3';
    select.dispatchEvent(new page.Event('change'));
  }
  const histogram = page.Chart.getChart(inside.querySelector('#finding-end-planes-chart canvas'));
  const runtime = page.Chart.getChart(inside.querySelector('#runtime-chart canvas'));
  Object.assign(document.body.dataset, inside.body.dataset, {
    pressed, hidden: runtime.data.datasets.length, peak: Math.max(...histogram.data.datasets[0].data).toFixed(1) });
}</script>";
    std::fs::write(session.path("controls.html"), page).unwrap();
    let dom = session.dom("controls.html", 1000);
    assert_drawn(&dom, "controls");
    // Clicked three times each, every entry of the legends is off, and no bar is left.
    // The picture of the summary has one color, and so no legend: its designs' energies do not compare.
    let entries = 2 + 2 + 2 + 3 + 2 + 5 + 2 + 9 + 3 + 2;
    assert_eq!(attribute(&dom, "data-pressed"), Some(entries.to_string()));
    assert_eq!(attribute(&dom, "data-hidden").as_deref(), Some("0"));
    // The third choice is the third layer with early negative detection.
    assert_eq!(attribute(&dom, "data-peak").as_deref(), Some("59.7"));
}

#[test]
fn it_prints() {
    let Some(session) = Session::open(&demo::study()) else { return };
    let path = session.path("report.pdf");
    session.run("report.html", &["--no-pdf-header-footer", &format!("--print-to-pdf={}", path.display())]);
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.starts_with(b"%PDF") && bytes.len() > 30_000, "{} bytes", bytes.len());
}
