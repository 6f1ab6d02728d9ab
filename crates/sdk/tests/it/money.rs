//! Stakes that come and go, and releases of the treasury, against the ledger of the test (R174, R175, R178).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use symphony_chain::ledger::query::Funds;
use symphony_chain::transaction::{ChainId, ProposalKind, Release, Tier, VoteResult};
use symphony_sdk::client::ClientError;
use symphony_sdk::treasury::{TreasuryError, approvals, approve, funds};
use symphony_sdk::wallet::WalletError;
use symphony_types::amount::Sym;
use symphony_types::digest::Digest;
use symphony_types::id::AccountId;
use symphony_types::key::Document as _;

use crate::gateway::{COOLDOWN_MS, World};

fn refused<T>(result: Result<T, WalletError>) -> String {
    match result {
        Err(WalletError::Client(ClientError::Refused(problem))) => problem.code,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it is not refused"),
    }
}

/// R174, R175: stake is refused below the minimum, cools down before it is taken out, and is the account's own again then.
#[tokio::test]
async fn stake_is_added_cooled_down_and_taken_out() {
    let world = World::open().await;
    let (client, wallet, tier) = (&world.client, world.wallet(), Tier::Producer);
    assert_eq!(refused(wallet.stake(client, tier, Sym(9)).await), "ADM-0023", "below the minimum");
    wallet.stake(client, tier, Sym(50)).await.unwrap();
    assert_eq!(refused(wallet.unstake(client, tier, Sym(51)).await), "ADM-0023", "more than there is");
    wallet.unstake(client, tier, Sym(20)).await.unwrap();
    assert_eq!(refused(wallet.withdraw(client, tier).await), "ADM-0003", "it has not cooled down");
    let held = wallet.holding(client).await.unwrap();
    assert_eq!(
        (held.balance, held.stakes[&tier].deposit, held.stakes[&tier].cooling),
        (Sym(9_950), Sym(30), Sym(20))
    );
    world.pass(COOLDOWN_MS);
    wallet.withdraw(client, tier).await.unwrap();
    let held = wallet.holding(client).await.unwrap();
    assert_eq!(
        (held.balance, held.stakes[&tier].deposit, held.stakes[&tier].cooling),
        (Sym(9_970), Sym(30), Sym::ZERO)
    );
}

/// R178: two of three signers open the treasury, once for each proposal; one signer, a stranger or a changed approval do not.
#[tokio::test]
async fn the_treasury_pays_on_the_approvals_of_its_signers_for_what_the_council_accepts() {
    let world = World::open().await;
    let folder = world.folder.path();
    let file = |name: &str| folder.join(name);
    let signer = |seed: u8| -> PathBuf {
        let path = file(&format!("signer-{seed}.seed"));
        fs::write(&path, Digest([seed; 32]).to_hex()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let to = AccountId(Digest([9; 32]));
    let release = |amount| {
        let chain = ChainId::new("test").unwrap();
        Release { chain, to, amount: Sym(amount), proposal: Digest([1; 32]) }
    };
    let approved = |seed: u8, amount: u64, name: &str| {
        approve(&signer(seed), release(amount), &file(name)).unwrap();
        file(name)
    };
    let [one, two, stranger, other] =
        [(3, 400, "one"), (4, 400, "two"), (8, 400, "stranger"), (4, 401, "other")]
            .map(|(seed, amount, name)| approved(seed, amount, name));
    let (client, wallet) = (&world.client, world.wallet());
    let bring = async |files: &[&PathBuf]| {
        let (release, approvals) = approvals(files).unwrap();
        wallet.release(client, release, approvals).await
    };

    assert!(matches!(approvals(&[&one, &other]), Err(TreasuryError::Different)));
    assert!(matches!(approvals(&[] as &[PathBuf]), Err(TreasuryError::Different)));
    let mut bytes = fs::read(&one).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(file("changed"), bytes).unwrap();
    assert!(matches!(approvals(&[file("changed")]), Err(TreasuryError::Malformed(_))));
    assert!(matches!(approvals(&[file("absent")]), Err(TreasuryError::File(..))));
    assert_eq!(refused(bring(&[&one]).await), "ADM-0003", "too few");
    assert_eq!(refused(bring(&[&one, &stranger]).await), "ADM-0003", "no signer of the treasury");
    assert_eq!(refused(bring(&[&one, &one]).await), "ADM-0003", "one signer twice");
    assert_eq!(refused(bring(&[&one, &two]).await), "ADM-0003", "the council has not accepted it");
    let result = |votes_for| VoteResult {
        proposal: release(400).proposal,
        kind: ProposalKind::Release,
        payload: release(400).digest(),
        votes_for,
        votes_against: 0,
        eligible: 3,
    };
    assert_eq!(refused(wallet.record(client, result(4)).await), "ADM-0001", "more votes than voters");
    wallet.record(client, result(2)).await.unwrap();

    bring(&[&one, &two]).await.unwrap();
    let Funds { treasury, minted, .. } = funds(client).await.unwrap();
    assert_eq!((treasury, minted), (Sym(600), Sym(11_000)));
    assert_eq!(refused(bring(&[&two, &one]).await), "ADM-0005", "a proposal serves once");
}
