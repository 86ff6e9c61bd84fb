"""The reader of Terraform's language that the deployment tests stand on."""

from __future__ import annotations

import pytest

from support.terraform_files import Block, Expression, HclError, read


def test_blocks_arguments_and_written_values_are_read() -> None:
    """Labels, numbers, bools, lists, objects and inner blocks come out as they are written."""
    text = """
    # a comment
    resource "google_x" "this" {
      name  = "a \\"b\\""   // another
      count = 2
      on    = true
      list  = ["a", 1, [],]
      map   = { one = 1, "two" = { three = false } }

      inner {
        ratio = 0.5
      }
    }
    """

    inner = Block("inner", (), {"ratio": 0.5})
    arguments = {
        "name": 'a "b"',
        "count": 2,
        "on": True,
        "list": ["a", 1, []],
        "map": {"one": 1, "two": {"three": False}},
    }
    assert read(text) == [Block("resource", ("google_x", "this"), arguments, [inner])]


@pytest.mark.parametrize(
    "value",
    ['"${var.a}-x"', 'var.a["b"]', "a ? b : c", "{ for k, v in a : k => v }", "[for v in a : v]", 'f("}", [1])'],
)
def test_computed_value_stays_text(value: str) -> None:
    """What Terraform would compute is kept as an expression and does not spill into the next line."""
    (block,) = read(f"locals {{\n  a = {value}\n  b = 1\n}}\n")

    assert isinstance(block.arguments["a"], Expression)
    assert block.arguments["b"] == 1


def test_computed_values_inside_written_ones_are_kept_apart() -> None:
    """A list of references is a list, and an object of references an object."""
    (block,) = read('locals {\n  a = [var.x, "y"]\n  b = { c = var.z, d = 1 }\n}\n')

    assert block.arguments == {"a": [Expression("var . x"), "y"], "b": {"c": Expression("var . z"), "d": 1}}


@pytest.mark.parametrize("text", ['a = "', "a {", "{}", "a = <<EOT\nx\nEOT\n", "1 = 2"])
def test_what_is_not_known_is_refused(text: str) -> None:
    """Unfinished strings and blocks, heredocs and nonsense are errors, not silence."""
    with pytest.raises(HclError):
        read(text)
