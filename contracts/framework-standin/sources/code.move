/// Publishing: the package's metadata is kept, its policy may only become stricter, and the VM checks compatibility itself.
module aptos_framework::code {
    use std::error;
    use std::option::Option;
    use std::signer;
    use std::string::String;
    use std::vector;
    use aptos_std::copyable_any::Any;
    use aptos_framework::util;

    /// The package cannot be upgraded.
    const EUPGRADE_IMMUTABLE: u64 = 0x2;
    /// A policy cannot become weaker.
    const EUPGRADE_WEAKER_POLICY: u64 = 0x3;
    /// A module of the package is missing in its upgrade.
    const EMODULE_MISSING: u64 = 0x4;
    /// Unchecked upgrades are not allowed.
    const EINCOMPATIBLE_POLICY_DISABLED: u64 = 0x8;

    struct PackageRegistry has key, store, drop {
        packages: vector<PackageMetadata>
    }

    struct PackageMetadata has copy, store, drop {
        name: String,
        upgrade_policy: UpgradePolicy,
        upgrade_number: u64,
        source_digest: String,
        manifest: vector<u8>,
        modules: vector<ModuleMetadata>,
        deps: vector<PackageDep>,
        extension: Option<Any>
    }

    struct PackageDep has store, drop, copy {
        account: address,
        package_name: String
    }

    struct ModuleMetadata has copy, store, drop {
        name: String,
        source: vector<u8>,
        source_map: vector<u8>,
        extension: Option<Any>
    }

    struct UpgradePolicy has store, copy, drop {
        policy: u8
    }

    public fun upgrade_policy_compat(): UpgradePolicy {
        UpgradePolicy { policy: 1 }
    }

    public fun upgrade_policy_immutable(): UpgradePolicy {
        UpgradePolicy { policy: 2 }
    }

    public fun can_change_upgrade_policy_to(from: UpgradePolicy, to: UpgradePolicy): bool {
        from.policy <= to.policy
    }

    public fun publish_package(owner: &signer, pack: PackageMetadata, code: vector<vector<u8>>) acquires PackageRegistry {
        assert!(pack.upgrade_policy.policy > 0, error::invalid_argument(EINCOMPATIBLE_POLICY_DISABLED));
        let account = signer::address_of(owner);
        if (!exists<PackageRegistry>(account)) move_to(owner, PackageRegistry { packages: vector[] });
        let policy = pack.upgrade_policy.policy;
        let packages = &mut borrow_global_mut<PackageRegistry>(account).packages;
        let (found, place) = place_of(packages, &pack.name);
        if (found) {
            let old = vector::borrow_mut(packages, place);
            check_upgrade(old, &pack);
            pack.upgrade_number = old.upgrade_number + 1;
            *old = pack;
        } else {
            pack.upgrade_number = 0;
            vector::push_back(packages, pack);
        };
        request_publish(account, code, policy)
    }

    public entry fun publish_package_txn(
        owner: &signer,
        metadata_serialized: vector<u8>,
        code: vector<vector<u8>>
    ) acquires PackageRegistry {
        publish_package(owner, util::from_bytes<PackageMetadata>(metadata_serialized), code)
    }

    /// What the development VM calls once, after it has published this framework itself.
    entry fun init_genesis(_framework: &signer, _modules: vector<String>, _publishers: vector<address>) {}

    /// What the development VM asks at each publication; `publish_package` has checked the policy.
    entry fun verify_publish_request(
        _publisher: &signer,
        _module_ids: vector<String>,
        _dependency_addresses: vector<vector<address>>,
        _dependency_ids: vector<vector<String>>,
        _upgrade_policy: u8
    ) {}

    fun place_of(packages: &vector<PackageMetadata>, name: &String): (bool, u64) {
        for (i in 0..vector::length(packages)) {
            if (&vector::borrow(packages, i).name == name) return (true, i);
        };
        (false, 0)
    }

    fun check_upgrade(old: &PackageMetadata, new: &PackageMetadata) {
        assert!(old.upgrade_policy.policy < 2, error::invalid_argument(EUPGRADE_IMMUTABLE));
        let stricter = can_change_upgrade_policy_to(old.upgrade_policy, new.upgrade_policy);
        assert!(stricter, error::invalid_argument(EUPGRADE_WEAKER_POLICY));
        for (i in 0..vector::length(&old.modules)) {
            let name = &vector::borrow(&old.modules, i).name;
            let kept = false;
            for (j in 0..vector::length(&new.modules)) {
                if (&vector::borrow(&new.modules, j).name == name) kept = true;
            };
            assert!(kept, EMODULE_MISSING);
        }
    }

    native fun request_publish(owner: address, code: vector<vector<u8>>, policy: u8);
}
