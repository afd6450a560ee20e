"""What models take and may take: every number by hand, and who must go for whom."""

from __future__ import annotations

import random
from typing import Any

import pytest

from mlx_serve.daemon.protocol import Loaded
from mlx_serve.daemon.residency.budget import Account, Decision, Ledger, after_load, before_load, held

MB, GB = 1 << 20, 10**9
MANY = {"llm": 100, "vlm": 100, "embedding": 100, "reranker": 100}


def loaded(weights: int, per_token: int, context: int = 100_000) -> Loaded:
    return Loaded(
        weight_bytes=weights, kv_bytes_per_token=per_token, context_length=context, vocabulary=1, batchable=True
    )


def account(key: str, needs: int, kind: str = "llm", **state: Any) -> Account:
    return Account(key, f"acme/{key}", kind, needs, **state)  # type: ignore[arg-type]


def busy(key: str, needs: int, kind: str = "llm", **state: Any) -> Account:
    return account(key, needs, kind, idle=False, **state)


def ledger(limit: int, process: int = 0, **maxima: int) -> Ledger:
    return Ledger(limit, process, MANY | maxima)  # type: ignore[operator]


def test_before_the_load_a_tenth_is_kept_for_caches() -> None:
    """At least 64 MiB, however small the model is; and its process comes on top."""
    assert before_load(10 * GB, 0) == 11 * GB
    assert before_load(MB, 50 * MB) == 115 * MB


def test_after_the_load_the_caches_are_known() -> None:
    """4096 tokens of them, or the whole context where that is shorter; and the process."""
    assert after_load(loaded(GB, 100_000), 50 * MB) == GB + 100_000 * 4096 + 50 * MB
    assert after_load(loaded(GB, 1_000_000, context=512), 0) == GB + 1_000_000 * 512
    assert after_load(loaded(GB, 10), 0) == GB + 64 * MB


def test_what_a_process_holds() -> None:
    """On a CPU what is resident; on an NVIDIA GPU that and what MLX holds there; on Metal whichever is more."""
    assert held("cpu", 700, 50, 300) == 700
    assert held("cpu", 0, 50, 300) == 350, "the process cannot be asked any more"
    assert held("cuda", 700, 50, 300) == 1000
    assert held("metal", 100, 50, 300) == 350
    assert held("metal", 400, 50, 300) == 400


def test_a_refusal_shows_its_numbers() -> None:
    """Also a limit below what a process takes before any model."""
    sentence = ledger(150 * 10**6, 50 * 10**6).refusal(account("big", 12 * GB))
    assert sentence is not None
    assert "'acme/big' needs about 12.0 GB, of which its process takes 50 MB, and 150 MB may be used:" in sentence
    assert "models.memory_limit" in sentence
    assert ledger(12 * GB).refusal(account("big", 12 * GB)) is None


# --- shares


def test_a_lone_model_gets_all_but_the_spare_process() -> None:
    assert ledger(1000, 50).shares([account("a", 300)]) == {"a": 950}


def test_what_is_left_over_is_parted_equally() -> None:
    """16 GiB for two models of 4: each gets 8, where both together once got 27.9."""
    shares = ledger(16 * GB).shares([account("a", 4 * GB), account("b", 4 * GB)])
    assert shares == {"a": 8 * GB, "b": 8 * GB}
    assert ledger(1000).shares([account("a", 100), account("b", 500)]) == {"a": 300, "b": 700}


def test_a_share_does_not_shrink_below_what_is_held() -> None:
    assert ledger(1000).shares([account("a", 100, holds=700), account("b", 200)]) == {"a": 750, "b": 250}


def test_there_is_no_room_for_a_spare_process_when_models_need_it() -> None:
    tight = ledger(1000, 50)
    assert tight.spare_fits([account("a", 950)]) and not tight.spare_fits([account("a", 951)])
    assert tight.shares([account("a", 960)]) == {"a": 1000}


@pytest.mark.parametrize("seed", range(50))
def test_shares_never_sum_to_more_than_the_limit(seed: int) -> None:
    """Whatever the models need and hold, as long as they were admitted; and nobody gets less than it needs."""
    chance = random.Random(seed)
    limit, process = chance.randint(1000, 10**6), chance.randint(0, 300)
    needs = [chance.randint(0, limit // 4) for _ in range(chance.randint(1, 4))]
    accounts = [account(str(i), need, holds=chance.randint(0, limit)) for i, need in enumerate(needs)]
    shares = ledger(limit, process).shares(accounts)
    assert sum(shares.values()) <= limit
    assert all(shares[one.key] >= one.needs for one in accounts)


# --- who goes


def test_room_is_by_bytes_and_by_kind() -> None:
    two = ledger(1000, llm=2)
    assert two.decide(account("n", 500), [busy("a", 500)], []).action == "admit"
    assert two.decide(account("n", 501), [busy("a", 500)], []).action == "blocked"
    assert two.decide(account("n", 500), [busy("a", 400, holds=501)], []).action == "blocked"
    assert two.decide(account("n", 1), [busy("a", 1), busy("b", 1)], []).action == "blocked"
    assert two.decide(account("n", 1, "embedding"), [busy("a", 1), busy("b", 1)], []).action == "admit"


def test_the_one_used_longest_ago_goes() -> None:
    """Not the busy ones, nor those that still load; and no more than are needed."""
    models = [
        busy("busy", 50, last_used=1),
        account("loading", 1, settled=False, last_used=2),
        account("old", 20, last_used=3),
        account("new", 20, last_used=4),
    ]
    assert ledger(100).decide(account("n", 20), models, []) == Decision("put_out", ("old",))
    assert ledger(100).decide(account("n", 40), models, []) == Decision("put_out", ("old", "new"))


def test_nobody_goes_in_vain() -> None:
    """Where a busy model is in the way too, the idle one stays until that changes."""
    models = [busy("busy", 70), account("idle", 20)]
    assert ledger(100).decide(account("n", 80), models, []).action == "blocked"


def test_a_full_kind_makes_room_in_its_kind() -> None:
    """Another kind's older model would not help."""
    models = [account("vectors", 1, "embedding", last_used=1), account("own", 1, last_used=2)]
    assert ledger(100, llm=1).decide(account("n", 1), models, []) == Decision("put_out", ("own",))


def test_a_model_on_its_way_out_is_waited_for() -> None:
    """Its memory is not given away before it is gone, and nobody else goes meanwhile."""
    models = [account("leaving", 60, closing=True), account("idle", 20)]
    assert ledger(100).decide(account("n", 60), models, []).action == "wait"


def test_room_that_is_promised_is_not_given_away() -> None:
    """The earlier newcomer's room is being made; the later one is as if it were in already."""
    leaving, earlier = account("leaving", 60, closing=True), account("earlier", 90)
    assert ledger(100).decide(account("n", 20), [leaving], [earlier]).action == "blocked"
    assert ledger(100).decide(account("n", 20), [leaving], []).action == "admit"
