"""A page in a real headless browser (Qt's Chromium), as a program of its own: one QApplication a process.

    python tests/factory/reports/browser.py page.html folder light "[360, 1400]"
    → {"looks": [{"width": 360, "scheme": "light", "inner": 360, "scrolled": 360, "worst": [4.9, "…"]}, …], "requests": [], …}

A scheme is set when Chromium starts, so that each one has a process of its own: this one takes the widths of one scheme.
"""

import json
import os
import sys
from pathlib import Path

CONTRAST = """
(() => {
  const parse = text => { const n = text.match(/[\\d.]+/g).map(Number);
    return text.startsWith('color(srgb') ? [n[0] * 255, n[1] * 255, n[2] * 255, n[3] ?? 1] : [n[0], n[1], n[2], n[3] ?? 1]; };
  const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3])).concat([1]);
  const linear = v => v / 255 <= .03928 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4;
  const light = c => { const [r, g, b] = c.slice(0, 3).map(linear);
    return .2126 * r + .7152 * g + .0722 * b; };
  const ground = node => { const stack = [];
    for (let at = node; at; at = at.parentElement) stack.push(parse(getComputedStyle(at).backgroundColor));
    return stack.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]); };
  let worst = [99, ''];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const said = walker.currentNode.textContent.trim();
    if (!said || ['STYLE', 'TITLE', 'title'].includes(node.tagName) || !node.checkVisibility()) continue;
    const style = getComputedStyle(node), svg = node instanceof SVGElement;
    let under = ground(svg ? node.closest('figure') || node : node);
    const box = svg && node.parentElement.classList.contains('stage') && node.parentElement.querySelector('rect');
    if (box) under = parse(getComputedStyle(box).fill);
    const one = light(over(parse(svg ? style.fill : style.color), under)), other = light(under);
    const ratio = (Math.max(one, other) + .05) / (Math.min(one, other) + .05);
    const name = node.tagName + '.' + node.getAttribute('class') + ': ' + said.slice(0, 40);
    if (ratio < worst[0]) worst = [Math.round(ratio * 100) / 100, name];
  }
  return worst;
})()
"""
LOOK = (
    "JSON.stringify({dark: matchMedia('(prefers-color-scheme: dark)').matches, inner: document.documentElement.clientWidth, "
    "scrolled: document.documentElement.scrollWidth, height: document.documentElement.scrollHeight, worst: " + CONTRAST + "})"
)
FOLD = """
(() => { const fold = document.querySelector('main details:not([open])'), inner = fold.querySelector(':scope > :not(summary)');
  const seen = () => inner.checkVisibility(); const before = [fold.open, seen()];
  fold.querySelector('summary').click(); const opened = [fold.open, seen()];
  fold.querySelector('summary').click(); return JSON.stringify([before, opened, [fold.open, seen()]]); })()
"""


def main(page: str, folder: str, scheme: str, widths: list[int]) -> None:
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    shade = 0 if scheme == "dark" else 1
    os.environ["QTWEBENGINE_CHROMIUM_FLAGS"] = f"--no-sandbox --disable-gpu --blink-settings=preferredColorScheme={shade}"
    from PySide6.QtCore import QEventLoop, QTimer, QUrl
    from PySide6.QtWebEngineCore import QWebEnginePage, QWebEngineUrlRequestInterceptor
    from PySide6.QtWebEngineWidgets import QWebEngineView
    from PySide6.QtWidgets import QApplication

    console: list[str] = []
    requests: list[str] = []

    class Page(QWebEnginePage):
        def javaScriptConsoleMessage(self, level, message, line, source):
            console.append(f"{line}: {message}")

    class Listener(QWebEngineUrlRequestInterceptor):
        def interceptRequest(self, info):
            requests.append(info.requestUrl().toString())

    app = QApplication(sys.argv[:1])
    view, listener = QWebEngineView(), Listener()
    view.setPage(Page(view))
    view.page().setUrlRequestInterceptor(listener)

    def wait(start, seconds: float = 120):
        """What `start` hands to the function that it is given."""
        loop, found = QEventLoop(), []
        QTimer.singleShot(int(seconds * 1000), loop.quit)
        start(lambda *values: (found.append(values), loop.quit()))
        if not found:
            loop.exec()
        if not found:
            sys.exit(f"the browser did not answer within {seconds} s")
        return found[0][0] if found[0] else None

    def pause(milliseconds: int) -> None:
        wait(lambda done: QTimer.singleShot(milliseconds, done))

    def ask(script: str):
        return wait(lambda done: view.page().runJavaScript(script, done))

    view.resize(widths[0], 900)
    view.show()
    wait(lambda done: (view.loadFinished.connect(done), view.load(QUrl.fromLocalFile(page))))
    looks = []
    for width in widths:
        view.resize(width, 900)
        pause(300)
        looks.append({"width": width, "scheme": scheme} | json.loads(ask(LOOK)))
        view.grab().save(str(Path(folder) / f"{scheme}_{width}.png"))
    fold = json.loads(ask(FOLD))

    def printed(name: str) -> int:
        target = str(Path(folder) / name)
        wait(lambda done: (view.page().pdfPrintingFinished.connect(lambda path, ok: done(ok)), view.page().printToPdf(target)))
        view.page().pdfPrintingFinished.disconnect()
        return Path(target).read_bytes().count(b"/Type /Page\n")

    pages = [printed("folded.pdf")]
    ask("document.querySelectorAll('details').forEach(one => one.open = true)")
    pages.append(printed("open.pdf"))
    print(json.dumps({"looks": looks, "requests": requests, "console": console, "fold": fold, "pages": pages}))
    view.setPage(None)
    app.quit()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4]))
