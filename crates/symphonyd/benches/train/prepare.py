"""Turns the Complete Journey (CC0) into what three Vaults ingest: people, consents and records as JSON lines.

A household is a person and lives in one Vault, chosen by a hash of its id. Three kinds of events become records: a line
of a receipt, a campaign that was sent to the household, and a coupon that the household redeemed. The last two have a
category (`CAMPAIGN TYPE A`, `COUPON REDEMPTION`) and a time, and no amount. Nothing is filled in that the files do
not say; an empty field is left out (R098).

    python prepare.py OUT [--data DIR] [--scope SCOPE]
"""

import argparse
import hashlib
import json
import os
from pathlib import Path

import pandas as pd

VAULTS = 3
CAMPAIGN = "CAMPAIGN"
REDEMPTION = "COUPON REDEMPTION"
CONTACT = "household-{}@example.com"


def vault_of(household: int) -> int:
    """The Vault that a household lives in."""
    digest = hashlib.sha256(f"vault/{household}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % VAULTS


def purchases(data: Path) -> pd.DataFrame:
    """One record a line of a receipt. **Units**: cents; times in UTC."""
    lines = pd.read_csv(data / "transactions_sample.csv.gz")
    products = pd.read_csv(data / "products.csv.gz").drop_duplicates("product_id")
    lines = lines.merge(products, on="product_id", how="left", validate="many_to_one")
    discount = (lines.coupon_disc * 100).round().astype(int)
    return pd.DataFrame({
        "household": lines.household_id,
        "request_id": [f"line-{line}" for line in range(len(lines))],
        "commerce.merchant": "store-" + lines.store_id.astype(str),
        "commerce.department": lines.department,
        "commerce.category": lines.product_category,
        "commerce.brand": lines.brand,
        "commerce.purchase_date": lines.transaction_timestamp.str.replace(" ", "T") + "Z",
        "commerce.amount": decimal((lines.sales_value * 100).round().astype(int)),
        "commerce.coupon_discount": decimal(discount).where(discount > 0),
    })


def decimal(cents: pd.Series) -> pd.Series:
    """Amounts as decimal texts."""
    return (cents // 100).astype(str) + "." + (cents % 100).astype(str).str.zfill(2)


def campaigns(data: Path) -> pd.DataFrame:
    """One record a household that a campaign was sent to, at the first moment of its first day."""
    sent = pd.read_csv(data / "campaigns.csv.gz")
    sent = sent.merge(pd.read_csv(data / "campaign_descriptions.csv.gz"), on="campaign_id", validate="many_to_one")
    return pd.DataFrame({
        "household": sent.household_id,
        "request_id": [f"campaign-{line}" for line in range(len(sent))],
        "commerce.category": f"{CAMPAIGN} " + sent.campaign_type.str.upper(),
        "commerce.purchase_date": sent.start_date + "T00:00:00Z",
    })


def redemptions(data: Path) -> pd.DataFrame:
    """One record a coupon redeemed. Only the day is known: noon stands for it, so that midnight cuts between days."""
    redeemed = pd.read_csv(data / "coupon_redemptions.csv.gz")
    return pd.DataFrame({
        "household": redeemed.household_id,
        "request_id": [f"redemption-{line}" for line in range(len(redeemed))],
        "commerce.category": REDEMPTION,
        "commerce.purchase_date": redeemed.redemption_date + "T12:00:00Z",
    })


def write(records: pd.DataFrame, out: Path, scope: str) -> dict:
    """Writes the files of all Vaults. Returns what was written."""
    out.mkdir(parents=True, exist_ok=True)
    vaults = records.household.map(vault_of)
    written = {}
    for vault in range(VAULTS):
        own = records[vaults == vault]
        households = sorted(own.household.unique().tolist())
        lines(out / f"records-vault-{vault}.jsonl", map(record, own.to_dict("records")))
        people = ({"subject": subject(one), "contact": CONTACT.format(one)} for one in households)
        lines(out / f"subjects-vault-{vault}.jsonl", people)
        consents = ({"subject": subject(one), "scope": scope, "state": "granted"} for one in households)
        lines(out / f"consents-vault-{vault}.jsonl", consents)
        written[f"vault-{vault}"] = {"people": len(households), "records": len(own)}
    return written


def record(row: dict) -> dict:
    """One line of an upload: attributes without a value are left out."""
    present = {name: value for name, value in row.items() if not pd.isna(value)}
    household = present.pop("household")
    return {"request_id": present.pop("request_id"), "subject": subject(household), **present}


def subject(household: int) -> str:
    """The name of a household within its Vault."""
    return f"household-{household}"


def lines(path: Path, values) -> None:
    """Writes one JSON value a line."""
    with path.open("w", encoding="utf-8") as file:
        for value in values:
            file.write(json.dumps(value, separators=(",", ":")) + "\n")


def data_folder(given: Path | None) -> Path:
    """The folder of the Complete Journey: as given, by `SYMPHONY_DATA_DIR`, or beside the checkout."""
    if given is not None:
        return given
    checkout = Path(__file__).resolve().parents[4]
    shared = Path(os.environ.get("SYMPHONY_DATA_DIR") or checkout.parent / "shared" / "data")
    return shared / "completejourney"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("out", type=Path, help="where the files go")
    arguments.add_argument("--data", type=Path, help="the folder with the files of the Complete Journey")
    arguments.add_argument("--scope", default="training", help="the usage that everybody consents to")
    given = arguments.parse_args()
    data = data_folder(given.data)
    if not data.is_dir():
        raise SystemExit(f"skipped: {data} is absent")
    bought = purchases(data)
    events = pd.concat([bought, campaigns(data), redemptions(data)], ignore_index=True)
    # Two households were sent a campaign and never bought anything: no shop knows them.
    known = events[events.household.isin(set(bought.household))]
    print(json.dumps(write(known, given.out, given.scope)))


if __name__ == "__main__":
    main()
