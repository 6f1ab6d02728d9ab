/// Fungible assets: a metadata object says what an asset is, stores hold amounts of it, and refs say who may mint, burn or move.
module aptos_framework::fungible_asset {
    use std::error;
    use std::option::{Self, Option};
    use std::signer;
    use std::string::{Self, String};
    use aptos_framework::event;
    use aptos_framework::object::{Self, ConstructorRef, Object};

    friend aptos_framework::primary_fungible_store;

    const ESTORE_IS_FROZEN: u64 = 3;
    const EINSUFFICIENT_BALANCE: u64 = 4;
    const EMAX_SUPPLY_EXCEEDED: u64 = 5;
    const EFUNGIBLE_ASSET_MISMATCH: u64 = 6;
    const EMINT_REF_AND_STORE_MISMATCH: u64 = 7;
    const ENOT_STORE_OWNER: u64 = 8;
    const EFUNGIBLE_ASSET_AND_STORE_MISMATCH: u64 = 11;
    const EAMOUNT_IS_NOT_ZERO: u64 = 12;
    const EBURN_REF_AND_FUNGIBLE_ASSET_MISMATCH: u64 = 13;
    const ENAME_TOO_LONG: u64 = 15;
    const ESYMBOL_TOO_LONG: u64 = 16;
    const EDECIMALS_TOO_LARGE: u64 = 17;
    const EOBJECT_IS_DELETABLE: u64 = 18;
    const EURI_TOO_LONG: u64 = 19;
    const ESUPPLY_UNDERFLOW: u64 = 20;
    const ESUPPLY_NOT_FOUND: u64 = 21;
    const EFUNGIBLE_STORE_EXISTENCE: u64 = 23;

    const MAX_NAME_LENGTH: u64 = 32;
    const MAX_SYMBOL_LENGTH: u64 = 32;
    const MAX_DECIMALS: u8 = 32;
    const MAX_URI_LENGTH: u64 = 512;
    const MAX_U128: u128 = 340282366920938463463374607431768211455;

    struct Supply has key {
        current: u128,
        maximum: Option<u128>
    }

    struct Metadata has key, copy, drop {
        name: String,
        symbol: String,
        decimals: u8,
        icon_uri: String,
        project_uri: String
    }

    struct FungibleStore has key {
        metadata: Object<Metadata>,
        balance: u64,
        frozen: bool
    }

    struct FungibleAsset {
        metadata: Object<Metadata>,
        amount: u64
    }

    struct MintRef has drop, store {
        metadata: Object<Metadata>
    }

    struct TransferRef has drop, store {
        metadata: Object<Metadata>
    }

    struct BurnRef has drop, store {
        metadata: Object<Metadata>
    }

    #[event]
    struct Deposit has drop, store {
        store: address,
        amount: u64
    }

    #[event]
    struct Withdraw has drop, store {
        store: address,
        amount: u64
    }

    public fun add_fungibility(
        constructor_ref: &ConstructorRef,
        maximum_supply: Option<u128>,
        name: String,
        symbol: String,
        decimals: u8,
        icon_uri: String,
        project_uri: String
    ): Object<Metadata> {
        let deletable = object::can_generate_delete_ref(constructor_ref);
        assert!(!deletable, error::invalid_argument(EOBJECT_IS_DELETABLE));
        assert!(string::length(&name) <= MAX_NAME_LENGTH, error::out_of_range(ENAME_TOO_LONG));
        assert!(string::length(&symbol) <= MAX_SYMBOL_LENGTH, error::out_of_range(ESYMBOL_TOO_LONG));
        assert!(decimals <= MAX_DECIMALS, error::out_of_range(EDECIMALS_TOO_LARGE));
        assert!(string::length(&icon_uri) <= MAX_URI_LENGTH, error::out_of_range(EURI_TOO_LONG));
        assert!(string::length(&project_uri) <= MAX_URI_LENGTH, error::out_of_range(EURI_TOO_LONG));
        let place = &object::generate_signer(constructor_ref);
        move_to(place, Metadata { name, symbol, decimals, icon_uri, project_uri });
        move_to(place, Supply { current: 0, maximum: maximum_supply });
        object::object_from_constructor_ref<Metadata>(constructor_ref)
    }

    public fun generate_mint_ref(constructor_ref: &ConstructorRef): MintRef {
        MintRef { metadata: object::object_from_constructor_ref<Metadata>(constructor_ref) }
    }

    public fun generate_burn_ref(constructor_ref: &ConstructorRef): BurnRef {
        BurnRef { metadata: object::object_from_constructor_ref<Metadata>(constructor_ref) }
    }

    public fun generate_transfer_ref(constructor_ref: &ConstructorRef): TransferRef {
        TransferRef { metadata: object::object_from_constructor_ref<Metadata>(constructor_ref) }
    }

    #[view]
    public fun supply<T: key>(metadata: Object<T>): Option<u128> acquires Supply {
        let place = object::object_address(&metadata);
        if (exists<Supply>(place)) option::some(borrow_global<Supply>(place).current) else option::none()
    }

    #[view]
    public fun maximum<T: key>(metadata: Object<T>): Option<u128> acquires Supply {
        let place = object::object_address(&metadata);
        if (exists<Supply>(place)) borrow_global<Supply>(place).maximum else option::none()
    }

    #[view]
    public fun name<T: key>(metadata: Object<T>): String acquires Metadata {
        borrow_global<Metadata>(object::object_address(&metadata)).name
    }

    #[view]
    public fun symbol<T: key>(metadata: Object<T>): String acquires Metadata {
        borrow_global<Metadata>(object::object_address(&metadata)).symbol
    }

    #[view]
    public fun decimals<T: key>(metadata: Object<T>): u8 acquires Metadata {
        borrow_global<Metadata>(object::object_address(&metadata)).decimals
    }

    #[view]
    public fun store_exists(store: address): bool {
        exists<FungibleStore>(store)
    }

    #[view]
    public fun store_metadata<T: key>(store: Object<T>): Object<Metadata> acquires FungibleStore {
        held(&store).metadata
    }

    #[view]
    public fun balance<T: key>(store: Object<T>): u64 acquires FungibleStore {
        let place = object::object_address(&store);
        if (exists<FungibleStore>(place)) borrow_global<FungibleStore>(place).balance else 0
    }

    #[view]
    public fun is_frozen<T: key>(store: Object<T>): bool acquires FungibleStore {
        let place = object::object_address(&store);
        exists<FungibleStore>(place) && borrow_global<FungibleStore>(place).frozen
    }

    public fun metadata_from_asset(fa: &FungibleAsset): Object<Metadata> {
        fa.metadata
    }

    public fun asset_metadata(fa: &FungibleAsset): Object<Metadata> {
        fa.metadata
    }

    public fun amount(fa: &FungibleAsset): u64 {
        fa.amount
    }

    public fun create_store<T: key>(constructor_ref: &ConstructorRef, metadata: Object<T>): Object<FungibleStore> {
        let store = FungibleStore { metadata: object::convert(metadata), balance: 0, frozen: false };
        move_to(&object::generate_signer(constructor_ref), store);
        object::object_from_constructor_ref<FungibleStore>(constructor_ref)
    }

    public entry fun transfer<T: key>(
        sender: &signer,
        from: Object<T>,
        to: Object<T>,
        amount: u64
    ) acquires FungibleStore {
        let fa = withdraw(sender, from, amount);
        deposit(to, fa);
    }

    public fun withdraw<T: key>(owner: &signer, store: Object<T>, amount: u64): FungibleAsset acquires FungibleStore {
        let owned = object::owns(store, signer::address_of(owner));
        assert!(owned, error::permission_denied(ENOT_STORE_OWNER));
        assert!(!is_frozen(store), error::permission_denied(ESTORE_IS_FROZEN));
        let place = object::object_address(&store);
        let from = held_mut(&store);
        assert!(from.balance >= amount, error::invalid_argument(EINSUFFICIENT_BALANCE));
        from.balance = from.balance - amount;
        let metadata = from.metadata;
        event::emit(Withdraw { store: place, amount });
        FungibleAsset { metadata, amount }
    }

    public fun deposit<T: key>(store: Object<T>, fa: FungibleAsset) acquires FungibleStore {
        assert!(!is_frozen(store), error::permission_denied(ESTORE_IS_FROZEN));
        let FungibleAsset { metadata, amount } = fa;
        let place = object::object_address(&store);
        let to = held_mut(&store);
        assert!(metadata == to.metadata, error::invalid_argument(EFUNGIBLE_ASSET_AND_STORE_MISMATCH));
        to.balance = to.balance + amount;
        event::emit(Deposit { store: place, amount });
    }

    public fun mint(ref: &MintRef, amount: u64): FungibleAsset acquires Supply {
        let supply = supply_mut(ref.metadata);
        let ceiling = if (option::is_some(&supply.maximum)) *option::borrow(&supply.maximum) else MAX_U128;
        let fits = ceiling - supply.current >= (amount as u128);
        assert!(fits, error::out_of_range(EMAX_SUPPLY_EXCEEDED));
        supply.current = supply.current + (amount as u128);
        FungibleAsset { metadata: ref.metadata, amount }
    }

    public fun mint_to<T: key>(ref: &MintRef, store: Object<T>, amount: u64) acquires FungibleStore, Supply {
        let same = store_metadata(store) == ref.metadata;
        assert!(same, error::invalid_argument(EMINT_REF_AND_STORE_MISMATCH));
        deposit(store, mint(ref, amount));
    }

    public fun burn(ref: &BurnRef, fa: FungibleAsset) acquires Supply {
        let FungibleAsset { metadata, amount } = fa;
        assert!(ref.metadata == metadata, error::invalid_argument(EBURN_REF_AND_FUNGIBLE_ASSET_MISMATCH));
        let supply = supply_mut(metadata);
        assert!(supply.current >= (amount as u128), error::invalid_state(ESUPPLY_UNDERFLOW));
        supply.current = supply.current - (amount as u128);
    }

    public fun zero<T: key>(metadata: Object<T>): FungibleAsset {
        FungibleAsset { metadata: object::convert(metadata), amount: 0 }
    }

    public fun destroy_zero(fungible_asset: FungibleAsset) {
        let FungibleAsset { amount, metadata: _ } = fungible_asset;
        assert!(amount == 0, error::invalid_argument(EAMOUNT_IS_NOT_ZERO));
    }

    public fun extract(fungible_asset: &mut FungibleAsset, amount: u64): FungibleAsset {
        assert!(fungible_asset.amount >= amount, error::invalid_argument(EINSUFFICIENT_BALANCE));
        fungible_asset.amount = fungible_asset.amount - amount;
        FungibleAsset { metadata: fungible_asset.metadata, amount }
    }

    public fun merge(dst_fungible_asset: &mut FungibleAsset, src_fungible_asset: FungibleAsset) {
        let FungibleAsset { metadata, amount } = src_fungible_asset;
        let same = metadata == dst_fungible_asset.metadata;
        assert!(same, error::invalid_argument(EFUNGIBLE_ASSET_MISMATCH));
        dst_fungible_asset.amount = dst_fungible_asset.amount + amount;
    }

    inline fun held<T: key>(store: &Object<T>): &FungibleStore acquires FungibleStore {
        let place = object::object_address(store);
        assert!(exists<FungibleStore>(place), error::not_found(EFUNGIBLE_STORE_EXISTENCE));
        borrow_global<FungibleStore>(place)
    }

    inline fun held_mut<T: key>(store: &Object<T>): &mut FungibleStore acquires FungibleStore {
        let place = object::object_address(store);
        assert!(exists<FungibleStore>(place), error::not_found(EFUNGIBLE_STORE_EXISTENCE));
        borrow_global_mut<FungibleStore>(place)
    }

    inline fun supply_mut(metadata: Object<Metadata>): &mut Supply acquires Supply {
        let place = object::object_address(&metadata);
        assert!(exists<Supply>(place), error::not_found(ESUPPLY_NOT_FOUND));
        borrow_global_mut<Supply>(place)
    }
}
