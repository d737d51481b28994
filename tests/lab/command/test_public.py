"""The files for public scripts, run as they are shipped on scripts in the manner of those: formats, edits and seeds.

Only `repo` is another, and no GPU is asked for. The scripts share with the public ones how they are called, where they
set their seed and what they print; `torch` and `torchrun` are stand-ins, so that a run takes no second.
"""

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from coregpt.cli import main
from tests.lab.command.conftest import commit, git

SHIPPED = Path(__file__).parents[3] / "ablations/command"
STUB = """\
import random
manual_seed = random.seed
class cuda:
    set_device = staticmethod(lambda device: None)
"""

NANO = """\
import os, pickle, random, sys
from ast import literal_eval
import torch

out_dir = 'out'
eval_interval = 2000
max_iters = 600000
lr_decay_iters = 600000
learning_rate = 6e-4
device, compile = 'cuda', True
eval_iters, block_size, batch_size = 200, 1024, 12
n_layer, n_head, n_embd, dropout = 12, 12, 768, 0.0
dataset = 'openwebtext'
for arg in sys.argv[1:]:
    if '=' not in arg:
        print(f'Overriding config with {arg}:')
        exec(open(arg).read())
        continue
    key, val = arg[2:].split('=')
    if key not in globals():
        raise ValueError(f'Unknown config key: {key}')
    try:
        value = literal_eval(val)
    except (SyntaxError, ValueError):
        value = val
    assert type(value) == type(globals()[key])
    print(f'Overriding: {key} = {value}')
    globals()[key] = value

seed_offset = 0
torch.manual_seed(1337 + seed_offset)
vocabulary = pickle.load(open(os.path.join('data', dataset, 'meta.pkl'), 'rb'))['vocab_size']
luck = random.gauss(0, 0.003)
for iter_num in range(max_iters + 1):
    loss = 1.5 + 2.6 * 0.998 ** iter_num - BETTER + luck
    if iter_num % eval_interval == 0:
        val = loss + 0.1 + random.gauss(0, 0.001)
        print(f'step {iter_num}: train loss {loss:.4f}, val loss {val:.4f}')
        if iter_num:
            print(f'saving checkpoint to {out_dir}')
            open(os.path.join(out_dir, 'ckpt.pt'), 'w').write('weights')
    if iter_num % 10 == 0:
        print(f'iter {iter_num}: loss {loss + random.gauss(0, 0.1):.4f}, time 21.50ms, mfu 3.21%')
"""

SPEEDRUN = """\
import os, random, sys, uuid
with open(sys.argv[0]) as f:
    code = f.read()  # all of it goes into the log
import torch
rank = int(os.environ['RANK'])
device = f"cuda:{os.environ['LOCAL_RANK']}"
torch.cuda.set_device(device)
assert len(open('data/fineweb10B/fineweb_val_000000.bin', 'rb').read()) == 64
os.makedirs('logs', exist_ok=True)
logfile = f'logs/{uuid.uuid4()}.txt'
def print0(s, console=False):
    if rank == 0:
        with open(logfile, 'a') as f:
            if console:
                print(s)
            print(s, file=f)
print0(code)
print0('=' * 100)
steps = 500
for step in range(steps + 1):
    if step % 125 == 0:
        val_loss = 3.28 + 7.5 * 0.98 ** step - BETTER + random.gauss(0, 0.001)
        print0(f'step:{step}/{steps} val_loss:{val_loss:.4f} train_time:{50 * step:.0f}ms '
               f'step_avg:{50.0:.2f}ms', console=True)
    if step < steps:
        print0(f'step:{step + 1}/{steps} train_time:{50 * step + 50:.0f}ms step_avg:{50.0:.2f}ms', console=True)
print0(f'peak memory allocated: 30000 MiB reserved: 40000 MiB', console=True)
"""

IN_C = r"""
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
typedef struct { unsigned long long state; } mt19937_state;
static void manual_seed(mt19937_state *rng, unsigned int seed) { rng->state = seed * 2654435761ull + 1; }
static float uniform(mt19937_state *rng) {
    rng->state = rng->state * 6364136223846793005ull + 1442695040888963407ull;
    return (rng->state >> 40) / 16777216.0f;
}
int main(int argc, char **argv) {
    const char *out = NULL, *model = "gpt2_124M_bf16.bin";
    int steps = -1, every = 20;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (argv[i][1] == 'e') model = argv[i + 1];
        else if (argv[i][1] == 'x') steps = atoi(argv[i + 1]);
        else if (argv[i][1] == 'v') every = atoi(argv[i + 1]);
        else if (argv[i][1] == 'o') out = argv[i + 1];
        else { fprintf(stderr, "Usage: ./train_gpt2cu [options]\n"); exit(EXIT_FAILURE); }
    }
    FILE *data = fopen("dev/data/tinyshakespeare/tiny_shakespeare_train.bin", "rb");
    if (data == NULL) { fprintf(stderr, "Error: Failed to open file\n"); exit(EXIT_FAILURE); }
    mt19937_state init_rng;
    manual_seed(&init_rng, 42);
    char name[4096];
    mkdir(out, 0700);
    snprintf(name, sizeof(name), "%s/main.log", out);
    fclose(fopen(name, "w"));
    printf("| model | %s |\n", model);
    for (int step = 0; step <= steps; step++) {
        FILE *log = fopen(name, "a");
        float loss = 4.0f + 7.0f * powf(0.995f, step) - BETTER + 0.01f * uniform(&init_rng);
        if (step % every == 0 || step == steps) fprintf(log, "s:%d tel:%.4f\n", step, loss);
        if (step < steps) fprintf(log, "s:%d trl:%.4f lr:%.6f norm:%.2f\n", step, loss, 0.0003, 1.0);
        fclose(log);
    }
    return 0;
}
"""
MAKEFILE = "train_gpt2cu: train_gpt2.cu\n\tcc -x c train_gpt2.cu -o $@ -lm\n"
TORCHRUN = f"""#!/bin/sh
test "$1 $2" = "--standalone --nproc_per_node=8" || exit 2
shift 2
RANK=0 LOCAL_RANK=0 WORLD_SIZE=8 exec {sys.executable} "$@"
"""


def repository(repo: Path, script: str, text: str, better: str, **more: str) -> None:
    """With a script on `master`, and a branch `candidate` that ends lower."""
    repo.mkdir()
    git(repo, "init", "--quiet", "--initial-branch=master")
    (repo / ".gitignore").write_text("*.bin\n*.pkl\nlogs/\n")
    for name, branch in (("0", "master"), (better, "candidate")):
        if branch != "master":
            git(repo, "checkout", "--quiet", "-b", branch)
        (repo / script).write_text(text.replace("BETTER", name))
        commit(repo, f"On {branch}", **more)
    git(repo, "checkout", "--quiet", "master")


def data(repo: Path, name: str, content: bytes) -> None:
    """What a script prepares and git ignores."""
    (repo / name).parent.mkdir(parents=True, exist_ok=True)
    (repo / name).write_bytes(content)


def nanogpt(repo: Path) -> None:
    config = "dataset = 'shakespeare_char'\neval_interval = 250\nlog_interval = 10\n"
    more = {"torch_py": STUB, "config__train_shakespeare_char_py": config, "data__shakespeare_char__prepare_py": ""}
    repository(repo, "train.py", NANO, "0.05", **more)
    data(repo, "data/shakespeare_char/meta.pkl", b"\x80\x04}\x8c\nvocab_size\x94KAs.")


def modded_nanogpt(repo: Path) -> None:
    repository(repo, "train_gpt.py", SPEEDRUN, "0.01", torch_py=STUB)
    data(repo, "data/fineweb10B/fineweb_val_000000.bin", bytes(64))
    tools = repo.with_name("tools")
    tools.mkdir()
    (tools / "torchrun").write_text(TORCHRUN)
    (tools / "torchrun").chmod(0o755)


def llm_c(repo: Path) -> None:
    repository(repo, "train_gpt2.cu", IN_C, "0.05f", Makefile=MAKEFILE)
    data(repo, "dev/data/tinyshakespeare/tiny_shakespeare_train.bin", bytes(64))


def shipped(name: str, repo: Path) -> dict[str, Any]:
    """The file with another `repo`, and without GPUs."""
    said: dict[str, Any] = yaml.safe_load((SHIPPED / f"{name}.yaml").read_text())
    said["base"]["command"]["repo"] = str(repo)
    said["base"]["device"] = "cpu"
    said.pop("gpus_per_run", None)
    return said


@pytest.mark.parametrize(
    ("make", "steps", "gain", "evaluations"),
    [(nanogpt, 2000, 0.05, 9), (modded_nanogpt, 500, 0.01, 5), (llm_c, 2000, 0.05, 9)],
)
def test_a_shipped_study_runs_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any, steps: int, gain: float, evaluations: int
) -> None:
    if make is llm_c and not (shutil.which("make") and shutil.which("cc")):
        pytest.skip("there is no compiler")
    monkeypatch.setenv("PATH", f"{tmp_path / 'tools'}:{os.environ['PATH']}")
    make(tmp_path / "theirs")
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump(shipped(make.__name__, tmp_path / "theirs"), sort_keys=False))
    places = ["--runs", str(tmp_path / "runs"), "--reports", str(tmp_path / "reports")]
    assert main(["ablate", str(study), *places, "--no-mlflow"]) == 0
    found = json.loads((tmp_path / "reports/study/report.json").read_text())
    (comparison,) = found["comparisons"]
    assert comparison["verdict"] == "better"
    assert comparison["gain"] == pytest.approx(gain, abs=0.005)
    assert found["study"]["program"]["same"] is True
    assert {arm["steps"] for arm in found["study"]["arms"]} == {steps}
    assert {len([point for point in run["curve"] if point[0] <= steps]) for run in found["runs"]} == {evaluations}
    values = [run["value"] for run in found["runs"]]
    assert len(set(values)) == len(values) == 12


@pytest.mark.parametrize("name", ["nanogpt", "modded_nanogpt", "llm_c"])
def test_what_is_edited_is_a_seed(name: str) -> None:
    (edits,) = shipped(name, Path())["base"]["command"]["edit"].values()
    ((old, new),) = edits.items()
    assert re.search(r"seed\(.*\{seed\}", new)
    assert old != new
