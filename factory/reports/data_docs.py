"""Great Expectations' own Data Docs of every audit: its renderer, its words, one page a dataset, all of it offline.

    build(Path("data/report/data_docs"), params)   → data/report/data_docs/index.html, restarts_r1.html, …

Great Expectations' pages load scripts, fonts and styles from five servers: those links are taken out, a few rules of style stand in for
them, and every fold of a page stands open. They take what rows say for markup, so it is escaped before. Pages have no time and no run of
their own, so that the same audits give the same bytes.
"""

import html
import json
import re
from pathlib import Path
from typing import Any

from factory.params import Params
from factory.storage import AUDITS
from factory.whole import whole_folder

TIME = "2000-01-01T00:00:00Z"  # of no run: an audit has no time
LOADED = re.compile(
    r"<(script|style|noscript|iframe|form)\b.*?</\1>|<(?:link|img|source)\b[^>]*>|<!--.*?-->|\s(?:onclick|onload|style)=\"[^\"]*\"",
    re.DOTALL,
)
ANY = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
STYLE = """
:root { color-scheme: light dark } body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 1rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% } td, th { border: 1px solid #8886; padding: .3rem .5rem; text-align: left }
td { vertical-align: top; overflow-wrap: anywhere } ul { padding-left: 1.2rem } .badge { border: 1px solid #8888; padding: 0 .3rem }
.text-success { color: #2a8a3e } .text-danger { color: #d33 } .text-warning { color: #b80 }
.fa-check-circle::before { content: "✓" } .fa-times::before { content: "✗" } .fa-exclamation-triangle::before { content: "!" }
.navbar, .modal, .cooltip, button, footer, .sticky, [data-toggle=collapse] { display: none }
"""


def build(folder: Path, params: Params) -> list[str]:
    """Replaces `folder`; returns the datasets that have a page, those of the params with an audit."""
    names = [name for name in params.datasets if (AUDITS / f"{name}.json").is_file()]
    audits = {name: json.loads((AUDITS / f"{name}.json").read_text(encoding="utf-8")) for name in names}
    with whole_folder(folder) as made:
        for name, audit in audits.items():
            (made / f"{name}.html").write_text(_page(name, audit), encoding="utf-8")
        (made / "index.html").write_text(_index(audits), encoding="utf-8")
    return names


def offline(text: str) -> str:
    """A page that asks nobody for anything."""
    seen: dict[str, str] = {}
    bare = ANY.sub(lambda match: seen.setdefault(match[0], f"id{len(seen)}"), LOADED.sub("", text))  # folds are named at random
    bare = re.sub(r"\s(?:href|src|action|data-url)=([\"'])(?!#).*?\1", "", bare).replace(TIME, "")
    return bare.replace("</head>", f'<meta name="viewport" content="width=device-width">\n<style>{STYLE}</style>\n</head>', 1)


def _page(name: str, audit: dict[str, Any]) -> str:
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    return offline(DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(_results(name, audit))))


def _results(name: str, audit: dict[str, Any]) -> Any:
    """What Great Expectations said, from the audit."""
    from great_expectations.core import ExpectationSuiteValidationResult

    results = [_result(finding) for finding in audit["findings"]]
    met = sum(bool(finding["success"]) for finding in audit["findings"])
    return ExpectationSuiteValidationResult(
        success=bool(audit["success"]), results=results, suite_name=name,
        statistics={"evaluated_expectations": len(results), "successful_expectations": met,
                    "unsuccessful_expectations": len(results) - met, "success_percent": 100 * met / max(1, len(results))},
        meta={"great_expectations_version": audit["gx_version"], "run_id": {"run_name": name, "run_time": TIME}},
    )  # fmt: skip


def _result(finding: dict[str, Any]) -> Any:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    says = finding["says"] + ("" if finding["critical"] else " (a warning)")
    found = {"observed_value": html.escape(finding["observed"])} if not finding["of"] else {
        "element_count": finding["of"], "unexpected_count": finding["unexpected"],
        "unexpected_percent": 100 * finding["unexpected"] / finding["of"],
        "partial_unexpected_list": [html.escape(f"{key}: {value}") for key, value in finding["examples"]],
    }  # fmt: skip
    return ExpectationValidationResult(
        success=finding["success"], result=found,
        expectation_config=ExpectationConfiguration(type=finding["type"], kwargs=dict(finding["kwargs"]), description=says),
    )  # fmt: skip


def _index(audits: dict[str, dict[str, Any]]) -> str:
    rows = "".join(
        f'<tr><td><a href="{name}.html">{name}</a></td><td>{audit["rows"]:,}</td><td>{"passed" if audit["success"] else "refused"}</td>'
        f"<td>{sum(map(_failed, audit['findings']))} of {len(audit['findings'])}</td></tr>\n"
        for name, audit in audits.items()
    )
    head = "<tr><th>dataset</th><th>rows</th><th></th><th>expectations not met</th></tr>"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="UTF-8"><title>Data Docs</title>\n<style>{STYLE}</style></head>'
        f"<body><h1>Data Docs</h1>\n<table>{head}\n{rows}</table></body></html>\n"
    )


def _failed(finding: dict[str, Any]) -> bool:
    return not finding["success"]
