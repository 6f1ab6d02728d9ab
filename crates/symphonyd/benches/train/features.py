"""One row a household out of the records of one Vault after the other, in plain numpy.

It reads what `prepare.py` wrote and a task's JSON, and shares nothing with the platform's own code: it is what the
platform's features are held against. A record of the window is one with `evaluated_at - days < time <= evaluated_at`;
a label needs a record with `evaluated_at < time <= evaluated_at + days`, so nothing is known beforehand (R098).
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

DAY_MS = 86_400_000
# The attribute that a rule compares.
RULES = {
    "commerce.merchant_purchase": "commerce.merchant",
    "commerce.category_purchase": "commerce.category",
    "commerce.department_purchase": "commerce.department",
    "commerce.brand_purchase": "commerce.brand",
    "commerce.purchase_recency": "commerce.purchase_date",
    "commerce.amount_at_least": "commerce.amount",
    "commerce.coupon_at_least": "commerce.coupon_discount",
    "geography.city_eligibility": "geography.city",
}
AMOUNTS = ("commerce.amount", "commerce.coupon_discount")


@dataclass
class Rows:
    """People as rows. **Shape**: people x features, scaled; the rest one a person."""

    households: np.ndarray
    vaults: np.ndarray
    features: np.ndarray
    labels: np.ndarray


@dataclass
class Records:
    """Records of all Vaults, with the position of their person in `people`. Times in milliseconds, amounts in cents."""

    people: pd.DataFrame
    person: np.ndarray
    table: pd.DataFrame
    time: np.ndarray


def read(folder: Path, time: str) -> Records:
    """Reads people and records of all Vaults."""
    people, tables = [], []
    for vault, path in enumerate(sorted(folder.glob("subjects-vault-*.jsonl"))):
        subjects = pd.read_json(path, lines=True).assign(vault=vault)
        records = pd.read_json(folder / path.name.replace("subjects", "records"), lines=True, dtype=False,
                               convert_dates=False)
        people.append(subjects)
        tables.append(records.assign(vault=vault))
    if not people:
        raise SystemExit(f"{folder} holds no people: run prepare.py first")
    people = pd.concat(people, ignore_index=True)
    people["household"] = people.subject.str.removeprefix("household-").astype(int)
    table = pd.concat(tables, ignore_index=True)
    place = pd.Series(people.index, index=pd.MultiIndex.from_frame(people[["vault", "subject"]]))
    person = place.reindex(pd.MultiIndex.from_frame(table[["vault", "subject"]])).to_numpy()
    for name in AMOUNTS:
        table[name] = (pd.to_numeric(table[name]) * 100).round()
    moments = pd.to_datetime(table[time], utc=True)
    return Records(people, person, table, (moments - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(milliseconds=1))


def build(task: dict, records: Records) -> Rows:
    """The rows of a task: everybody of the cohort, in the order of `records.people`."""
    at = task["evaluate_at_ms"]
    columns = [scaled(feature, raw(feature, records, at)) for feature in task["features"]]
    features = np.column_stack(columns).astype(np.float32)
    ahead = (records.time > at) & (records.time <= at + task["label"]["days"] * DAY_MS)
    with_label = records.person[ahead & matches(task["label"]["condition"], records, at)]
    labels = np.zeros(len(records.people), dtype=bool)
    labels[with_label] = True
    within = np.ones(len(records.people), dtype=bool)
    if task["cohort"]:
        within[:] = False
        within[records.person[(records.time <= at) & matches(task["cohort"], records, at)]] = True
    people = records.people
    return Rows(people.household.to_numpy()[within], people.vault.to_numpy()[within], features[within],
                labels[within])


def matches(operands: list, records: Records, at: int) -> np.ndarray:
    """Which records satisfy all operands. A missing value satisfies nothing."""
    every = np.ones(len(records.table), dtype=bool)
    for operand in operands:
        values = records.table[RULES[operand["rule"]]]
        if operand.get("days") is not None:
            every &= (records.time >= at - operand["days"] * DAY_MS) & (records.time <= at)
        elif operand.get("at_least") is not None:
            every &= values >= operand["at_least"]
        else:
            wanted = operand.get("texts") or [operand["text"]]
            every &= folded(values).isin([" ".join(text.split()).lower() for text in wanted])
    return np.asarray(every)


def folded(texts: pd.Series) -> pd.Series:
    """Texts as they are compared: small letters, single spaces."""
    distinct = {text: " ".join(text.split()).lower() for text in texts.dropna().unique()}
    return texts.map(distinct)


def raw(feature: dict, records: Records, at: int) -> np.ndarray:
    """One number a person before it is scaled."""
    days, family, attribute = feature["days"], feature["family"], feature.get("attribute")
    window = np.asarray((records.time > at - days * DAY_MS) & (records.time <= at))
    counting = window & matches(feature["filter"], records, at)
    people, person = len(records.people), records.person[counting]
    if family == "recency":
        latest = np.full(people, at - days * DAY_MS, dtype=np.int64)
        np.maximum.at(latest, person, records.time[counting].to_numpy())
        return (at - latest) / DAY_MS
    if family == "frequency":
        return np.bincount(person, minlength=people).astype(float)
    values = records.table[attribute]
    if family == "distinct":
        pairs = pd.DataFrame({"person": person, "text": folded(values[counting]).to_numpy()})
        pairs = pairs.dropna().drop_duplicates()
        return np.bincount(pairs.person, minlength=people).astype(float)
    sums = total(values, counting, records)
    if family == "sum":
        return sums / 100
    if family == "mean":
        return ratio(sums / 100, np.bincount(records.person[counting & values.notna()], minlength=people))
    if family == "share":
        return ratio(sums, total(values, window, records))
    raise SystemExit(f"unknown family {family}")


def total(values: pd.Series, chosen: np.ndarray, records: Records) -> np.ndarray:
    """The sum of an amount a person over the chosen records. **Units**: cents."""
    cents = values[chosen].fillna(0).to_numpy()
    return np.bincount(records.person[chosen], weights=cents, minlength=len(records.people))


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """The quotient, zero where there is nothing to divide by."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def scaled(feature: dict, values: np.ndarray) -> np.ndarray:
    """Brings a feature to about one."""
    scale = feature["scale"]
    values = np.log1p(values) if scale["logarithm"] else values
    return np.clip((values - scale["centre"]) / scale["spread"], -scale["bound"], scale["bound"])


def load(path: Path) -> dict:
    """A task's JSON."""
    return json.loads(path.read_text(encoding="utf-8"))
