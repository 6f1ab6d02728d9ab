/// Events of modules.
module aptos_framework::event {
    public fun emit<T: store + drop>(msg: T) {
        emit_event<T>(&msg);
    }

    native fun emit_event<T: drop>(msg: &T);

    #[test_only]
    native public fun emitted_events<T: drop>(): vector<T>;

    #[test_only]
    public fun was_event_emitted<T: drop + store>(msg: &T): bool {
        std::vector::contains(&emitted_events<T>(), msg)
    }
}
