"""The script of facts in Python (aptos-sdk 0.11.0): `facts.py <url> <contracts' address> <seed>` prints one line of JSON."""

import asyncio
import json
import sys

from aptos_sdk.account import Account
from aptos_sdk.account_address import AccountAddress
from aptos_sdk.async_client import RestClient
from aptos_sdk.bcs import Serializer
from aptos_sdk.transactions import EntryFunction, TransactionArgument, TransactionPayload

SYM = 100_000_000


async def main(url, contracts, seed):
    client = RestClient(url)
    client.client_config.http2 = False
    sender = Account.load_key("0x" + bytes([seed] * 32).hex())
    recipient = AccountAddress(bytes([seed] * 32))

    def call(module, function, *args):
        arguments = [TransactionArgument(value, encoder) for value, encoder in args]
        return TransactionPayload(EntryFunction.natural(f"{contracts}::{module}", function, [], arguments))

    def transfer(amount):
        return call("sym", "transfer", (recipient, Serializer.struct), (amount, Serializer.u64))

    async def send(payload):
        signed = await client.create_bcs_signed_transaction(sender, payload)
        sent = await client.submit_bcs_transaction(signed)
        await client.wait_for_transaction(sent)
        return await client.transaction_by_hash(sent)

    async def view(function, *args):
        values = json.loads(await client.view(f"{contracts}::{function}", [], list(args)))
        return values[0] if len(values) == 1 else values

    paid = await send(transfer(250))
    announced = [event for event in paid["events"] if event["type"] == f"{contracts}::sym::Transferred"]
    await send(call("staking", "deposit", (2, Serializer.u8), (100 * SYM, Serializer.u64)))
    try:
        await send(transfer(0))
        refused = ""
    except AssertionError as error:
        refused = str(error)
    simulated = await client.simulate_transaction(await client.create_bcs_transaction(sender, transfer(1)), sender)
    address = AccountAddress.from_str(contracts)
    policy = await client.account_resource(address, f"{contracts}::policy::Policy")
    module = await client.account_module(address, "sym")
    payment = [function for function in module["abi"]["exposed_functions"] if function["name"] == "transfer"][0]
    block = await client.blocks_by_height(int(paid["version"]), True)
    facts = {
        "chain_id": await client.chain_id(),
        "paid": announced[0]["data"]["amount"],
        "balance": await view("sym::balance", str(recipient)),
        "stake": (await view("staking::stake", str(sender.address()), 2))[:2],
        "refused": "0x10008" in refused,
        "simulated": simulated[0]["success"],
        "policy": policy["data"]["version"],
        "parameters": payment["params"],
        "sequence": await client.account_sequence_number(sender.address()),
        "block": block["transactions"][0]["hash"] == paid["hash"],
    }
    print(json.dumps(facts))
    await client.close()


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
