"""The files: deterministic, self-contained, complete, and equal to what the JSON alone gives."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest

from coregpt.report.analysis.summary import summarise
from coregpt.report.facts.inputs import Confound
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import from_json
from coregpt.report.pages.paste import COPY_SCRIPT
from coregpt.report.pages.render import render, render_curves
from tests.report.studies import report, runs, study
from tests.report.verdicts.test_compare import base, shifted

SCRIPT = f"<script>{COPY_SCRIPT}</script>"
VOID = {"meta", "input", "line", "circle", "rect", "br"}


def example(**changes: object) -> Report:
    values = {"gpt": base(8), "up": shifted(0.03, 8), "same": shifted(0.0003, 8), "odd": [None, *shifted(0.0, 8)[1:]]}
    return report(values, **changes)


class Page(HTMLParser):
    """Collects text and attributes, and checks that elements close in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words = ""
        self.feed(html)
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.stack):
            self.words += data + " "


def test_the_package_needs_neither_torch_nor_mlflow_and_planning_not_even_scipy():
    code = "import sys, {}; print(sorted(sys.modules.keys() & {{'torch', 'mlflow', 'pandas', 'matplotlib', 'scipy'}}))"
    for module, loaded in (("coregpt.report.pages.render", "['scipy']"), ("coregpt.stats.design", "[]")):
        found = subprocess.run([sys.executable, "-c", code.format(module)], capture_output=True, text=True, check=True)
        assert found.stdout.strip() == loaded


def test_rendering_twice_gives_the_same_bytes():
    assert render(example()) == render(example())


def test_the_json_alone_reproduces_every_file():
    files = render(example())
    assert render(from_json(files["report.json"])) == files


def test_the_page_is_well_formed_and_loads_nothing():
    html = render(example())["report.html"]
    page = Page(html)
    assert "http" not in html
    assert html.count("<script") == html.count(SCRIPT) == 1
    assert "@import" not in html
    assert "url(" not in html.replace("url(#", "")
    assert not [a for a in page.attributes if a[1] in ("src", "href") and not a[2].startswith("#")]


def test_identifiers_are_unique_and_every_label_has_its_control():
    page = Page(render(example())["report.html"])
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(set(ids)) == len(ids)
    assert {value for _, name, value in page.attributes if name == "for"} <= set(ids)


def test_every_picture_has_a_name_and_a_table_behind_it():
    html = render(example())["report.html"]
    assert html.count("<svg") == html.count('role="img" aria-label="') > 5
    for title in ("How much", "Learning curves", "The gap along the way", "Seed by seed"):
        section = html[html.index(f"<h2>{title}</h2>") :].split("</section>")[0]
        assert "<details>" in section
        assert "<table" in section


def test_question_and_verdicts_come_first_and_everything_a_reader_may_ask_is_there():
    facts = example(confounds=(Confound(setting="warm-up", values={"gpt": "50", "up": "0"}),))
    words = Page(render(facts)["report.html"]).words
    order = ["Does it help?", "up lowers val_loss", "How much", "Learning curves", "The numbers", "Every run"]
    places = [words.index(part) for part in order]
    assert places == sorted(places)
    for part in (
        "a" * 64,
        "d" * 64,
        "coregpt ablate toy.yaml",
        "loss became NaN",
        "warm-up",
        "2.13",
        "last tenth",
        "Holm",
    ):
        assert part in words


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_every_run_and_every_verdict_is_in_every_document(name: str):
    facts = example()
    text = render(facts)[name]
    for run in facts.runs:
        assert run.run_id in text
    for c in facts.comparisons:
        assert c.verdict in text
        assert c.cause[:30] in text


def test_names_that_look_like_markup_are_shown_not_obeyed():
    evil = "<script>alert(1)</script>"
    values = {"gpt": base(), evil: shifted(0.03)}
    files = render(report(values, question=evil, name=evil))
    assert "<script" not in files["report.html"].replace(SCRIPT, "")
    assert "<script" not in files["report.md"]
    assert "<script" not in files["curves.svg"]
    Page(files["report.html"])


def test_the_picture_stands_alone_as_xml():
    picture = render(example())["curves.svg"]
    root = ElementTree.fromstring(picture)
    assert root.tag.endswith("svg")
    assert len([e for e in root.iter() if e.get("class") == "mean"]) == 4


def test_a_study_without_curves_renders_without_a_picture():
    bare = [
        r.model_copy(update={"curve": (), "timing": type(r.timing)()})
        for r in runs({"gpt": base(), "ngpt": shifted(0.03)})
    ]
    facts = summarise(study(), bare)
    files = render(facts)
    assert set(files) == {"report.html", "report.md", "report.json", "verdict.json", "effect.svg"}
    assert render_curves(facts) is None


def test_the_markdown_page_has_the_effect_with_interval_zero_and_margin_as_a_file_beside_it():
    files = render(example())
    assert "](effect.svg)" in files["report.md"]
    picture = ElementTree.fromstring(files["effect.svg"])
    classes = [each.get("class") for each in picture.iter()]
    assert classes.count("margin") == 1
    assert {"zero", "bar", "dot", "whisker"} <= set(classes)
    for name in ("up", "same", "odd"):
        assert f"{name} " in files["effect.svg"]
    linked = set(re.findall(r"\]\((\w+\.svg)\)", files["report.md"]))
    assert linked == {name for name in files if name.endswith(".svg")}
    Page(files["report.html"])


def test_a_study_in_which_everything_failed_still_renders():
    files = render(summarise(study(), []))
    assert "cannot be judged" in files["report.html"]
    Page(files["report.html"])


@pytest.mark.parametrize(
    "values", [{"gpt": [None] * 6, "new": [None] * 6}, {"gpt": [1.5], "new": [1.4]}, {"gpt": base(), "new": base()}]
)
def test_degenerate_studies_still_render(values: dict):
    Page(render(report(values))["report.html"])


def test_time_is_one_of_four_axes_only_where_it_was_measured():
    html = render(example())["report.html"]
    assert re.findall(r'id="axis-(\w+)"', html) == ["steps", "tokens", "seconds", "flops"]
    untimed = [
        r.model_copy(update={"timing": r.timing.model_copy(update={"seconds": ()})})
        for r in runs({"gpt": base(), "ngpt": shifted(0.03)})
    ]
    html = render(summarise(study(), untimed))["report.html"]
    assert re.findall(r'id="axis-(\w+)"', html) == ["steps", "tokens", "flops"]


def test_ten_arms_with_twenty_seeds_stay_under_two_megabytes():
    luck = [1.45 + 0.001 * (i % 7) for i in range(20)]
    values = {f"arm{i}": [v - 0.01 * i + 0.0003 * ((i + j) % 5) for j, v in enumerate(luck)] for i in range(10)}
    facts = [
        r.model_copy(
            update={
                "curve": tuple(r.curve[min(8, i // 100)]._replace(step=i, tokens=i * 1000) for i in range(900)),
                "timing": type(r.timing)(seconds=tuple(0.1 * i for i in range(900))),
            }
        )
        for r in runs(values)
    ]
    files = render(summarise(study(tuple(values), 20), facts))
    assert len(files["report.html"].encode()) < 2_000_000
    assert all(len(r.curve) <= 400 for r in from_json(files["report.json"]).runs)
