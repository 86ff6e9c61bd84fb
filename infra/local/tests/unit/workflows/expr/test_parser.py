"""The parser: trees as the precedence table says, and totality."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from localcloud.workflows.expr.nodes import (
    Binary,
    Call,
    Index,
    ListDisplay,
    Literal,
    MapDisplay,
    Member,
    Name,
    Node,
    Unary,
    children,
    walk,
)
from localcloud.workflows.expr.parser import MAX_NESTING, parse_expression, parse_reference
from localcloud.workflows.expr.tokens import ExpressionError

FRAGMENTS = [
    "1", "2.5", '"s"', "'t'", "x", "m", ".", "[", "]", "(", ")", "{", "}", ",", ":", "+", "-", "*", "/", "//", "%",
    "<", "<=", "==", "!=", " in ", " and ", " or ", "not ", "len", "true", "null", " ", "\\", '"', "$", "é", "\n",
]  # fmt: skip


ATOMS = st.sampled_from(["1", "2.5", '"s"', "x", "m.k", "l[0]", "true", "null", "f()", "[]", "{}"])
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds(
            "{} {} {}".format, inner, st.sampled_from(["+", "-", "*", "//", "==", "<", "in", "and", "or"]), inner
        ),
        st.builds("({})".format, inner),
        st.builds("not {}".format, inner),
        st.builds("-{}".format, inner),
        st.builds("f({}, {})".format, inner, inner),
        st.builds("[{}, {}][{}]".format, inner, inner, inner),
        st.builds('{{"k": {}}}.k'.format, inner),
    ),
    max_leaves=12,
)


def written(node: Node) -> str:
    """Return the expression with every operation in parentheses: its tree is plain to see."""
    parts = [written(child) for child in children(node)]
    match node:
        case Literal(value=value):
            return json.dumps(value)
        case Name(name=name):
            return name
        case Member(key=key):
            return f"{parts[0]}.{key}"
        case Index():
            return f"{parts[0]}[{parts[1]}]"
        case Call(function=function):
            return f"{function}({', '.join(parts)})"
        case Unary(operator=operator):
            return f"({operator} {parts[0]})"
        case Binary(operator=operator):
            return f"({parts[0]} {operator} {parts[1]})"
        case ListDisplay():
            return f"[{', '.join(parts)}]"
        case MapDisplay():
            pairs = zip(parts[::2], parts[1::2], strict=True)
            return "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a + b * c", "(a + (b * c))"),
        ("a * b + c", "((a * b) + c)"),
        ("a - b - c", "((a - b) - c)"),
        ("a // b % c / d", "(((a // b) % c) / d)"),
        ("not a == b", "((not a) == b)"),
        ("not a.b and c", "((not a.b) and c)"),
        ("-a * b", "((- a) * b)"),
        ("-a.b", "(- a.b)"),
        ("not -a", "(not (- a))"),
        ("-not a", "(- (not a))"),
        ("a < b == c", "((a < b) == c)"),
        ("a or b and c or d", "((a or (b and c)) or d)"),
        ("a in b and c", "((a in b) and c)"),
        ("a + b in c", "((a + b) in c)"),
        ("f(a + 1, b)[0].c", "f((a + 1), b)[0].c"),
        ("text.to_upper(a)", "text.to_upper(a)"),
        ("[a, -1][b]", "[a, (- 1)][b]"),
        ('{"k": a or b}', '{"k": (a or b)}'),
        ("(a or b) and c", "((a or b) and c)"),
        ("-9223372036854775808", "-9223372036854775808"),
    ],
)
def test_an_expression_has_the_tree_of_the_precedence_table(text: str, tree: str) -> None:
    """Operators group by the documented levels, from the left."""
    assert written(parse_expression(text)) == tree


@pytest.mark.parametrize("text", ["m", "m.k", "m.k[0]", 'm["k"].l[i + 1]', "l[f(x)]"])
def test_a_reference_is_a_variable_with_keys(text: str) -> None:
    """These may stand on the left of an assignment."""
    assert list(walk(parse_reference(text)))


@pytest.mark.parametrize("text", ["1", "a + b", "f()", "f().a", '"s".a', "not a", "[a][0]", "(1).x"])
def test_anything_else_is_no_reference(text: str) -> None:
    """Nothing else can be assigned."""
    with pytest.raises(ExpressionError, match="cannot assign"):
        parse_reference(text)


def test_a_fault_is_found_where_it_is() -> None:
    """The offset points at the character that does not fit."""
    with pytest.raises(ExpressionError) as caught:
        parse_expression("1 + (2 ! 3)")

    assert caught.value.offset == 7


@pytest.mark.parametrize("opening", ["(", "[", "-", "not ", "f(", "{1:"])
def test_endless_nesting_is_refused(opening: str) -> None:
    """Deep nesting is an error of the expression, not of the parser."""
    with pytest.raises(ExpressionError, match="nested deeper"):
        parse_expression(opening * (MAX_NESTING + 1))


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(text=EXPRESSIONS)
def test_a_tree_survives_being_written(text: str) -> None:
    """What parses, written with all its parentheses, parses to the same tree."""
    try:
        tree = parse_expression(text)
    except ExpressionError:
        reject()

    assert written(parse_expression(written(tree))) == written(tree)


@given(text=st.text(max_size=60) | st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join))
def test_any_text_parses_or_is_refused(text: str) -> None:
    """The lexer and parser are total: a tree, or an ExpressionError inside the text."""
    offset = None
    try:
        parse_expression(text)
    except ExpressionError as error:
        offset = error.offset

    assert offset is None or 0 <= offset <= len(text)
