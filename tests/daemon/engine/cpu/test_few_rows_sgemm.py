"""Products of few rows by our own kernel are those of the library, and are taken where they are faster."""

from __future__ import annotations

import ctypes
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from support.compilers import compiler

from mlx_serve.daemon.engine import serve
from mlx_serve.daemon.engine.cpu import few_rows, few_rows_sgemm, jump_slot
from mlx_serve.daemon.engine.cpu.few_rows_sgemm import LIBRARY, SYMBOL, FewRowsSgemm
from mlx_serve.daemon.engine.kernels.compiler_call import FASTER
from mlx_serve.daemon.engine.kernels.fusing import Fusing
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.protocol import Load

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or mx.default_device() != mx.Device(mx.DeviceType.cpu) or shutil.which("g++") is None,
    reason="MLX on a processor of Linux, and a C++ compiler",
)
PLAIN = few_rows_sgemm.FLAGS
ALL = 80
"""More rows than the kernel has a way for."""
LIBRARIES: dict[tuple[tuple[str, ...], str], ctypes.CDLL] = {}
COMPARED: dict[tuple[ctypes.CDLL, int], bool] = {}
"""Whether a library's products of so many rows were those of MLX's."""


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLX multiplies with what it had; nothing is compiled for longer than it must be."""
    mx.eval(mx.ones((2, 2)) @ mx.ones((2, 2)))
    slot = jump_slot.find(LIBRARY, SYMBOL)
    assert slot is not None
    before = slot.target
    monkeypatch.setattr(few_rows_sgemm, "FLAGS", (*PLAIN, *FASTER[:4]))
    monkeypatch.setattr(few_rows_sgemm, "MEASURED_ROWS", (1, ALL))
    monkeypatch.setattr(few_rows_sgemm, "most_helpers", lambda: 3)  # whatever machine this is
    yield
    slot.target = before
    few_rows.leave_whole(0)


@pytest.fixture
def faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is measured to be so."""
    monkeypatch.setattr(few_rows_sgemm, "faster", lambda *_: True)
    monkeypatch.setattr(few_rows_sgemm, "ratio", lambda *_: 0.5)


def attempted() -> FewRowsSgemm:
    """With all numbers of rows, as a rest does it. What other tests have compiled and compared is not compiled and
    compared again."""
    own, compiled, same = FewRowsSgemm(), few_rows_sgemm._compiled, few_rows_sgemm._same

    def once() -> ctypes.CDLL:
        key = (few_rows_sgemm.FLAGS, few_rows_sgemm.SOURCE)
        if key not in LIBRARIES:
            LIBRARIES[key] = compiled()
        return LIBRARIES[key]

    def compared(limit: ctypes.c_int, rows: int) -> bool:
        key = (once(), rows)
        if key not in COMPARED:
            COMPARED[key] = same(limit, rows)
        return COMPARED[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(few_rows_sgemm, "_compiled", once)
        patch.setattr(few_rows_sgemm, "_same", compared)
        for rows in range(1, ALL + 1):
            own.attempt(rows)
    return own


def right(found: mx.array, expected: np.ndarray) -> bool:
    wrong = np.abs(np.array(found, dtype=np.float64) - expected).max()
    return bool(wrong <= 2e-6 * np.abs(expected).max())


@pytest.mark.usefixtures("faster")
@pytest.mark.parametrize("flags", [(), FASTER[:4]], ids=["any processor", "this one"])
def test_every_way_gives_the_product(flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows from one to more than it takes; inputs and outputs that fill vectors and that do not; weights as they are
    and transposed; sums with what is there; several at once, as attention has them."""
    monkeypatch.setattr(few_rows_sgemm, "FLAGS", (*PLAIN, *flags))
    assert attempted().most_rows == ALL
    chance = np.random.default_rng(7)
    for rows in (*range(1, 20), 31, 32, 33, 63, 64, 65, 80, 81):
        for inputs, outputs in ((1, 1), (7, 5), (64, 96), (129, 66), (300, 256), (33, 272), (513, 259)):
            x = chance.normal(size=(rows, inputs)).astype(np.float32)
            weight = chance.normal(size=(outputs, inputs)).astype(np.float32)
            bias = chance.normal(size=(rows, outputs)).astype(np.float32)
            expected = x.astype(np.float64) @ weight.T.astype(np.float64)
            one, two, three = mx.array(x), mx.array(weight), mx.array(bias)
            assert right(one @ two.T, expected)
            assert right(one @ mx.array(np.ascontiguousarray(weight.T)), expected)
            assert right(mx.addmm(three, one, two.T, alpha=0.5, beta=-2.0), 0.5 * expected - 2.0 * bias)
    queries, keys = (chance.normal(size=(3, 2, length, 64)).astype(np.float32) for length in (4, 50))
    scores = queries.astype(np.float64) @ keys.swapaxes(-1, -2).astype(np.float64)
    assert right(mx.array(queries) @ mx.array(keys).swapaxes(-1, -2), scores)
    assert right(mx.array(scores.astype(np.float32)) @ mx.array(keys), scores @ keys.astype(np.float64))


@pytest.mark.usefixtures("faster")
def test_a_sum_of_nothing() -> None:
    """Is the library's."""
    attempted()
    for rows in (1, 8):
        assert (mx.ones((rows, 0)) @ mx.ones((5, 0)).T == 0).all()
    library = LIBRARIES[few_rows_sgemm.FLAGS, few_rows_sgemm.SOURCE]
    pointer, output = ctypes.POINTER(ctypes.c_float), (ctypes.c_float * 10)(*[7.0] * 10)
    none = ctypes.cast(output, pointer)
    for rows in (1, 2):
        sizes = (101, 111, 112, rows, 5, 0)
        library.few_rows_sgemm(*sizes, ctypes.c_float(1), none, 1, none, 1, ctypes.c_float(0), output, 5)
        assert list(output) == [0.0] * 5 * rows + [7.0] * 5 * (2 - rows)


@pytest.mark.usefixtures("faster")
def test_those_who_do_not_help_sleep() -> None:
    """Threads that were tried and did not pay are woken by no product."""
    assert attempted().helpers == 3
    LIBRARIES[few_rows_sgemm.FLAGS, few_rows_sgemm.SOURCE].help_with(0)
    x, weight = mx.ones((4, 512)), mx.ones((2048, 512))
    mx.eval(x @ weight.T)
    time.sleep(0.05)
    before = switches()
    assert len(before) >= 3
    for _ in range(50):
        mx.eval(x @ weight.T)
    assert switches() == before


def switches() -> dict[str, str]:
    """How often each helper went to sleep: thread -> what Linux counts."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        if (task / "comm").read_text() == "few-rows\n":
            lines = (task / "status").read_text().splitlines()
            found[task.name] = next(line for line in lines if line.startswith("voluntary"))
    return found


@pytest.mark.usefixtures("faster")
def test_a_row_is_the_same_beside_others() -> None:
    """To the bit, whatever the others are and in whichever place it stands."""
    attempted()
    weight = mx.random.normal((100, 70), key=mx.random.key(1))
    row = mx.random.normal((1, 70), key=mx.random.key(2))
    for rows in (2, 3, 8, 16):
        found = []
        for place in (0, rows - 1):
            others = mx.random.normal((rows - 1, 70), key=mx.random.key(place))
            beside = mx.concatenate([others[:place], row, others[place:]])
            found.append((beside @ weight.T)[place].tolist())
        assert found[0] == found[1]


@pytest.mark.usefixtures("faster")
def test_numbers_that_are_none_stay_so() -> None:
    attempted()
    x = mx.array([[float("nan"), 1.0], [float("inf"), 1.0], [1.0, 1.0], [-0.0, 0.0]])
    found = (x @ mx.ones((3, 2)).T).tolist()
    assert all(value != value for value in found[0])  # type: ignore[union-attr]
    assert found[1:] == [[float("inf")] * 3, [2.0] * 3, [0.0] * 3]


def test_it_is_missing_until_it_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As what MLX fuses is: the compiler's stand-in says no, and nothing has changed. It is asked for once."""
    monkeypatch.setenv("PATH", compiler(tmp_path / "machine", f"echo >>{tmp_path}/calls; exit 1"))
    own = FewRowsSgemm()
    with pytest.raises(RuntimeError, match="missing"):
        own.attempt(1)
    own.attempt(2)
    assert own.most_rows == 0 and (tmp_path / "calls").read_text() == "\n"


def test_a_library_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", compiler(tmp_path / "machine", 'echo nothing >"$library"'))
    with pytest.raises(RuntimeError, match="cannot be loaded"):
        FewRowsSgemm().attempt(1)


@pytest.mark.usefixtures("faster")
@pytest.mark.parametrize(
    ("is_", "was"),
    [
        ("put(m, n + R - 1 - r, value)", "put(m, n + r, value)"),
        ("2 * load(turned + (k * P + p) * W) *", "load(turned + (k * P + p) * W) *"),
        ("V value = all(alpha) + sums[q][r]", "V value = all(alpha) * sums[q][r]"),
    ],
)
def test_a_kernel_that_is_wrong_is_not_used(
    is_: str, was: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In any of its ways; MLX's products stay right, and the log says so."""
    assert was in few_rows_sgemm.SOURCE
    monkeypatch.setattr(few_rows_sgemm, "SOURCE", few_rows_sgemm.SOURCE.replace(was, is_))
    own = attempted()
    assert own.most_rows == 0 and "computes something else" in capsys.readouterr().err
    for rows in (1, 8):
        assert (mx.ones((rows, 67)) @ mx.ones((9, 67)).T == 67).all()


@pytest.mark.parametrize(
    ("shares", "most"),
    [([1.3], 0), ([0.5, 1.3], 1), ([0.5, 0.9], ALL), ([0.5, 1.1], 1), ([1.1, 0.9], ALL)],
)
def test_where_it_is_not_faster_all_stays(shares: list[float], most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where it is for some rows, tiles are not made for those any more. A number of rows for which it is about as
    fast as the library decides nothing about larger ones; one for which it is far slower does."""
    whole = list[int]()
    monkeypatch.setattr(few_rows, "leave_whole", whole.append)
    monkeypatch.setattr(few_rows_sgemm, "most_helpers", lambda: 0)
    monkeypatch.setattr(few_rows_sgemm, "ratio", lambda *_: shares.pop(0))
    assert attempted().most_rows == most and whole[-1] == most and not shares


@pytest.mark.parametrize(
    ("most", "answers", "helpers"),
    [(0, [], 0), (1, [True], 1), (3, [False], 0), (7, [True, False], 1), (6, [True, True], 3)],
)
def test_threads_help_where_that_is_faster(
    most: int, answers: list[bool], helpers: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One, three, seven: as long as more of them are, and there are cores for them."""
    monkeypatch.setattr(few_rows_sgemm, "most_helpers", lambda: most)
    given = [*answers]
    monkeypatch.setattr(few_rows_sgemm, "faster", lambda *_: given.pop(0))
    monkeypatch.setattr(few_rows_sgemm, "ratio", lambda *_: 0.5)
    own = attempted()
    own.use_fused()
    assert own.helpers == helpers and not given
    assert f"threads={1 + helpers}" in capsys.readouterr().err


@pytest.mark.usefixtures("faster")
def test_products_at_the_same_time() -> None:
    """Of two streams, only one of which can have the helpers: to the bit what each is alone."""
    assert attempted().helpers == 3
    x, weight = (mx.random.normal(shape, key=mx.random.key(1)) for shape in ((4, 512), (2048, 512)))
    alone = (x @ weight.T).tolist()
    for _ in range(20):
        streams = [mx.new_stream(mx.cpu) for _ in range(2)]
        both = [mx.matmul(x, weight.T, stream=stream) for stream in streams for _ in range(10)]
        mx.eval(both)
        assert all(one.tolist() == alone for one in both)


@pytest.mark.parametrize(
    ("cores", "wanted", "most"), [(8, None, 7), (8, "3", 2), (8, "1", 0), (2, "64", 1), (1, None, 0), (64, "all", 15)]
)
def test_there_are_no_more_threads_than_cores_or_than_the_user_wants(
    cores: int, wanted: str | None, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(few_rows_sgemm, "usable", lambda: cores)
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if wanted is not None:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", wanted)
    assert few_rows_sgemm.most_helpers() == most


def test_tiles_are_left_to_more_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Than are fast as a whole."""
    asked, weight = list[int](), mx.ones((1024, 1024))
    tile = few_rows.tile

    def noted(rows: int, inputs: int, outputs: int) -> int | None:
        asked.append(rows)
        return tile(rows, inputs, outputs)

    monkeypatch.setattr(few_rows, "tile", noted)
    for whole in (0, 4):
        few_rows.leave_whole(whole)
        for rows in (4, 5):
            assert (few_rows.product(mx.ones((rows, 1024)), weight, 16) == 1024).all()
    assert asked == [4, 5, 5]


def test_without_a_slot_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jump_slot, "find", lambda *_: None)
    own = FewRowsSgemm()
    own.attempt(1)
    assert own.most_rows == 0


@pytest.mark.parametrize(("platform", "there"), [("linux", True), ("darwin", False)])
def test_it_is_for_linux(
    platform: str, there: bool, llama: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere nothing is tried that cannot be compiled, which would leave other kernels out too."""
    monkeypatch.delenv("MLX_DISABLE_COMPILE", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    order = Load(path="", name="x", kind="llm", max_batch=2, prefill_tokens_per_step=16, kernels=str(tmp_path))
    fusing = serve._fusing(llama, order, lambda: False)
    assert isinstance(fusing, Fusing) and fusing._functions
    assert any(isinstance(one, FewRowsSgemm) for one in fusing._functions) == there
