//! What a report says follows from what ran.

use skimp_report::StudyRecord;

use crate::monitor::Silent;
use crate::simulate::config::LayersConfig;
use crate::studies::accelerators::AcceleratorsPlan;
use crate::studies::config::StudyConfig;
use crate::studies::embedded::StudyOverrides;
use crate::studies::runner::study;

/// A study of two designs on the embedded network; `more` is TOML on top.
fn run(designs: [&str; 2], more: &str) -> StudyRecord {
    study(&parse(designs, more), &Silent).unwrap()
}

fn parse([baseline, variant]: [&str; 2], more: &str) -> StudyConfig {
    let text = format!(
        "schema = 1\nname = \"tiny\"\ntitle = \"Two designs on a network of mine\"\nsummary = \"tiny\"\n\
         {more}\n\
         [network]\nmodel = \"sample-resnet\"\n[data]\nset = \"sample\"\naccuracy_images = 4\n\
         [quantization]\ncalibration_images = 2\n\
         [[accelerators]]\n{baseline}\nlabel = \"A\"\n[[accelerators]]\n{variant}\nlabel = \"B\"\n\
         [[comparisons]]\nbaseline = \"A\"\nvariant = \"B\"\n"
    );
    StudyConfig::parse(&text, "tiny.toml").unwrap()
}

/// Everything that a reader sees of a study.
fn said(record: &StudyRecord) -> String {
    // The configuration is quoted as it was given.
    let shown = StudyRecord { config_toml: String::new(), ..record.clone() };
    format!("{}{}", skimp_report::views::study_text(&shown, None), skimp_report::html::render(&shown))
}

#[test]
fn designs_without_early_negative_detection_are_not_credited_with_it() {
    for designs in [
        ["model = \"dadiannao\"", "model = \"scnn\""],
        ["model = \"dadiannao\"", "model = \"eyeriss\""],
        ["model = \"compend\"\nset = { end = false }", "model = \"dadiannao\""],
    ] {
        let record = run(designs, "");
        let said = said(&record).to_lowercase();
        // ComPEND's own account of its layers says that it is switched off, and the words are in its paper's title.
        let said = said.replace("early negative detection is off: switched off", "");
        let said = said.replace("through early negative detection for relu", "");
        for words in ["early negative detection", "end planes", "bit-exact"] {
            assert!(!said.contains(words), "{designs:?} say \"{words}\"");
        }
        assert_eq!(record.agreement(), None);
        let sentence = skimp_report::views::summary_sentence(&record).unwrap();
        assert_eq!(record.accuracy().unwrap().variant, None);
        assert!(sentence.starts_with("B "), "{sentence}");
    }
}

#[test]
fn early_negative_detection_is_named_where_it_ran() {
    let record = run(["model = \"compend\"\nset = { end = false }", "model = \"compend\""], "");
    assert_eq!(record.agreement().unwrap().is_exact(), Some(true));
    let accuracy = record.accuracy().cloned().unwrap();
    let variant = accuracy.variant.unwrap();
    assert_eq!((variant.label.as_str(), &variant.accuracy), ("B", accuracy.integer.as_ref().unwrap()));
    assert!(variant.basis.starts_with("implied"), "{}", variant.basis);
    assert!(said(&record).contains("early negative detection"));
}

#[test]
fn an_approximate_headline_shows_its_own_accuracy() {
    let record = run(["model = \"compend\"\nset = { end = false }", "model = \"compreend\""], "");
    let measured = record.simulation().unwrap().accelerator("B").unwrap().accuracy.clone().unwrap();
    let variant = record.accuracy().unwrap().variant.clone().unwrap();
    assert_eq!(variant.accuracy.top1.to_bits(), measured.top1.to_bits());
    assert_eq!(variant.accuracy.n_images, measured.n_images);
    assert!(variant.basis.starts_with("measured"), "{}", variant.basis);
}

#[test]
fn an_untrained_network_is_named_as_such() {
    let designs = ["model = \"compend\"\nset = { end = false }", "model = \"compend\""];
    let mut config = parse(designs, "");
    config.header.network.model = "lenet-5".to_owned();
    let record = study(&config, &Silent).unwrap();
    assert!(record.network_words().ends_with("(untrained)"));
    let page = skimp_report::html::render(&record);
    assert!(page.contains("Untrained network") && page.contains("(untrained)"));
}

/// Another network on the command line changes the heading, and takes comparisons away that the file vouched for.
#[test]
fn headings_and_comparisons_follow_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    let figure = "[[published]]\nquantity = \"time saved\"\nvalue = \"-10 %\"\nsource = \"somebody\"\n\
                  ours = \"mean-layer-runtime-reduction\"\n";
    let designs = ["model = \"compend\"\nset = { end = false }", "model = \"compend\""];
    let text = format!("{}{figure}", parse(designs, "").to_toml().unwrap().replace("published = []\n", ""));
    std::fs::write(&path, text).unwrap();
    let open = |overrides: &StudyOverrides| StudyConfig::open(path.to_str().unwrap(), overrides).unwrap();
    let own = study(&open(&StudyOverrides::default()), &Silent).unwrap();
    assert_eq!(own.title, "Two designs on a network of mine");
    assert!(own.published[0].ours.is_some());
    let other = StudyOverrides { model: Some("lenet-5".to_owned()), ..StudyOverrides::default() };
    let other = study(&open(&other), &Silent).unwrap();
    assert_eq!(other.title, format!("Two designs on a network of mine (here on {})", other.model_name));
    assert_eq!(other.published[0].ours, None);
    assert!(other.published[0].remark.as_deref().unwrap().contains("another network"));
}

/// A published mean over VGG-16's layers stands alone on another network; with the same layers ours stands beside it.
#[test]
fn published_figures_are_compared_on_equal_layers_only() {
    let designs = ["model = \"compend\"\nset = { end = false }", "model = \"compend\""];
    let figure = |macs: &str| {
        format!(
            "published = [{{ quantity = \"q\", value = \"-1 %\", source = \"s\", ours = \"mean-layer-runtime-reduction\", \
             layer_macs = {macs} }}]\n"
        )
    };
    let other = run(designs, &figure("[86704128, 1849688064]"));
    assert_eq!(other.published[0].ours, None);
    let remark = other.published[0].remark.clone().unwrap();
    assert!(remark.contains("covers 2 layers") && remark.contains("are others"), "{remark}");
    let macs: Vec<u64> = other.simulation().unwrap().accelerators[0].layers.iter().map(|layer| layer.macs).collect();
    let same = run(designs, &figure(&format!("{macs:?}")));
    let expected = format!("{:+.2} %", -same.comparisons()[0].mean_layer_runtime_reduction_percent);
    assert_eq!(same.published[0].ours, Some(expected));
}

/// VGG-16's F2 and F3 by shape: DRAM bounds them, so that END saves at most 2 % of their time (the recorded runs say the
/// same), they stand in no total, and the same seed gives the same figures.
#[test]
fn layers_by_shape_are_bound_by_memory_and_stand_in_no_total() {
    let designs = ["model = \"compend\"\nset = { end = false }", "model = \"compend\""];
    let with = |more: &str| {
        let mut config = parse(designs, "");
        config.header.data.accuracy_images = 0;
        config.plan.get_mut::<AcceleratorsPlan>().unwrap().layers.by_shape =
            toml::from_str::<LayersConfig>(more).unwrap().by_shape;
        study(&config, &Silent).unwrap()
    };
    let shapes = "by_shape = [{ name = \"F2\", inputs = 4096, outputs = 4096, relu = true }, \
                  { name = \"F3\", inputs = 4096, outputs = 1000 }]";
    let (plain, shaped) = (with(""), with(shapes));
    let (plain, shaped) = (plain.simulation().unwrap(), shaped.simulation().unwrap());
    let [dense, end] = &shaped.accelerators[..] else { panic!("two designs") };
    assert_eq!(dense.total, plain.accelerators[0].total);
    for (dense, end) in dense.shape_layers.iter().zip(&end.shape_layers) {
        let saved = 1.0 - end.cycles.total as f64 / dense.cycles.total as f64;
        assert!((0.0..0.02).contains(&saved), "{}: {saved}", dense.name);
        assert!(dense.notes.iter().any(|note| note.contains("random weights")));
    }
    let names: Vec<&str> = end.shape_layers.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["F2", "F3"]);
    assert_eq!(with(shapes).simulation().unwrap(), shaped);
}
