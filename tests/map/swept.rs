//! A sweep that reads everything rests on the same maps.

use serde_json::Value;
use vmglean_forge::damage::Geometry;

use crate::make::Case;

fn swept(case: &Case) -> Value {
    let output = case.run(&["sweep", "--full", "--json", "--reproducible", "ds"]);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Every disk of the record, of machines and of none.
fn share_of(record: &Value) -> (String, f64, f64, f64) {
    let text = record.to_string();
    let all =
        record["machines"].as_array().unwrap().iter().chain(record["orphans"].as_array().unwrap());
    let disk = all
        .flat_map(|one| one["disks"].as_array().cloned().unwrap_or_else(|| vec![one.clone()]))
        .find(|disk| disk["encrypted_fraction"].is_number())
        .unwrap_or_else(|| panic!("no disk with a share: {text}"));
    let number = |name: &str| disk[name].as_f64().unwrap();
    (
        disk["method"].as_str().unwrap_or_default().to_owned(),
        number("encrypted_fraction"),
        number("encrypted_fraction_low"),
        number("encrypted_fraction_high"),
    )
}

#[test]
fn a_full_sweep_gives_the_share_that_the_map_gives() {
    let case = Case::new();
    let comb = Geometry::Periodic { start: 0, run: 1_000_000, period: 3_000_000, stop: None };
    let truth = case.flat("d-flat.vmdk", 16, comb);
    std::fs::write(
        case.disk("d.vmdk"),
        format!(
            "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n\
             createType=\"vmfs\"\n\nRW {} VMFS \"d-flat.vmdk\"\n\n\
             ddb.adapterType = \"lsilogic\"\nddb.virtualHWVersion = \"14\"\n",
            (16 << 20) / 512
        ),
    )
    .unwrap();
    let (method, share, low, high) = share_of(&swept(&case));
    let real = truth.encrypted_bytes() as f64 / f64::from(16 << 20);
    assert_eq!(method, "full");
    assert!((share - real).abs() < 0.0005, "{share} where {real} is true");
    // The record keeps six digits.
    assert!(low - 1e-6 <= real && real <= high + 1e-6, "{low} to {high}");
}
