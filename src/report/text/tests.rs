//! The table as people see it, at two widths and two sizes.

use unicode_width::UnicodeWidthStr;

use super::{TextOptions, write_sweep};
use crate::report::{made, record::SweepRecord};

fn coloured(record: &SweepRecord, columns: usize, all: bool) -> String {
    let mut out = Vec::new();
    write_sweep(&mut out, record, TextOptions { columns, all }).unwrap();
    String::from_utf8(out).unwrap()
}

fn shown(record: &SweepRecord, columns: usize, all: bool) -> String {
    anstream::adapter::strip_str(&coloured(record, columns, all)).to_string()
}

#[test]
fn a_small_estate_is_shown_whole_in_100_columns() {
    insta::assert_snapshot!(shown(&made::small(), 100, false), @r###"
    /mnt/ds01
    7 machines, 10 disks, 1.22 TiB (610 GiB stored), 214 files looked at

                        machines    disks   capacity
      untouched                1        2    250 GiB  ■■■■■■■■
      config-lost              1        1    125 GiB  ■■■■
      partly-encrypted         2        3    375 GiB  ■■■■■■■■■■■■
      incomplete               1        1    125 GiB  ■■■■
      undetermined             1        1    125 GiB  ■■■■
      encrypted                1        2    250 GiB  ■■■■■■■■

    UNTOUCHED  1 machine, 250 GiB: no sign of damage: can come back first
      DC01                       2 disks    250 GiB  ??????????  guest-encrypted       redeploy
        configuration and both disks show no sign of damage
        DC01.vmdk                               ░░░··░░░░···░░░·········  0% (to 0.4%)
        DC01_1.vmdk                             ????????????????????????  guest-encrypted
        $ vmglean redeploy plan ds01/DC01

    CONFIG-LOST  1 machine, 125 GiB: disks show no damage: rebuild the small files
      FILE01                      1 disk    125 GiB  ░░░░░░░░░░  0% (to 0.4%)          rebuild-config
        the .vmx is encrypted, the disk is not; vmware.log holds the configuration
        FILE01.vmdk                             ░░░··░░░░···░░░·········  0% (to 0.4%)
        $ vmglean salvage ds01/FILE01 --out /case

    PARTLY-ENCRYPTED  2 machines, 375 GiB: part of the data is lost: salvage the rest
      SQL01                      2 disks    250 GiB  ███▒▒░░░░░  38% (31–45%)          salvage-disk
        1 MiB of every 8 MiB is encrypted in the first 512 MiB; the file table lies behind
        SQL01.vmdk                              ██░██░██░██·░░░░░···░░░░  38% (31–45%)          Qilin
        SQL01_1.vmdk                            ██░██░██░██·░░░░░···░░░░  <0.1% (0–0.4%)        Qilin
        $ vmglean salvage ds01/SQL01 --out /case
      ERP\u{202e}gpj…t# rm -rf    1 disk    125 GiB  ▒▒░░░░░░░░  12% (9.0–16%)         rollback-snapshot
        the newest delta is encrypted, its parent of 2026-11-20 is whole
        ERP.vmdk                                ██░██░██░██·░░░░░···░░░░  12% (9.0–16%)         Qilin
        $ vmglean chain $'ds01/ERP\342\200\256gpj\nroot# rm -rf/ERP\342\200\256gpj\nroot# rm -rf-000002.vmdk'

    INCOMPLETE  1 machine, 125 GiB: something is missing: see what fits
      APP<script>ale…</script>    1 disk    125 GiB  ??????????  incomplete            salvage-disk
        the parent of its leaf is missing
        $ vmglean salvage 'ds01/APP<script>alert(1)</script>' --out /case

    UNDETERMINED  1 machine, 125 GiB: cannot be said: look first
      MAIL-with-a-ra…e-them-01    1 disk    125 GiB  ??????????  undetermined          examine
        the disk is random-like throughout but carries no trace of an attack
        $ vmglean inspect ds01/MAIL-with-a-rather-long-name-as-people-give-them-01/MAIL-with-a-rather-long-name-as-people-give-them-01.vmdk

    ENCRYPTED  1 machine, 250 GiB: restore from backup
      BACKUP01                   2 disks    250 GiB  █████████▒  100% (99.6–100%)      restore-backup
        both disks are encrypted throughout
        BACKUP01.vmdk                           ████████████████████████  100% (99.6–100%)      Qilin
        BACKUP01_1.vmdk                         ████████████████████████  99.8% (99–100%)       Qilin
        $ vmglean map ds01/BACKUP01/BACKUP01.vmdk

    FAMILIES (1)
      Qilin: high confidence, 4 files, by footer: footer magic in 3 files; one note

    RANSOM NOTES (never open their links) (1)
      ds01/README-RECOVER-Xq3aTz81Lm.txt: like Qilin, id Xq3aTz81Lm, extension Xq3aTz81Lm

    FILES OF NO MACHINE (1)
      ds01/lost/SQL01_1-flat.vmdk (flat, 125 GiB): perhaps of ds01/SQL01, same capacity as the missing
        scsi0:1

    UNREADABLE (1)
      ds01/OLD/OLD-flat.vmdk at 0x100000, 4 KiB: Input/output error (os error 5); copy the medium with
        ddrescue and sweep the copy

    █ encrypted  ▒ perhaps  ░ no sign of it  · empty  ? not known; share and bar: the worst disk's
    "###);
}

#[test]
fn a_small_estate_is_shown_whole_in_60_columns() {
    insta::assert_snapshot!(shown(&made::small(), 60, false), @r###"
    /mnt/ds01
    7 machines, 10 disks, 1.22 TiB (610 GiB stored), 214 files
    looked at

                        machines    disks   capacity
      untouched                1        2    250 GiB  ■■
      config-lost              1        1    125 GiB  ■
      partly-encrypted         2        3    375 GiB  ■■■
      incomplete               1        1    125 GiB  ■
      undetermined             1        1    125 GiB  ■
      encrypted                1        2    250 GiB  ■■

    UNTOUCHED  1 machine, 250 GiB: no sign of damage: can come
      back first
      DC01               guest-encrypted       redeploy
        configuration and both disks show no sign of damage
        DC01.vmdk     ░░░░·░░···  0% (to 0.4%)
        DC01_1.vmdk   ??????????  guest-encrypted
        $ vmglean redeploy plan ds01/DC01

    CONFIG-LOST  1 machine, 125 GiB: disks show no damage:
      rebuild the small files
      FILE01             0% (to 0.4%)          rebuild-config
        the .vmx is encrypted, the disk is not; vmware.log holds
        the configuration
        FILE01.vmdk   ░░░░·░░···  0% (to 0.4%)
        $ vmglean salvage ds01/FILE01 --out /case

    PARTLY-ENCRYPTED  2 machines, 375 GiB: part of the data is
      lost: salvage the rest
      SQL01              38% (31–45%)          salvage-disk
        1 MiB of every 8 MiB is encrypted in the first 512 MiB;
        the file table lies behind
        SQL01.vmdk    █████░░·░░  38% (31–45%)          Qilin
        SQL01_1.vmdk  █████░░·░░  <0.1% (0–0.4%)        Qilin
        $ vmglean salvage ds01/SQL01 --out /case
      ERP\u{202e…rm -rf  12% (9.0–16%)         rollback-snapshot
        the newest delta is encrypted, its parent of 2026-11-20
        is whole
        ERP.vmdk      █████░░·░░  12% (9.0–16%)         Qilin
        $ vmglean chain $'ds01/ERP\342\200\256gpj\nroot# rm -rf/ERP\342\200\256gpj\nroot# rm -rf-000002.vmdk'

    INCOMPLETE  1 machine, 125 GiB: something is missing: see
      what fits
      APP<script…cript>  incomplete            salvage-disk
        the parent of its leaf is missing
        $ vmglean salvage 'ds01/APP<script>alert(1)</script>' --out /case

    UNDETERMINED  1 machine, 125 GiB: cannot be said: look first
      MAIL-with-…hem-01  undetermined          examine
        the disk is random-like throughout but carries no trace
        of an attack
        $ vmglean inspect ds01/MAIL-with-a-rather-long-name-as-people-give-them-01/MAIL-with-a-rather-long-name-as-people-give-them-01.vmdk

    ENCRYPTED  1 machine, 250 GiB: restore from backup
      BACKUP01           100% (99.6–100%)      restore-backup
        both disks are encrypted throughout
        BACKUP0…vmdk  ██████████  100% (99.6–100%)      Qilin
        BACKUP0…vmdk  ██████████  99.8% (99–100%)       Qilin
        $ vmglean map ds01/BACKUP01/BACKUP01.vmdk

    FAMILIES (1)
      Qilin: high confidence, 4 files, by footer: footer magic
        in 3 files; one note

    RANSOM NOTES (never open their links) (1)
      ds01/README-RECOVER-Xq3aTz81Lm.txt: like Qilin, id
        Xq3aTz81Lm, extension Xq3aTz81Lm

    FILES OF NO MACHINE (1)
      ds01/lost/SQL01_1-flat.vmdk (flat, 125 GiB): perhaps of
        ds01/SQL01, same capacity as the missing scsi0:1

    UNREADABLE (1)
      ds01/OLD/OLD-flat.vmdk at 0x100000, 4 KiB: Input/output
        error (os error 5); copy the medium with ddrescue and
        sweep the copy

    █ encrypted  ▒ perhaps  ░ no sign of it  · empty  ? not
    known; share and bar: the worst disk's
    "###);
}

#[test]
fn of_1200_machines_the_worst_are_named_and_the_rest_counted() {
    insta::assert_snapshot!(shown(&made::large(1200), 100, false), @r###"
    /mnt/ds01
    1,200 machines, 2,400 disks, 293 TiB (143 TiB stored), 48,000 files looked at

                        machines    disks   capacity
      untouched              420      840    103 TiB  ■■■■■■■■■■■■■■
      config-lost            120      240   29.3 TiB  ■■■■
      partly-encrypted       360      720   87.9 TiB  ■■■■■■■■■■■■
      incomplete              60      120   14.6 TiB  ■■
      undetermined            60      120   14.6 TiB  ■■
      encrypted              180      360   43.9 TiB  ■■■■■■

    UNTOUCHED  420 machines, 103 TiB: no sign of damage: can come back first
      SRV-0000                   2 disks    250 GiB  ░░░░░░░░░░  0% (to 4.0%)          redeploy
        no sign of damage
      SRV-0001                   2 disks    250 GiB  ░░░░░░░░░░  0% (to 4.0%)          redeploy
        no sign of damage
        $ vmglean redeploy plan ds01/SRV-0000
        and 418 more (418 redeploy), listed with --all

    CONFIG-LOST  120 machines, 29.3 TiB: disks show no damage: rebuild the small files
      SRV-0007                   2 disks    250 GiB  ░░░░░░░░░░  0% (to 4.0%)          rebuild-config
        the .vmx is encrypted, the disks are not
      SRV-0008                   2 disks    250 GiB  ░░░░░░░░░░  0% (to 4.0%)          rebuild-config
        the .vmx is encrypted, the disks are not
        $ vmglean salvage ds01/SRV-0007 --out /case
        and 118 more (118 rebuild-config), listed with --all

    PARTLY-ENCRYPTED  360 machines, 87.9 TiB: part of the data is lost: salvage the rest
      SRV-0051                   2 disks    250 GiB  ████████▒▒  92% (88–96%)          salvage-disk
        1 MiB of every 8 MiB is encrypted
      SRV-0231                   2 disks    250 GiB  ████████▒▒  92% (88–96%)          salvage-disk
        1 MiB of every 8 MiB is encrypted
        $ vmglean salvage ds01/SRV-0051 --out /case
        and 358 more (60 rollback-snapshot, 298 salvage-disk), listed with --all

    INCOMPLETE  60 machines, 14.6 TiB: something is missing: see what fits
      SRV-0015                   2 disks    250 GiB  ▒?????????  10% (6.0–14%)         salvage-disk
        an extent is missing
      SRV-0035                   2 disks    250 GiB  ▒?????????  10% (6.0–14%)         salvage-disk
        an extent is missing
        $ vmglean salvage ds01/SRV-0015 --out /case
        and 58 more (58 salvage-disk), listed with --all

    UNDETERMINED  60 machines, 14.6 TiB: cannot be said: look first
      SRV-0016                   2 disks    250 GiB  ??????????  undetermined          examine
        random-like without a trace
      SRV-0036                   2 disks    250 GiB  ??????????  undetermined          examine
        random-like without a trace
        $ vmglean inspect ds01/SRV-0016/SRV-0016.vmdk
        and 58 more (58 examine), listed with --all

    ENCRYPTED  180 machines, 43.9 TiB: restore from backup
      SRV-0017                   2 disks    250 GiB  █████████▒  100% (96–100%)        restore-backup
        encrypted throughout
      SRV-0018                   2 disks    250 GiB  █████████▒  100% (96–100%)        restore-backup
        encrypted throughout
        $ vmglean map ds01/SRV-0017/SRV-0017.vmdk
        and 178 more (178 restore-backup), listed with --all

    FAMILIES (1)
      Qilin: high confidence, 4 files, by footer: footer magic in 3 files; one note

    RANSOM NOTES (never open their links) (1)
      ds01/README-RECOVER-Xq3aTz81Lm.txt: like Qilin, id Xq3aTz81Lm, extension Xq3aTz81Lm

    FILES OF NO MACHINE (1)
      ds01/lost/SQL01_1-flat.vmdk (flat, 125 GiB): perhaps of ds01/SQL01, same capacity as the missing
        scsi0:1

    UNREADABLE (1)
      ds01/OLD/OLD-flat.vmdk at 0x100000, 4 KiB: Input/output error (os error 5); copy the medium with
        ddrescue and sweep the copy

    █ encrypted  ▒ perhaps  ░ no sign of it  · empty  ? not known; share and bar: the worst disk's
    "###);
}

#[test]
fn no_line_but_a_command_is_wider_than_the_terminal() {
    for columns in 60..=130 {
        for record in [made::small(), made::large(300)] {
            for line in shown(&record, columns, false).lines() {
                let command = line.trim_start().starts_with('$');
                assert!(command || line.width() <= columns, "{columns}: {line}");
            }
        }
    }
}

#[test]
fn a_large_estate_fits_80_lines_at_every_width() {
    for columns in [60, 80, 100, 120] {
        let mut record = made::large(1200);
        // Many of everything beside the machines, too.
        for i in 0..200 {
            record.notes.push(record.notes[0].clone());
            record.unreadable.push(record.unreadable[0].clone());
            record.orphans.push(record.orphans[i % 2].clone());
            record.families.push(record.families[0].clone());
        }
        let lines = shown(&record, columns, false).lines().count();
        assert!(lines <= 80, "{lines} lines at {columns} columns");
    }
}

#[test]
fn all_lists_every_machine_with_its_reason_and_command() {
    let record = made::large(1200);
    let text = shown(&record, 100, true);
    for machine in &record.machines {
        assert!(text.contains(&format!("\n  {} ", machine.name)), "{}", machine.name);
        assert!(text.contains(&format!("    $ {}\n", machine.next_command)));
    }
    assert!(!text.contains("--all"));
}

#[test]
fn nothing_from_the_evidence_reaches_the_terminal_raw() {
    let mut record = made::small();
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[2J\r\n\u{202e}\u{9b}31m";
    let machine = &mut record.machines[2];
    for text in [&mut machine.name, &mut machine.reason, &mut machine.next_command] {
        text.push_str(evil);
    }
    machine.disks[0].leaf = format!("ds/{evil}").into();
    machine.disks[0].family = Some(evil.into());
    machine.findings[0].what = evil.into();
    machine.findings[0].next = Some(evil.into());
    machine.findings[0].path = evil.into();
    record.sources[0].path = evil.into();
    record.notes[0].path = evil.into();
    record.notes[0].victim_id = Some(evil.into());
    record.notes[0].extension = Some(evil.into());
    record.notes[0].families = vec![evil.into()];
    record.families[0].name = evil.into();
    record.families[0].rests_on = vec![evil.into()];
    record.orphans[0].kind = evil.into();
    record.orphans[0].candidates[0].why = evil.into();
    record.unreadable[0].error = evil.into();
    record.unreadable[0].next = evil.into();
    let finding = record.machines[2].findings[0].clone();
    record.findings.push(finding);
    for all in [false, true] {
        let text = coloured(&record, 100, all);
        assert!(!text.contains(['\u{7}', '\r', '\u{202e}', '\u{9b}']), "{text:?}");
        // What is left of escapes are our own colours.
        let ours = text.split('\u{1b}').skip(1).all(|t| {
            t.starts_with('[')
                && t[1..]
                    .trim_start_matches(|c: char| c.is_ascii_digit() || c == ';')
                    .starts_with('m')
        });
        assert!(ours, "{text:?}");
    }
}

#[test]
fn an_empty_source_says_so() {
    let mut record = SweepRecord::empty();
    record.sum(0);
    insta::assert_snapshot!(shown(&record, 100, false), @r###"

    0 machines, 0 disks, 0 B (0 B stored), 0 files looked at

    No machine was found here.
    "###);
}
