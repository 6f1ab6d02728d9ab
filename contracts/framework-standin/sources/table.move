/// Maps of any size, one storage place for each entry. Aptos raises its codes in native code; so does this VM, with codes of
/// its own, which is why each function asks first.
module aptos_std::table {
    use std::error;

    /// There is an entry for the key.
    const EALREADY_EXISTS: u64 = 100;
    /// There is no entry for the key.
    const ENOT_FOUND: u64 = 101;

    struct Table<phantom K: copy + drop, phantom V> has store {
        handle: address
    }

    /// What natives read and write.
    struct Box<V> has key, drop, store {
        val: V
    }

    public fun new<K: copy + drop, V: store>(): Table<K, V> {
        Table { handle: new_table_handle<K, V>() }
    }

    public fun add<K: copy + drop, V>(self: &mut Table<K, V>, key: K, val: V) {
        assert!(!contains(self, key), error::invalid_argument(EALREADY_EXISTS));
        add_box<K, V, Box<V>>(self, key, Box { val })
    }

    public fun borrow<K: copy + drop, V>(self: &Table<K, V>, key: K): &V {
        assert!(contains(self, key), error::invalid_argument(ENOT_FOUND));
        &borrow_box<K, V, Box<V>>(self, key).val
    }

    public fun borrow_with_default<K: copy + drop, V>(self: &Table<K, V>, key: K, default: &V): &V {
        if (contains(self, key)) borrow(self, key) else default
    }

    public fun borrow_mut<K: copy + drop, V>(self: &mut Table<K, V>, key: K): &mut V {
        assert!(contains(self, key), error::invalid_argument(ENOT_FOUND));
        &mut borrow_box_mut<K, V, Box<V>>(self, key).val
    }

    public fun borrow_mut_with_default<K: copy + drop, V: drop>(
        self: &mut Table<K, V>,
        key: K,
        default: V
    ): &mut V {
        if (!contains(self, key)) add(self, key, default);
        borrow_mut(self, key)
    }

    public fun upsert<K: copy + drop, V: drop>(self: &mut Table<K, V>, key: K, value: V) {
        if (contains(self, key)) {
            *borrow_mut(self, key) = value
        } else {
            add(self, key, value)
        }
    }

    public fun remove<K: copy + drop, V>(self: &mut Table<K, V>, key: K): V {
        assert!(contains(self, key), error::invalid_argument(ENOT_FOUND));
        let Box { val } = remove_box<K, V, Box<V>>(self, key);
        val
    }

    public fun contains<K: copy + drop, V>(self: &Table<K, V>, key: K): bool {
        contains_box<K, V, Box<V>>(self, key)
    }

    native fun new_table_handle<K, V>(): address;

    native fun add_box<K: copy + drop, V, B>(table: &mut Table<K, V>, key: K, val: Box<V>);

    native fun borrow_box<K: copy + drop, V, B>(table: &Table<K, V>, key: K): &Box<V>;

    native fun borrow_box_mut<K: copy + drop, V, B>(table: &mut Table<K, V>, key: K): &mut Box<V>;

    native fun contains_box<K: copy + drop, V, B>(table: &Table<K, V>, key: K): bool;

    native fun remove_box<K: copy + drop, V, B>(table: &mut Table<K, V>, key: K): Box<V>;
}
