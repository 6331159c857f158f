"""What PromQL expressions ask for, and what a service that is scraped offers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import promql_parser as promql
from prometheus_client.parser import text_string_to_metric_families as parse_text

from stellarstream_core.api.metrics import Metrics

OF_PROMETHEUS = frozenset({"job", "instance"})
"""Labels that Prometheus adds to everything it scrapes."""
_VARIABLES = {"$__rate_interval": "5m", "$job": ".*", "$instance": ".*"}
_USED = re.compile(r"\$\w+")


@dataclass
class Offered:
    """Every sample name that exists, with its labels and the values seen of each."""

    labels: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> Offered:
        """Return what a scrape offers, and what the service would count but has not yet (plugins that fail, say)."""
        found = cls()
        for metric in Metrics.open(None)._made:
            (family,) = metric.describe()
            if family.type == "counter":
                found.labels[f"{family.name}_total"] = {name: set() for name in metric._labelnames}
        for family in parse_text(text):
            for sample in family.samples:
                known = found.labels.setdefault(sample.name, {})
                for name, value in sample.labels.items():
                    known.setdefault(name, set()).add(value)
        return found


def plain(expression: str) -> str:
    """Return an expression with Grafana's variables replaced."""
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    assert not _USED.search(expression), expression
    return expression


def parsed(expression: str) -> promql.Expr:
    """Return an expression's tree; raises ``ValueError`` where it is none."""
    return promql.parse(plain(expression))


def nodes(tree: promql.Expr) -> list[object]:
    """Return an expression and all that it is made of."""
    found: list[object] = []
    promql.walk(tree, found.append)
    return [*found, *(node.vector_selector for node in found if isinstance(node, promql.MatrixSelector))]


def selectors(tree: promql.Expr) -> list[promql.VectorSelector]:
    """Return everything that an expression reads."""
    return [node for node in nodes(tree) if isinstance(node, promql.VectorSelector)]


def faults(expression: str, offered: Offered) -> list[str]:
    """Return what an expression asks for that does not exist."""
    tree, found = parsed(expression), []
    asked = selectors(tree)
    if not asked:
        found.append("it reads nothing")
    for selector in asked:
        known = offered.labels.get(selector.name)
        if known is None:
            found.append(f"there is no metric {selector.name}")
            continue
        for matcher in selector.matchers.matchers:
            if matcher.name in OF_PROMETHEUS:
                continue
            if matcher.name not in known:
                found.append(f"{selector.name} has no label {matcher.name}")
            elif matcher.op == promql.MatchOp.Equal and matcher.value not in known[matcher.name]:
                found.append(f"{selector.name} has no {matcher.name}={matcher.value!r}")
            elif matcher.op == promql.MatchOp.Re and re.fullmatch(r"[\w|-]+", matcher.value):
                missing = set(matcher.value.split("|")) - known[matcher.name]
                found += [f"{selector.name} has no {matcher.name}={value!r}" for value in sorted(missing)]
    for node in nodes(tree):
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            there = {name for one in selectors(node) for name in offered.labels.get(one.name, {})} | OF_PROMETHEUS
            found += [f"nothing has the label {name} of 'by'" for name in sorted(set(node.modifier.labels) - there)]
    return found


def labels_of(expression: str, offered: Offered) -> set[str]:
    """Return the labels that the result of an expression may have."""
    return _labels(parsed(expression), offered)


def _labels(tree: promql.Expr, offered: Offered) -> set[str]:
    if isinstance(tree, promql.VectorSelector):
        return set(offered.labels.get(tree.name, {})) | OF_PROMETHEUS
    if isinstance(tree, promql.MatrixSelector):
        return _labels(tree.vector_selector, offered)
    if isinstance(tree, promql.AggregateExpr) and str(tree.op) != "topk":
        return set(tree.modifier.labels) if tree.modifier is not None else set()
    if isinstance(tree, promql.BinaryExpr):
        left, right = _labels(tree.lhs, offered), _labels(tree.rhs, offered)
        return left | right if str(tree.op) == "or" else left or right
    if isinstance(tree, promql.Call):
        if tree.func.name == "absent":
            return set()
        below = set().union(*(_labels(argument, offered) for argument in tree.args))
        return below - {"le"} if tree.func.name == "histogram_quantile" else below
    inside = getattr(tree, "expr", None)
    return set() if inside is None else _labels(inside, offered)
