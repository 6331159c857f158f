"""``unlockedAt`` of the TypeScript SDK computes what the contracts do, also where their formulas run over."""

from __future__ import annotations

import json
import random
import subprocess
from datetime import UTC, datetime
from typing import Any

import pytest

from stellarstream_nebula.amounts import ContractTrapError, unlocked_v1, unlocked_v2
from stellarstream_nebula.model import Curve
from tests.sdk.node_kit import SDK, built_sdk, installed

pytestmark = pytest.mark.timeout(600)

CASES = 6_000
LAST = 253_402_300_799
"""The end of the year 9999, the last that RFC 3339 can write."""
SCRIPT = """
import { unlockedAt } from "@stellarstream/nebula-sdk";
let text = "";
for await (const part of process.stdin) text += part;
console.log(JSON.stringify(JSON.parse(text).map(([stream, at]) => unlockedAt(stream, at)?.toString() ?? null)));
"""


def written(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


def case(dice: random.Random) -> tuple[dict[str, Any], str, int | None]:
    """Make a stream and a moment up; return with them what the contract says."""
    version = dice.choice(["v1", "v2"])
    curve = dice.choice([Curve.LINEAR, Curve.LINEAR, Curve.EXPONENTIAL])
    total = dice.randrange(1 << dice.choice([1, 20, 40, 70, 100, 127]))
    start = dice.choice([dice.randrange(LAST - 10**9), 1_780_000_000])
    duration = dice.randrange(1 << dice.choice([1, 6, 20, 32])) % (LAST - start - 1) + 1
    end = start + duration
    cliff = start + dice.randrange(duration + 1) if dice.random() < 0.5 else start
    paused = dice.randrange(duration + 1) if version == "v1" and dice.random() < 0.5 else 0
    paused = min(paused, LAST - end)
    now = dice.choice([start, cliff, cliff + paused, end, end + paused, dice.randrange(start, end + paused + 1)])
    now = min(max(now + dice.randrange(-1, 2), 0), LAST)
    terms = {"total": total, "start": start, "cliff": cliff, "end": end, "now": now, "curve": curve}
    try:
        right = unlocked_v1(**terms, paused_before=paused) if version == "v1" else unlocked_v2(**terms)
    except ContractTrapError:
        right = None
    stream = {
        "version": version,
        "status": "ACTIVE",
        "amount": str(total),
        "withdrawn": "0",
        "unlocked": "0",
        "curve": curve.value,
        "startTime": written(start),
        "cliffTime": written(cliff),
        "endTime": written(end),
        "completesAt": written(end + paused),
    }
    return stream, written(now), right


def test_it_computes_what_the_contracts_compute():
    built_sdk()
    dice = random.Random(20260301)
    cases = [case(dice) for _ in range(CASES)]
    asked = json.dumps([(stream, at) for stream, at, _ in cases])
    command = ["node", "--input-type=module", "--eval", SCRIPT]
    done = subprocess.run(
        command, cwd=installed(SDK), input=asked, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    wrong = [
        (stream, at, told, right)
        for (stream, at, right), told in zip(cases, json.loads(done.stdout), strict=True)
        if told != (None if right is None else str(right))
    ]
    assert wrong == []
    overflowing = [right for stream, _, right in cases if right is not None and not 0 <= right <= int(stream["amount"])]
    inside = [right for stream, _, right in cases if right and right < int(stream["amount"])]
    assert len(overflowing) > 20, "none of the formulas ran over"
    assert len(inside) > 1_000
