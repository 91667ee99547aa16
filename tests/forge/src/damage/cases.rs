//! The geometries of known families, over a file of any size.

use super::{geometry::Geometry, keystream::Cipher, trailer::Trailer};

const MIB: u64 = 1 << 20;

/// One attack by its name.
#[derive(Clone, Debug)]
pub struct Case {
    /// Family and mode.
    pub name: &'static str,
    /// Where it encrypts.
    pub geometry: Geometry,
    /// How.
    pub cipher: Cipher,
    /// What it appends, if that is known.
    pub trailer: Option<Trailer>,
}

fn case(name: &'static str, geometry: Geometry, trailer: Option<Trailer>) -> Case {
    Case { name, geometry, cipher: Cipher::Stream, trailer }
}

fn opaque(random: usize, marker: &[u8]) -> Option<Trailer> {
    Some(Trailer::Opaque { random, marker: marker.to_vec() })
}

fn periodic(start: u64, run: u64, period: u64) -> Geometry {
    Geometry::Periodic { start, run, period, stop: None }
}

/// `head`, then `count` runs of `run` bytes spread over the rest at equal gaps.
fn spread(size: u64, head: u64, run: u64, count: u64) -> Geometry {
    let rest = size.saturating_sub(head + run * count);
    let gap = rest / count.max(1);
    Geometry::HeadThenPeriodic { head, start: head + gap, run, period: run + gap, stop: None }
}

/// Every geometry whose numbers are known, for a file of `size` bytes. Absolute lengths that
/// are made for disks of many gigabytes come a second time scaled to the file, so that a small
/// test disk sees their shape too.
#[must_use]
pub fn family_cases(size: u64) -> Vec<Case> {
    let mut all = whole_and_heads(size);
    all.extend(combs(size));
    all.extend(chunks(size));
    all.extend(lattices());
    all.extend(broken_off(size));
    all
}

fn whole_and_heads(size: u64) -> Vec<Case> {
    let mut money = case("Money Message, 8 KiB key stream", Geometry::Whole { start: 0 }, None);
    money.cipher = Cipher::Period(8192);
    money.trailer = opaque(172, b"");
    let mut exx = case("RansomEXX, ECB", Geometry::Whole { start: 0 }, opaque(512, b""));
    exx.cipher = Cipher::Ecb;
    vec![
        case("Megazord, whole", Geometry::Whole { start: 0 }, opaque(40, b"")),
        case("Clop, whole", Geometry::Whole { start: 0 }, None),
        case("Hive v6, whole from 0x50", Geometry::Whole { start: 0x50 }, opaque(658, b"")),
        money,
        exx,
        case("Babuk, 512 MiB head", Geometry::Head { bytes: 512 * MIB }, opaque(32, b"")),
        case("Babuk, head of an eighth", Geometry::Head { bytes: size / 8 }, opaque(32, b"")),
        case("Qilin fast, 8 MiB head", Geometry::Head { bytes: 8 * MIB }, qilin()),
        case(
            "Conti, 1 MiB head",
            Geometry::Head { bytes: MIB },
            Some(Trailer::ModePercentSize { mode: 0x26, percent: 50 }),
        ),
        case("Monti, decimal head", Geometry::Head { bytes: 100_000 }, opaque(256, b"")),
        case("Monti, shifted head", Geometry::Head { bytes: size >> 3 }, opaque(256, b"")),
        case("HelloKitty, 10 percent", Geometry::Head { bytes: size / 10 }, None),
        case("HelloKitty, 20 percent", Geometry::Head { bytes: size / 5 }, None),
        case("HelloKitty, 25 percent", Geometry::Head { bytes: size / 4 }, None),
        case("HelloKitty, 33 percent", Geometry::Head { bytes: size / 100 * 33 }, None),
        case("HelloKitty, 50 percent", Geometry::Head { bytes: size / 2 }, None),
    ]
}

fn qilin() -> Option<Trailer> {
    opaque(520, b"-----END CIPHERTEXT BLOCK-----")
}

fn combs(size: u64) -> Vec<Case> {
    let mib = size / MIB;
    let royal = |percent: u64| (percent / 10 * (size / 100) / 16 * 16).min(1_024_000);
    vec![
        case("Qilin skip-step 1:8", periodic(0, MIB, 8 * MIB), qilin()),
        case("Qilin skip-step 3:11", periodic(0, 3 * MIB, 11 * MIB), qilin()),
        case("Qilin percent", periodic(0, 2 * MIB, 2 * MIB + size / 20), qilin()),
        case(
            "Babuk NAS, 1 of 10 MiB",
            periodic(0, MIB, 10 * MIB),
            opaque(32, b"\xab\xbc\xcd\xde\xef\xf0"),
        ),
        case("ESXiArgs 1", periodic(0, MIB, (mib / 100).max(2) * MIB), None),
        case("ESXiArgs 2", periodic(0, MIB, 2 * MIB), None),
        case("RansomHub", periodic(0, MIB, 12 * MIB), opaque(113, b"")),
        case("INC", periodic(0, 1_000_000, 3_000_000), opaque(32, b"INC")),
        case("Lynx, about 5 percent", periodic(0, 1_000_000, 20_000_000), opaque(32, b"LYNX")),
        case("Lynx, about 25 percent", periodic(0, 1_000_000, 4_000_000), opaque(32, b"LYNX")),
        case("Hive v5", periodic(0, 0x10_0000, 0x10_0000 + 0x28_3000), None),
        case("Hive v1-v4", periodic(0, 4096, 4096 + 61_440), None),
        case("LockBit, some KB every some MB", periodic(0, 256 << 10, 4 * MIB), None),
        case("LockBit, 64 KiB every MiB", periodic(0, 64 << 10, MIB), None),
        case("DarkSide, parts", periodic(0, 5 * MIB, 15 * MIB), None),
        case(
            "Royal, 20 percent",
            periodic(0, royal(20), royal(20) * 5),
            Some(Trailer::SizePercent { percent: 20 }),
        ),
        case(
            "BlackSuit, 50 percent",
            periodic(0, royal(50), royal(50) * 2),
            Some(Trailer::SizePercent { percent: 50 }),
        ),
        case(
            "BlackCat, dot pattern",
            Geometry::HeadThenPeriodic {
                head: 4 * MIB,
                start: 4 * MIB + 6 * MIB,
                run: MIB,
                period: 7 * MIB,
                stop: Some(size / 4 * 3),
            },
            None,
        ),
        case(
            "BlackCat, smart pattern",
            Geometry::PercentOfBlocks { blocks: 10, percent: 20 },
            None,
        ),
        case(
            "Hunters 1",
            spread(size, size / 10, 512 << 10, (size / 20).div_ceil(512 << 10)),
            opaque(661, b""),
        ),
        case("Hunters 2, mode 2", spread(size, size / 10, size / 25, 5), opaque(640, b"")),
        case("Hunters 2, mode 8", spread(size, size / 100 * 30, size / 100, 10), opaque(640, b"")),
        case(
            "Hunters 2, mode 4",
            spread(size, (10 * MIB).min(size / 20), MIB, (size / 100 * 45 / MIB).min(50)),
            opaque(640, b""),
        ),
        case(
            "Play, every fifth block",
            Geometry::PlayBlocks { block: MIB, step: 5 },
            Some(Trailer::Play { block_step: 5, block_size: 1 << 20 }),
        ),
    ]
}

fn chunks(size: u64) -> Vec<Case> {
    let akira = |percent: u64| {
        let (n, count) = if percent < 50 { (3, 2) } else { (5, 4) };
        let run = size * percent / 100 / n;
        // From start to start, as its decryptor steps: at 50 percent the last 54 stay whole.
        Geometry::Chunks { count, run, step: (size - run * count) / n }
    };
    let conti = |percent: u64, table: u64, count: u64| {
        let run = size / 100 * table;
        let gap = if percent == 50 { run } else { (size - 3 * run) / 2 };
        Geometry::Chunks { count, run, step: run + gap }
    };
    let clear = |mode, percent| Some(Trailer::ModePercentSize { mode, percent });
    vec![
        case("Akira spot 50", akira(50), clear(2, 50)),
        case("Akira spot 15", akira(15), clear(2, 15)),
        case("Akira 2024", akira(50), opaque(512, b"")),
        case("Conti 10", conti(10, 4, 3), clear(0x25, 10)),
        case("Conti 30", conti(30, 10, 3), clear(0x25, 30)),
        case("Conti 50", conti(50, 10, 5), clear(0x25, 50)),
        case(
            "VECT 2.0",
            Geometry::Chunks { count: 4, run: 32 << 10, step: size / 4 },
            opaque(12, b""),
        ),
    ]
}

fn lattices() -> Vec<Case> {
    let basta = |geometry, name| Case {
        name,
        geometry,
        cipher: Cipher::SameEveryRun(64),
        trailer: Some(Trailer::Progress { counter: u64::MAX, marker: *b"basta-forge\0" }),
    };
    vec![
        basta(periodic(0, 64, 192), "Black Basta up to 1 GiB, same key stream"),
        basta(
            Geometry::HeadThenPeriodic {
                head: 5000,
                start: 5000,
                run: 64,
                period: 6400,
                stop: None,
            },
            "Black Basta above 1 GiB, same key stream",
        ),
        case("Black Basta up to 1 GiB, sound", periodic(0, 64, 192), None),
        case(
            "Black Basta above 1 GiB, sound",
            Geometry::HeadThenPeriodic {
                head: 5000,
                start: 5000,
                run: 64,
                period: 6400,
                stop: None,
            },
            None,
        ),
        case("LockFile", periodic(0, 16, 32), None),
    ]
}

fn broken_off(size: u64) -> Vec<Case> {
    let cut = |inner, at| Geometry::Interrupted { inner: Box::new(inner), at };
    vec![
        case("whole, broken off", cut(Geometry::Whole { start: 0 }, size / 3 + 12_345), None),
        case("INC, broken off", cut(periodic(0, 1_000_000, 3_000_000), size / 2 + 77), None),
        case(
            "ESXiArgs 2 and a head over it",
            Geometry::Layers(vec![periodic(0, MIB, 2 * MIB), Geometry::Head { bytes: size / 10 }]),
            None,
        ),
        case(
            "Conti twice",
            Geometry::Layers(vec![
                Geometry::Head { bytes: MIB },
                Geometry::Chunks {
                    count: 3,
                    run: size / 100 * 4,
                    step: (size + size / 100 * 4) / 2,
                },
            ]),
            Some(Trailer::Stack(vec![
                Trailer::ModePercentSize { mode: 0x26, percent: 50 },
                Trailer::ModePercentSize { mode: 0x25, percent: 10 },
            ])),
        ),
        case("nothing at all", Geometry::None, None),
    ]
}
