"""The command line: answers at once, explains every mistake in one message, writes nothing before it is sure."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import coregpt
from coregpt.cli import main
from coregpt.lab.laws import laws
from tests.lab.conftest import Lab, write_shards, write_study

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """`run("plan", "x.yaml")` gives exit code, standard output and standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(arguments)
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def lab(tmp_path: Path) -> Callable[..., Lab]:
    """`lab(seeds=3)`: the tiny study and its data in a fresh folder."""

    def make(**changes: Any) -> Lab:
        shards = write_shards(tmp_path / "shards")
        return Lab(tmp_path, shards, write_study(tmp_path / "tiny.yaml", shards, **changes))

    return make


def test_help_answers_at_once_without_heavy_imports() -> None:
    code = (
        "import sys\nfrom coregpt.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\nprint(sorted(sys.modules))"
    )
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - begun
    loaded = done.stdout.splitlines()[-1]
    for heavy in ("torch", "numpy", "pydantic", "scipy", "mlflow", "pandas", "yaml"):
        assert f"'{heavy}'" not in loaded
    assert seconds < 1.0  # 0.1 s on an idle machine


def test_version(run: Run) -> None:
    assert run("--version")[1] == f"coregpt {coregpt.__version__}\n"


@pytest.mark.parametrize(
    "arguments", [(), ("ablat",), ("ablate",), ("plan", "x.yaml", "--jobs", "0"), ("data", "fetch", "x")]
)
def test_wrong_usage_exits_2(run: Run, arguments: tuple[str, ...]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("coregpt: error: ")
    assert err.count("\n") == 1
    assert ("did you mean 'ablate'?" in err) == (arguments == ("ablat",))
    assert ("choose from" in err) == (arguments[:1] == ("data",))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("- a\n", "expected a mapping"),
        ("question: q\nquestion: r\n", "given twice"),
        ("question: q\narms: {a: {}, b: {tokenz: 3}}\nseeds: 5\ntest: {baseline: a}\n", "did you mean 'tokens'"),
        (
            "question: q\narms: {a: {}, b: {plugins: {moun: {}}}}\nseeds: 5\ntest: {baseline: a}\n",
            "did you mean 'muon'",
        ),
        ("question: q\narms: {a: {}, b: {tokens: 1e6}}\nseeds: 1\ntest: {baseline: a}\n", "at least 2 seeds"),
        (
            "question: q\narms: {a: {}, b: {model: {vocab: 9}}}\nseeds: 5\ntest: {baseline: a}\n",
            "arms.b.model.vocab: expected 16 or more, the",
        ),
        (
            "question: q\narms: {a: {}, b: {plugins: {relu2: {}, swiglu: {}}}}\nseeds: 5\ntest: {baseline: a}\n",
            "claimed by",
        ),
        (
            "question: q\nbase: {data: {source: gone}}\narms: {a: {}, b: {tokens: 1e6}}\nseeds: 5\ntest: {baseline: a}",
            "no data source or folder 'gone'",
        ),
    ],
)
def test_a_bad_study_exits_2_with_one_message_and_writes_nothing(
    run: Run, tmp_path: Path, text: str, words: str
) -> None:
    shards = write_shards(tmp_path / "shards")
    if "base:" not in text:
        text = text.replace("arms:", f"base: {{data: {{source: {shards}}}}}\narms:")
    (tmp_path / "bad.yaml").write_text(text)
    for command in (("plan",), ("ablate", "--reports", str(tmp_path / "reports"))):
        code, _, err = run(command[0], str(tmp_path / "bad.yaml"), *command[1:], "--runs", str(tmp_path / "runs"))
        assert code == 2
        assert err.startswith("coregpt: error: ")
        assert words in err
        assert "Traceback" not in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.yaml", "shards"]


def test_a_missing_study_exits_2(run: Run, tmp_path: Path) -> None:
    code, _, err = run("ablate", str(tmp_path / "gone.yaml"))
    assert code == 2
    assert err == f"coregpt: error: {tmp_path / 'gone.yaml'}: cannot be read (No such file or directory)\n"


@pytest.mark.parametrize("which", ["--runs", "--reports"])
def test_a_folder_that_cannot_be_written_exits_2_before_anything_runs(
    run: Run,
    lab: Callable[..., Lab],
    which: str,
) -> None:
    here = lab()
    (here.folder / "file").write_text("")
    code, out, err = run(*here.command(), which, str(here.folder / "file" / "x"))
    assert (code, out) == (2, "")
    assert err.count("cannot write in the folder") == 1
    assert not list(here.folder.glob("runs/*/config.json"))


def test_plan_shows_cost_differences_test_and_time(run: Run, lab: Callable[..., Lab]) -> None:
    here = lab(
        arms={"gelu": {}, "relu2": {"plugins": {"relu2": {}}, "optim": {"weight_decay": 0}}},
        seeds=6,
        test={"baseline": "gelu", "sd": 0.004},
        systems=["FlashAttention 3", "banks"],
    )
    code, out, err = run("plan", str(here.study), "--runs", str(here.runs))
    assert (code, err) == (0, "")
    for words in (
        "12 runs,",
        "Of the source, but not here, since it changes no number: FlashAttention 3; banks\n",
        "adds relu2; optim.weight_decay 0.1 -> 0",
        "Differs beside the technique:",
        "Test: paired t-test, alpha 0.05: one arm against the baseline, runs paired by seed.",
        "sd of a paired difference 0.004 (assumed in the study)",
        "from a short probe of the baseline",
        "preregistration ",
    ):
        assert words in out
    assert not here.runs.exists()


def test_plan_shows_what_a_token_costs_in_each_stage(run: Run, lab: Callable[..., Lab]) -> None:
    arms = {"gelu": {}, "short": {"plugins": {"seq_len_schedule": {"length": [0.5, 1]}}}}
    here = lab(arms=arms, seeds=6, test={"baseline": "gelu", "sd": 0.004})
    _, out, _ = run("plan", str(here.study), "--runs", str(here.runs))
    table = out[out.index("sequence") :].split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in table[-2:]] == ["short", "short"]
    _, out, _ = run("plan", str(here.study), "--runs", str(here.runs), "--json")
    gelu, short = json.loads(out)[0]["arms"]
    assert [len(arm["stages"]) for arm in (gelu, short)] == [1, 2]
    assert sum(stage["tokens"] * stage["flops_per_token"] for stage in short["stages"]) == pytest.approx(short["flops"])


@pytest.mark.parametrize(
    ("text", "words"), [("{", "truncated"), ("{}", "not a CoreGPT report"), ('{"schema": 99}', "newer")]
)
def test_a_bad_report_exits_2_and_writes_nothing(run: Run, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "report.json").write_text(text)
    code, _, err = run("report", str(tmp_path / "report.json"))
    assert code == 2
    assert words in err
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


@pytest.mark.parametrize(
    ("text", "words"), [("{", "truncated"), ("{}", "not a CoreGPT report"), ('{"schema": 99}', "newer")]
)
def test_verifying_no_report_exits_2_and_writes_nothing(run: Run, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "report.json").write_text(text)
    code, _, err = run("verify", str(tmp_path / "report.json"), "--runs", str(tmp_path / "runs"))
    assert code == 2
    assert words in err
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_verify_and_ledger_explain_what_they_need(run: Run, tmp_path: Path) -> None:
    assert run("verify", str(tmp_path / "gone.json"))[0] == 2
    code, _, err = run("ledger", "verify", "--runs", str(tmp_path))
    assert code == 2
    assert "there is no ledger; coregpt ablate writes one" in err
    assert not list(tmp_path.iterdir())


def test_a_study_says_what_it_expects_and_holds_equal(run: Run, lab: Callable[..., Lab]) -> None:
    here = lab(hypothesis="Squaring helps.", direction="better", equal="flops", seeds=3)
    assert run(*here.command("--no-mlflow"))[0] == 0
    page = (here.reports / "tiny" / "report.md").read_text()
    assert "Hypothesis: Squaring helps. Expected: better. Held equal between arms: flops." in page


def test_plugins_are_listed_and_shown_from_their_own_text(run: Run) -> None:
    code, out, _ = run("plugins", "list")
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    shown = [line[0] for line in lines if line and line[0] in ("mlp:", "swiglu", "schedule:", "wsd")]
    assert shown == ["mlp:", "swiglu", "schedule:", "wsd"]
    assert ["relu2", "Square", "the", "ReLU", "inside", "the", "MLP."] in lines
    code, out, _ = run("plugins", "show", "wsd")
    assert code == 0
    for words in ("Source:", "Folder  schedule: What changes", "warmup: number (>= 0) = 0.0", "Hooks  add_schedules"):
        assert words in out
    code, _, err = run("plugins", "show", "softcp")
    assert code == 2
    assert "did you mean 'softcap'" in err


def test_fetching_without_a_network_says_so(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("COREGPT_DATA", str(tmp_path))
    monkeypatch.setattr("time.sleep", lambda _: None)
    code, _, err = run("data", "fetch", "fineweb10B")
    assert code == 2
    assert err.startswith("coregpt: error: ")


def test_a_plugin_file_of_ones_own_is_shown_and_checked(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(laws, "LAWS", laws.LAWS[:3])
    file = tmp_path / "mine.py"
    card = '"""My idea.\n\nSource: me.\n"""'
    file.write_text(f"{card}\n\nfrom coregpt.api import Plugin\n\n\nclass Mine(Plugin):\n    pass\n")
    assert run("plugins", "show", str(file))[1].startswith("My idea.")
    code, out, _ = run("plugins", "check", str(file))
    assert (code, out.count("ok  ")) == (0, 3)
    code, _, err = run("plugins", "check", str(tmp_path / "none.py"))
    assert code == 2
    assert "there is no file" in err


def test_check_takes_names_options_and_neighbours(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, object, object]] = []

    def law(case: laws.LawCase) -> str:
        seen.append((case.name, case.options, case.plugins()))
        return "nothing"

    monkeypatch.setattr(laws, "LAWS", (law, *laws.SLOW))
    code, out, _ = run("plugins", "check", "relu2", "rope", "--with", "softcap", "--fast")
    assert (code, out.count("ok    law: nothing")) == (0, 2)
    assert "Left out: counts agree, one graph" in out
    assert seen == [(name, {}, {"softcap": {}, name: {}}) for name in ("relu2", "rope")]
    monkeypatch.setattr(laws, "LAWS", (law,))
    assert run("plugins", "check", "softcap", "--options", "cap=7")[0] == 0
    assert run("plugins", "check", "softcap", "--options", "{cap: 7}")[0] == 0
    assert seen[2:] == [("softcap", {"cap": 7}, {"softcap": {"cap": 7}})] * 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("softcap", "--options", "cop=7"), "plugins.softcap.cop: no such option; did you mean 'cap'?"),
        (("softcap", "--options", "cap=[7"), "--options 'cap=[7': "),
        (("softcap", "--options", "7"), "expected KEY=VALUE or {KEY: VALUE, ...}"),
        (("softcap", "rope", "--options", "cap=7"), "--options are of one technique; name one instead of 2"),
        ((), "name a technique to check"),
        (("rope", "--all"), "--all is every technique; leave out the names"),
        (("--all", "--part", "5000/9000"), "--part 5000/9000 has none of them"),
        (("rope", "--part", "1/2"), "--results is of --pairs, --part of --pairs and --all"),
        (("rope", "--with", "softcup"), "unknown plugin 'softcup'; did you mean 'softcap'?"),
        (("rope", "--results", "pairs.jsonl"), "--results is of --pairs, --part of --pairs and --all"),
        (("rope", "--pairs", "--options", "base=7", "--results", "p"), "--results keeps what was found with default"),
        (("rope", "--pairs", "--results", "no/such/folder/pairs.jsonl"), "what is found of pairs cannot be kept there"),
    ],
)
def test_check_refuses_in_one_line(run: Run, words: tuple[str, ...], told: str) -> None:
    code, _, err = run("plugins", "check", *words)
    assert code == 2
    assert told in err
    assert err.count("\n") == 1


def test_all_techniques_are_checked_in_parts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coregpt.lab.study.registry.Catalogue.names", lambda _: ["relu2", "rope", "softcap"])
    code, out, _ = run("plugins", "check", "--all", "--fast", "--part", "1/2")
    assert code == 0
    assert [line for line in out.splitlines() if line in ("relu2", "rope", "softcap")] == ["relu2", "softcap"]
    assert out.endswith("2 techniques: every law holds\n")


def test_pairs_train_or_clash_by_name(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("relu2", "swiglu", "rope")
    monkeypatch.setattr("coregpt.lab.study.registry.Catalogue.names", lambda _: sorted(names))
    code, out, _ = run("plugins", "check", "relu2", "--pairs")
    assert code == 0
    assert "clash relu2 + swiglu: make_activation at 'blocks.0.mlp.activation': claimed by 'relu2' and 'swiglu'" in out
    assert out.endswith("2 pairs: 1 train, 1 clash by name\n")
    assert run("plugins", "check", "--pairs")[1].endswith("3 pairs: 2 train, 1 clash by name\n")


def test_a_check_of_pairs_goes_on_where_it_stopped(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("coregpt.lab.study.registry.Catalogue.names", lambda _: ["relu2", "rope", "swiglu"])
    file = tmp_path / "pairs.jsonl"
    given = ("plugins", "check", "--pairs", "--results", str(file))
    assert run(*given, "--part", "1/2")[1].endswith("2 pairs: 2 train, 0 clash by name\n")
    with file.open("a") as torn:
        torn.write('{"pair": "rope + swi')
    second = run(*given)
    assert second[1].endswith(f"3 pairs: 2 train, 1 clash by name; 2 of them known from {file}\n")
    assert "clash relu2 + swiglu: make_activation" in second[1]
    assert run(*given)[1].endswith(f"3 of them known from {file}\n")


def test_what_is_known_of_a_pair_ends_with_an_edit_and_failures_are_tried_again(tmp_path: Path) -> None:
    from coregpt.lab.laws.pair_notes import FAILS, TRAINS, PairNotes
    from coregpt.lab.study.registry import Catalogue

    file, catalogue = tmp_path / "pairs.jsonl", Catalogue()
    names = {"rope", "relu2", "uw_floor", "normuon", "muon"}
    notes = PairNotes(catalogue, names, file)
    notes.add("rope", "relu2", TRAINS, "")
    notes.add("uw_floor", "relu2", FAILS, "not finite")
    notes.add("normuon", "rope", TRAINS, "")
    again = PairNotes(catalogue, names, file)
    assert again.found("relu2", "rope") == (TRAINS, "")
    assert again.found("uw_floor", "relu2") is None
    again.add("rope", "normuon", FAILS, "what was true once")
    assert PairNotes(catalogue, names, file).found("rope", "normuon") is None
    text = file.read_text()
    file.write_text(text.replace(notes.digest("rope", "relu2"), "0" * 16))
    assert PairNotes(catalogue, names, file).found("rope", "relu2") is None


def test_work_cut_short_by_its_reader_does_not_claim_to_be_done() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "coregpt.cli", "plugins", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait() == 141


def test_a_closed_standard_output_stops_nothing(lab: Callable[..., Lab]) -> None:
    here = lab()
    words = " ".join([sys.executable, "-m", "coregpt.cli", *here.command("--no-mlflow")])
    done = subprocess.run(f"{words} >&-", shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (here.reports / "tiny" / "report.json").exists()


def test_a_number_that_is_none_is_refused_in_words(run: Run) -> None:
    code, _, err = run("ablate", "x.yaml", "--jobs", "many")
    assert code == 2
    assert "expected a number from 1 on" in err


@pytest.mark.parametrize("body", ["raise KeyError('oops')", "return nowhere", "return torch.nn.Linear(2, 2)"])
def test_a_plugin_that_fails_while_it_is_asked_is_named_with_its_line(
    run: Run, lab: Callable[..., Lab], body: str
) -> None:
    here = lab(arms={"gelu": {}, "bad": {"plugins": {"bad": {}}}}, plugin_files=["bad.py"])
    head = '"""Bad."""\n\nimport torch\n\nfrom coregpt.api import Plugin, hookimpl\n\n\nclass Bad(Plugin):\n'
    hook = f"    @hookimpl\n    def make_activation(self, at, width):\n        {body}\n"
    (here.folder / "bad.py").write_text(head + hook)
    code, _, err = run("plan", str(here.study))
    assert code == 2
    assert ": arms.bad: " in err
    assert f"bad.py:{9 if 'Linear' in body else 11})" in err
    assert "make_activation" in err


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = f"{sys.executable} -m coregpt.cli plugins list | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_workers_get_ready_before_torch_is_imported_and_the_study_is_read(tmp_path: Path) -> None:
    (tmp_path / "no.yaml").write_text("neither: a study\n")
    code = (
        "import sys\nfrom coregpt.cli import main\nfrom coregpt.lab.execute import pool\nreal = pool.warming\n"
        "pool.warming = lambda wanted: print(wanted, 'torch' in sys.modules, 'yaml' in sys.modules) or real(wanted)\n"
        "sys.exit(main(['ablate', 'no.yaml']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "True False False\n")
    assert "no.yaml" in done.stderr


def test_a_command_has_printed_everything_when_it_ends_at_once() -> None:
    code = (
        "import atexit, sys\nfrom coregpt.cli.__main__ import run\natexit.register(print, 'taken down')\n"
        "sys.argv = ['coregpt', 'plugins', 'show', 'rop']\nprint('first')\nrun()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "first\n")
    assert "rope" in done.stderr


def test_plan_tells_what_each_gpu_would_hold_without_having_one(run: Run, lab: Callable[..., Lab]) -> None:
    """States are shared among ranks, rows too; weights are whole on each."""
    made = lab(gpus_per_run="auto")
    code, out, _ = run("plan", str(made.study), "--gpus", "2", "--runs", str(made.runs))
    assert code == 0
    assert "1 GPU per run, 2 at a time:" in out
    assert "2 GPUs per run, 1 at a time:" in out
    assert "nothing measured here" in out
    assert "FlexAttention" not in out
    assert not made.runs.exists()


def test_a_gpu_is_planned_without_scores_of_attention(run: Run, lab: Callable[..., Lab]) -> None:
    made = lab()
    study = yaml.safe_load(made.study.read_text())
    study["base"]["data"]["document_mask"] = True
    made.study.write_text(yaml.safe_dump(study, sort_keys=False))
    code, out, _ = run("plan", str(made.study), "--gpus", "1", "--runs", str(made.runs))
    assert code == 0
    assert "keeps a score" not in out


def test_plan_refuses_a_run_on_more_gpus_than_there_would_be(run: Run, lab: Callable[..., Lab]) -> None:
    code, _, err = run("plan", str(lab(gpus_per_run=4).study), "--gpus", "2")
    assert code == 2
    assert "gpus_per_run is 4, but" in err
