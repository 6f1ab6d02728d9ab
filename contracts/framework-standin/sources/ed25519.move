/// Ed25519. Aptos refuses keys and signatures of small order; the development VM follows ZIP 215, which takes some of them.
module aptos_std::ed25519 {
    use std::error;
    use std::vector;

    /// A public key has 32 bytes.
    const E_WRONG_PUBKEY_SIZE: u64 = 1;
    /// A signature has 64 bytes.
    const E_WRONG_SIGNATURE_SIZE: u64 = 2;

    const PUBLIC_KEY_NUM_BYTES: u64 = 32;
    const SIGNATURE_NUM_BYTES: u64 = 64;

    struct UnvalidatedPublicKey has copy, drop, store {
        bytes: vector<u8>
    }

    struct Signature has copy, drop, store {
        bytes: vector<u8>
    }

    public fun new_unvalidated_public_key_from_bytes(bytes: vector<u8>): UnvalidatedPublicKey {
        let len = vector::length(&bytes);
        assert!(len == PUBLIC_KEY_NUM_BYTES, error::invalid_argument(E_WRONG_PUBKEY_SIZE));
        UnvalidatedPublicKey { bytes }
    }

    public fun new_signature_from_bytes(bytes: vector<u8>): Signature {
        let len = vector::length(&bytes);
        assert!(len == SIGNATURE_NUM_BYTES, error::invalid_argument(E_WRONG_SIGNATURE_SIZE));
        Signature { bytes }
    }

    public fun unvalidated_public_key_to_bytes(pk: &UnvalidatedPublicKey): vector<u8> {
        pk.bytes
    }

    /// The authentication key of an account that this key alone controls.
    public fun unvalidated_public_key_to_authentication_key(pk: &UnvalidatedPublicKey): vector<u8> {
        let bytes = pk.bytes;
        vector::push_back(&mut bytes, 0);
        std::hash::sha3_256(bytes)
    }

    public fun signature_verify_strict(
        signature: &Signature,
        public_key: &UnvalidatedPublicKey,
        message: vector<u8>
    ): bool {
        verify_internal(message, public_key.bytes, signature.bytes)
    }

    native fun verify_internal(message: vector<u8>, public_key: vector<u8>, signature: vector<u8>): bool;

    #[test_only]
    native public fun generate_keys(): (vector<u8>, vector<u8>);

    #[test_only]
    native public fun sign(message: vector<u8>, secret_key: vector<u8>): vector<u8>;
}
