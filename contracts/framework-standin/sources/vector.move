/// Growable arrays. The first functions are instructions of the VM.
module std::vector {
    /// The index is past the end.
    const EINDEX_OUT_OF_BOUNDS: u64 = 0x20000;

    #[bytecode_instruction]
    native public fun empty<Element>(): vector<Element>;

    #[bytecode_instruction]
    native public fun length<Element>(self: &vector<Element>): u64;

    #[bytecode_instruction]
    native public fun borrow<Element>(self: &vector<Element>, i: u64): &Element;

    #[bytecode_instruction]
    native public fun push_back<Element>(self: &mut vector<Element>, e: Element);

    #[bytecode_instruction]
    native public fun borrow_mut<Element>(self: &mut vector<Element>, i: u64): &mut Element;

    #[bytecode_instruction]
    native public fun pop_back<Element>(self: &mut vector<Element>): Element;

    #[bytecode_instruction]
    native public fun destroy_empty<Element>(self: vector<Element>);

    #[bytecode_instruction]
    native public fun swap<Element>(self: &mut vector<Element>, i: u64, j: u64);

    public fun singleton<Element>(e: Element): vector<Element> {
        let v = empty();
        push_back(&mut v, e);
        v
    }

    public fun is_empty<Element>(self: &vector<Element>): bool {
        length(self) == 0
    }

    public fun reverse<Element>(self: &mut vector<Element>) {
        let len = length(self);
        for (i in 0..(len / 2)) {
            swap(self, i, len - 1 - i);
        }
    }

    public fun append<Element>(self: &mut vector<Element>, other: vector<Element>) {
        reverse(&mut other);
        while (!is_empty(&other)) {
            push_back(self, pop_back(&mut other));
        };
        destroy_empty(other);
    }

    public fun contains<Element>(self: &vector<Element>, e: &Element): bool {
        let (found, _) = index_of(self, e);
        found
    }

    public fun index_of<Element>(self: &vector<Element>, e: &Element): (bool, u64) {
        let len = length(self);
        for (i in 0..len) {
            if (borrow(self, i) == e) return (true, i);
        };
        (false, 0)
    }

    public fun remove<Element>(self: &mut vector<Element>, i: u64): Element {
        let len = length(self);
        if (i >= len) abort EINDEX_OUT_OF_BOUNDS;
        for (place in i..(len - 1)) {
            swap(self, place, place + 1);
        };
        pop_back(self)
    }
}
