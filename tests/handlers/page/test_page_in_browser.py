"""The rest of the page in a real browser: keys, sizes, colours, what runs, and a daemon that has gone."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import msgspec
from fakes.serving import MODEL, Serving, daemon
from support.browser import Browser, Page
from support.page_visit import Visit, ask

from mlx_serve.daemon.protocol import Gauges
from mlx_serve.daemon.tasks.pulls import PullOrder

KEY = "a-key-of-some-length"
PHONE = (360, 740)


async def test_a_page_from_elsewhere_asks_for_the_key_and_keeps_it_in_its_tab(browser: Browser, tmp_path: Path) -> None:
    """A wrong one is told; the right one goes with everything, to /docs too, and another tab has to ask again."""

    def look(url: str) -> None:
        page = browser.page()
        page.headers(x_forwarded_for="203.0.113.9")
        page.go(f"{url}/")
        page.wait("document.querySelector('#key-dialog').open")
        assert page.run("document.activeElement.id") == "key"
        page.write("wrong-key-of-some-length")
        page.press("Enter")
        page.wait("document.querySelector('#key-problem').innerText.includes('does not know')")
        page.write(KEY)
        page.press("Enter")
        page.wait("document.querySelector('#connection.well')")
        ask(page, "hello")
        assert page.text(".prose") == "Hello world" and page.seen("#forget-key")
        assert page.run("sessionStorage.getItem('mlx-serve-key')") == KEY
        assert page.run("Object.keys(localStorage).length + document.cookie.length") == 0
        page.go(f"{url}/docs")
        page.wait("document.querySelectorAll('article').length > 20")
        assert not page.seen("#key-form") and not page.seen("#state")
        assert page.run("document.querySelector('header a').href").startswith("blob:")
        page.run("sessionStorage.clear()")
        page.go(f"{url}/docs?again")
        page.wait("document.querySelector('#key-form').checkVisibility()")
        assert not page.seen("#state")
        page.write(KEY)
        page.press("Enter")
        page.wait("document.querySelectorAll('article').length > 20")
        page.go(f"{url}/")
        page.wait("document.querySelector('#connection.well')")
        page.click("#forget-key")
        page.wait("document.querySelector('#key-dialog').open")
        page.press("Escape")
        page.wait("document.querySelector('#connection').innerText.includes('API key')")
        assert page.run("sessionStorage.getItem('mlx-serve-key')") is None
        assert all(url.startswith(("http://127.0.0.1", "blob:")) for url in page.requested())
        assert not [text for text in page.complaints() if "status of 401" not in text]
        page.close()

    async with daemon(tmp_path, api_keys=(KEY,)) as serving:
        await asyncio.to_thread(look, serving.url)


async def test_it_fits_a_phone_and_the_dark(serving: Serving, visit: Visit) -> None:
    """Nothing is wider than the screen, in either of its two parts; dark is dark, and text stands out in both."""
    serving.store.add("acme/a-model-with-a-name-that-is-far-too-long-for-the-screen-of-a-phone-to-show-it-in-one-line")

    def look(page: Page) -> None:
        assert page.seen("#chat") and page.seen("#server") and not page.seen("header nav")
        page.size(*PHONE, phone=True)
        ask(page, "a-word-that-does-not-end-" * 20)
        for name in ("chat", "server"):
            page.click(f"#show-{name}")
            assert page.seen(f"#{name}") and page.run("document.querySelectorAll('[aria-pressed=true]').length") >= 1
            assert page.run("document.scrollingElement.scrollWidth") <= PHONE[0]
            assert page.run(WIDEST) <= PHONE[0]
        assert not page.seen("#chat")
        page.click("#show-chat")
        page.click("#show-options")
        assert page.run(WIDEST) <= PHONE[0] and page.seen("#question")
        contrasts = []
        for dark in (False, True):
            page.dark(dark)
            contrasts.append(page.run(CONTRASTS))
            assert (page.run("getComputedStyle(document.body).backgroundColor") == "rgb(21, 22, 20)") is dark
        for found in contrasts:
            assert len(found) > 10 and not {text: ratio for text, ratio in found.items() if ratio < 4.5}

    await visit(look)


async def test_what_runs_is_shown(serving: Serving, visit: Visit) -> None:
    """Loaded models with memory and prefix cache, a pull with its progress, the speed; a click chooses a model."""
    resident = await serving.residency.load(serving.store.find(MODEL))
    gauges = Gauges(generated_tokens=500, prefix_bytes=1_500_000, prefix_disk_bytes=7_000_000, prefix_tokens=12_345)
    object.__setattr__(resident, "gauges", gauges)
    serving.store.add("acme/second", capabilities=("completion",))
    serving.store.add("acme/vectors", kind="embedding", capabilities=("embedding",))
    loop = asyncio.get_running_loop()
    more = msgspec.structs.replace(gauges, generated_tokens=800)

    def look(page: Page) -> None:
        shown = page.text("#part-loaded")
        for text in (
            MODEL,
            "unloaded in 30 min",
            "2.0 MB of 3.0 MB",
            "1.5 MB, 7.0 MB on disk",
            "12,345 tokens",
            "4,096 tokens",
        ):
            assert text in shown, (text, shown)
        assert "0 running, none waiting" in page.text("#part-figures") and "2.0 MB of 8.0 MB" in page.text("#server")
        assert page.text("#part-pulls").splitlines()[:2] == ["Pulls", "slow"], page.text("#part-pulls")
        assert page.text("#speed") == "0"
        loop.call_soon_threadsafe(object.__setattr__, resident, "gauges", more)
        page.wait("Number(document.querySelector('#speed').innerText.replace(',', '')) > 0")
        page.click("[data-name='acme/second']")
        assert page.run("document.querySelector('#model').value") == "acme/second"
        assert page.run("document.querySelectorAll('.models [aria-pressed=true]').length") == 1
        assert page.run("document.querySelector(\"[data-name='acme/vectors']\").disabled"), "it does not chat"

    async with aclosing(serving.context.pulls.follow(PullOrder("slow"))) as events:
        async for event in events:
            if getattr(event, "path", "") == "endless.safetensors":
                break
        await visit(look)


async def test_a_daemon_without_models_says_how_to_get_one(serving: Serving, visit: Visit) -> None:
    serving.store.models_by_name.clear()

    def look(page: Page) -> None:
        assert "mlx-serve pull starter" in page.text("#messages") and "mlx-serve pull starter" in page.text("#server")
        assert page.run("document.querySelector('#send').disabled")

    await visit(look)


async def test_a_daemon_that_stops_is_told_and_found_again(serving: Serving, visit: Visit) -> None:
    loop = asyncio.get_running_loop()

    def look(page: Page) -> None:
        refresh = "import('./page/status.js').then((status) => status.refresh())"
        loop.call_soon_threadsafe(setattr, serving.context, "draining", True)
        page.wait(f"{refresh}.then(() => document.querySelector('#connection.ill'))")
        assert page.text("#connection") == "The server is stopping."
        loop.call_soon_threadsafe(setattr, serving.context, "draining", False)
        page.wait(f"{refresh}.then(() => document.querySelector('#connection.well'))")
        page.send(
            "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )
        page.wait(f"{refresh}.then(() => document.querySelector('#connection.ill'))")
        assert page.text("#connection") == "No connection. Is mlx-serve still running?"
        ask(page, "hello")
        assert page.text(".problem p") == "The server cannot be reached. Is mlx-serve still running?"
        page.send(
            "Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )
        page.click(".problem button")
        page.wait("document.querySelector('.prose')?.innerText === 'Hello world'")
        offline = ("503", "ERR_INTERNET_DISCONNECTED")
        page.events[:] = [
            event for event in page.events if not any(text in str(event[1].get("entry")) for text in offline)
        ]

    await visit(look)


async def test_the_policy_holds_in_the_browser(browser: Browser, serving: Serving) -> None:
    """Whatever got a foothold in the page could run no script of its own, ask nobody else, and make no HTML; and no
    page can put it into a frame. Each breach is what `complaints` would show."""

    def look() -> None:
        page = browser.page(f"{serving.url}/")
        page.wait("document.querySelector('#connection.well')")
        assert page.complaints() == []
        for number, breach in enumerate(BREACHES):
            assert page.run(f"({breach})()") == "kept", breach
            page.wait("new Promise((done) => setTimeout(() => done(true), 0))")
            assert len(page.complaints()) > number, breach
        assert page.run("window.hit") is None
        page.run("document.body.append(Object.assign(document.createElement('iframe'), { src: './' }))")
        page.wait("document.querySelector('iframe').contentDocument === null")
        assert all(url.startswith(serving.url) for url in sent(page))
        page.close()

    await asyncio.to_thread(look)


def sent(page: Page) -> list[str]:
    """What it asked for and was not kept from."""
    blocked = {about["requestId"] for about in page.named("Network.loadingFailed") if about.get("blockedReason")}
    asked = [about for about in page.named("Network.requestWillBeSent") if about["requestId"] not in blocked]
    return [about["request"]["url"] for about in asked if not about["request"]["url"].startswith("data:")]


async def test_markdown_of_any_kind_is_drawn(visit: Visit) -> None:
    """Also what is long and odd: an expression that takes quadratic time would not come back."""

    def look(page: Page) -> None:
        for text, wanted in DRAWN.items():
            assert page.run(f"({DRAW})({text!r})") == wanted, text
        for piece in ODD:
            long = f"{piece!r}.repeat({40_000 // len(piece)})"
            assert page.run(f"({DRAW})({long}).then((drawn) => drawn.length)") > 0, piece

    await visit(look)


_TRY = "try { %s; return 'done'; } catch { return 'kept'; }"
BREACHES = (
    "() => { const it = document.createElement('script'); " + _TRY % "it.textContent = 'window.hit = 1'" + " }",
    "() => { " + _TRY % "document.body.innerHTML = '<b>x</b>'" + " }",
    "() => { " + _TRY % "window.eval('window.hit = 1')" + " }",
    "async () => { " + _TRY % "await fetch('http://127.0.0.1:1/')" + " }",
    "async () => { const it = new Image(); it.src = 'http://127.0.0.1:1/x.png'; " + _TRY % "await it.decode()" + " }",
    "() => { document.body.setAttribute('style', 'color: rgb(1, 2, 3)');"
    " return getComputedStyle(document.body).color === 'rgb(1, 2, 3)' ? 'done' : 'kept'; }",
)
WIDEST = """Math.max(...[...document.querySelectorAll('header, header *, main, main *, aside, aside *')].filter((it) =>
  it.checkVisibility() && !it.closest('.unseen, .skip, pre, option, select'))
  .map((it) => it.getBoundingClientRect().right))"""
# The contrast of each text with what is behind it (https://www.w3.org/TR/WCAG21/#contrast-minimum).
CONTRASTS = """(() => {
  const parse = (color) => color.match(/[\\d.]+/g).map(Number);
  const linear = (part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  const light = (color) => {
    const [red, green, blue] = parse(color).map((part) => linear(part / 255));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = (it) => {
    const color = getComputedStyle(it).backgroundColor;
    return parse(color)[3] === 0 ? behind(it.parentElement) : color;
  };
  const found = {};
  for (const it of document.querySelectorAll('body *')) {
    const own = [...it.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join('');
    if (!own || !it.checkVisibility() || it.disabled || it.closest('.unseen, .skip, svg, option')) continue;
    const [a, b] = [light(getComputedStyle(it).color), light(behind(it))];
    found[own.slice(0, 40)] = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }
  return found;
})()"""
DRAW = """async (text) => {
  const { blocks, rendered } = await import('./page/markdown.js');
  const shown = (node) => node.nodeType === 3 ? node.data
    : `<${node.localName}>${[...node.childNodes].map(shown).join('')}</>`;
  return blocks(text).map(rendered).map(shown).join('');
}"""
DRAWN = {
    "one\ntwo\n\nthree": "<p>one\ntwo</><p>three</>",
    "# A\n#### B #\n#no": "<h2>A</><h4>B</><p>#no</>",
    "**a** *b* `c` ``d ` e`` a*b*c 2 * 3 * 4 ** 5": (
        "<p><strong>a</> <em>b</> <code>c</> <code>d ` e</> a<em>b</>c 2 * 3 * 4 ** 5</>"
    ),
    "snake_case_name and `open": "<p>snake_case_name and `open</>",
    "- a\n- b\n  - c\n- d\n\n3. x\n4. y": "<ul><li>a</><li>b<ul><li>c</></></><li>d</></><ol><li>x</><li>y</></>",
    "```python\nif a < b:\n\n    **x**\n```\nafter": "<pre><code>if a < b:\n\n    **x**</></><p>after</>",
    "~~~\nopen": "<pre><code>open</></>",
    "> q\n> r\n\n---\n| a | b |\n|---|:-:|\n| `1` | 2 |": (
        "<blockquote>q\nr</><hr></><div><table><thead><tr><th>a</><th>b</></></>"
        "<tbody><tr><td><code>1</></><td>2</></></></></>"
    ),
    "text:\n- item\ntext": "<p>text:</><ul><li>item</></><p>text</>",
    "&lt; <b>x</b> [l](http://x)": "<p>&lt; <b>x</b> [l](http://x)</>",
}
ODD = (
    "*",
    "**a",
    "*a ",
    "`",
    "` `` ",
    "|-",
    "|-|\n",
    "- ",
    "-\n",
    "#",
    "> ",
    "  - x\n",
    "```\n",
    "a|b\n-|-\n",
    "\u2028x",
    "1. ",
)
