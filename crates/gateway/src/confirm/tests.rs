//! Fake masters that say, refuse, lag, hang, babble or are dead: what a question to three of them is answered.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// How a master of a test behaves, at its n-th question.
enum Part {
    /// Always answers alike.
    Says(u32),
    /// Refuses.
    Refuses(Code),
    /// Nobody is there.
    Dead,
    /// Takes the question and never answers.
    Hangs,
    /// Answers the first value so many times, then the second.
    Lags(usize, u32, u32),
    /// Another answer each time.
    Babbles,
    /// Answers after a while.
    Slow(Duration, u32),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    said: u32,
    by: Vec<usize>,
}

impl Agree for Word {
    fn agrees(&self, other: &Self) -> bool {
        self.said == other.said
    }

    fn join(&mut self, other: Self) {
        self.by.extend(other.by);
    }

    fn complete(&self) -> bool {
        self.said != INCOMPLETE || self.by.contains(&2)
    }

    fn stands_alone(&self) -> bool {
        self.said == PROVEN
    }
}

const PROVEN: u32 = 77;
const INCOMPLETE: u32 = 88;

struct Cast {
    parts: Vec<Part>,
    asked: Vec<AtomicUsize>,
    silent: Mutex<BTreeMap<usize, usize>>,
}

impl Cast {
    fn new(parts: Vec<Part>) -> Self {
        let asked = parts.iter().map(|_| AtomicUsize::new(0)).collect();
        Self { parts, asked, silent: Mutex::default() }
    }

    fn asked(&self) -> Vec<usize> {
        self.asked.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    fn silent(&self) -> Vec<usize> {
        self.silent.lock().unwrap().keys().copied().collect()
    }
}

impl Port for Cast {
    type Answer = Word;

    fn masters(&self) -> Vec<usize> {
        (0..self.parts.len()).collect()
    }

    async fn ask(&self, master: usize) -> Result<Word, Problem> {
        let before = self.asked[master].fetch_add(1, Ordering::Relaxed);
        let word = |said| Ok(Word { said, by: vec![master] });
        match &self.parts[master] {
            Part::Says(said) => word(*said),
            Part::Refuses(code) => Err(Problem::new(*code, format!("by {master}"))),
            Part::Dead => Err(Problem::new(Code::Unavailable, "nobody is there")),
            Part::Hangs => std::future::pending().await,
            Part::Lags(times, old, new) => word(if before < *times { *old } else { *new }),
            Part::Babbles => word(1_000 + u32::try_from(before).unwrap()),
            Part::Slow(time, said) => {
                tokio::time::sleep(*time).await;
                word(*said)
            }
        }
    }

    fn silent(&self, master: usize) {
        *self.silent.lock().unwrap().entry(master).or_default() += 1;
    }
}

/// For questions that are answered: time plays no part.
const READ: Pace = Pace {
    one_first: false,
    widen_after: Duration::from_secs(20),
    patience: Duration::from_secs(40),
    deadline: Duration::from_secs(60),
};
const WRITE: Pace = Pace { one_first: true, ..READ };
/// For questions that wait for somebody.
const HASTY_READ: Pace = Pace {
    one_first: false,
    widen_after: Duration::from_millis(30),
    patience: Duration::from_millis(200),
    deadline: Duration::from_secs(1),
};
const HASTY_WRITE: Pace = Pace { one_first: true, ..HASTY_READ };
/// Longer than anything here takes on a busy machine, shorter than the patience of [`READ`].
const SOON: Duration = Duration::from_secs(15);

async fn said(cast: &Cast, pace: &Pace) -> Result<u32, Code> {
    confirmed(cast, pace).await.map(|word| word.said).map_err(|problem| problem.code)
}

/// R195: two equal answers of three are enough, and the third master is left in peace.
#[tokio::test]
async fn equal_answers_of_a_majority_are_believed() {
    let cast = Cast::new(vec![Part::Says(5), Part::Says(5), Part::Says(5)]);
    let word = confirmed(&cast, &READ).await.unwrap();
    assert_eq!((word.said, word.by), (5, vec![0, 1]));
    assert_eq!(cast.asked(), [1, 1, 0]);
    let cast = Cast::new(vec![Part::Says(5), Part::Says(5), Part::Says(5)]);
    assert_eq!(said(&cast, &WRITE).await, Ok(5));
    assert_eq!(cast.asked(), [1, 1, 0], "a second master confirms what the first one did");
}

/// R195: a cluster of one confirms itself.
#[tokio::test]
async fn one_master_alone_is_its_own_majority() {
    assert_eq!(said(&Cast::new(vec![Part::Says(5)]), &READ).await, Ok(5));
    let cast = Cast::new(vec![Part::Refuses(Code::NotFound)]);
    assert_eq!(said(&cast, &WRITE).await, Err(Code::NotFound));
}

/// R195: one master that lies is outvoted, wherever it stands, and so is one that refuses or says something new each
/// time.
#[tokio::test]
async fn one_lying_master_is_outvoted() {
    for liar in 0..3 {
        for pace in [&READ, &WRITE] {
            for lie in 0..3 {
                let mut parts = vec![Part::Says(5), Part::Says(5), Part::Says(5)];
                parts[liar] = match lie {
                    0 => Part::Says(666),
                    1 => Part::Refuses(Code::NotFound),
                    _ => Part::Babbles,
                };
                let cast = Cast::new(parts);
                assert_eq!(said(&cast, pace).await, Ok(5));
                assert!(cast.asked().iter().all(|asked| *asked <= 1), "{:?}", cast.asked());
            }
        }
    }
}

/// R196: with one master dead the others answer at once.
#[tokio::test]
async fn one_dead_master_is_done_without() {
    for pace in [&READ, &WRITE] {
        let cast = Cast::new(vec![Part::Dead, Part::Says(5), Part::Says(5)]);
        let began = Instant::now();
        assert_eq!(said(&cast, pace).await, Ok(5));
        assert!(began.elapsed() < SOON);
        assert_eq!(cast.silent(), [0]);
    }
}

/// R196: a frozen master is waited for a moment, then the others answer, and it is asked last from then on.
#[tokio::test]
async fn one_frozen_master_is_done_without() {
    for pace in [&HASTY_READ, &HASTY_WRITE] {
        let cast = Cast::new(vec![Part::Hangs, Part::Says(5), Part::Says(5)]);
        let pace = Pace { deadline: READ.deadline, ..*pace };
        let began = Instant::now();
        assert_eq!(said(&cast, &pace).await, Ok(5));
        assert!(began.elapsed() >= pace.widen_after && began.elapsed() < SOON);
        assert_eq!(cast.silent(), [0]);
        assert_eq!(cast.asked()[0], 1, "it has the question already");
    }
}

/// R195: while a master is behind the question is put again, and the newer answer counts.
#[tokio::test]
async fn a_lagging_master_is_waited_for() {
    for pace in [&READ, &WRITE] {
        let cast = Cast::new(vec![Part::Says(6), Part::Lags(4, 5, 6), Part::Dead]);
        assert_eq!(said(&cast, pace).await, Ok(6));
        assert_eq!(cast.asked()[1], 5);
    }
}

/// R195: a master that is slow is not asked twice at a time, and the first majority decides.
#[tokio::test]
async fn a_slow_master_is_waited_for() {
    let slow = Duration::from_millis(200);
    let cast = Cast::new(vec![Part::Says(6), Part::Slow(slow, 6), Part::Hangs]);
    let began = Instant::now();
    assert_eq!(said(&cast, &Pace { deadline: READ.deadline, ..HASTY_READ }).await, Ok(6));
    assert!(began.elapsed() >= slow && began.elapsed() < SOON);
    assert_eq!(cast.asked(), [1, 1, 1]);
}

/// R196: with two masters down nothing is believed, nothing hangs, and the caller may try again.
#[tokio::test]
async fn with_two_masters_down_the_caller_is_told_in_time() {
    for pace in [&HASTY_READ, &HASTY_WRITE] {
        for dead in [Part::Dead, Part::Hangs] {
            let cast = Cast::new(vec![dead, Part::Says(5), Part::Dead]);
            let began = Instant::now();
            let problem = confirmed(&cast, pace).await.unwrap_err();
            assert_eq!(problem.code, Code::Unavailable);
            assert!(problem.code.retry());
            assert!(problem.detail.contains("1 of 3"), "{}", problem.detail);
            assert!(began.elapsed() < SOON);
            assert_eq!(cast.silent(), [0, 2]);
        }
    }
}

/// R196: masters that cannot be reached are not waited for as long as masters that answer.
#[tokio::test]
async fn nobody_there_is_told_sooner_than_nobody_agrees() {
    let cast = Cast::new(vec![Part::Dead, Part::Dead, Part::Dead]);
    let pace = Pace { deadline: READ.deadline, ..HASTY_READ };
    let began = Instant::now();
    assert_eq!(said(&cast, &pace).await, Err(Code::Unavailable));
    assert!(began.elapsed() >= pace.patience && began.elapsed() < SOON);
}

/// R195: a master that answers differently each time and an honest one agree on nothing; that is no answer.
#[tokio::test]
async fn masters_that_do_not_agree_are_told_as_that() {
    for others in [[Part::Babbles, Part::Dead], [Part::Says(6), Part::Says(7)], [Part::Babbles, Part::Hangs]]
    {
        let [second, third] = others;
        let cast = Cast::new(vec![Part::Says(5), second, third]);
        let began = Instant::now();
        let problem = confirmed(&cast, &HASTY_READ).await.unwrap_err();
        assert_eq!(problem.code, Code::Undecided);
        assert!(problem.code.retry());
        assert!(began.elapsed() >= HASTY_READ.deadline && began.elapsed() < SOON);
        let most = cast.asked().into_iter().max().unwrap();
        assert!((2..20).contains(&most), "asked again, but not without a pause: {most}");
    }
}

/// R195: a refusal counts like an answer: a majority must give it, whatever their words.
#[tokio::test]
async fn a_refusal_needs_a_majority_too() {
    let cast = Cast::new(vec![
        Part::Refuses(Code::NotFound),
        Part::Refuses(Code::Forbidden),
        Part::Refuses(Code::NotFound),
    ]);
    assert_eq!(said(&cast, &READ).await, Err(Code::NotFound));
}

/// R002: an answer that a Vault sealed proves itself; refusals on its way do not.
#[tokio::test]
async fn what_proves_itself_needs_one_master_only() {
    let cast = Cast::new(vec![Part::Says(PROVEN), Part::Says(5), Part::Says(5)]);
    assert_eq!(said(&cast, &WRITE).await, Ok(PROVEN));
    assert_eq!(cast.asked(), [1, 0, 0]);
    let cast = Cast::new(vec![Part::Refuses(Code::VaultUnknown), Part::Dead, Part::Says(PROVEN)]);
    assert_eq!(said(&cast, &WRITE).await, Ok(PROVEN));
}

/// R195: what only one master holds is fetched from it once a majority vouches for it.
#[tokio::test]
async fn a_confirmed_answer_is_completed_by_whoever_has_the_rest() {
    let cast = Cast::new(vec![Part::Says(INCOMPLETE), Part::Says(INCOMPLETE), Part::Says(INCOMPLETE)]);
    let word = confirmed(&cast, &READ).await.unwrap();
    assert_eq!(word.by, [0, 1, 2]);
    let cast = Cast::new(vec![Part::Says(INCOMPLETE), Part::Says(INCOMPLETE), Part::Dead]);
    assert_eq!(said(&cast, &HASTY_READ).await, Err(Code::Undecided));
}

/// R195
#[tokio::test]
async fn without_masters_there_is_no_answer() {
    assert_eq!(said(&Cast::new(Vec::new()), &READ).await, Err(Code::Unavailable));
}
