"""`scores`: identities of the Meta-KG and of every spread, and what the command writes, prints and refuses."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cells import method_over
from torch import Tensor
from typer.testing import CliRunner

from raystudy import __main__ as commands
from raystudy import example_scores
from raystudy.commands.scores import meaning
from raystudy.data.plm import resolve
from raystudy.data.text import Encoded
from raystudy.errors import ConfigError, DataError, PreflightError, UserError
from raystudy.example_scores import ExampleScores, Spread, effective_share, knowledge_graph, measure, spread_of
from raystudy.task_distances import distances
from raystudy.tasks import Task, load

SIZES = {"n_train": 36, "n_dev": 6, "n_test": 6, "length": 8}


def planted(part: str, **options: Any) -> Task:
    return load(f"planted/{part}", options={**SIZES, **options})


def measured(tasks: Mapping[str, Task]) -> ExampleScores:
    return measure(tasks, resolve("tiny"))


def of(found: ExampleScores, task: str, score: str, space: str) -> Spread:
    (one,) = [s for s in found.spreads if (s.task, s.score, s.space) == (task, score, space)]
    return one


def vectors(monkeypatch: pytest.MonkeyPatch, shift: Tensor | None = None, factor: float = 1.0) -> None:
    """Embeddings by chance in place of the model's, the same for the same examples."""

    def embed(plm: object, part: Encoded, what: str, workers: object) -> Tensor:
        g = torch.Generator().manual_seed(int(part.digest[:8], 16))
        e = torch.randn(len(part), 6, generator=g, dtype=torch.float64) + torch.arange(6) / 4
        return factor * e + (0 if shift is None else shift)

    monkeypatch.setattr(example_scores, "embed", embed)


# ---------------------------------------------------------------------------------------------------------------------
# the graph


@pytest.mark.parametrize("seed", range(4))
def test_the_graph_is_symmetric_with_ones_on_the_diagonal(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    p = [torch.randn(n, 5, generator=g, dtype=torch.float64) for n in (3, 2, 4)]
    graph = knowledge_graph(p)
    assert graph.shape == (9, 9)
    torch.testing.assert_close(graph, graph.T, rtol=0, atol=1e-15)
    torch.testing.assert_close(graph.diagonal(), torch.ones(9, dtype=torch.float64))
    assert (graph.abs() <= 1 + 1e-12).all()
    # lengths do not count, directions do
    torch.testing.assert_close(knowledge_graph([3 * p[0], *p[1:]]), graph)
    torch.testing.assert_close(knowledge_graph([-p[0], *p[1:]])[:3, 3:], -graph[:3, 3:])


def test_a_class_without_examples_has_no_edges() -> None:
    hollow = torch.tensor([[1.0, 0.0], [math.nan, math.nan], [0.0, 2.0]], dtype=torch.float64)
    graph = knowledge_graph([hollow[:2], hollow[2:]])
    assert graph[1].isnan().all()
    assert graph[:, 1].isnan().all()
    assert graph[0, 2] == 0


def test_beta_is_the_greatest_cosine_to_a_class_of_another_task_in_the_graph() -> None:
    found = measured({"a": planted("target"), "b": planted("source")})
    for space in example_scores.SPACES:
        graph = found.cosines[space]
        assert of(found, "a", "beta", space).greatest == pytest.approx(graph[:3, 3:].max(1).max(), abs=1e-12)
        assert of(found, "b", "beta", space).least == pytest.approx(graph[3:, :3].max(1).min(), abs=1e-12)
    assert found.nodes == tuple(("a", c) for c in ("amber", "birch", "coral")) + tuple(
        ("b", c) for c in ("gold", "iron", "zinc")
    )


# ---------------------------------------------------------------------------------------------------------------------
# scores


def test_a_task_beside_its_own_copy_has_beta_one() -> None:
    task = planted("target")
    found = measured({"a": task, "b": replace(task, name="copy")})
    for space in example_scores.SPACES:
        graph = found.cosines[space]
        for rows in (graph[:3, 3:], graph[3:, :3], graph[3:, 3:]):
            assert rows == pytest.approx(graph[:3, :3], abs=1e-12)
        for name in ("alpha", "m", "t"):
            assert of(found, "a", name, space).mean == pytest.approx(of(found, "b", name, space).mean, abs=1e-12)
        beta, alpha, m = (of(found, "a", s, space) for s in ("beta", "alpha", "m"))
        assert (beta.least, beta.greatest, beta.effective) == (pytest.approx(1, abs=1e-12),) * 3
        assert m.mean == pytest.approx((1 + alpha.mean) / 2, abs=1e-12)
        assert m.sd == pytest.approx(alpha.sd / 2, abs=1e-12)


def test_beside_its_own_copy_alpha_is_the_nearest_class_mean_and_t_the_own_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors(monkeypatch)
    task = planted("target")
    found = measured({"a": task, "b": task})
    part = example_scores.encode(task, "train", resolve("tiny"))
    y = torch.from_numpy(part.labels)
    for name, read in (("alpha", part.with_label_text()), ("t", part)):  # MFT's E(x) has no label in it
        e = example_scores.embed(None, read, "mean", None)  # type: ignore[arg-type]
        p = torch.stack([e[y == c].mean(0) for c in range(3)])
        cosine = torch.nn.functional.cosine_similarity(e[:, None], p[None], dim=-1)
        x = cosine.max(1).values if name == "alpha" else cosine[torch.arange(len(y)), y]
        s = of(found, "a", name, "raw")
        ours, theirs = (s.mean, s.least, s.greatest), (x.mean(), x.min(), x.max())
        assert ours == pytest.approx(tuple(map(float, theirs)), abs=1e-12)


def test_centred_scores_do_not_know_where_the_origin_was(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = {"a": planted("domain_1"), "b": planted("domain_2"), "c": planted("domain_3")}
    vectors(monkeypatch)
    before = measured(tasks)
    vectors(monkeypatch, shift=torch.tensor([9.0, -3.0, 0.0, 1.0, 0.0, 5.0], dtype=torch.float64))
    after = measured(tasks)
    assert after.cosines["centred"] == pytest.approx(before.cosines["centred"], abs=1e-9)
    assert after.cosines["raw"] != pytest.approx(before.cosines["raw"], abs=1e-2)
    for s in before.spreads:
        other = of(after, s.task, s.score, s.space)
        assert (other.mean == pytest.approx(s.mean, abs=1e-9)) == (s.space == "centred"), s
    # and no score knows how long the vectors are
    vectors(monkeypatch, factor=7.0)
    for s, other in zip(before.spreads, measured(tasks).spreads, strict=True):
        assert other.mean == pytest.approx(s.mean, abs=1e-9)


def test_centred_embeddings_have_mean_zero_every_task_counting_alike() -> None:
    g = torch.Generator().manual_seed(0)
    e = [torch.randn(n, 4, generator=g, dtype=torch.float64) + n for n in (5, 40, 11)]
    c = example_scores.centre(e)
    torch.testing.assert_close(torch.stack([x.mean(0) for x in c]).mean(0), torch.zeros(4, dtype=torch.float64))
    # what lies between two examples of different tasks stays
    torch.testing.assert_close(c[0][2] - c[1][7], e[0][2] - e[1][7])


@pytest.mark.parametrize("parts", [("target", "source"), ("domain_1", "domain_2", "domain_3")])
def test_rescaled_weights_have_mean_one_over_all_tasks(parts: tuple[str, ...]) -> None:
    found = measured({p: planted(p, n_train=30 + 6 * i) for i, p in enumerate(parts)})
    rows = [of(found, p, "m mean1", "raw") for p in parts]
    assert sum(s.n * s.mean for s in rows) / sum(s.n for s in rows) == pytest.approx(1, abs=1e-9)
    # rescaling changes no effective sample size, and nothing but the scale where nothing was clipped
    for p, s in zip(parts, rows, strict=True):
        m = of(found, p, "m", "raw")
        assert s.effective == pytest.approx(m.effective)
        if not m.not_positive:
            assert s.sd / s.mean == pytest.approx(m.sd / m.mean)


def test_typicality_is_there_where_the_classes_are_the_same() -> None:
    assert "t" in {s.score for s in measured({"a": planted("domain_1"), "b": planted("domain_2")}).spreads}
    other = measured({"a": planted("target"), "b": planted("source")})
    assert not other.domains
    assert {s.score for s in other.spreads} == {"alpha", "beta", "m", "m mean1"}
    # by their words, in whatever order
    task = planted("domain_2")
    turned = replace(task, labels=task.labels[::-1])
    assert measured({"a": planted("domain_1"), "b": turned}).domains


def test_the_order_of_classes_changes_no_score() -> None:
    a, b = planted("domain_1"), planted("domain_2")
    one = measured({"a": a, "b": b})
    two = measured({"a": a, "b": replace(b, labels=b.labels[::-1])})
    for s in one.spreads:
        t = of(two, s.task, s.score, s.space)
        assert (t.mean, t.sd, t.effective) == pytest.approx((s.mean, s.sd, s.effective), abs=1e-9, nan_ok=True)


# ---------------------------------------------------------------------------------------------------------------------
# spreads


def test_effective_share() -> None:
    def share(*w: float) -> float:
        return effective_share(torch.tensor(w, dtype=torch.float64))

    assert share(0.3, 0.3, 0.3) == pytest.approx(1)
    assert share(2, 0, 2, 0, 0) == pytest.approx(2 / 5)
    assert share(2, -9, 2, -1, 0) == share(2, 0, 2, 0, 0)
    assert share(1, 2, 3) == pytest.approx(share(10, 20, 30)) == pytest.approx(36 / 14 / 3)
    assert math.isnan(share(-1, 0))
    x = torch.rand(500, dtype=torch.float64) + 0.1
    cv = float(x.std(correction=0) / x.mean())
    assert effective_share(x) == pytest.approx(1 / (1 + cv**2))


def spread(*x: float, labels: tuple[int, ...] = (0, 0, 1, 1)) -> Spread:
    values = torch.tensor(x, dtype=torch.float64)
    return spread_of(values, torch.tensor(labels), task="a", score="m", space="raw")


def test_spread_by_hand() -> None:
    s = spread(1, 3, 5, 7)
    assert (s.n, s.mean, s.least, s.median, s.greatest, s.not_positive) == (4, 4, 1, 4, 7, 0)
    assert s.sd == pytest.approx(5**0.5)
    assert (s.p5, s.p95) == pytest.approx((1.3, 6.7))
    # variance 5, of which 1 within the classes (2 and 6 their means)
    assert s.within == pytest.approx(1 / 5)
    assert s.effective == pytest.approx(256 / 84 / 4)
    assert spread(-1, 0, 1, 2).not_positive == 0.5


def test_variance_within_classes() -> None:
    assert spread(1, 1, 4, 4).within == 0
    assert spread(1, 4, 1, 4).within == pytest.approx(1)
    assert math.isnan(spread(2, 2, 2, 2).within)
    found = measured({"a": planted("target"), "b": planted("source")})
    for space in example_scores.SPACES:
        assert of(found, "a", "beta", space).within == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("parts", [("target",), ("target", "tag_source")])
def test_what_has_no_scores_is_refused(parts: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="two tasks" if len(parts) == 1 else "task tag_source: the scores are defined"):
        measured({p: planted(p) for p in parts})


# ---------------------------------------------------------------------------------------------------------------------
# words


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"effective": 0.995}, "changes the step size, hardly which examples count (effective sample size 0.995 n)"),
        ({"effective": 0.95}, "tells examples apart a little"),
        ({"effective": 0.6}, "some examples count clearly more than others"),
        ({"effective": 0.1}, "few examples carry the weight of all"),
        ({"effective": math.nan}, "no m is positive, so that no example has a weight"),
        ({"p5": 0.5, "p95": 0.71}, "m runs from 0.50 to 0.71 (5 % to 95 %)"),
        (
            {"not_positive": 0.25},
            "is not positive for 25 % of the examples, which `weights: raw` refuses; clipped at 0:",
        ),
        ({"not_positive": 0.001}, "is not positive for less than 1 %"),
        ({"not_positive": 0.999}, "is not positive for more than 99 %"),
        ({"p5": -0.004}, "m runs from 0.00 to 0.70"),
        ({"within": 0.2}, "80 % of the variance only tells classes apart"),
    ],
)
def test_a_sentence_says_what_a_weighting_does(changed: dict[str, float], says: str) -> None:
    plain = replace(spread(0.4, 0.5, 0.6, 0.7), p5=0.4, p95=0.7, within=0.9, effective=0.99)
    rows = tuple(
        replace(plain, score=score, space=space, **(changed if (score, space) == ("m", "raw") else {}))  # type: ignore[arg-type]
        for score in ("m", "m mean1", "t")
        for space in example_scores.SPACES
    )
    (said,) = meaning(ExampleScores((), {}, rows, domains=False))
    assert says in said
    assert "its examples weigh 0.55 of the mean over all tasks" in said
    assert says not in said.partition("Centred, ")[2]
    both = list(meaning(ExampleScores((), {}, rows, domains=True)))
    assert both[0] == said
    assert both[1].startswith("a: t runs from")
    assert len(both) == 2


# ---------------------------------------------------------------------------------------------------------------------
# the command


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(*args: str) -> Any:
    out = CliRunner().invoke(commands.app, ["scores", *args])
    assert out.exit_code == 0, out.output + repr(out.exception)
    return out.stdout


def test_what_it_prints_and_writes(tmp_path: Path) -> None:
    printed = call("planted_domains", "--plm", "tiny", "--limit", "30")
    folder = tmp_path / "results" / "scores-planted_domains"
    made = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    figures = [f"figures/kg_{space}.{form}" for space in ("centred", "raw") for form in ("pdf", "svg")]
    assert made == [*figures, "kg.csv", "report.md", "scores.csv"]
    with (folder / "scores.csv").open(encoding="utf-8") as f:
        rows = list(csv.DictReader(f))
    assert len(rows) == 3 * 5 * 2
    assert {r["n"] for r in rows} == {"30"}
    with (folder / "kg.csv").open(encoding="utf-8") as f:
        edges = {
            tuple(r[k] for k in ("task", "class", "other task", "other class")): float(r["raw"])
            for r in csv.DictReader(f)
        }
    assert len(edges) == 9 * 9
    for (a, b, c, d), cosine in edges.items():
        assert cosine == pytest.approx(edges[c, d, a, b], abs=1e-12)
        assert (a, b) != (c, d) or cosine == pytest.approx(1, abs=1e-12)
    report = (folder / "report.md").read_text(encoding="utf-8")
    for name in figures:
        assert (f"({name})" in report) == name.endswith(".svg")
    for row in rows[:3]:
        assert f"{float(row['mean']):.3f}" in printed
        assert f"{float(row['mean']):.3f}" in report
    assert printed.strip().endswith("report.md")
    # the same command, the same bytes
    before = {name: (folder / name).read_bytes() for name in made}
    call("planted_domains", "--plm", "tiny", "--limit", "30")
    assert {name: (folder / name).read_bytes() for name in made} == before


def test_json_holds_the_same_numbers(tmp_path: Path) -> None:
    told = json.loads(call("planted", "--plm", "tiny", "--limit", "30", "--out", "elsewhere", "--json"))
    assert told["report"] == "elsewhere/report.md"
    assert len(told["classes"]) == len(told["cosines"]["raw"]) == 6
    assert {s["score"] for s in told["scores"]} == {"alpha", "beta", "m", "m mean1"}
    with (tmp_path / "elsewhere" / "scores.csv").open(encoding="utf-8") as f:
        for row, s in zip(csv.DictReader(f), told["scores"], strict=True):
            assert (row["task"], row["score"], row["space"]) == (s["task"], s["score"], s["space"])
            assert float(row["mean"]) == s["mean"]
    assert len(told["meaning"]) == 2


@pytest.mark.parametrize(
    ("args", "kind", "says"),
    [
        (["reviw"], ConfigError, ["did you mean 'review'?"]),
        (["review", "--data-root", "nowhere"], ConfigError, ["--data-root: is not a folder: /"]),
        (["review"], PreflightError, ["task sst5", "task amazon_mds", "task imdb", "--data-root"]),
        (["fdu", "--data-root", "."], PreflightError, ["fdu_mtl"]),
        (["planted", "--plm", "no/such-model"], PreflightError, ["hf download no/such-model"]),
        (
            ["planted", "--plm", "tiny", "--limit", "2"],
            DataError,
            ["--limit: must be at least the number of classes, 3 in planted/source, but is 2"],
        ),
    ],
)
def test_mistakes_are_answered_at_once_and_nothing_is_written(
    tmp_path: Path, args: list[str], kind: type[UserError], says: list[str]
) -> None:
    out = CliRunner().invoke(commands.app, ["scores", *args])
    assert isinstance(out.exception, kind)
    assert out.exception.exit_code == (3 if kind is PreflightError else 2)
    for text in says:
        assert text in str(out.exception)
    assert not (tmp_path / "results").exists()


# ---------------------------------------------------------------------------------------------------------------------
# task distances

QUICK = {"max_updates": 4, "batch_size": 12, "feature": "mean", "dropout": 0.0, "lr": 1e-3}


def test_the_distance_of_identical_tasks_is_0_and_that_of_a_task_from_itself_too() -> None:
    target = planted("target", n_train=12)
    tasks = {"a": target, "b": planted("source", n_train=12), "same": replace(target, name="planted/other")}
    found = distances(tasks, resolve("tiny"), settings=QUICK)
    assert found.tasks == tuple(tasks) and found.updates == (4, 4, 4)
    d = found.distance
    assert d.shape == (1, 3, 3)
    assert (d[:, range(3), range(3)] == 0).all()
    # what is learned from a task is worth as much for one that is the same, and from another task both learn alike
    assert (d[:, 0, 2] == 0).all() and (d[:, 2, 0] == 0).all()
    assert (d[:, 0, 1] == d[:, 2, 1]).all() and (d[:, 1, 0] == d[:, 1, 2]).all()
    assert (d[:, 1, 0] != 0).all()
    np.testing.assert_allclose(found.least - d, np.broadcast_to(found.own[:, None, :], d.shape), atol=1e-15)


def test_the_distance_of_a_pair_is_that_of_the_method() -> None:
    tasks = {"a": planted("target"), "b": planted("source")}
    found = distances(tasks, resolve("tiny"), settings=QUICK, seeds=(1,))
    method = method_over(tasks, "task_distance", measure=True, precision="fp32", **QUICK)
    for stage in method.transfer():
        stage.start()
        for step in range(stage.length.updates):
            stage.update(step, stage.draw(step))
        assert stage.after is not None
        stage.after(stage.length.updates - 1)
    said = method.facts()["task_distance"]
    assert said["distance"] == pytest.approx(found.distance[0, 1, 0], abs=1e-6)
    assert said["own"] == pytest.approx(found.own[0, 0], abs=1e-6)


def test_one_task_has_no_distance() -> None:
    with pytest.raises(DataError, match="a distance is that of two tasks"):
        distances({"a": planted("target")}, resolve("tiny"), settings=QUICK)


def test_the_matrix_stands_beside_the_meta_kg(tmp_path: Path) -> None:
    made = CliRunner().invoke(
        commands.app,
        [
            *("scores", "planted", "--plm", "tiny", "--limit", "12", "--out", str(tmp_path / "x"), "--json"),
            *("--distances", "--epochs", "1", "--seeds", "2"),
        ],
    )
    assert made.exit_code == 0, made.output
    told = json.loads(made.stdout)
    matrix = told["distances"]["from_to"]
    assert len(matrix) == len(told["distances"]["tasks"]) == 2 and matrix[0][0] == matrix[1][1] == 0
    assert told["cosines"]
    report = (tmp_path / "x" / "report.md").read_text()
    assert report.index("## Meta-KG") < report.index("## Task distances") < report.index("## Scores")
    assert "2 of each" in report and any("the nearest source is" in s for s in told["meaning"])
    with (tmp_path / "x" / "distances.csv").open() as f:
        rows = [*csv.DictReader(f)]
    assert len(rows) == 2 * 2 * 2
    mean = sum(
        float(r["distance"]) for r in rows if r["source"] == "planted/source" and r["target"] == "planted/target"
    )
    names = told["distances"]["tasks"]
    assert mean / 2 == pytest.approx(matrix[names.index("planted/source")][names.index("planted/target")])
    assert (tmp_path / "x" / "figures" / "distances.svg").stat().st_size


def test_tagged_tasks_have_distances_alone_and_missing_ones_are_left_out_where_asked(tmp_path: Path) -> None:
    for name, tags in (("wnut17", ("B-person", "O")), ("conll2000_chunk", ("B-NP", "O"))):
        (tmp_path / name).mkdir()
        for split in ("train", "dev", "test"):
            lines = [f"{name}{split}{i} {tags[0]}\nruns {tags[1]}\n\n" for i in range(8)]
            (tmp_path / name / f"{split}.conll").write_text("".join(lines))
    options = ["scores", "tagging", "--data-root", str(tmp_path), "--plm", "tiny", "--out", str(tmp_path / "x")]
    options += ["--distances", "--epochs", "1"]
    refused = CliRunner().invoke(commands.app, options)
    assert isinstance(refused.exception, PreflightError) and "ud_ewt_upos" in str(refused.exception)
    made = CliRunner().invoke(commands.app, [*options, "--leave-out", "--json"])
    assert made.exit_code == 0, made.output
    told = json.loads(made.stdout)
    assert told["distances"]["tasks"] == ["conll2000_chunk", "wnut17"] and "cosines" not in told
    assert any(s.startswith("predicates is left out") for s in told["meaning"])
