//! Fuzzing of the token parser, which reads what any pod sends: from a kept corpus, by seeded changes, for a bounded time. For
//! longer: `FUZZ_SECONDS=600 FUZZ_SEED=7 cargo test --release -p identity --test fuzz_token -- --nocapture`. What it finds belongs
//! into `corpus/`, so that it is tried first for ever.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::ServiceAccountToken;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus");

/// Pieces that matter to the grammar.
const PIECES: [&str; 22] = [
    ".",
    "..",
    "Bearer ",
    "=",
    "==",
    "\n",
    "\r\n",
    "\0",
    "\u{feff}",
    "é",
    "{\"alg\":\"none\"}",
    "null",
    "[]",
    "{}",
    "1e309",
    "-1",
    "18446744073709551616",
    "\\ud800",
    "\"aud\":\"a\",\"aud\":\"b\"",
    "\"exp\":9e15",
    "{\"alg\":\"RS256\",\"kid\":\"k\"}",
    "[[[[[[[[[[",
];

fn corpus() -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(CORPUS).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()).collect()
}

/// A token of these claims, whose signature is noise.
fn wrapped(header: &str, claims: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", part(header), part(claims), part("signature"))
}

/// Changes text in one place.
fn changed(text: &str, random: &mut StdRng) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = random.random_range(0..=bytes.len());
    match random.random_range(0..6) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
        1 => {
            let end = random.random_range(at..=bytes.len());
            bytes.drain(at..end);
        }
        2 => {
            let end = random.random_range(at..=bytes.len().min(at + 64));
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        3 => bytes.truncate(at),
        _ => {
            let piece = PIECES.choose(random).unwrap().bytes();
            bytes.splice(at..at, piece);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What must hold of every text.
fn examine(text: &str) {
    let token = match ServiceAccountToken::parse(text) {
        Ok(token) => token,
        Err(error) => {
            assert!(!error.to_string().is_empty() && !error.reason().is_empty());
            return;
        }
    };
    assert_eq!(token.secret().expose_str(), text, "it is passed on as it came");
    assert!(!format!("{token:?}").contains(text), "it is never printed");
    assert!(!token.algorithm().eq_ignore_ascii_case("none"));
    let parts: Vec<&str> = text.split('.').collect();
    assert_eq!(parts.len(), 3);
    assert!(parts.iter().all(|part| !part.is_empty()));
    // What it claims is what anybody reads in it. A member that nobody asks for may be beyond a general reader (a number out of
    // range, a thousand arrays in each other): that is no claim.
    let read = |part: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).unwrap();
        serde_json::from_slice::<Value>(&bytes).ok()
    };
    let (Some(header), Some(claims)) = (read(parts[0]), read(parts[1])) else { return };
    assert_eq!(Some(token.algorithm()), header["alg"].as_str());
    assert_eq!(token.key_id(), header["kid"].as_str());
    assert_eq!(token.claims().issuer.as_deref(), claims["iss"].as_str());
    if let Some(pod) = token.claims().pod() {
        let bound = &claims["kubernetes.io"];
        assert_eq!(Some(pod.pod.uid.as_str()), bound["pod"]["uid"].as_str());
        assert_eq!(Some(pod.namespace.as_str()), bound["namespace"].as_str());
        assert_eq!(Some(pod.pod.uid.as_str()), token.claims().pod_uid());
    }
    let _ = token.claims().check(SystemTime::UNIX_EPOCH, &["pods.eks.amazonaws.com".to_owned()]);
}

#[test]
fn everything_in_the_corpus_is_read_without_harm() {
    let corpus = corpus();
    assert!(
        corpus.iter().any(|text| ServiceAccountToken::parse(text.trim_end()).is_ok()),
        "some of it is good"
    );
    corpus.iter().for_each(|text| examine(text));
    corpus.iter().for_each(|text| examine(text.trim_end()));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long it fuzzes is no rule of the program's")]
fn no_change_of_a_token_makes_the_parser_panic_or_lie() {
    let number =
        |name: &str, otherwise: u64| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    let (seconds, seed) = (number("FUZZ_SECONDS", 3), number("FUZZ_SEED", 1));
    let mut random = StdRng::seed_from_u64(seed);
    let mut pool: Vec<String> = corpus().iter().map(|text| text.trim_end().to_owned()).collect();
    let began = std::time::Instant::now();
    let (mut tries, mut good) = (0_u64, 0_u64);
    while began.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..500 {
            let base = pool.choose(&mut random).unwrap().clone();
            let parts: Vec<&str> = base.split('.').collect();
            // As often inside the parts, where a change of base64 would rarely leave JSON.
            let text = match parts.as_slice() {
                [header, claims, _] if random.random_bool(0.5) => {
                    let decode = |part: &str| {
                        URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).map_or_else(
                            |_| part.to_owned(),
                            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
                        )
                    };
                    let (mut header, mut claims) = (decode(header), decode(claims));
                    if random.random_bool(0.2) {
                        header = changed(&header, &mut random);
                    } else {
                        claims = changed(&claims, &mut random);
                    }
                    wrapped(&header, &claims)
                }
                _ => changed(&base, &mut random),
            };
            examine(&text);
            tries += 1;
            if ServiceAccountToken::parse(&text).is_ok() {
                good += 1;
                // What is still a token is worth changing again.
                if pool.len() < 5_000 && text.len() < 20_000 {
                    pool.push(text);
                }
            }
        }
    }
    assert!(tries > 1_000 && good > 100, "{good} good ones of {tries} prove little (seed {seed})");
}
