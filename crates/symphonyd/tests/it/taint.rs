//! Plaintext of people stays in its Vault's enclave: marked data is uploaded and asked for, and then looked for
//! everywhere else — in every file and log of every node, in every message between nodes with TLS taken off, in the
//! master's memory all the while (its enclave's answers come by a pipe and are no message), in what is handed out.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use symphony_sdk::client::{Format, Upload};
use symphony_types::id::RequestId;

use crate::network::{Network, TURN, VAULTS, now_ms, spec};

/// In every name, contact, merchant and city that is nobody's to see.
const PRIVATE: &str = "zqprivate7f3ataint";
/// The merchant that the campaign asks for: the question is no secret of any person.
const PUBLIC: &str = "zqpublic91cmerchant";
/// When a consent ends; a number that occurs nowhere else. **Units**: milliseconds.
const CONSENT_ENDS: u64 = 4_102_568_256_789;
/// People of each Vault.
const PEOPLE: usize = 60;
/// Bytes of memory or of a file that are searched at once.
const PIECE: usize = 1 << 20;
/// Every node with its role.
const NODES: [(&str, &str); 8] = [
    ("master-1", "master"),
    ("gateway", "gateway"),
    ("enterprise-vault-a", "vault"),
    ("enterprise-vault-b", "vault"),
    ("enterprise-vault-c", "vault"),
    ("verifier", "verifier"),
    ("payout", "payout"),
    ("ledger", "ledger"),
];
/// Has a node write its messages down, in a folder of this name beside its configuration.
const WIRETAP: (&str, &str) = ("SYMPHONY_NODE_WIRETAP", "messages");

/// R002, R058, R076, R226: no file below the network's folder has a person's data in clear, in any usual encoding,
/// not a Vault's either, with every node logging everything; nor has a message, the master's memory or anything
/// handed out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_persons_data_is_nowhere_in_clear() {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("network");
    let policy = ["--policy", "challenge=300,epoch=1000"];
    let network = Network::start_with(&dir, &policy, &[("SYMPHONY_LOG", "trace"), WIRETAP]);
    network.ready().await;
    let master = network.pid("master-1");
    let (private, public) = (Needles::of(PRIVATE), Needles::of(PUBLIC));
    let ended = AtomicBool::new(false);
    let (samples, handed_out) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut samples = Samples::default();
            while !(samples.forbidden || samples.taken > 0 && ended.load(Ordering::Acquire)) {
                samples.take(master, &private, &public);
            }
            samples
        });
        let handed_out = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(marked_campaign(&network))
        });
        ended.store(true, Ordering::Release);
        (watcher.join().unwrap(), handed_out)
    });
    assert_eq!(network.pid("master-1"), master, "the master that was watched is the one that worked");
    assert!(samples.forbidden || samples.public, "the search finds what is in the master's memory");
    assert_eq!(samples.private, None, "in the master's memory, of {} samples", samples.taken);
    println!("{} samples of the master's memory, forbidden: {}", samples.taken, samples.forbidden);
    for (what, bytes) in handed_out {
        assert_eq!(private.find(&bytes), None, "{what}");
    }
    network.stop();
    check_files(&dir, &private, &public);
    check_messages(&dir, &private);
}

fn check_files(dir: &Path, private: &Needles, public: &Needles) {
    let number = Needles::number(CONSENT_ENDS);
    let mut asked = Vec::new();
    let files = files(dir);
    for file in &files {
        let name = file.strip_prefix(dir).unwrap().display().to_string();
        assert_eq!(in_file(file, private), None, "{name}");
        if !name.starts_with("enterprise-vault-") {
            assert_eq!(in_file(file, &number), None, "{name}");
        }
        if in_file(file, public).is_some() {
            asked.push(name);
        }
    }
    // What is allowed in clear is found, so the search works and the files are the right ones.
    for expected in ["master-1/data/journal.redb", "enterprise-vault-a/data"] {
        assert!(asked.iter().any(|name| name.starts_with(expected)), "{expected} is not among {asked:?}");
    }
    // The nodes did log what they could.
    for node in ["master-1", "gateway", "enterprise-vault-a", "verifier", "payout", "ledger"] {
        let log = fs::read_to_string(dir.join(format!("logs/{node}.log"))).unwrap();
        assert!(log.contains("\"level\":\"TRACE\"") && log.contains("Data {"), "{node} logged its frames");
    }
    println!("{} files searched; the question is in {asked:?}", files.len());
}

/// Searches what every node said and heard. Uploads are no exception: the gateway, where a caller's TLS ends, seals
/// them to the Vault, so that nobody's data is plain in any message between nodes.
fn check_messages(dir: &Path, private: &Needles) {
    let (number, in_headers) = (Needles::number(CONSENT_ENDS), Needles::in_headers(PRIVATE));
    let (mut said, mut heads) = (BTreeMap::<String, Vec<u8>>::new(), BTreeMap::<String, Vec<u8>>::new());
    let mut messages = 0;
    for (node, _) in NODES {
        for file in files(&dir.join(node).join(WIRETAP.1)) {
            let name = file.file_name().unwrap().to_str().unwrap();
            let (peer, direction) = (name.split('.').next().unwrap(), name.rsplit('.').next().unwrap());
            let way = format!("{node} {direction} {peer}");
            let bytes = fs::read(&file).unwrap();
            for body in bodies(&bytes).into_values() {
                messages += uncompressed(&body);
                said.entry(way.clone()).or_default().extend(body);
            }
            heads.entry(way).or_default().extend(bytes);
        }
    }
    for (way, bytes) in &said {
        for needles in [private, &number] {
            assert_eq!(needles.find(bytes), None, "{way}");
        }
    }
    for (way, bytes) in &heads {
        assert_eq!(in_headers.find(bytes), None, "{way}");
    }
    // What is allowed in clear is found where it passes, at both ends and in both directions.
    for (way, text) in [
        ("gateway sent master-1", PUBLIC),
        ("master-1 received gateway", PUBLIC),
        ("master-1 sent gateway", "luckin"),
        ("master-1 sent enterprise-vault-a", PUBLIC),
        ("enterprise-vault-a received master-1", PUBLIC),
        ("master-1 received enterprise-vault-a", "vault-a"),
        ("master-1 sent verifier", PUBLIC),
        ("master-1 received verifier", "verifier"),
    ] {
        assert_eq!(Needles::of(text).find(&said[way]), Some("raw"), "{way}: {text}");
    }
    for way in ["gateway sent master-1", "master-1 sent enterprise-vault-a", "master-1 sent ledger"] {
        assert!(Needles::in_headers("symphony.internal").find(&heads[way]).is_some(), "{way}");
    }
    println!("{messages} messages searched, of {:?}", said.keys());
}

/// What one direction of an HTTP/2 connection carries, by stream: a message may be cut by the heads of frames.
fn bodies(bytes: &[u8]) -> BTreeMap<[u8; 4], Vec<u8>> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut rest = bytes.strip_prefix(PREFACE).unwrap_or(bytes);
    let mut bodies: BTreeMap<_, Vec<u8>> = BTreeMap::new();
    // A connection may have ended within a frame.
    while let Some((&[high, middle, low, kind, flags, ref stream @ ..], after)) =
        rest.split_first_chunk::<9>()
    {
        assert!(kind <= 9, "not a frame of HTTP/2");
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        let (payload, next) = after.split_at(length.min(after.len()));
        if kind == 0 {
            assert_eq!(flags & 8, 0, "the frame is padded");
            bodies.entry(*stream).or_default().extend_from_slice(payload);
        }
        rest = next;
    }
    bodies
}

/// How many gRPC messages are in a body, none of which is compressed.
fn uncompressed(body: &[u8]) -> usize {
    let (mut rest, mut messages) = (body, 0);
    while let Some(([compressed, length @ ..], after)) = rest.split_first_chunk::<5>() {
        assert_eq!(*compressed, 0, "the message is compressed");
        let length = u32::from_be_bytes(*length) as usize;
        rest = after.get(length..).unwrap_or_default();
        messages += 1;
    }
    messages
}

/// R002: a node does not write messages down where people's own data may be.
#[test]
fn a_production_policy_refuses_a_wiretap() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("network");
    let symphonyd = || Command::new(env!("CARGO_BIN_EXE_symphonyd"));
    let create = ["dev", "--create-only", "--masters", "1", "--profile", "production", "--dir"];
    assert!(symphonyd().args(create).arg(&dir).status().unwrap().success());
    for (node, role) in NODES {
        let mut node_alone = symphonyd();
        node_alone.args([role, "--supervised", "--config"]).arg(dir.join(node).join("node.toml"));
        // Nobody supervises it: a node that does start ends at once, and well.
        let ended = node_alone.stdin(Stdio::null()).env(WIRETAP.0, WIRETAP.1).output().unwrap();
        let says = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success() && says.contains("a wiretap is for development"), "{node}: {says}");
        assert!(!dir.join(node).join(WIRETAP.1).exists());
    }
}

/// Uploads marked people, asks for them, reads what can be read; gives what the network handed out sealed.
async fn marked_campaign(network: &Network) -> Vec<(&'static str, Vec<u8>)> {
    for (index, vault) in VAULTS.iter().enumerate() {
        upload(network, vault, index).await;
        let operator = network.client(&format!("operator-{vault}"));
        operator.budget(vault, &name(index, 0)).await.unwrap();
    }
    let mut asked = spec();
    asked.operands.retain(|operand| operand.rule != "geography.city_eligibility");
    asked.operands[0].text = Some(PUBLIC.to_owned());
    let luckin = network.submitter("luckin");
    let delivered = luckin.run(&asked, &RequestId::new("taint").unwrap(), |_| {}).await.unwrap();
    let handles = delivered.audience.unwrap().handles;
    assert_eq!(handles.len(), VAULTS.len() * PEOPLE);
    assert!(
        handles.iter().all(|handle| handle.starts_with(PRIVATE)),
        "the marked people are what was asked for"
    );
    let task = delivered.task.task_id;
    network.settled(&luckin.client, delivered.task.task_id).await;
    let status = format!("{:?}", luckin.client.status().await.unwrap());
    vec![
        ("the sealed result", luckin.client.result(task).await.unwrap().sealed),
        ("the evidence", luckin.client.evidence(task).await.unwrap()),
        ("the task", format!("{:?}", luckin.client.task(task).await.unwrap()).into_bytes()),
        ("the status", status.into_bytes()),
    ]
}

fn name(vault: usize, person: usize) -> String {
    format!("{PRIVATE}-subject-{vault}-{person}")
}

/// Everybody bought from the merchant that is asked for, and something that is nobody's business.
async fn upload(network: &Network, vault: &str, index: usize) {
    let day = now_ms() - 5 * 86_400_000;
    let lines =
        |line: &dyn Fn(usize) -> Value| (0..PEOPLE).map(|p| line(p).to_string() + "\n").collect::<String>();
    let subjects = lines(&|person| {
        let contact = format!("{PRIVATE}-contact-{index}-{person}@example.org");
        json!({"subject": name(index, person), "contact": contact})
    });
    let consents = lines(&|person| {
        let subject = name(index, person);
        json!({"subject": subject, "scope": "marketing", "state": "granted", "expires_at": CONSENT_ENDS})
    });
    let record = |merchant: &str, person: usize| {
        json!({
            "request_id": format!("{merchant}-{index}-{person}"), "subject": name(index, person),
            "commerce.merchant": merchant, "commerce.category": format!("{PRIVATE}-category"),
            "commerce.purchase_date": day, "commerce.amount": "5.80",
            "geography.city": format!("{PRIVATE}-city"),
        })
    };
    let asked = lines(&|person| record(PUBLIC, person));
    let unasked = lines(&|person| record(&format!("{PRIVATE}-merchant"), person));
    let operator = network.client(&format!("operator-{vault}"));
    for (name, upload, text) in [
        ("subjects", Upload::Subjects, subjects),
        ("consents", Upload::Consents, consents),
        ("asked", Upload::Records, asked),
        ("unasked", Upload::Records, unasked),
    ] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let key = RequestId::new(&format!("taint-{name}")).unwrap();
        let report = operator.upload(vault, upload, Format::JsonLines, &key, file.path()).await.unwrap();
        assert_eq!((report.accepted, report.refused_total), (PEOPLE as u64, 0), "{:?}", report.refused);
    }
}

/// What was seen of the master's memory while it worked.
#[derive(Default)]
struct Samples {
    taken: u32,
    forbidden: bool,
    public: bool,
    private: Option<&'static str>,
}

impl Samples {
    /// Searches all memory that the process can read, while it runs.
    fn take(&mut self, pid: u32, private: &Needles, public: &Needles) {
        let memory = match File::open(format!("/proc/{pid}/mem")) {
            Ok(memory) => memory,
            // A hardened machine may forbid it to everybody but root.
            Err(error) => {
                let root = fs::metadata("/proc/self").unwrap().uid() == 0;
                assert!(!root, "the master's memory cannot be read: {error}");
                self.forbidden = true;
                return;
            }
        };
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let mut bytes = 0;
        for line in maps.lines().filter(|line| !line.contains("[v")) {
            let (range, rest) = line.split_once(' ').unwrap();
            let (start, end) = range.split_once('-').unwrap();
            let (start, end) =
                (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
            // A mapping of a file that nobody writes is the program; files are searched by themselves.
            if !rest.starts_with("rw") {
                continue;
            }
            pieces(&memory, start, end, |piece| {
                bytes += piece.len();
                self.public |= public.find(piece).is_some();
                self.private = self.private.or_else(|| private.find(piece));
            });
        }
        assert!(bytes > PIECE, "the master's memory is not empty");
        self.taken += 1;
    }
}

/// A text in the ways in which it is usually written.
pub(crate) struct Needles(Vec<(&'static str, Vec<u8>)>);

impl Needles {
    pub(crate) fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut needles = vec![
            ("raw", bytes.to_vec()),
            ("upper case", text.to_uppercase().into_bytes()),
            ("utf-16", text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
            ("utf-16, big end first", text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
            ("reversed", bytes.iter().rev().copied().collect()),
            ("hex, upper case", hex.to_uppercase().into_bytes()),
            ("hex", hex.into_bytes()),
        ];
        for (place, name) in ["base64", "base64, one byte on", "base64, two bytes on"].into_iter().enumerate()
        {
            needles.push((name, base64_inside(bytes, place)));
        }
        Self(needles)
    }

    fn number(number: u64) -> Self {
        let mut needles = Self::of(&number.to_string());
        // The two highest bytes are zero and not always written.
        needles.0.push(("little end first", number.to_le_bytes()[..6].to_vec()));
        needles.0.push(("big end first", number.to_be_bytes()[2..].to_vec()));
        needles
    }

    /// A text as the headers of HTTP/2 have it, at any bit of a byte.
    fn in_headers(text: &str) -> Self {
        Self((0..8).map(|bit| ("huffman", huffman_inside(text, bit))).collect())
    }

    /// How the text is written in these bytes, if it is.
    fn find(&self, bytes: &[u8]) -> Option<&'static str> {
        self.0.iter().find(|(_, needle)| contains(bytes, needle)).map(|(name, _)| *name)
    }
}

/// The digits of base64 that a text has wherever it stands `place` bytes after a multiple of three.
fn base64_inside(text: &[u8], place: usize) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let padded = [&[0; 2][..place], text].concat();
    let bit = |index: usize| padded[index / 8] >> (7 - index % 8) & 1;
    let digits = (place * 8).div_ceil(6)..padded.len() * 8 / 6;
    digits
        .map(|digit| DIGITS[usize::from((0..6).fold(0, |value, i| value << 1 | bit(digit * 6 + i)))])
        .collect()
}

/// The whole bytes of a text in the Huffman code of HPACK (RFC 7541, appendix B), where it starts at this bit of a byte.
fn huffman_inside(text: &str, bit: usize) -> Vec<u8> {
    // Symbols of one length have consecutive codes, in this order.
    const CODES: [(u32, u32, &str); 3] = [
        (5, 0x00, "012aceiost"),
        (6, 0x14, " %-./3456789=A_bdfghlmnpru"),
        (7, 0x5c, ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    ];
    let mut bits = Vec::new();
    for symbol in text.chars() {
        let (length, code) = CODES
            .iter()
            .find_map(|(length, first, symbols)| Some((*length, *first + symbols.find(symbol)? as u32)))
            .expect("the table has this symbol");
        bits.extend((0..length).rev().map(|place| (code >> place & 1) as u8));
    }
    let whole = bits[(8 - bit) % 8..].chunks_exact(8);
    whole.map(|byte| byte.iter().fold(0, |value, bit| value << 1 | bit)).collect()
}

/// Whether the needle occurs: compares at the last byte and moves on by where that byte is in the needle.
fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    let last = needle.len() - 1;
    let mut shift = [needle.len(); 256];
    for (place, byte) in needle[..last].iter().enumerate() {
        shift[usize::from(*byte)] = last - place;
    }
    let mut at = last;
    while at < bytes.len() {
        if bytes[at] == needle[last] && bytes[at - last..=at] == *needle {
            return true;
        }
        at += shift[usize::from(bytes[at])];
    }
    false
}

/// Gives `[start, end)` in pieces that overlap by more than a needle; what cannot be read is left out.
fn pieces(file: &File, start: u64, end: u64, mut seen: impl FnMut(&[u8])) {
    const OVERLAP: u64 = 128;
    let mut piece = vec![0; PIECE];
    let mut at = start;
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
        let Ok(read) = file.read_at(&mut piece[..wanted], at) else { return };
        if read as u64 <= OVERLAP && at + (read as u64) < end {
            return;
        }
        seen(&piece[..read]);
        at += read as u64;
        if at < end {
            at -= OVERLAP;
        }
    }
}

pub(crate) fn in_file(path: &Path, needles: &Needles) -> Option<&'static str> {
    let mut found = None;
    let length = fs::metadata(path).unwrap().len();
    pieces(&File::open(path).unwrap(), 0, length, |piece| found = found.or_else(|| needles.find(piece)));
    found
}

/// Every file below a folder; a socket holds nothing.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}

/// The search finds a text in every encoding that it claims to know.
#[test]
fn the_search_finds_what_is_hidden() {
    let needles = Needles::of("marker-1");
    let base64 = ["bWFya2VyLTE=", "eG1hcmtlci0x", "eHhtYXJrZXItMQ=="];
    let utf16: Vec<u8> = "a marker-1".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let hidden: BTreeMap<_, _> = [
        ("raw", b"a marker-1 b".to_vec()),
        ("hex", b"x6d61726b65722d31x".to_vec()),
        ("hex, upper case", b"6D61726B65722D31".to_vec()),
        ("utf-16", utf16),
        ("base64", base64[0].into()),
        ("base64, one byte on", base64[1].into()),
        ("base64, two bytes on", base64[2].into()),
    ]
    .into();
    for (name, bytes) in hidden {
        assert_eq!(needles.find(&bytes), Some(name));
    }
    assert_eq!(needles.find(b"market-1 bWFya2V0LTE= 6d61726b65742d31"), None);
    // An example of RFC 7541: www.example.com
    let header = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
    for text in ["www.example", "ww.example.com", "w.example.com", ".example.com"] {
        assert_eq!(Needles::in_headers(text).find(&header), Some("huffman"), "{text}");
    }
    assert_eq!(Needles::in_headers("www.exemple").find(&header), None);
    let number = Needles::number(CONSENT_ENDS);
    assert_eq!(number.find(&CONSENT_ENDS.to_le_bytes()), Some("little end first"));
    assert_eq!(number.find(&CONSENT_ENDS.to_be_bytes()), Some("big end first"));
}
