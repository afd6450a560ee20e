"""The engine as the daemon has it: a process of its own behind a socket."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from reference.architectures import END_OF_TURN
from support.compilers import compiler
from support.engine_client import Engine, Sequence
from support.process_use import dead
from support.waiting import wait_until

from mlx_serve.daemon import protocol
from mlx_serve.daemon.engine.loop import REST_SECONDS
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.shares import divide
from mlx_serve.daemon.protocol import Sampling, TextPrompt, TokenPrompt

GREEDY = Sampling(temperature=0.0)
PROMPT = TextPrompt(text="hello the world")


@pytest.fixture(scope="module")
def engine(checkpoint: Callable[[str], Path]) -> Iterator[Engine]:
    """One child for every test that leaves it as it was: four places, sixteen tokens of prefill a step."""
    with Engine() as child:
        child.load(checkpoint("llama"), max_batch=4, prefill_tokens_per_step=16)
        yield child
        child.ping()
        assert (child.gauges.running, child.gauges.waiting, child.gauges.prefilling) == (0, 0, 0)


def ask(engine: Engine, prompt: protocol.Prompt = PROMPT, **options: Any) -> Sequence:
    given: dict[str, Any] = {"sampling": GREEDY, "max_tokens": 30, "ignore_eos": True}
    return engine.generate(prompt, **(given | options))


def done(engine: Engine, sequence: Sequence) -> Sequence:
    engine.finish([sequence])
    assert sequence.rejected is None
    return sequence


@pytest.fixture(scope="module")
def whole(engine: Engine) -> Sequence:
    """The greedy answer that most tests cut short in some way."""
    return done(engine, ask(engine, want_context=True, logprobs=0))


def test_max_tokens(engine: Engine, whole: Sequence) -> None:
    for count in (1, 2, 7):
        sequence = done(engine, ask(engine, max_tokens=count, want_context=True))
        assert sequence.finished is not None
        assert (sequence.finished.reason, sequence.finished.completion_tokens) == ("length", count)
        assert sequence.answer == whole.answer[:count]


def test_the_stop_token_is_not_counted(engine: Engine, whole: Sequence) -> None:
    """A first token that ends the turn: no text, no tokens; told to ignore it, the sequence goes on."""
    force = Sampling(temperature=0.0, logit_bias={END_OF_TURN: 100.0})
    ended = done(engine, ask(engine, sampling=force, ignore_eos=False)).finished
    assert ended is not None
    assert (ended.reason, ended.completion_tokens, ended.prompt_tokens) == ("stop", 0, whole.finished.prompt_tokens)  # type: ignore[union-attr]
    ignored = done(engine, ask(engine, sampling=force, max_tokens=5)).finished
    assert ignored is not None
    assert (ignored.reason, ignored.completion_tokens) == ("length", 5)


def test_stop_strings_end_generation_and_never_leak(engine: Engine, whole: Sequence) -> None:
    """Every stretch of the known answer as a stop string: all text before it, none of it, and no token after it."""
    for start, size in ((0, 1), (5, 1), (7, 4), (12, 2), (3, 9)):
        stop = whole.text[start : start + size]
        sequence = done(engine, ask(engine, stop=("never\x00", stop)))
        finished = sequence.finished
        assert finished is not None
        assert sequence.text == whole.text[: whole.text.index(stop)]
        assert (finished.reason, finished.stop_sequence) == ("stop", stop)
        assert finished.completion_tokens == tokens_until(whole, whole.text.index(stop) + size)


def tokens_until(whole: Sequence, characters: int) -> int:
    """How many tokens the known answer takes for so many characters."""
    shown = ""
    for delta in whole.deltas:
        shown += delta.text
        if len(shown) >= characters:
            return delta.tokens
    raise AssertionError("the answer is shorter")


def test_log_probabilities(engine: Engine, whole: Sequence) -> None:
    entries = [entry for delta in whole.deltas for entry in delta.logprobs]
    assert len(entries) == 30
    assert b"".join(bytes(entry.bytes) for entry in entries).decode("utf-8", "replace") == whole.text
    again = done(engine, ask(engine, logprobs=3, max_tokens=4))
    for delta, entry in zip(again.deltas, entries, strict=False):
        (chosen,) = delta.logprobs
        assert chosen.logprob == pytest.approx(entry.logprob, abs=1e-4)
        assert chosen.top[0].logprob == chosen.logprob
        assert len(chosen.top) == 3
        assert [one.logprob for one in chosen.top] == sorted((one.logprob for one in chosen.top), reverse=True)


def test_echo_and_showing_the_prompt(engine: Engine, whole: Sequence) -> None:
    assert done(engine, ask(engine, echo=True)).text == PROMPT.text + whole.text
    shown = engine.generate(protocol.ChatPrompt(messages=({"role": "user", "content": "hi"},)), render_only=True)
    engine.read_until(lambda: shown.accepted is not None)
    assert shown.accepted is not None
    assert shown.accepted.rendered == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert (engine.gauges.running, engine.gauges.waiting) == (0, 0)


def test_times_and_counts_are_told(whole: Sequence) -> None:
    finished = whole.finished
    assert finished is not None
    assert finished.queue_seconds >= 0
    assert finished.prefill_seconds > 0
    assert finished.decode_seconds > 0
    assert [delta.tokens for delta in whole.deltas] == list(range(1, 31))


def test_counting(engine: Engine) -> None:
    """Beside a running sequence, which it does not disturb."""
    running = ask(engine, max_tokens=40)
    engine.send(protocol.Ask(id=10_001, work=protocol.Count(prompts=(TextPrompt(text="hello"),), return_tokens=True)))
    engine.sequences[10_001] = Sequence(10_001)
    counted = [
        event for step in until_done(engine, running) for event in step.events if isinstance(event, protocol.Counted)
    ]
    assert len(counted) == 1
    assert counted[0].counts == (1,) and len(counted[0].tokens[0]) == 4


def until_done(engine: Engine, sequence: Sequence) -> Iterator[protocol.Step]:
    for step in engine.steps():
        yield step
        if sequence.done:
            return


def test_a_refused_request_harms_nobody(engine: Engine, whole: Sequence) -> None:
    """Ids outside the vocabulary, a prompt past the context: one Rejected each, beside a request that finishes."""
    good = ask(engine)
    bad = [
        ask(engine, TokenPrompt(ids=(2**31 - 1,))),
        ask(engine, TokenPrompt(ids=(-1,))),
        ask(engine, sampling=Sampling(logit_bias={1_000_000: 5.0})),
        ask(engine, TokenPrompt(ids=(1,) * 512)),
        ask(engine, TokenPrompt(ids=())),
    ]
    engine.finish([good, *bad])
    assert good.text == whole.text
    codes = [sequence.rejected.code for sequence in bad if sequence.rejected is not None]
    assert codes == ["invalid_request"] * 3 + ["context_length_exceeded", "invalid_request"]


def test_cancel_at_every_stage(engine: Engine, whole: Sequence) -> None:
    """Decoding, in prefill, and queued beyond the four places: none ends, and all places are free for the next."""
    decoding = [ask(engine, max_tokens=450) for _ in range(3)]
    engine.read_until(lambda: all(sequence.deltas for sequence in decoding))
    prefilling = ask(engine, TokenPrompt(ids=tuple(range(256)) + (1,) * 200), max_tokens=40)
    queued = [ask(engine, max_tokens=400) for _ in range(3)]
    engine.read_until(lambda: all(sequence.accepted is not None for sequence in queued))
    everyone = [*decoding, prefilling, *queued]
    for sequence in everyone:
        engine.cancel(sequence)
    late = ask(engine)
    engine.read_until(lambda: late.accepted is not None)
    pong = engine.ping().gauges
    assert pong.running + pong.prefilling + pong.waiting <= 1
    assert done(engine, late).text == whole.text
    assert not any(sequence.done for sequence in everyone)


def test_cancelling_what_is_unknown_or_over(engine: Engine, whole: Sequence) -> None:
    engine.cancel(whole)
    engine.send(protocol.Cancel(id=99_999))
    assert done(engine, ask(engine)).text == whole.text


def test_a_request_cancelled_at_once(engine: Engine, whole: Sequence) -> None:
    """Before its prompt is even prepared."""
    sequence = ask(engine, TextPrompt(text="a b " * 100), max_tokens=300)
    engine.cancel(sequence)
    assert done(engine, ask(engine)).text == whole.text  # prompts are prepared in order
    engine.ping()
    assert not sequence.done
    assert (engine.gauges.running, engine.gauges.waiting) == (0, 0)


def test_a_long_prompt_does_not_stop_the_others(engine: Engine) -> None:
    """Between the newcomers' acceptance and their first tokens, the running one goes on. There are several, for one
    that is read in no time is read at once."""
    running = ask(engine, max_tokens=450)
    engine.read_until(lambda: len(running.deltas) >= 2)
    late = [ask(engine, TokenPrompt(ids=(number,) * 480), max_tokens=2) for number in range(7, 19)]
    engine.read_until(lambda: all(one.accepted is not None for one in late))
    before = len(running.deltas)
    engine.read_until(lambda: all(one.deltas for one in late))
    assert len(running.deltas) > before + 2
    engine.finish([running, *late])


def test_pings_are_answered_by_the_loop(engine: Engine) -> None:
    """Idle and busy, with where the engine stands."""
    assert engine.ping().gauges.running == 0
    running = ask(engine, max_tokens=60)
    engine.read_until(lambda: bool(running.deltas))
    assert engine.ping().gauges.running == 1
    done(engine, running)


def memory_for(caches: int, weights: int) -> int:
    """The smallest limit that leaves so many bytes for caches."""
    return next(
        limit for limit in range(weights + caches, weights + 2 * caches) if divide(limit, weights).caches >= caches
    )


def test_free_buffers_are_given_back_at_rest(engine: Engine) -> None:
    """A second after the last answer the child says what MLX still holds: no free buffers, and less than in between."""
    done(engine, ask(engine, max_tokens=60))
    for step in engine.steps():
        if not step.gauges.cache_memory:
            break
    busiest = step.gauges.peak_memory
    assert step.gauges.running == 0 and 0 < step.gauges.active_memory < busiest


def test_a_smaller_share_holds_for_those_who_run(checkpoint: Callable[[str], Path], llama: LanguageModel) -> None:
    """Two grow side by side until the parent takes memory back; then they take turns, and their text is the same."""
    roomy, scarce = (memory_for(tokens * llama.costs.row.token, llama.weight_bytes) for tokens in (4096, 900))
    prompts = [TokenPrompt(ids=tuple(range(number, 220 + number))) for number in (0, 9)]
    with Engine() as child:
        child.load(checkpoint("llama"), memory_limit=roomy)
        alone = [done(child, ask(child, prompt, max_tokens=60, want_context=True)) for prompt in prompts]
        together = [ask(child, prompt, max_tokens=60, want_context=True) for prompt in prompts]
        child.read_until(lambda: all(sequence.deltas for sequence in together))
        child.send(protocol.Limit(memory_limit=scarce))
        yielded = False
        for step in child.steps():
            yielded = yielded or bool(step.gauges.waiting + step.gauges.prefilling)
            if all(sequence.done for sequence in together):
                break
        assert yielded
        assert [sequence.answer for sequence in together] == [sequence.answer for sequence in alone]


def test_weights_that_do_not_fit_into_the_share_are_refused(
    checkpoint: Callable[[str], Path], llama: LanguageModel
) -> None:
    with Engine() as child, pytest.raises(AssertionError, match=r"its weights take \d+ MB, and 0 MB are left"):
        child.load(checkpoint("llama"), memory_limit=1000)


def test_little_memory_gives_the_same_text(checkpoint: Callable[[str], Path], llama: LanguageModel) -> None:
    """Caches for 900 tokens: two rows that grow past 256, to buffers of 512, take turns, and each answers as it does
    alone."""
    caches = 900 * llama.costs.row.token
    prompts = [TokenPrompt(ids=tuple(range(number, 220 + number))) for number in (0, 9)]
    with Engine() as child:
        child.load(checkpoint("llama"), memory_limit=memory_for(caches, llama.weight_bytes))
        alone = [done(child, ask(child, prompt, max_tokens=60, want_context=True)) for prompt in prompts]
        together = [ask(child, prompt, max_tokens=60, want_context=True) for prompt in prompts]
        yielded = False
        for step in child.steps():
            out = step.gauges.waiting + step.gauges.prefilling  # of the batch, after it was in
            yielded = yielded or (out > 0 and all(sequence.deltas for sequence in together))
            if all(sequence.done for sequence in together):
                break
        assert yielded
        assert [sequence.answer for sequence in together] == [sequence.answer for sequence in alone]


def gone(child: Engine) -> int:
    """The exit status, once there is one."""
    return child.process.wait(60)


def test_a_child_does_not_outlive_its_parent(checkpoint: Callable[[str], Path]) -> None:
    """The socket closes in the middle of an answer: the process ends, quietly."""
    with Engine() as child:
        child.load(checkpoint("llama"))
        running = ask(child, max_tokens=400)
        child.read_until(lambda: bool(running.deltas))
        child._socket.close()
        assert gone(child) == 0
        assert child.stderr() == ""


def test_a_child_whose_parent_goes_while_it_starts() -> None:
    with Engine() as child:
        child._socket.close()
        assert gone(child) == 0


def test_a_bad_frame_ends_the_child() -> None:
    """It cannot know what was meant, and a child that listens no more must not stay."""
    with Engine() as child:
        child.hello()
        child._socket.sendall(b"\x00\x00\x00\x03abc")
        assert gone(child) != 0
        assert "frame" in child.stderr()


def test_a_model_that_cannot_be_loaded(tmp_path: Path) -> None:
    """After a greeting that says who speaks, the reason comes in a frame, without the folder's name."""
    with Engine() as child:
        hello = child.hello()
        assert (hello.protocol, hello.pid) == (protocol.PROTOCOL, child.process.pid)
        assert hello.device_memory > 1 << 28
        assert hello.device
        with pytest.raises(AssertionError, match=r"config\.json is missing") as caught:
            child.load(tmp_path)
        assert str(tmp_path) not in str(caught.value)
        assert gone(child) == 0


def test_open_files_stay_allowed(engine: Engine) -> None:
    """mlx_lm lowers the limit on import; the child keeps what it was given."""
    if not Path(f"/proc/{engine.process.pid}/limits").exists():
        pytest.skip("needs /proc")
    own, child = (
        next(line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max open files"))
        for pid in (os.getpid(), engine.process.pid)
    )
    assert own == child


def test_no_answer_waits_for_a_compiler(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    """On a CPU MLX would run the machine's C++ compiler for whatever it fuses, in half a minute for a first answer. It
    runs while the model rests, here for ever; answers come meanwhile, and the end of the model is its end."""
    pid = tmp_path / "pid"
    path = compiler(tmp_path / "machine", f"echo $$ >{pid}.part; mv {pid}.part {pid}; exec sleep 600")
    with Engine({"PATH": path}) as child:
        child.load(checkpoint("qwen3"), max_batch=4, prefill_tokens_per_step=16, kernels=tmp_path / "kernels")
        hot = Sampling(temperature=0.9, top_p=0.9)
        for _ in range(2):
            asked = [ask(child, sampling=hot), ask(child)]
            child.finish(asked)
            assert all(one.finished is not None for one in asked)
            child.read_until(pid.exists)
        assert not dead(int(pid.read_text()))
        child.process.kill()
        wait_until(lambda: dead(int(pid.read_text())), "the compiler has ended")


def test_nothing_is_compiled_where_mlx_is_told_so(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    """With MLX_DISABLE_COMPILE no compiler runs while the model rests, and nothing is put on disk."""
    ran = tmp_path / "ran"
    path = compiler(tmp_path / "machine", f"touch {ran}; exit 1")
    with Engine({"PATH": path, "MLX_DISABLE_COMPILE": "1"}) as child:
        child.load(checkpoint("qwen3"), max_batch=2, kernels=tmp_path / "kernels")
        child.finish([ask(child)])
        time.sleep(2 * REST_SECONDS)
        child.ping()
    assert not ran.exists() and not (tmp_path / "kernels").exists()
