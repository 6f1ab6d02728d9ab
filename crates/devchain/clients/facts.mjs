// The script of facts in TypeScript's client (@aptos-labs/ts-sdk 7.3.0): `facts.mjs <url> <contracts' address> <seed>` prints one
// line of JSON.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The client lies where the caller has put it, not beside this file.
const require = createRequire(pathToFileURL(process.env.SYMPHONY_CLIENTS + "/"));
const { Account, AccountAddress, Aptos, AptosConfig, Ed25519PrivateKey, Network } = require("@aptos-labs/ts-sdk");

const SYM = 100_000_000n;
const [url, contracts, seed] = process.argv.slice(2);
const bytes = new Uint8Array(32).fill(Number(seed));
const client = new Aptos(new AptosConfig({ network: Network.CUSTOM, fullnode: url }));
const sender = Account.fromPrivateKey({ privateKey: new Ed25519PrivateKey(bytes) });
const recipient = new AccountAddress(bytes).toStringLong();

async function build(module, name, args) {
  const data = { function: `${contracts}::${module}::${name}`, functionArguments: args };
  return client.transaction.build.simple({ sender: sender.accountAddress, data });
}

async function send(transaction) {
  const sent = await client.signAndSubmitTransaction({ signer: sender, transaction });
  return client.waitForTransaction({ transactionHash: sent.hash });
}

async function view(name, args) {
  const values = await client.view({ payload: { function: `${contracts}::${name}`, functionArguments: args } });
  return values.length === 1 ? values[0] : values;
}

const transfer = (amount) => build("sym", "transfer", [recipient, amount]);
const paid = await send(await transfer(250));
const announced = paid.events.find((event) => event.type === `${contracts}::sym::Transferred`);
await send(await build("staking", "deposit", [2, 100n * SYM]));
let refused = "";
try {
  await send(await transfer(0));
} catch (error) {
  refused = JSON.stringify(error.transaction ?? String(error));
}
const [simulated] = await client.transaction.simulate.simple({
  signerPublicKey: sender.publicKey,
  transaction: await transfer(1),
});
const policy = await client.getAccountResource({ accountAddress: contracts, resourceType: `${contracts}::policy::Policy` });
const module = await client.getAccountModule({ accountAddress: contracts, moduleName: "sym" });
const payment = module.abi.exposed_functions.find((found) => found.name === "transfer");
const block = await client.getBlockByHeight({ blockHeight: Number(paid.version), options: { withTransactions: true } });
const account = await client.getAccountInfo({ accountAddress: sender.accountAddress });
console.log(
  JSON.stringify({
    chain_id: await client.getChainId(),
    paid: announced.data.amount,
    balance: await view("sym::balance", [recipient]),
    stake: (await view("staking::stake", [sender.accountAddress.toString(), 2])).slice(0, 2),
    refused: refused.includes("0x10008"),
    simulated: simulated.success,
    policy: policy.version,
    parameters: payment.params,
    sequence: Number(account.sequence_number),
    block: block.transactions[0].hash === paid.hash,
  }),
);
