/// SYM, the token: a fungible asset with 8 decimals (D16). Minted at genesis and by the inflation schedule, never burned.
module symphony::sym {
    use std::error;
    use std::option;
    use std::signer;
    use std::string;
    use aptos_framework::event;
    use aptos_framework::fungible_asset::{Self, FungibleAsset, Metadata, MintRef};
    use aptos_framework::object::{Self, ExtendRef, Object};
    use aptos_framework::primary_fungible_store;
    use aptos_framework::timestamp;

    friend symphony::escrow;
    friend symphony::genesis;
    friend symphony::inflation;
    friend symphony::reward;
    friend symphony::staking;
    friend symphony::treasury;
    #[test_only]
    friend symphony::sym_tests;

    /// The amount is zero.
    const E_AMOUNT_ZERO: u64 = 8;
    /// The sender's balance is too small.
    const E_BALANCE_TOO_SMALL: u64 = 9;

    const SEED: vector<u8> = b"SYM";
    const DECIMALS: u8 = 8;
    /// Amounts are `u64`, so no supply is larger.
    const SUPPLY_MAX: u128 = 18446744073709551615;
    const U64_MAX: u128 = 18446744073709551615;

    struct Token has key {
        metadata: Object<Metadata>,
        mint: MintRef
    }

    /// Money of one contract: a store that only the contract that keeps this can take from.
    struct Purse has store {
        store: Object<fungible_asset::FungibleStore>,
        signs: ExtendRef
    }

    #[event]
    struct Transferred has drop, store {
        from: address,
        to: address,
        amount: u64
    }

    public(friend) fun start(package: &signer) {
        let made = &object::create_named_object(package, SEED);
        primary_fungible_store::create_primary_store_enabled_fungible_asset(
            made,
            option::some(SUPPLY_MAX),
            string::utf8(b"Symphony"),
            string::utf8(b"SYM"),
            DECIMALS,
            string::utf8(b""),
            string::utf8(b"")
        );
        let metadata = object::object_from_constructor_ref<Metadata>(made);
        move_to(package, Token { metadata, mint: fungible_asset::generate_mint_ref(made) });
    }

    /// Pays another account.
    public entry fun transfer(sender: &signer, to: address, amount: u64) acquires Token {
        let money = take(sender, amount);
        primary_fungible_store::deposit(to, money);
        event::emit(Transferred { from: signer::address_of(sender), to, amount });
    }

    #[view]
    /// The asset, for wallets.
    public fun metadata(): Object<Metadata> acquires Token {
        borrow_global<Token>(@symphony).metadata
    }

    #[view]
    public fun balance(account: address): u64 acquires Token {
        primary_fungible_store::balance(account, metadata())
    }

    #[view]
    /// All that was ever minted.
    public fun minted(): u64 acquires Token {
        (option::destroy_some(fungible_asset::supply(metadata())) as u64)
    }

    /// Aborts unless the account can spend the amount, which is not zero.
    public(friend) fun check_spend(account: address, amount: u64) acquires Token {
        assert!(amount > 0, error::invalid_argument(E_AMOUNT_ZERO));
        assert!(balance(account) >= amount, error::invalid_state(E_BALANCE_TOO_SMALL));
    }

    public(friend) fun take(sender: &signer, amount: u64): FungibleAsset acquires Token {
        check_spend(signer::address_of(sender), amount);
        primary_fungible_store::withdraw(sender, metadata(), amount)
    }

    /// Pays an account; nothing moves when there is nothing to pay.
    public(friend) fun pay(account: address, money: FungibleAsset) {
        if (fungible_asset::amount(&money) == 0) {
            fungible_asset::destroy_zero(money)
        } else {
            primary_fungible_store::deposit(account, money)
        }
    }

    public(friend) fun mint(amount: u64): FungibleAsset acquires Token {
        fungible_asset::mint(&borrow_global<Token>(@symphony).mint, amount)
    }

    public(friend) fun none(): FungibleAsset acquires Token {
        fungible_asset::zero(metadata())
    }

    public(friend) fun open_purse(package: &signer, seed: vector<u8>): Purse acquires Token {
        let made = &object::create_named_object(package, seed);
        object::disable_ungated_transfer(&object::generate_transfer_ref(made));
        let store = fungible_asset::create_store(made, metadata());
        Purse { store, signs: object::generate_extend_ref(made) }
    }

    public(friend) fun put(purse: &Purse, money: FungibleAsset) {
        if (fungible_asset::amount(&money) == 0) {
            fungible_asset::destroy_zero(money)
        } else {
            fungible_asset::deposit(purse.store, money)
        }
    }

    public(friend) fun draw(purse: &Purse, amount: u64): FungibleAsset acquires Token {
        if (amount == 0) return none();
        let keeper = object::generate_signer_for_extending(&purse.signs);
        fungible_asset::withdraw(&keeper, purse.store, amount)
    }

    public(friend) fun purse_balance(purse: &Purse): u64 {
        fungible_asset::balance(purse.store)
    }

    /// The time of the block, as the protocol counts it.
    public(friend) fun now_ms(): u64 {
        timestamp::now_microseconds() / 1000
    }

    /// `millis` later; stays at the end of time instead of wrapping.
    public(friend) fun later(at: u64, millis: u64): u64 {
        let sum = (at as u128) + (millis as u128);
        if (sum > U64_MAX) (U64_MAX as u64) else (sum as u64)
    }

    #[test_only]
    public fun now_ms_for_test(): u64 {
        now_ms()
    }
}
