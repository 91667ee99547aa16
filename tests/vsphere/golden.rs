//! Answers of real servers that the simulator never gives, as vendors and issue trackers show them.

use vmglean::redeploy::vsphere::{Address, Credentials, Server, Trust};

use crate::{
    bench::{PASSWORD, bench, text},
    proxy::Action,
};

const SIZE: usize = 64 << 10;

macro_rules! soap {
    ($($part:expr),*) => {
        concat!(
            r#"<?xml version="1.0"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>"#,
            $($part,)*
            "</soapenv:Body></soapenv:Envelope>"
        )
    };
}

macro_rules! fault {
    ($kind:literal, $message:literal, $inner:literal) => {
        soap!(
            "<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>",
            $message,
            "</faultstring><detail><",
            $kind,
            r#"Fault xmlns="urn:vim25" xsi:type=""#,
            $kind,
            r#"">"#,
            $inner,
            "</",
            $kind,
            "Fault></detail></soapenv:Fault>"
        )
    };
}

macro_rules! properties {
    ($obj:literal, $($name:literal => $value:literal),*) => {
        soap!(
            r#"<RetrievePropertiesExResponse xmlns="urn:vim25"><returnval><objects>"#,
            $obj,
            $("<propSet><name>", $name, "</name>", $value, "</propSet>",)*
            "</objects></returnval></RetrievePropertiesExResponse>"
        )
    };
}

const FIRST_PAGE: &str = soap!(
    r#"<RetrievePropertiesExResponse xmlns="urn:vim25"><returnval><token>0</token>"#,
    r#"<objects><obj type="VirtualMachine">vm-1</obj><propSet><name>name</name><val xsi:type="xsd:string">a%2fb</val></propSet></objects>"#,
    r#"<objects><obj type="VirtualMachine">vm-2</obj><missingSet><path>name</path><fault><fault xsi:type="NoPermission"><object type="VirtualMachine">vm-2</object><privilegeId>System.Read</privilegeId></fault><localizedMessage/></fault></missingSet></objects>"#,
    "</returnval></RetrievePropertiesExResponse>"
);
const SECOND_PAGE: &str = soap!(
    r#"<ContinueRetrievePropertiesExResponse xmlns="urn:vim25"><returnval>"#,
    r#"<objects><obj type="VirtualMachine">vm-3</obj><propSet><name>name</name><val xsi:type="ns9:NewString"><newer/>c</val></propSet></objects>"#,
    "</returnval></ContinueRetrievePropertiesExResponse>"
);

#[test]
fn an_inventory_in_pages_is_read_to_its_end() {
    let bench = bench(&["-esx"]);
    let address = Address::parse(&bench.proxy.url()).unwrap();
    let login = Credentials::new("root", PASSWORD);
    let server = Server::connect(&address, login, Trust::Nothing).unwrap();
    bench.proxy.rule("ContinueRetrievePropertiesEx", Action::Say(200, SECOND_PAGE));
    bench.proxy.rule("RetrievePropertiesEx", Action::Say(200, FIRST_PAGE));
    let found = server.list("VirtualMachine", &["name"]).unwrap();
    let seen: Vec<_> = found
        .iter()
        .map(|object| (object.mo.id.as_str(), object.properties.text("name")))
        .collect();
    assert_eq!(seen, [("vm-1", Some("a%2fb")), ("vm-2", None), ("vm-3", Some("c"))]);
}

#[test]
fn what_a_host_refuses_is_named_with_what_to_do_and_the_run_goes_on_later() {
    let bench = bench(&["-esx"]);
    bench.flat("web", SIZE);
    bench.plan();
    let before = bench.machines().len();
    for (call, reply, words) in [
        (
            "AddVirtualSwitch",
            fault!(
                "HostAccessRestrictedToManagementServer",
                "",
                "<managementServer>192.0.2.7</managementServer>"
            ),
            ["192.0.2.7", "a vCenter manages this host"],
        ),
        (
            "MakeDirectory",
            fault!("RestrictedVersion", "Current license or ESXi version prohibits", ""),
            ["RestrictedVersion", "licence only allows reading"],
        ),
        (
            "MakeDirectory",
            fault!(
                "NoPermission",
                "",
                r#"<object type="Datastore">ds-1</object><privilegeId>Datastore.FileManagement</privilegeId>"#
            ),
            ["NoPermission", "Datastore.FileManagement"],
        ),
        (
            "RegisterVM_Task",
            soap!(
                "<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>odd</faultstring></soapenv:Fault>"
            ),
            ["RegisterVM_Task", "odd"],
        ),
    ] {
        bench.proxy.rule(call, Action::Say(500, reply));
        let said = bench.apply(&["--retries", "0"]);
        assert_eq!(said.status.code(), Some(74), "{}", text(&said));
        for word in words {
            assert!(text(&said).contains(word), "{word:?} in {}", text(&said));
        }
        assert_eq!(bench.machines().len(), before);
    }
    let made = bench.apply(&["--retries", "0"]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made));
    assert_eq!(bench.count("web"), 1);
}

const RUNNING: &str = properties!(
    r#"<obj type="Task">task-1</obj>"#,
    "info.progress" => r#"<val xsi:type="xsd:int">37</val>"#,
    "info.state" => r#"<val xsi:type="TaskInfoState">running</val>"#
);
const INITIALIZING: &str = properties!(
    r#"<obj type="HttpNfcLease">lease-1</obj>"#,
    "state" => r#"<val xsi:type="HttpNfcLeaseState">initializing</val>"#
);
const FAILED: &str = properties!(
    r#"<obj type="HttpNfcLease">lease-1</obj>"#,
    "error" => r#"<val xsi:type="LocalizedMethodFault"><fault xsi:type="InsufficientResourcesFault"><faultMessage><key>vob</key><message>no room on ds</message></faultMessage></fault><localizedMessage>Insufficient resources.</localizedMessage></val>"#,
    "state" => r#"<val xsi:type="HttpNfcLeaseState">error</val>"#
);

#[test]
fn a_task_that_takes_its_time_is_waited_for_and_a_lease_that_fails_leaves_nothing() {
    let bench = bench(&["-esx"]);
    bench.flat("f0", SIZE);
    bench.stream("s0", SIZE);
    bench.plan();
    let before = bench.machines().len();
    for reply in [RUNNING, RUNNING] {
        bench.proxy.rule("<pathSet>info.state</pathSet>", Action::Say(200, reply));
    }
    for reply in [INITIALIZING, FAILED] {
        bench.proxy.rule("<pathSet>state</pathSet>", Action::Say(200, reply));
    }
    let first = bench.apply(&["--retries", "0"]);
    assert_eq!(first.status.code(), Some(3), "{}", text(&first));
    for word in ["InsufficientResourcesFault", "no room on ds", "start fewer machines"] {
        assert!(text(&first).contains(word), "{word:?} in {}", text(&first));
    }
    assert_eq!(bench.machines().len(), before + 1, "the failed import left its machine");
    let again = bench.apply(&["--retries", "0"]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    assert_eq!((bench.count("f0"), bench.count("s0")), (1, 1));
    assert_eq!(bench.machines().len(), before + 2);
}

const FULL: &str = properties!(
    r#"<obj type="Datastore">ds-1</obj>"#,
    "name" => r#"<val xsi:type="xsd:string">LocalDS_0</val>"#,
    "summary.accessible" => r#"<val xsi:type="xsd:boolean">true</val>"#,
    "summary.freeSpace" => r#"<val xsi:type="xsd:long">1000</val>"#,
    "summary.type" => r#"<val xsi:type="xsd:string">VMFS</val>"#
);

const GRANTED: &str = soap!(
    r#"<HasPrivilegeOnEntitiesResponse xmlns="urn:vim25"><returnval><entity type="Datastore">ds-1</entity>"#,
    "<privAvailability><privId>Datastore.Browse</privId><isGranted>true</isGranted></privAvailability>",
    "<privAvailability><privId>Datastore.FileManagement</privId><isGranted>false</isGranted></privAvailability>",
    "</returnval></HasPrivilegeOnEntitiesResponse>"
);

#[test]
fn a_privilege_that_is_lacking_is_named_before_anything_is_made() {
    let bench = bench(&["-esx"]);
    bench.flat("web", SIZE);
    let wanted = "<privId>Datastore.FileManagement</privId>";
    bench.proxy.rule(wanted, Action::Say(200, GRANTED));
    let planned = bench.plan();
    assert_eq!(planned.status.code(), Some(3), "{}", text(&planned));
    bench.proxy.rule(wanted, Action::Say(200, GRANTED));
    let said = bench.apply(&[]);
    assert_eq!(said.status.code(), Some(4), "{}", text(&said));
    let words = "root lacks Datastore.FileManagement on datastore LocalDS_0";
    assert!(text(&said).contains(words), "{}", text(&said));
    assert_eq!(text(&said).trim().lines().count(), 1, "{}", text(&said));
    assert!(bench.proxy.uploads().is_empty());
    // A server that cannot tell is believed to grant it.
    let unknown = fault!("NotSupported", "", "");
    bench.proxy.rule(wanted, Action::Say(500, unknown));
    let said = bench.apply(&[]);
    assert_eq!(said.status.code(), Some(0), "{}", text(&said));
}

#[test]
fn a_host_that_imports_cannot_reach_is_named_beforehand() {
    let bench = bench(&[]);
    bench.stream("web", SIZE);
    let planned = bench.plan();
    // The simulated vCenter's hosts have names that lead nowhere.
    assert!(
        text(&planned).contains("DC0_H0:443 cannot be reached from here"),
        "{}",
        text(&planned)
    );
}

#[test]
fn no_room_is_told_before_anything_is_made() {
    let bench = bench(&["-esx"]);
    bench.flat("web", SIZE);
    bench.proxy.rule("summary.freeSpace", Action::Say(200, FULL));
    let planned = bench.plan();
    assert_eq!(planned.status.code(), Some(3), "{}", text(&planned));
    assert!(text(&planned).contains("has 1000 bytes free"), "{}", text(&planned));
    bench.proxy.rule("summary.freeSpace", Action::Say(200, FULL));
    let said = bench.apply(&[]);
    assert_eq!(said.status.code(), Some(4), "{}", text(&said));
    assert!(text(&said).contains("datastore LocalDS_0 has 1000 bytes free"), "{}", text(&said));
    assert_eq!(text(&said).trim().lines().count(), 1, "{}", text(&said));
    for call in ["MakeDirectory", "RegisterVM_Task", "AddVirtualSwitch"] {
        assert_eq!(bench.proxy.calls(call), 0, "{call}");
    }
}
