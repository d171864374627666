//! TPC-DS is read from the folder that its script makes, and what is missing there is named.

use staffa_harness::tpcds;

#[test]
fn queries_are_read_from_the_folder() {
    let data = tempfile::tempdir().unwrap();
    let error = tpcds::folder(data.path(), 0.01).unwrap_err().to_string();
    assert!(error.contains("scripts/tpcds-data --scale 0.01"), "{error}");
    let folder = data.path().join("tpcds-sf0.01");
    std::fs::create_dir_all(folder.join("queries")).unwrap();
    std::fs::write(folder.join("queries/q07.sql"), "SELECT 7").unwrap();
    assert_eq!(tpcds::folder(data.path(), 0.01).unwrap(), folder);
    let workload = tpcds::workload(&folder, 0.01, &[7]).unwrap();
    assert_eq!(workload.name, "tpcds-sf0.01");
    assert_eq!(
        (workload.queries[0].name.as_str(), workload.queries[0].sql.as_str()),
        ("q7", "SELECT 7")
    );
    assert_eq!(workload.tables.len(), 24);
    assert!(workload.tables.iter().any(|table| table.path == folder.join("store_sales")));
    let missing = tpcds::workload(&folder, 0.01, &[8]).unwrap_err().to_string();
    assert!(missing.contains("q08.sql"), "{missing}");
    for number in [0, 100] {
        assert!(tpcds::workload(&folder, 0.01, &[number]).is_err());
    }
}
