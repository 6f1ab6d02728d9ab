#[test_only]
module symphony::reward_tests {
    use std::vector;
    use aptos_framework::event;
    use symphony::reward;
    use symphony::sym;
    use symphony::treasury;
    use symphony::world;

    fun claim(account: address, index: u64, amount: u64) {
        reward::claim(&world::who(account), world::text(b"north"), 7, index, amount, world::path(index));
    }

    fun paid_campaign() {
        world::new();
        world::send(world::campaign(world::lock(b"request", 300)));
    }

    #[test]
    fun a_batch_pays_everybody_what_was_charged() {
        paid_campaign();
        assert!(sym::balance(world::submitter()) == 760, 1);
        assert!(sym::balance(world::operator()) == 1055, 2);
        assert!(sym::balance(world::executor()) == 1040, 3);
        assert!(treasury::balance() == 518, 4);
        let (pool, incentives, carried, unclaimed, _) = reward::holdings();
        assert!(pool == 62 && incentives == 70 && carried == 15 && unclaimed == 100, 5);
        let (charged, refunded, subsidised, drawn, classes, carried, pool_return) =
            reward::batch_totals(world::digest(b"epoch 7"));
        assert!(charged == 240 && refunded == 60 && subsidised == 0 && drawn == 0, 6);
        assert!(classes == vector[100, 50, 30, 10, 5, 18] && carried == 15 && pool_return == 12, 7);
        assert!(reward::epoch(7) == vector[world::digest(b"epoch 7")], 8);
        assert!(reward::anchor_of(world::digest(b"campaign")) == vector[world::digest(b"root")], 9);
        assert!(vector::length(&event::emitted_events<reward::Paid>()) == 4, 10);
        world::check_supply();
    }

    #[test]
    fun a_batch_pays_once() {
        world::new();
        let batch = world::campaign(world::lock(b"request", 300));
        world::send(batch);
        world::send(batch);
        assert!(sym::balance(world::operator()) == 1055, 1);
        assert!(vector::length(&event::emitted_events<reward::BatchRecorded>()) == 1, 2);
        world::check_supply();
    }

    #[test]
    #[expected_failure(abort_code = 0x80015, location = symphony::reward)]
    fun a_batch_id_serves_one_batch() {
        world::new();
        let batch = world::campaign(world::lock(b"request", 300));
        world::send(batch);
        world::returning(&mut batch, 11);
        world::send(batch);
    }

    #[test]
    fun a_batch_of_refunds_alone_is_right() {
        world::new();
        let batch = world::empty(b"refund");
        world::settling(&mut batch, world::lock(b"request", 300), b"rejected", 0, 300);
        world::send(batch);
        assert!(sym::balance(world::submitter()) == 1000, 1);
        world::send(world::empty(b"nothing"));
        world::check_supply();
    }

    #[test]
    fun a_lock_can_be_released_in_part() {
        world::new();
        let batch = world::empty(b"part");
        world::settling(&mut batch, world::lock(b"request", 300), b"failed", 1, 299);
        world::sharing(&mut batch, 1);
        world::send(batch);
        assert!(sym::balance(world::submitter()) == 999, 1);
        world::check_supply();
    }

    #[test]
    fun subsidies_come_from_the_pool_and_then_from_the_treasury() {
        world::new();
        let first = world::empty(b"first");
        world::subsidising(&mut first, b"parse 1", 60);
        world::paying(&mut first, world::operator(), 1, 60);
        world::send(first);
        let (_, incentives, _, _, _) = reward::holdings();
        assert!(incentives == 10 && treasury::balance() == 500, 1);
        let second = world::empty(b"second");
        world::subsidising(&mut second, b"parse 2", 60);
        world::paying(&mut second, world::operator(), 1, 60);
        world::send(second);
        let (_, incentives, _, _, _) = reward::holdings();
        assert!(incentives == 0 && treasury::balance() == 450, 2);
        assert!(sym::balance(world::operator()) == 1120, 3);
        world::check_supply();
    }

    #[test]
    fun carried_dividends_are_paid_later() {
        paid_campaign();
        let batch = world::empty(b"epoch 8");
        world::in_epoch(&mut batch, 8);
        world::carrying(&mut batch, b"south", 0, 15);
        world::sharing(&mut batch, 15);
        world::send(batch);
        assert!(reward::carry(world::text(b"south")) == 0, 1);
        world::check_supply();
    }

    #[test]
    fun every_producer_claims_its_dividend_once() {
        paid_campaign();
        let producers = world::producers();
        for (i in 0..4) {
            let account = *vector::borrow(&producers, i);
            claim(account, i, 10 * (i + 1));
            assert!(sym::balance(account) == 1000 + 10 * (i + 1), 1);
            assert!(reward::is_claimed(world::text(b"north"), 7, i), 2);
        };
        let (_, leaves, total, unclaimed) = reward::tree(world::text(b"north"), 7);
        assert!(leaves == 4 && total == 100 && unclaimed == 0, 3);
        world::check_supply();
    }

    #[test]
    fun a_payment_of_nothing_moves_nothing() {
        world::new();
        let batch = world::empty(b"zero");
        world::paying(&mut batch, @0xc1, 4, 0);
        world::send(batch);
        assert!(sym::balance(@0xc1) == 0, 1);
    }

    #[test]
    #[expected_failure(abort_code = 0x50007, location = symphony::roles)]
    fun only_payout_pays() {
        world::new();
        world::send_as(world::settlement(), world::campaign(world::lock(b"request", 300)));
    }

    #[test]
    #[expected_failure(abort_code = 0x20014, location = symphony::reward)]
    fun a_batch_is_bounded() {
        world::new();
        let batch = world::empty(b"large");
        for (i in 0..10001) { world::paying(&mut batch, @0xc1, 4, 0) };
        world::send(batch);
    }

    #[test]
    #[expected_failure(abort_code = 0x10016, location = symphony::reward)]
    fun a_batch_pays_not_more_than_it_charges() {
        world::new();
        let batch = world::campaign(world::lock(b"request", 300));
        world::sharing(&mut batch, 19);
        world::send(batch);
    }

    #[test]
    #[expected_failure(abort_code = 0x10016, location = symphony::reward)]
    fun a_batch_pays_not_less_than_it_charges() {
        world::new();
        let batch = world::campaign(world::lock(b"request", 300));
        world::sharing(&mut batch, 17);
        world::send(batch);
    }

    #[test]
    #[expected_failure(abort_code = 0x10016, location = symphony::reward)]
    fun sums_do_not_wrap() {
        world::new();
        let batch = world::campaign(world::lock(b"request", 300));
        world::sharing(&mut batch, 18446744073709551615);
        world::send(batch);
    }

    #[test]
    #[expected_failure(abort_code = 0x10016, location = symphony::reward)]
    fun the_sum_of_a_class_fits() {
        world::new();
        let batch = world::empty(b"wide");
        world::paying(&mut batch, @0xc1, 4, 18446744073709551615);
        world::paying(&mut batch, @0xc1, 4, 18446744073709551615);
        world::send(batch);
    }

    #[test]
    #[expected_failure(abort_code = 0x10017, location = symphony::escrow)]
    fun charge_and_refund_are_all_of_the_lock() {
        world::new();
        let batch = world::empty(b"batch");
        world::settling(&mut batch, world::lock(b"request", 300), b"task", 240, 61);
        world::send(batch);
    }

    #[test]
    #[expected_failure(abort_code = 0x10017, location = symphony::escrow)]
    fun a_charge_does_not_wrap() {
        world::new();
        let batch = world::empty(b"batch");
        let lock = world::lock(b"request", 300);
        world::settling(&mut batch, lock, b"task", 18446744073709551615, 301);
        world::send(batch);
    }

    #[test]
    #[expected_failure(abort_code = 0x6000c, location = symphony::escrow)]
    fun an_unknown_lock_is_not_settled() {
        world::new();
        let batch = world::empty(b"batch");
        world::settling(&mut batch, world::digest(b"none"), b"task", 0, 0);
        world::send(batch);
    }

    #[test]
    #[expected_failure(abort_code = 0x3000e, location = symphony::escrow)]
    fun a_lock_is_settled_once() {
        world::new();
        let lock = world::lock(b"request", 300);
        world::send(world::campaign(lock));
        let again = world::empty(b"again");
        world::settling(&mut again, lock, b"other", 0, 300);
        world::send(again);
    }

    #[test]
    #[expected_failure(abort_code = 0x8001a, location = symphony::escrow)]
    fun a_task_is_settled_once() {
        paid_campaign();
        let again = world::empty(b"again");
        world::settling(&mut again, world::lock(b"second", 100), b"campaign", 0, 100);
        world::send(again);
    }

    #[test]
    #[expected_failure(abort_code = 0x10018, location = symphony::bytes)]
    fun a_batch_names_a_lock_once() {
        world::new();
        let lock = world::lock(b"request", 300);
        let batch = world::empty(b"twice");
        world::settling(&mut batch, lock, b"a", 0, 300);
        world::settling(&mut batch, lock, b"b", 0, 300);
        world::send(batch);
    }

    #[test]
    #[expected_failure(abort_code = 0x10018, location = symphony::bytes)]
    fun a_task_is_paid_by_a_lock_or_by_a_subsidy() {
        world::new();
        let batch = world::empty(b"both");
        world::settling(&mut batch, world::lock(b"request", 300), b"task", 0, 300);
        world::subsidising(&mut batch, b"task", 5);
        world::send(batch);
    }

    #[test]
    #[expected_failure(abort_code = 0x10018, location = symphony::bytes)]
    fun a_vault_carries_once_a_batch() {
        paid_campaign();
        let batch = world::empty(b"twice");
        world::carrying(&mut batch, b"south", 0, 1);
        world::carrying(&mut batch, b"south", 0, 1);
        world::send(batch);
    }

    #[test]
    #[expected_failure(abort_code = 0x10018, location = symphony::bytes)]
    fun a_task_is_anchored_once_a_batch() {
        world::new();
        let batch = world::empty(b"twice");
        world::anchoring(&mut batch, b"task", b"root");
        world::anchoring(&mut batch, b"task", b"other");
        world::send(batch);
    }

    #[test]
    #[expected_failure(abort_code = 0x10019, location = symphony::reward)]
    fun contributors_are_paid_by_tree() {
        world::new();
        let batch = world::empty(b"batch");
        world::settling(&mut batch, world::lock(b"request", 300), b"task", 10, 290);
        world::paying(&mut batch, world::producer(), 0, 10);
        world::send(batch);
    }

    #[test]
    #[expected_failure(abort_code = 0x10019, location = symphony::reward)]
    fun the_treasury_is_no_payee() {
        world::new();
        let batch = world::empty(b"batch");
        world::settling(&mut batch, world::lock(b"request", 300), b"task", 10, 290);
        world::paying(&mut batch, world::producer(), 5, 10);
        world::send(batch);
    }

    #[test]
    #[expected_failure(abort_code = 0x10019, location = symphony::reward)]
    fun there_are_six_classes() {
        world::new();
        let batch = world::empty(b"batch");
        world::paying(&mut batch, world::producer(), 6, 0);
        world::send(batch);
    }

    fun tree(leaves: u64, total: u64) {
        world::new();
        let batch = world::empty(b"batch");
        world::settling(&mut batch, world::lock(b"request", 300), b"task", total, 300 - total);
        world::opening(&mut batch, b"north", world::root(), leaves, total);
        world::send(batch);
    }

    #[test]
    #[expected_failure(abort_code = 0x1001b, location = symphony::reward)]
    fun a_tree_has_enough_payees() { tree(1, 10) }

    #[test]
    #[expected_failure(abort_code = 0x1001b, location = symphony::reward)]
    fun a_tree_is_bounded() { tree(16000001, 10) }

    #[test]
    #[expected_failure(abort_code = 0x1001b, location = symphony::reward)]
    fun a_tree_pays_something() { tree(2, 0) }

    #[test]
    #[expected_failure(abort_code = 0x8001c, location = symphony::reward)]
    fun a_vault_has_one_tree_an_epoch() {
        paid_campaign();
        let batch = world::empty(b"again");
        world::settling(&mut batch, world::lock(b"second", 100), b"second", 100, 0);
        world::opening(&mut batch, b"north", world::root(), 4, 100);
        world::send(batch);
    }

    #[test]
    #[expected_failure(abort_code = 0x3001d, location = symphony::reward)]
    fun no_more_is_drawn_than_was_kept() {
        paid_campaign();
        let batch = world::empty(b"again");
        world::carrying(&mut batch, b"south", 0, 16);
        world::sharing(&mut batch, 16);
        world::send(batch);
    }

    #[test]
    #[expected_failure(abort_code = 0x8001e, location = symphony::reward)]
    fun a_task_is_anchored_once() {
        paid_campaign();
        let batch = world::empty(b"again");
        world::anchoring(&mut batch, b"campaign", b"other root");
        world::send(batch);
    }

    #[test]
    #[expected_failure(abort_code = 0x30027, location = symphony::reward)]
    fun subsidies_end_with_the_money() {
        world::new();
        let batch = world::empty(b"batch");
        world::subsidising(&mut batch, b"parse", 571);
        world::paying(&mut batch, world::operator(), 1, 571);
        world::send(batch);
    }

    #[test]
    #[expected_failure(abort_code = 0x10072, location = symphony::reward)]
    fun lists_belong_together() {
        world::new();
        let batch = world::empty(b"batch");
        world::paying(&mut batch, world::operator(), 1, 0);
        world::losing_an_amount(&mut batch);
        world::send(batch);
    }

    #[test]
    #[expected_failure(abort_code = 0x10074, location = symphony::reward)]
    fun a_vault_has_a_name() {
        world::new();
        let batch = world::empty(b"batch");
        world::carrying(&mut batch, b"", 0, 0);
        world::send(batch);
    }

    #[test]
    #[expected_failure(abort_code = 0x6001f, location = symphony::reward)]
    fun there_is_nothing_to_claim_without_a_tree() {
        world::new();
        claim(world::producer(), 0, 10);
    }

    #[test]
    #[expected_failure(abort_code = 0x10020, location = symphony::reward)]
    fun nobody_claims_anothers_dividend() {
        paid_campaign();
        claim(@0xa5, 0, 10);
    }

    #[test]
    #[expected_failure(abort_code = 0x10020, location = symphony::reward)]
    fun nobody_claims_another_amount() {
        paid_campaign();
        claim(world::producer(), 0, 11);
    }

    #[test]
    #[expected_failure(abort_code = 0x10020, location = symphony::reward)]
    fun another_leafs_path_proves_nothing() {
        paid_campaign();
        let producer = world::who(world::producer());
        reward::claim(&producer, world::text(b"north"), 7, 0, 10, world::path(1));
    }

    #[test]
    #[expected_failure(abort_code = 0x80021, location = symphony::reward)]
    fun a_dividend_is_claimed_once() {
        paid_campaign();
        claim(world::producer(), 0, 10);
        claim(world::producer(), 0, 10);
    }

    #[test]
    #[expected_failure(abort_code = 0x30022, location = symphony::reward)]
    fun claims_never_exceed_the_trees_total() {
        world::new();
        let batch = world::empty(b"lying");
        world::settling(&mut batch, world::lock(b"request", 300), b"task", 39, 261);
        world::opening(&mut batch, b"north", world::root(), 4, 39);
        world::send(batch);
        claim(@0xa7, 3, 40);
    }
}
