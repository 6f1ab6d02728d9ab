/// Objects: addresses with an owner and resources, at places that follow from who made them.
module aptos_framework::object {
    use std::bcs;
    use std::error;
    use std::hash;
    use std::signer;
    use std::vector;
    use aptos_std::from_bcs;
    use aptos_framework::account;
    use aptos_framework::event;

    friend aptos_framework::primary_fungible_store;

    /// There is an object at the address.
    const EOBJECT_EXISTS: u64 = 1;
    /// There is no object at the address.
    const EOBJECT_DOES_NOT_EXIST: u64 = 2;
    /// The object may not change hands.
    const ENO_UNGATED_TRANSFERS: u64 = 3;
    /// The caller does not own the object.
    const ENOT_OBJECT_OWNER: u64 = 4;
    /// The object does not have the resource.
    const ERESOURCE_DOES_NOT_EXIST: u64 = 7;

    const OBJECT_DERIVED_SCHEME: u8 = 0xFC;
    const OBJECT_FROM_SEED_ADDRESS_SCHEME: u8 = 0xFE;

    struct ObjectCore has key {
        guid_creation_num: u64,
        owner: address,
        allow_ungated_transfer: bool
    }

    struct Object<phantom T> has copy, drop, store {
        inner: address
    }

    struct ConstructorRef has drop {
        self: address,
        can_delete: bool
    }

    struct ExtendRef has drop, store {
        self: address
    }

    struct TransferRef has drop, store {
        self: address
    }

    struct DeriveRef has drop, store {
        self: address
    }

    #[event]
    struct Transfer has drop, store {
        object: address,
        from: address,
        to: address
    }

    #[view]
    public fun is_object(object: address): bool {
        exists<ObjectCore>(object)
    }

    #[view]
    public fun object_exists<T: key>(object: address): bool {
        exists<ObjectCore>(object) && exists_at<T>(object)
    }

    public fun address_to_object<T: key>(object: address): Object<T> {
        assert!(exists<ObjectCore>(object), error::not_found(EOBJECT_DOES_NOT_EXIST));
        assert!(exists_at<T>(object), error::not_found(ERESOURCE_DOES_NOT_EXIST));
        Object { inner: object }
    }

    public fun create_object_address(source: &address, seed: vector<u8>): address {
        let bytes = bcs::to_bytes(source);
        vector::append(&mut bytes, seed);
        vector::push_back(&mut bytes, OBJECT_FROM_SEED_ADDRESS_SCHEME);
        from_bcs::to_address(hash::sha3_256(bytes))
    }

    public fun create_user_derived_object_address(source: address, derive_from: address): address {
        let bytes = bcs::to_bytes(&source);
        vector::append(&mut bytes, bcs::to_bytes(&derive_from));
        vector::push_back(&mut bytes, OBJECT_DERIVED_SCHEME);
        from_bcs::to_address(hash::sha3_256(bytes))
    }

    public fun object_address<T: key>(self: &Object<T>): address {
        self.inner
    }

    public fun convert<X: key, Y: key>(self: Object<X>): Object<Y> {
        address_to_object<Y>(self.inner)
    }

    public fun create_named_object(creator: &signer, seed: vector<u8>): ConstructorRef {
        let owner = signer::address_of(creator);
        let object = create_object_address(&owner, seed);
        create_at(owner, object)
    }

    public(friend) fun create_user_derived_object(creator_address: address, derive_ref: &DeriveRef): ConstructorRef {
        let object = create_user_derived_object_address(creator_address, derive_ref.self);
        create_at(creator_address, object)
    }

    fun create_at(owner: address, object: address): ConstructorRef {
        assert!(!exists<ObjectCore>(object), error::already_exists(EOBJECT_EXISTS));
        let core = ObjectCore { guid_creation_num: 0x4000000000000, owner, allow_ungated_transfer: true };
        move_to(&account::create_signer(object), core);
        ConstructorRef { self: object, can_delete: false }
    }

    public fun generate_extend_ref(ref: &ConstructorRef): ExtendRef {
        ExtendRef { self: ref.self }
    }

    public fun generate_transfer_ref(ref: &ConstructorRef): TransferRef {
        TransferRef { self: ref.self }
    }

    public fun generate_derive_ref(ref: &ConstructorRef): DeriveRef {
        DeriveRef { self: ref.self }
    }

    public fun generate_signer(ref: &ConstructorRef): signer {
        account::create_signer(ref.self)
    }

    public fun generate_signer_for_extending(ref: &ExtendRef): signer {
        account::create_signer(ref.self)
    }

    public fun address_from_constructor_ref(ref: &ConstructorRef): address {
        ref.self
    }

    public fun address_from_extend_ref(ref: &ExtendRef): address {
        ref.self
    }

    public fun object_from_constructor_ref<T: key>(ref: &ConstructorRef): Object<T> {
        address_to_object<T>(ref.self)
    }

    public fun can_generate_delete_ref(ref: &ConstructorRef): bool {
        ref.can_delete
    }

    public fun disable_ungated_transfer(ref: &TransferRef) acquires ObjectCore {
        borrow_global_mut<ObjectCore>(ref.self).allow_ungated_transfer = false;
    }

    public entry fun transfer<T: key>(owner: &signer, object: Object<T>, to: address) acquires ObjectCore {
        let from = signer::address_of(owner);
        let core = borrow_global_mut<ObjectCore>(object.inner);
        assert!(core.allow_ungated_transfer, error::permission_denied(ENO_UNGATED_TRANSFERS));
        assert!(core.owner == from, error::permission_denied(ENOT_OBJECT_OWNER));
        core.owner = to;
        event::emit(Transfer { object: object.inner, from, to });
    }

    #[view]
    public fun owner<T: key>(object: Object<T>): address acquires ObjectCore {
        assert!(exists<ObjectCore>(object.inner), error::not_found(EOBJECT_DOES_NOT_EXIST));
        borrow_global<ObjectCore>(object.inner).owner
    }

    #[view]
    public fun is_owner<T: key>(object: Object<T>, owner: address): bool acquires ObjectCore {
        owner(object) == owner
    }

    /// As an owner of the owner and so on, up to eight times.
    public fun owns<T: key>(object: Object<T>, owner: address): bool acquires ObjectCore {
        let current = object.inner;
        if (current == owner) return true;
        for (depth in 0..8) {
            if (!exists<ObjectCore>(current)) return false;
            current = borrow_global<ObjectCore>(current).owner;
            if (current == owner) return true;
        };
        false
    }

    native fun exists_at<T: key>(object: address): bool;
}
