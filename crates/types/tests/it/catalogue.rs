//! The catalogue: unique, well-formed codes, pinned whole (R210).

use std::collections::BTreeSet;
use std::fmt::Write;

use symphony_types::catalogue::{Code, Grpc, by_str};

/// R210: a code is a family and four digits, is found by its text, and is never another's.
#[test]
fn codes_are_unique_and_well_formed() {
    let texts: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let titles: BTreeSet<_> = Code::ALL.iter().map(|code| code.title()).collect();
    assert_eq!(texts.len(), Code::ALL.len());
    assert_eq!(titles.len(), Code::ALL.len());
    for code in Code::ALL {
        let (family, number) = code.as_str().split_once('-').unwrap();
        assert!(["ADM", "EXE", "SET", "VLT", "GOV"].contains(&family), "{code}");
        assert!(number.len() == 4 && number.bytes().all(|digit| digit.is_ascii_digit()), "{code}");
        assert_eq!(by_str(code.as_str()), Some(*code));
        let title = code.title();
        assert!(!title.ends_with('.') && title.chars().next().unwrap().is_lowercase(), "{code}: {title}");
    }
    assert_eq!(by_str("ADM-9999"), None);
    assert_eq!(by_str("adm-0001"), None);
}

/// R210: numbers of a family are given without gaps, so that a reuse of a dropped one would show.
#[test]
fn numbers_of_a_family_have_no_gaps() {
    for family in ["ADM", "EXE", "SET", "VLT", "GOV"] {
        let numbers: Vec<u32> = Code::ALL
            .iter()
            .filter_map(|code| code.as_str().strip_prefix(family)?.strip_prefix('-')?.parse().ok())
            .collect();
        assert_eq!(numbers, (1..=numbers.len() as u32).collect::<Vec<_>>(), "{family}");
    }
}

/// R210: HTTP status and gRPC status do not contradict each other.
#[test]
fn statuses_agree() {
    for code in Code::ALL {
        let fits = match code.grpc() {
            Grpc::InvalidArgument => [400, 405, 415, 422].contains(&code.http()),
            Grpc::DeadlineExceeded => code.http() == 504,
            Grpc::NotFound => code.http() == 404,
            Grpc::AlreadyExists => code.http() == 409,
            Grpc::PermissionDenied => code.http() == 403,
            Grpc::ResourceExhausted => [413, 429, 503, 507].contains(&code.http()),
            Grpc::FailedPrecondition => [200, 402, 403, 409, 410, 422].contains(&code.http()),
            Grpc::Internal => code.http() == 500,
            Grpc::Unavailable => code.http() == 503,
            Grpc::Unauthenticated => code.http() == 401,
        };
        assert!(fits, "{code}");
        assert!(code.retry() || code.http() != 503, "{code}: unavailable, yet no retry");
    }
}

#[test]
fn the_table_is_pinned() {
    let mut table = String::new();
    for code in Code::ALL {
        let retry = if code.retry() { "retry" } else { "final" };
        writeln!(
            table,
            "{code} {} {:<18} {retry} {}",
            code.http(),
            format!("{:?}", code.grpc()),
            code.title()
        )
        .unwrap();
    }
    insta::assert_snapshot!(table);
}
