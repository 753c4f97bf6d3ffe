//! Topologies in place of networks, and timelines.

use crate::{fails, json, ok, text};

const CONV: &str =
    "Layer name,IFMAP h,IFMAP w,Filter h,Filter w,Channels,Filters,Stride,\nc1,8,8,3,3,4,10,1,\nc2,12,9,3,3,5,20,2,\n";

#[test]
fn shapes_alone_are_simulated_and_inspected() {
    let folder = tempfile::tempdir().unwrap();
    let (conv, gemm) = (folder.path().join("conv.csv"), folder.path().join("gemm.csv"));
    std::fs::write(&conv, CONV).unwrap();
    std::fs::write(&gemm, "Layer,M,N,K,\nfc,1,30,100,\n").unwrap();
    let small = ["--set", "systolic.rows=8", "--set", "systolic.columns=8", "--set"];
    let fast = ["systolic.dram_gb_per_s=1000000", "--set"];
    let cycles = |model: &str, dataflow: &str| {
        let flow = format!("systolic.dataflow={dataflow}");
        let args = [&["simulate", model, "--accelerator", "systolic"], &small[..], &fast[..], &[&flow]].concat();
        let record = json(&args);
        assert_eq!(record["schema"], "skimp.simulate/3");
        assert!(record.get("data").is_none(), "{record}");
        let layers = record["accelerators"][0]["layers"].as_array().unwrap().clone();
        layers.iter().map(|layer| layer["cycles"]["total"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    // Measured with SCALE-Sim 3.0.0, plus 1: cycles are counted, not numbered from 0.
    assert_eq!(cycles(text(&conv), "weight_stationary"), [580, 828]);
    assert_eq!(cycles(text(&conv), "output_stationary"), [500, 531]);
    assert_eq!(cycles(text(&conv), "input_stationary"), [800, 756]);
    assert_eq!(cycles(text(&gemm), "weight_stationary"), [1196]);
    let several = ["simulate", text(&conv), "--accelerator", "compend,dadiannao,tpu-v1", "--set", "compend.end=false"];
    assert!(ok(&several).contains("shapes only"));
    let inspected = json(&["inspect", text(&conv)]);
    assert_eq!(inspected["total"]["macs"], 36 * 10 * 36 + 6 * 4 * 20 * 45);
    fails(&["simulate", text(&conv), "--accelerator", "compend"], 1, "needs the operand trace activation");
    fails(&["simulate", text(&conv), "--accelerator", "systolic", "--data", "sample"], 2, "a topology has no values");
    fails(&["simulate", "sample-resnet", "--accelerator", "systolic"], 2, "--data NAME[:DIR]");
    fails(&["simulate", "missing.csv", "--accelerator", "systolic"], 2, "missing.csv: no such file");
    std::fs::write(&conv, CONV.replace("12,9", "12,many")).unwrap();
    fails(&["simulate", text(&conv), "--accelerator", "systolic"], 1, "conv.csv:3: field 3 is \"many\"");
    fails(&["inspect", text(&conv)], 1, "conv.csv:3: field 3 is \"many\"");
}

#[test]
fn an_exported_topology_has_the_macs_of_its_network() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.csv");
    let network = json(&["inspect", "sample-resnet", "--topology", text(&out)]);
    assert_eq!(json(&["inspect", text(&out)])["total"]["macs"], network["total"]["macs"]);
}

#[test]
fn a_timeline_is_a_chrome_trace() {
    let folder = tempfile::tempdir().unwrap();
    let (conv, trace) = (folder.path().join("conv.csv"), folder.path().join("trace.json"));
    std::fs::write(&conv, CONV).unwrap();
    let args = ["simulate", text(&conv), "--accelerator", "systolic,dadiannao", "--trace", text(&trace)];
    let record = json(&args);
    let document: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&trace).unwrap()).unwrap();
    let events = document["traceEvents"].as_array().unwrap();
    for (pid, accelerator) in (1..).zip(record["accelerators"].as_array().unwrap()) {
        let spans: Vec<_> = events.iter().filter(|event| event["ph"] == "X" && event["pid"] == pid).collect();
        assert!(!spans.is_empty());
        let cycles: u64 = spans.iter().map(|span| span["args"]["cycles"].as_u64().unwrap()).sum();
        assert_eq!(accelerator["total"]["cycles"], cycles);
        let clock_mhz = accelerator["clock_mhz"].as_f64().unwrap();
        for span in spans {
            let duration = span["args"]["cycles"].as_f64().unwrap() / clock_mhz;
            assert!((span["dur"].as_f64().unwrap() - duration).abs() < 1e-9 && span["ts"].as_f64().unwrap() >= 0.0);
        }
    }
}

#[test]
fn a_timeline_of_compend_shows_slots() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace.json");
    let args = ["simulate", "sample-resnet", "--data", "sample", "--images", "1", "--accelerator", "compend"];
    let record = json(&[&args[..], &["--trace", text(&trace)]].concat());
    assert_eq!(record, json(&args), "drawing changes nothing");
    let file = std::fs::read_to_string(&trace).unwrap();
    let layers = record["accelerators"][0]["layers"].as_array().unwrap().len();
    assert!(file.len() < layers * 2010 * 200, "{} bytes of {layers} layers", file.len());
    let document: serde_json::Value = serde_json::from_str(&file).unwrap();
    let events = document["traceEvents"].as_array().unwrap();
    let tracks: Vec<_> = events.iter().filter(|event| event["name"] == "thread_name").collect();
    let track = |name: &str| tracks.iter().find(|event| event["args"]["name"] == name).unwrap()["tid"].clone();
    let spans = |name: &str| {
        let tid = track(name);
        events.iter().filter(|event| event["ph"] == "X" && event["tid"] == tid).collect::<Vec<_>>()
    };
    let number = |span: &serde_json::Value, key: &str| span["args"][key].as_u64().unwrap();
    let (running, windows) = (spans("run_pu"), spans("windows"));
    for window in &windows {
        let inside = |phase: &&&serde_json::Value| {
            let end = |span: &serde_json::Value| number(span, "start_cycle") + number(span, "cycles");
            number(phase, "start_cycle") <= number(window, "start_cycle") && end(window) <= end(phase)
        };
        assert_eq!(running.iter().filter(inside).count(), 1, "{window}");
    }
    assert!(windows.len() > layers);
    assert!(spans("division 0 slot 7").iter().all(|span| span["name"].as_str().unwrap().starts_with("filter ")));
}
