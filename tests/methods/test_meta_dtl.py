"""Meta-DTL against its equations: scores and weights by hand, the loss as label smoothing, the sampler, its limits."""

from __future__ import annotations

import math
from collections import Counter
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from cells import SUITE, Ran, assert_same_state, method_over, planted, ran, ran_by, spec_of, undisturbed
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from raystudy.catalogue import catalogue
from raystudy.data.draws import epoch_updates, proportional, task_mixture, uniform
from raystudy.data.plm import resolve
from raystudy.data.text import encode
from raystudy.errors import DataError
from raystudy.methods import Sizes, meta_dtl
from raystudy.methods.meta_dtl import centre, meta_knowledge, weights
from raystudy.nn.embed import embed
from raystudy.nn.losses import cross_entropy, smoothed_cross_entropy, soft_cross_entropy
from raystudy.nn.prototypes import class_means, sub_prototypes
from raystudy.workers import Alone, share, simulate

NAN = float("nan")


def vectors(*rows: tuple[float, float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


# ---------------------------------------------------------------------------------------------------------------------
# prototypes and scores


@given(st.integers(1, 5), st.integers(5, 40), st.integers(1, 4), st.integers(0, 99))
def test_prototypes_are_class_means(classes: int, n: int, size: int, seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    # small whole numbers, so that sums in any order are the same to the last bit
    e = torch.randint(-50, 50, (n, 3), generator=g).double()
    y = torch.randint(classes, (n,), generator=g)
    ours = class_means(e, y, classes)
    for c in range(classes):
        mine = e[y == c]
        assert torch.equal(ours[c], mine.mean(0)) if len(mine) else ours[c].isnan().all()

    def reduced(workers: object) -> Tensor:
        rows = share(n, workers)  # type: ignore[arg-type]
        total = torch.zeros(classes, 3, dtype=torch.float64).index_add(0, y[rows], e[rows])
        count = torch.bincount(y[rows], minlength=classes).double()
        both = workers.sum(torch.cat([total.reshape(-1), count]))  # type: ignore[attr-defined]
        return both[: 3 * classes].view(classes, 3) / both[3 * classes :, None]

    # (sum, count) over any number of workers gives the same; a mean of the workers' means would not
    for other in simulate(size, reduced):
        torch.testing.assert_close(other, ours, rtol=0, atol=0, equal_nan=True)


def test_scores_by_hand() -> None:
    # task 0 has prototypes along x and along y; task 1 along the diagonal and against x
    own = vectors((2, 0), (0, 3))
    others = vectors((1, 1), (-1, 0))
    e0, y0 = vectors((1, 0), (3, 4), (0, 1)), torch.tensor([0, 0, 1])
    e1, y1 = vectors((1, 1), (-2, 0)), torch.tensor([0, 1])
    first, second = meta_knowledge([e0, e1], [y0, y1], [own[:, None], others[:, None]])
    r = math.sqrt(0.5)
    # alpha: the best cosine to a prototype of the OTHER task; beta: the same from the prototype of x's class
    torch.testing.assert_close(first, torch.tensor([[r, 7 / 5 * r, r], [r, r, r]], dtype=torch.float64))
    torch.testing.assert_close(second, torch.tensor([[r, 0.0], [r, 0.0]], dtype=torch.float64))
    # m: their mean, or one of them, or nothing
    m = weights([first, second], "both", "clip0", ["a", "b"])
    torch.testing.assert_close(m[0], torch.tensor([r, 1.2 * r, r], dtype=torch.float64))
    assert torch.equal(weights([first], "alpha", "raw", ["a"])[0], first[0])
    assert torch.equal(weights([first], "beta", "raw", ["a"])[0], first[1])
    assert torch.equal(weights([first], "none", "raw", ["a"])[0], torch.ones(3, dtype=torch.float64))


def random_tasks(
    seed: int, sizes: tuple[int, ...] = (12, 9, 15), classes: int = 3
) -> tuple[list[Tensor], list[Tensor]]:
    g = torch.Generator().manual_seed(seed)
    e = [torch.randn(n, 4, generator=g, dtype=torch.float64) for n in sizes]
    return e, [torch.arange(n) % classes for n in sizes]


def prototypes_of(e: list[Tensor], y: list[Tensor], classes: int = 3) -> list[Tensor]:
    """(classes, 1, H) per task."""
    return [class_means(a, b, classes)[:, None] for a, b in zip(e, y, strict=True)]


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_cosines_to_other_tasks(seed: int) -> None:
    e, y = random_tasks(seed)
    p = prototypes_of(e, y)
    scores = meta_knowledge(e, y, p)
    for i, (s, labels) in enumerate(zip(scores, y, strict=True)):
        assert (s.abs() <= 1 + 1e-12).all()
        # beta is constant within a class
        assert all(len(set(s[1][labels == c].tolist())) == 1 for c in range(3))
        other = torch.cat([p[j][:, 0] for j in range(3) if j != i])
        cosine = torch.nn.functional.cosine_similarity(e[i][:, None], other[None], dim=-1)
        torch.testing.assert_close(s[0], cosine.max(1).values)
    # the order of the other tasks, and of their classes, changes nothing
    shuffled = meta_knowledge([e[0], e[2], e[1]], [y[0], y[2], y[1]], [p[0], p[2].flip(0), p[1][[1, 2, 0]]])[0]
    torch.testing.assert_close(shuffled, scores[0], rtol=0, atol=1e-15)
    # the length of an embedding changes nothing
    torch.testing.assert_close(meta_knowledge([7 * e[0], *e[1:]], y, p)[0], scores[0])


def test_own_prototypes_are_not_used() -> None:
    e, y = random_tasks(0)
    p = prototypes_of(e, y)
    before = meta_knowledge(e, y, p)[0]
    # a copy of an example as a prototype of its own task would have cosine 1
    after = meta_knowledge(e, y, [torch.cat([p[0], e[0][:1, None]]), *p[1:]])[0]
    assert torch.equal(after, before)
    assert before[0, 0] < 0.999
    # and as one of another task it has
    assert meta_knowledge(e, y, [p[0], torch.cat([p[1], e[0][:1, None]]), p[2]])[0][0, 0] == pytest.approx(1)


def test_empty_classes_take_no_part() -> None:
    e, y = random_tasks(1)
    p = prototypes_of(e, y)
    hollow = [torch.cat([q, torch.full((1, 1, 4), NAN, dtype=torch.float64)]) for q in p]
    for a, b in zip(meta_knowledge(e, y, hollow), meta_knowledge(e, y, p), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("seed", range(3))
def test_one_prototype_per_class_is_the_mean(seed: int) -> None:
    e, y = random_tasks(seed)
    p = [sub_prototypes(a, b, 3, 1) for a, b in zip(e, y, strict=True)]
    for ours, plain in zip(meta_knowledge(e, y, p), meta_knowledge(e, y, prototypes_of(e, y)), strict=True):
        assert torch.equal(ours, plain)
    # a prototype twice is one
    twice = [torch.cat([q, q], 1) for q in p]
    for ours, plain in zip(meta_knowledge(e, y, twice), meta_knowledge(e, y, p), strict=True):
        torch.testing.assert_close(ours, plain, rtol=0, atol=1e-15)


def test_several_prototypes_by_hand() -> None:
    """The best over all prototypes of the others; beta from the best of x's own class."""
    # task 0: class 0 lies around x and around y, class 1 against x; task 1: along the diagonal, and against y
    e0 = vectors((2, 0), (4, 0), (0, 1), (0, 3), (-1, 0))
    y0 = torch.tensor([0, 0, 0, 0, 1])
    e1, y1 = vectors((1, 1), (0, -1)), torch.tensor([0, 1])
    p = [sub_prototypes(e0, y0, 2, 2), sub_prototypes(e1, y1, 2, 2)]
    # two clusters where there are two, one where a class has but one example
    assert sorted(p[0][0].tolist()) == [[0.0, 2.0], [3.0, 0.0]]
    assert p[0][1].tolist()[0] == [-1.0, 0.0]
    assert p[0][1][1].isnan().all()
    first, second = meta_knowledge([e0, e1], [y0, y1], p)
    r = math.sqrt(0.5)
    wanted = [[r, r, r, r, 0.0], [r, r, r, r, 0.0]]
    torch.testing.assert_close(first, torch.tensor(wanted, dtype=torch.float64))
    torch.testing.assert_close(second, torch.tensor([[r, 0.0], [r, 0.0]], dtype=torch.float64))
    # with one prototype, the mean (1.5, 1) stands for class 0, which no example of it is like
    plain = meta_knowledge([e0, e1], [y0, y1], [sub_prototypes(e0, y0, 2, 1), sub_prototypes(e1, y1, 2, 1)])
    assert plain[0][1, 0] == pytest.approx(2.5 / math.sqrt(2 * 3.25))


@pytest.mark.parametrize("seed", range(3))
def test_as_many_prototypes_as_examples_are_the_examples(seed: int) -> None:
    e, y = random_tasks(seed)
    scores = meta_knowledge(e, y, [sub_prototypes(a, b, 3, 9) for a, b in zip(e, y, strict=True)])
    for i, s in enumerate(scores):
        unit = [torch.nn.functional.normalize(x, dim=1) for x in e]
        cosine = (unit[i] @ torch.cat([u for j, u in enumerate(unit) if j != i]).T).max(1).values
        torch.testing.assert_close(s[0], cosine)
        best = torch.stack([cosine[y[i] == c].max() for c in range(3)])
        torch.testing.assert_close(s[1], best[y[i]])


def test_a_variant_with_prototypes_in_its_name_is_the_one_of_three() -> None:
    named = ran(spec_of("meta_dtl[prototypes=3]"))
    whole = undisturbed("meta_dtl_multi_prototype")
    assert_same_state(named.state, whole.state)
    facts = whole.outcome.record.facts["meta_knowledge"]
    assert named.outcome.record.facts["meta_knowledge"] == facts
    assert facts != undisturbed("meta_dtl").outcome.record.facts["meta_knowledge"]
    assert ran(spec_of("meta_dtl[prototypes=1]")).record["facts"] == undisturbed("meta_dtl").record["facts"]


@pytest.mark.parametrize("seed", range(3))
def test_centred_scores_do_not_see_a_common_direction(seed: int) -> None:
    e, y = random_tasks(seed)
    shift = torch.tensor([3.0, -1.0, 0.5, 8.0], dtype=torch.float64)

    def scores(embeddings: list[Tensor]) -> list[Tensor]:
        return meta_knowledge(embeddings, y, prototypes_of(embeddings, y))

    plain, moved = scores(centre(e)), scores(centre([x + shift for x in e]))
    for a, b in zip(plain, moved, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    # uncentred, a common direction makes everything alike
    for a, b in zip(scores(e), scores([x + 100 * shift for x in e]), strict=True):
        assert (b > 0.99).all()
        assert (a < 0.99).any()
    # every task counts alike, however large: what is left sums to zero over the tasks' means
    torch.testing.assert_close(
        torch.stack([x.mean(0) for x in centre(e)]).sum(0), torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-14
    )
    torch.testing.assert_close(centre([*e[:2], torch.cat([e[2]] * 5)])[0], centre(e)[0], rtol=0, atol=1e-14)


def test_one_task_is_refused() -> None:
    e, y = random_tasks(0)
    with pytest.raises(DataError, match="two tasks"):
        meta_knowledge(e[:1], y[:1], prototypes_of(e, y)[:1])
    with pytest.raises(DataError, match="two tasks"):
        ran(spec_of("meta_dtl", suite=SUITE[:1]))


def test_constants_are_the_scores_of_the_untouched_model() -> None:
    tasks = {"a": planted("target"), "b": planted("source")}
    method = method_over(tasks, "meta_dtl")
    given_ = method.compute_constants()
    plm = resolve("tiny")
    parts = [encode(t, "train", plm).with_label_text() for t in tasks.values()]
    e = [embed(plm, p, "mean", Alone(), precision="fp64") for p in parts]
    y = [torch.from_numpy(p.labels) for p in parts]
    for i, s in enumerate(meta_knowledge(e, y, prototypes_of(e, y))):
        assert torch.equal(given_[f"scores.{i}"], s)
    # without the class label, with another pooling, segment or number of prototypes, and centred, the scores are others
    others: list[tuple[str, dict[str, Any]]] = [
        ("meta_dtl_wo_label", {}),
        ("meta_dtl", {"pool": "cls"}),
        ("meta_dtl", {"pool": "mean_no_special"}),
        ("meta_dtl", {"label_segment": "same"}),
        ("meta_dtl", {"centred": True}),
        ("meta_dtl_multi_prototype", {}),
    ]
    seen = [given_["scores.0"]]
    for variant, settings in others:
        seen.append(method_over(tasks, variant, **settings).compute_constants()["scores.0"])
        assert not any(torch.allclose(seen[-1], s) for s in seen[:-1]), settings


# ---------------------------------------------------------------------------------------------------------------------
# policies for weights that are not positive


SCORES = [torch.tensor([[0.5, -0.25, 0.0], [0.5, -0.25, 0.0]]), torch.tensor([[1.0, 0.25], [1.0, 0.25]])]


def test_weights_that_are_not_positive() -> None:
    # raw: refused, with how many of how many in which task, and what to do
    with pytest.raises(DataError, match=r"2 of 3 in first.*clip0.*mean1") as e:
        weights(SCORES, "both", "raw", ["first", "second"])
    assert "second" not in str(e.value)
    # clip0: negative weights become zero, the others stay
    assert [m.tolist() for m in weights(SCORES, "both", "clip0", ["first", "second"])] == [[0.5, 0, 0], [1.0, 0.25]]
    # positive weights pass raw untouched
    assert [m.tolist() for m in weights(SCORES[1:], "both", "raw", ["second"])] == [[1.0, 0.25]]


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=30), st.integers(1, 4))
def test_mean1_has_mean_one_over_all_tasks(values: list[float], cuts: int) -> None:
    flat = torch.tensor([0.5, *values], dtype=torch.float64)
    scores = [torch.stack([x, x]) for x in flat.tensor_split(cuts)]
    m = torch.cat(weights(scores, "both", "mean1", [""] * len(scores)))
    assert m.mean().item() == pytest.approx(1, abs=1e-12)
    # proportions stay
    torch.testing.assert_close(m * flat.clamp_min(0).mean(), flat.clamp_min(0))


def test_raw_stops_a_cell_before_training() -> None:
    tasks = {"a": planted("target"), "b": planted("source")}
    method = method_over(tasks, "meta_dtl", weights="raw")
    method.constants = {"scores.0": -torch.ones(2, 36), "scores.1": torch.ones(2, 36)}
    with pytest.raises(DataError, match="36 of 36 in a"):
        method.transfer()


# ---------------------------------------------------------------------------------------------------------------------
# the loss


def loss_of(logits: Tensor, labels: Tensor, m: Tensor, lambda_: float) -> Tensor:
    return m * smoothed_cross_entropy(logits, labels, lambda_)


def problem(seed: int, n: int = 8, classes: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, classes, generator=g, dtype=torch.float64)
    return logits, torch.randint(classes, (n,), generator=g), torch.rand(n, generator=g, dtype=torch.float64)


@pytest.mark.parametrize("lambda_", [0.0, 0.1, 0.5, 1.0])
def test_loss_is_label_smoothing(lambda_: float) -> None:
    logits, y, m = problem(0)
    onehot, classes = torch.nn.functional.one_hot(y, 5).double(), 5
    # as printed: -sum_c m (1(c = y) + lambda / |C|) log tau_c
    printed = -(m[:, None] * (onehot + lambda_ / classes) * logits.log_softmax(1)).sum(1)
    torch.testing.assert_close(loss_of(logits, y, m, lambda_), printed, rtol=1e-14, atol=1e-14)
    # L = m (1 + lambda) CE(q, tau), q = (1 - e) onehot + e / |C|, e = lambda / (1 + lambda)
    e = lambda_ / (1 + lambda_)
    smoothed = m * (1 + lambda_) * soft_cross_entropy(logits, (1 - e) * onehot + e / classes)
    torch.testing.assert_close(loss_of(logits, y, m, lambda_), smoothed, rtol=1e-14, atol=1e-14)
    # dL / d logits = m [(1 + lambda) tau - (onehot + lambda / |C|)]
    x = logits.clone().requires_grad_()
    (g,) = torch.autograd.grad(loss_of(x, y, m, lambda_).sum(), x)
    by_hand = m[:, None] * ((1 + lambda_) * logits.softmax(1) - (onehot + lambda_ / classes))
    torch.testing.assert_close(g, by_hand, rtol=1e-13, atol=1e-14)
    # where tau is uniform, the label does not matter: L = m (1 + lambda) log |C|
    flat = torch.zeros_like(logits)
    torch.testing.assert_close(loss_of(flat, y, m, lambda_), m * (1 + lambda_) * math.log(classes))


def test_loss_without_lambda_is_cross_entropy() -> None:
    logits, y, m = problem(1)
    torch.testing.assert_close(loss_of(logits, y, m, 0.0), m * cross_entropy(logits, y), rtol=1e-14, atol=0)
    torch.testing.assert_close(smoothed_cross_entropy(logits, y, 0.0), cross_entropy(logits, y), rtol=1e-14, atol=0)
    torch.testing.assert_close(
        cross_entropy(logits, y), torch.nn.functional.cross_entropy(logits, y, reduction="none"), rtol=0, atol=0
    )


def test_batch_loss_is_the_weighted_mean_under_own_heads() -> None:
    """R1: the sum over the mixed batch, each example through its own task's head, divided by |B| and not by sum m."""
    tasks = {"a": planted("target"), "b": planted("source")}
    method = method_over(tasks, "meta_dtl")
    method.constants = method.compute_constants()
    batch = method.transfer()[0].draw(0)
    assert set(batch.task.tolist()) == {0, 1}
    loss = method.mean_loss(batch, partial(smoothed_cross_entropy, lambda_=0.3))
    feature = method.encoder.feature(method.encoder(batch)[0], batch.offsets)
    losses = []
    for i in range(len(batch)):
        t, y = int(batch.task[i]), batch.labels[i : i + 1]
        m = method.constants[f"scores.{t}"].mean(0)[batch.row[i]]
        losses.append(m * smoothed_cross_entropy(method.encoder.heads[t](feature[i : i + 1]), y, 0.3))
    torch.testing.assert_close(loss, torch.cat(losses).sum() / len(batch), rtol=1e-12, atol=0)


def test_algorithm_1_sums_over_the_batch() -> None:
    """|B| times the mean: what is left of it behind Adam is the clipping of the gradient's norm."""
    tasks = {"a": planted("target"), "b": planted("source")}
    mean, total = (method_over(tasks, "meta_dtl_wo_imk", reduction=how) for how in ("mean", "sum"))
    batch = mean.transfer()[0].draw(0)
    assert isinstance(mean, meta_dtl.Method)
    assert isinstance(total, meta_dtl.Method)
    torch.testing.assert_close(total.loss(batch), 7 * mean.loss(batch), rtol=1e-14, atol=0)
    # two ranks' shares of the sum are the sum
    shares = simulate(2, lambda w: method_over(tasks, "meta_dtl_wo_imk", reduction="sum", workers=w).loss(batch))  # type: ignore[operator]
    torch.testing.assert_close(shares[0] + shares[1], total.loss(batch), rtol=1e-14, atol=0)


# ---------------------------------------------------------------------------------------------------------------------
# the sampler


def test_sampler_is_uniform_over_tasks_and_instances() -> None:
    sizes = [30, 6, 12]
    draw = task_mixture(sizes, 50, uniform(sizes), 0, "test")
    rows = np.concatenate([draw(step) for step in range(240)])
    assert chisquare(np.bincount(rows[:, 0], minlength=3)).pvalue > 1e-3  # p(T_i) = 1 / K
    seen = Counter(map(tuple, rows.tolist()))
    observed = [seen[t, i] for t, n in enumerate(sizes) for i in range(n)]
    expected = [len(rows) / (3 * n) for n in sizes for _ in range(n)]
    assert chisquare(observed, expected).pvalue > 1e-3  # p(x) = 1 / (K |D_i|)
    # which the draw in proportion to size is not
    assert chisquare(np.bincount(task_mixture(sizes, 9000, proportional(sizes), 0)(0)[:, 0])).pvalue < 1e-6


@pytest.mark.parametrize("sampler", ["uniform", "epochs"])
def test_one_task_batches_are_weighted_as_mixed_ones_are(sampler: str) -> None:
    tasks = {"a": planted("target"), "b": planted("source", n_train=17)}
    method = method_over(tasks, "meta_dtl", task_batches=True, sampler=sampler, max_updates=0, mmt_epochs=1)
    method.constants = method.compute_constants()
    (mmt,) = method.transfer()
    assert mmt.length.updates == (6 + 3 if sampler == "epochs" else -(-53 // 7))
    for step in range(mmt.length.updates):
        batch = mmt.draw(step)
        (task,) = set(batch.task.tolist())
        torch.testing.assert_close(batch.weight, method.constants[f"scores.{task}"].mean(0)[batch.row].clamp_min(0))


@given(st.lists(st.integers(1, 500), min_size=1, max_size=5), st.integers(1, 64), st.integers(1, 3))
def test_updates_per_epoch(sizes: list[int], batch_size: int, epochs: int) -> None:
    assert epoch_updates(sizes, batch_size) == -(-sum(sizes) // batch_size)
    hp = meta_dtl.HParams(mmt_epochs=epochs, batch_size=batch_size)
    named = {f"t{i}": n for i, n in enumerate(sizes)}
    assert meta_dtl.Method.schedule(hp, Sizes(named, "t0")).transfer["mmt"].updates == epochs * epoch_updates(
        sizes, batch_size
    )


# ---------------------------------------------------------------------------------------------------------------------
# variants and stages


def test_without_imk_is_full_with_m_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        meta_dtl.Method, "instance_weights", lambda self: [torch.ones(n) for n in self.setup.corpus.sizes]
    )
    stubbed = ran(spec_of("meta_dtl"))
    assert_same_state(stubbed.state, undisturbed("meta_dtl_wo_imk").state)


def test_without_wmer_is_lambda_zero() -> None:
    assert_same_state(ran(spec_of("meta_dtl", **{"lambda": 0.0})).state, undisturbed("meta_dtl_wo_wmer").state)


@pytest.mark.parametrize("which", ["alpha", "beta"])
def test_ablations_use_one_score(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meta_dtl, "weights", lambda scores, _, policy, tasks: weights(scores, which, policy, tasks))
    assert_same_state(ran(spec_of("meta_dtl")).state, undisturbed(f"meta_dtl_{which}").state)


def test_without_imk_and_wmer_is_multi_task_then_fine_tuning() -> None:
    """m = 1 and lambda = 0 leave plain multi-task training; only the names in the seeds differ."""
    tasks = {"a": planted("target"), "b": planted("source")}
    ours, plain = method_over(tasks, "meta_dtl_wo_imk", **{"lambda": 0.0}), method_over(tasks, "multi_task")
    batch = ours.transfer()[0].draw(0)
    loss = partial(smoothed_cross_entropy, lambda_=0.0)
    torch.testing.assert_close(ours.mean_loss(batch, loss), plain.mean_loss(batch), rtol=1e-14, atol=0)


def test_fine_tuning_starts_from_the_learnt_encoder_and_a_new_head() -> None:
    """Algorithm 1 returns the PLM alone: TMF has a new head for its task, and the optimizer is new too."""
    tasks = {"a": planted("target"), "b": planted("source")}
    method = method_over(tasks, "meta_dtl", max_updates=3)
    method.constants = method.compute_constants()
    (mmt,) = method.transfer()
    mmt.start()
    for step in range(mmt.length.updates):
        mmt.update(step, mmt.draw(step))
    learnt = {k: v.clone() for k, v in method.state_dict().items()}
    used = method.optimizer
    (tmf,) = method.adapt()
    tmf.start()
    now = method.state_dict()
    for k in learnt:
        changed = not torch.equal(now[k], learnt[k])
        assert changed == k.startswith("encoder.heads.0."), k
    # as new as one that never saw MMT
    fresh = method_over(tasks, "single_task")
    fresh.adapt()[0].start()
    assert torch.equal(now["encoder.heads.0.weight"], fresh.state_dict()["encoder.heads.0.weight"])
    assert method.optimizer is not used
    assert not method.optimizer.state  # type: ignore[union-attr]


def test_scores_are_the_same_on_any_number_of_workers() -> None:
    whole = undisturbed("meta_dtl").outcome.record.facts["meta_knowledge"]
    for rank in ran_by(spec_of("meta_dtl", max_updates=1), 3):
        for task, spread in rank.outcome.record.facts["meta_knowledge"].items():
            for score, values in spread.items():
                assert values == pytest.approx(whole[task][score], abs=1e-13)


@pytest.mark.parametrize("part", ["tag_source"])
def test_other_kinds_of_tasks_are_refused(part: str) -> None:
    with pytest.raises(DataError, match="classification"):
        ran(spec_of("meta_dtl", suite=("planted/target", f"planted/{part}")))


def test_what_it_is_not_defined_for_is_refused_before_anything_is_loaded() -> None:
    hp = method_over({"a": planted("target"), "b": planted("source")}, "meta_dtl").hp
    with pytest.raises(DataError) as e:
        meta_dtl.Method.admit(hp, 2, {"tags": planted("tag_target")})
    assert len(e.value.problems) == 2  # no classification, and one task alone
    assert meta_dtl.Method.admit(hp, 2, {"a": planted("target"), "b": planted("source")}) == []


@pytest.mark.parametrize("reading", catalogue().readings["meta_dtl"], ids=lambda r: f"{r.id} {r.settings}")
def test_readings_are_other_than_the_default(reading: Any) -> None:
    assert catalogue().resolve("meta_dtl", reading.settings) != catalogue().defaults("meta_dtl")
    run = ran(spec_of("meta_dtl", **{"max_updates": 2, "weights": "clip0", **reading.settings}))
    if dict(reading.settings) != {"weights": "clip0"}:  # that is how the quick cells read it anyway
        assert any(not torch.equal(t, quick().state[k]) for k, t in run.state.items())


@lru_cache
def quick() -> Ran:
    return ran(spec_of("meta_dtl", max_updates=2))
